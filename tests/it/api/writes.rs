//! Contract §4: the write, row by row.

use amp_write::sandbox::{ChangeKind, FaultKind, FaultSpec};
use serde_json::{Value, json};

use crate::harness::service::{GROUP, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_synchronous_create_answers_the_record_and_is_recorded,
    an_asynchronous_create_answers_an_operation_that_ends_in_success,
    an_update_and_a_delete_name_their_record,
    a_rejected_write_answers_422_with_the_providers_reason,
    a_rejected_asynchronous_write_ends_as_failure,
    what_is_unknown_is_404,
    bad_requests_are_400_and_nothing_is_stored_or_sent,
    a_body_over_the_limit_is_413,
    a_provider_that_fails_is_502_and_retryable_only_when_nothing_was_applied,
    a_rate_limit_is_429_with_retry_after,
    a_dead_credential_is_424_and_works_again_after_an_update,
    a_store_that_is_down_is_503_and_nothing_is_sent,
    numbers_and_key_order_reach_the_provider_unchanged,
    headers_pass_through_to_salesforce,
    strict_rejects_what_would_be_dropped_and_warnings_tell_it,
    an_update_that_the_rules_leave_empty_is_not_sent,
    a_delete_of_what_is_not_there_is_rejected,
    an_app_that_hangs_up_does_not_leave_a_write_unrecorded,
    documents_that_would_trick_the_parser_are_refused,
    a_secret_that_the_provider_repeats_is_not_shown,
);

const DROPPING: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    read:
      objects:
        - objectName: contacts
          destination: d
          schedule: '0 * * * *'
          requiredFields: [{fieldName: mobilephone, mapToName: phone}]
          optionalFields: [{mapToName: notes}]
    write: {objects: [{objectName: contacts, inheritMapping: true}]}
";

fn write(kind: &str, record: Value) -> Value {
    json!({"groupRef": GROUP, "type": kind, "record": record})
}

fn asynchronous(kind: &str, record: Value) -> Value {
    json!({"groupRef": GROUP, "type": kind, "mode": "asynchronous", "record": record})
}

async fn a_synchronous_create_answers_the_record_and_is_recorded(kind: Kind) {
    let service = Service::start(kind).await;
    let answer = service
        .client
        .write("hs", "contacts", write("create", json!({"email": "a@b.co"})))
        .await
        .expect(200);
    let operation_id = answer.header("amp-operation-id").to_owned();
    let body = answer.json();
    assert_eq!(body["operationId"], operation_id.as_str());
    assert_eq!(body["result"]["success"], true);
    let record_id = body["result"]["recordId"].as_str().expect("a string");
    assert_eq!(body["result"]["data"]["id"], record_id);
    let operation = service.client.ended(&operation_id).await;
    assert_eq!(operation["status"], "success");
    assert_eq!(operation["actionType"], "write");
    assert_eq!(operation["resource"], "contacts");
    assert_eq!(
        operation["result"],
        "[contacts] Write completed (1 succeeded, 0 failed)"
    );
    assert_eq!(operation["metadata"]["objects"], json!(["contacts"]));
    assert_eq!(operation["metadata"]["successfulRecordIds"], json!([record_id]));
    assert_eq!(operation["metadata"]["retry"]["attempts"], 1);
    assert_eq!(operation["metadata"]["attempts"][0]["status"], 201);
    let entry = &service.sandbox.ledger()[0];
    assert_eq!(entry.account.as_deref(), Some("acme"));
    assert_eq!(
        (entry.method.as_str(), entry.path.as_str()),
        ("POST", "/crm/v3/objects/contacts")
    );
    assert_eq!(entry.body, r#"{"properties":{"email":"a@b.co"}}"#);
}

async fn an_asynchronous_create_answers_an_operation_that_ends_in_success(kind: Kind) {
    let service = Service::start(kind).await;
    let body = asynchronous("create", json!({"LastName": "Hopper", "Company": "Navy"}));
    let accepted = service.client.write("sf", "lead", body).await.expect(200).json();
    let operation = service
        .client
        .ended(accepted["operationId"].as_str().unwrap())
        .await;
    assert_eq!(operation["status"], "success", "{operation}");
    let created = service.sandbox.ledger().pop().unwrap().changes.pop().unwrap();
    assert_eq!(created.kind, ChangeKind::Created);
    assert_eq!(operation["metadata"]["successfulRecordIds"], json!([created.id]));
    assert_eq!(operation["metadata"]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
}

async fn an_update_and_a_delete_name_their_record(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let made = client
        .write("hs", "contacts", write("create", json!({"email": "a@b.co"})))
        .await
        .expect(200)
        .json();
    let id = made["result"]["recordId"].as_str().unwrap().to_owned();
    let update = write("update", json!({"id": id, "firstname": "Ada"}));
    assert_eq!(
        client.write("hs", "contacts", update).await.expect(200).json()["result"]["recordId"],
        id.as_str()
    );
    // A numeric id means the same record.
    let number: Value = serde_json::from_str(&id).unwrap();
    let update = asynchronous("update", json!({"id": number, "lastname": "L"}));
    let accepted = client.write("hs", "contacts", update).await.expect(200).json();
    assert_eq!(
        client.ended(accepted["operationId"].as_str().unwrap()).await["status"],
        "success"
    );
    let delete = json!({"groupRef": GROUP, "type": "delete", "mode": "asynchronous", "record": {"id": id}});
    let deleted = client.write("hs", "contacts", delete).await.expect(200).json();
    assert_eq!(
        deleted["result"]["success"], true,
        "a delete is performed while the app waits, whatever its mode"
    );
    let reached: Vec<(String, String, String)> = service.reached().into_iter().skip(1).collect();
    let path = format!("/crm/v3/objects/contacts/{id}");
    assert_eq!(
        reached[0],
        (
            "PATCH".to_owned(),
            path.clone(),
            r#"{"properties":{"firstname":"Ada"}}"#.to_owned()
        )
    );
    assert_eq!(
        reached[1],
        (
            "PATCH".to_owned(),
            path,
            r#"{"properties":{"lastname":"L"}}"#.to_owned()
        )
    );
    assert_eq!((reached[2].0.as_str(), reached[2].2.as_str()), ("DELETE", ""));
    let gone = client
        .write(
            "hs",
            "contacts",
            write("update", json!({"id": id, "firstname": "x"})),
        )
        .await
        .expect(422);
    assert!(
        gone.json()["errors"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("error writing contacts: not found: ")
    );
}

async fn a_rejected_write_answers_422_with_the_providers_reason(kind: Kind) {
    let service = Service::start(kind).await;
    let body = write("create", json!({"Name": "X", "AccountNumer": "1"}));
    let answer = service
        .client
        .write("sf", "account", body)
        .await
        .expect(422)
        .json();
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("error writing account: bad request: No such column 'AccountNumer'"),
        "{message}"
    );
    assert_eq!(answer["result"], json!({"success": false}));
    assert!(answer["rawResponse"].as_str().unwrap().contains("INVALID_FIELD"));
    let operation = service
        .client
        .ended(answer["operationId"].as_str().unwrap())
        .await;
    assert_eq!(operation["status"], "failure");
    assert!(
        operation["result"]
            .as_str()
            .unwrap()
            .starts_with("[account] Error writing to provider")
    );
    assert_eq!(operation["metadata"]["attempts"][0]["class"], "validation");
}

async fn a_rejected_asynchronous_write_ends_as_failure(kind: Kind) {
    let service = Service::start(kind).await;
    let body = asynchronous("create", json!({"Name": "X", "AccountNumer": "1"}));
    let accepted = service
        .client
        .write("sf", "account", body)
        .await
        .expect(200)
        .json();
    let operation = service
        .client
        .ended(accepted["operationId"].as_str().unwrap())
        .await;
    assert_eq!(operation["status"], "failure");
    assert!(
        operation["result"]
            .as_str()
            .unwrap()
            .starts_with("[account] Error writing to provider")
    );
    assert_eq!(service.reached().len(), 1, "a rejection is final");
}

async fn what_is_unknown_is_404(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let body = write("create", json!({"name": "x"}));
    client.write("nothing", "companies", &body).await.problem(404);
    let stranger = json!({"groupRef": "stranger", "type": "create", "record": {"name": "x"}});
    let problem = client.write("hs", "companies", stranger).await.problem(404);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("error finding installations: record not found"),
        "{problem}"
    );
    let problem = client.get("/operations/no-such-thing").await.problem(404);
    assert_eq!(
        problem["detail"],
        "Operation not found for the given operation ID."
    );
    assert!(service.reached().is_empty());
}

async fn bad_requests_are_400_and_nothing_is_stored_or_sent(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let record = json!({"name": "x"});
    let many: Vec<Value> = (0..101).map(|_| json!({"record": record})).collect();
    let with = |more: Value| {
        let mut body = write("create", record.clone());
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let batch = |kind: &str, more: Value| {
        let mut body = json!({"groupRef": GROUP, "type": kind});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for (integration, object, body, field) in [
        ("hs", "tickets", write("create", record.clone()), ""),
        ("hs", "companies", write("update", record.clone()), "record.id"),
        ("hs", "companies", write("update", json!({"id": ""})), "record.id"),
        (
            "hs",
            "companies",
            write("update", json!({"id": null})),
            "record.id",
        ),
        ("hs", "companies", write("delete", json!({})), "record.id"),
        (
            "hs",
            "companies",
            write("delete", json!({"id": ".."})),
            "record.id",
        ),
        (
            "hs",
            "companies",
            with(json!({"batch": [{"record": record}]})),
            "batch",
        ),
        (
            "hs",
            "companies",
            json!({"groupRef": GROUP, "type": "create"}),
            "record",
        ),
        (
            "hs",
            "companies",
            batch("create", json!({"batch": many})),
            "batch",
        ),
        (
            "hs",
            "companies",
            batch("delete", json!({"batch": [{"record": {"id": "1"}}]})),
            "batch",
        ),
        (
            "hs",
            "companies",
            with(json!({"autoBatchPolicy": {"maxDelayMinutes": 5}})),
            "autoBatchPolicy",
        ),
        (
            "hs",
            "companies",
            batch(
                "create",
                json!({"mode": "asynchronous", "autoBatchPolicy": {"maxDelayMinutes": 5}, "batch": [{"record": record}]}),
            ),
            "autoBatchPolicy",
        ),
        (
            "hs",
            "companies",
            with(json!({"retryPolicy": {"deadlineHours": 49}})),
            "retryPolicy.deadlineHours",
        ),
        (
            "hs",
            "companies",
            with(json!({"retryPolicy": {"deadlineHours": 0}})),
            "retryPolicy.deadlineHours",
        ),
        (
            "hs",
            "companies",
            with(json!({"headers": [{"key": "a", "value": "b"}]})),
            "headers",
        ),
        (
            "sf",
            "account",
            with(json!({"associations": [{"to": {"id": "1"}}]})),
            "associations",
        ),
        (
            "sf",
            "account",
            with(json!({"headers": [{"key": "Authorization", "value": "Bearer x"}]})),
            "headers",
        ),
        (
            "sf",
            "account",
            with(json!({"headers": [{"key": "X-A", "value": "a\r\nX-B: c"}]})),
            "headers",
        ),
        (
            "hs",
            "companies",
            json!({"groupRef": GROUP, "type": "create", "record": [1]}),
            "record",
        ),
        (
            "hs",
            "companies",
            json!({"groupRef": 5, "type": "create", "record": {}}),
            "groupRef",
        ),
        ("hs", "companies", json!([1]), ""),
    ] {
        let problem = client.write(integration, object, &body).await.problem(400);
        assert_eq!(problem["retryable"], false);
        if !field.is_empty() {
            let names: Vec<&str> = problem["issues"]
                .as_array()
                .unwrap()
                .iter()
                .map(|issue| issue["name"].as_str().unwrap())
                .collect();
            assert!(
                names.iter().any(|name| name.starts_with(field)),
                "{body}: {names:?}"
            );
        }
    }
    for body in [
        "",
        "{",
        "null",
        "\"x\"",
        "{\"groupRef\":\"acme\",\"type\":\"create\",\"record\":{\"a\":1,\"a\":2}}",
        "\u{0}",
        "{}{}",
    ] {
        client.write("hs", "companies", body).await.problem(400);
    }
    let deep = format!(
        "{{\"groupRef\":\"acme\",\"type\":\"create\",\"record\":{{\"a\":{}1{}}}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    client.write("hs", "companies", deep).await.problem(400);
    let installation = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    let operations = client
        .get(&format!(
            "/integrations/hs/installations/{}/operations",
            installation.as_str().unwrap()
        ))
        .await;
    assert_eq!(
        operations.expect(200).json()["results"],
        json!([]),
        "nothing is stored"
    );
    assert!(service.reached().is_empty(), "nothing is sent");

    // A delete must be enabled by the customer.
    let change = json!({"updateMask": ["config.content.write.objects"], "installation": {"config": {"content": {"write": {"objects":
        {"companies": {"objectName": "companies"}}}}}}});
    client
        .patch(
            &format!(
                "/integrations/hs/installations/{}",
                installation.as_str().unwrap()
            ),
            change,
        )
        .await
        .expect(200);
    let problem = client
        .write("hs", "companies", write("delete", json!({"id": "1"})))
        .await
        .problem(400);
    assert!(
        problem["detail"].as_str().unwrap().contains("not enabled"),
        "{problem}"
    );
    assert!(service.reached().is_empty());
}

async fn a_body_over_the_limit_is_413(kind: Kind) {
    let service = Service::start(kind).await;
    let record = json!({"name": "x".repeat(2 << 20)});
    service
        .client
        .write("hs", "companies", write("create", record))
        .await
        .problem(413);
    // Without a length that announces it, too.
    let chunks = futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 << 10])));
    let request = service
        .client
        .request(
            http::Method::POST,
            &service.client.path("/integrations/hs/objects/companies"),
        )
        .body(reqwest::Body::wrap_stream(chunks));
    service.client.send(request).await.problem(413);
}

async fn a_provider_that_fails_is_502_and_retryable_only_when_nothing_was_applied(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = amp_write::settings::TuningArgs {
        provider_timeout_seconds: 1,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(crate::harness::service::PLAIN).await;
    let client = &service.client;
    let create = write("create", json!({"name": "Acme"}));
    let faults = [
        (FaultSpec::new(FaultKind::DropAfterCommit).once(), false),
        (FaultSpec::new(FaultKind::ServerError).once(), false),
        (FaultSpec::new(FaultKind::TruncateJson).once(), false),
        (FaultSpec::new(FaultKind::Hold).after_commit().once(), false),
    ];
    for (fault, retryable) in faults {
        let name = fault.fault.name();
        let fault = service.sandbox.fault(fault).expect("a good fault");
        let answer = client.write("hs", "companies", &create).await;
        fault.release();
        let operation_id = answer.header("amp-operation-id").to_owned();
        let problem = answer.problem(502);
        assert_eq!(problem["retryable"], retryable, "{name}: {problem}");
        assert_eq!(problem["context"]["operationId"], operation_id.as_str());
        let operation = client.ended(&operation_id).await;
        assert_eq!(
            operation["metadata"]["state"], "needs_review",
            "{name}: {operation}"
        );
    }
    // Nobody listens: certainly nothing was applied.
    service.sandbox.shutdown().await;
    let problem = client.write("hs", "companies", &create).await.problem(502);
    assert_eq!(problem["retryable"], true, "{problem}");
}

async fn a_rate_limit_is_429_with_retry_after(kind: Kind) {
    let service = Service::start(kind).await;
    let fault = FaultSpec {
        policy: Some("TEN_SECONDLY_ROLLING".to_owned()),
        ..FaultSpec::new(FaultKind::RateLimit)
    };
    service.sandbox.fault(fault.once()).expect("a good fault");
    let answer = service
        .client
        .write("hs", "companies", write("create", json!({"name": "Acme"})))
        .await;
    assert_eq!(answer.header("retry-after"), "10");
    let problem = answer.problem(429);
    assert_eq!(problem["retryable"], true);
    assert!(problem["retryAfter"].is_string());
    assert_eq!(service.created(), 0);
}

async fn a_dead_credential_is_424_and_works_again_after_an_update(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let connection = client
        .get("/connections?provider=hubspot")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    let path = format!("/connections/{}", connection.as_str().unwrap());
    let change = |token: &str| json!({"updateMask": ["oauth2AuthorizationCode"], "connection": {"oauth2AuthorizationCode": {"accessToken": {"token": token}}}});
    client.patch(&path, change("revoked")).await.expect(200);
    let create = write("create", json!({"name": "Acme"}));
    let problem = client.write("hs", "companies", &create).await.problem(424);
    assert!(
        problem["remedy"].as_str().unwrap().contains("reconnect"),
        "{problem}"
    );
    assert_eq!(
        client.get(&path).await.expect(200).json()["status"],
        "bad_credentials"
    );
    let sent = service.reached().len();
    client.write("hs", "companies", &create).await.problem(424);
    assert_eq!(service.reached().len(), sent, "known to be dead, it fails fast");
    assert_eq!(
        client
            .get("/integrations/hs/installations")
            .await
            .expect(200)
            .json()[0]["healthStatus"],
        "unhealthy"
    );
    client.patch(&path, change("test-acme")).await.expect(200);
    client.write("hs", "companies", &create).await.expect(200);
}

async fn a_store_that_is_down_is_503_and_nothing_is_sent(kind: Kind) {
    let service = Service::start(kind).await;
    let create = write("create", json!({"name": "Acme"}));
    service.client.write("hs", "companies", &create).await.expect(200);
    service.app.store.close().await;
    // The caches count as old within two seconds; from then on nothing is sent.
    let started = std::time::Instant::now();
    while service.app.writes.changes.is_fresh() {
        assert!(started.elapsed() < crate::harness::client::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let sent = service.reached().len();
    for body in [create, asynchronous("create", json!({"name": "Acme"}))] {
        let answer = service.client.write("hs", "companies", body).await;
        assert!(!answer.header("retry-after").is_empty());
        assert_eq!(answer.problem(503)["retryable"], true);
    }
    assert_eq!(service.reached().len(), sent);
}

async fn numbers_and_key_order_reach_the_provider_unchanged(kind: Kind) {
    let service = Service::lenient(kind).await;
    service.set_up(crate::harness::service::PLAIN).await;
    let client = &service.client;
    let record = r#"{"Zeta__c":12345678901234567890,"Name":"é😀","AnnualRevenue":0.10,"Alpha__c":-0.0,"B__c":1.50,"Flag__c":true,"Nothing__c":null}"#;
    for mode in ["synchronous", "asynchronous"] {
        let body = format!(r#"{{"groupRef":"acme","type":"create","mode":"{mode}","record":{record}}}"#);
        let answer = client.write("sf", "account", body).await;
        let operation = answer.json()["operationId"]
            .as_str()
            .expect("an operation")
            .to_owned();
        client.ended(&operation).await;
        assert_eq!(service.sandbox.ledger().pop().unwrap().body, record, "{mode}");
    }
}

async fn headers_pass_through_to_salesforce(kind: Kind) {
    let service = Service::start(kind).await;
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"Name": "A"},
        "headers": [{"key": "Sforce-Auto-Assign", "value": "FALSE"}, {"key": "header-key2", "value": "header-value2"}]});
    service.client.write("sf", "account", body).await.expect(200);
    let headers = service.sandbox.ledger().pop().unwrap().headers;
    let header = |name: &str| {
        headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(header("Sforce-Auto-Assign"), Some("FALSE"));
    assert_eq!(header("header-key2"), Some("header-value2"));
}

async fn strict_rejects_what_would_be_dropped_and_warnings_tell_it(kind: Kind) {
    let service = Service::empty(kind).await;
    service.set_up(DROPPING).await;
    let body = write("create", json!({"email": "a@b.co", "phone": "1", "notes": "n"}));
    let answer = service.client.write("hs", "contacts", &body).await.expect(200);
    assert_eq!(answer.header("amp-warnings"), "dropped_not_chosen: notes");
    assert_eq!(
        service.reached()[0].2,
        r#"{"properties":{"email":"a@b.co","mobilephone":"1"}}"#
    );
    let mut strict = body;
    strict["strict"] = json!(true);
    let problem = service.client.write("hs", "contacts", strict).await.problem(400);
    assert_eq!(problem["issues"][0]["name"], "record.notes");
    assert_eq!(service.reached().len(), 1);
}

async fn an_update_that_the_rules_leave_empty_is_not_sent(kind: Kind) {
    let service = Service::empty(kind).await;
    service.set_up(DROPPING).await;
    let answer = service
        .client
        .write(
            "hs",
            "contacts",
            write("update", json!({"id": "7", "notes": "n"})),
        )
        .await
        .expect(200);
    assert_eq!(
        answer.header("amp-warnings"),
        "dropped_not_chosen: notes, nothing_sent"
    );
    assert_eq!(answer.json()["result"], json!({"success": true, "recordId": "7"}));
    assert!(service.reached().is_empty());
}

async fn a_delete_of_what_is_not_there_is_rejected(kind: Kind) {
    let service = Service::start(kind).await;
    let body = json!({"groupRef": GROUP, "type": "delete", "record": {"id": "003Hs00002AbCdEIAV"}});
    let answer = service
        .client
        .write("sf", "contact", body)
        .await
        .expect(422)
        .json();
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("The record with ID 003Hs00002AbCdEIAV was not found"),
        "{message}"
    );
    // One that is there is deleted, and names no record afterwards.
    let made = service
        .client
        .write("sf", "contact", write("create", json!({"LastName": "L"})))
        .await
        .expect(200)
        .json();
    let id = made["result"]["recordId"].clone();
    let deleted = service
        .client
        .write("sf", "contact", write("delete", json!({"id": id})))
        .await
        .expect(200)
        .json();
    assert_eq!(deleted["result"], json!({"success": true}));
}

async fn an_app_that_hangs_up_does_not_leave_a_write_unrecorded(kind: Kind) {
    let service = Service::start(kind).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).after_commit().once())
        .expect("a good fault");
    let client = service.client.clone();
    let body = write("create", json!({"name": "Acme"}));
    let waiting = tokio::spawn(async move { client.write("hs", "companies", body).await });
    hold.wait_hits(1).await;
    waiting.abort();
    assert!(waiting.await.is_err(), "the app is gone");
    hold.release();
    let installation = service
        .client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    let path = format!(
        "/integrations/hs/installations/{}/operations",
        installation.as_str().unwrap()
    );
    let started = std::time::Instant::now();
    let operation = loop {
        let page = service.client.get(&path).await.expect(200).json();
        if let Some(found) = page["results"].get(0) {
            break found.clone();
        }
        assert!(
            started.elapsed() < crate::harness::client::PATIENCE,
            "nothing is recorded"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(operation["status"], "success");
}

async fn documents_that_would_trick_the_parser_are_refused(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let mut nested = "1".to_owned();
    for _ in 0..10 {
        nested = json!({ "$serde_json::private::RawValue": nested }).to_string();
    }
    for record in [
        nested.as_str(),
        r#"{"$serde_json::private::Number":"7"}"#,
        r#"{"\u0024serde_json::private::Number":"7"}"#,
    ] {
        let body = format!(r#"{{"groupRef":"acme","type":"create","record":{{"name":{record}}}}}"#);
        client.write("hs", "companies", body).await.problem(400);
    }
    // Arrays are no objects, however well their elements fit.
    let array = json!([GROUP, "create", null, {"name": "x"}, null, null, null, null, null, null, null, null]);
    client.write("hs", "companies", array).await.problem(400);
    let mut policy = asynchronous("create", json!({"name": "x"}));
    policy["retryPolicy"] = json!([24]);
    client.write("hs", "companies", policy).await.problem(400);
    client
        .post("/api-keys", json!(["x", ["full"]]))
        .await
        .problem(400);
    client.get("/integrations/a%00b").await.problem(404);
    client.get("/connections?groupRef=a%00b").await.problem(400);
    client
        .post("/api-keys", json!({"label": "a\0b"}))
        .await
        .problem(400);
    client
        .write(
            "hs",
            "companies",
            json!({"groupRef": "a\0b", "type": "create", "record": {}}),
        )
        .await
        .problem(400);
    assert!(service.reached().is_empty());
}

async fn a_secret_that_the_provider_repeats_is_not_shown(kind: Kind) {
    let service = Service::start(kind).await;
    let echo = FaultSpec {
        status: Some(400),
        message: Some("token test-acme is odd\u{0}".to_owned()),
        ..FaultSpec::new(FaultKind::Error)
    };
    service.sandbox.fault(echo.once()).expect("a good fault");
    let answer = service
        .client
        .write("hs", "companies", write("create", json!({"name": "A"})))
        .await
        .expect(422);
    assert!(answer.body.contains("token *** is odd"), "{}", answer.body);
    assert!(!answer.body.contains("test-acme"), "{}", answer.body);
    let operation = service.client.ended(answer.header("amp-operation-id")).await;
    assert!(!operation.to_string().contains("test-acme"), "{operation}");
}
