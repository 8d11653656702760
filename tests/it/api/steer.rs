//! Steering operations: cancel, replay, resolve, and the command line over them.

use std::time::Duration;

use amp_write::sandbox::{FaultKind, FaultSpec};
use serde_json::{Value, json};

use crate::harness::process::run;
use crate::harness::service::GROUP;
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_waiting_write_is_cancelled_and_never_sent,
    a_write_that_is_being_performed_cannot_be_cancelled,
    what_has_ended_or_may_have_been_applied_cannot_be_cancelled,
    cancels_that_race_with_performing_are_answered_honestly,
    a_failed_write_is_replayed_under_the_current_mapping,
    a_successful_create_is_replayed_only_with_force_and_once_per_key,
    failed_writes_are_replayed_by_filter_and_each_once,
    what_needs_review_is_resolved,
    steering_needs_a_full_key_and_a_known_verb,
    the_command_line_lists_shows_cancels_and_replays,
);

fn asynchronous(kind: &str, record: Value) -> Value {
    json!({"groupRef": GROUP, "type": kind, "mode": "asynchronous", "record": record})
}

async fn post(service: &Service, path: &str) -> crate::harness::client::Answer {
    service.client.post(path, "").await
}

async fn a_waiting_write_is_cancelled_and_never_sent(kind: Kind) {
    let service = Service::start(kind).await;
    let id = service.company().await;
    let before = service.reached().len();
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).method("PATCH").once())
        .expect("a good fault");
    let update = |name: &str| asynchronous("update", json!({"id": id, "name": name}));
    let first = service.accept("companies", update("B")).await;
    hold.wait_hits(1).await;
    let second = service.accept("companies", update("C")).await;
    let third = service.accept("companies", update("D")).await;
    let cancelled = post(&service, &format!("/operations/{second}:cancel"))
        .await
        .expect(200)
        .json();
    assert_eq!(cancelled["metadata"]["state"], "cancelled");
    assert_eq!(cancelled["status"], "failure");
    let again = post(&service, &format!("/operations/{second}:cancel"))
        .await
        .problem(409);
    assert_eq!(again["context"]["state"], "cancelled");
    hold.release();
    service.client.ended(&first).await;
    assert_eq!(service.client.ended(&third).await["status"], "success");
    let bodies: Vec<String> = service.reached().into_iter().skip(before).map(|r| r.2).collect();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies.iter().all(|body| !body.contains("\"C\"")), "{bodies:?}");

    // Also one that waits for a reconnect.
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::RevokeGrant).once())
        .expect("a good fault");
    let held = service.accept("companies", update("E")).await;
    service
        .client
        .operation_until(&held, |o| o["metadata"]["state"] == "held")
        .await;
    // The hold is there a moment before the attempt that led to it is over.
    let cancelled = loop {
        let answer = post(&service, &format!("/operations/{held}:cancel")).await;
        if answer.status != 409 || !answer.body.contains("being performed") {
            break answer;
        }
    };
    cancelled.expect(200);
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
}

async fn a_write_that_is_being_performed_cannot_be_cancelled(kind: Kind) {
    let service = Service::start(kind).await;
    let id = service.company().await;
    for (object, body) in [
        ("companies", asynchronous("create", json!({"name": "A"}))),
        // It leaves no row before it is sent.
        (
            "companies",
            asynchronous("update", json!({"id": id, "name": "B"})),
        ),
    ] {
        let hold = service
            .sandbox
            .fault(FaultSpec::new(FaultKind::Hold).once())
            .expect("a good fault");
        let operation = service.accept(object, body).await;
        hold.wait_hits(1).await;
        let problem = post(&service, &format!("/operations/{operation}:cancel"))
            .await
            .problem(409);
        assert!(
            problem["detail"].as_str().unwrap().contains("being performed"),
            "{problem}"
        );
        hold.release();
        assert_eq!(service.client.ended(&operation).await["status"], "success");
    }
}

async fn what_has_ended_or_may_have_been_applied_cannot_be_cancelled(kind: Kind) {
    let service = Service::start(kind).await;
    let id = service.company().await;
    let done = service
        .accept(
            "companies",
            asynchronous("update", json!({"id": id, "name": "B"})),
        )
        .await;
    service.client.ended(&done).await;
    let problem = post(&service, &format!("/operations/{done}:cancel"))
        .await
        .problem(409);
    assert_eq!(problem["context"]["state"], "succeeded");
    // A 5xx does not say whether the update was applied.
    let failing = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::ServerError).method("PATCH"))
        .expect("a good fault");
    let doubtful = service
        .accept(
            "companies",
            asynchronous("update", json!({"id": id, "name": "C"})),
        )
        .await;
    service
        .client
        .operation_until(&doubtful, |o| o["metadata"]["attempts"][0]["class"] == "server")
        .await;
    post(&service, &format!("/operations/{doubtful}:cancel"))
        .await
        .problem(409);
    failing.remove();
    assert_eq!(service.client.ended(&doubtful).await["status"], "success");
    let nobody = format!("/operations/{}:cancel", uuid::Uuid::new_v4());
    post(&service, &nobody).await.problem(404);
}

async fn cancels_that_race_with_performing_are_answered_honestly(kind: Kind) {
    let service = Service::start(kind).await;
    let id = service.company().await;
    let before = service.reached().len();
    let writes = (0..40).map(|n| {
        let (service, id) = (&service, &id);
        async move {
            let name = format!("name-{n}-end");
            let operation = service
                .accept(
                    "companies",
                    asynchronous("update", json!({"id": id, "name": name})),
                )
                .await;
            if n % 4 != 0 {
                tokio::time::sleep(Duration::from_millis(n % 4 * 7)).await;
            }
            let answer = post(service, &format!("/operations/{operation}:cancel")).await;
            assert!([200, 409].contains(&answer.status), "{}", answer.body);
            (name, operation, answer.status == 200)
        }
    });
    let outcomes = futures_util::future::join_all(writes).await;
    let mut sent = 0;
    for (name, operation, cancelled) in outcomes {
        let ended = service.client.ended(&operation).await;
        let reached = service.reached();
        let arrived = reached
            .iter()
            .skip(before)
            .filter(|r| r.2.contains(&name))
            .count();
        if cancelled {
            assert_eq!(ended["metadata"]["state"], "cancelled");
            assert_eq!(arrived, 0, "what was cancelled was not sent");
        } else {
            assert_eq!(ended["status"], "success", "{ended}");
            assert_eq!(arrived, 1);
            sent += 1;
        }
    }
    assert_eq!(service.reached().len() - before, sent);
}

const UNMAPPED: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    write: {objects: [{objectName: contacts}]}
";
const MAPPED: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    read:
      objects:
        - objectName: contacts
          destination: d
          schedule: '0 * * * *'
          requiredFields: [{fieldName: mobilephone, mapToName: phone_number}]
    write: {objects: [{objectName: contacts, inheritMapping: true}]}
";

async fn a_failed_write_is_replayed_under_the_current_mapping(kind: Kind) {
    let service = Service::empty(kind).await;
    service.set_up(UNMAPPED).await;
    let client = &service.client;
    let mut body = asynchronous("create", json!({"phone_number": "+44 1"}));
    body["clientRef"] = json!("ada");
    let failed = service.accept("contacts", body).await;
    assert_eq!(client.ended(&failed).await["status"], "failure");
    service.deploy(MAPPED).await;
    let original = client
        .post(
            &format!("/operations/{failed}:replay"),
            json!({"mapping": "original"}),
        )
        .await
        .expect(200)
        .json();
    let again = original["operationId"].as_str().unwrap();
    assert_eq!(
        client.ended(again).await["status"],
        "failure",
        "under the old rules"
    );
    let current = post(&service, &format!("/operations/{failed}:replay"))
        .await
        .expect(200)
        .json();
    assert_eq!(current["replayOf"], failed.as_str());
    let current = current["operationId"].as_str().unwrap();
    let done = client.ended(current).await;
    assert_eq!(done["status"], "success", "{done}");
    assert_eq!(done["metadata"]["replayOf"], failed.as_str());
    assert_eq!(done["metadata"]["records"][0]["clientRef"], "ada");
    let first = client
        .get(&format!("/operations/{failed}"))
        .await
        .expect(200)
        .json();
    assert_eq!(first["metadata"]["replayedAs"], json!([again, current]));
    assert!(service.reached().pop().unwrap().2.contains("mobilephone"));
    let bad = json!({"mapping": "newest"});
    client
        .post(&format!("/operations/{failed}:replay"), bad)
        .await
        .problem(400);
}

async fn a_successful_create_is_replayed_only_with_force_and_once_per_key(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let done = service
        .accept("companies", asynchronous("create", json!({"name": "A"})))
        .await;
    client.ended(&done).await;
    let path = format!("/operations/{done}:replay");
    let problem = post(&service, &path).await.problem(409);
    assert_eq!(problem["context"]["state"], "succeeded");
    let forced = async || {
        let request = client
            .request(http::Method::POST, &client.path(&path))
            .header("idempotency-key", "r");
        let body = json!({"force": true}).to_string();
        client.send(request.body(body)).await.expect(200).json()
    };
    let (first, second) = tokio::join!(forced(), forced());
    assert_eq!(first, second);
    client.ended(first["operationId"].as_str().unwrap()).await;
    assert_eq!(service.created(), 2);
    // What has not ended is not replayed.
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a good fault");
    let running = service
        .accept("companies", asynchronous("create", json!({"name": "B"})))
        .await;
    hold.wait_hits(1).await;
    post(&service, &format!("/operations/{running}:replay"))
        .await
        .problem(409);
    hold.release();
    client.ended(&running).await;
}

async fn failed_writes_are_replayed_by_filter_and_each_once(kind: Kind) {
    let service = Service::empty(kind).await;
    service.set_up(UNMAPPED).await;
    let client = &service.client;
    let mut failed = Vec::new();
    for n in 0..5 {
        let operation = service
            .accept(
                "contacts",
                asynchronous("create", json!({"phone_number": n.to_string()})),
            )
            .await;
        client.ended(&operation).await;
        failed.push(operation);
    }
    service.deploy(MAPPED).await;
    let path = "/integrations/hs/operations:replay";
    let dry = client
        .post(
            path,
            json!({"object": "contacts", "groupRef": GROUP, "dryRun": true}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(
        (dry["matched"].as_i64(), dry["replayed"].as_array().map(Vec::len)),
        (Some(5), Some(0))
    );
    let none = client
        .post(path, json!({"groupRef": "nobody", "dryRun": true}))
        .await
        .expect(200)
        .json();
    assert_eq!(none["matched"], 0);
    let first = client.post(path, json!({"limit": 3})).await.expect(200).json();
    assert_eq!(first["replayed"].as_array().unwrap().len(), 3, "{first}");
    assert_eq!(first["more"], true);
    let second = client.post(path, json!({})).await.expect(200).json();
    assert_eq!(
        second["replayed"].as_array().unwrap().len(),
        2,
        "each once: {second}"
    );
    let mut again: Vec<&str> = Vec::new();
    for replayed in [&first, &second]
        .into_iter()
        .flat_map(|a| a["replayed"].as_array().unwrap())
    {
        let done = client.ended(replayed["operationId"].as_str().unwrap()).await;
        assert_eq!(done["status"], "success", "{done}");
        again.push(replayed["replayOf"].as_str().unwrap());
    }
    again.sort_unstable();
    failed.sort_unstable();
    assert_eq!(again, failed);
    let over = client
        .post(path, json!({"dryRun": true}))
        .await
        .expect(200)
        .json();
    assert_eq!(over["matched"], 0);
    for bad in [
        json!({"state": "succeeded"}),
        json!({"limit": 0}),
        json!({"sinc": "x"}),
    ] {
        client.post(path, bad).await.problem(400);
    }
}

/// A create that was sent and got no answer.
async fn in_review(service: &Service) -> String {
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit).once())
        .expect("a good fault");
    let operation = service
        .accept("companies", asynchronous("create", json!({"name": "A"})))
        .await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["metadata"]["state"], "needs_review", "{done}");
    operation
}

async fn what_needs_review_is_resolved(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let resolve = async |id: &str, body: Value| client.post(&format!("/operations/{id}:resolve"), body).await;
    let one = in_review(&service).await;
    resolve(&one, json!({"outcome": "maybe"})).await.problem(400);
    let problem = resolve(&one, json!({"outcome": "succeeded"})).await.problem(400);
    assert_eq!(problem["issues"][0]["name"], "recordId");
    let done = resolve(&one, json!({"outcome": "succeeded", "recordId": "77"}))
        .await
        .expect(200)
        .json();
    assert_eq!(done["status"], "success");
    assert_eq!(done["metadata"]["successfulRecordIds"], json!(["77"]));
    let problem = resolve(&one, json!({"outcome": "failed"})).await.problem(409);
    assert_eq!(problem["context"]["state"], "succeeded");
    let two = in_review(&service).await;
    let done = resolve(&two, json!({"outcome": "failed"}))
        .await
        .expect(200)
        .json();
    assert_eq!(done["metadata"]["state"], "failed");
    let three = in_review(&service).await;
    let before = service.created();
    let done = resolve(&three, json!({"outcome": "retry"}))
        .await
        .expect(200)
        .json();
    let again = done["metadata"]["replayedAs"][0].as_str().unwrap();
    assert_eq!(client.ended(again).await["status"], "success");
    assert_eq!(service.created() - before, 1);
    let nobody = uuid::Uuid::new_v4().to_string();
    resolve(&nobody, json!({"outcome": "failed"})).await.problem(404);
}

async fn steering_needs_a_full_key_and_a_known_verb(kind: Kind) {
    let service = Service::start(kind).await;
    let id = uuid::Uuid::new_v4();
    post(&service, &format!("/operations/{id}:explode"))
        .await
        .problem(404);
    post(&service, &format!("/operations/{id}")).await.problem(405);
    post(&service, "/operations/x:cancel").await.problem(404);
    let key = json!({"label": "browser", "scopes": ["frontend"]});
    let made = service.client.post("/api-keys", key).await.expect(201).json();
    let browser = crate::harness::Client {
        key: made["key"].as_str().expect("a key").to_owned(),
        ..service.client.clone()
    };
    for verb in ["cancel", "replay", "resolve"] {
        browser
            .post(&format!("/operations/{id}:{verb}"), "{}")
            .await
            .problem(403);
    }
    browser
        .post("/integrations/hs/operations:replay", "{}")
        .await
        .problem(403);
}

async fn the_command_line_lists_shows_cancels_and_replays(kind: Kind) {
    let service = Service::start(kind).await;
    let env = [
        ("AMP_URL", service.client.url.clone()),
        ("AMP_PROJECT", "test".to_owned()),
        ("AMP_API_KEY", service.client.key.clone()),
    ];
    let amp = async |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let env = env.clone();
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = ["operations"]
                .into_iter()
                .chain(args.iter().map(String::as_str))
                .collect();
            let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
            run(&args, &env)
        })
        .await
        .unwrap()
    };
    let (status, out, err) = amp(&["list"]).await;
    assert!(status.success() && out.contains("no operations"), "{out}{err}");
    let mut body = asynchronous("create", json!({"no_such_property": "x"}));
    body["clientRef"] = json!("ada");
    let failed = service.accept("contacts", body).await;
    let (status, out, err) = amp(&["watch", &failed]).await;
    assert!(status.success() && out.contains("failed"), "{out}{err}");
    let (_, out, _) = amp(&["list", "--state", "failed", "--client-ref", "ada"]).await;
    assert!(
        out.contains(&failed) && out.contains("Error writing to provider"),
        "{out}"
    );
    let (_, out, _) = amp(&["list", "--json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&out).unwrap()[0]["id"],
        failed.as_str()
    );
    let (_, out, _) = amp(&["show", &failed]).await;
    assert!(
        out.contains("client ref    ada") && out.contains("validation"),
        "{out}"
    );
    let (status, out, err) = amp(&["replay", &failed, "--mapping", "original"]).await;
    assert!(status.success() && out.contains("accepted as "), "{out}{err}");
    // Or it would meet the fault that is meant for the next write.
    let replayed = out.trim().rsplit(' ').next().unwrap();
    service.client.ended(replayed).await;
    let (status, _, err) = amp(&["cancel", &failed]).await;
    assert!(
        !status.success() && err.contains("409") && err.contains("ended"),
        "{err}"
    );
    let review = in_review(&service).await;
    let (status, out, err) = amp(&["resolve", &review, "succeeded", "--record-id", "7"]).await;
    assert!(status.success() && out.contains("record id     7"), "{out}{err}");
    let (status, _, err) = amp(&["list", "--state", "dead"]).await;
    assert!(!status.success() && err.contains("needs_review"), "{err}");
    let (status, _, err) = amp(&["list", "--api-key", "wrong"]).await;
    assert!(!status.success() && err.contains("401"), "{err}");
}
