//! Following operations: metadata, logs, lists, waiting, watching.

use std::time::{Duration, Instant};

use amp_write::sandbox::{FaultKind, FaultSpec};
use serde_json::{Value, json};

use crate::harness::client::PATIENCE;
use crate::harness::service::GROUP;
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_waiting_operation_says_what_it_waits_for,
    a_client_ref_is_kept_found_and_orders_creates,
    logs_tell_what_happened,
    operations_are_filtered_and_paged,
    a_bad_filter_is_400_and_says_what_is_allowed,
    a_wait_ends_when_the_operation_does,
    a_wait_ends_when_its_time_is_over,
    many_wait_for_one_operation,
    watching_tells_ends_in_order_and_goes_on_after_the_last_event,
    watching_one_operation_tells_its_changes_and_ends_with_it,
);

fn asynchronous(kind: &str, record: Value) -> Value {
    json!({"groupRef": GROUP, "type": kind, "mode": "asynchronous", "record": record})
}

impl Service {
    pub async fn accept(&self, object: &str, body: Value) -> String {
        let answer = self.client.write("hs", object, body).await.expect(200).json();
        answer["operationId"].as_str().unwrap().to_owned()
    }

    /// A record, made synchronously.
    pub async fn company(&self) -> String {
        let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}});
        let made = self
            .client
            .write("hs", "companies", body)
            .await
            .expect(200)
            .json();
        made["result"]["recordId"].as_str().unwrap().to_owned()
    }
}

async fn a_waiting_operation_says_what_it_waits_for(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let id = service.company().await;
    let update = |name: &str| asynchronous("update", json!({"id": id, "name": name}));

    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).method("PATCH").once())
        .expect("a good fault");
    let first = service.accept("companies", update("B")).await;
    hold.wait_hits(1).await;
    let second = service.accept("companies", update("C")).await;
    let waiting = client
        .operation_until(&second, |o| o["metadata"]["waitingOn"] == "earlier_write")
        .await;
    assert_eq!(waiting["metadata"]["state"], "waiting");
    assert_eq!(waiting["status"], "in_progress");
    hold.release();
    client.ended(&first).await;
    client.ended(&second).await;

    let failing = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::ServerError).method("PATCH"))
        .expect("a good fault");
    let third = service.accept("companies", update("D")).await;
    let waiting = client
        .operation_until(&third, |o| o["metadata"]["waitingOn"] == "backoff")
        .await;
    let meta = &waiting["metadata"];
    assert!(meta["nextAttemptTime"].as_str().unwrap() > waiting["createTime"].as_str().unwrap());
    assert!(meta["deadline"].is_string());
    assert_eq!(meta["attempts"][0]["class"], "server");
    assert_eq!(meta["attempts"][0]["status"], 502);
    assert!(meta["retry"]["attempts"].as_i64().unwrap() >= 1);
    assert!(meta["retry"]["lastAttempt"].is_string());
    failing.remove();
    client.ended(&third).await;

    let limited = service
        .sandbox
        .fault(FaultSpec {
            retry_after: Some(1),
            ..FaultSpec::new(FaultKind::RateLimit)
        })
        .expect("a good fault");
    let fourth = service.accept("companies", update("E")).await;
    let waiting = client
        .operation_until(&fourth, |o| o["metadata"]["waitingOn"] == "rate_limit")
        .await;
    assert_eq!(waiting["metadata"]["state"], "waiting");
    limited.remove();
    client.ended(&fourth).await;

    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::RevokeGrant).once())
        .expect("a good fault");
    let fifth = service.accept("companies", update("F")).await;
    let held = client
        .operation_until(&fifth, |o| o["metadata"]["state"] == "held")
        .await;
    assert_eq!(held["metadata"]["waitingOn"], "authorization");
}

async fn a_client_ref_is_kept_found_and_orders_creates(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let create = |name: &str, client_ref: &str| {
        let mut body = asynchronous("create", json!({"name": name}));
        body["clientRef"] = json!(client_ref);
        body
    };
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a good fault");
    let first = service.accept("companies", create("1", "order-7")).await;
    hold.wait_hits(1).await;
    let second = service.accept("companies", create("2", "order-7")).await;
    let other = service.accept("companies", create("3", "order-8")).await;
    // Another one overtakes them; the second of the same name does not.
    client.ended(&other).await;
    let waiting = client
        .operation_until(&second, |o| o["metadata"]["waitingOn"] == "earlier_write")
        .await;
    assert_eq!(waiting["metadata"]["records"][0]["clientRef"], "order-7");
    hold.release();
    let done = client.ended(&first).await;
    assert_eq!(done["metadata"]["records"][0]["index"], 0);
    assert_eq!(
        done["metadata"]["records"][0]["recordId"],
        done["metadata"]["successfulRecordIds"][0]
    );
    client.ended(&second).await;
    let found = client
        .get("/operations?clientRef=order-7")
        .await
        .expect(200)
        .json();
    let ids: Vec<&str> = found["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [second.as_str(), first.as_str()]);
}

async fn logs_tell_what_happened(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let operation = service
        .accept("contacts", asynchronous("create", json!({"no_such_property": 1})))
        .await;
    client.ended(&operation).await;
    let logs = client
        .get(&format!("/operations/{operation}/logs"))
        .await
        .expect(200)
        .json();
    let logs = logs.as_array().expect("a list");
    for log in logs {
        assert!(log["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(log["message"]["msg"].is_string());
        assert_eq!(log["message"]["operation_id"], operation.as_str());
        for detail in log["message"]["details"].as_object().into_iter().flatten() {
            assert!(detail.1.is_string(), "details are texts: {log}");
        }
    }
    let severities: Vec<&str> = logs.iter().map(|l| l["severity"].as_str().unwrap()).collect();
    assert_eq!(severities, ["INFO", "WARNING", "ERROR"], "{logs:?}");
    assert!(
        logs[2]["message"]["error"]
            .as_str()
            .unwrap()
            .contains("no_such_property")
    );
    let unknown = uuid::Uuid::new_v4();
    client
        .get(&format!("/operations/{unknown}/logs"))
        .await
        .problem(404);
}

async fn operations_are_filtered_and_paged(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let ids = |page: &Value| -> Vec<String> {
        let results = page["results"].as_array().expect("results");
        results
            .iter()
            .map(|o| o["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut made = Vec::new();
    for n in 0..5 {
        let operation = service
            .accept(
                "companies",
                asynchronous("create", json!({"name": n.to_string()})),
            )
            .await;
        client.ended(&operation).await;
        made.push(operation);
    }
    let bad = service
        .accept("contacts", asynchronous("create", json!({"no_such_property": 1})))
        .await;
    client.ended(&bad).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a good fault");
    let running = service
        .accept("companies", asynchronous("create", json!({"name": "held"})))
        .await;
    hold.wait_hits(1).await;
    made.reverse();

    let get = async |query: &str| {
        client
            .get(&format!("/operations?{query}"))
            .await
            .expect(200)
            .json()
    };
    assert_eq!(ids(&get("status=success").await), made);
    assert_eq!(ids(&get("state=succeeded&object=companies").await), made);
    assert_eq!(ids(&get("status=failure").await), [bad.as_str()]);
    assert_eq!(ids(&get("state=failed&object=contacts").await), [bad.as_str()]);
    assert!(ids(&get("state=needs_review").await).is_empty());
    assert_eq!(ids(&get("status=in_progress").await), [running.as_str()]);
    assert_eq!(
        ids(&get("state=queued&object=companies").await),
        [running.as_str()]
    );
    assert_eq!(ids(&get("object=contacts").await), [bad.as_str()]);
    assert_eq!(ids(&get("groupRef=acme&integration=hs").await).len(), 7);
    assert!(ids(&get("groupRef=nobody").await).is_empty());
    assert!(ids(&get("integration=sf").await).is_empty());
    assert_eq!(ids(&get("").await).len(), 7);
    let created = client.get(&format!("/operations/{bad}")).await.expect(200).json()["createTime"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        ids(&get(&format!("since={created}")).await),
        [running.as_str(), bad.as_str()]
    );
    assert_eq!(ids(&get(&format!("until={created}")).await), made);

    // Pages stay as they are while new operations arrive.
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = get(&format!("status=success&pageSize=2&pageToken={token}")).await;
        seen.extend(ids(&page));
        if page["pagination"]["done"] == true {
            assert!(page["pagination"].get("nextPageToken").is_none());
            break;
        }
        token = page["pagination"]["nextPageToken"].as_str().unwrap().to_owned();
        service
            .client
            .write(
                "hs",
                "companies",
                json!({"groupRef": GROUP, "type": "create", "record": {"name": "new"}}),
            )
            .await
            .expect(200);
    }
    assert_eq!(seen, made);
    hold.release();
    client.ended(&running).await;
}

async fn a_bad_filter_is_400_and_says_what_is_allowed(kind: Kind) {
    let service = Service::start(kind).await;
    for (query, allowed) in [
        ("status=done", "in_progress"),
        ("state=dead", "needs_review"),
        ("status=failure&state=failed", "one of the two"),
        ("since=yesterday", "RFC 3339"),
        ("pageSize=0", "1 to 1000"),
        ("pageSize=x", "1 to 1000"),
        ("pageToken=x", "gave out"),
        ("statuss=failure", "clientRef"),
    ] {
        let problem = service
            .client
            .get(&format!("/operations?{query}"))
            .await
            .problem(400);
        assert!(
            problem["detail"].as_str().unwrap().contains(allowed),
            "{query}: {problem}"
        );
    }
    service
        .client
        .get("/operations?integration=none")
        .await
        .problem(404);
    service
        .client
        .get("/operations:watch?status=in_progress")
        .await
        .problem(400);
    let missing = format!("/operations:watch?operationId={}", uuid::Uuid::new_v4());
    service.client.get(&missing).await.problem(404);
    let operation = service.company().await;
    drop(operation);
    let listed = service.client.get("/operations").await.expect(200).json();
    let id = listed["results"][0]["id"].as_str().unwrap().to_owned();
    for wait in ["61", "-1", "x"] {
        let problem = service
            .client
            .get(&format!("/operations/{id}?wait={wait}"))
            .await
            .problem(400);
        assert!(
            problem["detail"].as_str().unwrap().contains("0 to 60"),
            "{problem}"
        );
    }
}

async fn a_wait_ends_when_the_operation_does(kind: Kind) {
    let service = Service::start(kind).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a good fault");
    let operation = service
        .accept("companies", asynchronous("create", json!({"name": "A"})))
        .await;
    hold.wait_hits(1).await;
    let waiting = tokio::spawn({
        let (client, path) = (service.client.clone(), format!("/operations/{operation}?wait=55"));
        async move {
            let started = Instant::now();
            (client.get(&path).await.expect(200).json(), started.elapsed())
        }
    });
    // It answers nothing before the end.
    assert!(!waiting.is_finished());
    hold.release();
    let (done, took) = waiting.await.unwrap();
    assert_eq!(done["status"], "success");
    assert!(
        took < Duration::from_secs(50),
        "it did not sit its time out: {took:?}"
    );
    let again = Instant::now();
    let at_once = service
        .client
        .get(&format!("/operations/{operation}?wait=55"))
        .await
        .expect(200)
        .json();
    assert_eq!(at_once["status"], "success");
    assert!(
        again.elapsed() < Duration::from_secs(50),
        "what has ended is not waited for"
    );
}

async fn a_wait_ends_when_its_time_is_over(kind: Kind) {
    let service = Service::start(kind).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a good fault");
    let operation = service
        .accept("companies", asynchronous("create", json!({"name": "A"})))
        .await;
    hold.wait_hits(1).await;
    let started = Instant::now();
    let still = service
        .client
        .get(&format!("/operations/{operation}?wait=1"))
        .await
        .expect(200)
        .json();
    assert_eq!(still["status"], "in_progress");
    assert_eq!(still["metadata"]["state"], "running");
    assert!(started.elapsed() >= Duration::from_secs(1));
    hold.release();
    service.client.ended(&operation).await;
}

async fn many_wait_for_one_operation(kind: Kind) {
    let service = Service::start(kind).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a good fault");
    let operation = service
        .accept("companies", asynchronous("create", json!({"name": "A"})))
        .await;
    hold.wait_hits(1).await;
    let path = format!("/operations/{operation}?wait=55");
    let waiting = futures_util::future::join_all((0..100).map(|_| service.client.get(&path)));
    let (answers, ()) = tokio::join!(waiting, async {
        // While they wait the store still serves others.
        for _ in 0..20 {
            service.client.get("/operations").await.expect(200);
        }
        hold.release();
    });
    for answer in answers {
        assert_eq!(answer.expect(200).json()["status"], "success");
    }
}

/// Reads events until `count` of them are there.
async fn events(service: &Service, path: &str, last: Option<&str>, count: usize) -> Vec<(String, Value)> {
    let mut request = service
        .client
        .request(http::Method::GET, &service.client.path(path));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "too few events: {text}");
        let chunk = response.chunk().await.expect("a stream");
        let ended = chunk.is_none();
        text.push_str(std::str::from_utf8(&chunk.unwrap_or_default()).expect("UTF-8"));
        let found: Vec<(String, Value)> = text
            .split("\n\n")
            .filter(|event| event.contains("event: operation"))
            .filter_map(|event| {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let data = serde_json::from_str(field("data: ")?).ok()?;
                Some((field("id: ").unwrap_or_default().to_owned(), data))
            })
            .collect();
        if found.len() >= count || ended {
            return found;
        }
    }
}

async fn watching_tells_ends_in_order_and_goes_on_after_the_last_event(kind: Kind) {
    let service = Service::start(kind).await;
    let start = format!(
        "{}-{}",
        service.app.store.store_now().await.unwrap().as_micros(),
        uuid::Uuid::nil()
    );
    let watching = events(&service, "/operations:watch", Some(&start), 4);
    let (seen, made) = tokio::join!(watching, async {
        let mut made = Vec::new();
        for n in 0..4 {
            let operation = service
                .accept(
                    "companies",
                    asynchronous("create", json!({"name": n.to_string()})),
                )
                .await;
            service.client.ended(&operation).await;
            made.push(operation);
        }
        made
    });
    let ids: Vec<&str> = seen.iter().map(|(_, o)| o["id"].as_str().unwrap()).collect();
    assert_eq!(ids, made);
    assert_eq!(seen[0].1["status"], "success");
    let later = events(&service, "/operations:watch", Some(&seen[1].0), 2).await;
    let ids: Vec<&str> = later.iter().map(|(_, o)| o["id"].as_str().unwrap()).collect();
    assert_eq!(ids, made[2..]);
    let filtered = events(
        &service,
        "/operations:watch?object=companies&status=success&groupRef=acme",
        Some(&start),
        4,
    )
    .await;
    assert_eq!(filtered.len(), 4);
    let bad = service
        .client
        .request(http::Method::GET, &service.client.path("/operations:watch"))
        .header("last-event-id", "x");
    service.client.send(bad).await.problem(400);
}

async fn watching_one_operation_tells_its_changes_and_ends_with_it(kind: Kind) {
    let service = Service::start(kind).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a good fault");
    let operation = service
        .accept("companies", asynchronous("create", json!({"name": "A"})))
        .await;
    hold.wait_hits(1).await;
    let path = format!("/operations:watch?operationId={operation}");
    let (seen, ()) = tokio::join!(events(&service, &path, None, usize::MAX), async {
        service
            .client
            .operation_until(&operation, |o| o["metadata"]["state"] == "running")
            .await;
        hold.release();
    });
    let states: Vec<&str> = seen
        .iter()
        .map(|(_, o)| o["metadata"]["state"].as_str().unwrap())
        .collect();
    assert_eq!(states.last(), Some(&"succeeded"), "the stream ended with it");
}
