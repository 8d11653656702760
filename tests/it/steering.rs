//! Idempotency keys and steering across real processes: killed between the intent and the sending, and after the sending;
//! one process asked, another at work.

use amp_write::sandbox::{FaultKind, FaultSpec, Sandbox};
use serde_json::{Value, json};

use crate::harness::client::{Answer, PATIENCE};
use crate::harness::service::{GROUP, start_sandbox};
use crate::harness::{Client, Database, Kind, on_both_stores};
use crate::processes::{Served, create_project, created, serve_with};

on_both_stores!(
    a_keyed_create_that_was_cut_off_is_found_and_its_repetition_gets_the_record,
    a_keyed_create_that_was_cut_off_before_it_arrived_is_made_once,
    a_keyed_create_that_was_cut_off_and_cannot_be_found_is_never_sent_again,
    a_keyed_update_that_was_cut_off_and_is_then_refused_needs_review,
    a_first_answer_survives_a_restart,
);

/// A short time at the provider, so that the queue takes over soon.
const SOON: &[(&str, &str)] = &[("AMP_PROVIDER_TIMEOUT_SECONDS", "1")];

async fn start(database: &Database, sandbox: &Sandbox, key: &str) -> Served {
    serve_with(database, sandbox, key, SOON).ready().await
}

async fn keyed(client: &Client, object: &str, key: &str, record: Value) -> Result<Answer, reqwest::Error> {
    let path = client.path(&format!("/integrations/hs/objects/{object}"));
    let action = if record.get("id").is_some() {
        "update"
    } else {
        "create"
    };
    let body = json!({"groupRef": GROUP, "type": action, "record": record});
    let request = client
        .request(http::Method::POST, &path)
        .header("idempotency-key", key);
    client.try_send(request.body(body.to_string())).await
}

/// What an app does: it repeats the request, with its key, until it gets an answer that is not "wait".
async fn repeated(client: &Client, object: &str, key: &str, record: Value) -> Answer {
    let started = std::time::Instant::now();
    loop {
        let answer = keyed(client, object, key, record.clone())
            .await
            .expect("an answer");
        if answer.status != 409 {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "it stays in use: {}", answer.body);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Kills the process while a synchronous write of it is at the provider, held by this fault.
async fn cut_off(served: Served, sandbox: &Sandbox, fault: FaultSpec, object: &str, record: Value) {
    let hold = sandbox.fault(fault).expect("a good fault");
    let client = served.client.clone();
    let object = object.to_owned();
    let first = tokio::spawn(async move { keyed(&client, &object, "k", record).await });
    hold.wait_hits(1).await;
    served.process.kill();
    assert!(first.await.unwrap().is_err(), "the app gets no answer");
    hold.remove();
}

async fn a_keyed_create_that_was_cut_off_is_found_and_its_repetition_gets_the_record(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = start(&database, &sandbox, &key).await;
    served.set_up().await;
    let record = json!({"email": "ada@example.com", "firstname": "Ada"});
    let fault = FaultSpec::new(FaultKind::Hold).after_commit().once();
    cut_off(served, &sandbox, fault, "contacts", record.clone()).await;
    assert_eq!(created(&sandbox), 1);
    let served = start(&database, &sandbox, &key).await;
    let answer = repeated(&served.client, "contacts", "k", record)
        .await
        .expect(200);
    assert_eq!(answer.header("amp-replayed"), "true");
    assert!(answer.json()["result"]["recordId"].is_string(), "{}", answer.body);
    assert_eq!(created(&sandbox), 1, "it was found, not made again");
}

async fn a_keyed_create_that_was_cut_off_before_it_arrived_is_made_once(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = start(&database, &sandbox, &key).await;
    served.set_up().await;
    let record = json!({"email": "ada@example.com"});
    // Nothing arrives: for the store it is the same as a process that died right before it sent.
    let fault = FaultSpec::new(FaultKind::Hold).before_commit().once();
    let hold = sandbox.fault(fault).expect("a good fault");
    let first = tokio::spawn({
        let (client, record) = (served.client.clone(), record.clone());
        async move { keyed(&client, "contacts", "k", record).await }
    });
    hold.wait_hits(1).await;
    served.process.kill();
    assert!(first.await.unwrap().is_err());
    let served = start(&database, &sandbox, &key).await;
    let answer = repeated(&served.client, "contacts", "k", record).await;
    hold.remove();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(created(&sandbox), 1);
}

async fn a_keyed_create_that_was_cut_off_and_cannot_be_found_is_never_sent_again(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = start(&database, &sandbox, &key).await;
    served.set_up().await;
    let record = json!({"name": "Acme"});
    let fault = FaultSpec::new(FaultKind::Hold).after_commit().once();
    cut_off(served, &sandbox, fault, "companies", record.clone()).await;
    let served = start(&database, &sandbox, &key).await;
    let problem = repeated(&served.client, "companies", "k", record)
        .await
        .problem(502);
    assert_eq!(problem["retryable"], false);
    let operation = problem["context"]["operationId"].as_str().unwrap();
    let found = served.client.ended(operation).await;
    assert_eq!(found["metadata"]["state"], "needs_review", "{found}");
    assert_eq!(sandbox.ledger().len(), 1, "never sent again");
}

async fn a_keyed_update_that_was_cut_off_and_is_then_refused_needs_review(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = start(&database, &sandbox, &key).await;
    served.set_up().await;
    let made = keyed(&served.client, "companies", "made", json!({"name": "Acme"})).await;
    let made = made.unwrap().expect(200).json();
    let record = json!({"id": made["result"]["recordId"], "city": "Rome"});
    let fault = FaultSpec::new(FaultKind::Hold)
        .action("update")
        .after_commit()
        .once();
    cut_off(served, &sandbox, fault, "companies", record.clone()).await;
    let refusal = FaultSpec {
        status: Some(400),
        ..FaultSpec::new(FaultKind::Error).action("update")
    };
    sandbox.fault(refusal).expect("a good fault");
    let served = start(&database, &sandbox, &key).await;
    let problem = repeated(&served.client, "companies", "k", record)
        .await
        .problem(502);
    let operation = problem["context"]["operationId"].as_str().unwrap();
    let found = served.client.ended(operation).await;
    assert_eq!(
        found["metadata"]["state"], "needs_review",
        "it was applied: {found}"
    );
    let attempts = found["metadata"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{found}");
}

async fn a_first_answer_survives_a_restart(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = start(&database, &sandbox, &key).await;
    served.set_up().await;
    let record = json!({"name": "Acme"});
    let first = keyed(&served.client, "companies", "k", record.clone())
        .await
        .unwrap()
        .expect(200);
    served.process.kill();
    let served = start(&database, &sandbox, &key).await;
    let again = keyed(&served.client, "companies", "k", record)
        .await
        .unwrap()
        .expect(200);
    assert_eq!(again.body, first.body);
    assert_eq!(created(&sandbox), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_a_worker_waits_watches_and_cancels_through_the_one_that_has_it() {
    let (database, sandbox) = (Database::create(Kind::Postgres).await, start_sandbox().await);
    let key = create_project(&database);
    let api = serve_with(&database, &sandbox, &key, &[("AMP_ROLE", "api")])
        .ready()
        .await;
    api.set_up().await;
    let client = &api.client;
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}});
    let made = client.write("hs", "companies", body).await.expect(200).json();
    let id = made["result"]["recordId"].as_str().unwrap();
    let update = async |name: &str| {
        let body = json!({"groupRef": GROUP, "type": "update", "mode": "asynchronous",
            "record": {"id": id, "name": name}});
        let answer = client.write("hs", "companies", body).await.expect(200).json();
        answer["operationId"].as_str().unwrap().to_owned()
    };
    let hold = sandbox
        .fault(FaultSpec::new(FaultKind::Hold).method("PATCH").once())
        .expect("a good fault");
    let (first, second) = (update("B").await, update("C").await);
    // Nobody works the queue: the truth is that nobody knows.
    let problem = client
        .post(&format!("/operations/{first}:cancel"), "")
        .await
        .problem(503);
    assert_eq!(problem["type"], "urn:amp-write:problem:no-worker");

    let worker = serve_with(&database, &sandbox, &key, &[("AMP_ROLE", "worker")])
        .ready()
        .await;
    hold.wait_hits(1).await;
    let problem = client
        .post(&format!("/operations/{first}:cancel"), "")
        .await
        .problem(409);
    assert!(
        problem["detail"].as_str().unwrap().contains("being performed"),
        "{problem}"
    );
    let cancelled = client
        .post(&format!("/operations/{second}:cancel"), "")
        .await
        .expect(200)
        .json();
    assert_eq!(cancelled["metadata"]["state"], "cancelled");
    let waiting = tokio::spawn({
        let (client, path) = (client.clone(), format!("/operations/{first}?wait=55"));
        async move { (client.get(&path).await, std::time::Instant::now()) }
    });
    tokio::task::yield_now().await;
    let released = std::time::Instant::now();
    hold.release();
    let (answer, at) = waiting.await.unwrap();
    assert_eq!(answer.expect(200).json()["status"], "success");
    assert!(
        at - released < std::time::Duration::from_secs(30),
        "told by the store, not by its time"
    );
    let names: Vec<String> = sandbox.ledger().into_iter().map(|entry| entry.body).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    drop(worker);
}
