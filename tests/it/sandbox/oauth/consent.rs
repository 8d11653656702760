//! The consent page: what it shows, what it refuses, and where it sends the browser.

use amp_write::sandbox::Provider;
use http::Method;
use serde_json::json;

use super::{BOTH, CHALLENGE, Flow, REDIRECT, location, parameter, text};

#[tokio::test]
async fn the_page_says_who_asks_for_what_and_offers_the_accounts() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        flow.consent("acme").await;
        let page = flow.page().await;
        assert_eq!(page.status, 200);
        let scope = if provider == Provider::HubSpot {
            "crm.objects.contacts.write"
        } else {
            "refresh_token"
        };
        for part in [
            "Sandbox app",
            scope,
            "value=\"acme\"",
            "name=\"new_account\"",
            ">Allow<",
            ">Deny<",
            REDIRECT,
        ] {
            assert!(page.text.contains(part), "{part}: {}", page.text);
        }
        for outside in ["src=", "href=", "<script", "@import"] {
            assert!(!page.text.contains(outside), "{outside}");
        }
        assert_eq!(
            page.headers["content-security-policy"],
            "default-src 'none'; style-src 'unsafe-inline'"
        );
        assert!(!page.headers.contains_key("cross-origin-opener-policy"));
    }
}

#[tokio::test]
async fn allowing_sends_the_browser_back_with_a_code_and_the_state_unchanged() {
    for provider in BOTH {
        let mut flow = Flow::new(provider).await;
        let state = "a+b c=&d%2F\u{fc}.~";
        flow.ask("state", Some(state));
        let url = location(&flow.submit(&[("account", "acme"), ("decision", "allow")]).await);
        assert!(url.starts_with(&format!("{REDIRECT}?code=")), "{url}");
        assert_eq!(parameter(&url, "state").as_deref(), Some(state));
        flow.ask("state", None);
        let url = location(&flow.submit(&[("account", "acme"), ("decision", "allow")]).await);
        assert_eq!(parameter(&url, "state"), None, "no state was given");
    }
}

#[tokio::test]
async fn denying_sends_the_browser_back_with_access_denied() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let url = location(&flow.submit(&[("decision", "deny")]).await);
        assert_eq!(parameter(&url, "error").as_deref(), Some("access_denied"));
        assert!(parameter(&url, "error_description").is_some_and(|d| d.contains("denied")));
        assert_eq!(parameter(&url, "state").as_deref(), Some("s-1"));
        assert_eq!(parameter(&url, "code"), None);
    }
}

#[tokio::test]
async fn a_new_account_is_made_and_has_an_identity_of_its_own() {
    let flow = Flow::new(Provider::HubSpot).await;
    flow.consent("acme").await;
    let fields = [
        ("account", "acme"),
        ("new_account", " northpeak "),
        ("decision", "allow"),
    ];
    let url = location(&flow.submit(&fields).await);
    let tokens = flow
        .exchange(&parameter(&url, "code").expect("a code"))
        .await
        .json();
    let other = flow.connect("acme").await;
    assert_ne!(tokens["hub_id"], other["hub_id"]);
    let health = flow
        .sandbox
        .control(Method::GET, "/health", &json!(null))
        .await
        .expect("health");
    assert_eq!(health["accounts"]["hubspot"], json!(["acme", "northpeak"]));

    let flow = Flow::new(Provider::Salesforce).await;
    assert_ne!(
        flow.connect("acme").await["id"],
        flow.connect("northpeak").await["id"]
    );
}

#[tokio::test]
async fn an_answer_without_account_or_decision_asks_again() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let long = "x".repeat(101);
        for fields in [
            vec![("decision", "allow")],
            vec![("decision", "allow"), ("account", " ")],
            vec![("decision", "allow"), ("new_account", long.as_str())],
            vec![("account", "acme")],
            vec![("account", "acme"), ("decision", "maybe")],
        ] {
            let page = flow.submit(&fields).await;
            assert_eq!(page.status, 400, "{fields:?}");
            assert!(
                page.text.contains("id=\"problem\"") && page.text.contains("<form"),
                "{}",
                page.text
            );
        }
    }
}

#[tokio::test]
async fn an_unknown_client_or_redirect_uri_gets_a_page_and_no_redirect() {
    for provider in BOTH {
        let mut flow = Flow::new(provider).await;
        for uri in [
            "https://127.0.0.1:7777/callbacks/v1/oauth",
            "http://127.0.0.1@evil.example/",
            "http://evil.example/callbacks/v1/oauth",
            "",
        ] {
            flow.ask("redirect_uri", Some(uri));
            for answer in [
                flow.page().await,
                flow.submit(&[("account", "acme"), ("decision", "allow")]).await,
            ] {
                assert_eq!(
                    (answer.status, answer.headers.get("location")),
                    (400, None),
                    "{uri}"
                );
            }
        }
        flow.app(|_| {});
        flow.ask("redirect_uri", Some(&format!("{REDIRECT}/")));
        assert_eq!(flow.page().await.status, 400, "a slash more is another URI");
        flow.ask("redirect_uri", None);
        assert_eq!(flow.page().await.status, 200);
        flow.client_id = "nobody<b>".to_owned();
        let page = flow.page().await;
        assert_eq!((page.status, page.headers.get("location")), (400, None));
        assert!(!page.text.contains("nobody<b>"), "what was given is escaped");
    }
}

#[tokio::test]
async fn hubspot_refuses_scopes_on_its_own_page() {
    let mut flow = Flow::new(Provider::HubSpot).await;
    for scope in ["contacts", "oauth crm.objects.contacts.wirte", ""] {
        flow.ask("scope", Some(scope));
        let page = flow.page().await;
        assert_eq!(
            (page.status, page.headers.get("location")),
            (400, None),
            "{scope}"
        );
    }
    flow.app(|app| {
        app.scopes = vec!["oauth".to_owned(), "crm.objects.contacts.read".to_owned()];
        app.required_scopes = vec!["oauth".to_owned()];
    });
    for (scope, status) in [
        ("oauth", 200),
        ("oauth crm.objects.contacts.read", 200),
        ("crm.objects.contacts.read", 400),
        ("oauth crm.objects.deals.read", 400),
    ] {
        flow.ask("scope", Some(scope));
        assert_eq!(flow.page().await.status, status, "{scope}");
    }
}

#[tokio::test]
async fn an_account_may_lack_optional_scopes_but_no_required_one() {
    let mut flow = Flow::new(Provider::HubSpot).await;
    let lacks = json!({"missing_scopes": ["marketing.campaigns.read"]});
    flow.sandbox
        .control(Method::PATCH, "/accounts/hubspot/small", &lacks)
        .await
        .expect("set");
    flow.ask("optional_scope", Some("marketing.campaigns.read tickets"));
    let tokens = flow.connect("small").await;
    let scopes = [
        "oauth",
        "crm.objects.contacts.write",
        "crm.objects.contacts.read",
        "tickets",
    ];
    assert_eq!(tokens["scopes"], json!(scopes));
    let whole = flow.connect("large").await;
    assert_eq!(whole["scopes"].as_array().map(Vec::len), Some(5));
    flow.ask("scope", Some("oauth marketing.campaigns.read"));
    let page = flow.submit(&[("account", "small"), ("decision", "allow")]).await;
    assert_eq!((page.status, page.headers.get("location")), (403, None));
}

#[tokio::test]
async fn salesforce_tells_the_app_what_is_wrong() {
    let mut flow = Flow::new(Provider::Salesforce).await;
    let error = |url: &str| parameter(url, "error").expect("an error");
    flow.ask("scope", Some("api nothing"));
    let url = location(&flow.page().await);
    assert_eq!(
        (error(&url).as_str(), parameter(&url, "state").as_deref()),
        ("invalid_scope", Some("s-1"))
    );
    flow.ask("scope", None);
    flow.ask("response_type", Some("token"));
    assert_eq!(error(&location(&flow.page().await)), "unsupported_response_type");
    flow.ask("response_type", Some("code"));
    flow.ask("code_challenge", Some(CHALLENGE));
    flow.ask("code_challenge_method", Some("plain"));
    assert_eq!(error(&location(&flow.page().await)), "invalid_request");
}

#[tokio::test]
async fn an_app_that_requires_pkce_gets_no_page_without_it() {
    for provider in BOTH {
        let mut flow = Flow::new(provider).await;
        flow.app(|app| app.require_pkce = true);
        let without = flow.page().await;
        if provider == Provider::HubSpot {
            assert_eq!(without.status, 400);
        } else {
            assert_eq!(
                parameter(&location(&without), "error").as_deref(),
                Some("invalid_request")
            );
        }
        flow.with_pkce();
        assert_eq!(flow.page().await.status, 200);
    }
}

#[tokio::test]
async fn fewer_scopes_can_be_allowed_than_asked_and_none_more() {
    let flow = Flow::new(Provider::HubSpot).await;
    let scopes = "oauth crm.objects.contacts.read crm.objects.deals.write";
    let fields = [("account", "acme"), ("decision", "allow"), ("scopes", scopes)];
    let code = parameter(&location(&flow.submit(&fields).await), "code").expect("a code");
    let tokens = flow.exchange(&code).await.json();
    assert_eq!(tokens["scopes"], json!(["oauth", "crm.objects.contacts.read"]));
    let write = flow.write(&text(&tokens, "access_token")).await;
    assert_eq!(
        (write.status, &write.json()["category"]),
        (403, &json!("MISSING_SCOPES"))
    );
}

#[tokio::test]
async fn the_control_call_answers_for_the_customer() {
    let flow = Flow::new(Provider::HubSpot).await;
    let call = async |url: String, decision: &str| {
        let body = json!({"provider": "hubspot", "authorizeUrl": url, "account": "acme", "decision": decision, "scopes": ["oauth"]});
        flow.sandbox.control(Method::POST, "/consent", &body).await
    };
    let denied = call(flow.authorize_url(), "deny").await.expect("an answer");
    assert_eq!(
        parameter(&text(&denied, "redirectUrl"), "error").as_deref(),
        Some("access_denied")
    );
    // The provider's own address will do as well.
    let real = flow
        .authorize_url()
        .replace(&flow.base(), "https://app.hubspot.com");
    let allowed = call(real, "allow").await.expect("an answer");
    let code = parameter(&text(&allowed, "redirectUrl"), "code").expect("a code");
    assert_eq!(flow.exchange(&code).await.json()["scopes"], json!(["oauth"]));
    let refused = call(
        flow.authorize_url().replace("sandbox%2Dhubspot", "nobody"),
        "allow",
    )
    .await;
    let refused = refused.expect_err("no redirect");
    assert_eq!(refused.status, 400);
    assert!(refused.message.contains("'nobody'"), "{refused}");
    assert!(
        call("http://127.0.0.1/elsewhere?x=1".to_owned(), "allow")
            .await
            .is_err()
    );
    assert!(call(flow.authorize_url(), "maybe").await.is_err());
}
