//! Limits to what waits and how long, what is kept of a failure, and the metrics that tell of it.

use std::time::Duration;

use amp_write::action::Action;
use amp_write::clock::{Clock, SystemClock, Time};
use amp_write::sandbox::{FaultKind, FaultSpec};
use amp_write::settings::TuningArgs;
use amp_write::store::{EndState, NewOperation, NewResult, Project, RecordOperation};
use serde_json::{Value, json};

use crate::harness::client::PATIENCE;
use crate::harness::process::{Process, free_port, run};
use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Client, Database, Kind, Service, on_both_stores};

on_both_stores!(
    a_full_queue_refuses_new_writes_and_takes_them_again_when_it_has_emptied,
    a_project_has_a_limit_of_its_own,
    writes_that_wait_too_long_for_credentials_end_and_say_why,
    a_failure_keeps_an_excerpt_of_the_answer_without_secrets,
    a_quota_that_is_used_up_pauses_the_lane_before_the_provider_refuses,
    metrics_tell_what_happened_with_labels_of_closed_sets,
    a_starting_process_removes_what_is_too_old_and_serves_metrics_on_their_own_address,
);

async fn service(kind: Kind, change: impl FnOnce(TuningArgs) -> TuningArgs) -> Service {
    let sandbox = start_sandbox().await;
    let tuning = change(tuning(&sandbox));
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    service
}

fn create(group: &str) -> Value {
    json!({"groupRef": group, "type": "create", "mode": "asynchronous", "record": {"name": "A"}})
}

async fn accept(service: &Service, group: &str) -> String {
    let answer = service.client.write("hs", "companies", create(group)).await;
    let answer = answer.expect(200).json();
    answer["operationId"].as_str().unwrap().to_owned()
}

/// The value of a series, or nothing.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

async fn metrics(service: &Service) -> String {
    let request = service.client.http.get(format!("{}/metrics", service.client.url));
    let answer = service.client.send(request).await.expect(200);
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    answer.body
}

async fn a_full_queue_refuses_new_writes_and_takes_them_again_when_it_has_emptied(kind: Kind) {
    let service = service(kind, |tuning| TuningArgs {
        queue_limit_installation: 3,
        ..tuning
    })
    .await;
    service.connect("other", "hubspot", "test-other").await;
    service
        .install("hs", "other", json!({"provider": "hubspot"}))
        .await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).account("acme"))
        .expect("a good fault");
    let mut operations = Vec::new();
    for _ in 0..3 {
        operations.push(accept(&service, GROUP).await);
    }
    let refused = service.client.write("hs", "companies", create(GROUP)).await;
    assert_eq!(refused.header("retry-after"), "30");
    let problem = refused.problem(429);
    assert_eq!(problem["type"], "urn:amp-write:problem:queue-full");
    assert_eq!(problem["retryable"], true);
    assert_eq!(problem["context"], json!({"limit": 3, "of": "installation"}));
    // Counting anew changes nothing, and others are not concerned.
    service.app.writes.survey().await.unwrap();
    service
        .client
        .write("hs", "companies", create(GROUP))
        .await
        .problem(429);
    let other = accept(&service, "other").await;
    assert_eq!(service.client.ended(&other).await["status"], "success");
    hold.remove();
    hold.release();
    for operation in &operations {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
    assert_eq!(service.created(), 4, "what was refused was not performed");
    // The last one is taken off right after it has ended.
    let started = std::time::Instant::now();
    loop {
        let answer = service.client.write("hs", "companies", create(GROUP)).await;
        if answer.status == 200 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn a_project_has_a_limit_of_its_own(kind: Kind) {
    let service = service(kind, |tuning| TuningArgs {
        queue_limit_project: 2,
        ..tuning
    })
    .await;
    service.connect("other", "hubspot", "test-other").await;
    service
        .install("hs", "other", json!({"provider": "hubspot"}))
        .await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold))
        .expect("a good fault");
    accept(&service, GROUP).await;
    accept(&service, "other").await;
    let problem = service
        .client
        .write("hs", "companies", create(GROUP))
        .await
        .problem(429);
    assert_eq!(problem["context"]["of"], "project");
    let metrics = metrics(&service).await;
    assert_eq!(
        value(&metrics, r#"amp_operations_refused_total{limit="project"}"#),
        Some(1.0)
    );
    hold.remove();
    hold.release();
}

async fn writes_that_wait_too_long_for_credentials_end_and_say_why(kind: Kind) {
    let service = service(kind, |tuning| tuning).await;
    let client = &service.client;
    let list = client
        .get("/connections?provider=hubspot")
        .await
        .expect(200)
        .json();
    let path = format!("/connections/{}", list[0]["id"].as_str().unwrap());
    let change = |token: &str| json!({"updateMask": ["oauth2AuthorizationCode"], "connection": {"oauth2AuthorizationCode": {"accessToken": {"token": token}}}});
    client.patch(&path, change("revoked")).await.expect(200);
    let first = accept(&service, GROUP).await;
    let started = std::time::Instant::now();
    while client.get(&path).await.expect(200).json()["status"] != "bad_credentials" {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Its attempt is over, so nothing is in doubt; what comes now is not even tried.
    let settled = |operation: &Value| operation["metadata"]["attempts"][0]["state"] == "answered";
    client.operation_until(&first, settled).await;
    let operations = [first, accept(&service, GROUP).await];
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    assert_eq!(service.app.writes.end_long_holds(hours(168)).await.unwrap(), 0);
    service.app.writes.survey().await.unwrap();
    let text = metrics(&service).await;
    assert_eq!(value(&text, "amp_lanes_held"), Some(1.0));
    assert_eq!(value(&text, r#"amp_queue_items{state="held"}"#), Some(2.0));
    // An attempt that was under way when the lane was held is not disturbed; the next run ends it.
    let started = std::time::Instant::now();
    while service.app.store.queue_depth().await.unwrap() > 0 {
        assert!(started.elapsed() < PATIENCE);
        service.app.writes.end_long_holds(Duration::ZERO).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for operation in &operations {
        let done = client.ended(operation).await;
        assert_eq!(done["status"], "failure", "{done}");
        let result = done["result"].as_str().unwrap();
        assert!(
            result.contains("has refused the customer's credentials since 20"),
            "{result}"
        );
        assert!(
            result.contains("reconnect") && result.contains("replay"),
            "{result}"
        );
    }
    assert_eq!(client.ended(&operations[0]).await["metadata"]["state"], "failed");
    // What is written after the customer has reconnected goes on as ever.
    client.patch(&path, change("test-acme")).await.expect(200);
    let operation = accept(&service, GROUP).await;
    assert_eq!(client.ended(&operation).await["status"], "success");
    assert_eq!(service.created(), 1);
}

async fn a_failure_keeps_an_excerpt_of_the_answer_without_secrets(kind: Kind) {
    let service = service(kind, |tuning| tuning).await;
    let bad = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous",
        "record": {"name": "A", "no_such": 1}});
    let answer = service
        .client
        .write("hs", "companies", bad)
        .await
        .expect(200)
        .json();
    let failed = service
        .client
        .ended(answer["operationId"].as_str().unwrap())
        .await;
    let excerpt = failed["metadata"]["attempts"][0]["excerpt"]
        .as_str()
        .unwrap_or_else(|| panic!("{failed}"));
    assert!(
        excerpt.starts_with('{') && excerpt.contains("no_such"),
        "{excerpt}"
    );
    assert!(excerpt.chars().count() <= 501);
    let good = accept(&service, GROUP).await;
    let done = service.client.ended(&good).await;
    assert_eq!(done["metadata"]["attempts"][0].get("excerpt"), None, "{done}");
}

async fn a_quota_that_is_used_up_pauses_the_lane_before_the_provider_refuses(kind: Kind) {
    let service = service(kind, |tuning| tuning).await;
    assert_eq!(service.app.store.health().await.unwrap().lanes_paused, 0);
    let url = service
        .sandbox
        .hubspot_url()
        .replace("/hubspot", "/_sandbox/accounts/hubspot/acme");
    let settings = json!({"burst": 1, "enforce_limits": true}).to_string();
    let request = service
        .client
        .http
        .patch(url)
        .header("content-type", "application/json");
    service.client.send(request.body(settings)).await.expect(200);
    let first = accept(&service, GROUP).await;
    assert_eq!(service.client.ended(&first).await["status"], "success");
    let started = std::time::Instant::now();
    while service.app.store.health().await.unwrap().lanes_paused == 0 {
        assert!(started.elapsed() < PATIENCE, "the lane must pause");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn metrics_tell_what_happened_with_labels_of_closed_sets(kind: Kind) {
    let service = service(kind, |tuning| tuning).await;
    let operation = accept(&service, GROUP).await;
    service.client.ended(&operation).await;
    let bad = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A", "no_such": 1}});
    service.client.write("hs", "companies", bad).await.expect(422);
    service
        .client
        .write("hs", "secret-object", create(GROUP))
        .await
        .problem(400);
    let request = service
        .client
        .request(http::Method::from_bytes(b"SECRET").unwrap(), "/secret-path");
    service.client.send(request).await;
    service.app.writes.survey().await.unwrap();
    let text = metrics(&service).await;
    for (series, wanted) in [
        (
            r#"amp_operations_accepted_total{provider="hubspot",action="create",mode="asynchronous"}"#,
            1.0,
        ),
        (
            r#"amp_operations_accepted_total{provider="hubspot",action="create",mode="synchronous"}"#,
            1.0,
        ),
        (
            r#"amp_operations_ended_total{provider="hubspot",action="create",outcome="succeeded",class="success"}"#,
            1.0,
        ),
        (
            r#"amp_operations_ended_total{provider="hubspot",action="create",outcome="failed",class="validation"}"#,
            1.0,
        ),
        (
            r#"amp_provider_call_seconds_count{provider="hubspot",answer="2xx"}"#,
            1.0,
        ),
        (
            r#"amp_provider_call_seconds_count{provider="hubspot",answer="4xx"}"#,
            1.0,
        ),
        (
            r#"amp_provider_call_seconds_bucket{provider="hubspot",answer="4xx",le="+Inf"}"#,
            1.0,
        ),
        (r#"amp_commit_members_sum{kind="accept"}"#, 1.0),
        (r#"amp_commit_seconds_count{kind="record"}"#, 1.0),
        (
            r#"amp_http_requests_total{method="other",route="none",status="404"}"#,
            1.0,
        ),
        (r#"amp_queue_items{state="waiting"}"#, 0.0),
        (r#"amp_queue_items{state="held"}"#, 0.0),
        ("amp_shards_owned", 64.0),
        ("amp_shards_free", 0.0),
        ("amp_lanes_paused", 0.0),
        ("amp_long_transactions", 0.0),
    ] {
        assert_eq!(value(&text, series), Some(wanted), "{series} in\n{text}");
    }
    let write = r#"amp_http_requests_total{method="POST",route="/v1/projects/{project}/integrations/{integration}/objects/{object}",status="#;
    assert_eq!(value(&text, &format!("{write}\"400\"}}")), Some(1.0));
    assert!(!text.contains("secret"), "nothing of a request is a label");
    assert!(
        !text.contains(&operation) && !text.contains("companies"),
        "{text}"
    );
    // Prometheus reads every line.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.starts_with("amp_"), "{line}");
    }
}

async fn a_starting_process_removes_what_is_too_old_and_serves_metrics_on_their_own_address(kind: Kind) {
    let database = Database::create(kind).await;
    let env = [("DATABASE_URL", database.url.as_str())];
    let (status, printed, complaint) = run(&["project", "create", "test"], &env);
    assert!(status.success(), "{complaint}");
    let key = printed
        .lines()
        .find_map(|line| line.strip_prefix("API key"))
        .unwrap()
        .trim()
        .to_owned();
    let store = database.store().await;
    let project = store.find_project("test").await.unwrap().unwrap();
    let (old, bare, young) = (
        finished(&project, 9),
        finished(&project, 5),
        finished(&project, 1),
    );
    for days in [9, 5, 1] {
        store.prepare_history(days_ago(days)).await.unwrap();
    }
    store
        .record_operations(&[old.clone(), bare.clone(), young.clone()])
        .await
        .unwrap();
    // On SQLite the process needs the file for itself.
    store.close().await;
    drop(store);
    let (listen, metrics) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let _process = Process::start(
        &["serve"],
        &[
            ("DATABASE_URL", &database.url),
            ("AMP_LISTEN", &listen),
            ("AMP_METRICS_LISTEN", &metrics),
            (
                "AMP_ENCRYPTION_KEY",
                "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            ),
            ("AMP_RETENTION_DAYS", "7"),
            ("AMP_PAYLOAD_RETENTION_DAYS", "3"),
            ("AMP_LOG", "info"),
        ],
    );
    let client = Client::new(format!("http://{listen}"), key, "test".to_owned());
    let path = |record: &RecordOperation| client.path(&format!("/operations/{}", record.operation.id));
    let started = std::time::Instant::now();
    loop {
        let request = client.request(http::Method::GET, &path(&old));
        if client
            .try_send(request)
            .await
            .is_ok_and(|answer| answer.status == 404)
        {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let expired = async |record| {
        let request = client.request(http::Method::GET, &path(record));
        let operation = client.send(request).await.expect(200).json();
        assert_eq!(operation["status"], "success");
        operation["metadata"]["payloadExpired"] == true
    };
    // Payloads leave after the operations have left.
    while !expired(&bare).await {
        assert!(started.elapsed() < PATIENCE, "the payload stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!expired(&young).await);
    let scrape = client.http.get(format!("http://{metrics}/metrics"));
    assert!(
        client
            .send(scrape)
            .await
            .expect(200)
            .body
            .contains("amp_build_info")
    );
    let beside_the_api = client.http.get(format!("http://{listen}/metrics"));
    client.send(beside_the_api).await.problem(404);
}

fn days_ago(days: i64) -> Time {
    Time::from_micros(SystemClock.now().as_micros() - days * 86_400_000_000)
}

/// A synchronous write that ended so many days ago.
fn finished(project: &Project, days: i64) -> RecordOperation {
    #[derive(Debug)]
    struct At(Time);
    impl Clock for At {
        fn now(&self) -> Time {
            self.0
        }
    }
    let id = uuid::Uuid::new_v4();
    RecordOperation {
        operation: NewOperation {
            id: At(days_ago(days)).new_id(),
            project_id: project.id,
            integration_id: id,
            installation_id: id,
            config_id: id,
            revision_id: id,
            connection_id: id,
            object: "contacts".to_owned(),
            action: Action::Create,
            request: "{}".to_owned(),
            client_ref: None,
            replay_of: None,
        },
        result: NewResult {
            state: EndState::Succeeded,
            summary: "done".to_owned(),
            record_id: None,
            errors: "[]".to_owned(),
            attempts: 1,
            records: None,
        },
        attempts: Vec::new(),
    }
}
