//! Asynchronous writes: retried, ordered, held, never blindly repeated.

use std::time::Duration;

use amp_write::action::Action;
use amp_write::sandbox::{FaultKind, FaultSpec};
use amp_write::settings::TuningArgs;
use amp_write::store::{AcceptOperation, IntegrationRef, NewOperation, PauseReason};
use serde_json::{Value, json};
use uuid::Uuid;

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
    work_that_nobody_was_told_of_is_found,
    a_write_behind_one_that_is_put_off_for_long_ends_at_its_own_deadline_and_says_why,
    a_write_in_a_paused_lane_ends_at_its_deadline,
    a_flood_of_writes_to_one_record_does_not_hold_up_other_records,
    a_provider_gets_no_more_calls_at_once_than_its_file_says,
    an_update_waits_for_the_one_before_it_even_when_it_is_handed_over,
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
    assert_eq!(client.get(&path).await.expect(200).json()["status"], "working");
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
        .fault(FaultSpec {
            retry_after: Some(1),
            ..FaultSpec::new(FaultKind::RateLimit)
        })
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
    hold.remove();
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
        .fault(FaultSpec {
            retry_after: Some(1),
            ..FaultSpec::new(FaultKind::RateLimit)
        })
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

/// Accepts an update behind the service's back: its worker is not told. `deadline` may be shorter than the API allows.
async fn accept_untold(service: &Service, record: i64, city: &str, id: &str, deadline: Duration) -> String {
    let (lane, like) = installed(service).await;
    let operation = NewOperation {
        client_ref: None,
        replay_of: None,
        id: service.app.clock.new_id(),
        project_id: like.project_id,
        integration_id: like.integration_id,
        installation_id: like.id,
        config_id: like.config_id,
        revision_id: like.revision_id,
        connection_id: lane,
        object: "companies".to_owned(),
        action: Action::Update,
        request: json!({"record": {"id": id, "city": city}}).to_string(),
    };
    let accept = AcceptOperation {
        key: None,
        performing: None,
        gather: None,
        operation,
        record_key: Some(record),
        holds: false,
        deadline,
        record_keys: Vec::new(),
    };
    service
        .app
        .store
        .accept_operations(std::slice::from_ref(&accept))
        .await
        .unwrap();
    accept.operation.id.to_string()
}

/// What an operation of the HubSpot installation of [`GROUP`] points at.
struct Installed {
    project_id: Uuid,
    integration_id: Uuid,
    id: Uuid,
    config_id: Uuid,
    revision_id: Uuid,
}

async fn installed(service: &Service) -> (Uuid, Installed) {
    let store = &service.app.store;
    let project = store.find_project("test").await.unwrap().unwrap();
    let integration = store
        .find_integration(project.id, IntegrationRef::Name("hs"))
        .await
        .unwrap()
        .unwrap();
    let installation = store
        .list_installations(project.id, Some(integration.id), Some(GROUP))
        .await
        .unwrap()
        .remove(0);
    let installed = Installed {
        project_id: project.id,
        integration_id: integration.id,
        id: installation.id,
        config_id: installation.config_id,
        revision_id: integration.revision_id,
    };
    (installation.connection_id, installed)
}

const HOUR: Duration = Duration::from_secs(3600);

async fn work_that_nobody_was_told_of_is_found(kind: Kind) {
    let service = Service::start(kind).await;
    let id = company(&service).await;
    for city in ["X", "Y"] {
        let operation = accept_untold(&service, 1, city, &id, HOUR).await;
        assert_eq!(service.client.ended(&operation).await["status"], "success");
    }
}

async fn a_write_behind_one_that_is_put_off_for_long_ends_at_its_own_deadline_and_says_why(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        // After one failure the next attempt is minutes away.
        retry_base_ms: 600_000,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    let id = company(&service).await;
    let fault = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::ServerError).action("update").once())
        .expect("a good fault");
    let first = accept_untold(&service, 1, "first", &id, HOUR).await;
    fault.wait_hits(1).await;
    let second = accept_untold(&service, 1, "second", &id, Duration::from_millis(1)).await;
    let third = accept_untold(&service, 1, "third", &id, HOUR).await;
    let done = service.client.ended(&second).await;
    assert_eq!(done["status"], "failure", "{done}");
    let result = done["result"].as_str().unwrap();
    assert!(
        result.contains("deadline") && result.contains("earlier write to the same record"),
        "{done}"
    );
    for waiting in [first, third] {
        let path = format!("/operations/{waiting}");
        assert_eq!(service.client.get(&path).await.json()["status"], "in_progress");
    }
    assert_eq!(service.reached().len(), 2, "it was never sent");
}

async fn a_write_in_a_paused_lane_ends_at_its_deadline(kind: Kind) {
    let service = Service::start(kind).await;
    let (lane, installed) = installed(&service).await;
    service
        .app
        .store
        .pause_lane(installed.project_id, lane, HOUR, PauseReason::RateLimit)
        .await
        .unwrap();
    let waits = accept_untold(&service, 1, "X", "7", HOUR).await;
    let ends = accept_untold(&service, 2, "X", "8", Duration::from_millis(1)).await;
    let done = service.client.ended(&ends).await;
    assert_eq!(done["status"], "failure", "{done}");
    assert!(
        done["result"]
            .as_str()
            .unwrap()
            .contains("before it could be tried"),
        "{done}"
    );
    let path = format!("/operations/{waits}");
    assert_eq!(service.client.get(&path).await.json()["status"], "in_progress");
    assert!(service.reached().is_empty());
}

async fn a_flood_of_writes_to_one_record_does_not_hold_up_other_records(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        retry_base_ms: 600_000,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    let (flooded, other) = (company(&service).await, company(&service).await);
    let fault = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::ServerError).action("update").once())
        .expect("a good fault");
    let update = |id: &str, number: usize| json!({"type": "update", "record": {"id": id, "city": format!("city {number}")}});
    accept(&service, "hs", "companies", update(&flooded, 0)).await;
    fault.wait_hits(1).await;
    for batch in 0..30 {
        let writes =
            (0..50).map(|number| accept(&service, "hs", "companies", update(&flooded, batch * 50 + number)));
        futures_util::future::join_all(writes).await;
    }
    let operation = accept(&service, "hs", "companies", update(&other, 1)).await;
    assert_eq!(service.client.ended(&operation).await["status"], "success");
    assert_eq!(
        service.reached().len(),
        4,
        "two creates, the first of the flood, and the other record's"
    );
}

async fn a_provider_gets_no_more_calls_at_once_than_its_file_says(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        provider_limits: true,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    let limit = service.app.writes.limits_of("hubspot").unwrap().concurrency;
    assert!(
        limit < service.app.tuning.lane_concurrency,
        "else the setting would be the limit"
    );
    service.connect("quiet", "hubspot", "test-quiet").await;
    service
        .install("hs", "quiet", json!({"provider": "hubspot"}))
        .await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).account("acme"))
        .expect("a good fault");
    let mut operations = Vec::new();
    for number in 0..20 {
        let body = json!({"type": "create", "onUnknown": "retry", "record": {"name": format!("c{number}")}});
        operations.push(accept(&service, "hs", "companies", body).await);
    }
    hold.wait_hits(u64::from(limit)).await;
    // Another customer's write goes through the whole queue meanwhile.
    let body = json!({"groupRef": "quiet", "type": "create", "record": {"name": "quick"}});
    let other = accept(&service, "hs", "companies", body).await;
    assert_eq!(service.client.ended(&other).await["status"], "success");
    assert_eq!(hold.hits(), u64::from(limit));
    hold.remove();
    hold.release();
    for operation in &operations {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
}

async fn an_update_waits_for_the_one_before_it_even_when_it_is_handed_over(kind: Kind) {
    let service = Service::start(kind).await;
    let id = company(&service).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).action("update").once())
        .expect("a good fault");
    let update = |city: &str| json!({"type": "update", "record": {"id": id, "city": city}});
    let first = accept(&service, "hs", "companies", update("first")).await;
    hold.wait_hits(1).await;
    let second = accept(&service, "hs", "companies", update("second")).await;
    // A create of the same lane goes by: the lane is awake, and the second update is not started.
    let create = json!({"type": "create", "record": {"name": "B"}});
    let by = accept(&service, "hs", "companies", create).await;
    assert_eq!(service.client.ended(&by).await["status"], "success");
    let path = format!("/operations/{second}");
    assert_eq!(service.client.get(&path).await.json()["status"], "in_progress");
    hold.release();
    for operation in [first, second] {
        assert_eq!(service.client.ended(&operation).await["status"], "success");
    }
    let cities: Vec<String> = service
        .sandbox
        .ledger()
        .into_iter()
        .flat_map(|entry| entry.changes)
        .filter_map(|change| {
            change
                .values
                .get("city")
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(cities, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_the_shard_tells_the_others_which_lane_has_new_work() {
    let service = Service::start(Kind::Postgres).await;
    let (lane, _) = installed(&service).await;
    // A process that answers requests and works no queue, on the same database.
    let second = service.without_worker().await;
    let mut listener = second.app.store.listen().await.unwrap().expect("on Postgres");
    let mut operations = Vec::new();
    for number in 0..3 {
        let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": {"name": format!("c{number}")}});
        let answer = second
            .client
            .write("hs", "companies", body)
            .await
            .expect(200)
            .json();
        operations.push(answer["operationId"].as_str().unwrap().to_owned());
        let message = listener.next().await.unwrap().expect("nothing was lost");
        assert!(message.ends_with(&format!(":{}", lane.simple())), "{message}");
    }
    for operation in &operations {
        assert_eq!(second.client.ended(operation).await["status"], "success");
    }
    assert_eq!(service.created(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_on_one_postgres_keep_the_order_of_a_records_writes_whoever_accepts_them() {
    let service = Service::start(Kind::Postgres).await;
    let second = service.another().await;
    // Both hold shards.
    let started = std::time::Instant::now();
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(service.database_url())
        .await
        .unwrap();
    loop {
        let owners: i64 =
            sqlx::query_scalar("SELECT count(DISTINCT owner) FROM shards WHERE lease_until > now()")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        if owners == 2 {
            break;
        }
        assert!(
            started.elapsed() < crate::harness::client::PATIENCE,
            "the shards are not shared"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ids = [company(&service).await, company(&service).await];
    let mut operations = Vec::new();
    for number in 0..20 {
        for (index, id) in ids.iter().enumerate() {
            let client = if (number + index) % 2 == 0 {
                &service.client
            } else {
                &second.client
            };
            let record = json!({"id": id, "city": format!("{number}")});
            let body = json!({"groupRef": GROUP, "type": "update", "mode": "asynchronous", "record": record});
            let answer = client.write("hs", "companies", body).await.expect(200).json();
            operations.push(answer["operationId"].as_str().unwrap().to_owned());
        }
    }
    for operation in &operations {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
    let wanted: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for id in &ids {
        let cities: Vec<String> = service
            .sandbox
            .ledger()
            .into_iter()
            .flat_map(|entry| entry.changes)
            .filter(|change| &change.id == id)
            .filter_map(|change| {
                change
                    .values
                    .get("city")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            })
            .collect();
        assert_eq!(cities, wanted, "each once, in the order of acceptance");
    }
}
