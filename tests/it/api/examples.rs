//! The examples of Ampersand's documentation, sent as they stand there; what reaches the provider is compared byte for byte.
//!
//! Only the group is another one, and installation requests get the connection of the test.

use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    create_update_and_delete,
    associations_are_made_with_the_record,
    synchronous_and_asynchronous_mode,
    the_operation_has_the_documented_shape,
    additional_headers_reach_salesforce,
    defaults_fill_what_is_missing,
    overwrite_rules_keep_a_field_from_updates,
    the_combined_installation_maps_defaults_and_protects,
    deletion_is_enabled_by_each_documented_way,
    retry_and_auto_batch_policies_are_accepted,
);

macro_rules! example {
    ($name:literal) => {{
        let file: Value =
            serde_json::from_str(include_str!(concat!("../../data/examples/", $name, ".json"))).unwrap();
        let mut body = file["body"].clone();
        if body.get("groupRef").is_some() {
            body["groupRef"] = json!(GROUP);
        }
        body
    }};
}

/// The documentation's lead at HubSpot, with the read object whose mapping a config may inherit.
const LEAD: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    read:
      objects:
        - objectName: lead
          destination: myWebhook
          schedule: '0 * * * *'
          optionalFields: [{mapToName: customSource}]
    write: {objects: [{objectName: lead}]}
";

async fn lead_service(kind: Kind, mut installation: Value) -> Service {
    let service = Service::lenient(kind).await;
    service.deploy(LEAD).await;
    let connection = service.connect(GROUP, "hubspot", "test-acme").await;
    installation["connectionId"] = connection["id"].clone();
    service
        .client
        .post("/integrations/hs/installations", installation)
        .await
        .expect(201);
    service
}

fn last(service: &Service) -> (String, String, String) {
    service.reached().pop().expect("something reached the provider")
}

fn sent(method: &str, path: &str, body: &str) -> (String, String, String) {
    (method.to_owned(), path.to_owned(), body.to_owned())
}

async fn create_update_and_delete(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    client
        .write("hs", "contacts", example!("create-a-new-record"))
        .await
        .expect(200);
    let body = r#"{"properties":{"firstname":"Harry","lastname":"Potter"}}"#;
    assert_eq!(last(&service), sent("POST", "/crm/v3/objects/contacts", body));
    // The documentation's id is nobody's here: HubSpot says so, and the request is what counts.
    client
        .write("hs", "contacts", example!("update-an-existing-record"))
        .await
        .expect(422);
    assert_eq!(
        last(&service),
        sent("PATCH", "/crm/v3/objects/contacts/20scv09wer3klj", body)
    );
    client.write("hs", "contacts", example!("delete-a-record")).await;
    assert_eq!(
        last(&service),
        sent("DELETE", "/crm/objects/2026-03/contacts/20scv09wer3klj", "")
    );
}

async fn associations_are_made_with_the_record(kind: Kind) {
    let service = Service::start(kind).await;
    let body = example!("create-associations-when-creating-a-record");
    service.client.write("hs", "contacts", &body).await;
    let wanted = r#"{"properties":{"firstname":"Harry","lastname":"Potter","email":"harry@hogwarts.com","phone":"123456789"},"associations":[{"to":{"id":"18417469280"},"types":[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":279}]}]}"#;
    assert_eq!(last(&service), sent("POST", "/crm/v3/objects/contacts", wanted));
    // With a company that is there, the association is made.
    let company = json!({"groupRef": GROUP, "type": "create", "record": {"name": "Hogwarts"}});
    let company = service
        .client
        .write("hs", "companies", company)
        .await
        .expect(200)
        .json();
    let mut body = body;
    body["associations"][0]["to"]["id"] = company["result"]["recordId"].clone();
    service.client.write("hs", "contacts", body).await.expect(200);
    let changes = service.sandbox.ledger().pop().unwrap().changes;
    assert!(
        changes
            .iter()
            .any(|change| change.kind == amp_write::sandbox::ChangeKind::Associated),
        "{changes:?}"
    );
}

async fn synchronous_and_asynchronous_mode(kind: Kind) {
    let service = Service::start(kind).await;
    service
        .client
        .write("hs", "contacts", example!("synchronous-mode"))
        .await
        .expect(200);
    assert_eq!(
        last(&service).2,
        r#"{"properties":{"firstname":"John","lastname":"Doe","email":"john@example.com"}}"#
    );
    let accepted = service
        .client
        .write("hs", "contacts", example!("asynchronous-mode"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        accepted.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["operationId"]
    );
    assert_eq!(
        service
            .client
            .ended(accepted["operationId"].as_str().unwrap())
            .await["status"],
        "success"
    );
    assert_eq!(
        last(&service).2,
        r#"{"properties":{"firstname":"Jane","lastname":"Smith"}}"#
    );
}

async fn the_operation_has_the_documented_shape(kind: Kind) {
    let service = Service::start(kind).await;
    let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": {"no_such_property": 1}});
    let accepted = service
        .client
        .write("hs", "contacts", body)
        .await
        .expect(200)
        .json();
    let operation = service
        .client
        .ended(accepted["operationId"].as_str().unwrap())
        .await;
    let documented = example!("operation-response");
    for (key, value) in documented.as_object().unwrap() {
        assert!(operation[key].is_string(), "{key} is missing: {operation}");
        if !value.as_str().unwrap().starts_with('<') && !key.ends_with("Time") {
            assert!(
                operation[key]
                    .as_str()
                    .unwrap()
                    .starts_with(value.as_str().unwrap()),
                "{key}: {operation}"
            );
        }
    }
}

async fn additional_headers_reach_salesforce(kind: Kind) {
    let service = Service::lenient(kind).await;
    service.set_up(PLAIN).await;
    service
        .client
        .write("sf", "contact", example!("pass-additional-headers"))
        .await;
    let entry = service.sandbox.ledger().pop().unwrap();
    for wanted in [("header-key1", "header-value1"), ("header-key2", "header-value2")] {
        assert!(
            entry
                .headers
                .iter()
                .any(|(name, value)| (name.as_str(), value.as_str()) == wanted),
            "{:?}",
            entry.headers
        );
    }
    assert_eq!(
        entry.body,
        r#"{"firstname":"Harry","lastname":"Potter","email":"harry@hogwarts.com","phone":"123456789"}"#
    );
}

async fn defaults_fill_what_is_missing(kind: Kind) {
    let service = lead_service(kind, example!("installation-create-defaults")).await;
    let write = json!({"groupRef": GROUP, "type": "create", "record": {"email": "a@b.co", "amount": null}});
    service.client.write("hs", "lead", write).await;
    assert_eq!(
        last(&service).2,
        r#"{"properties":{"email":"a@b.co","amount":"","source":"myApp","automated":true}}"#
    );
    let write =
        json!({"groupRef": GROUP, "type": "create", "record": {"email": "a@b.co", "source": "theirs"}});
    service.client.write("hs", "lead", write).await;
    assert_eq!(
        last(&service).2,
        r#"{"properties":{"email":"a@b.co","source":"theirs","amount":0,"automated":true}}"#
    );
}

async fn overwrite_rules_keep_a_field_from_updates(kind: Kind) {
    let service = lead_service(kind, example!("installation-create-overwrite")).await;
    let record = json!({"email": "a@b.co", "source": "x"});
    let create = json!({"groupRef": GROUP, "type": "create", "record": record});
    service.client.write("hs", "lead", create).await;
    assert_eq!(
        last(&service).2,
        r#"{"properties":{"email":"a@b.co","source":"x"}}"#
    );
    let update =
        json!({"groupRef": GROUP, "type": "update", "record": {"id": "1", "email": "a@b.co", "source": "x"}});
    let answer = service.client.write("hs", "lead", update).await;
    assert_eq!(answer.header("amp-warnings"), "skipped_write_on_update: source");
    assert_eq!(last(&service).2, r#"{"properties":{"email":"a@b.co"}}"#);
}

async fn the_combined_installation_maps_defaults_and_protects(kind: Kind) {
    let service = lead_service(kind, example!("installation-create-combined")).await;
    let create = json!({"groupRef": GROUP, "type": "create", "record": {"email": "a@b.co"}});
    service.client.write("hs", "lead", create).await;
    assert_eq!(
        last(&service).2,
        r#"{"properties":{"email":"a@b.co","myCustomSource":"myApp"}}"#
    );
    let update = json!({"groupRef": GROUP, "type": "update", "record": {"id": "1", "email": "a@b.co", "customSource": "x"}});
    service.client.write("hs", "lead", update).await;
    assert_eq!(
        last(&service),
        sent(
            "PATCH",
            "/crm/v3/objects/lead/1",
            r#"{"properties":{"email":"a@b.co"}}"#
        )
    );
}

async fn deletion_is_enabled_by_each_documented_way(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(PLAIN).await;
    let client = &service.client;
    let connection = service.connect(GROUP, "salesforce", "test-acme").await;
    let delete = json!({"groupRef": GROUP, "type": "delete", "record": {"id": "003Hs00002AbCdEIAV"}});

    let mut with = example!("installation-create-deletion");
    with["connectionId"] = connection["id"].clone();
    let made = client
        .post("/integrations/sf/installations", with)
        .await
        .expect(201)
        .json();
    client.write("sf", "contact", &delete).await;
    assert_eq!(
        last(&service),
        sent(
            "DELETE",
            "/services/data/v60.0/sobjects/contact/003Hs00002AbCdEIAV",
            ""
        )
    );

    let path = format!("/integrations/sf/installations/{}", made["id"].as_str().unwrap());
    let clear = json!({"updateMask": ["config.content.write.objects"], "installation": {"config": {"content": {"write": {"objects": {}}}}}});
    client.patch(&path, &clear).await.expect(200);
    client.write("sf", "contact", &delete).await.problem(400);
    client
        .patch(&path, example!("installation-update-mask-deletion"))
        .await
        .expect(200);
    client.write("sf", "contact", &delete).await;
    assert_eq!(service.reached().len(), 2);

    client.patch(&path, &clear).await.expect(200);
    client.write("sf", "contact", &delete).await.problem(400);
    let changes = example!("installation-json-patch-deletion");
    client
        .patch("/integrations/sf/objects/contact/config-content", changes)
        .await
        .expect(200);
    client.write("sf", "contact", &delete).await;
    assert_eq!(service.reached().len(), 3);
}

async fn retry_and_auto_batch_policies_are_accepted(kind: Kind) {
    let service = Service::start(kind).await;
    let minutes = |hours: i64, minutes: i64| (hours * 60 + minutes) * 60;
    for (body, seconds) in [
        (example!("retry-policy"), minutes(24, 0)),
        // Its deadline counts from the end of the wait for others.
        (example!("auto-batch"), minutes(2, 5)),
    ] {
        let waits = body.get("autoBatchPolicy").is_some();
        let accepted = service
            .client
            .write("hs", "contacts", body)
            .await
            .expect(200)
            .json();
        let id = accepted["operationId"].as_str().unwrap();
        let mut operation = service
            .client
            .get(&format!("/operations/{id}"))
            .await
            .expect(200)
            .json();
        if waits {
            assert_eq!(operation["metadata"]["state"], "accumulating");
            service.database.make_due(id).await;
        }
        let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let span = time(&operation["metadata"]["deadline"]).duration_since(time(&operation["createTime"]));
        assert_eq!(span.as_secs(), seconds);
        operation = service.client.ended(id).await;
        assert_eq!(operation["status"], "success", "{operation}");
    }
}
