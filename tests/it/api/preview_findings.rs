//! What a preview says against a record: as the provider would, from what the provider says now.

use http::Method;
use serde_json::{Value, json};

use crate::harness::client::Answer;
use crate::harness::service::{GROUP, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_field_that_was_added_meanwhile_is_no_finding,
    the_age_of_a_description_is_told_and_no_cache_asks_anew,
    a_description_that_a_refusal_contradicts_is_forgotten,
    findings_agree_with_hubspot_on_values,
    findings_agree_with_salesforce_on_values,
    what_the_server_would_not_call_is_refused_by_a_preview_too,
    a_preview_of_very_many_fields_is_bounded,
);

/// Changes the sandbox's account.
async fn define(service: &Service, path: &str, body: Value) {
    let url = format!("{}/_sandbox/accounts/{path}", service.sandbox.url());
    let request = service.client.http.post(url).body(body.to_string());
    let answer = service.client.send(request).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
}

fn create(record: Value) -> Value {
    json!({"groupRef": GROUP, "type": "create", "record": record})
}

async fn preview(service: &Service, place: &str, record: &Value) -> Answer {
    let path = format!("/integrations/{place}?preview=true");
    service
        .client
        .post(&path, create(record.clone()))
        .await
        .expect(200)
}

async fn field_reads(service: &Service) -> usize {
    let reached = service.reached();
    let described = |path: &str| path.contains("/properties/") || path.ends_with("/describe");
    reached.iter().filter(|(_, path, _)| described(path)).count()
}

async fn a_field_that_was_added_meanwhile_is_no_finding(kind: Kind) {
    let service = Service::start(kind).await;
    let (hs, sf) = ("hs/objects/companies", "sf/objects/account");
    for (place, name, fields, batch) in [
        (hs, "name", "hubspot/acme/objects/companies/properties", false),
        (sf, "Name", "salesforce/acme/objects/Account/fields", true),
    ] {
        let record = json!({name: "x", "f1__c": "1"});
        let shown = preview(&service, place, &record).await.json();
        assert_eq!(shown["verdict"], "send_with_findings", "{shown}");
        assert_eq!(shown["findings"][0]["kind"], "unknown_field", "{shown}");
        define(&service, fields, json!([{"name": "f1__c"}])).await;
        let shown = if batch {
            let path = format!("/integrations/{place}?preview=true");
            let body = json!({"groupRef": GROUP, "type": "create", "batch": [{"record": record}]});
            service.client.post(&path, body).await.expect(200).json()
        } else {
            preview(&service, place, &record).await.json()
        };
        assert_eq!(
            (&shown["verdict"], &shown["findings"]),
            (&json!("send"), &json!([])),
            "{shown}"
        );
    }
}

async fn the_age_of_a_description_is_told_and_no_cache_asks_anew(kind: Kind) {
    let service = Service::start(kind).await;
    let (place, record) = ("hs/objects/companies", json!({"name": "x"}));
    let first = preview(&service, place, &record).await;
    assert_eq!(
        (first.header("age"), &first.json()["findingsAgeSeconds"]),
        ("0", &json!(0))
    );
    let asked = field_reads(&service).await;
    preview(&service, place, &record).await;
    assert_eq!(field_reads(&service).await, asked, "remembered");
    let path = service
        .client
        .path(&format!("/integrations/{place}?preview=true"));
    let request = service
        .client
        .request(Method::POST, &path)
        .header("cache-control", "no-cache")
        .body(create(record).to_string());
    service.client.send(request).await.expect(200);
    assert!(field_reads(&service).await > asked, "asked anew");
}

async fn a_description_that_a_refusal_contradicts_is_forgotten(kind: Kind) {
    let service = Service::start(kind).await;
    let options = |options: Value| json!([{"name": "colour", "type": "enumeration", "fieldType": "select", "options": options}]);
    let fields = "hubspot/acme/objects/companies/properties";
    define(&service, fields, options(json!(["red", "green"]))).await;
    let (place, record) = ("hs/objects/companies", json!({"name": "x", "colour": "green"}));
    assert_eq!(preview(&service, place, &record).await.json()["verdict"], "send");
    define(&service, fields, options(json!(["red"]))).await;
    service
        .client
        .write("hs", "companies", create(record.clone()))
        .await
        .expect(422);
    let shown = preview(&service, place, &record).await.json();
    assert_eq!(shown["findings"][0]["kind"], "not_an_option", "{shown}");
    // The same when a record of a batch is refused.
    define(&service, fields, options(json!(["red", "green"]))).await;
    assert_eq!(preview(&service, place, &record).await.json()["verdict"], "send");
    define(&service, fields, options(json!(["red"]))).await;
    let batch = json!({"groupRef": GROUP, "type": "create", "batch": [{"record": {"name": "y"}}, {"record": record}]});
    service.client.write("hs", "companies", batch).await;
    let shown = preview(&service, place, &record).await.json();
    assert_eq!(shown["findings"][0]["kind"], "not_an_option", "{shown}");
}

/// A preview has a finding exactly where the provider refuses the write.
async fn agree(service: &Service, integration: &str, object: &str, base: &Value, values: &[(&str, Value)]) {
    let (mut refused, mut taken) = (0, 0);
    for (field, value) in values {
        let mut record = base.clone();
        record[*field] = value.clone();
        let shown = preview(service, &format!("{integration}/objects/{object}"), &record)
            .await
            .json();
        let written = service.client.write(integration, object, create(record)).await;
        let found = !shown["findings"]
            .as_array()
            .unwrap_or_else(|| panic!("{shown}"))
            .is_empty();
        assert_eq!(
            found,
            written.status == 422,
            "{field}: {value}: {} {}",
            shown["findings"],
            written.body
        );
        match written.status {
            200 => taken += 1,
            _ => refused += 1,
        }
    }
    assert!(refused > 5 && taken > 5, "{refused} refused, {taken} taken");
}

async fn findings_agree_with_hubspot_on_values(kind: Kind) {
    let service = Service::start(kind).await;
    let fields = json!([
        {"name": "p_date", "type": "date"}, {"name": "p_dt", "type": "datetime"}, {"name": "p_num", "type": "number"},
        {"name": "p_multi", "type": "enumeration", "fieldType": "checkbox", "options": ["red", "green"]},
        {"name": "p_one", "type": "enumeration", "fieldType": "select", "options": ["red", "green"]},
        {"name": "p_bool", "type": "bool", "fieldType": "booleancheckbox"},
    ]);
    define(&service, "hubspot/acme/objects/companies/properties", fields).await;
    let values = [
        ("p_date", json!(1_635_535_865)),
        ("p_date", json!(1_635_465_600_000_i64)),
        ("p_date", json!("1635465600000")),
        ("p_date", json!("2026-01-01T00:00:00Z")),
        ("p_date", json!("2026-01-01T09:30:00Z")),
        ("p_date", json!("2026-01-01")),
        ("p_date", json!("01.02.2026")),
        ("p_date", json!("2026-02-30")),
        ("p_dt", json!("2026-01-01T09:30:00Z")),
        ("p_dt", json!("2026-01-01T09:30:00")),
        ("p_dt", json!("2026-01-01")),
        ("p_dt", json!(1_635_535_865)),
        ("p_dt", json!("soon")),
        ("p_multi", json!("red; green")),
        ("p_multi", json!("red;green")),
        ("p_multi", json!(";red")),
        ("p_multi", json!("blue")),
        ("p_one", json!("red;green")),
        ("p_one", json!("Red")),
        ("p_one", json!("green")),
        ("p_num", json!("1.")),
        ("p_num", json!(" 5")),
        ("p_num", json!("+5")),
        ("p_num", json!("1,200")),
        ("p_num", json!("1e5")),
        ("p_num", json!("NaN")),
        ("p_num", json!("inf")),
        ("p_num", json!(true)),
        ("p_bool", json!("True")),
        ("p_bool", json!("yes")),
        ("p_bool", json!(1)),
        ("p_bool", json!(true)),
        ("p_bool", json!("false")),
    ];
    agree(&service, "hs", "companies", &json!({"name": "x"}), &values).await;
}

async fn findings_agree_with_salesforce_on_values(kind: Kind) {
    let service = Service::start(kind).await;
    let fields = json!([
        {"name": "Day__c", "type": "date"}, {"name": "At__c", "type": "datetime"}, {"name": "Count__c", "type": "int"},
        {"name": "Size__c", "type": "double"}, {"name": "Flag__c", "type": "boolean"}, {"name": "Short__c", "length": 3},
        {"name": "Many__c", "type": "multipicklist", "restrictedPicklist": true, "picklistValues": ["red", "green"]},
        {"name": "One__c", "type": "picklist", "restrictedPicklist": true, "picklistValues": ["red", "green"]},
    ]);
    define(&service, "salesforce/acme/objects/Account/fields", fields).await;
    let values = [
        ("Day__c", json!("2026-01-01")),
        ("Day__c", json!("2026-01-01T09:30:00Z")),
        ("Day__c", json!(1_635_465_600_000_i64)),
        ("Day__c", json!("01.02.2026")),
        ("Day__c", json!(true)),
        ("At__c", json!("2026-01-01T09:30:00Z")),
        ("At__c", json!("2026-01-01T09:30:00.000+0000")),
        ("At__c", json!("2026-01-01T09:30:00")),
        ("At__c", json!(1_635_465_600)),
        ("Count__c", json!("15")),
        ("Count__c", json!(" 15")),
        ("Count__c", json!(1.5)),
        ("Count__c", json!(true)),
        ("Size__c", json!("1.5")),
        ("Size__c", json!("1,5")),
        ("Size__c", json!(false)),
        ("Flag__c", json!("true")),
        ("Flag__c", json!("True")),
        ("Flag__c", json!(1)),
        ("Flag__c", json!(false)),
        ("Short__c", json!("abcd")),
        ("Short__c", json!("abc")),
        ("Many__c", json!("red;green")),
        ("Many__c", json!("red; green")),
        ("One__c", json!("red")),
        ("One__c", json!("blue")),
    ];
    agree(&service, "sf", "account", &json!({"Name": "x"}), &values).await;
}

async fn what_the_server_would_not_call_is_refused_by_a_preview_too(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = tuning(&sandbox);
    let service = Service::with(kind, sandbox, tuning).await;
    service
        .deploy("specVersion: 1.0.0\nintegrations: [{name: k, provider: kaseyaVSAX, write: {objects: [{objectName: contacts}]}}]\n")
        .await;
    for (group, host) in [
        ("a", "169.254.169.254"),
        ("b", "10.0.0.1:8443"),
        ("c", "localhost"),
    ] {
        let connection = json!({"provider": "kaseyaVSAX", "groupRef": group, "consumerRef": "c", "providerWorkspaceRef": host,
            "basicAuth": {"username": "u", "password": "p4ssw0rd"}});
        service
            .client
            .post("/connections:generate", connection)
            .await
            .expect(201);
        service
            .install("k", group, json!({"provider": "kaseyaVSAX"}))
            .await;
        let body = json!({"groupRef": group, "type": "create", "record": {"name": "x"}});
        let path = "/integrations/k/objects/contacts?preview=true";
        let shown = service.client.post(path, &body).await.expect(200).json();
        let written = service
            .client
            .write("k", "contacts", &body)
            .await
            .expect(422)
            .json();
        assert_eq!(shown["verdict"], "refused", "{shown}");
        assert_eq!(shown["error"], written["errors"][0]["message"], "{shown}");
    }
}

async fn a_preview_of_very_many_fields_is_bounded(kind: Kind) {
    let service = Service::start(kind).await;
    let record: serde_json::Map<String, Value> = (0..20_000)
        .map(|number| (format!("f{number}"), json!("v")))
        .collect();
    let body = create(Value::Object(record)).to_string();
    let answer = service
        .client
        .post("/integrations/hs/objects/companies?preview=true", &body)
        .await
        .expect(200);
    assert!(
        answer.body.len() < 3 * body.len(),
        "{} for {}",
        answer.body.len(),
        body.len()
    );
    let shown = answer.json();
    for (list, left_out) in [("trace", "traceLeftOut"), ("findings", "findingsLeftOut")] {
        assert_eq!(shown[list].as_array().unwrap().len(), 1000);
        assert_eq!(shown[left_out], 19_000);
    }
    let sent = shown["requests"][0]["body"].as_str().unwrap();
    assert!(sent.contains("\"f19999\""), "the request is whole");
}
