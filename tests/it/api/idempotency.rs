//! Contract §5, `Idempotency-Key`: the same request gets its first answer again, and the provider gets the write once.

use amp_write::sandbox::{FaultKind, FaultSpec};
use serde_json::{Value, json};

use crate::harness::client::Answer;
use crate::harness::service::GROUP;
use crate::harness::{Client, Kind, Service, on_both_stores};

on_both_stores!(
    the_same_request_gets_its_first_answer_again_byte_for_byte,
    an_asynchronous_write_is_accepted_once,
    the_same_key_with_another_request_is_422,
    a_bad_key_is_400_and_a_refused_request_does_not_use_its_key_up,
    fifty_concurrent_requests_with_one_key_make_one_record,
    a_request_that_still_runs_is_409_with_its_operation,
    a_rejected_write_is_rejected_again_without_asking_the_provider,
    what_was_certainly_not_applied_gives_its_key_back,
    a_create_without_an_answer_is_found_and_its_key_gets_the_record,
    a_create_without_an_answer_that_cannot_be_found_is_never_sent_again,
    updates_and_deletes_take_keys,
    a_first_answer_is_given_even_when_the_installation_is_gone,
    keys_of_two_projects_do_not_meet,
    a_key_in_a_group_commit_fails_no_neighbour,
);

async fn keyed(client: &Client, object: &str, key: &str, body: &Value) -> Answer {
    let path = client.path(&format!("/integrations/hs/objects/{object}"));
    let request = client
        .request(http::Method::POST, &path)
        .header("idempotency-key", key);
    client.send(request.body(body.to_string())).await
}

fn create(record: Value) -> Value {
    json!({"groupRef": GROUP, "type": "create", "record": record})
}

async fn the_same_request_gets_its_first_answer_again_byte_for_byte(kind: Kind) {
    let service = Service::start(kind).await;
    let body = create(json!({"email": "a@b.co", "firstname": "Ada"}));
    let first = keyed(&service.client, "contacts", "k1", &body).await.expect(200);
    assert_eq!(first.header("amp-replayed"), "");
    assert!(first.json()["result"]["data"].is_object());
    let again = keyed(&service.client, "contacts", "k1", &body).await.expect(200);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("amp-replayed"), "true");
    assert_eq!(again.header("amp-operation-id"), first.header("amp-operation-id"));
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(service.created(), 1);
    let operation = service.client.ended(first.header("amp-operation-id")).await;
    assert_eq!(operation["status"], "success");
    assert_eq!(operation["metadata"]["mode"], "synchronous");
    assert_eq!(operation["metadata"]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(service.app.store.queue_depth().await.unwrap(), 0);
    // Without the key it is another write.
    let other = service.client.write("hs", "contacts", &body).await.expect(422);
    assert_ne!(other.header("amp-operation-id"), first.header("amp-operation-id"));
}

async fn an_asynchronous_write_is_accepted_once(kind: Kind) {
    let service = Service::start(kind).await;
    let mut body = create(json!({"name": "A"}));
    body["mode"] = json!("asynchronous");
    let first = keyed(&service.client, "companies", "k", &body).await.expect(200);
    let again = keyed(&service.client, "companies", "k", &body).await.expect(200);
    assert_eq!(
        (again.body.as_str(), again.header("amp-replayed")),
        (first.body.as_str(), "true")
    );
    service.client.ended(first.header("amp-operation-id")).await;
    let later = keyed(&service.client, "companies", "k", &body).await.expect(200);
    assert_eq!(later.body, first.body, "also when it has ended");
    assert_eq!(service.created(), 1);
}

async fn the_same_key_with_another_request_is_422(kind: Kind) {
    let service = Service::start(kind).await;
    let first = create(json!({"name": "A"}));
    let answer = keyed(&service.client, "companies", "k", &first).await.expect(200);
    let other = create(json!({"name": "B"}));
    let problem = keyed(&service.client, "companies", "k", &other)
        .await
        .problem(422);
    assert_eq!(problem["type"], "urn:amp-write:problem:idempotency-key-reused");
    assert_eq!(
        problem["context"]["operationId"],
        answer.header("amp-operation-id")
    );
    keyed(&service.client, "deals", "k", &first).await.problem(422);
    assert_eq!(service.reached().len(), 1);
}

async fn a_bad_key_is_400_and_a_refused_request_does_not_use_its_key_up(kind: Kind) {
    let service = Service::start(kind).await;
    let good = create(json!({"name": "A"}));
    for key in ["", "a b", &"k".repeat(256)] {
        let problem = keyed(&service.client, "companies", key, &good).await.problem(400);
        assert_eq!(problem["issues"][0]["in"], "header", "{problem}");
    }
    let path = service.client.path("/integrations/hs/objects/companies");
    let twice = service
        .client
        .request(http::Method::POST, &path)
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    service
        .client
        .send(twice.body(good.to_string()))
        .await
        .problem(400);
    let mut unknown = good.clone();
    unknown["groupRef"] = json!("nobody");
    keyed(&service.client, "companies", "k", &unknown)
        .await
        .problem(404);
    keyed(&service.client, "companies", "k", &json!({"groupRef": GROUP}))
        .await
        .problem(400);
    keyed(&service.client, "tickets", "k", &good).await.problem(400);
    assert!(service.reached().is_empty());
    keyed(&service.client, "companies", "k", &good).await.expect(200);
    assert_eq!(service.created(), 1);
}

async fn fifty_concurrent_requests_with_one_key_make_one_record(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    for (mode, key, name) in [("synchronous", "sync", "A"), ("asynchronous", "async", "B")] {
        let before = service.created();
        let mut body = create(json!({"name": name}));
        body["mode"] = json!(mode);
        let answers =
            futures_util::future::join_all((0..50).map(|_| keyed(client, "companies", key, &body))).await;
        let mut operations: Vec<String> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.header("amp-operation-id").to_owned())
            .collect();
        operations.sort_unstable();
        operations.dedup();
        assert_eq!(operations.len(), 1, "{mode}: one operation");
        let first = answers
            .iter()
            .filter(|answer| answer.status == 200 && answer.header("amp-replayed").is_empty());
        assert_eq!(first.count(), 1, "{mode}: one of them is the first");
        for answer in &answers {
            assert!([200, 409].contains(&answer.status), "{}", answer.body);
        }
        assert_eq!(client.ended(&operations[0]).await["status"], "success");
        keyed(client, "companies", key, &body).await.expect(200);
        assert_eq!(service.created() - before, 1, "{mode}: one record");
    }
}

async fn a_request_that_still_runs_is_409_with_its_operation(kind: Kind) {
    let service = Service::start(kind).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).once())
        .expect("a good fault");
    let body = create(json!({"name": "A"}));
    let first = tokio::spawn({
        let (client, body) = (service.client.clone(), body.clone());
        async move { keyed(&client, "companies", "k", &body).await }
    });
    hold.wait_hits(1).await;
    let refused = keyed(&service.client, "companies", "k", &body).await;
    assert!(!refused.header("retry-after").is_empty());
    let problem = refused.problem(409);
    assert_eq!(problem["type"], "urn:amp-write:problem:idempotency-key-in-use");
    assert_eq!(problem["retryable"], true);
    let operation = problem["context"]["operationId"].as_str().unwrap().to_owned();
    let running = service
        .client
        .get(&format!("/operations/{operation}"))
        .await
        .expect(200)
        .json();
    assert_eq!(running["status"], "in_progress");
    hold.release();
    let first = first.await.unwrap().expect(200);
    assert_eq!(first.header("amp-operation-id"), operation);
    let again = keyed(&service.client, "companies", "k", &body).await.expect(200);
    assert_eq!(again.body, first.body);
    assert_eq!(service.created(), 1);
}

async fn a_rejected_write_is_rejected_again_without_asking_the_provider(kind: Kind) {
    let service = Service::start(kind).await;
    let body = create(json!({"no_such_property": "x"}));
    let first = keyed(&service.client, "contacts", "k", &body).await.expect(422);
    let again = keyed(&service.client, "contacts", "k", &body).await.expect(422);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("content-type"), "application/json");
    assert_eq!(again.header("amp-replayed"), "true");
    assert_eq!(service.reached().len(), 1);
}

async fn what_was_certainly_not_applied_gives_its_key_back(kind: Kind) {
    let service = Service::start(kind).await;
    let limited = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::RateLimit).once())
        .expect("a good fault");
    let body = create(json!({"name": "A"}));
    let first = keyed(&service.client, "companies", "k", &body).await;
    let failed = first.header("amp-operation-id").to_owned();
    first.problem(429);
    assert_eq!(service.client.ended(&failed).await["status"], "failure");
    limited.remove();
    let second = keyed(&service.client, "companies", "k", &body).await.expect(200);
    assert_eq!(second.header("amp-replayed"), "");
    assert_ne!(second.header("amp-operation-id"), failed);
    let again = keyed(&service.client, "companies", "k", &body).await.expect(200);
    assert_eq!(again.body, second.body);
    assert_eq!(service.created(), 1);
}

async fn a_create_without_an_answer_is_found_and_its_key_gets_the_record(kind: Kind) {
    let service = Service::start(kind).await;
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit).once())
        .expect("a good fault");
    let body = create(json!({"email": "ada@example.com", "firstname": "Ada"}));
    let first = keyed(&service.client, "contacts", "k", &body).await;
    let operation = first.header("amp-operation-id").to_owned();
    assert_eq!(
        first.problem(502)["retryable"],
        true,
        "with its key it may be sent again"
    );
    let done = service.client.ended(&operation).await;
    assert_eq!(done["status"], "success", "{done}");
    let again = keyed(&service.client, "contacts", "k", &body).await.expect(200);
    assert_eq!(again.header("amp-replayed"), "true");
    assert_eq!(
        again.json()["result"]["recordId"],
        done["metadata"]["successfulRecordIds"][0]
    );
    assert_eq!(service.created(), 1);
}

async fn a_create_without_an_answer_that_cannot_be_found_is_never_sent_again(kind: Kind) {
    let service = Service::start(kind).await;
    service
        .sandbox
        .fault(FaultSpec::new(FaultKind::DropAfterCommit).once())
        .expect("a good fault");
    let body = create(json!({"name": "A"}));
    let first = keyed(&service.client, "companies", "k", &body).await;
    let operation = first.header("amp-operation-id").to_owned();
    first.problem(502);
    let done = service.client.ended(&operation).await;
    assert_eq!(done["metadata"]["state"], "needs_review", "{done}");
    let problem = keyed(&service.client, "companies", "k", &body).await.problem(502);
    assert_eq!(problem["retryable"], false);
    assert_eq!(problem["context"]["operationId"], operation);
    assert_eq!(service.reached().len(), 1);
}

async fn updates_and_deletes_take_keys(kind: Kind) {
    let service = Service::start(kind).await;
    let made = service
        .client
        .write("hs", "companies", create(json!({"name": "A"})))
        .await
        .expect(200)
        .json();
    let id = made["result"]["recordId"].clone();
    for (key, body) in [
        (
            "u",
            json!({"groupRef": GROUP, "type": "update", "record": {"id": id, "name": "B"}}),
        ),
        (
            "d",
            json!({"groupRef": GROUP, "type": "delete", "record": {"id": id}}),
        ),
    ] {
        let before = service.reached().len();
        let first = keyed(&service.client, "companies", key, &body).await.expect(200);
        let again = keyed(&service.client, "companies", key, &body).await.expect(200);
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("amp-replayed"), "true");
        assert_eq!(service.reached().len() - before, 1, "{key}");
    }
}

async fn a_first_answer_is_given_even_when_the_installation_is_gone(kind: Kind) {
    let service = Service::start(kind).await;
    let body = create(json!({"name": "A"}));
    let first = keyed(&service.client, "companies", "k", &body).await.expect(200);
    let installations = service
        .client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json();
    let id = installations[0]["id"].as_str().unwrap().to_owned();
    service
        .client
        .delete(&format!("/integrations/hs/installations/{id}"))
        .await
        .expect(204);
    let again = keyed(&service.client, "companies", "k", &body).await.expect(200);
    assert_eq!(again.body, first.body);
    keyed(&service.client, "companies", "other", &body)
        .await
        .problem(404);
}

async fn keys_of_two_projects_do_not_meet(kind: Kind) {
    let service = Service::start(kind).await;
    let body = create(json!({"name": "A"}));
    keyed(&service.client, "companies", "k", &body).await.expect(200);
    let found = |project| service.app.store.find_idempotency_key(project, "k");
    let own = service.app.store.find_project("test").await.unwrap().unwrap();
    assert!(found(own.id).await.unwrap().is_some());
    assert!(found(uuid::Uuid::new_v4()).await.unwrap().is_none());
}

async fn a_key_in_a_group_commit_fails_no_neighbour(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let body = |name: String| {
        let mut body = create(json!({"name": name}));
        body["mode"] = json!("asynchronous");
        body
    };
    keyed(client, "companies", "k", &body("first".to_owned()))
        .await
        .expect(200);
    let writes = (0..60).map(|n| async move {
        let name = if n % 3 == 0 {
            "first".to_owned()
        } else {
            n.to_string()
        };
        match n % 3 {
            0 => keyed(client, "companies", "k", &body(name)).await,
            1 => keyed(client, "companies", &format!("k{n}"), &body(name)).await,
            _ => client.write("hs", "companies", body(name)).await,
        }
    });
    for (n, answer) in futures_util::future::join_all(writes)
        .await
        .into_iter()
        .enumerate()
    {
        let answer = answer.expect(200);
        assert_eq!(answer.header("amp-replayed") == "true", n % 3 == 0, "{n}");
        client.ended(answer.header("amp-operation-id")).await;
    }
    assert_eq!(service.created(), 41);
}
