//! What is said, and what is sent, when the store fails: full, read-only, silent at a commit, gone after the provider has
//! answered, or sealed with another key.

use std::io::BufRead as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use amp_write::sandbox::{FaultKind, FaultSpec, Sandbox};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::harness::client::{Answer, PATIENCE};
use crate::harness::gate::{Commit, Gate, Side};
use crate::harness::postgres::Server;
use crate::harness::process::{Process, command, free_port};
use crate::harness::service::{GROUP, start_sandbox};
use crate::harness::{Client, Database, Kind, Service, on_both_stores};
use crate::processes::{Served, create_project, created, serve};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

on_both_stores!(
    what_was_applied_is_told_as_applied_when_it_could_not_be_stored,
    what_was_refused_is_told_as_not_applied_and_what_is_unknown_as_unknown,
    a_process_with_another_encryption_key_does_not_start,
    a_wrong_key_does_not_become_the_key_of_a_database_without_a_check,
    keys_are_rotated_step_by_step_and_the_old_one_alone_is_refused_afterwards,
);

fn body(kind: &str, mode: &str, record: Value) -> Value {
    json!({"groupRef": GROUP, "type": kind, "mode": mode, "record": record})
}

fn company(name: &str) -> Value {
    json!({"name": name})
}

async fn keyed(client: &Client, key: &str, body: &Value) -> Answer {
    let path = client.path("/integrations/hs/objects/companies");
    let request = client
        .request(http::Method::POST, &path)
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    client.send(request.body(body.to_string())).await
}

fn operation_of(answer: &Value) -> String {
    answer["operationId"].as_str().expect("an id").to_owned()
}

/// A process on Postgres, behind a gate, with everything set up.
async fn gated() -> (Database, Gate, Sandbox, Served) {
    let (database, sandbox) = (Database::create(Kind::Postgres).await, start_sandbox().await);
    let key = create_project(&database);
    let gate = Gate::open(&database.url).await;
    let served = serve(&Database::at(gate.url()), &sandbox, &key).ready().await;
    served.set_up().await;
    (database, gate, sandbox, served)
}

/// The answer to a request, with every connection cut at the next such commit.
async fn cut_at(gate: &Gate, commit: Commit, side: Side, request: impl Future<Output = Answer>) -> Answer {
    let sprung = gate.trap(commit, side);
    let cut = async {
        tokio::time::timeout(PATIENCE, sprung)
            .await
            .expect("there is such a commit")
            .expect("the gate lives");
        gate.cut();
    };
    tokio::join!(request, cut).0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_write_whose_commit_got_no_answer_is_answered_as_accepted() {
    let (_database, gate, sandbox, served) = gated().await;
    let request = body("create", "asynchronous", company("one"));
    let sending = served.client.write("hs", "companies", &request);
    let answer = cut_at(&gate, Commit::Accept, Side::After, sending).await;
    let operation = operation_of(&answer.expect(200).json());
    let done = served.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(created(&sandbox), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_which_nobody_knows_whether_it_was_accepted_is_told_as_unknown() {
    let (_database, gate, sandbox, served) = gated().await;
    // The commit never comes to the database; the process cannot know that.
    let request = body("create", "asynchronous", company("one"));
    let sending = served.client.write("hs", "companies", &request);
    let answer = cut_at(&gate, Commit::Accept, Side::Before, sending).await;
    let problem = answer.problem(503);
    assert_eq!(problem["type"], "urn:amp-write:problem:store-unavailable");
    assert_eq!(problem["context"]["outcome"], "unknown", "{problem}");
    assert_eq!(problem["retryable"], false, "{problem}");
    let operation = operation_of(&problem["context"]);
    served
        .client
        .get(&format!("/operations/{operation}"))
        .await
        .expect(404);
    assert!(!problem.to_string().contains("nothing was sent"), "{problem}");
    // With a key it may be sent again: then it is written once.
    let sending = keyed(&served.client, "k", &request);
    let answer = cut_at(&gate, Commit::Accept, Side::Before, sending).await;
    let problem = answer.problem(503);
    assert_eq!(problem["retryable"], true, "{problem}");
    assert_eq!(problem["context"]["outcome"], "unknown", "{problem}");
    let again = keyed(&served.client, "k", &request).await.expect(200).json();
    served.client.ended(&operation_of(&again)).await;
    assert_eq!(created(&sandbox), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_synchronous_write_whose_commit_got_no_answer_is_sent_once() {
    let (_database, gate, sandbox, served) = gated().await;
    let request = body("create", "synchronous", company("one"));
    let sending = keyed(&served.client, "k", &request);
    let answer = cut_at(&gate, Commit::Accept, Side::After, sending).await;
    let answer = answer.expect(200).json();
    assert_eq!(answer["result"]["success"], true, "{answer}");
    let again = keyed(&served.client, "k", &request).await.expect(200);
    assert_eq!(again.header("amp-replayed"), "true");
    assert_eq!(created(&sandbox), 1);
    // And a batch.
    let batch = json!({"groupRef": GROUP, "type": "create", "batch": [{"record": company("two")}, {"record": company("three")}]});
    let sending = keyed(&served.client, "b", &batch);
    let answer = cut_at(&gate, Commit::Accept, Side::After, sending).await;
    assert_eq!(answer.expect(200).json()["successCount"], 2);
    assert_eq!(created(&sandbox), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_synchronous_write_of_which_nobody_knows_is_not_sent_and_its_key_stays_good() {
    let (_database, gate, sandbox, served) = gated().await;
    let request = body("create", "synchronous", company("one"));
    let sending = keyed(&served.client, "k", &request);
    let answer = cut_at(&gate, Commit::Accept, Side::Before, sending).await;
    let problem = answer.problem(503);
    assert_eq!(problem["context"]["outcome"], "unknown", "{problem}");
    assert_eq!(problem["retryable"], true, "{problem}");
    assert_eq!(created(&sandbox), 0);
    keyed(&served.client, "k", &request).await.expect(200);
    assert_eq!(created(&sandbox), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_before_sending_whose_commit_got_no_answer_leaves_no_doubt() {
    let (_database, gate, sandbox, served) = gated().await;
    let batch = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous",
        "batch": [{"record": company("two")}, {"record": company("three")}]});
    for (side, request, count) in [
        (Side::After, body("create", "asynchronous", company("one")), 1),
        (Side::Before, body("create", "asynchronous", company("four")), 2),
        (Side::After, batch, 4),
    ] {
        let sending = served.client.write("hs", "companies", &request);
        let answer = cut_at(&gate, Commit::Begin, side, sending).await;
        let operation = operation_of(&answer.expect(200).json());
        // The cut has taken other connections, too: for a moment the store may count as down.
        let path = format!("/operations/{operation}");
        let started = std::time::Instant::now();
        while served.client.get(&path).await.status == 503 {
            assert!(started.elapsed() < PATIENCE, "the store is back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let done = served.client.ended(&operation).await;
        assert_eq!(done["status"], "success", "{side:?}: {done}");
        assert_eq!(created(&sandbox), count, "{side:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_synchronous_write_whose_commit_got_no_answer_is_stored_once() {
    let (_database, gate, sandbox, served) = gated().await;
    for (count, side) in [(1, Side::After), (2, Side::Before)] {
        let request = body("create", "synchronous", company("one"));
        let sending = served.client.write("hs", "companies", &request);
        let answer = cut_at(&gate, Commit::Record, side, sending).await;
        let operation = operation_of(&answer.expect(200).json());
        let stored = served
            .client
            .get(&format!("/operations/{operation}"))
            .await
            .expect(200);
        assert_eq!(stored.json()["status"], "success");
        assert_eq!(created(&sandbox), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_synchronous_standby_is_gone_nothing_is_told_that_is_not_known() {
    let server = Server::start().await;
    server.execute("postgres", "CREATE DATABASE amp").await;
    let (database, sandbox) = (Database::at(server.url("amp")), start_sandbox().await);
    let key = create_project(&database);
    let served = serve(&database, &sandbox, &key).ready().await;
    served.set_up().await;
    let standby = async |name: &str| {
        let statement = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
        server.execute("postgres", &statement).await;
        server.execute("postgres", "SELECT pg_reload_conf()").await;
    };
    standby("gone").await;
    let problem = served
        .client
        .write("hs", "companies", body("create", "asynchronous", company("one")))
        .await
        .problem(503);
    assert_eq!(problem["context"]["outcome"], "unknown", "{problem}");
    assert_eq!(problem["retryable"], false, "{problem}");
    let operation = operation_of(&problem["context"]);
    // From then on it is known that the store takes nothing.
    let refused = served
        .client
        .write("hs", "companies", body("create", "synchronous", company("two")))
        .await
        .problem(503);
    assert_eq!(refused["retryable"], true, "{refused}");
    assert_eq!(created(&sandbox), 0);
    standby("").await;
    let started = Instant::now();
    while served
        .client
        .get(&format!("/operations/{operation}"))
        .await
        .status
        != 200
    {
        assert!(
            started.elapsed() < PATIENCE,
            "what was told as unknown is found by its id"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done = served.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(created(&sandbox), 1, "once, and the refused one never");
}

/// Waits until the process says that it is ready, or not.
async fn readiness(served: &Served, wanted: u16) -> Answer {
    let url = format!("{}/readyz", served.client.url);
    let started = Instant::now();
    loop {
        let answer = served.client.send(served.client.http.get(&url)).await;
        if answer.status == wanted {
            return answer;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "/readyz does not become {wanted}: {}",
            answer.body
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sessions begin read-only, or not, from now on; present ones end.
async fn set_read_only(database: &Database, on: &str) {
    let mut connection = database.look().await;
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut connection)
        .await
        .expect("a name");
    connection
        .execute("SET default_transaction_read_only = off")
        .await
        .expect("set");
    let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
    sqlx::query(AssertSqlSafe(alter))
        .execute(&mut connection)
        .await
        .expect("altered");
    connection
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .await
        .expect("ended");
}

/// Starts the program and keeps what it logs.
fn serve_logging(database: &Database, sandbox: &Sandbox, key: &str) -> (Served, Arc<Mutex<Vec<String>>>) {
    let listen = format!("127.0.0.1:{}", free_port());
    let urls = format!("hubspot={}", sandbox.hubspot_url());
    let env = [
        ("DATABASE_URL", database.url.as_str()),
        ("AMP_LISTEN", &listen),
        ("AMP_ENCRYPTION_KEY", KEY),
        ("AMP_PROVIDER_URLS", &urls),
        ("AMP_LEASE_SECONDS", "2"),
        ("AMP_LOG", "warn"),
    ];
    let mut child = command(&["serve"], &env)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stderr = child.stderr.take().expect("piped");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in std::io::BufReader::new(stderr).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    let process = Process { child };
    let client = Client::new(format!("http://{listen}"), key.to_owned(), "test".to_owned());
    (Served { process, client }, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_gets_nothing_sent_and_says_so_once() {
    let (database, sandbox) = (Database::create(Kind::Postgres).await, start_sandbox().await);
    let key = create_project(&database);
    let (served, log) = serve_logging(&database, &sandbox, &key);
    let served = served.ready().await;
    served.set_up().await;
    set_read_only(&database, "on").await;
    for number in 0..5 {
        let request = body("create", "synchronous", company(&number.to_string()));
        let problem = served.client.write("hs", "companies", request).await.problem(503);
        assert_eq!(problem["type"], "urn:amp-write:problem:store-unavailable");
        assert_eq!(problem["retryable"], true, "{problem}");
    }
    assert_eq!(sandbox.ledger().len(), 0, "nothing was sent");
    // A session that was ended is noticed first, and then that others take nothing.
    let started = Instant::now();
    while !readiness(&served, 503).await.body.contains("read-only") {
        assert!(started.elapsed() < PATIENCE, "/readyz does not say why");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = log.lock().unwrap().clone();
    let lines = |text: &str| seen.iter().filter(|line| line.contains(text)).count();
    assert_eq!(lines("the store takes no writes"), 1, "{seen:#?}");
    assert_eq!(
        lines("store-unavailable"),
        5,
        "each 503 names its code: {seen:#?}"
    );
    assert!(seen.len() < 25, "the log is flooded: {seen:#?}");
    set_read_only(&database, "off").await;
    readiness(&served, 200).await;
    let request = body("create", "synchronous", company("last"));
    served.client.write("hs", "companies", request).await.expect(200);
    assert_eq!(created(&sandbox), 1);
    let seen = log.lock().unwrap().clone();
    let again = seen
        .iter()
        .filter(|line| line.contains("the store takes writes again"));
    assert!(again.count() >= 1, "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_code_and_the_kind_of_each_5xx_and_no_value_of_a_record() {
    let (database, sandbox) = (Database::create(Kind::Sqlite).await, start_sandbox().await);
    let key = create_project(&database);
    let (served, log) = serve_logging(&database, &sandbox, &key);
    let served = served.ready().await;
    served.set_up().await;
    sandbox
        .fault(FaultSpec {
            status: Some(500),
            message: Some("I do not like r3cord-value".to_owned()),
            ..FaultSpec::new(FaultKind::Error)
        })
        .expect("a good fault");
    let request = body("create", "synchronous", company("r3cord-value"));
    let problem = served.client.write("hs", "companies", request).await.problem(502);
    let started = Instant::now();
    let line = loop {
        let seen = log.lock().unwrap().clone();
        let of_request = |line: &&String| line.contains(problem["requestId"].as_str().expect("an id"));
        if let Some(line) = seen.iter().find(of_request) {
            break line.clone();
        }
        assert!(started.elapsed() < PATIENCE, "it is not in the log: {seen:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(line.contains("provider-failed") && line.contains("500"), "{line}");
    let seen = log.lock().unwrap().join("\n");
    assert!(!seen.contains("r3cord-value"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_refuses_to_start_on_a_read_only_database() {
    let database = Database::create(Kind::Postgres).await;
    create_project(&database);
    set_read_only(&database, "on").await;
    let err = refused(&database, KEY);
    assert!(err.contains("is read-only") && err.contains("primary"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_synchronous_writes_are_refused_before_they_are_sent() {
    let (database, sandbox) = (Database::create(Kind::Sqlite).await, start_sandbox().await);
    let key = create_project(&database);
    let listen = format!("127.0.0.1:{}", free_port());
    let urls = format!("hubspot={}", sandbox.hubspot_url());
    let env = [
        ("DATABASE_URL", database.url.as_str()),
        ("AMP_LISTEN", &listen),
        ("AMP_ENCRYPTION_KEY", KEY),
        ("AMP_PROVIDER_URLS", &urls),
        ("AMP_LOG", "off"),
    ];
    let process = Process::serve_on_a_small_disk(2 << 20, &env);
    let client = Client::new(format!("http://{listen}"), key, "test".to_owned());
    let served = Served { process, client }.ready().await;
    served.set_up().await;
    let write = async |number: usize| {
        let record = json!({"name": format!("company {number}"), "description": "x".repeat(60_000)});
        served
            .client
            .write("hs", "companies", body("create", "synchronous", record))
            .await
    };
    let mut stored = 0;
    while write(stored).await.status == 200 {
        stored += 1;
        assert!(stored < 200, "the disk does not fill up");
    }
    for number in 0..10 {
        let problem = write(1_000 + number).await.problem(503);
        assert_eq!(
            problem["type"], "urn:amp-write:problem:store-unavailable",
            "{problem}"
        );
    }
    assert!(
        created(&sandbox) <= stored + 1,
        "at most the one that found the disk full was sent: {} of {stored}",
        created(&sandbox)
    );
    readiness(&served, 503).await;
    let sent = created(&sandbox);
    served.process.enlarge_disk();
    readiness(&served, 200).await;
    write(2_000).await.expect(200);
    assert_eq!(created(&sandbox), sent + 1);
}

async fn what_was_applied_is_told_as_applied_when_it_could_not_be_stored(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let mut ids = Vec::new();
    for name in ["old", "doomed"] {
        let answer = client
            .write("hs", "companies", body("create", "synchronous", company(name)))
            .await
            .expect(200)
            .json();
        ids.push(answer["result"]["recordId"].as_str().expect("an id").to_owned());
    }
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).after_commit())
        .expect("a good fault");
    let create = body("create", "synchronous", company("new"));
    let update = body("update", "synchronous", json!({"id": ids[0], "name": "changed"}));
    let delete = body("delete", "synchronous", json!({"id": ids[1]}));
    let batch = json!({"groupRef": GROUP, "type": "create", "batch": [{"record": company("a")}, {"record": company("b")}]});
    let failing = async {
        hold.wait_hits(4).await;
        service.app.store.close().await;
        hold.release();
    };
    let (create, update, delete, batch, ()) = tokio::join!(
        client.write("hs", "companies", create),
        client.write("hs", "companies", update),
        client.write("hs", "companies", delete),
        client.write("hs", "companies", batch),
        failing
    );
    let context = |answer: Answer| {
        let problem = answer.problem(503);
        assert_eq!(problem["type"], "urn:amp-write:problem:outcome-not-stored");
        assert_eq!(problem["retryable"], false);
        problem["context"].clone()
    };
    let create = context(create);
    assert_eq!(create["applied"], true, "{create}");
    assert!(create["recordId"].is_string(), "{create}");
    let update = context(update);
    assert_eq!(
        (&update["applied"], &update["recordId"]),
        (&json!(true), &json!(ids[0])),
        "{update}"
    );
    let delete = context(delete);
    assert_eq!(delete["applied"], true, "{delete}");
    let batch = context(batch);
    assert_eq!(batch["applied"], true, "{batch}");
    let records = batch["records"].as_array().expect("each record");
    assert_eq!(records.len(), 2, "{batch}");
    for (index, record) in records.iter().enumerate() {
        assert_eq!(
            (&record["index"], &record["applied"]),
            (&json!(index), &json!(true)),
            "{batch}"
        );
        assert!(record["recordId"].is_string(), "{batch}");
    }
}

async fn what_was_refused_is_told_as_not_applied_and_what_is_unknown_as_unknown(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold))
        .expect("a good fault");
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit).object("deals"))
        .expect("a good fault");
    let refused = body("create", "synchronous", json!({"no_such_field": "x"}));
    let unknown = body("create", "synchronous", json!({"dealname": "d"}));
    let failing = async {
        hold.wait_hits(2).await;
        service.app.store.close().await;
        hold.release();
    };
    let (refused, unknown, ()) = tokio::join!(
        client.write("hs", "companies", refused),
        client.write("hs", "deals", unknown),
        failing
    );
    let refused = refused.problem(503);
    assert_eq!(refused["context"]["applied"], false, "{refused}");
    let unknown = unknown.problem(503);
    assert_eq!(unknown["context"]["applied"], Value::Null, "{unknown}");
}

/// Runs `serve` with this key to its end, which must come by itself; answers what it says.
fn refused(database: &Database, key: &str) -> String {
    let listen = format!("127.0.0.1:{}", free_port());
    let env = [
        ("DATABASE_URL", database.url.as_str()),
        ("AMP_ENCRYPTION_KEY", key),
        ("AMP_LISTEN", &listen),
    ];
    let mut child = command(&["serve"], &env)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stderr = child.stderr.take().expect("piped");
    let mut process = Process { child };
    assert!(!process.wait().success());
    std::io::read_to_string(stderr).expect("text")
}

/// Starts a process with this key and lets it go again.
async fn starts(database: &Database, sandbox: &Sandbox, api_key: &str, key: &str) {
    let served = crate::processes::serve_with(database, sandbox, api_key, &[("AMP_ENCRYPTION_KEY", key)]);
    served.ready().await.process.kill();
}

async fn a_process_with_another_encryption_key_does_not_start(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let api_key = create_project(&database);
    // Nothing is stored yet: the first process decides.
    starts(&database, &sandbox, &api_key, KEY).await;
    let err = refused(&database, OTHER_KEY);
    assert!(err.contains("is not the key of this database"), "{err}");
    assert!(!err.contains(OTHER_KEY) && !err.contains(KEY), "{err}");
    starts(&database, &sandbox, &api_key, KEY).await;
}

async fn a_wrong_key_does_not_become_the_key_of_a_database_without_a_check(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let api_key = create_project(&database);
    let served = serve(&database, &sandbox, &api_key).ready().await;
    served.set_up().await;
    served.process.kill();
    // As the version before left it.
    let forget = "DELETE FROM key_checks";
    match kind {
        Kind::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(&database.url)
                .await
                .expect("open");
            connection.execute(forget).await.expect("forgotten");
            connection.close().await.expect("closed");
        }
        Kind::Postgres => {
            database.look().await.execute(forget).await.expect("forgotten");
        }
    }
    let err = refused(&database, OTHER_KEY);
    assert!(err.contains("is not the key of this database"), "{err}");
    starts(&database, &sandbox, &api_key, KEY).await;
}

async fn keys_are_rotated_step_by_step_and_the_old_one_alone_is_refused_afterwards(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let api_key = create_project(&database);
    for keys in [
        KEY.to_owned(),
        format!("{KEY},{OTHER_KEY}"),
        format!("{OTHER_KEY},{KEY}"),
        OTHER_KEY.to_owned(),
    ] {
        starts(&database, &sandbox, &api_key, &keys).await;
    }
    let err = refused(&database, KEY);
    assert!(err.contains("is not the key of this database"), "{err}");
    starts(&database, &sandbox, &api_key, OTHER_KEY).await;
}
