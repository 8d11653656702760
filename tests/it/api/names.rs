//! What is one field, one object and one record to the provider, is one to the service: whatever the spelling.

use amp_write::sandbox::{FaultKind, FaultSpec, Provider};
use serde_json::{Value, json};

use crate::harness::service::GROUP;
use crate::harness::{Client, Kind, Service, on_both_stores};

on_both_stores!(
    if_empty_knows_a_field_under_another_case_and_overwrites_nothing,
    a_default_does_not_beat_a_value_given_under_another_case,
    a_rule_acts_on_its_field_in_any_case,
    two_names_of_one_field_are_refused,
    the_id_is_given_once_in_any_case,
    a_config_may_name_the_object_in_another_case,
    names_that_the_provider_tells_apart_stay_apart,
    writes_to_one_record_keep_their_order_however_its_id_is_spelled,
    writes_to_one_record_keep_their_order_however_its_object_is_spelled,
    a_batch_names_a_record_once_however_its_id_is_spelled,
    a_failed_write_holds_its_record_however_it_is_spelled,
    the_record_id_goes_before_the_apps_own_name_of_a_write,
    objects_that_are_one_at_the_provider_are_listed_once,
    null_empties_a_property_at_hubspot,
);

const MANIFEST: &str = r#"
specVersion: 1.0.0
integrations:
  - name: sf
    provider: salesforce
    read:
      objects:
        - objectName: account
          destination: d
          schedule: "*/10 * * * *"
          requiredFields: [{fieldName: website, mapToName: domain}]
    write: {objects: [{objectName: account, inheritMapping: true}]}
  - name: other
    provider: salesforce
    write: {objects: [{objectName: Account}]}
"#;

/// The integration `sf`, with these settings of fields.
async fn start(kind: Kind, settings: Value) -> Service {
    let service = Service::empty(kind).await;
    service.deploy(MANIFEST).await;
    service.connect(GROUP, "salesforce", "test-acme").await;
    let object = json!({"objectName": "account", "selectedFieldSettings": settings});
    install(&service, "sf", json!({ "account": object })).await;
    service
}

async fn install(service: &Service, integration: &str, objects: Value) {
    let content = json!({"provider": "salesforce", "write": {"objects": objects}});
    service.install(integration, GROUP, content).await;
}

fn body(kind: &str, record: Value) -> Value {
    json!({"groupRef": GROUP, "type": kind, "record": record})
}

fn later(kind: &str, record: Value) -> Value {
    json!({"groupRef": GROUP, "type": kind, "mode": "asynchronous", "record": record})
}

async fn account(client: &Client, record: Value) -> String {
    let made = client.write("sf", "account", body("create", record)).await;
    let made = made.expect(200).json();
    made["result"]["recordId"].as_str().unwrap().to_owned()
}

async fn accept(client: &Client, integration: &str, object: &str, body: Value) -> String {
    let answer = client.write(integration, object, body).await.expect(200).json();
    answer["operationId"].as_str().unwrap().to_owned()
}

/// The bodies of the writes that reached the provider, in order.
fn sent(service: &Service) -> Vec<Value> {
    let writes = service
        .reached()
        .into_iter()
        .filter(|(method, ..)| method != "GET");
    writes
        .map(|(.., body)| serde_json::from_str(&body).unwrap_or_default())
        .collect()
}

fn row_lock() -> FaultSpec {
    FaultSpec::new(FaultKind::RowLock)
        .provider(Provider::Salesforce)
        .action("update")
        .once()
}

async fn if_empty_knows_a_field_under_another_case_and_overwrites_nothing(kind: Kind) {
    let if_empty = json!({"writeOnUpdate": "ifEmpty"});
    let service = start(
        kind,
        json!({"domain": if_empty, "PHONE": if_empty, "industry": if_empty}),
    )
    .await;
    let client = &service.client;
    let theirs = json!({"name": "N", "domain": "https://theirs.example", "Phone": "1"});
    let id = account(client, theirs).await;
    let before = sent(&service).len();
    let ours = json!({"id": id, "domain": "https://ours.example", "phone": "2", "INDUSTRY": "Energy"});
    let answer = client
        .write("sf", "account", body("update", ours))
        .await
        .expect(200);
    assert_eq!(
        answer.header("amp-warnings"),
        "skipped_not_empty: domain, skipped_not_empty: phone"
    );
    // What was empty is written, as it was spelled.
    assert_eq!(sent(&service)[before..], [json!({"INDUSTRY": "Energy"})]);
    // The same for several at once.
    let batch = json!({"groupRef": GROUP, "type": "update", "batch": [{"record": {"id": id, "pHoNe": "3"}}]});
    let answer = client.write("sf", "account", batch).await.expect(200);
    assert_eq!(
        answer.header("amp-warnings"),
        "skipped_not_empty: pHoNe, nothing_sent"
    );
}

async fn a_default_does_not_beat_a_value_given_under_another_case(kind: Kind) {
    let energy = json!({"default": {"stringValue": "Energy"}});
    let service = start(kind, json!({"industry": energy, "DESCRIPTION": energy})).await;
    let record = json!({"name": "N2", "Industry": "Banking"});
    account(&service.client, record).await;
    account(&service.client, json!({"name": "N3", "description": null})).await;
    assert_eq!(
        sent(&service),
        [
            json!({"name": "N2", "Industry": "Banking", "DESCRIPTION": "Energy"}),
            json!({"name": "N3", "description": null, "industry": "Energy"}),
        ]
    );
}

async fn a_rule_acts_on_its_field_in_any_case(kind: Kind) {
    let never = json!({"writeOnUpdate": "never", "writeOnCreate": "never"});
    let service = start(kind, json!({"phone": never, "domain": never})).await;
    let client = &service.client;
    let id = account(client, json!({"name": "N", "PHONE": "1"})).await;
    let record = json!({"id": id, "Phone": "2", "WebSite": "w"});
    let answer = client
        .write("sf", "account", body("update", record))
        .await
        .expect(200);
    assert_eq!(
        answer.header("amp-warnings"),
        "skipped_write_on_update: Phone, skipped_write_on_update: WebSite, nothing_sent"
    );
    assert_eq!(sent(&service), [json!({"name": "N"})]);
}

async fn two_names_of_one_field_are_refused(kind: Kind) {
    let service = start(kind, json!({})).await;
    let client = &service.client;
    for (record, detail) in [
        (
            json!({"Name": "a", "name": "b"}),
            "`Name` and `name` both write `Name`; send one of them",
        ),
        (
            json!({"Website": "a", "domain": "b", "name": "c"}),
            "`Website` and `domain` both write `Website`; send one of them",
        ),
        (
            json!({"name": "a", "Owner": {"Email": "a", "email": "b"}}),
            "`$['Owner']['Email']` and `$['Owner']['email']` both write `$['Owner']['Email']`; send one of them",
        ),
    ] {
        let problem = client
            .write("sf", "account", body("create", record))
            .await
            .problem(400);
        assert!(problem.to_string().contains(detail), "{problem}");
    }
    let settings = json!({"phone": {"writeOnUpdate": "never"}, "Phone": {"writeOnUpdate": "always"}});
    let content = json!({"provider": "salesforce", "write": {"objects": {"Account": {
        "objectName": "Account", "selectedFieldSettings": settings}}}});
    let request = json!({"groupRef": GROUP, "config": {"content": content}});
    let problem = client
        .post("/integrations/other/installations", request)
        .await
        .problem(400);
    assert!(problem.to_string().contains("are both about"), "{problem}");
    assert!(sent(&service).is_empty());
}

async fn the_id_is_given_once_in_any_case(kind: Kind) {
    let service = start(kind, json!({})).await;
    let client = &service.client;
    let id = account(client, json!({"name": "N"})).await;
    for record in [
        json!({"id": id, "Id": id, "name": "x"}),
        json!({"ID": "001000000000001", "id": id}),
    ] {
        let problem = client
            .write("sf", "account", body("update", record))
            .await
            .problem(400);
        assert!(problem.to_string().contains("both write `id`"), "{problem}");
    }
    let nameless = json!({"Id": id, "name": "x"});
    client
        .write("sf", "account", body("update", nameless))
        .await
        .problem(400);
    assert_eq!(sent(&service).len(), 1);
}

async fn a_config_may_name_the_object_in_another_case(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(MANIFEST).await;
    service.connect(GROUP, "salesforce", "test-acme").await;
    let never =
        json!({"objectName": "ACCOUNT", "selectedFieldSettings": {"phone": {"writeOnCreate": "never"}}});
    install(&service, "sf", json!({ "ACCOUNT": never })).await;
    account(&service.client, json!({"name": "N", "Phone": "1"})).await;
    assert_eq!(sent(&service), [json!({"name": "N"})]);
}

async fn names_that_the_provider_tells_apart_stay_apart(kind: Kind) {
    let service = Service::empty(kind).await;
    service
        .deploy(
            "{specVersion: 1.0.0, integrations: [{name: hs, provider: hubspot, write: {objects: [{objectName: contacts}]}}]}",
        )
        .await;
    service.connect(GROUP, "hubspot", "test-acme").await;
    let never =
        json!({"objectName": "contacts", "selectedFieldSettings": {"phone": {"writeOnCreate": "never"}}});
    let content = json!({"provider": "hubspot", "write": {"objects": {"contacts": never}}});
    service.install("hs", GROUP, content).await;
    let record = json!({"email": "a@x.example", "phone": "1", "Phone": "2"});
    service
        .client
        .write("hs", "contacts", body("create", record))
        .await;
    assert_eq!(
        sent(&service),
        [json!({"properties": {"email": "a@x.example", "Phone": "2"}})]
    );
}

/// Two updates of one record: the first meets a lock, and still takes effect first.
async fn in_order(service: &Service, first: (&str, &str, Value), second: (&str, &str, Value)) {
    let client = &service.client;
    let lock = service.sandbox.fault(row_lock()).expect("a good fault");
    let before = sent(service).len();
    let one = accept(client, first.0, first.1, first.2).await;
    lock.wait_hits(1).await;
    let two = accept(client, second.0, second.1, second.2).await;
    for operation in [&one, &two] {
        assert_eq!(client.ended(operation).await["status"], "success");
    }
    let names: Vec<Value> = sent(service)[before..]
        .iter()
        .map(|body| body["name"].clone())
        .collect();
    assert_eq!(names, ["first", "first", "second"]);
}

async fn writes_to_one_record_keep_their_order_however_its_id_is_spelled(kind: Kind) {
    let service = start(kind, json!({})).await;
    let id = account(&service.client, json!({"name": "N"})).await;
    assert_eq!(id.len(), 18);
    for (a, b) in [
        (id.clone(), id[..15].to_owned()),
        (id[..15].to_owned(), id.clone()),
        // The case of a long id can be lost: its end repeats it.
        (id[..15].to_owned(), id.to_ascii_lowercase()),
    ] {
        let first = later("update", json!({"id": a, "name": "first"}));
        let second = later("update", json!({"id": b, "name": "second"}));
        in_order(&service, ("sf", "account", first), ("sf", "account", second)).await;
    }
}

async fn writes_to_one_record_keep_their_order_however_its_object_is_spelled(kind: Kind) {
    let service = start(kind, json!({})).await;
    install(&service, "other", json!({"Account": {"objectName": "Account"}})).await;
    let id = account(&service.client, json!({"name": "N"})).await;
    let first = later("update", json!({"id": id, "name": "first"}));
    let second = later("update", json!({"id": id, "name": "second"}));
    in_order(&service, ("sf", "account", first), ("other", "Account", second)).await;
}

async fn the_record_id_goes_before_the_apps_own_name_of_a_write(kind: Kind) {
    let service = start(kind, json!({})).await;
    let id = account(&service.client, json!({"name": "N"})).await;
    let named = |name: &str, by: &str| {
        let mut body = later("update", json!({"id": id, "name": name}));
        body["clientRef"] = json!(by);
        body
    };
    let (first, second) = (named("first", "a"), named("second", "b"));
    in_order(&service, ("sf", "account", first), ("sf", "account", second)).await;
}

async fn a_batch_names_a_record_once_however_its_id_is_spelled(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let update = |a: &Value, b: &Value| {
        json!({"groupRef": GROUP, "type": "update", "batch": [
            {"record": {"id": a, "name": "A"}}, {"record": {"id": b, "name": "B"}}]})
    };
    let made = client
        .write("sf", "account", body("create", json!({"name": "N"})))
        .await;
    let id = made.expect(200).json()["result"]["recordId"]
        .as_str()
        .unwrap()
        .to_owned();
    for (integration, object, a, b) in [
        ("sf", "account", json!(id), json!(id[..15])),
        ("sf", "account", json!(id), json!(id.to_ascii_uppercase())),
        ("hs", "companies", json!("007"), json!("7")),
        ("hs", "companies", json!(7), json!("0007")),
    ] {
        let problem = client
            .write(integration, object, update(&a, &b))
            .await
            .problem(400);
        let text = problem.to_string();
        assert!(
            text.contains("names the record of batch[0] again") && text.contains("batch[1].record.id"),
            "{text}"
        );
    }
    // Short ids that differ in case are two records.
    let two = update(&json!("001Sb0000AAAAAa"), &json!("001Sb0000AAAAAA"));
    let answer = client.write("sf", "account", two).await;
    assert_ne!(answer.status, 400, "{}", answer.body);
}

async fn a_failed_write_holds_its_record_however_it_is_spelled(kind: Kind) {
    let service = start(kind, json!({})).await;
    let client = &service.client;
    let id = account(client, json!({"name": "N"})).await;
    let mut bad = later("update", json!({"id": id, "no_such_field": 1}));
    bad["onFailure"] = json!("hold");
    let bad = accept(client, "sf", "account", bad).await;
    assert_eq!(client.ended(&bad).await["metadata"]["state"], "failed");
    let next = later("update", json!({"id": id[..15], "name": "second"}));
    let next = accept(client, "sf", "account", next).await;
    let held = client
        .operation_until(&next, |o| o["metadata"]["state"] == "held")
        .await;
    assert_eq!(held["metadata"]["heldBy"], json!(bad));
}

async fn objects_that_are_one_at_the_provider_are_listed_once(kind: Kind) {
    let service = Service::empty(kind).await;
    for (provider, a, b) in [
        ("salesforce", "account", "Account"),
        ("hubspot", "contacts", "0-1"),
    ] {
        let manifest = format!(
            "{{specVersion: 1.0.0, integrations: [{{name: i, provider: {provider}, write: {{objects: [{{objectName: {a}}}, {{objectName: {b}}}]}}}}]}}"
        );
        let problem = service
            .client
            .put("/integrations:batch", json!({ "sourceYaml": manifest }))
            .await
            .problem(422);
        let issue = &problem["issues"][0];
        assert_eq!(
            issue["name"], "$.integrations[0].write.objects[1].objectName",
            "{problem}"
        );
        let detail = format!("`{b}` and `{a}` (objects[0]) are one object at the provider. List it once.");
        assert!(
            issue["detail"]
                .as_str()
                .is_some_and(|text| text.starts_with(&detail)),
            "{problem}"
        );
    }
}

async fn null_empties_a_property_at_hubspot(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let record = json!({"email": "n@x.example", "jobtitle": null});
    let made = client
        .write("hs", "contacts", body("create", record))
        .await
        .expect(200)
        .json();
    let id = &made["result"]["recordId"];
    let update = json!({"id": id, "jobtitle": null, "city": "Ulm"});
    let preview = client
        .post(
            "/integrations/hs/objects/contacts?preview=true",
            body("update", update.clone()),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(
        preview["requests"][0]["body"], r#"{"properties":{"jobtitle":"","city":"Ulm"}}"#,
        "{preview}"
    );
    assert_eq!(preview["trace"][0]["sentAs"], "");
    assert_eq!(preview["trace"][1].get("sentAs"), None);
    client
        .write("hs", "contacts", body("update", update))
        .await
        .expect(200);
    let other = client
        .write("hs", "contacts", body("create", json!({"email": "o@x.example"})))
        .await
        .expect(200)
        .json();
    let batch = json!({"groupRef": GROUP, "type": "update", "batch": [
        {"record": {"id": id, "phone": null}}, {"record": {"id": other["result"]["recordId"], "phone": "1"}}]});
    client.write("hs", "contacts", batch).await.expect(200);
    let sent = sent(&service);
    assert_eq!(
        sent[0]["properties"],
        json!({"email": "n@x.example", "jobtitle": ""})
    );
    assert_eq!(sent[1]["properties"], json!({"jobtitle": "", "city": "Ulm"}));
    assert_eq!(sent[3]["inputs"][0]["properties"], json!({"phone": ""}));
    assert_eq!(sent[3]["inputs"][1]["properties"], json!({"phone": "1"}));
    // Salesforce empties a field with `null`.
    let made = client
        .write(
            "sf",
            "account",
            body("create", json!({"name": "N", "phone": null})),
        )
        .await;
    made.expect(200);
    assert_eq!(self::sent(&service)[4], json!({"name": "N", "phone": null}));
}
