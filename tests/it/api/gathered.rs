//! Single writes that the service gathers: what the app is told, and what reaches the provider.

use std::collections::{HashMap, HashSet};

use amp_write::sandbox::{EchoRule, FaultKind, FaultSpec};
use amp_write::settings::TuningArgs;
use serde_json::{Value, json};

use crate::harness::client::Answer;
use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Client, Database, Kind, Service, on_both_stores};
use crate::processes::{create_project, created, serve};

on_both_stores!(
    a_hundred_writes_are_one_call_and_each_has_its_own_record,
    what_is_gathered_is_shown_and_sent_when_its_time_comes,
    writes_that_come_at_once_fill_operations_and_none_is_lost_or_doubled,
    what_differs_in_what_matters_is_not_gathered_together,
    a_record_that_cannot_be_written_is_refused_and_not_gathered,
    a_repeated_request_is_told_the_same_place,
    a_cancelled_operation_takes_its_records_with_it_and_can_be_replayed,
    writes_to_one_record_arrive_in_the_order_they_were_accepted,
    a_provider_without_batches_gets_the_gathered_records_one_by_one,
    one_bad_record_does_not_keep_the_others_from_being_written,
    a_preview_shows_the_record_alone_and_gathers_nothing,
    an_operation_counts_once_in_the_limits_however_much_it_gathers,
    what_was_gathered_survives_a_kill_and_is_gathered_on,
);

fn gathered(kind: &str, record: Value) -> Value {
    json!({
        "groupRef": GROUP, "type": kind, "mode": "asynchronous",
        "autoBatchPolicy": {"maxDelayMinutes": 5}, "record": record,
    })
}

fn contact(n: usize) -> Value {
    json!({"email": format!("c{n}@example.com"), "firstname": format!("c{n}")})
}

/// What the app is told: the operation, and the record's place in it.
fn place(answer: Answer) -> (String, usize) {
    let answer = answer.expect(200);
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "only operationId: {body}");
    let operation = body["operationId"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("amp-operation-id"), operation);
    (
        operation,
        answer.header("amp-batch-index").parse().expect("a number"),
    )
}

async fn write(service: &Service, object: &str, body: Value) -> (String, usize) {
    place(service.client.write("hs", object, body).await)
}

/// Sends creates of contacts at once; answers what each was told.
async fn contacts_at_once(client: &Client, numbers: std::ops::Range<usize>) -> Vec<(String, usize)> {
    let writes = numbers.map(|n| {
        let client = client.clone();
        async move {
            place(
                client
                    .write("hs", "contacts", gathered("create", contact(n)))
                    .await,
            )
        }
    });
    futures_util::future::join_all(writes).await
}

/// The email of each contact that the sandbox made, by its id.
fn made(service: &Service) -> HashMap<String, String> {
    let mut made = HashMap::new();
    for entry in service.sandbox.ledger() {
        let body: Value = serde_json::from_str(&entry.body).unwrap_or_default();
        let inputs = body["inputs"].as_array().cloned().unwrap_or_default();
        let ids: Vec<&str> = entry.changes.iter().map(|change| change.id.as_str()).collect();
        if ids.is_empty() {
            continue;
        }
        assert_eq!(ids.len(), inputs.len(), "{entry:?}");
        for (id, input) in ids.iter().zip(inputs) {
            let email = input["properties"]["email"].as_str().unwrap().to_owned();
            assert!(made.insert((*id).to_owned(), email).is_none(), "made twice");
        }
    }
    made
}

fn states(operation: &Value) -> Vec<&str> {
    let records = operation["metadata"]["records"].as_array().expect("records");
    records
        .iter()
        .map(|record| record["state"].as_str().unwrap())
        .collect()
}

async fn a_hundred_writes_are_one_call_and_each_has_its_own_record(kind: Kind) {
    let service = Service::start(kind).await;
    let told = contacts_at_once(&service.client, 0..100).await;
    let operations: HashSet<&String> = told.iter().map(|(operation, _)| operation).collect();
    assert_eq!(operations.len(), 1);
    let done = service.client.ended(&told[0].0).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(states(&done), ["succeeded"; 100]);
    assert_eq!(service.reached().len(), 1, "one call");
    let made = made(&service);
    for (n, (_, index)) in told.iter().enumerate() {
        let id = done["metadata"]["records"][*index]["recordId"].as_str().unwrap();
        assert_eq!(made[id], format!("c{n}@example.com"), "its place is its record's");
    }
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
}

async fn what_is_gathered_is_shown_and_sent_when_its_time_comes(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let mut named = gathered("create", contact(1));
    named["clientRef"] = json!("second");
    named["record"]["nonsense"] = json!(1);
    let (operation, first) = write(&service, "contacts", gathered("create", contact(0))).await;
    assert_eq!(write(&service, "contacts", named).await, (operation.clone(), 1));
    assert_eq!(first, 0);
    let open = client
        .get(&format!("/operations/{operation}"))
        .await
        .expect(200)
        .json();
    assert_eq!(open["status"], "in_progress");
    let meta = &open["metadata"];
    assert_eq!(
        (&meta["state"], &meta["waitingOn"]),
        (&json!("accumulating"), &json!("batch_window"))
    );
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let wait = time(&meta["nextAttemptTime"]).duration_since(time(&open["createTime"]));
    assert_eq!(wait.as_secs(), 300);
    assert_eq!(
        meta["records"],
        json!([{"index": 0, "state": "accumulating"},
               {"index": 1, "clientRef": "second", "state": "accumulating"}])
    );
    assert_eq!(meta["trace"][2]["record"], 1, "{meta}");
    for list in ["", "?state=queued", "?status=in_progress"] {
        let list = client.get(&format!("/operations{list}")).await.expect(200).json();
        assert_eq!(list["results"].as_array().unwrap().len(), 1);
        assert_eq!(list["results"][0]["id"], operation);
    }
    let logs = client
        .get(&format!("/operations/{operation}/logs"))
        .await
        .expect(200);
    assert!(logs.body.contains("waiting for: batch window"), "{}", logs.body);
    assert!(service.reached().is_empty(), "nothing is sent yet");
    service.database.make_due(&operation).await;
    let done = client.ended(&operation).await;
    assert_eq!(states(&done), ["succeeded", "failed"], "{done}");
    assert_eq!(done["metadata"]["records"][1]["clientRef"], "second");
    assert!(service.reached()[0].1.ends_with("/batch/create"));
    // What comes now is gathered anew.
    assert_ne!(
        write(&service, "contacts", gathered("create", contact(2)))
            .await
            .0,
        operation
    );
}

async fn writes_that_come_at_once_fill_operations_and_none_is_lost_or_doubled(kind: Kind) {
    let service = Service::start(kind).await;
    let told = contacts_at_once(&service.client, 0..250).await;
    let mut places: HashMap<&String, Vec<(usize, usize)>> = HashMap::new();
    for (n, (operation, index)) in told.iter().enumerate() {
        places.entry(operation).or_default().push((*index, n));
    }
    let mut sizes: Vec<usize> = places.values().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    for (operation, told) in &places {
        if told.len() == 50 {
            service.database.make_due(operation).await;
        }
    }
    let mut records = HashMap::new();
    for (operation, mut told) in places {
        let done = service.client.ended(operation).await;
        assert_eq!(states(&done), vec!["succeeded"; told.len()]);
        told.sort_unstable();
        for (wanted, (index, n)) in told.into_iter().enumerate() {
            assert_eq!(index, wanted, "each place once");
            let id = done["metadata"]["records"][index]["recordId"].as_str().unwrap();
            records.insert(id.to_owned(), format!("c{n}@example.com"));
        }
    }
    assert_eq!(records.len(), 250);
    assert_eq!(records, made(&service));
    assert_eq!(service.reached().len(), 3);
}

async fn what_differs_in_what_matters_is_not_gathered_together(kind: Kind) {
    let service = Service::start(kind).await;
    let base = gathered("create", contact(0));
    let mut unknown = base.clone();
    unknown["onUnknown"] = json!("retry");
    let mut deadline = base.clone();
    deadline["autoBatchPolicy"]["retryDeadlineHours"] = json!(2);
    let update = gathered("update", json!({"id": "7", "firstname": "x"}));
    let mut operations = HashSet::new();
    for body in [&base, &unknown, &deadline, &update] {
        let (operation, index) = write(&service, "contacts", body.clone()).await;
        assert_eq!(index, 0, "{body}");
        operations.insert(operation);
    }
    let company = gathered("create", json!({"name": "A"}));
    operations.insert(write(&service, "companies", company).await.0);
    assert_eq!(operations.len(), 5);
    // The delay and the app's own name for the record make no difference, nor does a policy that is ignored.
    let mut same = base;
    same["clientRef"] = json!("n");
    same["autoBatchPolicy"]["maxDelayMinutes"] = json!(7);
    same["retryPolicy"] = json!({"deadlineHours": 9});
    assert_eq!(write(&service, "contacts", same).await.1, 1);
}

async fn a_record_that_cannot_be_written_is_refused_and_not_gathered(kind: Kind) {
    let service = Service::start(kind).await;
    let no_id = gathered("update", json!({"name": "x"}));
    let problem = service.client.write("hs", "companies", no_id).await.problem(400);
    assert_eq!(problem["issues"][0]["name"], "record.id");
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
}

async fn a_repeated_request_is_told_the_same_place(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let send = async |n: usize, key: &str| {
        let request = client
            .request(
                http::Method::POST,
                &client.path("/integrations/hs/objects/contacts"),
            )
            .header("idempotency-key", key);
        client
            .send(request.body(gathered("create", contact(n)).to_string()))
            .await
    };
    let first = place(send(0, "k0").await);
    let second = place(send(1, "k1").await);
    assert_eq!(second, (first.0.clone(), 1));
    let again = send(1, "k1").await;
    assert_eq!(again.header("amp-replayed"), "true");
    assert_eq!(place(again), second);
    send(2, "k1").await.problem(422);
    service.database.make_due(&first.0).await;
    let done = client.ended(&first.0).await;
    assert_eq!(states(&done), ["succeeded"; 2]);
    assert_eq!(place(send(1, "k1").await), second, "also when it has ended");
    assert_eq!(service.created(), 2);
}

async fn a_cancelled_operation_takes_its_records_with_it_and_can_be_replayed(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let told = contacts_at_once(client, 0..3).await;
    let operation = &told[0].0;
    let path = format!("/operations/{operation}");
    let cancelled = client
        .post(&format!("{path}:cancel"), "")
        .await
        .expect(200)
        .json();
    assert_eq!(cancelled["metadata"]["state"], "cancelled");
    let shown = client.get(&path).await.expect(200).json();
    assert_eq!(states(&shown), ["cancelled"; 3]);
    assert!(service.reached().is_empty());
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
    let again = client
        .post(&format!("{path}:replay"), "{}")
        .await
        .expect(200)
        .json();
    let (next, index) = write(&service, "contacts", gathered("create", contact(3))).await;
    assert!(next != *operation && index == 0);
    let done = client.ended(again["operationId"].as_str().unwrap()).await;
    assert_eq!(states(&done), ["succeeded"; 3]);
    assert_eq!(service.created(), 3);
}

async fn writes_to_one_record_arrive_in_the_order_they_were_accepted(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let made = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}});
    let made = client.write("hs", "companies", made).await.expect(200).json();
    let id = made["result"]["recordId"].as_str().unwrap();
    let update = |city: &str| gathered("update", json!({"id": id, "city": city}));
    let first = write(&service, "companies", update("first")).await;
    let second = write(&service, "companies", update("second")).await;
    assert_ne!(first.0, second.0, "a record is in an operation once");
    // The first one is due at once, as nothing else can be added to it in order; a write in between closes the second.
    let mut single = update("third");
    single.as_object_mut().unwrap().remove("autoBatchPolicy");
    let single = client.write("hs", "companies", single).await.expect(200).json();
    let last = write(&service, "companies", update("fourth")).await;
    service.database.make_due(&last.0).await;
    for operation in [
        &first.0,
        &second.0,
        single["operationId"].as_str().unwrap(),
        &last.0,
    ] {
        let done = client.ended(operation).await;
        assert_eq!(done["status"], "success", "{done}");
    }
    let words = ["first", "second", "third", "fourth"];
    let written: Vec<&str> = service
        .reached()
        .iter()
        .filter_map(|(.., body)| words.into_iter().find(|word| body.contains(word)))
        .collect();
    assert_eq!(written, words);
}

async fn a_provider_without_batches_gets_the_gathered_records_one_by_one(kind: Kind) {
    let sandbox = start_sandbox().await;
    let mut tuning = tuning(&sandbox);
    tuning
        .provider_urls
        .push(("pipedrive".to_owned(), sandbox.echo_url()));
    let service = Service::with(kind, sandbox, tuning).await;
    service
        .deploy(
            "specVersion: 1.0.0\nintegrations:\n  - name: hs\n    provider: pipedrive\n    write: {objects: [{objectName: persons}]}\n",
        )
        .await;
    service.connect(GROUP, "pipedrive", "test-acme").await;
    let config =
        json!({"provider": "pipedrive", "write": {"objects": {"persons": {"objectName": "persons"}}}});
    service.install("hs", GROUP, config).await;
    service.sandbox.script_echo((1..=2).map(|id| EchoRule {
        status: Some(201),
        body: Some(json!({"success": true, "data": {"id": id}})),
        times: Some(1),
        ..EchoRule::default()
    }));
    let mut operation = String::new();
    for n in 0..2 {
        operation = write(
            &service,
            "persons",
            gathered("create", json!({"name": format!("P{n}")})),
        )
        .await
        .0;
    }
    service.database.make_due(&operation).await;
    let done = service.client.ended(&operation).await;
    assert_eq!(states(&done), ["succeeded"; 2], "{done}");
    assert_eq!(done["metadata"]["successfulRecordIds"], json!(["1", "2"]));
    assert_eq!(service.reached().len(), 2);
}

async fn one_bad_record_does_not_keep_the_others_from_being_written(kind: Kind) {
    let service = Service::start(kind).await;
    let reset = FaultSpec::new(FaultKind::DropAfterCommit).action("create").once();
    service.sandbox.fault(reset).expect("a good fault");
    let mut operation = String::new();
    for record in [contact(0), json!({"no_such": 1}), contact(2)] {
        operation = write(&service, "contacts", gathered("create", record)).await.0;
    }
    service.database.make_due(&operation).await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["metadata"]["records"][0]["state"], "succeeded", "{done}");
    assert_eq!(done["metadata"]["records"][2]["state"], "succeeded", "{done}");
    assert_eq!(service.created(), 2, "no answer, and not doubled");
}

async fn a_preview_shows_the_record_alone_and_gathers_nothing(kind: Kind) {
    let service = Service::start(kind).await;
    let path = "/integrations/hs/objects/contacts?preview=true";
    let preview = service
        .client
        .post(path, gathered("create", contact(0)))
        .await
        .expect(200)
        .json();
    let write = preview["requests"].as_array().unwrap().last().unwrap();
    assert!(
        write["url"]
            .as_str()
            .unwrap()
            .ends_with("/crm/v3/objects/contacts"),
        "{write}"
    );
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
}

async fn an_operation_counts_once_in_the_limits_however_much_it_gathers(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        queue_limit_installation: 2,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    let (operation, _) = write(&service, "contacts", gathered("create", contact(0))).await;
    for n in 1..4 {
        assert_eq!(
            write(&service, "contacts", gathered("create", contact(n))).await,
            (operation.clone(), n)
        );
    }
    let company = gathered("create", json!({"name": "A"}));
    let (other, _) = write(&service, "companies", company.clone()).await;
    service
        .client
        .write("hs", "companies", company)
        .await
        .problem(429);
    for operation in [&operation, &other] {
        service.database.make_due(operation).await;
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
}

async fn what_was_gathered_survives_a_kill_and_is_gathered_on(kind: Kind) {
    let (database, sandbox) = (Database::create(kind).await, start_sandbox().await);
    let key = create_project(&database);
    let served = serve(&database, &sandbox, &key).ready().await;
    served.set_up().await;
    let mut told = contacts_at_once(&served.client, 0..30).await;
    served.process.kill();
    let served = serve(&database, &sandbox, &key).ready().await;
    told.extend(contacts_at_once(&served.client, 30..50).await);
    let operation = told[0].0.clone();
    let places: HashSet<(String, usize)> = told.into_iter().collect();
    let wanted: HashSet<(String, usize)> = (0..50).map(|index| (operation.clone(), index)).collect();
    assert_eq!(places, wanted);
    database.make_due(&operation).await;
    let done = served.client.ended(&operation).await;
    assert_eq!(states(&done), ["succeeded"; 50]);
    assert_eq!((created(&sandbox), sandbox.ledger().len()), (50, 1));
}
