//! The faults of the consent page and of the first token answer.

use amp_write::sandbox::{FaultKind, FaultSpec, Provider, token_faults};
use http::Method;
use serde_json::{Value, json};

use super::{BOTH, Flow, REDIRECT, location, parameter, text};

const ALLOW: [(&str, &str); 2] = [("account", "acme"), ("decision", "allow")];

#[tokio::test]
async fn the_catalogue_has_the_24_faults_and_each_goes_through_json() {
    let all = token_faults();
    assert_eq!(all.len(), 24);
    let flow = Flow::new(Provider::HubSpot).await;
    for (name, spec) in all {
        let body = serde_json::to_value(&spec).expect("JSON");
        let shown = flow.sandbox.control(Method::POST, "/faults", &body).await;
        let shown = shown.unwrap_or_else(|e| panic!("{name}: {e}"));
        let back: FaultSpec = serde_json::from_value(shown["fault"].clone()).expect("a fault");
        assert_eq!(back, spec, "{name}");
        assert!(
            matches!(spec.when.action.as_deref(), Some("token" | "authorize")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn each_fault_of_the_catalogue_acts_and_is_named_in_the_ledger() {
    for provider in BOTH {
        for (name, mut spec) in token_faults() {
            if spec.fault == FaultKind::Delay {
                spec.delay_ms = Some(20);
            }
            let flow = Flow::new(provider).await;
            let page = spec.when.action.as_deref() == Some("authorize");
            let kind = spec.fault.name();
            let refresh = text(&flow.connect("acme").await, "refresh_token");
            let fault = flow.fault(spec.once());
            if page {
                flow.submit(&ALLOW).await;
            } else {
                let _ = flow.try_refresh(&refresh).await;
            }
            assert_eq!(fault.hits(), 1, "{name}");
            assert_eq!(flow.sandbox.ledger().pop().expect("an entry").faults, [kind]);
        }
    }
}

#[tokio::test]
async fn admin_consent_comes_back_without_a_code() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        flow.fault(FaultSpec::new(FaultKind::AdminConsent).action("authorize"));
        let url = location(&flow.submit(&ALLOW).await);
        assert_eq!(
            url,
            format!("{REDIRECT}?admin_consent=True&tenant=acme&state=s-1")
        );
    }
}

#[tokio::test]
async fn isolate_consent_page_cuts_the_opener() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        flow.fault(FaultSpec::new(FaultKind::IsolateConsentPage).action("authorize"));
        for answer in [flow.page().await, flow.submit(&ALLOW).await] {
            assert_eq!(answer.headers["cross-origin-opener-policy"], "same-origin");
        }
        let code = flow.code("acme").await;
        assert_eq!(flow.exchange(&code).await.status, 200, "else nothing changes");
    }
}

#[tokio::test]
async fn other_account_gives_tokens_of_another_one() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let own = flow.connect("acme").await;
        let fault = flow.fault(FaultSpec::new(FaultKind::OtherAccount).action("authorize"));
        let other = flow.connect("acme").await;
        fault.remove();
        let named = flow.connect("acme-other").await;
        let identity = |tokens: &Value| {
            let key = if provider == Provider::HubSpot {
                "hub_id"
            } else {
                "id"
            };
            tokens[key].clone()
        };
        assert_ne!(identity(&own), identity(&other));
        assert_eq!(identity(&other), identity(&named));
        flow.fault(FaultSpec {
            instead: Some("third".to_owned()),
            ..FaultSpec::new(FaultKind::OtherAccount).action("authorize").once()
        });
        let third = flow.connect("acme").await;
        assert_eq!(flow.write(&text(&third, "access_token")).await.status, 201);
        let written = flow.sandbox.ledger().pop().expect("an entry");
        assert_eq!(written.account.as_deref(), Some("third"));
    }
}

#[tokio::test]
async fn app_not_installed_is_told_after_login_and_at_refresh() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let refresh = text(&flow.connect("acme").await, "refresh_token");
        let fault = flow.fault(FaultSpec::new(FaultKind::AppNotInstalled));
        let url = location(&flow.submit(&ALLOW).await);
        assert_eq!(
            parameter(&url, "error").as_deref(),
            Some("OAUTH_EC_APP_NOT_FOUND")
        );
        assert_eq!(
            (parameter(&url, "state").as_deref(), parameter(&url, "code")),
            (Some("s-1"), None)
        );
        let answer = flow.refresh(&refresh).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!("app_not_found"))
        );
        fault.remove();
        assert_eq!(
            flow.refresh(&refresh).await.status,
            200,
            "installed, it works again"
        );
    }
}

#[tokio::test]
async fn hostile_instance_url_is_told_and_changes_nothing_else() {
    let flow = Flow::new(Provider::Salesforce).await;
    let fault = flow.fault(FaultSpec::new(FaultKind::HostileInstanceUrl).action("token"));
    let tokens = flow.connect("acme").await;
    assert_eq!(tokens["instance_url"], json!("https://evil.example"));
    assert_eq!(flow.write(&text(&tokens, "access_token")).await.status, 201);
    fault.remove();
    let again = flow.refresh(&text(&tokens, "refresh_token")).await.json();
    assert_eq!(again["instance_url"], json!(flow.base()));
}

#[tokio::test]
async fn long_token_is_16_kib_and_opens_the_api() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        flow.fault(FaultSpec::new(FaultKind::LongToken).action("token"));
        let access = text(&flow.connect("acme").await, "access_token");
        assert_eq!(access.len(), 16 * 1024);
        assert_eq!(flow.write(&access).await.status, 201);
    }
}

#[tokio::test]
async fn faults_of_tokens_leave_writes_alone() {
    for provider in BOTH {
        let flow = Flow::new(provider).await;
        let access = text(&flow.connect("acme").await, "access_token");
        for (_, spec) in token_faults() {
            if !matches!(
                spec.fault,
                FaultKind::Delay | FaultKind::RateLimit | FaultKind::ServerError
            ) {
                flow.fault(FaultSpec {
                    when: amp_write::sandbox::Matcher::default(),
                    ..spec
                });
            }
        }
        assert_eq!(flow.write(&access).await.status, 201);
    }
}
