//! What an installation says of limits, in the running service.

use std::time::Duration;

use amp_write::sandbox::{FaultKind, FaultSpec};
use amp_write::settings::TuningArgs;
use serde_json::{Value, json};

use crate::harness::client::PATIENCE;
use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Client, Kind, Service, on_both_stores};

on_both_stores!(
    an_installation_raises_and_lowers_the_calls_at_once_of_its_running_lane,
    an_installation_limits_how_often_its_lane_starts_and_takes_it_back,
    limits_that_cannot_be_are_400_with_their_paths_and_others_masks_leave_them_alone,
);

async fn service(kind: Kind) -> Service {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        provider_limits: true,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    service.connect("quiet", "hubspot", "test-quiet").await;
    service
        .install("hs", "quiet", json!({"provider": "hubspot"}))
        .await;
    service
}

/// Another customer's write, through the whole queue.
async fn quiet_write(service: &Service) {
    let body =
        json!({"groupRef": "quiet", "type": "create", "mode": "asynchronous", "record": {"name": "q"}});
    let answer = service.client.write("hs", "companies", body).await;
    let answer = answer.expect(200).json();
    let done = service
        .client
        .ended(answer["operationId"].as_str().unwrap())
        .await;
    assert_eq!(done["status"], "success", "{done}");
}

async fn installation(client: &Client) -> Value {
    let path = format!("/integrations/hs/installations?groupRef={GROUP}");
    client.get(&path).await.expect(200).json()[0].clone()
}

async fn limit(client: &Client, limits: Value) -> crate::harness::client::Answer {
    let id = installation(client).await["id"].as_str().unwrap().to_owned();
    let body = json!({
        "updateMask": ["config.content.write.limits"],
        "installation": {"config": {"content": {"write": {"limits": limits}}}},
    });
    client
        .patch(&format!("/integrations/hs/installations/{id}"), body)
        .await
}

async fn accept(service: &Service, number: usize) -> String {
    let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "onUnknown": "retry",
        "record": {"name": format!("c{number}")}});
    let answer = service.client.write("hs", "companies", body).await;
    answer.expect(200).json()["operationId"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn an_installation_raises_and_lowers_the_calls_at_once_of_its_running_lane(kind: Kind) {
    let service = service(kind).await;
    // On Postgres the change is made through another process, which works no queue.
    let other = match kind {
        Kind::Postgres => Some(service.without_worker().await),
        Kind::Sqlite => None,
    };
    let client = other.as_ref().map_or(&service.client, |node| &node.client);
    let file = u64::from(service.app.writes.limits_of("hubspot").unwrap().concurrency);
    let cap = u64::from(service.app.tuning.lane_concurrency);
    assert!(file > 1 && file + 1 < cap, "else the setting would be the limit");
    limit(client, json!({"concurrency": 1})).await.expect(200);
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).account("acme"))
        .expect("a good fault");
    let mut operations = Vec::new();
    for number in 0..20 {
        operations.push(accept(&service, number).await);
    }
    hold.wait_hits(1).await;
    quiet_write(&service).await;
    assert_eq!(hold.hits(), 1, "lower than the file says");
    // Every call stands: only the change itself can start another one.
    for (asked, calls) in [(file + 1, file + 1), (1_000, cap)] {
        limit(client, json!({"concurrency": asked})).await.expect(200);
        tokio::time::timeout(PATIENCE, hold.wait_hits(calls))
            .await
            .expect("more start");
        quiet_write(&service).await;
        assert_eq!(hold.hits(), calls, "and not more: the setting stays a cap");
    }
    hold.remove();
    for operation in &operations {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
}

async fn an_installation_limits_how_often_its_lane_starts_and_takes_it_back(kind: Kind) {
    let service = service(kind).await;
    let client = &service.client;
    limit(client, json!({"requests": 2, "perSeconds": 3600}))
        .await
        .expect(200);
    let mut operations = Vec::new();
    for number in 0..6 {
        operations.push(accept(&service, number).await);
    }
    let ended = async || {
        let mut ended = 0;
        for operation in &operations {
            let found = client.get(&format!("/operations/{operation}")).await.json();
            ended += usize::from(found["status"] == "success");
        }
        ended
    };
    let started = std::time::Instant::now();
    while ended().await < 2 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Another customer's write goes through the whole queue meanwhile: the lane has had every chance.
    quiet_write(&service).await;
    assert_eq!(service.created(), 3, "two of six, and the other customer's");
    // What was started counts on under another limit.
    limit(client, json!({"requests": 3, "perSeconds": 3600}))
        .await
        .expect(200);
    while ended().await < 3 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(service.created(), 4);
    limit(client, json!({})).await.expect(200);
    for operation in &operations {
        assert_eq!(client.ended(operation).await["status"], "success");
    }
}

async fn limits_that_cannot_be_are_400_with_their_paths_and_others_masks_leave_them_alone(kind: Kind) {
    let service = service(kind).await;
    let client = &service.client;
    let bad = json!({"concurrency": 0, "requests": 5});
    let problem = limit(client, bad.clone()).await.problem(400);
    let names: Vec<&str> = problem["issues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| issue["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "config.content.write.limits.perSeconds",
            "config.content.write.limits.concurrency"
        ]
    );
    service.connect("second", "hubspot", "test-second").await;
    let content = json!({"provider": "hubspot", "write": {"objects": {}, "limits": bad}});
    let body = json!({"groupRef": "second", "config": {"content": content}});
    client
        .post("/integrations/hs/installations", body)
        .await
        .problem(400);
    limit(client, json!({"concurrency": 2, "note": "kept"}))
        .await
        .expect(200);
    let key = json!({"label": "browser", "scopes": ["frontend"]});
    let key = client.post("/api-keys", key).await.expect(201).json();
    let browser = Client {
        key: key["key"].as_str().unwrap().to_owned(),
        ..client.clone()
    };
    limit(&browser, json!({"concurrency": 3})).await.problem(403);
    // As the React library clears a customer's choices.
    let before = installation(client).await;
    let path = format!(
        "/integrations/hs/installations/{}",
        before["id"].as_str().unwrap()
    );
    let clear = json!({"updateMask": ["config.content.write.objects"],
        "installation": {"config": {"content": {"write": {"objects": {}}}}}});
    browser.patch(&path, clear).await.expect(200);
    let content = installation(client).await["config"]["content"].clone();
    assert_eq!(
        content["write"],
        json!({"objects": {}, "limits": {"concurrency": 2, "note": "kept"}})
    );
}
