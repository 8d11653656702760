//! Contract §1 and §2: what holds for every endpoint, rule by rule.

use amp_write::store::NewProject;
use http::Method;
use serde_json::{Value, json};

use crate::harness::service::GROUP;
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_choice_that_stands_where_it_does_nothing_is_told,
    rule_1_success_is_201_on_create_204_on_delete_and_200_else_for_async_writes_too,
    rule_2_errors_are_problems_and_a_rejected_write_is_plain_json,
    rule_3_accept_is_ignored,
    rule_4_what_has_no_value_is_absent_never_null,
    rule_5_times_are_utc_with_microseconds_and_ids_are_uuids,
    rule_6_segments_are_split_before_they_are_decoded,
    rule_7_projects_and_integrations_go_by_id_or_name,
    rule_8_cors_is_on_every_answer,
    rule_9_unknown_request_fields_are_ignored_and_write_answers_carry_nothing_extra,
    a_missing_or_wrong_key_is_401_and_another_projects_key_is_403,
    a_frontend_key_reads_but_does_not_write,
    a_verb_that_is_not_served_is_no_part_of_an_id,
    what_is_not_served_says_so,
);

fn create() -> Value {
    json!({"groupRef": GROUP, "type": "create", "record": {"name": "Acme"}})
}

async fn rule_1_success_is_201_on_create_204_on_delete_and_200_else_for_async_writes_too(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let key = client
        .post("/api-keys", json!({"label": "k"}))
        .await
        .expect(201)
        .json();
    let gone = client
        .delete(&format!("/api-keys/{}", key["id"].as_str().unwrap()))
        .await
        .expect(204);
    assert_eq!(gone.body, "");
    client.get("/integrations").await.expect(200);
    client.write("hs", "companies", create()).await.expect(200);
    let mut accepted = create();
    accepted["mode"] = json!("asynchronous");
    client.write("hs", "companies", accepted).await.expect(200);
}

async fn rule_2_errors_are_problems_and_a_rejected_write_is_plain_json(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let problem = client
        .get("/operations/00000000-0000-7000-8000-000000000000")
        .await
        .problem(404);
    assert_eq!(
        problem["detail"],
        "Operation not found for the given operation ID."
    );
    assert_eq!(problem["retryable"], false);
    assert!(problem["remedy"].is_string());
    let rejected = json!({"groupRef": GROUP, "type": "create", "record": {"no_such_property": "x"}});
    let answer = client.write("hs", "companies", rejected).await.expect(422);
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert!(
        body["operationId"].is_string() && body["errors"][0]["message"].is_string(),
        "{body}"
    );
}

async fn rule_3_accept_is_ignored(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    for accept in [
        "application/problem+json;q=0, application/json;q=1",
        "text/html",
        "application/xml;q=1, */*;q=0",
        "nonsense",
    ] {
        let request = client
            .request(Method::GET, &client.path(""))
            .header("accept", accept);
        let answer = client.send(request).await.expect(200);
        assert_eq!(answer.header("content-type"), "application/json");
        let request = client
            .request(Method::GET, &client.path("/integrations/none"))
            .header("accept", accept);
        client.send(request).await.problem(404);
    }
}

async fn rule_4_what_has_no_value_is_absent_never_null(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let mut bodies = vec![
        client.write("hs", "companies", create()).await.expect(200).body,
        client.get("").await.expect(200).body,
        client.get("/integrations").await.expect(200).body,
        client.get("/installations").await.expect(200).body,
        client.get("/connections").await.expect(200).body,
        client.get("/api-keys").await.expect(200).body,
        client.get("/integrations/none").await.problem(404).to_string(),
    ];
    let installations: Value = serde_json::from_str(&bodies[3]).unwrap();
    let id = installations[0]["id"].as_str().unwrap();
    let page = client
        .get(&format!(
            "/integrations/hs/installations/{id}/operations?pageSize=200"
        ))
        .await
        .expect(200);
    assert_eq!(page.json()["pagination"], json!({"done": true}));
    bodies.push(page.body);
    for body in bodies {
        assert!(!body.contains(":null"), "{body}");
    }
    let deleted = json!({"groupRef": GROUP, "type": "delete", "record": {"id": "1"}});
    let body = client.write("hs", "companies", deleted).await.expect(200).json();
    assert!(body["result"].get("data").is_none_or(Value::is_object));
    assert!(body["result"].get("recordId").is_none_or(Value::is_string));
}

async fn rule_5_times_are_utc_with_microseconds_and_ids_are_uuids(kind: Kind) {
    let service = Service::start(kind).await;
    let installation = service.client.get("/installations").await.expect(200).json()[0].clone();
    for time in [
        &installation["createTime"],
        &installation["group"]["createTime"],
        &installation["config"]["createTime"],
        &installation["connection"]["createTime"],
    ] {
        let text = time.as_str().expect("a time");
        assert_eq!(text.len(), "2026-01-31T12:00:00.123456Z".len(), "{text}");
        assert!(text.ends_with('Z') && text.as_bytes()[19] == b'.', "{text}");
        text.parse::<jiff::Timestamp>().expect("RFC 3339");
    }
    for id in [
        &installation["id"],
        &installation["integrationId"],
        &installation["config"]["id"],
    ] {
        uuid::Uuid::parse_str(id.as_str().expect("text")).expect("a UUID");
    }
}

async fn rule_6_segments_are_split_before_they_are_decoded(kind: Kind) {
    let service = Service::empty(kind).await;
    let manifest = r"
specVersion: 1.0.0
integrations:
  - name: a/b 'c'
    provider: hubspot
    write: {objects: [{objectName: companies}]}
";
    service.set_up(manifest).await;
    let client = &service.client;
    let found = client
        .get("/integrations/a%2Fb%20%27c%27")
        .await
        .expect(200)
        .json();
    assert_eq!(found["name"], "a/b 'c'");
    client
        .write("a%2Fb%20%27c%27", "companies", create())
        .await
        .expect(200);
    for object in ["now%2Ftable%2Fincident", "%24%5B%27a%27%5D"] {
        let problem = client
            .write("a%2Fb%20%27c%27", object, create())
            .await
            .problem(400);
        let decoded = percent_encoding::percent_decode_str(object)
            .decode_utf8()
            .unwrap()
            .into_owned();
        assert!(
            problem["detail"].as_str().unwrap().contains(&decoded),
            "{problem}"
        );
    }
    client.get("/integrations/%FF").await.problem(404);
}

async fn rule_7_projects_and_integrations_go_by_id_or_name(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let project = client.get("").await.expect(200).json();
    let integration = client.get("/integrations/hs").await.expect(200).json();
    for project in [project["id"].as_str().unwrap(), "test", "TEST"] {
        for integration in [integration["id"].as_str().unwrap(), "hs", "HS"] {
            let path = format!("/v1/projects/{project}/integrations/{integration}/objects/companies");
            let request = client.request(Method::POST, &path).body(create().to_string());
            client.send(request).await.expect(200);
        }
    }
    client
        .get("/integrations/00000000-0000-7000-8000-000000000000")
        .await
        .problem(404);
    let request = client.request(Method::GET, "/v1/projects/nobody/integrations");
    client.send(request).await.problem(404);
}

async fn rule_8_cors_is_on_every_answer(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    let preflight = client
        .http
        .request(
            Method::OPTIONS,
            format!("{}{}", client.url, client.path("/integrations/x/objects/y")),
        )
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-api-key,content-type");
    let answer = client.send(preflight).await.expect(200);
    let (methods, headers) = (
        answer.header("access-control-allow-methods"),
        answer.header("access-control-allow-headers").to_lowercase(),
    );
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(methods.contains(method), "{methods}");
    }
    for header in [
        "content-type",
        "x-api-key",
        "authorization",
        "x-amp-client",
        "x-amp-client-version",
        "idempotency-key",
    ] {
        assert!(headers.contains(header), "{headers}");
    }
    for (path, status) in [
        ("/v1/projects", 200),
        ("/v1/none", 404),
        ("/v1/projects/other", 404),
    ] {
        let request = client
            .request(Method::GET, path)
            .header("origin", "https://app.example");
        assert_eq!(
            client
                .send(request)
                .await
                .expect(status)
                .header("access-control-allow-origin"),
            "*"
        );
    }
    let without_key = client
        .http
        .get(format!("{}/v1/projects", client.url))
        .header("origin", "https://app.example");
    assert_eq!(
        client
            .send(without_key)
            .await
            .expect(401)
            .header("access-control-allow-origin"),
        "*"
    );
}

async fn rule_9_unknown_request_fields_are_ignored_and_write_answers_carry_nothing_extra(kind: Kind) {
    let service = Service::start(kind).await;
    let mut body = create();
    body["fromTheFuture"] = json!({"a": [1, 2.5, null]});
    let answer = service
        .client
        .write("hs", "companies", &body)
        .await
        .expect(200)
        .json();
    let mut keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["operationId", "result"]);
    let mut keys: Vec<&String> = answer["result"].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["data", "recordId", "success"]);
    body["mode"] = json!("asynchronous");
    let accepted = service
        .client
        .write("hs", "companies", &body)
        .await
        .expect(200)
        .json();
    assert_eq!(
        accepted.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["operationId"]
    );
}

async fn a_missing_or_wrong_key_is_401_and_another_projects_key_is_403(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let url = format!("{}{}", client.url, client.path("/integrations"));
    assert!(client.send(client.http.get(&url)).await.problem(401)["remedy"].is_string());
    client
        .send(client.http.get(&url).header("x-api-key", "amp_wrong"))
        .await
        .problem(401);
    client
        .send(client.http.get(&url).header("x-api-key", ""))
        .await
        .problem(401);
    client
        .send(client.http.get(&url).header("authorization", "Bearer x.y.z"))
        .await
        .problem(401);

    let (key, new) = amp_write::control::keys::generate(
        service.app.clock.new_id(),
        "o".to_owned(),
        amp_write::store::KeyScope::Full.into(),
        None,
    )
    .unwrap();
    let (id, org_id) = (service.app.clock.new_id(), service.app.clock.new_id());
    let other = NewProject {
        id,
        name: "other".to_owned(),
        app_name: "Other".to_owned(),
        org_id,
    };
    service.app.store.create_project(&other, &new).await.unwrap();
    client
        .send(client.http.get(&url).header("x-api-key", &key))
        .await
        .problem(403);
    let write = format!(
        "{}{}",
        client.url,
        client.path("/integrations/hs/objects/companies")
    );
    client
        .send(
            client
                .http
                .post(&write)
                .header("x-api-key", &key)
                .body(create().to_string()),
        )
        .await
        .problem(403);
    assert_eq!(service.created(), 0);

    // A key dies at once when it is deleted.
    let made = client
        .post("/api-keys", json!({"label": "short-lived"}))
        .await
        .expect(201)
        .json();
    let short = made["key"].as_str().unwrap();
    client
        .send(client.http.get(&url).header("x-api-key", short))
        .await
        .expect(200);
    client.delete(&format!("/api-keys/{short}")).await.expect(204);
    client
        .send(client.http.get(&url).header("x-api-key", short))
        .await
        .problem(401);
}

async fn a_frontend_key_reads_but_does_not_write(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let made = client
        .post("/api-keys", json!({"label": "browser", "scopes": ["frontend"]}))
        .await
        .expect(201)
        .json();
    let browser = crate::harness::Client {
        key: made["key"].as_str().unwrap().to_owned(),
        ..client.clone()
    };
    browser.get("/integrations").await.expect(200);
    browser.get("/installations").await.expect(200);
    browser.write("hs", "companies", create()).await.problem(403);
    browser.get("/api-keys").await.problem(403);
    // What was written, and for whom, is for the app's backend.
    let written = client.write("hs", "companies", create()).await.expect(200).json();
    let operation = format!("/operations/{}", written["operationId"].as_str().unwrap());
    let installation = browser
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]["id"]
        .clone();
    for path in [
        operation.clone(),
        format!("{operation}/logs"),
        format!(
            "/integrations/hs/installations/{}/operations",
            installation.as_str().unwrap()
        ),
        "/operations".to_owned(),
        "/operations:watch".to_owned(),
    ] {
        browser.get(&path).await.problem(403);
    }
    for verb in ["replay", "resolve", "cancel", "release"] {
        browser
            .post(&format!("{operation}:{verb}"), "{}")
            .await
            .problem(403);
    }
    browser
        .post("/integrations/hs/operations:replay", "{}")
        .await
        .problem(403);
    browser
        .post("/api-keys", json!({"label": "more"}))
        .await
        .problem(403);
    browser
        .put("/integrations:batch", json!({"sourceYaml": ""}))
        .await
        .problem(403);
    assert_eq!(service.created(), 1, "only what the backend wrote");
    // The official UI's "Remove connection".
    let spare = service.connect("spare", "hubspot", "test-spare").await;
    let path = format!("/connections/{}", spare["id"].as_str().unwrap());
    browser.delete(&path).await.expect(204);
    browser.get(&path).await.problem(404);
}

async fn a_verb_that_is_not_served_is_no_part_of_an_id(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let written = client.write("hs", "companies", create()).await.expect(200).json();
    let operation = written["operationId"].as_str().unwrap().to_owned();
    let installation = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]
        .clone();
    let connection = installation["connection"]["id"].as_str().unwrap();
    let installation = installation["id"].as_str().unwrap();
    for (method, path) in [
        (Method::PATCH, format!("/connections/{connection}:renew")),
        (Method::POST, format!("/connections/{connection}:refresh")),
        (Method::GET, format!("/operations/{operation}:rerun")),
        (Method::POST, format!("/operations/{operation}:rerun")),
        (
            Method::DELETE,
            format!("/integrations/hs/installations/{installation}:pause"),
        ),
        (
            Method::PATCH,
            format!("/integrations/hs/installations/{installation}:pause"),
        ),
        (Method::GET, "/integrations/hs:export".to_owned()),
        (Method::DELETE, "/api-keys/1:rotate".to_owned()),
        (Method::GET, "/integrations/hs/revisions/1:diff".to_owned()),
    ] {
        // With and without a body: the verb comes first.
        let bare = client
            .send(client.request(method.clone(), &client.path(&path)))
            .await;
        for answer in [bare, client.call(method.clone(), &path, "{}").await] {
            let problem = answer.problem(404);
            assert_eq!(
                problem["type"], "urn:amp-write:problem:not-served",
                "{method} {path}: {problem}"
            );
        }
    }
    client
        .get(&format!("/connections/{connection}"))
        .await
        .expect(200);
}

async fn what_is_not_served_says_so(kind: Kind) {
    let service = Service::empty(kind).await;
    let client = &service.client;
    for path in [
        "/v1/orgs",
        "/",
        "/v1/projects/test/destinations",
        "/v1/billingAccounts/x/portalSession",
    ] {
        let problem = client.send(client.request(Method::GET, path)).await.problem(404);
        assert!(
            problem["detail"].as_str().unwrap().contains("does not serve"),
            "{problem}"
        );
    }
    client
        .send(client.request(Method::POST, "/v1/projects"))
        .await
        .problem(405);
}

async fn a_choice_that_stands_where_it_does_nothing_is_told(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(crate::harness::service::PLAIN).await;
    service.connect(GROUP, "hubspot", "test-acme").await;
    let content = json!({"provider": "hubspot", "write": {"objects": {"contacts": {
        "objectName": "contacts", "selectedFieldMappings": {"notes": "field_a"}}}}});
    let body = json!({"groupRef": GROUP, "config": {"content": content}});
    let made = service
        .client
        .post("/integrations/hs/installations", body)
        .await
        .expect(201);
    let told = "no_effect: config.content.write.objects.contacts.selectedFieldMappings acts under read only";
    assert_eq!(made.header("amp-warnings"), told);
    let path = format!(
        "/integrations/hs/installations/{}",
        made.json()["id"].as_str().unwrap()
    );
    let clear = json!({"updateMask": ["config.content.write.objects"], "installation": {"config": {"content": {"write": {"objects": {}}}}}});
    let cleared = service.client.patch(&path, clear).await.expect(200);
    assert_eq!(cleared.header("amp-warnings"), "");
}
