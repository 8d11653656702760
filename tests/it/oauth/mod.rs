//! Connecting customers through OAuth and keeping them connected: from the link that an app hands out to the provider's ledger.

mod callbacks;
mod connect;
mod faults;
mod refresh;

use std::collections::BTreeMap;
use std::time::Duration;

use amp_write::sandbox::{App, Provider, Sandbox, TokenUse};
use amp_write::settings::TuningArgs;
use http::Method;
use serde_json::{Value, json};

use crate::harness::client::Answer;
use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Client, Kind, Service};

/// Where browsers would reach the service: never called, only compared and registered.
pub const PUBLIC: &str = "http://127.0.0.1:7070";
pub const HUBSPOT_SCOPES: [&str; 3] = ["oauth", "crm.objects.contacts.write", "crm.objects.contacts.read"];

/// A service with provider apps for both simulators, and the plain manifest.
pub async fn service(kind: Kind) -> Service {
    service_with(kind, |_| {}, |_| {}).await
}

/// The same, with the app that the sandbox knows and the tuning changed.
pub async fn service_with(kind: Kind, app: impl Fn(&mut App), tune: impl FnOnce(&mut TuningArgs)) -> Service {
    let sandbox = start_sandbox().await;
    for provider in [Provider::HubSpot, Provider::Salesforce] {
        register(&sandbox, provider, &app);
    }
    let mut tuning = TuningArgs {
        public_url: Some(PUBLIC.to_owned()),
        ..tuning(&sandbox)
    };
    tune(&mut tuning);
    let service = Service::with(kind, sandbox, tuning).await;
    service.deploy(PLAIN).await;
    for provider in [Provider::HubSpot, Provider::Salesforce] {
        make_app(&service, provider, "secret-1").await;
    }
    service
}

fn register(sandbox: &Sandbox, provider: Provider, change: &impl Fn(&mut App)) {
    let mut app: App = serde_json::from_value(json!({
        "provider": provider, "clientId": "app-1", "clientSecret": "secret-1",
        "redirectUris": [format!("{PUBLIC}/callbacks/v1/oauth")],
    }))
    .expect("an app");
    change(&mut app);
    sandbox.put_app(app);
}

pub fn scopes_of(provider: Provider) -> Vec<&'static str> {
    match provider {
        Provider::HubSpot => HUBSPOT_SCOPES.to_vec(),
        _ => vec!["api", "refresh_token"],
    }
}

pub async fn make_app(service: &Service, provider: Provider, secret: &str) -> Value {
    let body = json!({"provider": provider.as_str(), "clientId": "app-1", "clientSecret": secret, "scopes": scopes_of(provider)});
    service
        .client
        .post("/provider-apps", body)
        .await
        .expect(201)
        .json()
}

/// A customer's browser: it keeps cookies and follows nothing by itself.
pub struct Browser {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    #[expect(clippy::disallowed_methods, reason = "a test's client plays the browser")]
    pub fn new() -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self {
            http,
            cookies: BTreeMap::new(),
        }
    }

    /// Opens a URL of the service; [`PUBLIC`] is where it really is.
    pub async fn open(&mut self, client: &Client, url: &str) -> Answer {
        let url = url.replace(PUBLIC, &client.url);
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self.http.get(url).header("cookie", cookies.join("; "));
        let answer = client.send(request).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("text");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// Opens a link and agrees as an account; answers where the provider sends the browser.
    pub async fn agree(&mut self, service: &Service, link: &str, account: &str, decision: &str) -> String {
        let out = self.open(&service.client, link).await.expect(303);
        let url = out.header("location").to_owned();
        consent(&service.sandbox, &url, account, decision).await
    }
}

/// What the provider's page does when it is sent off.
pub async fn consent(sandbox: &Sandbox, url: &str, account: &str, decision: &str) -> String {
    let provider = if url.contains("/hubspot/") {
        "hubspot"
    } else {
        "salesforce"
    };
    let body = json!({"provider": provider, "authorizeUrl": url, "account": account, "decision": decision});
    let sent = sandbox
        .control(Method::POST, "/consent", &body)
        .await
        .expect("consent");
    sent["redirectUrl"].as_str().expect("a redirect").to_owned()
}

/// A link for a customer.
pub async fn link(service: &Service, provider: Provider, group: &str) -> String {
    let body = json!({
        "projectIdOrName": service.client.project, "provider": provider.as_str(), "groupRef": group, "consumerRef": "c",
        "providerMetadata": {}, "enableCSRFProtection": false,
    });
    let answer = post_connect(service, body).await.expect(200);
    assert!(
        answer.header("content-type").starts_with("text/plain"),
        "{:?}",
        answer.headers
    );
    answer.body
}

pub async fn post_connect(service: &Service, body: Value) -> Answer {
    let request = service.client.request(Method::POST, "/v1/oauth-connect");
    service
        .client
        .send(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
        .await
}

/// What a page tells its opener.
pub fn told(answer: &Answer) -> Value {
    let (_, rest) = answer.body.split_once("id=\"m\">").expect("a message");
    let (message, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(message).expect("JSON")
}

/// Connects a customer in a browser of its own; answers the id of the connection.
pub async fn connect(service: &Service, provider: Provider, group: &str, account: &str) -> String {
    let link = link(service, provider, group).await;
    connect_with(service, &link, account).await
}

pub async fn connect_with(service: &Service, link: &str, account: &str) -> String {
    let mut browser = Browser::new();
    let back = browser.agree(service, link, account, "allow").await;
    let page = browser.open(&service.client, &back).await.expect(200);
    let told = told(&page);
    assert_eq!(told["eventType"], "AUTHORIZATION_SUCCEEDED", "{told}");
    told["data"]["connection"].as_str().expect("an id").to_owned()
}

/// Connects and installs the customer of most tests.
pub async fn installed(service: &Service, provider: Provider) -> String {
    let id = connect(service, provider, GROUP, GROUP).await;
    install(service, provider).await;
    id
}

pub async fn install(service: &Service, provider: Provider) {
    service
        .install(
            integration(provider),
            GROUP,
            json!({"provider": provider.as_str()}),
        )
        .await;
}

pub fn integration(provider: Provider) -> &'static str {
    match provider {
        Provider::HubSpot => "hs",
        _ => "sf",
    }
}

pub fn object(provider: Provider) -> &'static str {
    match provider {
        Provider::HubSpot => "contacts",
        _ => "contact",
    }
}

/// A record that both simulators take.
pub fn record(provider: Provider, n: usize) -> Value {
    match provider {
        Provider::HubSpot => json!({"email": format!("p{n}@example.com")}),
        _ => json!({"LastName": format!("P{n}")}),
    }
}

pub async fn write(service: &Service, provider: Provider, n: usize) -> Answer {
    let body = json!({"groupRef": GROUP, "type": "create", "record": record(provider, n)});
    service
        .client
        .write(integration(provider), object(provider), body)
        .await
}

pub async fn accept(service: &Service, provider: Provider, n: usize) -> String {
    let body =
        json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": record(provider, n)});
    let answer = service
        .client
        .write(integration(provider), object(provider), body)
        .await
        .expect(200);
    answer.json()["operationId"].as_str().expect("an id").to_owned()
}

/// Refreshes that the provider has seen.
pub fn refreshes(sandbox: &Sandbox) -> Vec<TokenUse> {
    let uses = sandbox.token_uses().into_iter();
    uses.filter(|one| serde_json::to_value(one).expect("JSON")["kind"] == "refresh_token")
        .collect()
}

/// The status of a connection.
pub async fn status(service: &Service, id: &str) -> String {
    let got = service
        .client
        .get(&format!("/connections/{id}"))
        .await
        .expect(200)
        .json();
    got["status"].as_str().expect("a status").to_owned()
}
