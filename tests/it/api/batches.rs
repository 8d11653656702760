//! Several records in one request: what reaches the provider, and what each record is told.

use amp_write::sandbox::{FaultKind, FaultSpec};
use serde_json::{Value, json};

use crate::harness::service::{GROUP, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_batch_is_one_call_and_each_record_gets_its_own_id,
    the_documented_batches_reach_hubspot_as_they_should,
    some_fail_and_some_succeed,
    a_batch_of_which_nothing_was_written_is_422,
    all_or_none_takes_everything_back_at_salesforce_and_at_hubspot,
    a_provider_without_batches_gets_the_records_one_by_one,
    what_is_wrong_with_a_batch_is_said_with_its_place_and_nothing_is_sent,
    a_batch_that_the_provider_does_not_take_is_answered_like_a_single_write,
    an_asynchronous_batch_ends_with_every_record,
    a_batch_is_halved_until_the_bad_record_is_found,
    if_empty_reads_all_records_at_once_and_protects_each,
    when_the_read_before_it_fails_nothing_is_overwritten,
    a_batch_with_a_key_is_performed_once,
    a_batch_without_an_answer_is_looked_up_record_by_record_and_not_doubled,
    records_that_nobody_can_look_up_need_review_and_can_be_resolved,
    a_locked_record_is_tried_again_without_the_others,
    a_replay_repeats_only_what_was_not_written,
    a_batch_keeps_its_place_in_the_order_of_each_record,
    a_batch_waits_only_for_the_records_that_wait,
    a_preview_of_a_batch_is_what_reaches_the_provider,
    a_rate_limit_in_the_middle_leaves_nothing_out,
    a_batch_is_cancelled_whole_before_it_was_sent,
    dead_credentials_are_noted_also_when_a_batch_came_through_in_part,
);

fn batch(kind: &str, records: impl IntoIterator<Item = Value>) -> Value {
    let items: Vec<Value> = records
        .into_iter()
        .map(|record| json!({ "record": record }))
        .collect();
    json!({"groupRef": GROUP, "type": kind, "batch": items})
}

fn asynchronous(mut body: Value) -> Value {
    body["mode"] = json!("asynchronous");
    body
}

fn contact(name: &str) -> Value {
    json!({"email": format!("{name}@example.com"), "firstname": name})
}

async fn accept(service: &Service, integration: &str, object: &str, body: Value) -> String {
    let answer = service
        .client
        .write(integration, object, asynchronous(body))
        .await
        .expect(200);
    assert_eq!(answer.json().as_object().unwrap().len(), 1, "only operationId");
    answer.json()["operationId"].as_str().expect("an id").to_owned()
}

/// Companies that are there, by their ids.
async fn companies(service: &Service, count: usize) -> Vec<String> {
    let records = (0..count).map(|n| json!({"name": format!("Company {n}")}));
    let made = service
        .client
        .write("hs", "companies", batch("create", records))
        .await
        .expect(200)
        .json();
    let ids = made["results"].as_array().unwrap().iter();
    ids.map(|result| result["recordId"].as_str().unwrap().to_owned())
        .collect()
}

fn states(operation: &Value) -> Vec<&str> {
    let records = operation["metadata"]["records"].as_array().expect("records");
    records
        .iter()
        .map(|record| record["state"].as_str().expect("a state"))
        .collect()
}

fn fault(service: &Service, spec: FaultSpec) {
    service.sandbox.fault(spec).expect("a good fault");
}

async fn a_batch_is_one_call_and_each_record_gets_its_own_id(kind: Kind) {
    let service = Service::start(kind).await;
    fault(&service, FaultSpec::new(FaultKind::ShuffleResults));
    fault(&service, FaultSpec::new(FaultKind::DropTraceIds));
    let names: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    let body = batch("create", names.iter().map(|name| contact(name)));
    let answer = service.client.write("hs", "contacts", body).await.expect(200);
    let operation_id = answer.header("amp-operation-id").to_owned();
    let answer = answer.json();
    let keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["operationId", "results", "successCount", "failureCount"]);
    assert_eq!(
        (&answer["successCount"], &answer["failureCount"]),
        (&json!(100), &json!(0))
    );
    assert_eq!(service.reached().len(), 1);
    for (name, result) in names.iter().zip(answer["results"].as_array().unwrap()) {
        assert_eq!(result["success"], true);
        let path = format!(
            "/hubspot/crm/v3/objects/contacts/{}",
            result["recordId"].as_str().unwrap()
        );
        let record = service
            .client
            .http
            .get(format!("{}{path}", service.sandbox.url()));
        let record = service
            .client
            .send(record.header("authorization", "Bearer test-acme"))
            .await
            .expect(200)
            .json();
        assert_eq!(
            record["properties"]["email"],
            format!("{name}@example.com"),
            "its own id"
        );
    }
    let operation = service.client.ended(&operation_id).await;
    assert_eq!(operation["status"], "success");
    assert_eq!(
        operation["result"],
        "[contacts] Batch write completed (100 succeeded, 0 failed)"
    );
    assert_eq!(states(&operation), vec!["succeeded"; 100]);
    let ids: Vec<&Value> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["recordId"])
        .collect();
    assert_eq!(operation["metadata"]["successfulRecordIds"], json!(ids));
    assert_eq!(operation["metadata"]["attempts"].as_array().unwrap().len(), 1);
    // The trace names each record, and the request is the one that reached the provider.
    assert_eq!(operation["metadata"]["trace"].as_array().unwrap().len(), 200);
    assert_eq!(operation["metadata"]["trace"][3]["record"], 1);
    assert_eq!(
        operation["metadata"]["request"]["body"],
        service.reached()[0].2.as_str()
    );
}

macro_rules! example {
    ($name:literal) => {{
        let file: Value =
            serde_json::from_str(include_str!(concat!("../../data/examples/", $name, ".json"))).unwrap();
        let mut body = file["body"].clone();
        body["groupRef"] = json!(GROUP);
        body
    }};
}

/// The inputs of the last call, without the ids that name them within it.
fn inputs(service: &Service) -> (String, Vec<Value>) {
    let (_, path, body) = service.reached().pop().expect("a call");
    let mut body: Value = serde_json::from_str(&body).unwrap();
    let mut inputs = body["inputs"].take().as_array().expect("inputs").clone();
    for input in &mut inputs {
        assert!(input["objectWriteTraceId"].is_string());
        input.as_object_mut().unwrap().remove("objectWriteTraceId");
    }
    (path, inputs)
}

async fn the_documented_batches_reach_hubspot_as_they_should(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    client
        .write("hs", "contacts", example!("batch-create"))
        .await
        .expect(200);
    let (path, made) = inputs(&service);
    assert_eq!(path, "/crm/objects/2026-03/contacts/batch/create");
    let harry = json!({"firstname": "Harry", "lastname": "Potter", "email": "harry@hogwarts.com"});
    assert_eq!(made[0], json!({ "properties": harry }));
    assert_eq!(made.len(), 2);

    // The documentation's ids are nobody's here.
    let answer = client
        .write("hs", "contacts", example!("batch-update"))
        .await
        .expect(422);
    let (path, changed) = inputs(&service);
    assert_eq!(path, "/crm/objects/2026-03/contacts/batch/update");
    let wanted =
        json!({"id": "20scv09wer3klj", "properties": {"firstname": "Harry", "lastname": "Potter-Weasley"}});
    assert_eq!(changed[0], wanted);
    let answer = answer.json();
    assert_eq!(
        (&answer["successCount"], &answer["failureCount"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(answer["errors"].as_array().unwrap().len(), 2);

    let service = Service::start(kind).await;
    let mut body = example!("batch-write-with-associations");
    let companies = companies(&service, 2).await;
    for (item, id) in body["batch"].as_array_mut().unwrap().iter_mut().zip(&companies) {
        item["associations"][0]["to"]["id"] = json!(id);
    }
    service.client.write("hs", "contacts", &body).await.expect(200);
    let (_, made) = inputs(&service);
    assert_eq!(made[1]["associations"], body["batch"][1]["associations"]);
    let changes = service.sandbox.ledger().pop().unwrap().changes;
    let linked = changes
        .iter()
        .filter(|change| change.kind == amp_write::sandbox::ChangeKind::Associated);
    assert!(linked.count() >= 2, "{changes:?}");
}

async fn some_fail_and_some_succeed(kind: Kind) {
    let service = Service::start(kind).await;
    service
        .client
        .write("hs", "contacts", batch("create", [contact("taken")]))
        .await
        .expect(200);
    let records = [
        contact("a"),
        contact("taken"),
        json!({"no_such_property": 1}),
        contact("b"),
    ];
    let answer = service
        .client
        .write("hs", "contacts", batch("create", records))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&answer["successCount"], &answer["failureCount"]),
        (&json!(2), &json!(2))
    );
    let told: Vec<bool> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["success"].as_bool().unwrap())
        .collect();
    assert_eq!(told, [true, false, false, true]);
    assert!(answer["results"][1].get("recordId").is_none());
    let errors: Vec<&str> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["message"].as_str().unwrap())
        .collect();
    assert_eq!(errors.len(), 2);
    assert!(
        errors[0].starts_with("batch[1]: error writing contacts: conflict: "),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("batch[2]: error writing contacts: bad request: "),
        "{errors:?}"
    );

    // At Salesforce, too; there the results come in the order of the records.
    let records = [json!({"Name": "A"}), json!({"Nam": "B"}), json!({"Name": "C"})];
    let answer = service
        .client
        .write("sf", "account", batch("create", records))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&answer["successCount"], &answer["failureCount"]),
        (&json!(2), &json!(1))
    );
    assert!(
        answer["errors"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("batch[1]: error writing account: bad request: "),
        "{answer}"
    );
    let operation = service
        .client
        .ended(answer["operationId"].as_str().unwrap())
        .await;
    assert_eq!(operation["status"], "success");
    assert_eq!(states(&operation), ["succeeded", "failed", "succeeded"]);
}

async fn a_batch_of_which_nothing_was_written_is_422(kind: Kind) {
    let service = Service::start(kind).await;
    let records = [json!({"Nam": "A"}), json!({"Nam": "B"})];
    let answer = service
        .client
        .write("sf", "account", batch("create", records))
        .await
        .expect(422);
    assert_eq!(answer.header("content-type"), "application/json");
    let answer = answer.json();
    assert_eq!(
        (&answer["successCount"], &answer["failureCount"]),
        (&json!(0), &json!(2))
    );
    let operation = service
        .client
        .ended(answer["operationId"].as_str().unwrap())
        .await;
    assert_eq!(operation["status"], "failure");
    assert_eq!(
        operation["result"],
        "[account] Batch write completed (0 succeeded, 2 failed)"
    );
}

async fn all_or_none_takes_everything_back_at_salesforce_and_at_hubspot(kind: Kind) {
    let service = Service::start(kind).await;
    for (integration, object, good, bad) in [
        ("sf", "account", json!({"Name": "A"}), json!({"Nam": "B"})),
        ("hs", "companies", json!({"name": "A"}), json!({"nam": "B"})),
    ] {
        let mut body = batch("create", [good, bad]);
        body["batchPolicy"] = json!({"allOrNone": true});
        let before = service.created();
        let answer = service
            .client
            .write(integration, object, body)
            .await
            .expect(422)
            .json();
        assert_eq!(answer["failureCount"], 2, "{answer}");
        assert_eq!(service.created(), before, "nothing stays");
    }
}

async fn a_provider_without_batches_gets_the_records_one_by_one(kind: Kind) {
    let sandbox = start_sandbox().await;
    let mut tuning = tuning(&sandbox);
    tuning
        .provider_urls
        .push(("pipedrive".to_owned(), sandbox.echo_url()));
    let service = Service::with(kind, sandbox, tuning).await;
    service
        .deploy(
            "specVersion: 1.0.0\nintegrations:\n  - name: pd\n    provider: pipedrive\n    write: {objects: [{objectName: persons}]}\n",
        )
        .await;
    service.connect(GROUP, "pipedrive", "test-acme").await;
    service
        .install(
            "pd",
            GROUP,
            json!({"provider": "pipedrive", "write": {"objects": {"persons": {"objectName": "persons"}}}}),
        )
        .await;
    service
        .sandbox
        .script_echo((1..=3).map(|id| amp_write::sandbox::EchoRule {
            status: Some(201),
            body: Some(json!({"success": true, "data": {"id": id}})),
            times: Some(1),
            ..amp_write::sandbox::EchoRule::default()
        }));
    let records = (1..=3).map(|n| json!({"name": format!("P{n}")}));
    let body = batch("create", records);
    let answer = service
        .client
        .write("pd", "persons", &body)
        .await
        .expect(200)
        .json();
    let ids: Vec<&str> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["recordId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(service.reached().len(), 3);
    // What cannot be kept is not promised.
    let mut atomic = body;
    atomic["batchPolicy"] = json!({"allOrNone": true});
    let problem = service.client.write("pd", "persons", atomic).await.problem(400);
    assert_eq!(problem["issues"][0]["name"], "batchPolicy.allOrNone");
    assert_eq!(service.reached().len(), 3);
}

async fn what_is_wrong_with_a_batch_is_said_with_its_place_and_nothing_is_sent(kind: Kind) {
    let service = Service::start(kind).await;
    let too_many = batch("create", (0..101).map(|n| contact(&n.to_string())));
    let twice = batch("update", [json!({"id": "7"}), json!({"id": 7, "name": "x"})]);
    let no_id = batch("update", [json!({"id": "7", "name": "x"}), json!({"name": "y"})]);
    let mut named = batch("create", [contact("a"), contact("b")]);
    named["batch"][0]["clientRef"] = json!("n");
    named["batch"][1]["clientRef"] = json!("n");
    let mut links = batch("update", [json!({"id": "7", "name": "x"})]);
    links["batch"][0]["associations"] = json!([{"to": {"id": "1"}, "types": []}]);
    let mut beside = batch("create", [contact("a")]);
    beside["associations"] = json!([{"to": {"id": "1"}, "types": []}]);
    let mut headers = batch("create", [contact("a")]);
    headers["headers"] = json!([{"key": "X-A", "value": "1"}]);
    for (body, name) in [
        (too_many, "batch"),
        (batch("create", []), "batch"),
        (batch("delete", [json!({"id": "7"})]), "batch"),
        (twice, "batch[1].record.id"),
        (no_id, "batch[1].record.id"),
        (named, "batch[1].clientRef"),
        (links, "associations"),
        (beside, "associations"),
        (headers, "headers"),
        (
            json!({"groupRef": GROUP, "type": "create", "batch": [{}]}),
            "batch[0].record",
        ),
        (
            json!({"groupRef": GROUP, "type": "create", "batch": [{"record": 7}]}),
            "batch[0].record",
        ),
        (
            json!({"groupRef": GROUP, "type": "create", "batch": [7]}),
            "batch[0]",
        ),
    ] {
        let problem = service.client.write("hs", "companies", &body).await.problem(400);
        let names: Vec<&str> = problem["issues"]
            .as_array()
            .unwrap_or_else(|| panic!("{problem}"))
            .iter()
            .map(|issue| issue["name"].as_str().unwrap())
            .collect();
        assert!(names.contains(&name), "{name}: {problem}");
    }
    // A key twice would lose a value.
    let body = format!(
        r#"{{"groupRef":"{GROUP}","type":"create","batch":[{{"record":{{}}}},{{"record":{{"a":1,"a":2}}}}]}}"#
    );
    let problem = service.client.write("hs", "companies", body).await.problem(400);
    assert_eq!(problem["issues"][0]["name"], "batch[1].record.a");
    assert!(service.reached().is_empty());
    let list = service.client.get("/operations").await.expect(200).json();
    assert_eq!(list["results"], json!([]), "nothing is stored");
}

async fn a_batch_that_the_provider_does_not_take_is_answered_like_a_single_write(kind: Kind) {
    let service = Service::start(kind).await;
    let records = || [json!({"name": "A"}), json!({"name": "B"})];
    let limit = FaultSpec {
        policy: Some("TEN_SECONDLY_ROLLING".to_owned()),
        ..FaultSpec::new(FaultKind::RateLimit).once()
    };
    fault(&service, limit);
    let answer = service
        .client
        .write("hs", "companies", batch("create", records()))
        .await;
    assert_eq!(answer.header("retry-after"), "10");
    answer.problem(429);
    fault(&service, FaultSpec::new(FaultKind::ServerError).once());
    let problem = service
        .client
        .write("hs", "companies", batch("create", records()))
        .await
        .problem(502);
    assert_eq!(problem["retryable"], false, "some of it may have been made");
    let operation = problem["context"]["operationId"].as_str().unwrap();
    let operation = service.client.ended(operation).await;
    assert_eq!(operation["metadata"]["state"], "needs_review");
    assert_eq!(states(&operation), ["needs_review", "needs_review"]);
    fault(&service, FaultSpec::new(FaultKind::RevokeGrant).once());
    service
        .client
        .write("hs", "companies", batch("create", records()))
        .await
        .problem(424);
}

async fn an_asynchronous_batch_ends_with_every_record(kind: Kind) {
    let service = Service::start(kind).await;
    let mut body = batch("create", [contact("a"), json!({"no_such": 1}), contact("b")]);
    body["batch"][2]["clientRef"] = json!("third");
    let operation = accept(&service, "hs", "contacts", body).await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(states(&done), ["succeeded", "failed", "succeeded"]);
    assert_eq!(done["metadata"]["records"][2]["clientRef"], "third");
    assert!(done["metadata"]["records"][2]["recordId"].is_string());
    assert_eq!(service.reached().len(), 1);
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
    let list = service.client.get("/operations").await.expect(200).json();
    assert_eq!(
        list["results"][0]["metadata"]["successfulRecordIds"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

async fn a_batch_is_halved_until_the_bad_record_is_found(kind: Kind) {
    let service = Service::start(kind).await;
    let ids = companies(&service, 8).await;
    // As HubSpot does it for a property that it does not know: nothing of the batch is taken.
    let refusal = FaultSpec {
        status: Some(400),
        code: Some("VALIDATION_ERROR".to_owned()),
        message: Some("Property values were not valid".to_owned()),
        when: amp_write::sandbox::Matcher {
            body: Some("poison".to_owned()),
            ..amp_write::sandbox::Matcher::default()
        },
        ..FaultSpec::new(FaultKind::Error)
    };
    fault(&service, refusal);
    let records = || {
        ids.iter().enumerate().map(|(n, id)| {
            match n {
                // Nothing to write: it is done without being sent, and does not hide what became of the others.
                2 => json!({ "id": id }),
                5 => json!({"id": id, "city": "poison"}),
                n => json!({"id": id, "city": format!("City {n}")}),
            }
        })
    };
    let answer = service
        .client
        .write("hs", "companies", batch("update", records()))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&answer["successCount"], &answer["failureCount"]),
        (&json!(7), &json!(1))
    );
    assert!(
        answer["errors"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("batch[5]: ")
    );
    let operation = accept(&service, "hs", "companies", batch("update", records())).await;
    let done = service.client.ended(&operation).await;
    let expected: Vec<&str> = (0..8)
        .map(|n| if n == 5 { "failed" } else { "succeeded" })
        .collect();
    assert_eq!(states(&done), expected);
    assert_eq!(
        done["metadata"]["retry"]["attempts"], 1,
        "halving spends no attempts"
    );
}

const PROTECTED: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    write: {objects: [{objectName: companies}]}
  - name: sf
    provider: salesforce
    write: {objects: [{objectName: account}]}
";

async fn protected(kind: Kind) -> Service {
    let service = Service::empty(kind).await;
    service.deploy(PROTECTED).await;
    for (integration, provider, object, field) in [
        ("hs", "hubspot", "companies", "city"),
        ("sf", "salesforce", "account", "Site"),
    ] {
        service.connect(GROUP, provider, "test-acme").await;
        let settings = json!({ field: {"writeOnUpdate": "ifEmpty"} });
        service
            .install(
                integration,
                GROUP,
                json!({"provider": provider, "write": {"objects": {object: {"objectName": object, "selectedFieldSettings": settings}}}}),
            )
            .await;
    }
    service
}

async fn if_empty_reads_all_records_at_once_and_protects_each(kind: Kind) {
    let service = protected(kind).await;
    let client = &service.client;
    for (integration, object, name, field) in [
        ("hs", "companies", "name", "city"),
        ("sf", "account", "Name", "Site"),
    ] {
        let records = (0..3).map(|n| match n {
            1 => json!({ name: format!("C{n}"), field: "theirs" }),
            _ => json!({ name: format!("C{n}") }),
        });
        let made = client
            .write(integration, object, batch("create", records))
            .await
            .expect(200)
            .json();
        let ids: Vec<String> = made["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["recordId"].as_str().unwrap().to_owned())
            .collect();
        let before = service.reached().len();
        let mut records: Vec<Value> = ids
            .iter()
            .map(|id| json!({"id": id, name: "New", field: "ours"}))
            .collect();
        // Nothing else to write: the second record is not sent at all.
        records[1] = json!({"id": ids[1], field: "ours"});
        let answer = client
            .write(integration, object, batch("update", records.clone()))
            .await
            .expect(200);
        assert_eq!(
            answer.header("amp-warnings"),
            format!("skipped_not_empty: {field}, nothing_sent")
        );
        assert_eq!(answer.json()["successCount"], 3, "{}", answer.body);
        let calls = service.reached();
        assert_eq!(calls.len(), before + 2, "one read, one write: {calls:?}");
        let sent = &calls[before + 1].2;
        assert!(!sent.contains(&ids[1]), "{sent}");
        assert_eq!(sent.matches("ours").count(), 2, "{sent}");
        // The same in the background, where everything is decided at the time of sending.
        let operation = accept(&service, integration, object, batch("update", records)).await;
        let done = client.ended(&operation).await;
        assert_eq!(states(&done), ["succeeded"; 3]);
        let sent = &service.reached().pop().unwrap().2;
        assert!(!sent.contains("ours"), "by now each has a value: {sent}");
        let skipped = done["metadata"]["trace"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["decision"] == "skipped_not_empty");
        assert_eq!(skipped.count(), 3, "{done}");
    }
}

async fn when_the_read_before_it_fails_nothing_is_overwritten(kind: Kind) {
    let service = protected(kind).await;
    let records = (0..2).map(|n| json!({"name": format!("C{n}")}));
    let made = service
        .client
        .write("hs", "companies", batch("create", records))
        .await
        .expect(200)
        .json();
    fault(
        &service,
        FaultSpec::new(FaultKind::ServerError).action("read").once(),
    );
    let records = made["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| json!({"id": result["recordId"], "name": "New", "city": "ours"}));
    let body = batch("update", records);
    let problem = service.client.write("hs", "companies", &body).await.problem(502);
    assert_eq!(problem["retryable"], true, "nothing was written");
    let updates = |service: &Service| {
        let calls = service.reached();
        calls
            .iter()
            .filter(|(_, path, _)| path.ends_with("/batch/update"))
            .count()
    };
    assert_eq!(updates(&service), 0);
    // In the background it is tried again.
    fault(
        &service,
        FaultSpec::new(FaultKind::ServerError).action("read").once(),
    );
    let operation = accept(&service, "hs", "companies", body).await;
    assert_eq!(service.client.ended(&operation).await["status"], "success");
    assert_eq!(updates(&service), 1);
}

async fn keyed(service: &Service, key: &str, body: &Value) -> crate::harness::client::Answer {
    let path = service.client.path("/integrations/hs/objects/companies");
    let request = service
        .client
        .request(http::Method::POST, &path)
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    service.client.send(request.body(body.to_string())).await
}

async fn a_batch_with_a_key_is_performed_once(kind: Kind) {
    let service = Service::start(kind).await;
    let body = batch(
        "create",
        [json!({"name": "A"}), json!({"no_such": 1}), json!({"name": "B"})],
    );
    let first = keyed(&service, "k1", &body).await.expect(200);
    let again = keyed(&service, "k1", &body).await.expect(200);
    assert_eq!(again.header("amp-replayed"), "true");
    assert_eq!(again.json(), first.json());
    assert_eq!(service.created(), 2);
    // What was certainly not applied does not use the key up.
    fault(&service, FaultSpec::new(FaultKind::RateLimit).once());
    keyed(&service, "k2", &body).await.problem(429);
    keyed(&service, "k2", &body).await.expect(200);
    assert_eq!(service.created(), 4);
    // Without an answer the queue finds out; the same key gets what it finds, and nothing is made twice.
    fault(&service, FaultSpec::new(FaultKind::DropAfterCommit).once());
    let problem = keyed(&service, "k3", &body).await.problem(502);
    let operation = problem["context"]["operationId"].as_str().unwrap();
    let done = service.client.ended(operation).await;
    assert_eq!(
        done["metadata"]["state"], "needs_review",
        "companies have no unique field: {done}"
    );
    keyed(&service, "k3", &body).await.problem(502);
    assert_eq!(service.created(), 6);
}

async fn a_batch_without_an_answer_is_looked_up_record_by_record_and_not_doubled(kind: Kind) {
    let service = Service::start(kind).await;
    // The answer is lost after the first record of the commit has made its way.
    fault(
        &service,
        FaultSpec::new(FaultKind::DropAfterCommit).action("create").once(),
    );
    let body = batch("create", (0..5).map(|n| contact(&format!("c{n}"))));
    let operation = accept(&service, "hs", "contacts", body.clone()).await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(states(&done), ["succeeded"; 5]);
    assert_eq!(service.created(), 5, "found, not made again");
    assert_eq!(
        done["metadata"]["successfulRecordIds"].as_array().unwrap().len(),
        5
    );
    // Lost before the commit: made once.
    let service = Service::start(kind).await;
    fault(
        &service,
        FaultSpec::new(FaultKind::DropBeforeCommit)
            .action("create")
            .once(),
    );
    let operation = accept(&service, "hs", "contacts", body).await;
    let done = service.client.ended(&operation).await;
    assert_eq!(states(&done), ["succeeded"; 5]);
    assert_eq!(service.created(), 5);
}

async fn records_that_nobody_can_look_up_need_review_and_can_be_resolved(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    fault(
        &service,
        FaultSpec::new(FaultKind::DropBeforeCommit)
            .action("create")
            .once(),
    );
    let body = batch("create", (0..3).map(|n| json!({"name": format!("C{n}")})));
    let operation = accept(&service, "hs", "companies", body).await;
    let done = client.ended(&operation).await;
    assert_eq!(done["metadata"]["state"], "needs_review");
    assert_eq!(states(&done), ["needs_review"; 3]);
    assert_eq!(
        (service.reached().len(), service.created()),
        (1, 0),
        "never sent again"
    );
    let path = format!("/operations/{operation}:resolve");
    client
        .post(&path, json!({"records": [{"index": 0, "outcome": "failed"}]}))
        .await
        .problem(400);
    client
        .post(&path, json!({"outcome": "succeeded", "recordId": "1"}))
        .await
        .problem(400);
    let records = json!([
        {"index": 0, "outcome": "succeeded", "recordId": "77"},
        {"index": 1, "outcome": "failed"},
        {"index": 2, "outcome": "retry"},
    ]);
    let resolved = client
        .post(&path, json!({ "records": records }))
        .await
        .expect(200)
        .json();
    assert_eq!(states(&resolved), ["succeeded", "failed", "failed"]);
    assert_eq!(resolved["metadata"]["successfulRecordIds"], json!(["77"]));
    let again = resolved["metadata"]["replayedAs"][0].as_str().unwrap();
    let again = client.ended(again).await;
    assert_eq!(states(&again), ["succeeded"], "only the third: {again}");
    assert_eq!(service.created(), 1);
    client
        .post(&path, json!({"outcome": "failed"}))
        .await
        .problem(409);
}

async fn a_locked_record_is_tried_again_without_the_others(kind: Kind) {
    let service = Service::start(kind).await;
    let records = (0..3).map(|n| json!({"Name": format!("A{n}")}));
    let made = service
        .client
        .write("sf", "account", batch("create", records))
        .await
        .expect(200)
        .json();
    let ids: Vec<&str> = made["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["recordId"].as_str().unwrap())
        .collect();
    let lock = FaultSpec {
        record: Some(ids[1].to_owned()),
        ..FaultSpec::new(FaultKind::RowLock).once()
    };
    fault(&service, lock);
    let records = ids.iter().map(|id| json!({"id": id, "Site": "x"}));
    let operation = accept(&service, "sf", "account", batch("update", records)).await;
    let done = service.client.ended(&operation).await;
    assert_eq!(states(&done), ["succeeded"; 3], "{done}");
    let calls = service.reached();
    let last = &calls.last().unwrap().2;
    assert!(
        !last.contains(ids[0]),
        "what has succeeded is not sent again: {calls:?}"
    );
    assert_eq!(done["metadata"]["retry"]["attempts"], 2);
}

async fn a_replay_repeats_only_what_was_not_written(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let partial = FaultSpec {
        items: Some(vec![1]),
        code: Some("VALIDATION_ERROR".to_owned()),
        ..FaultSpec::new(FaultKind::Partial).once()
    };
    fault(&service, partial);
    let body = batch("create", (0..3).map(|n| json!({"name": format!("C{n}")})));
    let answer = client.write("hs", "companies", body).await.expect(200).json();
    assert_eq!(answer["failureCount"], 1, "{answer}");
    let path = format!("/operations/{}:replay", answer["operationId"].as_str().unwrap());
    let again = client.post(&path, "{}").await.expect(200).json();
    let again = client.ended(again["operationId"].as_str().unwrap()).await;
    assert_eq!(states(&again), ["succeeded"]);
    assert_eq!(service.created(), 3);
    assert!(service.reached().pop().unwrap().2.contains("C1"));
}

async fn a_batch_keeps_its_place_in_the_order_of_each_record(kind: Kind) {
    let service = Service::start(kind).await;
    let ids = companies(&service, 3).await;
    // The first write of the first record fails for a while: everything that follows for it has to wait.
    let down = FaultSpec {
        when: amp_write::sandbox::Matcher {
            body: Some("first".to_owned()),
            ..amp_write::sandbox::Matcher::default()
        },
        ..FaultSpec::new(FaultKind::ServerError).times(3)
    };
    fault(&service, down);
    let single =
        |value: &str| json!({"groupRef": GROUP, "type": "update", "record": {"id": ids[0], "city": value}});
    let mut operations = vec![accept(&service, "hs", "companies", single("first")).await];
    let records = ids.iter().map(|id| json!({"id": id, "city": "second"}));
    operations.push(accept(&service, "hs", "companies", batch("update", records)).await);
    operations.push(accept(&service, "hs", "companies", single("third")).await);
    let records = ids.iter().map(|id| json!({"id": id, "city": "fourth"}));
    operations.push(accept(&service, "hs", "companies", batch("update", records)).await);
    for operation in &operations {
        let done = service.client.ended(operation).await;
        assert_eq!(done["status"], "success", "{done}");
    }
    let written: Vec<String> = service
        .sandbox
        .ledger()
        .into_iter()
        .filter(|entry| entry.changes.iter().any(|change| change.id == ids[0]))
        .skip(1)
        .map(|entry| {
            let words = ["first", "second", "third", "fourth"];
            // A call can carry the record only once.
            let of_record = entry.body.split(&ids[0]).nth(1).unwrap_or(&entry.body);
            let found = words.iter().filter(|word| of_record.contains(**word));
            found
                .min_by_key(|word| of_record.find(**word))
                .unwrap()
                .to_string()
        })
        .collect();
    assert_eq!(written, ["first", "second", "third", "fourth"]);
}

async fn a_batch_waits_only_for_the_records_that_wait(kind: Kind) {
    let service = Service::start(kind).await;
    let ids = companies(&service, 2).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).action("update").once())
        .expect("a good fault");
    let single = json!({"groupRef": GROUP, "type": "update", "record": {"id": ids[0], "city": "slow"}});
    let first = accept(&service, "hs", "companies", single).await;
    hold.wait_hits(1).await;
    let records = ids.iter().map(|id| json!({"id": id, "city": "batch"}));
    let second = accept(&service, "hs", "companies", batch("update", records)).await;
    // The other record is written while the first one waits.
    let partly = service
        .client
        .operation_until(&second, |operation| {
            states_or_none(operation)
                .get(1)
                .is_some_and(|state| state == "succeeded")
        })
        .await;
    assert_eq!(partly["status"], "in_progress");
    hold.release();
    assert_eq!(service.client.ended(&first).await["status"], "success");
    let done = service.client.ended(&second).await;
    assert_eq!(states(&done), ["succeeded"; 2]);
    let last = service.reached().pop().unwrap();
    assert!(last.2.contains("batch"), "the batch's write came last: {last:?}");
}

fn states_or_none(operation: &Value) -> Vec<String> {
    let records = operation["metadata"]["records"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    records
        .iter()
        .map(|record| record["state"].as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn a_preview_of_a_batch_is_what_reaches_the_provider(kind: Kind) {
    let service = Service::start(kind).await;
    let mut body = batch(
        "create",
        [json!({"Name": "A", "Nonsense": 1}), json!({"Name": "B"})],
    );
    body["headers"] = json!([{"key": "Sforce-Auto-Assign", "value": "FALSE"}]);
    let path = "/integrations/sf/objects/account?preview=true";
    let preview = service.client.post(path, &body).await.expect(200).json();
    let calls = service.reached();
    assert!(
        calls.iter().all(|(method, ..)| method == "GET"),
        "nothing is written: {calls:?}"
    );
    assert_eq!(preview["verdict"], "send_with_findings");
    let write = preview["requests"].as_array().unwrap().last().unwrap();
    assert_eq!(write["headers"]["authorization"], "Bearer ***");
    assert_eq!(preview["trace"][2]["record"], 1);
    let unknown = &preview["findings"][0];
    assert_eq!(
        (&unknown["record"], &unknown["field"]),
        (&json!(0), &json!("Nonsense"))
    );
    service.client.write("sf", "account", &body).await;
    let sent = service.reached().pop().unwrap();
    assert_eq!(write["method"], sent.0);
    assert!(write["url"].as_str().unwrap().ends_with(&sent.1));
    assert_eq!(write["body"], sent.2);
}

async fn a_rate_limit_in_the_middle_leaves_nothing_out(kind: Kind) {
    let service = Service::start(kind).await;
    let limit = FaultSpec {
        policy: Some("SECONDLY".to_owned()),
        ..FaultSpec::new(FaultKind::RateLimit).once()
    };
    fault(&service, limit);
    let body = batch("create", (0..4).map(|n| json!({"name": format!("C{n}")})));
    let operation = accept(&service, "hs", "companies", body).await;
    let done = service.client.ended(&operation).await;
    assert_eq!(states(&done), ["succeeded"; 4]);
    assert_eq!(service.created(), 4);
    assert_eq!(
        done["metadata"]["retry"]["attempts"], 1,
        "waiting spends no attempts"
    );
}

async fn a_batch_is_cancelled_whole_before_it_was_sent(kind: Kind) {
    let service = Service::start(kind).await;
    let limit = FaultSpec {
        policy: Some("TEN_SECONDLY_ROLLING".to_owned()),
        ..FaultSpec::new(FaultKind::RateLimit).once()
    };
    let ids = companies(&service, 2).await;
    fault(&service, limit);
    let records = || ids.iter().map(|id| json!({"id": id, "city": "x"}));
    let operation = accept(&service, "hs", "companies", batch("update", records())).await;
    service
        .client
        .operation_until(&operation, |operation| {
            operation["metadata"]["waitingOn"] == "rate_limit"
        })
        .await;
    let cancelled = service
        .client
        .post(&format!("/operations/{operation}:cancel"), "")
        .await
        .expect(200)
        .json();
    assert_eq!(cancelled["metadata"]["state"], "cancelled");
    assert_eq!(states(&cancelled), ["cancelled"; 2]);
    // Nothing waits for its records any more.
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
    let lane = service.app.store.list_lanes(None).await.unwrap();
    assert!(lane.is_empty());
}

async fn dead_credentials_are_noted_also_when_a_batch_came_through_in_part(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let connections = client.get("/connections?provider=hubspot").await.expect(200);
    let path = format!("/connections/{}", connections.json()[0]["id"].as_str().unwrap());
    let ids = companies(&service, 4).await;
    // The call for all is refused, so it is halved; the second half meets a grant that has just been revoked.
    let refusal = FaultSpec {
        status: Some(400),
        code: Some("VALIDATION_ERROR".to_owned()),
        ..FaultSpec::new(FaultKind::Error)
    };
    fault(&service, refusal.once());
    fault(&service, FaultSpec::new(FaultKind::RevokeGrant).skip(2).once());
    let records = || ids.iter().map(|id| json!({"id": id, "city": "Oslo"}));
    let answer = client
        .write("hs", "companies", batch("update", records()))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&answer["successCount"], &answer["failureCount"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        client.get(&path).await.expect(200).json()["status"],
        "bad_credentials"
    );
    let reached = service.reached().len();
    client
        .write("hs", "companies", batch("update", records()))
        .await
        .problem(424);
    assert_eq!(
        service.reached().len(),
        reached,
        "known to be dead, it fails fast"
    );
}
