//! Current values of several records.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use amp_write::connectors::{Catalog, Connector, Outcome, ProviderResponse};
use serde_json::{Map, Value, json};

use super::{body, now, word};

const A: &str = "003Hs00002AbCdEIAV";
const B: &str = "003Hs00002AbCdFIAV";

fn connector(provider: &str) -> (Arc<Connector>, BTreeMap<String, String>) {
    let vars = BTreeMap::from([("workspace".to_owned(), "acme".to_owned())]);
    (Catalog::builtin().get(provider).unwrap(), vars)
}

fn current(
    provider: &str,
    ids: &[&str],
    status: u16,
    body: &Value,
) -> Result<HashMap<String, Map<String, Value>>, Outcome> {
    let (connector, vars) = connector(provider);
    let response = ProviderResponse {
        status,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
        truncated: false,
    };
    let fields = if provider == "hubspot" {
        ["phone"]
    } else {
        ["Phone"]
    };
    connector.interpret_current_batch("contacts", ids, &fields, &vars, &response, now())
}

fn result(id: &str, phone: &str) -> Value {
    json!({"id": id, "properties": {"phone": phone}})
}

fn phones(found: &HashMap<String, Map<String, Value>>, field: &str) -> Vec<String> {
    let mut all: Vec<String> = found
        .iter()
        .map(|(id, own)| format!("{id} {}", own[field].as_str().unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn the_read_asks_for_each_record_once() {
    let (hubspot, vars) = connector("hubspot");
    let request = hubspot
        .read_current_batch("contacts", &["1", "2", "1"], &["phone", "city"], &vars)
        .unwrap();
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        (
            "POST",
            "https://api.hubapi.com/crm/objects/2026-03/contacts/batch/read"
        )
    );
    assert_eq!(
        body(&request),
        json!({"inputs": [{"id": "1"}, {"id": "2"}], "properties": ["phone", "city"]})
    );
    let (salesforce, vars) = connector("salesforce");
    let request = salesforce
        .read_current_batch("Contact", &[A], &["Phone"], &vars)
        .unwrap();
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        (
            "POST",
            "https://acme.my.salesforce.com/services/data/v60.0/composite/sobjects/Contact"
        )
    );
    assert_eq!(body(&request), json!({"ids": [A], "fields": ["Phone"]}));
    // Not several, too many, or no ids.
    let many: Vec<String> = (0..101).map(|id| id.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for ids in [&[][..], &[""][..], &["1", ".."][..], &many[..]] {
        assert_eq!(
            hubspot.read_current_batch("contacts", ids, &["phone"], &vars),
            None
        );
    }
    let (zoho, vars) = connector("zoho");
    assert_eq!(zoho.read_current_batch("Leads", &["1"], &["Phone"], &vars), None);
}

#[test]
fn hubspot_values_are_given_by_id_and_missing_records_are_absent() {
    let missing = |ids: Value| json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": ids}});
    let answer = |results: &[Value], errors: &[Value]| json!({"status": "COMPLETE", "results": results, "errors": errors, "numErrors": errors.len()});
    let body = answer(&[result("3", "c"), result("1", "a")], &[missing(json!(["2"]))]);
    let found = current("hubspot", &["1", "2", "3", "1"], 207, &body).unwrap();
    assert_eq!(phones(&found, "phone"), ["1 a", "3 c"]);
    // A merged record answers with the id that survives; that it is this one nobody says, and an empty field must not be
    // seen where there is a value.
    for results in [
        vec![result("9", "b"), result("1", "a")],
        vec![result("9", "b"), result("8", "a")],
        vec![result("1", "a")],
        vec![json!({"id": "1", "properties": {}}), result("2", "b")],
        vec![json!({"id": "1"}), result("2", "b")],
        vec![json!({"properties": {"phone": null}}), result("2", "b")],
        vec![],
    ] {
        let body = answer(&results, &[]);
        let told = current("hubspot", &["1", "2"], 200, &body).unwrap_err();
        assert_eq!(word(&told), "retry transient", "{body}");
    }
    // An error of another kind says nothing about the record.
    let internal = json!({"status": "error", "category": "INTERNAL_ERROR", "message": "oops", "context": {"ids": ["2"]}});
    let body = answer(&[result("1", "a")], &[internal]);
    assert_eq!(
        word(&current("hubspot", &["1", "2"], 207, &body).unwrap_err()),
        "retry transient"
    );
}

#[test]
fn salesforce_values_are_given_by_id_where_there_is_one() {
    let record = |id: &str, phone: &str| json!({"attributes": {"type": "Contact"}, "Phone": phone, "Id": id});
    let found = current("salesforce", &[A, B], 200, &json!([record(A, "a"), null])).unwrap();
    assert_eq!(phones(&found, "Phone"), [format!("{A} a")]);
    let address = |id: &str| json!({"url": format!("/services/data/v60.0/sobjects/Contact/{id}")});
    let told = json!([{"attributes": address(A), "Phone": "a"}, {"attributes": address(B), "phone": "b"}]);
    assert_eq!(current("salesforce", &[A, B], 200, &told).unwrap().len(), 2);
    let found = current(
        "salesforce",
        &[&A[..15], B],
        200,
        &json!([record(B, "b"), record(A, "a")]),
    )
    .unwrap();
    assert_eq!(
        phones(&found, "Phone"),
        [format!("{} a", &A[..15]), format!("{B} b")]
    );
    for body in [
        json!([record(A, "a")]),
        json!([record(A, "a"), record("003Hs00002AbZzZIAV", "b")]),
        json!([record(A, "a"), record(A, "b")]),
        json!([{"Phone": "a"}, {"Phone": "b"}]),
        json!([record(A, "a"), {"Id": B}]),
        json!({}),
        json!([]),
        json!([1, null]),
    ] {
        assert_eq!(
            word(&current("salesforce", &[A, B], 200, &body).unwrap_err()),
            "retry transient",
            "{body}"
        );
    }
}

#[test]
fn a_read_that_fails_says_what_that_means_for_the_writes() {
    let refused = |code: &str| json!([{"errorCode": code, "message": "no"}]);
    for (provider, status, body, expected) in [
        (
            "salesforce",
            400,
            refused("INVALID_FIELD"),
            "rejected validation INVALID_FIELD",
        ),
        ("salesforce", 401, refused("INVALID_SESSION_ID"), "unauthorized"),
        ("salesforce", 500, json!(null), "retry transient"),
        (
            "hubspot",
            429,
            json!({"policyName": "SECONDLY"}),
            "retry rate_limited",
        ),
        ("hubspot", 502, json!("<html>"), "retry transient"),
        (
            "hubspot",
            200,
            json!({"status": "PENDING", "results": []}),
            "retry transient",
        ),
        ("hubspot", 200, json!([]), "retry transient"),
    ] {
        assert_eq!(
            word(&current(provider, &[A], status, &body).unwrap_err()),
            expected,
            "{provider} {status}"
        );
    }
}
