//! Asynchronous writes that wait for a limit or a lock: until their deadline, unless the provider itself asks for longer.

use std::time::Duration;

use amp_write::action::Action;
use amp_write::sandbox::{FaultKind, FaultSpec, Provider};
use amp_write::settings::TuningArgs;
use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_daily_quota_is_waited_for_and_its_neighbours_are_told_so,
    a_wait_that_we_suppose_never_ends_a_write_before_its_deadline,
    a_wait_that_the_provider_names_ends_a_write_at_once_when_it_is_too_long,
    the_reset_of_a_limit_that_is_not_reached_is_no_wait,
    a_backoff_that_is_longer_than_the_deadline_does_not_end_a_write_before_it,
);

/// Long enough to see that a write does not end early, short enough to wait for.
const SOON: Duration = Duration::from_millis(1_500);
const HOUR: Duration = Duration::from_secs(3_600);

fn daily() -> FaultSpec {
    FaultSpec {
        policy: Some("DAILY".to_owned()),
        ..FaultSpec::new(FaultKind::RateLimit)
    }
}

fn single() -> Value {
    json!({"record": {"name": "A"}})
}

fn batch() -> Value {
    json!({"batch": [{"record": {"name": "A"}}, {"record": {"name": "B"}}]})
}

/// From its acceptance until its end.
fn lasted(operation: &Value) -> Duration {
    let time = |name: &str| -> jiff::Timestamp { operation[name].as_str().unwrap().parse().unwrap() };
    Duration::try_from(time("updateTime").duration_since(time("createTime"))).unwrap()
}

async fn a_daily_quota_is_waited_for_and_its_neighbours_are_told_so(kind: Kind) {
    let service = Service::start(kind).await;
    let quota = service.sandbox.fault(daily().once()).expect("a good fault");
    // One that asks while the app waits is told to ask later, or to let it wait.
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}});
    let answer = service.client.write("hs", "companies", body.clone()).await;
    assert_eq!(answer.header("retry-after"), "3600");
    let problem = answer.problem(429);
    assert!(
        problem["remedy"].as_str().unwrap().contains("asynchronous"),
        "{problem}"
    );
    assert_eq!(quota.hits(), 1);
    service.sandbox.fault(daily().once()).expect("a good fault");
    let mut asynchronous = body;
    asynchronous["mode"] = json!("asynchronous");
    let accept = async || {
        let answer = service
            .client
            .write("hs", "companies", asynchronous.clone())
            .await
            .expect(200);
        answer.json()["operationId"].as_str().unwrap().to_owned()
    };
    let first = accept().await;
    let waits = |operation: &Value| operation["metadata"]["waitingOn"] == "quota";
    let waiting = service.client.operation_until(&first, waits).await;
    assert_eq!(waiting["status"], "in_progress");
    let next: jiff::Timestamp = waiting["metadata"]["nextAttemptTime"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let accepted: jiff::Timestamp = waiting["createTime"].as_str().unwrap().parse().unwrap();
    let minutes = next.duration_since(accepted).as_secs() / 60;
    assert!(
        (14..=16).contains(&minutes),
        "it is tried when the lane wakes: {minutes}"
    );
    // The lane waits, and so does what comes now.
    let second = accept().await;
    let waiting = service.client.operation_until(&second, waits).await;
    assert_eq!(waiting["metadata"]["state"], "waiting");
    assert_eq!(waiting["metadata"].get("attempts"), None, "it was not tried");
}

async fn a_wait_that_we_suppose_never_ends_a_write_before_its_deadline(kind: Kind) {
    let lock = FaultSpec {
        status: Some(423),
        message: Some("Locked".to_owned()),
        ..FaultSpec::new(FaultKind::Error)
    };
    for (name, fault, request) in [
        ("a daily quota", daily(), single()),
        ("a daily quota of a batch", daily(), batch()),
        ("a lock", lock.clone(), single()),
        ("a lock of a batch", lock, batch()),
        // In 300 seconds, says the file.
        (
            "a maintenance",
            FaultSpec {
                status: Some(477),
                ..FaultSpec::new(FaultKind::Error)
            },
            single(),
        ),
    ] {
        let service = Service::start(kind).await;
        service.sandbox.fault(fault).expect("a good fault");
        let operation = service
            .accept_until("companies", Action::Create, &request, SOON)
            .await;
        let ended = service.client.ended(&operation).await;
        assert_eq!(ended["metadata"]["state"], "failed", "{name}: {ended}");
        assert!(
            lasted(&ended) >= SOON,
            "{name}: it ended after {:?}",
            lasted(&ended)
        );
        let said = ended.to_string();
        assert!(said.contains("gave up at the deadline after"), "{name}: {ended}");
        assert_eq!(service.created(), 0);
    }
}

async fn a_wait_that_the_provider_names_ends_a_write_at_once_when_it_is_too_long(kind: Kind) {
    let named = FaultSpec {
        retry_after: Some(7_200),
        ..daily()
    };
    for request in [single(), batch()] {
        let service = Service::start(kind).await;
        service.sandbox.fault(named.clone()).expect("a good fault");
        let operation = service
            .accept_until("companies", Action::Create, &request, HOUR)
            .await;
        let ended = service.client.ended(&operation).await;
        assert_eq!(ended["metadata"]["state"], "failed", "{ended}");
        assert!(
            ended
                .to_string()
                .contains("the provider asks to wait longer than the deadline (2 h)"),
            "{ended}"
        );
        assert_eq!(service.reached().len(), 1);
    }
}

async fn the_reset_of_a_limit_that_is_not_reached_is_no_wait(kind: Kind) {
    let service = Service::start(kind).await;
    // Some providers tell with every answer when their limit begins anew: also with a failure.
    let headers = json!({"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": "7200"});
    let failure = FaultSpec {
        status: Some(503),
        headers: headers.as_object().unwrap().clone(),
        ..FaultSpec::new(FaultKind::Answer).action("update").once()
    };
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}});
    let made = service
        .client
        .write("hs", "companies", body)
        .await
        .expect(200)
        .json();
    let fault = service
        .sandbox
        .fault(failure.provider(Provider::HubSpot))
        .expect("a good fault");
    let request = json!({"record": {"id": made["result"]["recordId"], "city": "X"}});
    let operation = service
        .accept_until("companies", Action::Update, &request, HOUR)
        .await;
    assert_eq!(service.client.ended(&operation).await["status"], "success");
    assert_eq!(fault.hits(), 1);
}

async fn a_backoff_that_is_longer_than_the_deadline_does_not_end_a_write_before_it(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        retry_base_ms: 600_000,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::ServerError).action("update"))
        .expect("a good fault");
    let update = json!({"record": {"id": "7", "city": "X"}});
    let updates =
        json!({"batch": [{"record": {"id": "7", "city": "X"}}, {"record": {"id": "8", "city": "X"}}]});
    for request in [update, updates] {
        let operation = service
            .accept_until("companies", Action::Update, &request, SOON)
            .await;
        let ended = service.client.ended(&operation).await;
        assert_eq!(ended["metadata"]["state"], "needs_review", "{ended}");
        assert!(lasted(&ended) >= SOON, "it ended after {:?}", lasted(&ended));
    }
}
