//! What apps really send, and providers really answer, and what must go on working: values that other systems trip over,
//! manifests that other readers refuse, requests that few clients make.

use http::Method;
use serde_json::{Value, json};

use crate::edge::Raw;
use crate::harness::client::Answer;
use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_nul_in_a_value_arrives_and_is_shown_and_anywhere_else_is_refused,
    numbers_and_ids_keep_every_digit_on_their_way_there_and_back,
    a_record_by_the_external_id_of_another_goes_untouched,
    a_key_is_about_the_body_byte_for_byte,
    a_caller_header_goes_with_single_writes_batches_and_asynchronous_ones,
);

async fn post(service: &Service, object: (&str, &str), body: &str, headers: &[(&str, &str)]) -> Answer {
    let path = service
        .client
        .path(&format!("/integrations/{}/objects/{}", object.0, object.1));
    let mut request = service.client.request(Method::POST, &path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.client.send(request.body(body.to_owned())).await
}

const CONTACTS: (&str, &str) = ("hs", "contacts");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn a_nul_in_a_value_arrives_and_is_shown_and_anywhere_else_is_refused(kind: Kind) {
    let service = Service::start(kind).await;
    for (mode, email) in [("synchronous", "s@x.example"), ("asynchronous", "a@x.example")] {
        let body = json!({"groupRef": GROUP, "type": "create", "mode": mode,
            "record": {"email": email, "firstname": "A\u{0}B"}});
        let answer = post(&service, CONTACTS, &body.to_string(), &[JSON])
            .await
            .expect(200)
            .json();
        let operation = answer["operationId"].as_str().expect("an id");
        let done = service.client.ended(operation).await;
        assert_eq!(done["status"], "success", "{done}");
        let (.., body) = service.reached().pop().expect("it was sent");
        assert!(body.contains("\"A\\u0000B\""), "{body}");
        assert!(
            done["metadata"]["request"]["body"]
                .as_str()
                .is_some_and(|body| body.contains("A\\u0000B")),
            "{done}"
        );
    }
    let record = json!({"email": "n@x.example"});
    for body in [
        json!({"groupRef": "a\u{0}b", "type": "create", "record": record}),
        json!({"groupRef": GROUP, "type": "create\u{0}", "record": record}),
        json!({"groupRef": GROUP, "type": "update", "record": {"id": "1\u{0}", "email": "n@x.example"}}),
        json!({"groupRef": GROUP, "type": "create", "record": record, "clientRef": "\u{0}"}),
        json!({"groupRef": GROUP, "type": "create", "record": record, "headers": [{"key": "X-A", "value": "\u{0}"}]}),
    ] {
        let refused = post(&service, CONTACTS, &body.to_string(), &[JSON]).await;
        assert!(matches!(refused.status, 400 | 404), "{body}: {}", refused.body);
    }
    for path in [
        "/operations/%00",
        "/integrations/a%00b",
        "/operations?clientRef=%00",
    ] {
        let refused = service.client.get(path).await;
        assert!(matches!(refused.status, 400 | 404), "{path}: {}", refused.body);
    }
}

async fn numbers_and_ids_keep_every_digit_on_their_way_there_and_back(kind: Kind) {
    let service = Service::lenient(kind).await;
    service.set_up(PLAIN).await;
    let body =
        r#"{"groupRef":"acme","type":"create","record":{"dealname":"d","amount":12345678901234567890.10}}"#;
    let made = post(&service, ("hs", "deals"), body, &[JSON])
        .await
        .expect(200)
        .json();
    let (.., sent) = service.reached().pop().expect("it was sent");
    assert!(sent.contains("12345678901234567890.10"), "{sent}");
    assert!(made["result"]["recordId"].is_string());
    // An id as a number, larger than any that a double can hold.
    let body = r#"{"groupRef":"acme","type":"update","record":{"id":9223372036854775808123,"amount":1}}"#;
    post(&service, ("hs", "deals"), body, &[JSON]).await;
    let (_, path, _) = service.reached().pop().expect("it was sent");
    assert!(path.ends_with("/9223372036854775808123"), "{path}");
    let answer = amp_write::sandbox::FaultSpec {
        status: Some(201),
        body: Some(r#"{"id":12345678901234567890123}"#.to_owned()),
        ..amp_write::sandbox::FaultSpec::new(amp_write::sandbox::FaultKind::Answer).once()
    };
    service
        .sandbox
        .fault(answer.after_commit())
        .expect("a good fault");
    let body = r#"{"groupRef":"acme","type":"create","record":{"dealname":"e"}}"#;
    let made = post(&service, ("hs", "deals"), body, &[JSON])
        .await
        .expect(200)
        .json();
    assert_eq!(made["result"]["recordId"], "12345678901234567890123");
}

async fn a_record_by_the_external_id_of_another_goes_untouched(kind: Kind) {
    let service = Service::lenient(kind).await;
    service.set_up(PLAIN).await;
    let record = r#"{"LastName":"N","Account":{"Ext_Id__c":"A-1"}}"#;
    let body = format!(r#"{{"groupRef":"acme","type":"create","record":{record}}}"#);
    post(&service, ("sf", "contact"), &body, &[JSON]).await;
    let (.., sent) = service.reached().pop().expect("it was sent");
    assert_eq!(sent, record);
}

async fn a_key_is_about_the_body_byte_for_byte(kind: Kind) {
    let service = Service::start(kind).await;
    let key = ("idempotency-key", "k-1");
    let body = r#"{"groupRef":"acme","type":"create","record":{"email":"k@x.example"}}"#;
    let first = post(&service, CONTACTS, body, &[JSON, key])
        .await
        .expect(200)
        .json();
    let again = post(&service, CONTACTS, body, &[JSON, key])
        .await
        .expect(200)
        .json();
    assert_eq!(again["operationId"], first["operationId"]);
    for other in [
        r#"{"groupRef":"acme","type":"create","record":{"email": "k@x.example"}}"#,
        r#"{"type":"create","groupRef":"acme","record":{"email":"k@x.example"}}"#,
    ] {
        let problem = post(&service, CONTACTS, other, &[JSON, key]).await.problem(422);
        assert!(
            problem["type"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("idempotency-key-reused")),
            "{problem}"
        );
    }
    assert_eq!(service.created(), 1);
}

async fn a_caller_header_goes_with_single_writes_batches_and_asynchronous_ones(kind: Kind) {
    let service = Service::start(kind).await;
    let allow = json!([{"key": "Sforce-Duplicate-Rule-Header", "value": "allowSave=true"}]);
    let record = json!({"LastName": "a", "Company": "c"});
    for body in [
        json!({"groupRef": GROUP, "type": "create", "headers": allow, "record": record}),
        json!({"groupRef": GROUP, "type": "create", "headers": allow, "batch": [{"record": record}, {"record": record}]}),
        json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "headers": allow, "record": record}),
    ] {
        let answer = post(&service, ("sf", "lead"), &body.to_string(), &[JSON])
            .await
            .expect(200)
            .json();
        let operation = answer["operationId"].as_str().expect("an id");
        assert_eq!(service.client.ended(operation).await["status"], "success");
        let entry = service.sandbox.ledger().pop().expect("it was sent");
        let given = |(name, value): &(String, String)| {
            name.eq_ignore_ascii_case("Sforce-Duplicate-Rule-Header") && value == "allowSave=true"
        };
        assert!(entry.headers.iter().any(given), "{:?}", entry.headers);
    }
    for (key, value) in [
        ("Authorization", "Bearer x"),
        ("Host", "evil.example"),
        ("X-A", "a\r\nX-B: b"),
    ] {
        let body = json!({"groupRef": GROUP, "type": "create", "record": record,
            "headers": [{"key": key, "value": value}]});
        post(&service, ("sf", "lead"), &body.to_string(), &[JSON])
            .await
            .problem(400);
    }
}

#[tokio::test]
async fn a_body_is_json_whatever_its_content_type_says() {
    let service = Service::start(Kind::Sqlite).await;
    let types = [
        Some("application/json; charset=UTF8"),
        Some("text/plain"),
        Some("null"),
        None,
    ];
    for (number, content_type) in types.into_iter().enumerate() {
        let body =
            json!({"groupRef": GROUP, "type": "create", "record": {"email": format!("t{number}@x.example")}});
        let headers: Vec<(&str, &str)> = content_type
            .map(|value| ("content-type", value))
            .into_iter()
            .collect();
        post(&service, CONTACTS, &body.to_string(), &headers)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_manifest_may_use_all_of_yaml_and_is_refused_with_its_line_where_it_breaks_it() {
    let service = Service::empty(Kind::Sqlite).await;
    let manifest = |objects: &str| {
        format!(
            "specVersion: 1.0.0\nintegrations:\n  - name: hs\n    provider: hubspot\n    write:\n      objects:\n{objects}"
        )
    };
    let deploy = async |source: &str| {
        let body = json!({ "sourceYaml": source });
        service.client.put("/integrations:batch", body).await
    };
    let names = |deployed: &Value| -> Vec<String> {
        let objects = &deployed[0]["latestRevision"]["content"]["write"]["objects"];
        let objects = objects.as_array().expect("objects").iter();
        objects
            .map(|object| object["objectName"].as_str().expect("text").to_owned())
            .collect()
    };
    let plain = "        - objectName: contacts\n";
    let deployed = deploy(&manifest(plain).replace('\n', "\r\n"))
        .await
        .expect(200)
        .json();
    assert_eq!(names(&deployed), ["contacts"]);
    let shared = "        - &base {objectName: contacts}\n        - {<<: *base, objectName: companies}\n";
    let deployed = deploy(&manifest(shared)).await.expect(200).json();
    assert_eq!(names(&deployed), ["contacts", "companies"]);
    let words = "        - objectName: no\n        - objectName: on\n        - objectName: '0123'\n        - objectName: '1e3'\n";
    let deployed = deploy(&manifest(words)).await;
    if deployed.status == 200 {
        assert_eq!(names(&deployed.json()), ["no", "on", "0123", "1e3"]);
    } else {
        deployed.problem(422);
    }
    for broken in [
        "        - objectName: contacts\n          objectName: companies\n",
        "        -\tobjectName: contacts\n",
        "        - objectName: contacts\n---\na: 1\n",
    ] {
        let refused = deploy(&manifest(broken)).await;
        assert!(matches!(refused.status, 400 | 422), "{broken}: {}", refused.body);
    }
    let brackets = format!("specVersion: 1.0.0\nintegrations: {}", "[".repeat(5_000));
    assert!(matches!(deploy(&brackets).await.status, 400 | 422));
}

#[tokio::test]
async fn requests_that_few_clients_make_are_served_or_refused_and_never_guessed_at() {
    let service = Service::start(Kind::Sqlite).await;
    let path = service.client.path("/integrations/hs/objects/contacts");
    let key = &service.client.key;
    let body =
        |email: &str| json!({"groupRef": GROUP, "type": "create", "record": {"email": email}}).to_string();
    let ask = async |line: String, headers: String, body: String| {
        let mut raw = Raw::connect(&service.client.url).await;
        raw.send(format!(
            "{line}\r\nHost: x\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}\r\n{body}"
        ))
        .await;
        let answer = raw.read_to_end().await;
        let interim = answer
            .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
            .map_or(answer.as_str(), |rest| rest);
        interim.split(' ').nth(1).expect("a status").to_owned()
    };
    let length = |text: &str| format!("Content-Length: {}\r\n", text.len());
    let (first, second, third, fourth) = (body("1@x.e"), body("2@x.e"), body("3@x.e"), body("4@x.e"));
    let chunked = format!("{:x}\r\n{first}\r\n0\r\n\r\n", first.len());
    let post = format!("POST {path} HTTP/1.1");
    assert_eq!(
        ask(post.clone(), "Transfer-Encoding: chunked\r\n".into(), chunked).await,
        "200"
    );
    assert_eq!(
        ask(format!("POST {path} HTTP/1.0"), length(&second), second).await,
        "200"
    );
    let expects = format!("Expect: 100-continue\r\n{}", length(&third));
    assert_eq!(ask(post.clone(), expects, third).await, "200");
    assert_eq!(
        ask(format!("POST http://x{path} HTTP/1.1"), length(&fourth), fourth).await,
        "200"
    );
    let twice = format!("{}Content-Length: 1\r\n", length("{}"));
    assert_eq!(ask(post.clone(), twice, "{}".into()).await, "400");
    let both = format!("{}Transfer-Encoding: chunked\r\n", length("{}"));
    let status = ask(post, both, "0\r\n\r\n".into()).await;
    assert_eq!(status, "400", "the length does not count, and nothing is no JSON");
    assert_eq!(service.created(), 4);
}
