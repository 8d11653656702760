//! What the customer allows to be written: `write.objects` of the installation's config.

use amp_write::sandbox::{FaultKind, FaultSpec};
use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    an_object_outside_the_customers_list_is_refused_in_every_mode,
    an_empty_list_allows_nothing_and_no_list_allows_all,
    a_list_names_objects_by_either_name,
    what_was_accepted_before_the_customer_said_no_is_still_performed,
    a_replay_asks_what_the_customer_allows_now,
);

const MAPPED: &str = r"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    read:
      objects:
        - {objectName: contacts, mapToName: people, destination: d, schedule: '0 * * * *'}
        - {objectName: deals, mapToName: chances, destination: d, schedule: '0 * * * *'}
    write: {objects: [{objectName: contacts, inheritMapping: true}, {objectName: deals}, {objectName: companies}]}
";

async fn installed(kind: Kind, manifest: &str, write: Option<Value>) -> (Service, String) {
    let service = Service::empty(kind).await;
    service.deploy(manifest).await;
    service.connect(GROUP, "hubspot", "test-acme").await;
    let mut content = json!({"provider": "hubspot"});
    if let Some(write) = write {
        content["write"] = write;
    }
    let made = service.install("hs", GROUP, content).await;
    let path = format!("/integrations/hs/installations/{}", made["id"].as_str().unwrap());
    (service, path)
}

async fn allow(service: &Service, path: &str, objects: Value) {
    let change = json!({"updateMask": ["config.content.write.objects"],
        "installation": {"config": {"content": {"write": {"objects": objects}}}}});
    service.client.patch(path, change).await.expect(200);
}

fn create(record: Value) -> Value {
    json!({"groupRef": GROUP, "type": "create", "record": record})
}

async fn operations(service: &Service) -> usize {
    let list = service.client.get("/operations").await.expect(200).json();
    list["results"].as_array().unwrap().len()
}

async fn an_object_outside_the_customers_list_is_refused_in_every_mode(kind: Kind) {
    let objects = json!({"objects": {"companies": {"objectName": "companies"}}});
    let (service, path) = installed(kind, PLAIN, Some(objects)).await;
    let record = json!({"email": "a@b.co"});
    let with = |more: Value| {
        let mut body = create(record.clone());
        let more = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        body
    };
    let batch = json!({"groupRef": GROUP, "type": "create", "batch": [{"record": record}]});
    let mut queued = batch.clone();
    queued["mode"] = json!("asynchronous");
    let auto = json!({"mode": "asynchronous", "autoBatchPolicy": {"maxDelayMinutes": 1}});
    for (body, query) in [
        (create(record.clone()), ""),
        (create(record.clone()), "?preview=true"),
        (with(json!({"mode": "asynchronous"})), ""),
        (with(auto), ""),
        (
            with(json!({"type": "update", "record": {"id": "1", "email": "a@b.co"}})),
            "",
        ),
        (with(json!({"type": "delete", "record": {"id": "1"}})), ""),
        (batch.clone(), ""),
        (batch, "?preview=true"),
        (queued, ""),
    ] {
        let path = format!("/integrations/hs/objects/contacts{query}");
        let problem = service.client.post(&path, &body).await.problem(400);
        assert_eq!(
            problem["detail"], "the customer has not enabled writes of `contacts`; enabled: companies",
            "{body}"
        );
    }
    assert!(service.reached().is_empty(), "nothing is sent");
    assert_eq!(operations(&service).await, 0, "nothing is stored");
    service
        .client
        .write("hs", "companies", create(json!({"name": "A"})))
        .await
        .expect(200);
    // The customer changes their mind.
    allow(&service, &path, json!({"contacts": {"objectName": "contacts"}})).await;
    service
        .client
        .write("hs", "contacts", create(record.clone()))
        .await
        .expect(200);
    service
        .client
        .write("hs", "companies", create(json!({"name": "A"})))
        .await
        .problem(400);
}

async fn an_empty_list_allows_nothing_and_no_list_allows_all(kind: Kind) {
    let (service, path) = installed(kind, PLAIN, None).await;
    let body = create(json!({"name": "A"}));
    service.client.write("hs", "companies", &body).await.expect(200);
    allow(&service, &path, json!({})).await;
    let problem = service.client.write("hs", "companies", &body).await.problem(400);
    assert_eq!(
        problem["detail"],
        "the customer has not enabled writes of `companies`; enabled: none"
    );
    assert!(
        problem["remedy"].as_str().unwrap().contains("write.objects"),
        "{problem}"
    );
    // Limits alone, or `null`, are no list.
    for write in [
        json!({"limits": {"concurrency": 2}}),
        json!({"objects": null}),
        Value::Null,
    ] {
        let (service, _) = installed(kind, PLAIN, Some(write)).await;
        service.client.write("hs", "companies", &body).await.expect(200);
    }
}

async fn a_list_names_objects_by_either_name(kind: Kind) {
    for (objects, allowed, refused, told) in [
        (
            json!({"people": {"objectName": "people"}}),
            ["people", "contacts"],
            "deals",
            "people",
        ),
        (
            json!({"contacts": {}}),
            ["people", "contacts"],
            "companies",
            "people",
        ),
        (
            json!({"chances": {"objectName": "deals"}}),
            ["deals", "deals"],
            "people",
            "deals",
        ),
    ] {
        let (service, _) = installed(kind, MAPPED, Some(json!({ "objects": objects }))).await;
        for name in allowed {
            let record = json!({"groupRef": GROUP, "type": "create", "record": {}});
            let shown = service
                .client
                .post(&format!("/integrations/hs/objects/{name}?preview=true"), &record)
                .await;
            assert_eq!(shown.status, 200, "{name}: {}", shown.body);
        }
        let problem = service
            .client
            .write("hs", refused, create(json!({})))
            .await
            .problem(400);
        let detail = format!("the customer has not enabled writes of `{refused}`; enabled: {told}");
        assert_eq!(problem["detail"], detail);
    }
}

async fn what_was_accepted_before_the_customer_said_no_is_still_performed(kind: Kind) {
    let (service, path) = installed(kind, PLAIN, None).await;
    let limit = FaultSpec {
        retry_after: Some(1),
        ..FaultSpec::new(FaultKind::RateLimit)
    };
    let hold = service.sandbox.fault(limit).expect("a good fault");
    let mut body = create(json!({"name": "A"}));
    body["mode"] = json!("asynchronous");
    let accepted = service
        .client
        .write("hs", "companies", &body)
        .await
        .expect(200)
        .json();
    hold.wait_hits(1).await;
    allow(&service, &path, json!({})).await;
    service.client.write("hs", "companies", &body).await.problem(400);
    service.sandbox.clear_faults();
    let ended = service
        .client
        .ended(accepted["operationId"].as_str().unwrap())
        .await;
    assert_eq!(ended["status"], "success", "{ended}");
}

async fn a_replay_asks_what_the_customer_allows_now(kind: Kind) {
    let (service, path) = installed(kind, PLAIN, None).await;
    let done = service
        .client
        .write("hs", "companies", create(json!({"name": "A", "nonsense": "x"})))
        .await
        .expect(422)
        .json();
    let replay = format!("/operations/{}:replay", done["operationId"].as_str().unwrap());
    allow(&service, &path, json!({"contacts": {"objectName": "contacts"}})).await;
    for mapping in ["original", "current"] {
        let problem = service
            .client
            .post(&replay, json!({ "mapping": mapping }))
            .await
            .problem(400);
        assert_eq!(
            problem["detail"], "the customer has not enabled writes of `companies`; enabled: contacts",
            "{mapping}"
        );
    }
    assert_eq!(operations(&service).await, 1, "nothing more is accepted");
    allow(&service, &path, json!({"companies": {"objectName": "companies"}})).await;
    for mapping in ["original", "current"] {
        service
            .client
            .post(&replay, json!({ "mapping": mapping }))
            .await
            .expect(200);
    }
}
