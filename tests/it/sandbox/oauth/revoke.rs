//! Whose a token is, and how it ends: introspection, metadata, user information, revocation.

use amp_write::sandbox::Provider;
use http::Method;
use serde_json::{Value, json};

use super::{BOTH, Flow, finish, http, post, text};
use crate::sandbox::{Answer, Client};

impl Flow {
    async fn beside_token(&self, what: &str, token: &str) -> Answer {
        let url = match self.provider {
            Provider::HubSpot => format!("{}/{what}", self.token_url()),
            _ => format!("{}/services/oauth2/{what}", self.base()),
        };
        let fields = [
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.secret.as_str()),
            ("token", token),
        ];
        post(&url, &fields).await
    }

    async fn active(&self, token: &str) -> Value {
        let answer = self.beside_token("introspect", token).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["active"].clone()
    }
}

#[tokio::test]
async fn introspection_tells_good_tokens_from_others() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let tokens = flow.connect("acme").await;
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        for token in [access.as_str(), refresh.as_str()] {
            assert_eq!(flow.active(token).await, json!(true));
        }
        let unknown = flow.beside_token("introspect", "nothing").await;
        assert_eq!((unknown.status, unknown.json()), (200, json!({"active": false})));
        flow.sandbox.clock().advance(7_200_000);
        assert_eq!(flow.active(&access).await, json!(false), "it has expired");
        assert_eq!(flow.active(&refresh).await, json!(true));
    }
}

#[tokio::test]
async fn hubspots_introspection_and_metadata_name_the_account() {
    let flow = Flow::new(Provider::HubSpot).await;
    let tokens = flow.connect("acme").await;
    let access = text(&tokens, "access_token");
    let seen = flow.beside_token("introspect", &access).await.json();
    let old = Client::new("none")
        .get(&format!("{}/oauth/v1/access-tokens/{access}", flow.base()))
        .await;
    let old = old.expect("an answer").json();
    for seen in [&seen, &old] {
        assert_eq!(
            (&seen["hub_id"], &seen["hub_domain"]),
            (&tokens["hub_id"], &json!("acme.example"))
        );
        assert_eq!(seen["scopes"], tokens["scopes"]);
    }
    let mut client = Client::new("none");
    client.token = access;
    let me = client
        .get(&format!("{}/integrations/v1/me", flow.base()))
        .await
        .expect("an answer");
    assert_eq!(me.json()["portalId"], tokens["hub_id"]);
    let gone = client
        .get(&format!("{}/oauth/v1/access-tokens/nothing", flow.base()))
        .await;
    assert_eq!(gone.expect("an answer").status, 404);
}

#[tokio::test]
async fn another_apps_token_is_not_active_and_a_wrong_secret_is_refused() {
    for provider in BOTH {
        let mut flow = Flow::new(provider).await;
        let access = text(&flow.connect("acme").await, "access_token");
        flow.app(|_| {});
        assert_eq!(flow.active(&access).await, json!(false));
        flow.secret = "wrong".to_owned();
        let answer = flow.beside_token("introspect", &access).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!("invalid_client"))
        );
    }
}

#[tokio::test]
async fn userinfo_names_the_org_and_answers_403_to_a_dead_token() {
    let flow = Flow::new(Provider::Salesforce).await;
    let tokens = flow.connect("acme").await;
    let url = format!("{}/services/oauth2/userinfo", flow.base());
    let mut client = Client::new("none");
    client.token = text(&tokens, "access_token");
    let seen = client.get(&url).await.expect("an answer").json();
    assert_eq!(seen["sub"], tokens["id"]);
    assert!(text(&tokens, "id").contains(&text(&seen, "organization_id")));
    flow.sandbox.revoke(Provider::Salesforce, "acme");
    let dead = client.get(&url).await.expect("an answer");
    assert_eq!((dead.status, dead.text.as_str()), (403, "Bad_OAuth_Token"));
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_grant() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let tokens = flow.connect("acme").await;
        let other = flow.connect("acme").await;
        let refresh = text(&tokens, "refresh_token");
        assert_eq!(flow.beside_token("revoke", &refresh).await.status, 200);
        assert_eq!(
            flow.refresh(&refresh).await.json()["error"],
            json!("invalid_grant")
        );
        let write = flow.write(&text(&tokens, "access_token")).await.status;
        // HubSpot lets access tokens live to their end.
        assert_eq!(write, if provider == Provider::HubSpot { 201 } else { 401 });
        assert_eq!(
            flow.refresh(&text(&other, "refresh_token")).await.status,
            200,
            "another grant lives"
        );
    }
}

#[tokio::test]
async fn revoking_what_is_unknown_is_no_error_at_hubspot_only() {
    for (provider, status) in [(Provider::HubSpot, 200), (Provider::Salesforce, 400)] {
        let flow = Flow::new(provider).await;
        assert_eq!(flow.beside_token("revoke", "nothing").await.status, status);
    }
    let flow = Flow::new(Provider::HubSpot).await;
    let refresh = text(&flow.connect("acme").await, "refresh_token");
    let url = format!("{}/oauth/v1/refresh-tokens/{refresh}", flow.base());
    assert_eq!(finish(http().delete(url)).await.expect("an answer").status, 204);
    assert_eq!(flow.refresh(&refresh).await.status, 400);
}

#[tokio::test]
async fn a_customer_who_revokes_kills_every_grant_of_the_account() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let tokens = flow.connect("acme").await;
        let other = flow.connect("other").await;
        let body = json!({"provider": provider, "account": "acme"});
        flow.sandbox
            .control(Method::POST, "/revoke", &body)
            .await
            .expect("revoked");
        let write = flow.write(&text(&tokens, "access_token")).await;
        assert_eq!(write.status, 401);
        if provider == Provider::HubSpot {
            assert_eq!(write.json()["category"], json!("INVALID_AUTHENTICATION"));
        } else {
            assert_eq!(write.json()[0]["errorCode"], json!("INVALID_SESSION_ID"));
        }
        for dead in [text(&tokens, "refresh_token"), "test-refresh-acme".to_owned()] {
            assert_eq!(flow.refresh(&dead).await.json()["error"], json!("invalid_grant"));
        }
        assert_eq!(flow.write(&text(&other, "access_token")).await.status, 201);
        let again = flow.connect("acme").await;
        assert_eq!(
            flow.write(&text(&again, "access_token")).await.status,
            201,
            "a new consent works"
        );
    }
}
