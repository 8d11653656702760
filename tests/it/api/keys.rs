//! API keys: their end, and when they were last used.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use amp_write::clock::{Clock, SystemClock, Time};
use serde_json::json;

use crate::harness::client::PATIENCE;
use crate::harness::service::{start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_key_opens_nothing_from_its_end_on_and_the_answer_says_so,
    the_end_of_a_key_lies_ahead_and_can_be_moved,
    a_use_of_a_key_is_told_soon_and_not_each_time,
);

/// The system's clock, moved.
#[derive(Debug, Default)]
struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Time {
        let ahead = Duration::from_secs(self.0.load(Ordering::SeqCst).unsigned_abs());
        SystemClock.now().after(ahead)
    }
}

async fn service(kind: Kind) -> (Service, Arc<Moved>) {
    let clock = Arc::new(Moved::default());
    let sandbox = start_sandbox().await;
    let tuning = tuning(&sandbox);
    let shared: Arc<dyn Clock> = clock.clone();
    (Service::with_clock(kind, sandbox, tuning, shared).await, clock)
}

async fn a_key_opens_nothing_from_its_end_on_and_the_answer_says_so(kind: Kind) {
    let (service, clock) = service(kind).await;
    let client = &service.client;
    let end = clock.now().after(Duration::from_secs(3600)).to_string();
    let made = client
        .post("/api-keys", json!({"label": "short", "expiresAt": end}))
        .await
        .expect(201)
        .json();
    assert_eq!(made["expiresAt"], end);
    let short = client.with_key(made["key"].as_str().unwrap());
    short.get("/connections").await.expect(200);
    clock.0.store(3_590, Ordering::SeqCst);
    short.get("/connections").await.expect(200);
    // Nothing changes in the store when the time comes, and the key is in memory.
    clock.0.store(3_601, Ordering::SeqCst);
    let problem = short.get("/connections").await.problem(401);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains(&format!("expired on {end}")),
        "{problem}"
    );
    assert!(problem["remedy"].is_string());
    client.get("/connections").await.expect(200);
    let listed = client.get("/api-keys").await.expect(200).json();
    let first = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["label"] == "test")
        .unwrap();
    assert!(
        first.get("expiresAt").is_none(),
        "absent where there is none: {first}"
    );
}

async fn the_end_of_a_key_lies_ahead_and_can_be_moved(kind: Kind) {
    let (service, clock) = service(kind).await;
    let client = &service.client;
    for bad in [json!("2001-01-01T00:00:00Z"), json!("tomorrow"), json!(7)] {
        let problem = client
            .post("/api-keys", json!({"label": "x", "expiresAt": bad}))
            .await
            .problem(400);
        assert!(
            problem["issues"][0]["name"]
                .as_str()
                .unwrap()
                .starts_with("expiresAt"),
            "{problem}"
        );
    }
    let end = |hours: u64| clock.now().after(Duration::from_secs(3600 * hours)).to_string();
    let made = client
        .post("/api-keys", json!({"label": "x", "expiresAt": end(1)}))
        .await
        .expect(201)
        .json();
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let (later, key) = (end(3), client.with_key(made["key"].as_str().unwrap()));
    key.get("").await.expect(200);
    let patch = |end: &str| json!({"updateMask": ["expiresAt"], "apiKey": {"expiresAt": end}});
    assert_eq!(
        client.patch(&path, patch(&later)).await.expect(200).json()["expiresAt"],
        later
    );
    let past = client
        .patch(&path, patch("2001-01-01T00:00:00Z"))
        .await
        .problem(400);
    assert_eq!(past["issues"][0]["name"], "apiKey.expiresAt");
    clock.0.store(2 * 3600, Ordering::SeqCst);
    key.get("").await.expect(200);
    clock.0.store(4 * 3600, Ordering::SeqCst);
    key.get("").await.problem(401);
    client.patch(&path, patch(&end(1))).await.expect(200);
    key.get("").await.expect(200);
}

async fn a_use_of_a_key_is_told_soon_and_not_each_time(kind: Kind) {
    let (service, clock) = service(kind).await;
    let client = &service.client;
    let made = client
        .post("/api-keys", json!({"label": "x"}))
        .await
        .expect(201)
        .json();
    assert!(made.get("lastUsedTime").is_none(), "never");
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let key = client.with_key(made["key"].as_str().unwrap());
    let used = async || client.get(&path).await.expect(200).json()["lastUsedTime"].clone();
    key.get("").await.expect(200);
    let since = Instant::now();
    let first = loop {
        let used = used().await;
        if used.is_string() {
            break used;
        }
        assert!(since.elapsed() < PATIENCE, "it is not told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for _ in 0..20 {
        key.get("").await.expect(200);
    }
    service.app.control.projects.note_uses().await.unwrap();
    assert_eq!(used().await, first, "once a minute");
    clock.0.store(90, Ordering::SeqCst);
    key.get("").await.expect(200);
    service.app.control.projects.note_uses().await.unwrap();
    assert!(used().await.as_str().unwrap() > first.as_str().unwrap());
}
