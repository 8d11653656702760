//! Named inputs.

use serde_json::json;

use super::{Provider, connect, connection, create, previewed, service};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    named_inputs_reach_the_provider_and_nobody_else,
    inputs_that_are_missing_or_cannot_be_used_are_told_by_name,
    new_inputs_take_the_place_of_the_old_ones,
);

async fn named_inputs_reach_the_provider_and_nobody_else(kind: Kind) {
    let provider = Provider::open().await;
    let service = service(kind, &provider, "clariCopilot", "contacts").await;
    let inputs = json!({"customAuth": {"apiKey": "s3cr3t-key", "apiSecret": "s3cr3t-word", "unknown": ["s3cr3t-more"]}});
    let path = connect(&service, "clariCopilot", inputs).await;
    let made = service.client.get(&path).await.expect(200);
    assert_eq!(made.json()["authScheme"], "custom");
    let shown = previewed(&service, "contacts", json!({"crm_id": "1"})).await;
    assert_eq!(
        (&shown["x-api-key"], &shown["x-api-password"]),
        (&json!("***"), &json!("***"))
    );
    assert!(provider.writes().is_empty());

    // A provider that repeats what it got.
    let repeated = json!({"message": "no such key s3cr3t-key, s3cr3t-word"});
    provider.state().answers.push_back((422, repeated));
    let answer = service
        .client
        .write("i", "contacts", create(json!({"crm_id": "1"})))
        .await;
    let seen = provider.writes().pop().unwrap();
    assert_eq!(
        (seen.header("x-api-key"), seen.header("x-api-password")),
        ("s3cr3t-key", "s3cr3t-word")
    );
    assert_eq!(
        (seen.method.as_str(), seen.uri.as_str()),
        ("POST", "/create-contact")
    );
    assert!(answer.body.contains("no such key ***"), "{}", answer.body);
    let operation = answer.expect(422).json()["operationId"].clone();
    let operation = service
        .client
        .get(&format!("/operations/{}", operation.as_str().unwrap()))
        .await
        .expect(200);
    assert!(operation.body.contains("no such key ***"), "{}", operation.body);
    let project = service.client.get("").await.json()["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let id = made.json()["id"].as_str().unwrap().parse().unwrap();
    let row = service
        .app
        .store
        .get_connection(project, id)
        .await
        .unwrap()
        .unwrap();
    let sealed = String::from_utf8_lossy(&row.credentials).into_owned();
    for text in [
        made.body,
        operation.body,
        shown.to_string(),
        sealed,
        format!("{row:?}"),
    ] {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

async fn inputs_that_are_missing_or_cannot_be_used_are_told_by_name(kind: Kind) {
    let provider = Provider::open().await;
    let service = service(kind, &provider, "clariCopilot", "contacts").await;
    let google = json!({"userEmail": "mira@northpeak.example"});
    let sf = |key: &str| json!({"clientId": "c", "username": "u", "privateKey": key});
    for (name, more, field) in [
        ("clariCopilot", json!({"customAuth": {}}), "customAuth.apiKey"),
        (
            "clariCopilot",
            json!({"customAuth": {"apiKey": "s3cr3t"}}),
            "customAuth.apiSecret",
        ),
        (
            "clariCopilot",
            json!({"customAuth": {"apiKey": "s3cr3t", "apiSecret": " "}}),
            "customAuth.apiSecret",
        ),
        (
            "clariCopilot",
            json!({"customAuth": {"apiKey": [1], "apiSecret": "s3cr3t"}}),
            "customAuth.apiKey",
        ),
        (
            "clariCopilot",
            json!({"customAuth": {"apiKey": "s3cr3t\n", "apiSecret": "x"}}),
            "customAuth",
        ),
        ("clariCopilot", json!({"apiKey": "s3cr3t"}), "apiKey"),
        (
            "clariCopilot",
            json!({"apiKey": "s3cr3t", "customAuth": {"apiKey": "k", "apiSecret": "x"}}),
            "apiKey",
        ),
        ("clariCopilot", json!({}), "apiKey"),
        (
            "hubspot",
            json!({"customAuth": {"token": "s3cr3t"}}),
            "customAuth",
        ),
        (
            "salesforceJWT",
            json!({"providerWorkspaceRef": "acme", "customAuth": sf("s3cr3t")}),
            "customAuth.privateKey",
        ),
        // Where tokens come from, and what is signed, is known before a connection is made.
        (
            "salesforceJWT",
            json!({"customAuth": sf(super::KEY)}),
            "providerMetadata",
        ),
        (
            "salesforceJWT",
            json!({"providerWorkspaceRef": "evil.example/", "customAuth": sf(super::KEY)}),
            "providerMetadata",
        ),
        (
            "microsoftAdminConsent",
            json!({"customAuth": {"clientId": "c", "clientSecret": "s3cr3t"}}),
            "providerMetadata",
        ),
        (
            "googleWorkspaceDelegation",
            json!({"providerMetadata": google, "customAuth": {"serviceAccountKey": "{\"s3cr3t\":1}", "scopes": ["a"]}}),
            "customAuth.serviceAccountKey",
        ),
        (
            "googleWorkspaceDelegation",
            json!({"providerMetadata": google, "customAuth": {"serviceAccountKey": "s3cr3t"}}),
            "customAuth.scopes",
        ),
    ] {
        let answer = service
            .client
            .post("/connections:generate", connection(name, more.clone()))
            .await;
        let problem = answer.problem(400);
        assert_eq!(problem["issues"][0]["name"], field, "{more}: {problem}");
        assert!(!problem.to_string().contains("s3cr3t"), "{problem}");
        if let Some(input) = field.strip_prefix("customAuth.") {
            let told = format!("`{input}`");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(&told) || detail.contains(field), "{problem}");
        }
    }
    assert_eq!(service.client.get("/connections").await.json(), json!([]));
}

async fn new_inputs_take_the_place_of_the_old_ones(kind: Kind) {
    let provider = Provider::open().await;
    let service = service(kind, &provider, "gitlab", "groups").await;
    let path = connect(
        &service,
        "gitlab",
        json!({"customAuth": {"token": "first-t0ken"}}),
    )
    .await;
    let patch = |custom: serde_json::Value| json!({"updateMask": ["customAuth"], "connection": {"customAuth": custom}});
    service
        .client
        .patch(&path, patch(json!({"token": "second-t0ken"})))
        .await
        .expect(200);
    let problem = service.client.patch(&path, patch(json!({}))).await.problem(400);
    assert_eq!(
        problem["issues"][0]["name"], "connection.customAuth.token",
        "{problem}"
    );
    let other = json!({"updateMask": ["apiKey"], "connection": {"apiKey": "k"}});
    service.client.patch(&path, other).await.problem(400);
    service
        .client
        .write("i", "groups", create(json!({"name": "n"})))
        .await
        .expect(200);
    assert_eq!(provider.writes()[0].header("private-token"), "second-t0ken");
}
