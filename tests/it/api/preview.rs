//! Seeing what a write would do, and what it did.

use serde_json::{Value, json};

use crate::harness::service::GROUP;
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_preview_shows_the_request_and_sends_nothing,
    a_preview_is_the_request_that_the_write_then_makes,
    if_empty_is_decided_in_a_preview_by_a_read,
    a_preview_says_what_would_fail,
    the_provider_s_description_is_held_against_the_record,
    a_preview_refuses_what_the_write_refuses,
    an_operation_tells_its_trace_and_its_request,
    an_operation_tells_what_if_empty_left_out,
    a_frontend_key_does_not_see_records,
);

const MAPPED: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    read:
      objects:
        - objectName: contacts
          mapToName: people
          destination: d
          schedule: '0 * * * *'
          requiredFields: [{fieldName: mobilephone, mapToName: cell}, {fieldName: lifecyclestage, mapToName: stage}]
          optionalFields: [{mapToName: notes}]
    write: {objects: [{objectName: contacts, inheritMapping: true}]}
  - name: sf
    provider: salesforce
    write: {objects: [{objectName: Contact}]}
";

async fn mapped(kind: Kind, settings: Value) -> Service {
    let service = Service::empty(kind).await;
    service.deploy(MAPPED).await;
    for provider in ["hubspot", "salesforce"] {
        service.connect(GROUP, provider, "test-acme").await;
    }
    let content = json!({"provider": "hubspot", "write": {"objects": {"contacts": {
        "objectName": "contacts", "selectedFieldSettings": settings, "deletionSettings": {"enabled": true}}}}});
    service.install("hs", GROUP, content).await;
    let content =
        json!({"provider": "salesforce", "write": {"objects": {"Contact": {"objectName": "Contact"}}}});
    service.install("sf", GROUP, content).await;
    service
}

async fn preview(service: &Service, integration: &str, object: &str, body: &Value) -> Value {
    let path = format!("/integrations/{integration}/objects/{object}?preview=true");
    service.client.post(&path, body).await.expect(200).json()
}

fn create(record: Value) -> Value {
    json!({"groupRef": GROUP, "type": "create", "record": record})
}

async fn a_preview_shows_the_request_and_sends_nothing(kind: Kind) {
    let service = mapped(kind, json!({"source": {"default": {"stringValue": "app"}}})).await;
    let body = create(
        json!({"email": "a@b.co", "cell": "555", "notes": "x", "n": serde_json::from_str::<Value>("1.50").unwrap()}),
    );
    let shown = preview(&service, "hs", "people", &body).await;
    assert_eq!(shown["verdict"], "send_with_findings");
    assert_eq!(shown["providerObject"], "contacts");
    let request = &shown["requests"][0];
    assert_eq!(shown["requests"].as_array().unwrap().len(), 1);
    assert_eq!(request["purpose"], "write");
    assert_eq!(request["method"], "POST");
    assert!(
        request["url"]
            .as_str()
            .unwrap()
            .ends_with("/hubspot/crm/v3/objects/contacts")
    );
    assert_eq!(
        request["body"],
        r#"{"properties":{"email":"a@b.co","mobilephone":"555","n":1.50,"source":"app"}}"#
    );
    assert_eq!(request["headers"]["authorization"], "Bearer ***");
    assert_eq!(
        shown["trace"],
        json!([
            {"source": "email", "target": "email", "decision": "passed_through"},
            {"source": "cell", "target": "mobilephone", "decision": "mapped"},
            {"source": "notes", "decision": "dropped_not_chosen"},
            {"source": "n", "target": "n", "decision": "passed_through"},
            {"target": "source", "decision": "defaulted"},
        ])
    );
    assert_eq!(shown["warnings"], json!(["dropped_not_chosen: notes"]));
    // Only the descriptions were read.
    assert!(service.reached().iter().all(|(method, ..)| method == "GET"));
    let operations = service.client.get("/installations").await.expect(200).json();
    assert!(
        operations[0].get("lastOperationStatus").is_none(),
        "nothing is stored: {operations}"
    );
}

/// Method, path, body, and the headers that we set.
fn last_write(service: &Service) -> (String, String, String, Vec<(String, String)>) {
    let writes = service.sandbox.ledger();
    let last = writes
        .into_iter()
        .rfind(|entry| entry.method != "GET")
        .expect("a write");
    let headers = last
        .headers
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value));
    (last.method, last.path, last.body, headers.collect())
}

async fn a_preview_is_the_request_that_the_write_then_makes(kind: Kind) {
    let service = mapped(kind, json!({"cell": {"writeOnUpdate": "never"}})).await;
    let made = service
        .client
        .write("hs", "people", create(json!({"email": "u@b.co"})))
        .await
        .expect(200)
        .json();
    let id = made["result"]["recordId"].clone();
    for (integration, object, body) in [
        (
            "hs",
            "people",
            create(json!({"email": "é@b.co", "cell": "1", "stage": "lead"})),
        ),
        (
            "hs",
            "people",
            json!({"groupRef": GROUP, "type": "update", "record": {"id": id, "cell": "2", "firstname": "A"}}),
        ),
        (
            "hs",
            "people",
            json!({"groupRef": GROUP, "type": "delete", "record": {"id": id}}),
        ),
        (
            "sf",
            "Contact",
            json!({"groupRef": GROUP, "type": "create", "record": {"LastName": "Ö", "Email": "x@y.zz"},
                   "headers": [{"key": "Sforce-Duplicate-Rule-Header", "value": "allowSave=true"}]}),
        ),
    ] {
        let shown = preview(&service, integration, object, &body).await;
        service.client.write(integration, object, &body).await;
        let (method, path, sent, headers) = last_write(&service);
        let request = shown["requests"].as_array().unwrap().last().unwrap();
        assert_eq!(request["method"], method);
        assert!(
            request["url"].as_str().unwrap().ends_with(&path),
            "{request} {path}"
        );
        assert_eq!(request["body"].as_str().unwrap_or_default(), sent);
        for (name, value) in request["headers"].as_object().unwrap() {
            let value = if name == "authorization" {
                "[redacted]"
            } else {
                value.as_str().unwrap()
            };
            assert!(
                headers.contains(&(name.clone(), value.to_owned())),
                "{name}: {value} in {headers:?}"
            );
        }
    }
}

async fn if_empty_is_decided_in_a_preview_by_a_read(kind: Kind) {
    let service = mapped(kind, json!({"cell": {"writeOnUpdate": "ifEmpty"}})).await;
    let made = service
        .client
        .write("hs", "people", create(json!({"email": "u@b.co", "cell": "1"})))
        .await
        .expect(200)
        .json();
    let update = |cell: &str| json!({"groupRef": GROUP, "type": "update", "record": {"id": made["result"]["recordId"], "cell": cell}});
    let shown = preview(&service, "hs", "people", &update("2")).await;
    assert_eq!(shown["verdict"], "nothing_to_send");
    assert_eq!(shown["requests"].as_array().unwrap().len(), 1);
    assert_eq!(shown["requests"][0]["purpose"], "read");
    assert_eq!(shown["trace"][0]["decision"], "skipped_not_empty");
}

async fn a_preview_says_what_would_fail(kind: Kind) {
    let service = mapped(kind, json!({"cell": {"writeOnUpdate": "ifEmpty"}})).await;
    let body = json!({"groupRef": GROUP, "type": "update", "record": {"id": "404404", "cell": "2"}});
    let shown = preview(&service, "hs", "people", &body).await;
    assert_eq!(shown["verdict"], "fail");
    assert!(
        shown["error"]
            .as_str()
            .unwrap()
            .starts_with("error writing people: not found"),
        "{shown}"
    );
    // What cannot be read as yes or no must not become a write.
    let path = "/integrations/hs/objects/people?preview=yes";
    service
        .client
        .post(path, create(json!({"email": "a@b.co"})))
        .await
        .problem(400);
    assert_eq!(service.created(), 0);
}

async fn the_provider_s_description_is_held_against_the_record(kind: Kind) {
    let service = mapped(kind, json!({})).await;
    let body = create(json!({"emial": "a@b.co", "stage": "no-such-stage", "hs_object_id": "1"}));
    let shown = preview(&service, "hs", "people", &body).await;
    let kinds = |shown: &Value| -> Vec<(String, String)> {
        let findings = shown["findings"].as_array().expect("findings").iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        findings
            .map(|finding| (text(&finding["field"]), text(&finding["kind"])))
            .collect()
    };
    let pair = |field: &str, kind: &str| (field.to_owned(), kind.to_owned());
    assert_eq!(
        kinds(&shown),
        [
            pair("emial", "unknown_field"),
            pair("lifecyclestage", "not_an_option"),
            pair("hs_object_id", "read_only")
        ]
    );
    let long = "x".repeat(300);
    let body = create(json!({"FirstName": long, "Birthdate": "soon", "Nope": 1, "email": "a@b.co"}));
    let shown = preview(&service, "sf", "Contact", &body).await;
    assert_eq!(
        kinds(&shown),
        [
            pair("FirstName", "too_long"),
            pair("Birthdate", "wrong_type"),
            pair("Nope", "unknown_field"),
            pair("lastname", "required_missing")
        ]
    );
    assert!(!shown["findings"].to_string().contains("soon"));
}

async fn a_preview_refuses_what_the_write_refuses(kind: Kind) {
    let service = mapped(kind, json!({})).await;
    for (object, body) in [
        ("nothing", create(json!({"a": 1}))),
        (
            "people",
            json!({"groupRef": GROUP, "type": "update", "record": {"a": 1}}),
        ),
        (
            "people",
            json!({"groupRef": GROUP, "type": "create", "record": {"notes": 1}, "strict": true}),
        ),
    ] {
        let path = format!("/integrations/hs/objects/{object}");
        let of_write = service.client.post(&path, &body).await.problem(400);
        let of_preview = service
            .client
            .post(&format!("{path}?preview=true"), &body)
            .await
            .problem(400);
        assert_eq!(of_preview["detail"], of_write["detail"]);
        assert_eq!(of_preview["issues"], of_write["issues"]);
    }
    assert_eq!(service.reached().len(), 0);
}

async fn an_operation_tells_its_trace_and_its_request(kind: Kind) {
    let service = mapped(kind, json!({})).await;
    let mut body = create(json!({"email": "a@b.co", "cell": "555", "notes": "x"}));
    for mode in ["synchronous", "asynchronous"] {
        body["mode"] = json!(mode);
        body["record"]["email"] = json!(format!("{mode}@b.co"));
        let answer = service
            .client
            .write("hs", "people", &body)
            .await
            .expect(200)
            .json();
        let operation = service
            .client
            .ended(answer["operationId"].as_str().unwrap())
            .await;
        assert_eq!(operation["status"], "success");
        let decisions: Vec<&str> = operation["metadata"]["trace"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["decision"].as_str().unwrap())
            .collect();
        assert_eq!(decisions, ["passed_through", "mapped", "dropped_not_chosen"]);
        let (_, _, sent, _) = last_write(&service);
        assert_eq!(operation["metadata"]["request"]["body"], sent);
        assert_eq!(
            operation["metadata"]["request"]["headers"]["authorization"],
            "Bearer ***"
        );
    }
    // A later config changes nothing about what was done.
    let installations = service.client.get("/installations").await.expect(200).json();
    let installation = installations
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["config"]["content"]["provider"] == "hubspot");
    let path = format!(
        "/integrations/hs/installations/{}",
        installation.unwrap()["id"].as_str().unwrap()
    );
    let change = json!({"updateMask": ["config.content.read.objects.people"], "installation": {"config": {"content": {"read": {
        "objects": {"people": {"objectName": "contacts", "selectedFieldMappings": {"notes": "field_a"}}}}}}}});
    let operations = service
        .client
        .get(&format!("{path}/operations"))
        .await
        .expect(200)
        .json();
    service.client.patch(&path, change).await.expect(200);
    let id = operations["results"][0]["id"].as_str().unwrap().to_owned();
    let operation = service
        .client
        .get(&format!("/operations/{id}"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        operation["metadata"]["trace"][2]["decision"],
        "dropped_not_chosen"
    );
}

async fn an_operation_tells_what_if_empty_left_out(kind: Kind) {
    let service = mapped(kind, json!({"cell": {"writeOnUpdate": "ifEmpty"}})).await;
    let record = json!({"email": "u@b.co", "cell": "1"});
    let made = service
        .client
        .write("hs", "people", create(record))
        .await
        .expect(200)
        .json();
    let id = &made["result"]["recordId"];
    for mode in ["synchronous", "asynchronous"] {
        for record in [
            json!({"id": id, "cell": "2", "firstname": mode}),
            json!({"id": id, "cell": "2"}),
        ] {
            let body = json!({"groupRef": GROUP, "type": "update", "mode": mode, "record": record});
            let answer = service
                .client
                .write("hs", "people", &body)
                .await
                .expect(200)
                .json();
            let operation = service
                .client
                .ended(answer["operationId"].as_str().unwrap())
                .await;
            assert_eq!(operation["status"], "success", "{operation}");
            let trace = &operation["metadata"]["trace"];
            assert_eq!(trace[0]["decision"], "skipped_not_empty", "{operation}");
            let sent = operation["metadata"]["request"]["body"].as_str();
            let wanted = record
                .get("firstname")
                .map(|_| format!(r#"{{"properties":{{"firstname":"{mode}"}}}}"#));
            assert_eq!(sent, wanted.as_deref());
        }
    }
}

async fn a_frontend_key_does_not_see_records(kind: Kind) {
    let service = mapped(kind, json!({})).await;
    let body = create(json!({"email": "a@b.co", "cell": "cell-of-a-person"}));
    let answer = service
        .client
        .write("hs", "people", &body)
        .await
        .expect(200)
        .json();
    let key = json!({"label": "browser", "scopes": ["frontend"]});
    let key = service.client.post("/api-keys", key).await.expect(201).json();
    let mut browser = service.client.clone();
    browser.key = key["key"].as_str().unwrap().to_owned();
    let path = format!("/operations/{}", answer["operationId"].as_str().unwrap());
    browser.get(&path).await.problem(403);
    browser
        .post("/integrations/hs/objects/people?preview=true", &body)
        .await
        .problem(403);
}
