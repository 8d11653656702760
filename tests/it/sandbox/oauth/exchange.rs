//! From a code to tokens: what binds the code, what the answers hold, and what the client must prove.

use amp_write::sandbox::Provider;
use base64::Engine;
use http::Method;
use serde_json::json;

use super::{BOTH, Flow, REDIRECT, VERIFIER, finish, form, http, post, text};
use crate::sandbox::Client;

fn invalid_grant(answer: &crate::sandbox::Answer) {
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (400, &json!("invalid_grant")),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_code_gives_tokens_of_the_account_that_was_chosen() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let tokens = flow.connect("acme").await;
        assert_eq!(flow.write(&text(&tokens, "access_token")).await.status, 201);
        let written = flow.sandbox.ledger().pop().expect("an entry");
        assert_eq!(written.account.as_deref(), Some("acme"));
        let again = flow.refresh(&text(&tokens, "refresh_token")).await;
        assert_eq!(again.status, 200, "{}", again.text);
        assert_eq!(flow.write(&text(&again.json(), "access_token")).await.status, 201);
    }
}

#[tokio::test]
async fn each_providers_answer_has_its_own_form() {
    let flow = Flow::new(Provider::HubSpot).await;
    let tokens = flow.connect("acme").await;
    let settings = flow
        .sandbox
        .control(Method::GET, "/accounts/hubspot/acme", &json!(null))
        .await;
    assert_eq!(tokens["hub_id"], settings.expect("settings")["hub_id"]);
    assert_eq!(
        (&tokens["expires_in"], &tokens["token_use"]),
        (&json!(1800), &json!("access_token"))
    );

    let flow = Flow::new(Provider::Salesforce).await;
    let tokens = flow.connect("acme").await;
    assert_eq!(tokens["instance_url"], json!(flow.base()));
    assert_eq!(tokens["scope"], json!("api refresh_token"));
    assert!(tokens.get("expires_in").is_none(), "Salesforce tells no lifetime");
    assert!(
        text(&tokens, "id").starts_with("https://login.salesforce.com/id/00DHs"),
        "{tokens}"
    );
    assert!(text(&tokens, "issued_at").parse::<u64>().is_ok() && tokens["signature"].is_string());
}

#[tokio::test]
async fn every_version_of_hubspots_token_path_takes_the_code() {
    let flow = Flow::new(Provider::HubSpot).await;
    for version in ["v1", "v3", "2026-03", "2026-09"] {
        let code = flow.code("acme").await;
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", "sandbox-hubspot"),
            ("client_secret", "sandbox-secret"),
            ("redirect_uri", REDIRECT),
            ("code", code.as_str()),
        ];
        let answer = post(&format!("{}/oauth/{version}/token", flow.base()), &fields).await;
        assert_eq!(answer.status, 200, "{version}: {}", answer.text);
        // The old version does not say whose the token is: its metadata does.
        assert_eq!(answer.json().get("hub_id").is_some(), version != "v1");
    }
}

#[tokio::test]
async fn a_code_is_good_once() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let code = flow.code("acme").await;
        let tokens = flow.exchange(&code).await.json();
        invalid_grant(&flow.exchange(&code).await);
        let alive = if provider == Provider::HubSpot {
            (201, 200)
        } else {
            (401, 400)
        };
        let write = flow.write(&text(&tokens, "access_token")).await.status;
        let refresh = flow.refresh(&text(&tokens, "refresh_token")).await.status;
        assert_eq!(
            (write, refresh),
            alive,
            "Salesforce revokes what the first use gave"
        );
    }
}

#[tokio::test]
async fn a_code_ends_after_ten_minutes() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        flow.sandbox.clock().freeze(1_790_000_000_000);
        let (early, late) = (flow.code("acme").await, flow.code("acme").await);
        flow.sandbox.clock().advance(599_999);
        assert_eq!(flow.exchange(&early).await.status, 200);
        flow.sandbox.clock().advance(1);
        invalid_grant(&flow.exchange(&late).await);
    }
}

#[tokio::test]
async fn a_code_is_bound_to_its_redirect_uri_and_client() {
    for provider in BOTH {
        let mut flow = Flow::new(provider).await;
        let code = flow.code("acme").await;
        let other = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", "http://127.0.0.1/x"),
        ];
        assert_eq!(flow.token(&other).await.status, 400);
        assert_eq!(flow.token(&other[..2]).await.status, 400, "it cannot be left out");
        let (own_id, own_secret) = (flow.client_id.clone(), flow.secret.clone());
        flow.app(|_| {});
        invalid_grant(&flow.exchange(&code).await);
        (flow.client_id, flow.secret) = (own_id, own_secret);
        let tokens = flow.exchange(&code).await;
        assert_eq!(
            tokens.status, 200,
            "a refusal does not use it up: {}",
            tokens.text
        );
        flow.app(|_| {});
        invalid_grant(&flow.refresh(&text(&tokens.json(), "refresh_token")).await);
    }
}

#[tokio::test]
async fn a_code_with_a_challenge_needs_its_verifier() {
    for provider in BOTH {
        let mut flow = Flow::new(provider).await;
        let plain = flow.code("acme").await;
        flow.with_pkce();
        let code = flow.code("acme").await;
        let with = async |code: &str, verifier: &str| {
            let fields = [
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", REDIRECT),
                ("code_verifier", verifier),
            ];
            flow.token(&fields).await
        };
        invalid_grant(&flow.exchange(&code).await);
        invalid_grant(&with(&code, &VERIFIER.replace('d', "e")).await);
        invalid_grant(&with(&code, super::CHALLENGE).await);
        assert_eq!(with(&code, VERIFIER).await.status, 200);
        invalid_grant(&with(&plain, VERIFIER).await);
    }
}

#[tokio::test]
async fn a_registered_client_must_know_its_secret() {
    for provider in BOTH {
        let mut flow = Flow::new(provider).await;
        let code = flow.code("acme").await;
        flow.secret = "wrong".to_owned();
        for answer in [
            flow.exchange(&code).await,
            flow.refresh("test-refresh-acme").await,
        ] {
            assert_eq!(
                (answer.status, &answer.json()["error"]),
                (400, &json!("invalid_client")),
                "{}",
                answer.text
            );
        }
        flow.client_id = "nobody".to_owned();
        let answer = flow.exchange(&code).await;
        let unknown = if provider == Provider::HubSpot {
            "invalid_client"
        } else {
            "invalid_client_id"
        };
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(unknown)));
        assert_eq!(
            flow.refresh("test-refresh-acme").await.status,
            200,
            "that one belongs to no app"
        );
    }
}

#[tokio::test]
async fn salesforce_takes_the_credentials_in_a_header_and_hubspot_does_not() {
    for (provider, status) in [(Provider::Salesforce, 200), (Provider::HubSpot, 400)] {
        let flow = Flow::new(provider).await;
        let code = flow.code("acme").await;
        let basic =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", flow.client_id, flow.secret));
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
        ];
        let request = http()
            .post(flow.token_url())
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = finish(request.body(form(&fields))).await.expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn without_the_scope_salesforce_gives_no_refresh_token() {
    let mut flow = Flow::new(Provider::Salesforce).await;
    flow.ask("scope", Some("api"));
    let tokens = flow.connect("acme").await;
    assert!(tokens.get("refresh_token").is_none(), "{tokens}");
    assert_eq!(flow.write(&text(&tokens, "access_token")).await.status, 201);
}

#[tokio::test]
async fn an_app_that_rotates_gives_rotating_grants() {
    let mut flow = Flow::new(Provider::Salesforce).await;
    flow.app(|app| app.rotate = true);
    let first = text(&flow.connect("acme").await, "refresh_token");
    let second = text(&flow.refresh(&first).await.json(), "refresh_token");
    assert_ne!(first, second);
    invalid_grant(&flow.refresh(&first).await);
    invalid_grant(&flow.refresh(&second).await);
}

#[tokio::test]
async fn an_app_is_registered_over_http_and_listed() {
    let flow = Flow::new(Provider::HubSpot).await;
    let url = format!("{}/_sandbox/apps", flow.sandbox.url());
    let app = json!({"provider": "hubspot", "clientId": "a", "clientSecret": "b", "redirectUris": ["https://x.example/cb"], "scopes": ["oauth"], "requirePkce": true});
    let client = Client::new("none");
    assert_eq!(client.post(&url, &app).await.expect("an answer").status, 204);
    let listed = client.get(&url).await.expect("an answer").json();
    let ids: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|a| a["clientId"].as_str())
        .collect();
    assert_eq!(ids, ["a", "sandbox-hubspot", "sandbox-salesforce"]);
    let wrong = client
        .post(&url, &json!({"provider": "hubspot", "clientId": "a"}))
        .await
        .expect("an answer");
    assert_eq!(wrong.status, 400);
    assert!(wrong.text.contains("clientSecret"), "{}", wrong.text);
}
