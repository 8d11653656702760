//! Asynchronous writes: retried, ordered, held, never blindly repeated.

use std::time::Duration;

use amp_write::sandbox::{FaultKind, FaultSpec};
use amp_write::settings::TuningArgs;
use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_passing_failure_of_an_update_is_retried_until_it_succeeds,
    a_rate_limit_pauses_the_lane_and_spends_no_attempt,
    a_create_without_an_answer_is_reviewed_and_never_sent_again,
    a_create_without_an_answer_is_sent_again_when_the_app_allows_it,
    a_contact_whose_create_got_no_answer_is_found_by_its_email_and_not_doubled,
    a_contact_whose_create_was_lost_is_made_once,
    somebody_elses_contact_is_not_taken_for_ours,
    writes_to_one_record_arrive_in_accepted_order_even_when_the_first_is_retried,
    a_failed_write_lets_the_next_one_of_its_record_run,
    a_dead_credential_holds_the_lane_until_the_connection_is_updated,
    one_customers_outage_does_not_delay_another,
    a_write_accepted_before_a_change_of_config_keeps_its_config,
    a_write_whose_installation_was_deleted_fails_and_says_so,
    many_writes_are_each_performed_once,
);

async fn accept(service: &Service, integration: &str, object: &str, body: Value) -> String {
    let mut body = body;
    body["mode"] = json!("asynchronous");
    if body.get("groupRef").is_none() {
        body["groupRef"] = json!(GROUP);
    }
    let answer = service
        .client
        .write(integration, object, body)
        .await
        .expect(200)
        .json();
    answer["operationId"].as_str().expect("an id").to_owned()
}

/// A company that is there.
async fn company(service: &Service) -> String {
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "Acme"}});
    let answer = service
        .client
        .write("hs", "companies", body)
        .await
        .expect(200)
        .json();
    answer["result"]["recordId"].as_str().expect("an id").to_owned()
}

async fn a_passing_failure_of_an_update_is_retried_until_it_succeeds(kind: Kind) {
    let service = Service::start(kind).await;
    let id = company(&service).await;
    for fault in [
        FaultKind::ServerError,
        FaultKind::DropBeforeCommit,
        FaultKind::DropAfterCommit,
    ] {
        service
            .sandbox
            .fault(FaultSpec::new(fault).action("update").once())
            .expect("a good fault");
    }
    let operation = accept(
        &service,
        "hs",
        "companies",
        json!({"type": "update", "record": {"id": id, "city": "X"}}),
    )
    .await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    let attempts = done["metadata"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), service.reached().len() - 1);
    assert!(attempts.len() >= 2, "{done}");
    assert_eq!(done["metadata"]["retry"]["attempts"], attempts.len());
}

async fn a_rate_limit_pauses_the_lane_and_spends_no_attempt(kind: Kind) {
    let service = Service::start(kind).await;
    let limit = FaultSpec {
        policy: Some("SECONDLY".to_owned()),
        retry_after: Some(1),
        ..FaultSpec::new(FaultKind::RateLimit)
    };
    service.sandbox.fault(limit.once()).expect("a good fault");
    let operation = accept(
        &service,
        "hs",
        "companies",
        json!({"type": "create", "record": {"name": "A"}}),
    )
    .await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(done["metadata"]["retry"]["attempts"], 1);
    let classes: Vec<&str> = done["metadata"]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["class"].as_str().unwrap())
        .collect();
    assert_eq!(classes, ["rate_limited", "success"]);
    assert_eq!(service.created(), 1);
}

async fn a_create_without_an_answer_is_reviewed_and_never_sent_again(kind: Kind) {
    for (fault, created) in [
        (FaultKind::DropAfterCommit, 1),
        (FaultKind::DropBeforeCommit, 0),
        (FaultKind::ServerError, 0),
    ] {
        let service = Service::start(kind).await;
        service
            .sandbox
            .fault(FaultSpec::new(fault).once())
            .expect("a good fault");
        let operation = accept(
            &service,
            "hs",
            "companies",
            json!({"type": "create", "record": {"name": "A"}}),
        )
        .await;
        let done = service.client.ended(&operation).await;
        assert_eq!(
            (done["status"].as_str(), done["metadata"]["state"].as_str()),
            (Some("failure"), Some("needs_review"))
        );
        assert!(
            done["result"].as_str().unwrap().contains("may have been applied"),
            "{done}"
        );
        assert_eq!((service.reached().len(), service.created()), (1, created));
        assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
    }
}

async fn a_create_without_an_answer_is_sent_again_when_the_app_allows_it(kind: Kind) {
    let service = Service::start(kind).await;
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::DropBeforeCommit).once())
        .expect("a good fault");
    let body = json!({"type": "create", "onUnknown": "retry", "record": {"name": "A"}});
    let operation = accept(&service, "hs", "companies", body).await;
    assert_eq!(service.client.ended(&operation).await["status"], "success");
    assert_eq!((service.reached().len(), service.created()), (2, 1));
}

async fn a_contact_whose_create_got_no_answer_is_found_by_its_email_and_not_doubled(kind: Kind) {
    let service = Service::start(kind).await;
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit).once())
        .expect("a good fault");
    let record = json!({"email": "Ada@example.com", "firstname": "Ada"});
    let operation = accept(
        &service,
        "hs",
        "contacts",
        json!({"type": "create", "record": record}),
    )
    .await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(service.created(), 1);
    let made = service
        .sandbox
        .ledger()
        .into_iter()
        .find_map(|entry| entry.changes.into_iter().next())
        .unwrap()
        .id;
    assert_eq!(done["metadata"]["successfulRecordIds"], json!([made]));
    let posts = service
        .reached()
        .into_iter()
        .filter(|(method, ..)| method == "POST")
        .count();
    assert_eq!(posts, 1, "it was found, not sent again");
}

async fn a_contact_whose_create_was_lost_is_made_once(kind: Kind) {
    let service = Service::start(kind).await;
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::DropBeforeCommit).times(2))
        .expect("a good fault");
    let record = json!({"email": "ada@example.com"});
    let operation = accept(
        &service,
        "hs",
        "contacts",
        json!({"type": "create", "record": record}),
    )
    .await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(service.created(), 1);
}

async fn somebody_elses_contact_is_not_taken_for_ours(kind: Kind) {
    let service = Service::start(kind).await;
    // It was there before.
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"email": "ada@example.com", "firstname": "Grace"}});
    service.client.write("hs", "contacts", body).await.expect(200);
    service
        .sandbox
        .fault(
            FaultSpec::new(FaultKind::DropBeforeCommit)
                .action("create")
                .once(),
        )
        .expect("a good fault");
    let record = json!({"email": "ada@example.com", "firstname": "Ada"});
    let operation = accept(
        &service,
        "hs",
        "contacts",
        json!({"type": "create", "record": record}),
    )
    .await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "failure", "{done}");
    assert_eq!(done["metadata"].get("successfulRecordIds"), None);
    assert_eq!(service.created(), 1);
}

async fn writes_to_one_record_arrive_in_accepted_order_even_when_the_first_is_retried(kind: Kind) {
    let service = Service::start(kind).await;
    let id = company(&service).await;
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::ServerError).action("update").times(2))
        .expect("a good fault");
    let mut operations = Vec::new();
    for number in 0..10 {
        let body = json!({"type": "update", "record": {"id": id, "city": format!("city {number}")}});
        operations.push(accept(&service, "hs", "companies", body).await);
    }
    for operation in &operations {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
    let applied: Vec<String> = service
        .sandbox
        .ledger()
        .into_iter()
        .skip(1)
        .flat_map(|entry| entry.changes)
        .map(|change| change.values["city"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        applied,
        (0..10).map(|number| format!("city {number}")).collect::<Vec<_>>()
    );
}

async fn a_failed_write_lets_the_next_one_of_its_record_run(kind: Kind) {
    let service = Service::start(kind).await;
    let id = company(&service).await;
    let bad = accept(
        &service,
        "hs",
        "companies",
        json!({"type": "update", "record": {"id": id, "no_such": 1}}),
    )
    .await;
    let good = accept(
        &service,
        "hs",
        "companies",
        json!({"type": "update", "record": {"id": id, "city": "X"}}),
    )
    .await;
    assert_eq!(service.client.ended(&bad).await["status"], "failure");
    assert_eq!(service.client.ended(&good).await["status"], "success");
}

async fn a_dead_credential_holds_the_lane_until_the_connection_is_updated(kind: Kind) {
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
    let mut operations = Vec::new();
    for number in 0..3 {
        let body = json!({"type": "create", "record": {"name": format!("c{number}")}});
        operations.push(accept(&service, "hs", "companies", body).await);
    }
    let started = std::time::Instant::now();
    while client.get(&path).await.expect(200).json()["status"] != "bad_credentials" {
        assert!(started.elapsed() < crate::harness::client::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for operation in &operations {
        assert_eq!(
            client.get(&format!("/operations/{operation}")).await.json()["status"],
            "in_progress"
        );
    }
    client.patch(&path, change("test-acme")).await.expect(200);
    for operation in &operations {
        let done = client.ended(operation).await;
        assert_eq!(done["status"], "success", "{done}");
    }
    assert_eq!(service.created(), 3);
    // What was refused came back as 401 each time and is in no doubt.
    assert_eq!(client.get(&path).await.expect(200).json()["status"], "created");
}

async fn one_customers_outage_does_not_delay_another(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        worker_concurrency: 4,
        lane_concurrency: 2,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    service.connect("quiet", "hubspot", "test-quiet").await;
    service
        .install("hs", "quiet", json!({"provider": "hubspot"}))
        .await;
    // The first customer's provider does not answer at all.
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).account("acme"))
        .expect("a good fault");
    let mut stuck = Vec::new();
    for number in 0..20 {
        let body = json!({"type": "create", "onUnknown": "retry", "record": {"name": format!("c{number}")}});
        stuck.push(accept(&service, "hs", "companies", body).await);
    }
    hold.wait_hits(2).await;
    let body = json!({"groupRef": "quiet", "type": "create", "record": {"name": "quick"}});
    let operation = accept(&service, "hs", "companies", body).await;
    assert_eq!(
        service.client.ended(&operation).await["status"],
        "success",
        "the other lane has its own slots"
    );
    for operation in &stuck {
        assert_eq!(
            service
                .client
                .get(&format!("/operations/{operation}"))
                .await
                .json()["status"],
            "in_progress"
        );
    }
    assert_eq!(hold.hits(), 2, "a lane has no more calls open than its limit");
    hold.remove();
    hold.release();
    for operation in &stuck {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
}

async fn a_write_accepted_before_a_change_of_config_keeps_its_config(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::RateLimit).once())
        .expect("a good fault");
    let operation = accept(
        &service,
        "hs",
        "companies",
        json!({"type": "create", "record": {"name": "A"}}),
    )
    .await;
    hold.wait_hits(1).await;
    let installation = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    let change = json!({
        "updateMask": ["config.content.write.objects.companies"],
        "installation": {"config": {"content": {"write": {"objects": {"companies": {"objectName": "companies",
            "selectedFieldSettings": {"city": {"default": {"stringValue": "Rome"}}}}}}}}}
    });
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
    assert_eq!(client.ended(&operation).await["status"], "success");
    assert_eq!(
        service.reached().pop().unwrap().2,
        r#"{"properties":{"name":"A"}}"#
    );
}

async fn a_write_whose_installation_was_deleted_fails_and_says_so(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let limit = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::RateLimit))
        .expect("a good fault");
    let operation = accept(
        &service,
        "hs",
        "companies",
        json!({"type": "create", "record": {"name": "A"}}),
    )
    .await;
    limit.wait_hits(1).await;
    let installation = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    client
        .delete(&format!(
            "/integrations/hs/installations/{}",
            installation.as_str().unwrap()
        ))
        .await
        .expect(204);
    let done = client.ended(&operation).await;
    assert_eq!(done["status"], "failure");
    assert!(done["result"].as_str().unwrap().contains("deleted"), "{done}");
}

async fn many_writes_are_each_performed_once(kind: Kind) {
    let service = Service::start(kind).await;
    let writes = (0..200).map(|number| {
        let service = &service;
        async move {
            let body = json!({"type": "create", "record": {"name": format!("c{number}")}});
            accept(service, "hs", "companies", body).await
        }
    });
    let operations = futures_util::future::join_all(writes).await;
    for operation in &operations {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
    let mut names: Vec<String> = service
        .sandbox
        .ledger()
        .into_iter()
        .flat_map(|entry| entry.changes)
        .map(|change| change.values["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    let mut wanted: Vec<String> = (0..200).map(|number| format!("c{number}")).collect();
    wanted.sort();
    assert_eq!(names, wanted);
    assert_eq!(
        service.app.store.queue_depth().await.unwrap(),
        0,
        "no work is left"
    );
}
