//! The sandbox over real HTTP on loopback.

mod arrange;
mod audit;
mod command;
mod compare;
mod faults;
mod honest;
mod oauth;
mod provider;
mod recorded;
mod scenarios;
mod state;

use amp_write::sandbox::{self, Options, Sandbox};
use serde_json::Value;

/// A sandbox on a free port.
pub async fn start(options: Options) -> Sandbox {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    sandbox::start(listener, options).expect("the sandbox starts")
}

/// An answer read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The JSON body, null when there is none.
    pub fn json_or_null(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text))
    }
}

/// The one place where tests make an HTTP client: plain HTTP, and redirects are answers like others.
///
/// One for all tests, since making one reads the machine's certificates. It keeps no connections, as each
/// belongs to the runtime of one test.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's client plays the program under test"
)]
pub fn http() -> reqwest::Client {
    static CLIENT: std::sync::OnceLock<reqwest::Client> = std::sync::OnceLock::new();
    let make = || {
        // An error says that the way of doing TLS is chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        client
            .no_proxy()
            .timeout(std::time::Duration::from_secs(60))
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client")
    };
    CLIENT.get_or_init(make).clone()
}

/// A client of one account of a sandbox.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    pub token: String,
}

impl Client {
    pub fn new(account: &str) -> Self {
        Self {
            http: http(),
            token: format!("test-{account}"),
        }
    }

    /// Sends JSON; `Err` when no (whole) answer came.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        finish(request).await
    }

    pub async fn post(&self, url: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        self.send("POST", url, Some(body)).await
    }

    pub async fn get(&self, url: &str) -> Result<Answer, reqwest::Error> {
        self.send("GET", url, None).await
    }

    pub async fn form(&self, url: &str, form: &str) -> Result<Answer, reqwest::Error> {
        let request = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded");
        finish(request.body(form.to_owned())).await
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test reads what its own sandbox sends"
)]
pub async fn finish(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer {
        status,
        headers,
        text: response.text().await?,
    })
}

/// The URL of new contacts at HubSpot.
pub fn contacts(sandbox: &Sandbox) -> String {
    format!("{}/crm/v3/objects/contacts", sandbox.hubspot_url())
}

/// The URL of an object at Salesforce.
pub fn sobject(sandbox: &Sandbox, path: &str) -> String {
    format!("{}/services/data/v60.0/sobjects/{path}", sandbox.salesforce_url())
}
