//! Answers of providers that are not what they should be: read as far as they can be, and believed no further.

use amp_write::sandbox::{FaultKind, FaultSpec};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::raw::Raw;
use crate::harness::service::{GROUP, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    half_a_character_in_a_batch_answer_hides_no_record,
    an_odd_character_hides_no_lock_and_no_limit,
    a_success_is_told_in_whatever_charset_and_packing_it_comes,
    a_create_whose_answer_says_nothing_is_in_doubt,
    a_read_that_shows_no_record_overwrites_nothing,
    a_read_that_shows_no_record_is_made_again_in_the_background,
    a_batch_of_which_a_read_does_not_show_every_record_is_not_written,
    a_create_in_doubt_is_not_sent_again_until_its_absence_is_certain,
    a_locked_record_of_a_batch_is_tried_again_alone,
    a_duplicate_names_its_code_the_record_and_what_helps,
    a_body_that_breaks_off_proves_nothing,
);

fn asynchronous(kind: &str, record: Value) -> Value {
    json!({"groupRef": GROUP, "type": kind, "mode": "asynchronous", "record": record})
}

async fn done(service: &Service, integration: &str, object: &str, body: Value) -> Value {
    let answer = service
        .client
        .write(integration, object, body)
        .await
        .expect(200)
        .json();
    service
        .client
        .ended(answer["operationId"].as_str().unwrap())
        .await
}

/// The next answer of this kind is exactly this one.
fn answers(service: &Service, provider: &str, method: &str, status: u16, body: &str) {
    let spec = json!({
        "fault": "answer", "times": 1, "status": status, "body": body,
        "phase": if status < 300 && method != "GET" { "after_commit" } else { "before_commit" },
        "match": {"provider": provider, "method": method},
    });
    let spec: FaultSpec = serde_json::from_value(spec).unwrap();
    service.sandbox.fault(spec).expect("a good fault");
}

async fn half_a_character_in_a_batch_answer_hides_no_record(kind: Kind) {
    let service = Service::start(kind).await;
    answers(
        &service,
        "salesforce",
        "POST",
        200,
        r#"[{"id":"00Q000000000011AAA","success":true,"errors":[]},{"success":false,"errors":[{"statusCode":"STRING_TOO_LONG","message":"First Name: data value too large: Hi \ud83d","fields":["FirstName"]}]}]"#,
    );
    let records = ["a", "b"].map(|name| json!({"record": {"LastName": name, "Company": "c"}}));
    let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "batch": records});
    let operation = done(&service, "sf", "lead", body).await;
    let told = &operation["metadata"]["records"];
    assert_eq!(told[0]["state"], "succeeded", "{operation}");
    assert_eq!(told[0]["recordId"], "00Q000000000011AAA");
    assert_eq!(told[1]["state"], "failed", "{operation}");
    let text = told[1]["errors"].to_string();
    assert!(
        text.contains("Hi \u{fffd}") && text.contains("STRING_TOO_LONG"),
        "{text}"
    );
}

async fn an_odd_character_hides_no_lock_and_no_limit(kind: Kind) {
    let service = Service::start(kind).await;
    let lock =
        r#"{"message":"unable to obtain exclusive access: X","errorCode":"UNABLE_TO_LOCK_ROW","fields":[]}"#;
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    for lock in [
        lock.replace('X', r"Hi \ud83d"),
        lock.replace('X', "one\u{1}two\nthree"),
        lock.replace('X', r"it\'s"),
        lock.replace(r#""fields":[]"#, r#""fields":NaN"#),
        lock.replace(r#""fields":[]"#, r#""fields":[],"fields":[]"#),
        lock.replace(r#""fields":[]"#, &format!(r#""fields":{deep}"#)),
        lock.replace("fields", "$serde_json::private::Number"),
    ] {
        answers(&service, "salesforce", "POST", 400, &format!("[{lock}]"));
        let body = asynchronous("create", json!({"LastName": "a", "Company": "c"}));
        let operation = done(&service, "sf", "lead", body).await;
        assert_eq!(operation["metadata"]["state"], "succeeded", "{lock}: {operation}");
        assert_eq!(
            operation["metadata"]["attempts"][0]["class"], "lock",
            "{lock}: {operation}"
        );
    }
    let limit = r#"[{"message":"TotalRequests Limit exceeded \ud83d","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#;
    answers(&service, "salesforce", "POST", 403, limit);
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"LastName": "a", "Company": "c"}});
    service.client.write("sf", "lead", body).await.problem(429);
}

/// A service whose Salesforce is this one, Account Engagement.
async fn prospects(kind: Kind) -> (Service, Raw) {
    let (sandbox, raw) = (start_sandbox().await, Raw::start().await);
    let mut tuning = tuning(&sandbox);
    tuning.provider_urls = vec![("salesforce".to_owned(), raw.url.clone())];
    let service = Service::with(kind, sandbox, tuning).await;
    let manifest = "specVersion: 1.0.0\nintegrations:\n  - {name: i, provider: salesforce, module: account-engagement, write: {objects: [{objectName: prospects}]}}\n";
    service.deploy(manifest).await;
    service.connect(GROUP, "salesforce", "test-acme").await;
    service
        .install("i", GROUP, json!({"provider": "salesforce"}))
        .await;
    (service, raw)
}

fn prospect() -> Value {
    json!({"groupRef": GROUP, "type": "create", "record": {"city": "x"}})
}

fn gzip(body: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

async fn a_success_is_told_in_whatever_charset_and_packing_it_comes(kind: Kind) {
    let (service, raw) = prospects(kind).await;
    let latin = &b"{\"id\":502,\"city\":\"S\xe3o Paulo\"}"[..];
    let utf16: Vec<u8> = "{\"id\":502,\"city\":\"São Paulo\"}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (headers, body, city) in [
        (
            &["Content-Type: application/json;charset=ISO-8859-1"][..],
            latin.to_vec(),
            "São Paulo",
        ),
        (
            &["Content-Type: application/json; charset=\"windows-1252\""],
            latin.to_vec(),
            "São Paulo",
        ),
        (
            &["Content-Type: application/json"],
            latin.to_vec(),
            "S\u{fffd}o Paulo",
        ),
        (
            &["Content-Type: application/json; charset=utf-16le"],
            utf16.clone(),
            "São Paulo",
        ),
        (&[], utf16, "São Paulo"),
        (
            &[
                "Content-Type: application/json;charset=ISO-8859-1",
                "Content-Encoding: gzip",
            ],
            gzip(latin),
            "São Paulo",
        ),
        (
            &[],
            gzip("{\"id\":502,\"city\":\"São Paulo\"}".as_bytes()),
            "São Paulo",
        ),
        (
            &["Content-Encoding: gzip"],
            "{\"id\":502,\"city\":\"São Paulo\"}".into(),
            "São Paulo",
        ),
        (
            &[],
            "\u{feff}{\"id\":502,\"city\":\"São Paulo\"}".into(),
            "São Paulo",
        ),
    ] {
        raw.answer(201, headers, &body);
        let answer = service
            .client
            .write("i", "prospects", prospect())
            .await
            .expect(200)
            .json();
        assert_eq!(answer["result"]["recordId"], "502", "{headers:?}: {answer}");
        assert_eq!(answer["result"]["data"]["city"], city, "{headers:?}");
    }
}

async fn a_create_whose_answer_says_nothing_is_in_doubt(kind: Kind) {
    let service = Service::start(kind).await;
    let long = format!("{{\"id\":\"77001\",\"x\":\"{}", "x".repeat(50));
    for (at, (status, body)) in [
        (200, "<html><title>Welcome</title></html>"),
        (201, ""),
        (201, "{}"),
        (201, "[]"),
        (201, "{\"id\":null}"),
        (201, "{\"id\":\"\\ud83d\"}"),
        (201, long.as_str()),
        (200, "{\"status\":\"error\",\"message\":\"Locked\"}"),
    ]
    .into_iter()
    .enumerate()
    {
        answers(&service, "hubspot", "POST", status, body);
        let record = json!({"name": format!("c{at}")});
        let body = json!({"groupRef": GROUP, "type": "create", "record": record});
        let problem = service.client.write("hs", "companies", body).await.problem(502);
        assert_eq!(problem["retryable"], false, "{at}: {problem}");
    }
    answers(&service, "hubspot", "POST", 201, "\u{feff}{\"id\":\"77001\"}");
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"email": "bom@x.example"}});
    let answer = service
        .client
        .write("hs", "contacts", body)
        .await
        .expect(200)
        .json();
    assert_eq!(answer["result"]["recordId"], "77001");
}

const PROTECTED: &str = "
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    write: {objects: [{objectName: companies}]}
  - name: sf
    provider: salesforce
    write: {objects: [{objectName: account}]}
";

/// A company and an account whose telephone number may be written only while it is empty, and is not.
async fn protected(kind: Kind) -> (Service, [(&'static str, &'static str, &'static str, Value); 2]) {
    let service = Service::empty(kind).await;
    service.deploy(PROTECTED).await;
    let mut made = Vec::new();
    for (integration, provider, object, field, name) in [
        ("hs", "hubspot", "companies", "phone", "name"),
        ("sf", "salesforce", "account", "Phone", "Name"),
    ] {
        service.connect(GROUP, provider, "test-acme").await;
        let settings = json!({ field: {"writeOnUpdate": "ifEmpty"} });
        let objects = json!({object: {"objectName": object, "selectedFieldSettings": settings}});
        service
            .install(
                integration,
                GROUP,
                json!({"provider": provider, "write": {"objects": objects}}),
            )
            .await;
        let body = json!({"groupRef": GROUP, "type": "create", "record": {name: "N", field: "1"}});
        let answer = service
            .client
            .write(integration, object, body)
            .await
            .expect(200)
            .json();
        made.push((integration, object, field, answer["result"]["recordId"].clone()));
    }
    let [hubspot, salesforce] = <[_; 2]>::try_from(made).expect("two");
    (service, [hubspot, salesforce])
}

/// What answers with 200 and shows no record.
const NOTHING: [&str; 13] = [
    r#"{"status":"error","message":"Service temporarily unavailable","category":"INTERNAL_ERROR"}"#,
    r#"{"status":"error","message":"gone","category":"OBJECT_NOT_FOUND"}"#,
    r#"[{"errorCode":"NOT_FOUND","message":"gone"}]"#,
    "{}",
    "[]",
    "null",
    "",
    "<html><title>Sign in</title></html>",
    r#"{"properties":null}"#,
    r#"{"properties":{"phone":null}}"#,
    r#"{"id":"999","properties":{"phone":null}}"#,
    r#"{"attributes":{"type":"Account"},"Phone":null}"#,
    r#"{"attributes":{"type":"Account"},"Id":"001000000000999AAA","Phone":null}"#,
];

async fn a_read_that_shows_no_record_overwrites_nothing(kind: Kind) {
    let (service, made) = protected(kind).await;
    for (integration, object, field, id) in made {
        let provider = if integration == "hs" {
            "hubspot"
        } else {
            "salesforce"
        };
        let (told, name) = (
            id.as_str().unwrap(),
            if integration == "hs" { "name" } else { "Name" },
        );
        // The right record, and not what was asked for.
        let partial = [
            format!(r#"{{"id":"{told}"}}"#),
            format!(r#"{{"id":"{told}","properties":null}}"#),
            format!(r#"{{"id":"{told}","properties":{{}}}}"#),
            format!(r#"{{"Id":"{told}","Name":"N"}}"#),
        ];
        let writes = service
            .reached()
            .iter()
            .filter(|(method, ..)| method != "GET")
            .count();
        for body in NOTHING.iter().copied().chain(partial.iter().map(String::as_str)) {
            answers(&service, provider, "GET", 200, body);
            let record = json!({"id": id, field: "2", name: "N"});
            let update = json!({"groupRef": GROUP, "type": "update", "record": record});
            let problem = service
                .client
                .write(integration, object, update)
                .await
                .problem(502);
            assert_eq!(problem["retryable"], true, "{body}: {problem}");
        }
        // A gateway that knows nothing of records.
        answers(&service, provider, "GET", 404, "<html><title>404</title></html>");
        let update = json!({"groupRef": GROUP, "type": "update", "record": {"id": id, field: "2"}});
        service
            .client
            .write(integration, object, update)
            .await
            .problem(502);
        let after = service
            .reached()
            .iter()
            .filter(|(method, ..)| method != "GET")
            .count();
        assert_eq!(after, writes, "nothing was written");
    }
}

async fn a_read_that_shows_no_record_is_made_again_in_the_background(kind: Kind) {
    let (service, made) = protected(kind).await;
    for (integration, object, field, id) in made {
        let provider = if integration == "hs" {
            "hubspot"
        } else {
            "salesforce"
        };
        for body in [NOTHING[0], "{}"] {
            answers(&service, provider, "GET", 200, body);
            let update = asynchronous("update", json!({"id": id, field: "2"}));
            let operation = done(&service, integration, object, update).await;
            assert_eq!(operation["metadata"]["state"], "succeeded", "{operation}");
            let trace = &operation["metadata"]["trace"];
            assert_eq!(trace[0]["decision"], "skipped_not_empty", "{operation}");
        }
    }
    let wrote = |(method, _, body): &(String, String, String)| method != "GET" && body.contains(r#":"2""#);
    assert!(
        !service.reached().iter().any(wrote),
        "the values that were there are kept"
    );
}

async fn a_batch_of_which_a_read_does_not_show_every_record_is_not_written(kind: Kind) {
    let (service, made) = protected(kind).await;
    for (integration, object, field, id) in made {
        let (provider, name) = match integration {
            "hs" => ("hubspot", "name"),
            _ => ("salesforce", "Name"),
        };
        let body = json!({"groupRef": GROUP, "type": "create", "record": {name: "M", field: "1"}});
        let other = service
            .client
            .write(integration, object, body)
            .await
            .expect(200)
            .json();
        let (first, second) = (
            id.as_str().unwrap(),
            other["result"]["recordId"].as_str().unwrap(),
        );
        let records = [first, second].map(|id| json!({"record": {"id": id, field: "2"}}));
        let batch = json!({"groupRef": GROUP, "type": "update", "batch": records});
        for body in [
            "{}".to_owned(),
            "[]".to_owned(),
            r#"{"status":"error","category":"INTERNAL_ERROR","message":"no"}"#.to_owned(),
            r#"{"status":"COMPLETE","results":[]}"#.to_owned(),
            format!(
                r#"{{"status":"COMPLETE","results":[{{"id":"{first}","properties":{{"phone":null}}}}]}}"#
            ),
            format!(
                r#"{{"status":"COMPLETE","results":[{{"id":"{first}","properties":{{"phone":null}}}},{{"id":"{second}"}}]}}"#
            ),
            format!(
                r#"{{"status":"COMPLETE","results":[{{"id":"{first}","properties":{{"phone":null}}}},{{"id":"999","properties":{{"phone":null}}}}]}}"#
            ),
            r#"[{"Phone":null},{"Phone":null}]"#.to_owned(),
            format!(r#"[{{"Id":"{first}","Phone":null}},{{"Id":"{first}","Phone":null}}]"#),
            format!(r#"[{{"Id":"{first}","Phone":null}},{{"Id":"{second}"}}]"#),
        ] {
            let reads: FaultSpec = serde_json::from_value(json!({
                "fault": "answer", "times": 1, "status": 200, "body": body,
                "match": {"provider": provider, "action": "read"},
            }))
            .unwrap();
            service.sandbox.fault(reads).expect("a good fault");
            let answer = service.client.write(integration, object, &batch).await;
            assert_eq!(answer.status, 502, "{body}: {}", answer.body);
            assert_eq!(answer.json()["retryable"], true, "{body}: {}", answer.body);
        }
        let answer = service
            .client
            .write(integration, object, &batch)
            .await
            .expect(200);
        assert_eq!(
            answer.header("amp-warnings"),
            format!("skipped_not_empty: {field}, nothing_sent")
        );
    }
}

async fn a_create_in_doubt_is_not_sent_again_until_its_absence_is_certain(kind: Kind) {
    let service = Service::start(kind).await;
    for (at, (status, body)) in [
        (200, "{}"),
        (200, "[]"),
        (200, ""),
        (200, NOTHING[0]),
        (200, r#"{"id":null,"properties":{}}"#),
        (200, "<html><title>Sign in</title></html>"),
        (404, "<html><title>404</title></html>"),
        (404, ""),
        (404, r#"{"message":"no Route matched with those values"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let lost = FaultSpec::new(FaultKind::DropAfterCommit).action("create").once();
        service.sandbox.fault(lost).expect("a good fault");
        answers(&service, "hubspot", "GET", status, body);
        let before = service.reached().len();
        let record = json!({"email": format!("ll{at}@x.example"), "firstname": "F"});
        let operation = done(&service, "hs", "contacts", asynchronous("create", record)).await;
        assert_eq!(operation["metadata"]["state"], "succeeded", "{body}: {operation}");
        let methods: Vec<String> = service.reached()[before..]
            .iter()
            .map(|(method, ..)| method.clone())
            .collect();
        assert_eq!(
            methods.iter().filter(|method| *method == "POST").count(),
            1,
            "{body}: {methods:?}"
        );
        assert_eq!(service.created(), at + 1, "{body}");
    }
}

async fn a_locked_record_of_a_batch_is_tried_again_alone(kind: Kind) {
    let service = Service::start(kind).await;
    let mut ids = Vec::new();
    for n in 0..2 {
        let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": format!("c{n}")}});
        let answer = service
            .client
            .write("hs", "companies", body)
            .await
            .expect(200)
            .json();
        ids.push(answer["result"]["recordId"].as_str().unwrap().to_owned());
    }
    for (category, message) in [("RECORD_LOCKED", "Locked"), ("CONFLICT", "Locked")] {
        let locked = json!({
            "status": "COMPLETE", "numErrors": 1,
            "results": [{"id": ids[0], "properties": {"city": "W"}}],
            "errors": [{"status": "error", "category": category, "message": message, "context": {"ids": [ids[1]]}}],
        });
        let spec: FaultSpec = serde_json::from_value(json!({
            "fault": "answer", "times": 1, "status": 207, "body": locked.to_string(), "phase": "before_commit",
            "match": {"provider": "hubspot", "action": "update"},
        }))
        .unwrap();
        service.sandbox.fault(spec).expect("a good fault");
        let before = service.reached().len();
        let records: Vec<Value> = ids
            .iter()
            .map(|id| json!({"record": {"id": id, "city": "W"}}))
            .collect();
        let body = json!({"groupRef": GROUP, "type": "update", "mode": "asynchronous", "batch": records});
        let operation = done(&service, "hs", "companies", body).await;
        assert_eq!(
            operation["metadata"]["state"], "succeeded",
            "{category}: {operation}"
        );
        let sent = service.reached().split_off(before);
        assert_eq!(sent.len(), 2, "{sent:?}");
        let again = format!("{} {}", sent[1].1, sent[1].2);
        assert!(again.contains(&ids[1]) && !again.contains(&ids[0]), "{again}");
    }
}

async fn a_duplicate_names_its_code_the_record_and_what_helps(kind: Kind) {
    let service = Service::start(kind).await;
    let lead = || json!({"LastName": "Q", "Company": "c", "Email": "q@x.example"});
    let create = |mode: &str| json!({"groupRef": GROUP, "type": "create", "mode": mode, "record": lead()});
    let answer = service
        .client
        .write("sf", "lead", create("synchronous"))
        .await
        .expect(200)
        .json();
    let existing = answer["result"]["recordId"].as_str().unwrap().to_owned();
    for (block, helps) in [
        (false, "`Sforce-Duplicate-Rule-Header: allowSave=true`"),
        (true, "lets no other be saved"),
    ] {
        let rule = json!({"duplicate_rules": [{
            "object": "Lead", "name": "Std", "match_rule": "r", "match_on": ["Email"], "block": block,
        }]});
        service
            .sandbox
            .control(
                http::Method::PATCH,
                &format!("/accounts/salesforce/{GROUP}"),
                &rule,
            )
            .await
            .expect("the rule is set");
        let says = |text: &str| {
            for part in ["DUPLICATES_DETECTED", existing.as_str(), helps] {
                assert!(text.contains(part), "{part} in {text}");
            }
        };
        let answer = service
            .client
            .write("sf", "lead", create("synchronous"))
            .await
            .expect(422)
            .json();
        says(answer["errors"][0]["message"].as_str().unwrap());
        let operation = done(&service, "sf", "lead", create("asynchronous")).await;
        says(operation["result"].as_str().unwrap());
        says(&operation["metadata"]["errors"].to_string());
        says(operation["metadata"]["attempts"][0]["message"].as_str().unwrap());
        // In a batch Salesforce tells the code; the record only where it names it.
        let records = [lead(), lead()].map(|record| json!({"record": record}));
        for mode in ["synchronous", "asynchronous"] {
            let body = json!({"groupRef": GROUP, "type": "create", "mode": mode, "batch": records});
            let told = if mode == "synchronous" {
                service.client.write("sf", "lead", body).await.expect(422).json()["errors"].to_string()
            } else {
                done(&service, "sf", "lead", body).await["metadata"]["records"].to_string()
            };
            assert_eq!(told.matches("DUPLICATES_DETECTED").count(), 2, "{told}");
            assert!(told.contains("Update the record that exists"), "{told}");
        }
    }
    // With the header it is saved.
    let rule = json!({"duplicate_rules": [{"object": "Lead", "name": "Std", "match_rule": "r", "match_on": ["Email"], "block": false}]});
    service
        .sandbox
        .control(
            http::Method::PATCH,
            &format!("/accounts/salesforce/{GROUP}"),
            &rule,
        )
        .await
        .expect("the rule is set");
    let mut body = create("synchronous");
    body["headers"] = json!([{"key": "Sforce-Duplicate-Rule-Header", "value": "allowSave=true"}]);
    service.client.write("sf", "lead", body).await.expect(200);
    // The other providers' codes and records, too.
    let contact = || json!({"groupRef": GROUP, "type": "create", "record": {"email": "d@x.example"}});
    let made = service
        .client
        .write("hs", "contacts", contact())
        .await
        .expect(200)
        .json();
    let refused = service
        .client
        .write("hs", "contacts", contact())
        .await
        .expect(422)
        .json();
    let text = refused["errors"][0]["message"].as_str().unwrap();
    let id = made["result"]["recordId"].as_str().unwrap();
    assert!(
        text.contains("CONFLICT") && text.matches(id).count() == 1,
        "{text}"
    );
}

/// A provider whose success needs no body, or any body.
const BARE: &str = "provider: bare
display_name: Bare
auth: {api_key: {in: header, name: X-Key}}
base_url: https://api.bare.example
ops: {create: {method: POST, path: \"/{object}\"}, update: {method: PUT, path: \"/{object}/{id}\"}}
result: {id: [id], empty: ok, text: ok}
open: true
examples:
  - {name: a thing, action: create, object: things, record: {a: 1}, response: {status: 200, body_text: OK}, outcome: {is: succeeded}}
";

async fn a_body_that_breaks_off_proves_nothing(kind: Kind) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("bare.yaml"), BARE).expect("written");
    let (sandbox, raw) = (start_sandbox().await, Raw::start().await);
    let mut tuning = tuning(&sandbox);
    tuning.provider_urls.push(("bare".to_owned(), raw.url.clone()));
    tuning.connectors_dir = Some(folder.path().to_owned());
    let service = Service::with(kind, sandbox, tuning).await;
    service.deploy("specVersion: 1.0.0\nintegrations:\n  - {name: i, provider: bare, write: {objects: [{objectName: things}]}}\n").await;
    let connection = json!({"provider": "bare", "groupRef": GROUP, "consumerRef": "c", "apiKey": "k"});
    service
        .client
        .post("/connections:generate", connection)
        .await
        .expect(201);
    service.install("i", GROUP, json!({"provider": "bare"})).await;
    let create = json!({"groupRef": GROUP, "type": "create", "record": {"a": 1}});
    // Whole: a text, and nothing at all.
    raw.answer(200, &[], b"OK");
    service.client.write("i", "things", &create).await.expect(200);
    raw.answer(200, &[], b"");
    service.client.write("i", "things", &create).await.expect(200);
    for (headers, body) in [
        (&["Content-Length: 100"][..], &b"OK"[..]),
        (&["Content-Length: 100"], b""),
        (&["Transfer-Encoding: chunked"], b"2\r\nOK\r\n"),
        (
            &["Content-Length: 22", "Content-Encoding: gzip"],
            &gzip(b"OK and more of it")[..22],
        ),
        (&["Content-Length: 2", "Content-Encoding: br"], b"OK"),
    ] {
        raw.answer_exactly(200, headers, body);
        let problem = service.client.write("i", "things", &create).await.problem(502);
        assert_eq!(problem["retryable"], false, "{headers:?}: {problem}");
        raw.answer_exactly(200, headers, body);
        let mut body = create.clone();
        body["mode"] = json!("asynchronous");
        let operation = done(&service, "i", "things", body).await;
        assert_eq!(
            operation["metadata"]["state"], "needs_review",
            "{headers:?}: {operation}"
        );
    }
    assert_eq!(raw.seen().len(), 12, "none was sent twice");
    // An update may be repeated, and is.
    raw.answer_exactly(200, &["Content-Length: 100"], b"OK");
    raw.answer(200, &[], b"OK");
    let update = asynchronous("update", json!({"id": "7", "a": 2}));
    let operation = done(&service, "i", "things", update).await;
    assert_eq!(operation["metadata"]["state"], "succeeded", "{operation}");
    assert_eq!(raw.seen().len(), 14);
}
