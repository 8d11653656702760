//! What the official UI and the older SDKs insist on.

use amp_write::sandbox::{FaultKind, FaultSpec};
use http::Method;
use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    causes_say_what_issues_say,
    reading_an_object_is_stopped_and_started_by_its_flag_alone,
    a_connection_is_working_from_the_first_request_that_the_provider_accepted,
    a_project_tells_its_entitlements_when_asked,
    a_connection_and_a_config_are_served_in_the_shape_of_the_contract,
    a_list_tells_the_state_that_the_operation_tells_and_filters_by_it,
    a_failed_record_of_a_batch_is_told_with_the_id_that_the_request_named,
);

async fn causes_say_what_issues_say(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let unknown = json!({"groupRef": "g", "config": {"content": {"provider": "salesforce", "write": {"objects": {"leeds": {}}}}}});
    let installation = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    let path = format!(
        "/integrations/hs/installations/{}",
        installation.as_str().unwrap()
    );
    let manifest = json!({"sourceYaml": "specVersion: 1.0.0\nintegrations: [{name: a, provider: nowhere, write: {objects: []}}]\n"});
    for answer in [
        client.post("/integrations/hs/installations", unknown).await,
        client
            .patch(&path, json!({"updateMask": ["nothing"], "installation": {}}))
            .await,
        client.put("/integrations:batch", manifest).await,
        client.write("hs", "companies", json!({"type": "destroy"})).await,
        client.get("/operations?status=odd").await,
        client
            .write(
                "hs",
                "companies",
                json!({"groupRef": GROUP, "type": "update", "record": {}}),
            )
            .await,
    ] {
        let status = answer.status;
        let problem = answer.problem(status);
        let issues = problem["issues"].as_array().cloned().unwrap_or_default();
        let told: Vec<Value> = issues
            .iter()
            .map(|issue| match issue["name"].as_str().unwrap() {
                "" => issue["detail"].clone(),
                name => json!(format!("{name}: {}", issue["detail"].as_str().unwrap())),
            })
            .collect();
        assert!(!told.is_empty(), "{problem}");
        assert_eq!(problem["causes"], json!(told), "{problem}");
    }
}

async fn reading_an_object_is_stopped_and_started_by_its_flag_alone(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(PLAIN).await;
    service.connect(GROUP, "hubspot", "test-acme").await;
    let read = json!({"objects": {
        "contacts": {"objectName": "contacts", "schedule": "0 * * * *", "selectedFields": {"a": true}, "selectedFieldMappings": {"n": "f"}},
        "my.object": {"objectName": "my.object", "selectedFields": {}, "selectedFieldMappings": {}},
    }});
    let made = service
        .install("hs", GROUP, json!({"provider": "hubspot", "read": read}))
        .await;
    let path = format!("/integrations/hs/installations/{}", made["id"].as_str().unwrap());
    let mut expected = made["config"]["content"].clone();
    for (name, disabled) in [("contacts", true), ("contacts", false), ("my.object", true)] {
        let change = json!({"updateMask": [format!("config.content.read.objects.{name}.disabled")],
            "installation": {"config": {"content": {"read": {"objects": {name: {"disabled": disabled}}}}}}});
        let changed = service.client.patch(&path, change).await.expect(200).json();
        expected["read"]["objects"][name]["disabled"] = json!(disabled);
        assert_eq!(changed["config"]["content"], expected);
    }
    for (value, told) in [
        (json!({"disabled": "yes"}), "must be true or false"),
        (json!({}), "has no value"),
    ] {
        let change = json!({"updateMask": ["config.content.read.objects.contacts.disabled"],
            "installation": {"config": {"content": {"read": {"objects": {"contacts": value}}}}}});
        let problem = service.client.patch(&path, change).await.problem(400);
        assert!(problem["causes"][0].as_str().unwrap().contains(told), "{problem}");
    }
}

async fn a_connection_is_working_from_the_first_request_that_the_provider_accepted(kind: Kind) {
    let create = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}});
    let refused = json!({"groupRef": GROUP, "type": "create", "record": {"nonsense": "A"}});
    let nothing = json!({"groupRef": GROUP, "type": "update", "record": {"id": "1"}});
    let batch = json!({"groupRef": GROUP, "type": "create", "batch": [{"record": {"name": "A"}}, {"record": {"nonsense": "A"}}]});
    for (body, mode) in [
        (&create, "synchronous"),
        (&create, "asynchronous"),
        (&batch, "synchronous"),
        (&batch, "asynchronous"),
    ] {
        let service = Service::start(kind).await;
        let client = &service.client;
        let status = async || {
            let all = client
                .get("/connections?provider=hubspot")
                .await
                .expect(200)
                .json();
            all[0]["status"].as_str().unwrap().to_owned()
        };
        client.write("hs", "companies", &refused).await.expect(422);
        client.write("hs", "companies", &nothing).await.expect(200);
        assert_eq!(status().await, "created", "nothing was accepted yet");
        let mut body = body.clone();
        body["mode"] = json!(mode);
        let done = client.write("hs", "companies", &body).await.expect(200).json();
        client.ended(done["operationId"].as_str().unwrap()).await;
        assert_eq!(status().await, "working", "{body}");
        // Once is enough: what is known is not written again.
        let before = client.get("/connections?provider=hubspot").await.json()[0]["updateTime"].clone();
        client.write("hs", "companies", &create).await.expect(200);
        assert_eq!(
            client.get("/connections?provider=hubspot").await.json()[0]["updateTime"],
            before
        );
    }
}

async fn a_project_tells_its_entitlements_when_asked(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let asked = client.get("?includeEntitlements=true").await.expect(200).json();
    assert_eq!(asked["entitlements"], json!({"brandingRemoval": {"value": true}}));
    for query in ["", "?includeEntitlements=false"] {
        let plain = client.get(query).await.expect(200).json();
        assert!(plain.get("entitlements").is_none(), "{plain}");
    }
    let provider = client
        .send(client.request(Method::GET, "/v1/providers/hubspot"))
        .await
        .expect(200)
        .json();
    assert_eq!(provider["providerOpts"], json!({}));
    let all = client
        .send(client.request(Method::GET, "/v1/providers"))
        .await
        .expect(200)
        .json();
    assert!(
        all.as_object()
            .unwrap()
            .values()
            .all(|one| one["providerOpts"] == json!({}))
    );
    let preflight = client
        .request(Method::OPTIONS, &client.path("/connections"))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "PATCH");
    let answer = client.send(preflight).await;
    let age: u64 = answer.header("access-control-max-age").parse().expect("an age");
    assert!(age >= 600, "{age}");
}

async fn a_connection_and_a_config_are_served_in_the_shape_of_the_contract(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(PLAIN).await;
    let client = &service.client;
    let body = json!({"provider": "hubspot", "groupRef": GROUP, "consumerRef": "c", "apiKey": "k".repeat(20),
        "providerMetadata": {"a": "1", "b": {"value": "2", "source": "token"}, "c": {"value": "3"}}});
    let made = client
        .post("/connections:generate", body)
        .await
        .expect(201)
        .json();
    let metadata = json!({"a": {"value": "1", "source": "input"}, "b": {"value": "2", "source": "token"},
        "c": {"value": "3", "source": "input"}});
    assert_eq!(made["providerMetadata"], metadata);
    let listed = client.get("/connections").await.expect(200).json();
    assert_eq!(listed[0]["providerMetadata"], metadata);
    let content = json!({"provider": "hubspot", "read": {"objects": {"contacts": {}, "deals": {"selectedFieldMappings": {"n": "f"}}}}});
    let made = service.install("hs", GROUP, content).await;
    let objects = json!({
        "contacts": {"objectName": "contacts", "selectedFields": {}, "selectedFieldMappings": {}},
        "deals": {"selectedFieldMappings": {"n": "f"}, "objectName": "deals", "selectedFields": {}},
    });
    assert_eq!(made["config"]["content"]["read"]["objects"], objects);
}

async fn a_list_tells_the_state_that_the_operation_tells_and_filters_by_it(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let revoked = FaultSpec::new(FaultKind::RevokeGrant).once();
    service.sandbox.fault(revoked).expect("a good fault");
    let write = |more: Value| {
        let mut body =
            json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": {"name": "A"}});
        let more = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        body
    };
    let accept = async |integration: &str, object: &str, body: Value| {
        let accepted = client.write(integration, object, body).await.expect(200).json();
        accepted["operationId"].as_str().unwrap().to_owned()
    };
    let held = accept("hs", "companies", write(json!({}))).await;
    let policy = json!({"autoBatchPolicy": {"maxDelayMinutes": 60}, "record": {"Name": "A"}});
    let gathering = accept("sf", "account", write(policy)).await;
    for (operation, state) in [(&held, "held"), (&gathering, "accumulating")] {
        let alone = client
            .operation_until(operation, |found| found["metadata"]["state"] == state)
            .await;
        let list = client
            .get(&format!("/operations?state={state}"))
            .await
            .expect(200)
            .json();
        assert_eq!(list["results"].as_array().unwrap().len(), 1, "{list}");
        let listed = &list["results"][0];
        assert_eq!(listed["id"], json!(operation));
        for key in ["state", "waitingOn", "nextAttemptTime"] {
            assert_eq!(
                listed["metadata"].get(key),
                alone["metadata"].get(key),
                "{key}: {listed}"
            );
        }
    }
    let all = client.get("/operations?state=queued").await.expect(200).json();
    assert_eq!(all["results"].as_array().unwrap().len(), 2, "{all}");
    let none = client.get("/operations?state=waiting").await.expect(200).json();
    assert_eq!(none["results"], json!([]));
    let problem = client.get("/operations?state=odd").await.problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("held"), "{problem}");
}

async fn a_failed_record_of_a_batch_is_told_with_the_id_that_the_request_named(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let mut ids = Vec::new();
    for name in ["A", "B"] {
        let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": name}});
        let made = client.write("hs", "companies", body).await.expect(200).json();
        ids.push(made["result"]["recordId"].clone());
    }
    let batch = json!({"groupRef": GROUP, "type": "update", "batch": [
        {"record": {"id": ids[0], "name": "C"}, "clientRef": "one"},
        {"record": {"id": "404404404", "name": "D"}},
        {"record": {"id": ids[1], "nonsense": "E"}}]});
    for mode in ["synchronous", "asynchronous"] {
        let mut body = batch.clone();
        body["mode"] = json!(mode);
        let done = client.write("hs", "companies", &body).await.expect(200).json();
        let ended = client.ended(done["operationId"].as_str().unwrap()).await;
        let records = ended["metadata"]["records"].as_array().unwrap();
        let named: Vec<&Value> = records.iter().map(|record| &record["recordId"]).collect();
        assert_eq!(named, [&ids[0], &json!("404404404"), &ids[1]], "{ended}");
        assert_eq!(
            ended["metadata"]["successfulRecordIds"],
            json!([ids[0]]),
            "{ended}"
        );
        assert_eq!(records[0]["clientRef"], "one");
    }
    let single = json!({"groupRef": GROUP, "type": "update", "record": {"id": "404404404", "name": "D"}});
    let done = client.write("hs", "companies", single).await.expect(422).json();
    let path = format!("/operations/{}", done["operationId"].as_str().unwrap());
    let operation = client.get(&path).await.expect(200).json();
    assert_eq!(
        operation["metadata"]["records"][0]["recordId"], "404404404",
        "{operation}"
    );
    assert!(
        operation["metadata"]
            .get("successfulRecordIds")
            .is_none_or(|ids| ids == &json!([]))
    );
}
