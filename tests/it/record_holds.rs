//! `onFailure: hold` in the running service: what waits, what does not, and how it ends.

use std::time::Duration;

use amp_write::action::Action;
use amp_write::sandbox::{FaultKind, FaultSpec, Sandbox};
use amp_write::store::{AcceptOperation, IntegrationRef, NewOperation};
use serde_json::{Value, json};

use crate::harness::client::PATIENCE;
use crate::harness::process::run;
use crate::harness::service::{GROUP, start_sandbox};
use crate::harness::{Client, Database, Kind, Service, on_both_stores};
use crate::processes::{create_project, serve_with};

on_both_stores!(
    a_failed_write_holds_its_record_until_its_replay_has_gone_first,
    a_replay_that_fails_holds_on_and_a_release_lets_the_others_run_in_order,
    a_create_by_name_without_an_answer_holds_until_it_is_resolved,
    a_write_that_is_held_ends_at_its_deadline_and_says_behind_which,
    a_batch_of_held_records_says_so_until_they_are_released,
    a_batch_that_is_held_ends_at_its_deadline_and_says_behind_which,
    a_batch_of_which_one_record_is_free_is_not_held,
    a_hold_survives_a_restart,
    deleting_the_installation_ends_what_is_held,
    hold_needs_something_that_can_wait,
    the_command_line_tells_of_holds_and_releases_them,
);

/// An update that holds its record when it fails.
fn update(id: &str, fields: Value, on_failure: &str) -> Value {
    let mut record = fields;
    record["id"] = json!(id);
    json!({"groupRef": GROUP, "type": "update", "mode": "asynchronous", "record": record, "onFailure": on_failure})
}

/// What the provider refuses for good.
fn bad() -> Value {
    json!({"no_such": 1})
}

fn city(name: &str) -> Value {
    json!({"city": name})
}

async fn accept(client: &Client, body: Value) -> String {
    let answer = client.write("hs", "companies", body).await.expect(200);
    answer.json()["operationId"].as_str().unwrap().to_owned()
}

async fn company(client: &Client) -> String {
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}});
    let made = client.write("hs", "companies", body).await.expect(200).json();
    made["result"]["recordId"].as_str().unwrap().to_owned()
}

/// Waits until the operation is held; answers it.
async fn held(client: &Client, operation: &str) -> Value {
    client
        .operation_until(operation, |o| o["metadata"]["state"] == "held")
        .await
}

async fn metadata(client: &Client, operation: &str) -> Value {
    let found = client.get(&format!("/operations/{operation}")).await.expect(200);
    found.json()["metadata"].clone()
}

async fn steer(client: &Client, operation: &str, verb: &str, body: &str) -> Value {
    let path = format!("/operations/{operation}:{verb}");
    client.post(&path, body).await.expect(200).json()
}

/// The cities that were written, in order.
fn cities(sandbox: &Sandbox) -> Vec<String> {
    let changes = sandbox.ledger().into_iter().flat_map(|entry| entry.changes);
    changes
        .filter_map(|change| {
            change
                .values
                .get("city")
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .collect()
}

async fn a_failed_write_holds_its_record_until_its_replay_has_gone_first(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let (id, other) = (company(client).await, company(client).await);
    // The provider refuses it once: the replay of the same request will do.
    let refusal = FaultSpec {
        status: Some(400),
        code: Some("VALIDATION_ERROR".to_owned()),
        ..FaultSpec::new(FaultKind::Error)
    };
    let refusal = service
        .sandbox
        .fault(refusal.action("update").once())
        .expect("a good fault");
    let first = accept(client, update(&id, city("first"), "hold")).await;
    refusal.wait_hits(1).await;
    let failed = client.ended(&first).await;
    assert_eq!(failed["metadata"]["state"], "failed", "{failed}");
    let second = accept(client, update(&id, city("second"), "continue")).await;
    let third = accept(client, update(&id, city("third"), "continue")).await;
    for waiting in [&second, &third] {
        let metadata = held(client, waiting).await["metadata"].clone();
        assert_eq!(
            (&metadata["waitingOn"], &metadata["heldBy"]),
            (&json!("failure"), &json!(first))
        );
        assert_eq!(metadata.get("holdsRecord"), None);
    }
    assert_eq!(metadata(client, &first).await["holdsRecord"], true);
    // Another record of the same lane goes through the whole queue meanwhile.
    let by = accept(client, update(&other, city("other"), "hold")).await;
    assert_eq!(client.ended(&by).await["status"], "success");
    assert_eq!(cities(&service.sandbox), ["other"]);
    service.app.writes.survey().await.unwrap();
    let metrics = client
        .send(client.http.get(format!("{}/metrics", client.url)))
        .await;
    assert!(
        metrics.body.contains("\namp_records_held 1\n"),
        "{}",
        metrics.body
    );

    let replay = steer(client, &first, "replay", "").await;
    for operation in [replay["operationId"].as_str().unwrap(), &second, &third] {
        assert_eq!(client.ended(operation).await["status"], "success");
    }
    assert_eq!(cities(&service.sandbox), ["other", "first", "second", "third"]);
    assert_eq!(metadata(client, &first).await.get("holdsRecord"), None);
}

async fn a_replay_that_fails_holds_on_and_a_release_lets_the_others_run_in_order(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let id = company(client).await;
    let mut waiting = Vec::new();
    let first = accept(client, update(&id, bad(), "hold")).await;
    for number in 0..10 {
        waiting.push(accept(client, update(&id, city(&number.to_string()), "continue")).await);
    }
    client.ended(&first).await;
    let replay = steer(client, &first, "replay", "").await;
    let replay = replay["operationId"].as_str().unwrap();
    assert_eq!(client.ended(replay).await["metadata"]["state"], "failed");
    assert_eq!(held(client, &waiting[0]).await["metadata"]["heldBy"], replay);
    assert!(cities(&service.sandbox).is_empty());
    let listed = client
        .get("/operations?holdsRecord=true")
        .await
        .expect(200)
        .json();
    let listed: Vec<&str> = listed["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, [replay, &first], "both tries, the newest first");
    let released = steer(client, &first, "release", "").await;
    assert_eq!(released["metadata"].get("holdsRecord"), None);
    for operation in &waiting {
        assert_eq!(client.ended(operation).await["status"], "success");
    }
    let wanted: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(cities(&service.sandbox), wanted);
    let path = format!("/operations/{first}:release");
    let problem = client.post(&path, "").await.problem(409);
    assert_eq!(problem["context"]["state"], "failed");
}

async fn a_create_by_name_without_an_answer_holds_until_it_is_resolved(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let create = |name: &str| {
        json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "clientRef": "order-7",
            "record": {"name": name}, "onFailure": "hold"})
    };
    for (outcome, wanted) in [("retry", "A"), ("failed", "B"), ("succeeded", "B")] {
        let before = service.reached().len();
        let fault = FaultSpec::new(FaultKind::DropBeforeCommit).action("create");
        service.sandbox.fault(fault.once()).expect("a good fault");
        let first = accept(client, create("A")).await;
        let second = accept(client, create("B")).await;
        assert_eq!(client.ended(&first).await["metadata"]["state"], "needs_review");
        assert_eq!(held(client, &second).await["metadata"]["heldBy"], first);
        let body = json!({"outcome": outcome, "recordId": (outcome == "succeeded").then_some("7")});
        steer(client, &first, "resolve", &body.to_string()).await;
        assert_eq!(client.ended(&second).await["status"], "success", "{outcome}");
        let names: Vec<String> = service
            .reached()
            .into_iter()
            .skip(before)
            .map(|sent| sent.2)
            .collect();
        assert!(
            names[1].contains(&format!("\"{wanted}\"")),
            "{outcome}: {names:?}"
        );
        assert_eq!(names.len(), if outcome == "retry" { 3 } else { 2 }, "{names:?}");
    }
}

async fn a_write_that_is_held_ends_at_its_deadline_and_says_behind_which(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let id = company(client).await;
    // The API's shortest deadline is an hour: these come as writes do, but one has a millisecond.
    let first = stored(&service, &json!({"id": id, "no_such": 1}), HOUR).await;
    assert_eq!(metadata_at_end(client, &first).await["holdsRecord"], true);
    let waits = stored(&service, &json!({"id": id, "city": "waits"}), HOUR).await;
    held(client, &waits).await;
    let late = stored(
        &service,
        &json!({"id": id, "city": "late"}),
        Duration::from_millis(1),
    )
    .await;
    let done = client.ended(&late).await;
    assert_eq!(done["metadata"]["state"], "failed", "{done}");
    let result = done["result"].as_str().unwrap();
    assert!(
        result.contains(&format!("held behind operation {first}")) && result.contains("deadline"),
        "{result}"
    );
    assert_eq!(
        metadata(client, &waits).await["state"],
        "held",
        "it has its own deadline"
    );
    assert!(cities(&service.sandbox).is_empty());
}

/// An update of several records.
fn batch(ids: &[&String], name: &str) -> Value {
    let item = |id: &&String| json!({"record": {"id": id, "city": name}});
    let items: Vec<Value> = ids.iter().map(item).collect();
    json!({"groupRef": GROUP, "type": "update", "mode": "asynchronous", "batch": items})
}

async fn a_batch_of_held_records_says_so_until_they_are_released(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let (one, other) = (company(client).await, company(client).await);
    let mut holders = Vec::new();
    for id in [&one, &other] {
        let first = accept(client, update(id, bad(), "hold")).await;
        assert_eq!(metadata_at_end(client, &first).await["holdsRecord"], true);
        holders.push(first);
    }
    let waits = accept(client, batch(&[&one, &other], "waits")).await;
    let metadata = held(client, &waits).await["metadata"].clone();
    assert_eq!(
        (&metadata["waitingOn"], &metadata["heldBy"]),
        (&json!("failure"), &json!(holders[0]))
    );
    // As with a single write, what waits can be named as well as what holds.
    steer(client, &waits, "release", "").await;
    assert_eq!(client.ended(&waits).await["status"], "success");
    assert_eq!(cities(&service.sandbox), ["waits", "waits"]);
}

async fn a_batch_that_is_held_ends_at_its_deadline_and_says_behind_which(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let (one, other) = (company(client).await, company(client).await);
    let first = accept(client, update(&one, bad(), "hold")).await;
    assert_eq!(metadata_at_end(client, &first).await["holdsRecord"], true);
    let late = accept(client, batch(&[&one, &other], "late")).await;
    // The free record is written; the other one waits.
    held(client, &late).await;
    assert_eq!(cities(&service.sandbox), ["late"]);
    service.database.expire(&late).await;
    let done = client.ended(&late).await;
    let errors = done["metadata"]["records"][0]["errors"].to_string();
    assert!(
        errors.contains(&format!("held behind operation {first}")) && errors.contains("deadline"),
        "{done}"
    );
    assert_eq!(done["metadata"]["records"][1]["state"], "succeeded", "{done}");
    assert_eq!(cities(&service.sandbox), ["late"]);
}

async fn a_batch_of_which_one_record_is_free_is_not_held(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let (one, other) = (company(client).await, company(client).await);
    let first = accept(client, update(&one, bad(), "hold")).await;
    assert_eq!(metadata_at_end(client, &first).await["holdsRecord"], true);
    // The free record's call gets no usable answer for now: what the batch waits for is its own next attempt.
    let down = FaultSpec {
        status: Some(503),
        ..FaultSpec::new(FaultKind::Error)
    };
    let down = service
        .sandbox
        .fault(down.action("update"))
        .expect("a good fault");
    let both = accept(client, batch(&[&one, &other], "both")).await;
    down.wait_hits(1).await;
    let seen = client
        .operation_until(&both, |o| o["metadata"]["state"] == "waiting")
        .await;
    assert_eq!(seen["metadata"]["waitingOn"], "backoff", "{seen}");
    assert_eq!(seen["metadata"].get("heldBy"), None, "{seen}");
}

const HOUR: Duration = Duration::from_secs(3600);

async fn metadata_at_end(client: &Client, operation: &str) -> Value {
    client.ended(operation).await["metadata"].clone()
}

/// Accepts an update of one record, which holds it when it fails.
async fn stored(service: &Service, record: &Value, deadline: Duration) -> String {
    let store = &service.app.store;
    let project = store.find_project("test").await.unwrap().unwrap().id;
    let integration = store.find_integration(project, IntegrationRef::Name("hs")).await;
    let integration = integration.unwrap().unwrap();
    let installed = store
        .list_installations(project, Some(integration.id), Some(GROUP))
        .await;
    let installed = installed.unwrap().remove(0);
    let accept = AcceptOperation {
        operation: NewOperation {
            id: service.app.clock.new_id(),
            project_id: project,
            integration_id: integration.id,
            installation_id: installed.id,
            config_id: installed.config_id,
            revision_id: integration.revision_id,
            connection_id: installed.connection_id,
            object: "companies".to_owned(),
            action: Action::Update,
            request: json!({"record": record, "onFailure": "hold"}).to_string(),
            client_ref: None,
            replay_of: None,
        },
        record_keys: Vec::new(),
        gather: None,
        record_key: Some(1),
        holds: true,
        deadline,
        key: None,
        performing: None,
    };
    let id = accept.operation.id.to_string();
    store.accept_operations(&[accept]).await.unwrap();
    id
}

async fn a_hold_survives_a_restart(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = serve_with(&database, &sandbox, &key, &[]).ready().await;
    served.set_up().await;
    let id = company(&served.client).await;
    let first = accept(&served.client, update(&id, bad(), "hold")).await;
    served.client.ended(&first).await;
    let second = accept(&served.client, update(&id, city("second"), "continue")).await;
    held(&served.client, &second).await;
    served.process.kill();
    let served = serve_with(&database, &sandbox, &key, &[]).ready().await;
    let client = &served.client;
    let other = company(client).await;
    // Its lane is worked, and the record is held as before.
    let by = accept(client, update(&other, city("other"), "continue")).await;
    assert_eq!(client.ended(&by).await["status"], "success");
    assert_eq!(held(client, &second).await["metadata"]["heldBy"], first);
    assert_eq!(cities(&sandbox), ["other"]);
    steer(client, &second, "release", "").await;
    assert_eq!(client.ended(&second).await["status"], "success");
}

async fn deleting_the_installation_ends_what_is_held(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let id = company(client).await;
    let first = accept(client, update(&id, bad(), "hold")).await;
    client.ended(&first).await;
    let second = accept(client, update(&id, city("second"), "hold")).await;
    held(client, &second).await;
    let list = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json();
    let installation = list[0]["id"].as_str().unwrap();
    client
        .delete(&format!("/integrations/hs/installations/{installation}"))
        .await
        .expect(204);
    let done = client.ended(&second).await;
    assert!(done["result"].as_str().unwrap().contains("deleted"), "{done}");
    assert_eq!(done["metadata"].get("holdsRecord"), None);
}

async fn hold_needs_something_that_can_wait(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let base = json!({"groupRef": GROUP, "type": "update", "mode": "asynchronous", "record": {"id": "1"}});
    for change in [
        json!({"onFailure": "stop"}),
        json!({"onFailure": "hold", "mode": "synchronous"}),
        json!({"onFailure": "hold", "type": "delete"}),
        json!({"onFailure": "hold", "type": "create", "record": {}}),
    ] {
        let mut body = base.clone();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let problem = client.write("hs", "companies", body).await.problem(400);
        assert_eq!(problem["issues"][0]["name"], "onFailure", "{problem}");
    }
    assert!(service.reached().is_empty());
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
}

async fn the_command_line_tells_of_holds_and_releases_them(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let id = company(client).await;
    let first = accept(client, update(&id, bad(), "hold")).await;
    client.ended(&first).await;
    let second = accept(client, update(&id, city("second"), "continue")).await;
    held(client, &second).await;
    let env = [
        ("AMP_URL", client.url.as_str()),
        ("AMP_PROJECT", "test"),
        ("AMP_API_KEY", client.key.as_str()),
    ];
    let printed = async |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let env: Vec<(String, String)> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        // The program runs beside the service, whose threads must go on.
        let run = tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let env: Vec<(&str, &str)> = env.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            run(&args, &env)
        });
        let (status, printed, complaint) = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
        assert!(status.success(), "{complaint}");
        printed
    };
    let list = printed(&["operations", "list", "--holding"]).await;
    assert!(
        list.contains("failed, holds its record") && list.contains(&first),
        "{list}"
    );
    assert!(!list.contains(&second), "{list}");
    let shown = printed(&["operations", "show", &second]).await;
    assert!(shown.contains("held, waiting for: failure"), "{shown}");
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("held behind") && line.contains(&first)),
        "{shown}"
    );
    let shown = printed(&["operations", "show", &first]).await;
    assert!(shown.contains("later writes to its record"), "{shown}");
    if kind == Kind::Postgres {
        let lanes = printed(&["lanes", "--database-url", service.database_url()]).await;
        assert!(lanes.contains("ready, 1 record held"), "{lanes}");
    }
    printed(&["operations", "release", &first]).await;
    assert_eq!(client.ended(&second).await["status"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_by_another_process_is_heard_by_the_one_that_has_the_lane() {
    let service = Service::start(Kind::Postgres).await;
    let client = &service.client;
    let id = company(client).await;
    let first = accept(client, update(&id, bad(), "hold")).await;
    client.ended(&first).await;
    let second = accept(client, update(&id, city("second"), "hold")).await;
    held(client, &second).await;
    let node = service.without_worker().await;
    let mut listener = node.app.store.listen().await.unwrap().expect("on Postgres");
    steer(&node.client, &second, "release", "").await;
    let message = tokio::time::timeout(PATIENCE, listener.next()).await;
    let message = message.expect("a message").unwrap().expect("nothing was lost");
    assert!(message.contains(":!"), "the lane itself has changed: {message}");
    assert_eq!(client.ended(&second).await["status"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_can_be_cancelled_and_then_holds_nothing() {
    let service = Service::start(Kind::Sqlite).await;
    let client = &service.client;
    let id = company(client).await;
    let first = accept(client, update(&id, bad(), "hold")).await;
    client.ended(&first).await;
    let second = accept(client, update(&id, city("second"), "hold")).await;
    let third = accept(client, update(&id, city("third"), "hold")).await;
    held(client, &third).await;
    let cancelled = steer(client, &second, "cancel", "").await;
    assert_eq!(cancelled["metadata"]["state"], "cancelled");
    assert_eq!(cancelled["metadata"].get("holdsRecord"), None);
    steer(client, &first, "release", "").await;
    assert_eq!(client.ended(&third).await["status"], "success");
    assert_eq!(cities(&service.sandbox), ["third"]);
}
