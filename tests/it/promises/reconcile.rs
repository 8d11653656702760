//! Creates whose answer was lost, looked up by fields that a connector file declares to be unique.

use std::path::Path;

use amp_write::sandbox::{FaultKind, FaultSpec};
use amp_write::settings::TuningArgs;
use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_salesforce_record_with_a_declared_unique_field_is_found_or_made_once,
    a_record_that_is_found_is_ours_only_when_it_is_shown_to_be,
);

/// The built-in file of Salesforce, with a unique field for accounts.
fn declare(folder: &Path) {
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/connectors/salesforce.yaml");
    let text = std::fs::read_to_string(built_in).expect("the built-in file");
    let (before, after) = text
        .split_once("\n      unique:\n")
        .expect("the file finds by a field");
    let with = format!("{before}\n      unique:\n        objects: {{Account: [Ext_Id__c]}}\n{after}");
    std::fs::write(folder.join("salesforce.yaml"), with).expect("written");
}

async fn create(service: &Service, record: Value) -> Value {
    let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": record});
    // The manifest says `account`, the file `Account`: names of objects are compared in any case.
    let answer = service
        .client
        .write("sf", "account", body)
        .await
        .expect(200)
        .json();
    service
        .client
        .ended(answer["operationId"].as_str().expect("an id"))
        .await
}

async fn a_salesforce_record_with_a_declared_unique_field_is_found_or_made_once(kind: Kind) {
    let folder = tempfile::tempdir().expect("a folder");
    declare(folder.path());
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        connectors_dir: Some(folder.path().to_owned()),
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    let field = json!([{"name": "Ext_Id__c", "externalId": true, "unique": true}]);
    let path = format!("/accounts/salesforce/{GROUP}/objects/Account/fields");
    service
        .sandbox
        .control(http::Method::POST, &path, &field)
        .await
        .expect("the field is made");
    let once = |fault: FaultKind| {
        service
            .sandbox
            .fault(FaultSpec::new(fault).action("create").once())
            .expect("a good fault");
    };

    // Made, and the answer lost: found, by a value that would break out of its quotes.
    once(FaultKind::DropAfterCommit);
    let done = create(&service, json!({"Name": "A", "Ext_Id__c": "O'Hara \\ 1"})).await;
    assert_eq!(done["metadata"]["state"], "succeeded", "{done}");
    assert_eq!(service.created(), 1);
    // Never made: sent again.
    once(FaultKind::DropBeforeCommit);
    let done = create(&service, json!({"Name": "B", "Ext_Id__c": "2"})).await;
    assert_eq!(done["metadata"]["state"], "succeeded", "{done}");
    assert_eq!(service.created(), 2);
    // There before, with another name: somebody else's.
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"Name": "C", "Ext_Id__c": "3"}});
    service.client.write("sf", "account", body).await.expect(200);
    once(FaultKind::DropBeforeCommit);
    let done = create(&service, json!({"Name": "D", "Ext_Id__c": "3"})).await;
    assert_eq!(done["metadata"]["state"], "needs_review", "{done}");
    assert_eq!(service.created(), 3);
    // Without a value in the field nothing can be looked up.
    once(FaultKind::DropAfterCommit);
    let done = create(&service, json!({"Name": "E"})).await;
    assert_eq!(done["metadata"]["state"], "needs_review", "{done}");
    assert_eq!(service.created(), 4);
}

/// A contact whose create got no answer after it was made.
async fn lost(service: &Service, email: &str) -> Value {
    let lost = FaultSpec::new(FaultKind::DropAfterCommit).action("create").once();
    service.sandbox.fault(lost).expect("a good fault");
    let record = json!({"email": email, "firstname": "F"});
    let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": record});
    let answer = service
        .client
        .write("hs", "contacts", body)
        .await
        .expect(200)
        .json();
    service
        .client
        .ended(answer["operationId"].as_str().expect("an id"))
        .await
}

/// The next search for a contact, and the next read of one, are answered so.
fn shown(service: &Service, found: &Value, read: &Value) {
    for (path, body) in [
        ("*idProperty=email*", found),
        ("*/contacts/77001?properties=*", read),
    ] {
        let fault = json!({
            "fault": "answer", "times": 1, "status": 200, "body": body.to_string(),
            "match": {"provider": "hubspot", "method": "GET", "path": path},
        });
        let fault: FaultSpec = serde_json::from_value(fault).expect("a fault");
        service.sandbox.fault(fault).expect("a good fault");
    }
}

async fn a_record_that_is_found_is_ours_only_when_it_is_shown_to_be(kind: Kind) {
    let service = Service::start(kind).await;
    let found = |more: Value| {
        let mut found = json!({"id": "77001", "properties": {"email": "a@x.example"}});
        found
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        found
    };
    let new = json!({"createdAt": "2099-01-01T00:00:00Z"});
    let ours = json!({"id": "77001", "properties": {"email": "A@x.example", "firstname": "F"}});
    for (at, (found, read, state)) in [
        (found(new.clone()), ours.clone(), "succeeded"),
        // No time, or an old one: it may have been there before.
        (found(json!({})), ours.clone(), "needs_review"),
        (found(json!({"createdAt": "soon"})), ours.clone(), "needs_review"),
        (
            found(json!({"createdAt": "2020-01-01T00:00:00Z"})),
            ours,
            "needs_review",
        ),
        // It does not show the value that it was found by, or shows another.
        (
            found(new.clone()),
            json!({"id": "77001", "properties": {"firstname": "F"}}),
            "needs_review",
        ),
        (
            found(new.clone()),
            json!({"id": "77001", "properties": {"email": "b@x.example", "firstname": "F"}}),
            "needs_review",
        ),
        // It holds something else than was sent.
        (
            found(new),
            json!({"id": "77001", "properties": {"email": "a@x.example", "firstname": "G"}}),
            "needs_review",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("a{at}@x.example");
        let own = |value: &Value| -> Value {
            let text = value.to_string();
            let text = text
                .replace("a@x.example", &email)
                .replace("A@x.example", &email.to_uppercase());
            serde_json::from_str(&text).expect("JSON")
        };
        shown(&service, &own(&found), &own(&read));
        let done = lost(&service, &email).await;
        assert_eq!(done["metadata"]["state"], state, "{found} {read}: {done}");
        assert_eq!(service.created(), at + 1, "sent once");
        let rules = service
            .sandbox
            .control(http::Method::DELETE, "/faults", &json!(null))
            .await;
        rules.expect("faults are taken back");
    }
}
