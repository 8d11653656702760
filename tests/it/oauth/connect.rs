//! Connecting, and connecting again.

use amp_write::sandbox::Provider;
use http::Method;
use serde_json::json;

use super::*;
use crate::harness::on_both_stores;

on_both_stores!(
    a_customer_connects_with_a_link_and_the_next_write_arrives,
    connecting_the_same_account_again_keeps_the_connection,
    what_was_held_drains_after_the_same_account_agrees_again_and_into_no_other,
    another_account_is_taken_when_the_app_asks_for_that,
);

const BOTH: [Provider; 2] = [Provider::HubSpot, Provider::Salesforce];

async fn a_customer_connects_with_a_link_and_the_next_write_arrives(kind: Kind) {
    let service = service(kind).await;
    for provider in BOTH {
        let id = installed(&service, provider).await;
        let got = service
            .client
            .get(&format!("/connections/{id}"))
            .await
            .expect(200)
            .json();
        assert_eq!(got["authScheme"], "oauth2/authorizationCode");
        assert_eq!(got["status"], "created");
        assert_eq!(got["group"]["groupRef"], GROUP);
        assert_eq!(
            write(&service, provider, 1).await.expect(200).json()["result"]["success"],
            true
        );
        assert_eq!(status(&service, &id).await, "working");
    }
}

async fn connecting_the_same_account_again_keeps_the_connection(kind: Kind) {
    let service = service(kind).await;
    for provider in BOTH {
        let first = connect(&service, provider, GROUP, GROUP).await;
        let again = connect(&service, provider, GROUP, GROUP).await;
        assert_eq!(first, again);
        let other = connect(&service, provider, GROUP, "northpeak").await;
        assert_ne!(first, other, "another account is another connection");
        let elsewhere = connect(&service, provider, "somebody-else", GROUP).await;
        assert_ne!(first, elsewhere, "another customer has a connection of their own");
    }
}

async fn what_was_held_drains_after_the_same_account_agrees_again_and_into_no_other(kind: Kind) {
    let service = service(kind).await;
    let id = installed(&service, Provider::HubSpot).await;
    write(&service, Provider::HubSpot, 0).await.expect(200);
    service.sandbox.revoke(Provider::HubSpot, GROUP);
    let failed = write(&service, Provider::HubSpot, 1).await.problem(424);
    assert!(failed["remedy"].as_str().unwrap().contains("connect"), "{failed}");
    assert_eq!(status(&service, &id).await, "bad_credentials");
    let mut held = Vec::new();
    for n in 2..5 {
        held.push(accept(&service, Provider::HubSpot, n).await);
    }

    // Another account: refused, and nothing is written to it.
    let link = reauthorize(&service, &id, json!({})).await;
    let mut browser = Browser::new();
    let back = browser.agree(&service, &link, "northpeak", "allow").await;
    let page = browser.open(&service.client, &back).await.expect(400);
    assert_eq!(told(&page)["eventType"], "AUTHORIZATION_FAILED");
    assert!(page.body.contains("Nothing was changed"), "{}", page.body);
    assert_eq!(status(&service, &id).await, "bad_credentials");
    for operation in &held {
        let got = service
            .client
            .get(&format!("/operations/{operation}"))
            .await
            .expect(200)
            .json();
        assert_eq!(got["status"], "in_progress", "{got}");
    }

    // The same account: they go, in their order.
    let link = reauthorize(&service, &id, json!(null)).await;
    assert_eq!(connect_with(&service, &link, GROUP).await, id);
    for operation in &held {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
    let mut written: Vec<String> = service
        .sandbox
        .ledger_since(0, Some(GROUP))
        .iter()
        .filter_map(|entry| {
            let entry = serde_json::to_value(entry).expect("JSON");
            let text = entry.to_string();
            (2..5)
                .map(|n| format!("p{n}@example.com"))
                .find(|email| text.contains(email) && text.contains("201"))
        })
        .collect();
    written.sort();
    assert_eq!(written, ["p2@example.com", "p3@example.com", "p4@example.com"]);
    assert!(
        service
            .sandbox
            .ledger_since(0, Some("northpeak"))
            .iter()
            .all(|entry| {
                !serde_json::to_value(entry)
                    .expect("JSON")
                    .to_string()
                    .contains("p2@example.com")
            })
    );
}

pub async fn reauthorize(service: &Service, id: &str, body: serde_json::Value) -> String {
    let path = service.client.path(&format!("/connections/{id}:oauth-update"));
    let mut request = service.client.request(Method::PATCH, &path);
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    service.client.send(request).await.expect(200).body
}

async fn another_account_is_taken_when_the_app_asks_for_that(kind: Kind) {
    let service = service(kind).await;
    for provider in BOTH {
        let id = connect(&service, provider, GROUP, GROUP).await;
        let link = reauthorize(&service, &id, json!({"allowAccountChange": true})).await;
        assert_eq!(connect_with(&service, &link, "northpeak").await, id);
    }
}

#[tokio::test]
async fn an_app_is_made_changed_and_removed_and_never_shows_its_secret() {
    let service = service(Kind::Sqlite).await;
    let client = &service.client;
    let listed = client.get("/provider-apps").await.expect(200);
    assert!(!listed.body.contains("secret-1"), "{}", listed.body);
    let apps = listed.json();
    assert_eq!(apps.as_array().unwrap().len(), 2);
    let id = apps[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(apps[0]["redirectUrl"], format!("{PUBLIC}/callbacks/v1/oauth"));
    let patch = json!({"updateMask": ["scopes", "metadata", "externalRef"], "providerApp": {
        "scopes": ["a", "b"], "externalRef": "x", "metadata": {"providerParams": {"k": "v"}}}});
    let changed = client
        .patch(&format!("/provider-apps/{id}"), patch)
        .await
        .expect(200)
        .json();
    assert_eq!(changed["scopes"], json!(["a", "b"]));
    assert_eq!(changed["metadata"], json!({"providerParams": {"k": "v"}}));
    assert_eq!(changed["externalRef"], "x");
    for (mask, given, word) in [
        ("provider", json!({"provider": "salesforce"}), "cannot change"),
        ("clientId", json!({"clientId": ""}), "clientId"),
        (
            "clientSecret",
            json!({"clientSecret": "a\nb"}),
            "control character",
        ),
        ("scopes", json!({"scopes": ["a b"]}), "blank"),
        (
            "metadata",
            json!({"metadata": {"authQueryParams": {"state": ["x"]}}}),
            "state",
        ),
        ("nothing", json!({}), "updateMask[0]"),
    ] {
        let patch = json!({"updateMask": [mask], "providerApp": given});
        let refused = client
            .patch(&format!("/provider-apps/{id}"), patch)
            .await
            .problem(400);
        assert!(refused.to_string().contains(word), "{refused}");
    }
    client.delete(&format!("/provider-apps/{id}")).await.expect(204);
    client.get(&format!("/provider-apps/{id}")).await.problem(404);
    for (body, word) in [
        (
            json!({"provider": "nope", "clientId": "c", "clientSecret": "s"}),
            "catalogue",
        ),
        (
            json!({"provider": "marketo", "clientId": "c", "clientSecret": "s"}),
            "consent",
        ),
        (json!({"provider": "hubspot", "clientId": "c"}), "clientSecret"),
    ] {
        let refused = client.post("/provider-apps", body).await.problem(400);
        assert!(refused.to_string().contains(word), "{refused}");
    }
}

#[tokio::test]
async fn an_app_that_connections_need_is_not_removed() {
    let service = service(Kind::Sqlite).await;
    connect(&service, Provider::HubSpot, GROUP, GROUP).await;
    let apps = service.client.get("/provider-apps").await.expect(200).json();
    let of_hubspot = apps
        .as_array()
        .unwrap()
        .iter()
        .find(|app| app["provider"] == "hubspot")
        .unwrap();
    let path = format!("/provider-apps/{}", of_hubspot["id"].as_str().unwrap());
    let refused = service.client.delete(&path).await.problem(409);
    assert!(
        refused["detail"].as_str().unwrap().contains("1 connections"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_missing_for_a_link_is_said() {
    let service = service_with(Kind::Sqlite, |_| {}, |_| {}).await;
    let base = json!({"projectIdOrName": "test", "provider": "hubspot", "groupRef": "g", "consumerRef": "c"});
    let with = |name: &str, value: serde_json::Value| {
        let mut body = base.clone();
        body[name] = value;
        body
    };
    for (body, status, word) in [
        (with("provider", json!("nope")), 400, "catalogue"),
        (with("provider", json!("pipedrive")), 400, "provider app"),
        (with("provider", json!("apollo")), 400, "consent"),
        (with("groupRef", json!("")), 400, "groupRef"),
        (with("projectIdOrName", json!("other")), 404, "Project"),
        (with("providerAppId", json!("x")), 400, "providerAppId"),
        (
            with("providerAppId", json!(uuid::Uuid::nil().to_string())),
            400,
            "providerAppId",
        ),
        (
            with("providerMetadata", json!({"a": 1})),
            400,
            "providerMetadata.a",
        ),
    ] {
        let refused = post_connect(&service, body).await.problem(status);
        assert!(refused.to_string().contains(word), "{refused}");
    }
    // What SDKs send instead.
    let by_id = json!({"projectId": "TEST", "provider": "hubspot", "groupRef": "g", "consumerRef": "c", "providerAppId": ""});
    post_connect(&service, by_id).await.expect(200);
    let path = service
        .client
        .path(&format!("/connections/{}:oauth-update", uuid::Uuid::nil()));
    service
        .client
        .send(service.client.request(Method::PATCH, &path))
        .await
        .problem(404);
    let path = service
        .client
        .path(&format!("/connections/{}:other", uuid::Uuid::nil()));
    let refused = service
        .client
        .send(service.client.request(Method::PATCH, &path))
        .await
        .problem(404);
    assert!(
        refused["type"].as_str().unwrap().ends_with("not-served"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_know_its_address_says_what_to_set() {
    let service = service_with(Kind::Sqlite, |_| {}, |tuning| tuning.public_url = None).await;
    let body = json!({"projectIdOrName": "test", "provider": "hubspot", "groupRef": "g", "consumerRef": "c"});
    let refused = post_connect(&service, body).await.problem(503);
    assert!(
        refused["remedy"].as_str().unwrap().contains("AMP_PUBLIC_URL"),
        "{refused}"
    );
    assert_eq!(refused["retryable"], false);
}
