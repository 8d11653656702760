//! How a flow can end, each told apart, in words and to the opener.

use amp_write::sandbox::{FaultKind, FaultSpec, Provider};
use serde_json::json;

use super::*;
use crate::harness::on_both_stores;

on_both_stores!(a_callback_counts_once_and_only_in_the_browser_that_set_out,);

/// The page says this, tells the opener, runs nothing but its own script, and needs nothing from elsewhere.
#[track_caller]
fn failed(page: &Answer, words: &str) {
    assert_eq!(page.status, 400, "{}", page.body);
    assert!(page.body.contains(words), "{words}: {}", page.body);
    let told = told(page);
    assert_eq!(told["eventType"], "AUTHORIZATION_FAILED");
    assert!(
        told["data"]["error"]
            .as_str()
            .is_some_and(|error| !error.is_empty()),
        "{told}"
    );
    is_safe(page);
}

#[track_caller]
fn is_safe(page: &Answer) {
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    // It would cut the opener off.
    assert_eq!(page.header("cross-origin-opener-policy"), "");
    assert!(
        !page.body.contains("http://") && !page.body.contains("https://"),
        "{}",
        page.body
    );
}

async fn a_callback_counts_once_and_only_in_the_browser_that_set_out(kind: Kind) {
    let service = service(kind).await;
    let link = link(&service, Provider::HubSpot, GROUP).await;
    let mut browser = Browser::new();
    let back = browser.agree(&service, &link, GROUP, "allow").await;

    // Somebody else with the same state: nothing is exchanged, and the flow goes on.
    let page = Browser::new().open(&service.client, &back).await;
    failed(&page, "another browser");
    assert!(service.sandbox.token_uses().is_empty());
    let none = service.client.get("/connections").await.expect(200).json();
    assert_eq!(none, json!([]));

    let page = browser.open(&service.client, &back).await.expect(200);
    is_safe(&page);
    assert_eq!(service.sandbox.token_uses().len(), 1);
    let page = browser.open(&service.client, &back).await;
    failed(&page, "used already");
    assert_eq!(service.sandbox.token_uses().len(), 1);
    let page = browser.open(&service.client, &link).await;
    failed(&page, "used already");
    let made = service.client.get("/connections").await.expect(200).json();
    assert_eq!(made.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn two_tabs_of_one_browser_both_connect() {
    let service = service(Kind::Sqlite).await;
    let (one, two) = (
        link(&service, Provider::HubSpot, "one").await,
        link(&service, Provider::Salesforce, "two").await,
    );
    let mut browser = Browser::new();
    let first = browser.agree(&service, &one, "acme", "allow").await;
    let second = browser.agree(&service, &two, "acme", "allow").await;
    browser.open(&service.client, &second).await.expect(200);
    browser.open(&service.client, &first).await.expect(200);
}

#[tokio::test]
async fn a_link_that_is_opened_again_goes_on_with_the_last_time() {
    let service = service(Kind::Sqlite).await;
    let link = link(&service, Provider::Salesforce, GROUP).await;
    let mut scanner = Browser::new();
    let stale = scanner.agree(&service, &link, GROUP, "allow").await;
    let mut browser = Browser::new();
    let back = browser.agree(&service, &link, GROUP, "allow").await;
    failed(&scanner.open(&service.client, &stale).await, "not known");
    browser.open(&service.client, &back).await.expect(200);
}

#[tokio::test]
async fn what_is_too_old_or_unknown_is_told_so() {
    let service = service(Kind::Sqlite).await;
    let mut browser = Browser::new();
    for path in [
        "/connect/nothing",
        "/callbacks/v1/oauth",
        "/callbacks/v1/oauth?state=x&code=y",
    ] {
        failed(
            &browser.open(&service.client, &format!("{PUBLIC}{path}")).await,
            "not known",
        );
    }
    let link = link(&service, Provider::HubSpot, GROUP).await;
    let back = browser.agree(&service, &link, GROUP, "allow").await;
    service
        .database
        .execute("UPDATE oauth_flows SET expire_time = create_time")
        .await;
    failed(&browser.open(&service.client, &back).await, "too old");
    failed(&browser.open(&service.client, &link).await, "too old");
    assert!(service.sandbox.token_uses().is_empty());
}

#[tokio::test]
async fn a_customer_who_says_no_is_told_so_and_may_try_again() {
    let service = service(Kind::Sqlite).await;
    for provider in [Provider::HubSpot, Provider::Salesforce] {
        let link = link(&service, provider, GROUP).await;
        let mut browser = Browser::new();
        let back = browser.agree(&service, &link, GROUP, "deny").await;
        failed(&browser.open(&service.client, &back).await, "not allowed");
        connect(&service, provider, GROUP, GROUP).await;
    }
}

/// What a provider says in its redirect, for each cause.
#[tokio::test]
async fn each_cause_has_its_own_words_and_nothing_of_a_provider_gets_into_the_page_as_it_is() {
    let service = service(Kind::Sqlite).await;
    let evil = "<script>alert(1)</script>\"'&";
    for (query, words) in [
        (
            format!("error=server_error&error_description={evil}"),
            "The provider answered",
        ),
        (format!("error={evil}"), "The provider answered"),
        ("error=access_denied".to_owned(), "not allowed"),
        (
            format!("error=invalid_scope&error_description={evil}"),
            "permission",
        ),
        (
            "error=OAUTH_EC_APP_NOT_FOUND&error_description=app".to_owned(),
            "not installed",
        ),
        (
            "error=access_denied&error_description=AADSTS65001: consent".to_owned(),
            "administrator",
        ),
        (
            "error=access_denied&error_description=AADSTS90094: admin".to_owned(),
            "administrator",
        ),
        (
            "error=unauthorized_client&error_description=x".to_owned(),
            "does not accept this app",
        ),
        (String::new(), "without a code"),
    ] {
        let link = link(&service, Provider::HubSpot, GROUP).await;
        let mut browser = Browser::new();
        let out = browser.open(&service.client, &link).await.expect(303);
        let url = url::Url::parse(out.header("location")).unwrap();
        let state = url
            .query_pairs()
            .find(|(name, _)| name == "state")
            .unwrap()
            .1
            .into_owned();
        let query = query
            .replace('<', "%3C")
            .replace('>', "%3E")
            .replace('&', "%26")
            .replace("%26error", "&error");
        let back = format!("{PUBLIC}/callbacks/v1/oauth?state={state}&{query}");
        let page = browser.open(&service.client, &back).await;
        failed(&page, words);
        assert!(!page.body.contains("<script>alert"), "{}", page.body);
    }
    assert!(service.sandbox.token_uses().is_empty());
}

#[tokio::test]
async fn an_administrator_who_approves_connects_nobody() {
    let service = service(Kind::Sqlite).await;
    let fault = FaultSpec::new(FaultKind::AdminConsent).action("authorize");
    service.sandbox.fault(fault).expect("a fault");
    let link = link(&service, Provider::HubSpot, GROUP).await;
    let mut browser = Browser::new();
    let back = browser.agree(&service, &link, GROUP, "allow").await;
    assert!(back.contains("admin_consent=True"), "{back}");
    failed(
        &browser.open(&service.client, &back).await,
        "approved for your organisation",
    );
    // Days later, in another browser.
    let back = format!("{PUBLIC}/callbacks/v1/oauth?admin_consent=True&tenant=x");
    failed(
        &Browser::new().open(&service.client, &back).await,
        "approved for your organisation",
    );
    assert_eq!(
        service.client.get("/connections").await.expect(200).json(),
        json!([])
    );
}

#[tokio::test]
async fn an_app_that_the_provider_does_not_accept_is_not_the_customers_fault() {
    let service = service(Kind::Sqlite).await;
    let fault = FaultSpec::new(FaultKind::InvalidClient).action("token");
    service.sandbox.fault(fault).expect("a fault");
    let link = link(&service, Provider::Salesforce, GROUP).await;
    let mut browser = Browser::new();
    let back = browser.agree(&service, &link, GROUP, "allow").await;
    failed(
        &browser.open(&service.client, &back).await,
        "This is not your fault",
    );
}

#[tokio::test]
async fn an_address_that_is_not_the_providers_is_refused_and_gets_no_token() {
    let service = service(Kind::Sqlite).await;
    let mut fault = FaultSpec::new(FaultKind::HostileInstanceUrl).action("token");
    fault.instance = Some("https://evil.example".to_owned());
    service.sandbox.fault(fault).expect("a fault");
    let link = link(&service, Provider::Salesforce, GROUP).await;
    let mut browser = Browser::new();
    let back = browser.agree(&service, &link, GROUP, "allow").await;
    failed(
        &browser.open(&service.client, &back).await,
        "The provider answered",
    );
    assert_eq!(
        service.client.get("/connections").await.expect(200).json(),
        json!([])
    );
}

#[tokio::test]
async fn a_cookie_is_kept_from_scripts_and_a_link_leads_to_the_provider_alone() {
    let service = service(Kind::Sqlite).await;
    let link = link(&service, Provider::Salesforce, GROUP).await;
    assert!(link.starts_with(&format!("{PUBLIC}/connect/")), "{link}");
    let out = Browser::new().open(&service.client, &link).await.expect(303);
    let cookie = out.header("set-cookie");
    for part in [
        "HttpOnly",
        "SameSite=Lax",
        "Path=/callbacks/v1/oauth",
        "Max-Age=600",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        !cookie.contains("Secure"),
        "this one is not reached encrypted: {cookie}"
    );
    let url = url::Url::parse(out.header("location")).unwrap();
    let pairs: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(pairs["redirect_uri"], format!("{PUBLIC}/callbacks/v1/oauth"));
    assert_eq!(pairs["code_challenge_method"], "S256");
    assert_eq!(pairs["scope"], "api refresh_token");
    assert!(!link.contains(&pairs["state"]));
    let secure = service_with(
        Kind::Sqlite,
        |_| {},
        |tuning| tuning.public_url = Some("https://amp.example/".to_owned()),
    )
    .await;
    let link = super::link(&secure, Provider::Salesforce, GROUP).await;
    let url = link.replace("https://amp.example", &secure.client.url);
    let out = Browser::new().open(&secure.client, &url).await.expect(303);
    assert!(out.header("set-cookie").contains("; Secure"));
}
