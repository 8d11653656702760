//! Nothing is given twice, nothing is dropped in silence, and what is refused is told by the rule that was broken.

use http::Method;
use serde_json::{Value, json};

use crate::harness::client::Answer;
use crate::harness::service::GROUP;
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_key_given_twice_is_refused_with_its_path_wherever_it_stands,
    half_of_an_emoji_and_a_nul_character_are_told_as_such,
    a_header_or_a_parameter_given_twice_is_told_as_such,
    a_byte_order_mark_before_the_json_is_passed_over,
    an_update_of_which_nothing_is_left_says_that_nothing_was_sent,
);

#[track_caller]
fn issue(answer: Answer, name: &str, text: &str) {
    let problem = answer.problem(400);
    let issues = problem["issues"]
        .as_array()
        .unwrap_or_else(|| panic!("{problem}"));
    let found = issues
        .iter()
        .find(|issue| issue["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {problem}"));
    assert!(
        found["detail"].as_str().unwrap().contains(text),
        "{name}: {problem}"
    );
    let cause = format!("{name}: {}", found["detail"].as_str().unwrap());
    assert!(
        problem["causes"].as_array().unwrap().contains(&json!(cause)),
        "{problem}"
    );
}

async fn a_key_given_twice_is_refused_with_its_path_wherever_it_stands(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let single = |rest: &str| format!(r#"{{"groupRef":"{GROUP}","type":"create",{rest}}}"#);
    for (rest, path) in [
        (r#""record":{"name":"a","name":"b"}"#, "record.name"),
        (
            r#""strict":true,"record":{"Account":{"Ext_Id__c":"A1","Ext_Id__c":"B1"}}"#,
            "record.Account.Ext_Id__c",
        ),
        (r#""record":{"list":[1,{"a":1,"\u0061":2}]}"#, "record.list[1].a"),
        (
            r#""batch":[{"record":{}},{"record":{"a":{"b":1,"b":2}}}]"#,
            "batch[1].record.a.b",
        ),
        (
            r#""batch":[{"record":{},"clientRef":"x","clientRef":"y"}]"#,
            "batch[0].clientRef",
        ),
        (
            r#""record":{},"associations":[{"to":{"id":"1","id":"2"},"types":[]}]"#,
            "associations[0].to.id",
        ),
        (
            r#""record":{},"headers":[{"key":"A","value":"1","value":"2"}]"#,
            "headers[0].value",
        ),
        (r#""record":{},"record":{}"#, "record"),
    ] {
        for query in ["", "?preview=true"] {
            let at = format!("/integrations/hs/objects/companies{query}");
            issue(client.post(&at, single(rest)).await, path, "appears twice");
        }
    }
    issue(
        client
            .write("sf", "account", single(r#""record":{},"headers":[{"key":"Sforce-A","value":"1"},{"key":"sforce-a","value":"2"}]"#))
            .await,
        "headers[1].key",
        "again",
    );
    let content = r#"{"provider":"hubspot","write":{"objects":{"contacts":{"deletionSettings":{"enabled":true}},"contacts":{}}}}"#;
    let body = format!(r#"{{"groupRef":"other","config":{{"content":{content}}}}}"#);
    let path = "config.content.write.objects.contacts";
    issue(
        client.post("/integrations/hs/installations", body).await,
        path,
        "appears twice",
    );
    let installation = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json()[0]
        .clone();
    let at = format!(
        "/integrations/hs/installations/{}",
        installation["id"].as_str().unwrap()
    );
    let body = format!(
        r#"{{"updateMask":["config.content.write.objects"],"installation":{{"config":{{"content":{content}}}}}}}"#
    );
    issue(
        client.patch(&at, body).await,
        &format!("installation.{path}"),
        "appears twice",
    );
    let body = format!(
        r#"{{"groupRef":"{GROUP}","action":"write","changes":[{{"op":"add","path":"/a","value":{{"x":1,"x":2}}}}]}}"#
    );
    let at = "/integrations/hs/objects/contacts/config-content";
    issue(
        client.patch(at, body).await,
        "changes[0].value.x",
        "appears twice",
    );
    let body = format!(
        r#"{{"provider":"hubspot","groupRef":"g","consumerRef":"c","providerMetadata":{{"a":{{"value":"1","value":"2"}}}},"apiKey":"{}"}}"#,
        "k".repeat(20)
    );
    issue(
        client.post("/connections:generate", body).await,
        "providerMetadata.a.value",
        "appears twice",
    );
    assert!(service.reached().is_empty());
    let list = client.get("/operations").await.expect(200).json();
    assert_eq!(list["results"], json!([]), "nothing is stored");
}

async fn half_of_an_emoji_and_a_nul_character_are_told_as_such(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let half = "half of a surrogate pair";
    let batch = format!(
        r#"{{"groupRef":"{GROUP}","type":"create","batch":[{{"record":{{"email":"a@b.co"}}}},{{"record":{{"firstname":"Hi \ud83d"}}}}]}}"#
    );
    issue(
        client.write("hs", "contacts", &batch).await,
        "batch[1].record.firstname",
        half,
    );
    let single = format!(r#"{{"groupRef":"{GROUP}","type":"create","record":{{"a":["\ude00 x"]}}}}"#);
    issue(client.write("hs", "contacts", &single).await, "record.a[0]", half);
    let label = r#"{"label":"k \ud83d\ud83d"}"#;
    issue(client.post("/api-keys", label).await, "label", half);
    // A whole one is fine.
    let whole =
        format!(r#"{{"groupRef":"{GROUP}","type":"create","record":{{"firstname":"\ud83d\ude00"}}}}"#);
    client.write("hs", "contacts", &whole).await.expect(200);

    let good = json!({"provider": "hubspot", "groupRef": "g", "consumerRef": "c", "apiKey": "k".repeat(20)});
    for name in [
        "groupRef",
        "groupName",
        "consumerRef",
        "consumerName",
        "providerWorkspaceRef",
        "apiKey",
    ] {
        let mut body = good.clone();
        body[name] = json!("A\u{0}B");
        issue(
            client.post("/connections:generate", &body).await,
            name,
            "holds a NUL character",
        );
    }
    let mut body = good;
    body["providerMetadata"] = json!({"region": {"value": "A\u{0}B", "source": "input"}});
    issue(
        client.post("/connections:generate", &body).await,
        "providerMetadata.region",
        "holds a NUL character",
    );
    issue(
        client.post("/api-keys", json!({"label": "A\u{0}B"})).await,
        "label",
        "holds a NUL character",
    );
    let mut write = json!({"groupRef": "A\u{0}B", "type": "create", "record": {}, "clientRef": "A\u{0}B"});
    issue(
        client.write("hs", "contacts", &write).await,
        "groupRef",
        "holds a NUL character",
    );
    write["groupRef"] = json!(GROUP);
    issue(
        client.write("hs", "contacts", &write).await,
        "clientRef",
        "holds a NUL character",
    );
    // What is too long, or empty, is told as that.
    write["clientRef"] = json!("x".repeat(256));
    issue(
        client.write("hs", "contacts", &write).await,
        "clientRef",
        "is longer than 255 bytes",
    );
    write["clientRef"] = json!("");
    issue(
        client.write("hs", "contacts", &write).await,
        "clientRef",
        "is empty",
    );
}

async fn a_header_or_a_parameter_given_twice_is_told_as_such(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}}).to_string();
    let write = || {
        let path = client.path("/integrations/hs/objects/companies");
        client.request(Method::POST, &path).body(body.clone())
    };
    for (name, shown) in [("idempotency-key", "Idempotency-Key"), ("x-api-key", "X-Api-Key")] {
        let twice = write().header(name, "a").header(name, "a");
        issue(client.send(twice).await, shown, "appears twice");
    }
    issue(
        client.get("/operations?status=success&status=failure").await,
        "status",
        "appears twice",
    );
    issue(
        client
            .post(
                "/integrations/hs/objects/companies?preview=true&preview=false",
                body.clone(),
            )
            .await,
        "preview",
        "appears twice",
    );
    assert!(service.reached().is_empty());
}

async fn a_byte_order_mark_before_the_json_is_passed_over(kind: Kind) {
    let service = Service::start(kind).await;
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "A"}});
    let marked = format!("\u{feff}{body}");
    service.client.write("hs", "companies", &marked).await.expect(200);
    assert_eq!(
        service.reached().pop().unwrap().2,
        r#"{"properties":{"name":"A"}}"#
    );
    service
        .client
        .post("/api-keys", "\u{feff}{\"label\":\"k\"}")
        .await
        .expect(201);
}

async fn an_update_of_which_nothing_is_left_says_that_nothing_was_sent(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    let update = |record: Value| json!({"groupRef": GROUP, "type": "update", "record": record});
    let empty = update(json!({"id": "99999999999"}));
    let answer = client.write("hs", "contacts", &empty).await.expect(200);
    assert_eq!(answer.header("amp-warnings"), "nothing_sent");
    assert_eq!(
        answer.json()["result"],
        json!({"success": true, "recordId": "99999999999"})
    );
    let shown = client
        .post("/integrations/hs/objects/contacts?preview=true", &empty)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&shown["verdict"], &shown["warnings"]),
        (&json!("nothing_to_send"), &json!(["nothing_sent"]))
    );
    let mut queued = empty.clone();
    queued["mode"] = json!("asynchronous");
    let answer = client.write("hs", "contacts", &queued).await.expect(200);
    assert_eq!(answer.header("amp-warnings"), "nothing_sent");
    let ended = client.ended(answer.json()["operationId"].as_str().unwrap()).await;
    assert_eq!(
        ended["metadata"]["trace"],
        json!([{"decision": "nothing_sent"}]),
        "{ended}"
    );
    assert!(
        service
            .reached()
            .iter()
            .all(|(_, path, _)| !path.contains("99999999999"))
    );
    // Of a batch, the trace says which record it is.
    let made = client
        .write(
            "hs",
            "contacts",
            json!({"groupRef": GROUP, "type": "create", "record": {"email": "a@b.co"}}),
        )
        .await
        .expect(200)
        .json();
    let batch = json!({"groupRef": GROUP, "type": "update", "batch": [
        {"record": {"id": made["result"]["recordId"], "firstname": "A"}}, {"record": {"id": "99999999999"}}]});
    let answer = client.write("hs", "contacts", &batch).await.expect(200);
    assert_eq!(answer.header("amp-warnings"), "nothing_sent");
    let path = format!("/operations/{}", answer.json()["operationId"].as_str().unwrap());
    let trace = client.get(&path).await.expect(200).json()["metadata"]["trace"].clone();
    let told: Vec<&Value> = trace
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["decision"] == "nothing_sent")
        .collect();
    assert_eq!(
        told,
        [&json!({"record": 1, "decision": "nothing_sent"})],
        "{trace}"
    );
    // What is sent says nothing of the kind.
    let full = update(json!({"id": made["result"]["recordId"], "firstname": "B"}));
    assert_eq!(
        client
            .write("hs", "contacts", &full)
            .await
            .expect(200)
            .header("amp-warnings"),
        ""
    );
}
