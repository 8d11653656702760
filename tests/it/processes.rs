//! The real program: started, killed, started again, several at once.

use std::time::Duration;

use amp_write::sandbox::{FaultKind, FaultSpec, Sandbox};
use serde_json::{Value, json};

use crate::harness::process::{Process, free_port, run, start_until};
use crate::harness::service::{GROUP, PLAIN, start_sandbox};
use crate::harness::{Client, Database, Kind, on_both_stores};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

on_both_stores!(
    a_write_that_was_in_flight_when_the_process_was_killed_is_completed_exactly_once,
    a_create_that_was_in_flight_and_cannot_be_looked_up_is_reviewed_after_the_kill,
    a_keyed_synchronous_batch_that_was_in_flight_at_a_kill_is_reviewed_and_not_sent_again,
    dev_proves_itself_survives_a_kill_and_finds_its_data_again,
    a_graceful_stop_finishes_what_is_in_flight,
    a_first_key_is_printed_once_and_works,
    the_lanes_of_the_queue_are_shown_as_a_table_and_as_json,
);

/// A serving process over a database and a sandbox.
pub(crate) struct Served {
    pub process: Process,
    pub client: Client,
}

pub(crate) fn serve(database: &Database, sandbox: &Sandbox, key: &str) -> Served {
    serve_with(database, sandbox, key, &[])
}

pub(crate) fn serve_with(database: &Database, sandbox: &Sandbox, key: &str, more: &[(&str, &str)]) -> Served {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let urls = format!(
        "hubspot={},salesforce={}",
        sandbox.hubspot_url(),
        sandbox.salesforce_url()
    );
    let mut env = vec![
        ("DATABASE_URL", database.url.as_str()),
        ("AMP_LISTEN", &listen),
        ("AMP_ENCRYPTION_KEY", KEY),
        ("AMP_PROVIDER_URLS", &urls),
        ("AMP_LEASE_SECONDS", "2"),
        ("AMP_RETRY_BASE_MS", "20"),
        ("AMP_LOG", "warn"),
    ];
    env.extend_from_slice(more);
    let process = Process::start(&["serve"], &env);
    let client = Client::new(format!("http://{listen}"), key.to_owned(), "test".to_owned());
    Served { process, client }
}

impl Served {
    /// Waits until it answers.
    pub async fn ready(self) -> Self {
        let url = format!("{}/readyz", self.client.url);
        let started = std::time::Instant::now();
        while !self
            .client
            .try_send(self.client.http.get(&url))
            .await
            .is_ok_and(|answer| answer.status == 200)
        {
            assert!(
                started.elapsed() < crate::harness::client::PATIENCE,
                "it does not become ready"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self
    }

    /// Deploys [`PLAIN`] and installs the HubSpot integration for [`GROUP`].
    pub async fn set_up(&self) {
        self.client
            .put("/integrations:batch", json!({"sourceYaml": PLAIN}))
            .await
            .expect(200);
        let connection = json!({"provider": "hubspot", "groupRef": GROUP, "consumerRef": "c",
            "oauth2AuthorizationCode": {"accessToken": {"token": "test-acme"}}});
        self.client
            .post("/connections:generate", connection)
            .await
            .expect(201);
        let installation = json!({"groupRef": GROUP, "config": {"content": {"provider": "hubspot"}}});
        self.client
            .post("/integrations/hs/installations", installation)
            .await
            .expect(201);
    }

    async fn accept(&self, object: &str, record: Value) -> String {
        let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": record});
        let answer = self.client.write("hs", object, body).await.expect(200).json();
        answer["operationId"].as_str().expect("an id").to_owned()
    }
}

pub(crate) fn create_project(database: &Database) -> String {
    let (status, out, err) = run(&["project", "create", "test"], &[("DATABASE_URL", &database.url)]);
    assert!(status.success(), "{err}");
    let line = out
        .lines()
        .find(|line| line.starts_with("API key"))
        .expect("the key is printed");
    line.split_whitespace().last().expect("a key").to_owned()
}

pub(crate) fn created(sandbox: &Sandbox) -> usize {
    let ledger = sandbox.ledger();
    ledger
        .iter()
        .flat_map(|entry| &entry.changes)
        .filter(|change| change.kind == amp_write::sandbox::ChangeKind::Created)
        .count()
}

async fn a_write_that_was_in_flight_when_the_process_was_killed_is_completed_exactly_once(kind: Kind) {
    let (database, sandbox) = (Database::empty(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = serve(&database, &sandbox, &key).ready().await;
    served.set_up().await;
    // Killed while HubSpot has made the contact and has not answered yet.
    let hold = sandbox
        .fault(FaultSpec::new(FaultKind::Hold).after_commit().once())
        .expect("a good fault");
    let operation = served
        .accept(
            "contacts",
            json!({"email": "ada@example.com", "firstname": "Ada"}),
        )
        .await;
    hold.wait_hits(1).await;
    served.process.kill();
    hold.release();
    assert_eq!(created(&sandbox), 1);
    let served = serve(&database, &sandbox, &key).ready().await;
    let done = served.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(created(&sandbox), 1, "the contact was found, not made again");

    // Killed while HubSpot has not even made it.
    let hold = sandbox
        .fault(FaultSpec::new(FaultKind::DropBeforeCommit))
        .expect("a good fault");
    let operation = served
        .accept("contacts", json!({"email": "grace@example.com"}))
        .await;
    hold.wait_hits(1).await;
    served.process.kill();
    hold.remove();
    let served = serve(&database, &sandbox, &key).ready().await;
    let done = served.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(
        created(&sandbox),
        2,
        "the contact that had not been made is made once"
    );
}

async fn a_create_that_was_in_flight_and_cannot_be_looked_up_is_reviewed_after_the_kill(kind: Kind) {
    let (database, sandbox) = (Database::empty(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = serve(&database, &sandbox, &key).ready().await;
    served.set_up().await;
    let hold = sandbox
        .fault(FaultSpec::new(FaultKind::Hold).after_commit().once())
        .expect("a good fault");
    let operation = served.accept("companies", json!({"name": "Acme"})).await;
    hold.wait_hits(1).await;
    served.process.kill();
    hold.release();
    let served = serve(&database, &sandbox, &key).ready().await;
    let done = served.client.ended(&operation).await;
    assert_eq!(done["metadata"]["state"], "needs_review", "{done}");
    assert_eq!(created(&sandbox), 1, "never blindly sent again");
    assert_eq!(sandbox.ledger().len(), 1);
}

async fn a_keyed_synchronous_batch_that_was_in_flight_at_a_kill_is_reviewed_and_not_sent_again(kind: Kind) {
    let (database, sandbox) = (Database::empty(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = serve(&database, &sandbox, &key).ready().await;
    served.set_up().await;
    let hold = sandbox
        .fault(FaultSpec::new(FaultKind::Hold).after_commit().once())
        .expect("a good fault");
    let body = json!({"groupRef": GROUP, "type": "create",
        "batch": [{"record": {"name": "A"}}, {"record": {"name": "B"}}]});
    let write = |client: &Client| {
        let path = client.path("/integrations/hs/objects/companies");
        client
            .request(http::Method::POST, &path)
            .header("idempotency-key", "k-1")
            .header("content-type", "application/json")
            .body(body.to_string())
    };
    let client = served.client.clone();
    let request = write(&client);
    let asked = tokio::spawn(async move { client.try_send(request).await });
    hold.wait_hits(1).await;
    served.process.kill();
    hold.release();
    assert!(asked.await.expect("no panic").is_err(), "nobody answered");
    assert_eq!(created(&sandbox), 2);
    let served = serve(&database, &sandbox, &key).ready().await;
    let problem = served.client.send(write(&served.client)).await.problem(409);
    let operation = problem["context"]["operationId"].as_str().expect("an operation");
    // The key stays in use for longer than performing may take; then the queue has it.
    database.make_due(operation).await;
    let done = served.client.ended(operation).await;
    for record in 0..2 {
        assert_eq!(
            done["metadata"]["records"][record]["state"], "needs_review",
            "{done}"
        );
    }
    assert_eq!(created(&sandbox), 2, "never blindly sent again");
    assert_eq!(sandbox.ledger().len(), 1);
}

async fn dev_proves_itself_survives_a_kill_and_finds_its_data_again(kind: Kind) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let database = Database::empty(kind).await;
    let (api, sandbox) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let mut args = vec![
        "dev",
        "--data",
        data,
        "--listen",
        &api,
        "--sandbox",
        &sandbox,
        "--lease-seconds",
        "2",
    ];
    if kind == Kind::Postgres {
        args.extend(["--database-url", &database.url]);
    }
    let facts = || -> Value {
        serde_json::from_str(&std::fs::read_to_string(format!("{data}/demo.json")).expect("demo.json"))
            .expect("JSON")
    };
    let (process, shown) = start_until(&args, &[], "Ctrl-C stops it");
    for part in [
        "1. a synchronous create",
        "2. a synchronous update",
        "3. an asynchronous create",
        "\"status\":\"success\"",
        "mobilephone",
        "X-Api-Key: amp_",
    ] {
        assert!(shown.contains(part), "`{part}` is not shown:\n{shown}");
    }
    let first = facts();
    let key = first["apiKey"].as_str().expect("a key").to_owned();
    let client = Client::new(
        first["url"].as_str().expect("a URL").to_owned(),
        key,
        "demo".to_owned(),
    );
    assert_eq!(first["integrations"].as_array().expect("a list").len(), 2);

    // A held asynchronous write, and SIGKILL in the middle of it. The sandbox dies too; its journal does not.
    let control = format!("http://{sandbox}/_sandbox");
    let fault = json!({"fault": "hold", "phase": "after_commit", "times": 1}).to_string();
    client
        .send(client.http.post(format!("{control}/faults")).body(fault))
        .await
        .expect(200);
    let record = json!({"email": "killed@example.com", "firstname": "K"});
    let body =
        json!({"groupRef": "demo-customer", "type": "create", "mode": "asynchronous", "record": record});
    let accepted = client
        .write("hubspot-crm", "contacts", body)
        .await
        .expect(200)
        .json();
    let ledger = async || -> Value {
        client
            .send(client.http.get(format!("{control}/ledger")))
            .await
            .json()
    };
    let started = std::time::Instant::now();
    while !ledger().await.to_string().contains("killed@example.com") {
        assert!(started.elapsed() < crate::harness::client::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process.kill();

    let (_process, shown) = start_until(&args, &[], "Ctrl-C stops it");
    assert!(shown.contains("3. an asynchronous create"));
    assert_eq!(facts(), first, "the same key, project and installations");
    let done = client
        .ended(accepted["operationId"].as_str().expect("an id"))
        .await;
    assert_eq!(done["status"], "success", "{done}");
    let ledger = ledger().await;
    let made = ledger
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|entry| entry["changes"].as_array().expect("a list"))
        .filter(|change| change["kind"] == "created" && change["values"]["email"] == "killed@example.com")
        .count();
    // The sandbox writes a record and its line of the ledger one after the other: a kill between them leaves the record alone.
    assert!(made <= 1, "completed exactly once, and made {made} times");
}

async fn a_graceful_stop_finishes_what_is_in_flight(kind: Kind) {
    let (database, sandbox) = (Database::empty(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let mut served = serve(&database, &sandbox, &key).ready().await;
    served.set_up().await;
    let hold = sandbox
        .fault(FaultSpec::new(FaultKind::Hold).times(2))
        .expect("a good fault");
    let operation = served.accept("companies", json!({"name": "Acme"})).await;
    hold.wait_hits(1).await;
    let client = served.client.clone();
    let waiting = tokio::spawn(async move {
        let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "Sync"}});
        client.write("hs", "companies", body).await
    });
    hold.wait_hits(2).await;
    served.process.terminate();
    let refused = std::time::Instant::now();
    // It takes no new connection soon after; what is open goes on.
    while std::net::TcpStream::connect(served.client.url.trim_start_matches("http://")).is_ok() {
        assert!(
            refused.elapsed() < crate::harness::client::PATIENCE,
            "it still takes connections"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    hold.release();
    waiting.await.expect("no panic").expect(200);
    assert!(served.process.wait().success());
    let store = database.store().await;
    assert_eq!(
        store.queue_depth().await.unwrap(),
        0,
        "the asynchronous one was finished too"
    );
    let free = store
        .lease_shards(uuid::Uuid::new_v4(), Duration::from_secs(60), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        free.held.len(),
        64,
        "the shards were given back: nobody waits for the lease to end"
    );
    store.close().await;
    drop(store);
    let served = serve(&database, &sandbox, &key).ready().await;
    assert_eq!(served.client.ended(&operation).await["status"], "success");
    assert_eq!(created(&sandbox), 2);
}

async fn a_first_key_is_printed_once_and_works(kind: Kind) {
    let (database, sandbox) = (Database::empty(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let (status, _, err) = run(&["project", "create", "TEST"], &[("DATABASE_URL", &database.url)]);
    assert!(!status.success() && err.contains("exists already"), "{err}");
    let (status, out, _) = run(&["migrate"], &[("DATABASE_URL", &database.url)]);
    assert!(status.success() && out.contains("up to date"), "{out}");
    let served = serve(&database, &sandbox, &key).ready().await;
    let project = served.client.get("").await.expect(200).json();
    assert_eq!(project["name"], "test");
}

async fn the_lanes_of_the_queue_are_shown_as_a_table_and_as_json(kind: Kind) {
    let (database, sandbox) = (Database::empty(kind).await, start_sandbox().await);
    let env = [("DATABASE_URL", database.url.as_str())];
    let key = create_project(&database);
    let (status, out, _) = run(&["lanes"], &env);
    assert!(status.success() && out.contains("no lane has work"), "{out}");
    let mut served = serve(&database, &sandbox, &key).ready().await;
    served.set_up().await;
    let limit = sandbox
        .fault(FaultSpec {
            retry_after: Some(600),
            ..FaultSpec::new(FaultKind::RateLimit)
        })
        .expect("a good fault");
    served.accept("companies", json!({"name": "Acme"})).await;
    limit.wait_hits(1).await;
    served.process.terminate();
    assert!(served.process.wait().success());
    let (status, out, err) = run(&["lanes", "--project", "test"], &env);
    assert!(status.success(), "{err}");
    let row = out.lines().nth(1).expect("one lane");
    for part in [
        "test",
        "hubspot",
        GROUP,
        "paused until",
        "6 at once, 100 per 10 s",
    ] {
        assert!(row.contains(part), "`{part}` is missing:\n{out}");
    }
    let (_, out, _) = run(&["lanes", "--json"], &env);
    let lanes: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(lanes[0]["depth"], 1);
    assert_eq!(lanes[0]["state"], "paused");
    assert_eq!(lanes[0]["groupRef"], GROUP);
    let (status, _, err) = run(&["lanes", "--project", "nobody"], &env);
    assert!(!status.success() && err.contains("no project `nobody`"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_postgres_share_the_work_and_perform_each_write_once() {
    let (database, sandbox) = (Database::empty(Kind::Postgres).await, start_sandbox().await);
    let key = create_project(&database);
    let first = serve(&database, &sandbox, &key).ready().await;
    first.set_up().await;
    let second = serve(&database, &sandbox, &key).ready().await;
    // Many customers, so that both have lanes; each has the same account at the provider.
    let mut groups = Vec::new();
    for number in 0..40 {
        let group = format!("g{number}");
        let connection = json!({"provider": "hubspot", "groupRef": group, "consumerRef": "c",
            "oauth2AuthorizationCode": {"accessToken": {"token": format!("test-{group}")}}});
        first
            .client
            .post("/connections:generate", connection)
            .await
            .expect(201);
        let installation = json!({"groupRef": group, "config": {"content": {"provider": "hubspot"}}});
        first
            .client
            .post("/integrations/hs/installations", installation)
            .await
            .expect(201);
        groups.push(group);
    }
    // Both hold shards once the second has been seen.
    let observer = database.store().await;
    let started = std::time::Instant::now();
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&database.url)
        .await
        .expect("connected");
    loop {
        let owners: i64 =
            sqlx::query_scalar("SELECT count(DISTINCT owner) FROM shards WHERE lease_until > now()")
                .fetch_one(&mut connection)
                .await
                .expect("counted");
        if owners == 2 {
            break;
        }
        assert!(
            started.elapsed() < crate::harness::client::PATIENCE,
            "the shards are not shared"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut operations = Vec::new();
    for round in 0..5 {
        for (index, group) in groups.iter().enumerate() {
            let client = if (round + index) % 2 == 0 {
                &first.client
            } else {
                &second.client
            };
            let record = json!({"name": format!("{group}-{round}")});
            let body = json!({"groupRef": group, "type": "create", "mode": "asynchronous", "record": record});
            let answer = client.write("hs", "companies", body).await.expect(200).json();
            operations.push(answer["operationId"].as_str().expect("an id").to_owned());
        }
    }
    // One of them goes in the middle of it; the other takes over.
    second.process.terminate();
    for operation in &operations {
        let done = first.client.ended(operation).await;
        assert_eq!(done["status"], "success", "{done}");
    }
    assert_eq!(
        created(&sandbox),
        operations.len(),
        "no operation is performed twice"
    );
    assert_eq!(observer.queue_depth().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_writes_are_refused_with_503_and_go_on_when_there_is_room_again() {
    let (database, sandbox) = (Database::empty(Kind::Sqlite).await, start_sandbox().await);
    let key = create_project(&database);
    let listen = format!("127.0.0.1:{}", free_port());
    let urls = format!("hubspot={}", sandbox.hubspot_url());
    let env = [
        ("DATABASE_URL", database.url.as_str()),
        ("AMP_LISTEN", &listen),
        ("AMP_ENCRYPTION_KEY", KEY),
        ("AMP_PROVIDER_URLS", &urls),
        ("AMP_LOG", "error"),
    ];
    let process = Process::serve_on_a_small_disk(2 << 20, &env);
    let client = Client::new(format!("http://{listen}"), key, "test".to_owned());
    let served = Served { process, client }.ready().await;
    served.set_up().await;
    let mut accepted = Vec::new();
    let write = async |number: usize| {
        let record = json!({"name": format!("company {number}"), "description": "x".repeat(100_000)});
        let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": record});
        served.client.write("hs", "companies", body).await
    };
    let id = |answer: crate::harness::client::Answer| {
        answer.json()["operationId"].as_str().expect("an id").to_owned()
    };
    for number in 0.. {
        assert!(number < 100, "the disk does not fill up");
        let answer = write(number).await;
        if answer.status != 200 {
            assert_eq!(answer.problem(503)["retryable"], true);
            break;
        }
        accepted.push(id(answer));
    }
    write(100).await.problem(503);
    served.process.enlarge_disk();
    accepted.push(id(write(101).await.expect(200)));
    for operation in &accepted {
        let done = served.client.ended(operation).await;
        assert_eq!(done["status"], "success", "{done}");
    }
    assert_eq!(
        created(&sandbox),
        accepted.len(),
        "what was refused was not performed, what was accepted was, once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_sqlite_file_is_refused() {
    let (database, sandbox) = (Database::empty(Kind::Sqlite).await, start_sandbox().await);
    let key = create_project(&database);
    let _served = serve(&database, &sandbox, &key).ready().await;
    let (status, _, err) = run(
        &["project", "create", "other"],
        &[("DATABASE_URL", &database.url)],
    );
    assert!(!status.success());
    assert!(err.contains("in use by another amp-write process"), "{err}");
}

#[test]
fn wrong_settings_are_refused_with_what_to_do() {
    let good = ("AMP_ENCRYPTION_KEY", KEY);
    for (args, env, wanted) in [
        (vec!["serve"], vec![], "--database-url"),
        (
            vec!["serve"],
            vec![("DATABASE_URL", "mysql://x"), good, ("AMP_LISTEN", "127.0.0.1:0")],
            "must begin with postgres://",
        ),
        (
            vec!["serve"],
            vec![("DATABASE_URL", "postgres://u:p@s3cr3t#rd@h/x"), good],
            "%23",
        ),
        (
            vec!["serve"],
            vec![("DATABASE_URL", "sqlite://x.db"), ("AMP_ENCRYPTION_KEY", "short")],
            "openssl rand -base64 32",
        ),
        (
            vec!["serve"],
            vec![
                ("DATABASE_URL", "sqlite:///proc/nothing/x.db"),
                good,
                ("AMP_LISTEN", "127.0.0.1:0"),
            ],
            "/proc/nothing",
        ),
        (
            vec!["serve"],
            vec![
                ("DATABASE_URL", "sqlite://x.db"),
                good,
                ("AMP_LISTEN", "nonsense"),
            ],
            "AMP_LISTEN",
        ),
        (
            vec!["serve", "--log", "a=b=c"],
            vec![("DATABASE_URL", "sqlite://x.db"), good],
            "AMP_LOG",
        ),
        (
            vec!["serve"],
            vec![("DATABASE_URL", "sqlite://x.db"), good, ("AMP_LOG", "chatty")],
            "`chatty` is no level",
        ),
        (vec!["serve"], vec![good], "DATABASE_URL"),
        (
            vec!["serve"],
            vec![
                ("DATABASE_URL", "postgres://u:s3cr3t@127.0.0.1:1/x"),
                good,
                ("AMP_LISTEN", "127.0.0.1:0"),
            ],
            "cannot connect",
        ),
        (vec!["validate", "no-such-file.yaml"], vec![], "no-such-file.yaml"),
        (
            vec!["project", "create", "-x-"],
            vec![("DATABASE_URL", "sqlite://x.db")],
            "",
        ),
    ] {
        let (status, out, err) = run(&args, &env);
        assert!(!status.success(), "{args:?} {env:?}");
        assert!(err.contains(wanted), "{args:?}: {err}");
        assert!(!format!("{out}{err}").contains("s3cr3t"), "{err}");
    }
}

#[test]
fn the_example_manifest_is_valid_and_a_bad_one_is_explained() {
    let (status, out, _) = run(
        &[
            "validate",
            concat!(env!("CARGO_MANIFEST_DIR"), "/amp.example.yaml"),
        ],
        &[],
    );
    assert!(
        status.success() && out.contains("is valid: 2 integrations"),
        "{out}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("amp.yaml");
    std::fs::write(
        &file,
        "specVersion: 1.0.0\nintegrations:\n  - name: x\n    provider: nobody\n    write: {objects: []}\n",
    )
    .expect("written");
    let (status, _, err) = run(&["validate", file.to_str().expect("UTF-8")], &[]);
    assert!(!status.success());
    assert!(
        err.contains("nobody") && err.contains(":4"),
        "the line is named: {err}"
    );
}

#[tokio::test]
async fn a_config_changed_through_one_process_soon_counts_in_the_other() {
    let (database, sandbox) = (Database::empty(Kind::Postgres).await, start_sandbox().await);
    let key = create_project(&database);
    let (one, two) = (serve(&database, &sandbox, &key), serve(&database, &sandbox, &key));
    let (one, two) = (one.ready().await, two.ready().await);
    one.set_up().await;
    let write = json!({"groupRef": GROUP, "type": "create", "record": {"email": "a@example.com"}});
    let shown = async |served: &Served| {
        let path = "/integrations/hs/objects/contacts?preview=true";
        served.client.post(path, &write).await.expect(200).json()["requests"][0]["body"].clone()
    };
    let before = shown(&two).await;
    assert_eq!(before, shown(&one).await);
    let installation = one.client.get("/installations").await.expect(200).json()[0]["id"].clone();
    let change = json!({"updateMask": ["config.content.write.objects"], "installation": {"config": {"content": {"write": {"objects":
        {"contacts": {"objectName": "contacts", "selectedFieldSettings": {"source": {"default": {"stringValue": "new"}}}}}}}}}});
    let path = format!(
        "/integrations/hs/installations/{}",
        installation.as_str().unwrap()
    );
    let changed = std::time::Instant::now();
    one.client.patch(&path, change).await.expect(200);
    // Through the process that made the change: at once.
    assert!(shown(&one).await.as_str().unwrap().contains("new"));
    while !shown(&two).await.as_str().unwrap().contains("new") {
        assert!(
            changed.elapsed() < crate::harness::client::PATIENCE,
            "the other process never notices"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("the other process noticed after {:?}", changed.elapsed());
}
