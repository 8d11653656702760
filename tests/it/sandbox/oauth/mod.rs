//! OAuth at the simulated providers: the consent page, token calls, their faults and their ledger.

mod connect_faults;
mod consent;
mod exchange;
mod ledger;
mod refresh_faults;
mod revoke;

use amp_write::sandbox::{App, FaultSpec, Options, Provider, Sandbox};
use http::Method;
use serde_json::{Value, json};

use super::{Answer, Client, finish, http, start};

pub const REDIRECT: &str = "http://127.0.0.1:7777/callbacks/v1/oauth";
/// The pair of RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Both simulators with a consent page.
pub const BOTH: [Provider; 2] = [Provider::HubSpot, Provider::Salesforce];

/// A sandbox, and an app that connects accounts of one provider.
pub struct Flow {
    pub sandbox: Sandbox,
    pub provider: Provider,
    pub client_id: String,
    pub secret: String,
    /// What the authorisation URL has besides client and redirect URI.
    pub asked: Vec<(&'static str, String)>,
}

impl Flow {
    /// A new sandbox and its built-in app.
    pub async fn new(provider: Provider) -> Self {
        let sandbox = start(Options {
            seed: 7,
            ..Options::default()
        })
        .await;
        Self::over(sandbox, provider)
    }

    pub fn over(sandbox: Sandbox, provider: Provider) -> Self {
        let scope = match provider {
            Provider::HubSpot => "oauth crm.objects.contacts.write crm.objects.contacts.read",
            _ => "api refresh_token",
        };
        Self {
            sandbox,
            provider,
            client_id: format!("sandbox-{}", provider.as_str()),
            secret: "sandbox-secret".to_owned(),
            asked: vec![
                ("response_type", "code".to_owned()),
                ("scope", scope.to_owned()),
                ("state", "s-1".to_owned()),
            ],
        }
    }

    /// Registers an app of these settings and goes on as it.
    pub fn app(&mut self, change: impl FnOnce(&mut App)) {
        let mut app: App = serde_json::from_value(json!({
            "provider": self.provider,
            "clientId": "app-1",
            "clientSecret": "secret-1",
            "redirectUris": [REDIRECT],
        }))
        .expect("an app");
        change(&mut app);
        (self.client_id, self.secret) = (app.client_id.clone(), app.client_secret.clone());
        self.sandbox.put_app(app);
    }

    /// Sets (or with `None` takes away) a parameter of the authorisation URL.
    pub fn ask(&mut self, name: &'static str, value: Option<&str>) {
        self.asked.retain(|(n, _)| *n != name);
        self.asked.extend(value.map(|v| (name, v.to_owned())));
    }

    pub fn with_pkce(&mut self) {
        self.ask("code_challenge", Some(CHALLENGE));
        self.ask("code_challenge_method", Some("S256"));
    }

    pub fn base(&self) -> String {
        match self.provider {
            Provider::HubSpot => self.sandbox.hubspot_url(),
            _ => self.sandbox.salesforce_url(),
        }
    }

    pub fn authorize_url(&self) -> String {
        let path = match self.provider {
            Provider::HubSpot => "/oauth/authorize",
            _ => "/services/oauth2/authorize",
        };
        let mut query = vec![("client_id", self.client_id.as_str())];
        if !self.asked.iter().any(|(n, _)| *n == "redirect_uri") {
            query.push(("redirect_uri", REDIRECT));
        }
        query.extend(self.asked.iter().map(|(n, v)| (*n, v.as_str())));
        format!("{}{path}?{}", self.base(), form(&query))
    }

    pub fn token_url(&self) -> String {
        match self.provider {
            Provider::HubSpot => format!("{}/oauth/2026-03/token", self.base()),
            _ => format!("{}/services/oauth2/token", self.base()),
        }
    }

    /// Opens the consent page.
    pub async fn page(&self) -> Answer {
        finish(http().get(self.authorize_url())).await.expect("a page")
    }

    /// Sends the consent page's form.
    pub async fn submit(&self, fields: &[(&str, &str)]) -> Answer {
        post(&self.authorize_url(), fields).await
    }

    /// The redirect URL after consent, by the control API.
    pub async fn consent(&self, account: &str) -> String {
        let body = json!({
            "provider": self.provider,
            "authorizeUrl": self.authorize_url(),
            "account": account,
            "decision": "allow",
        });
        let answer = self
            .sandbox
            .control(Method::POST, "/consent", &body)
            .await
            .expect("a consent");
        answer["redirectUrl"].as_str().expect("a URL").to_owned()
    }

    /// A fresh code of that account.
    pub async fn code(&self, account: &str) -> String {
        parameter(&self.consent(account).await, "code").expect("a code")
    }

    /// Calls the token endpoint, with the client's credentials.
    pub async fn token(&self, fields: &[(&str, &str)]) -> Answer {
        self.try_token(fields).await.expect("an answer")
    }

    pub async fn try_token(&self, fields: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        let mut all = vec![
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.secret.as_str()),
        ];
        all.extend_from_slice(fields);
        Client::new("none").form(&self.token_url(), &form(&all)).await
    }

    pub async fn exchange(&self, code: &str) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
        ])
        .await
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.try_refresh(token).await.expect("an answer")
    }

    pub async fn try_refresh(&self, token: &str) -> Result<Answer, reqwest::Error> {
        self.try_token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    /// Connects an account: its first token answer.
    pub async fn connect(&self, account: &str) -> Value {
        let code = self.code(account).await;
        let answer = self.exchange(&code).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// The status of a write with that access token.
    pub async fn write(&self, access_token: &str) -> Answer {
        let mut client = Client::new("none");
        access_token.clone_into(&mut client.token);
        let (path, body) = match self.provider {
            Provider::HubSpot => (
                "/crm/v3/objects/contacts",
                json!({"properties": {"email": format!("{}@b.co", uuid::Uuid::new_v4())}}),
            ),
            _ => ("/services/data/v60.0/sobjects/Account", json!({"Name": "A"})),
        };
        client
            .post(&format!("{}{path}", self.base()), &body)
            .await
            .expect("an answer")
    }

    pub fn fault(&self, spec: FaultSpec) -> amp_write::sandbox::FaultHandle {
        self.sandbox.fault(spec).expect("a fault")
    }
}

/// Fields as a form has them.
pub fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(n, v)| format!("{n}={}", encoded(v)))
        .collect();
    pairs.join("&")
}

pub async fn post(url: &str, fields: &[(&str, &str)]) -> Answer {
    Client::new("none")
        .form(url, &form(fields))
        .await
        .expect("an answer")
}

/// A parameter of a URL, decoded.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let found = query
        .split('&')
        .filter_map(|p| p.split_once('='))
        .find(|(n, _)| *n == name);
    found.map(|(_, v)| {
        percent_encoding::percent_decode_str(v)
            .decode_utf8_lossy()
            .into_owned()
    })
}

/// Where an answer sends the browser.
pub fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, 302, "{}", answer.text);
    let header = answer.headers.get("location").expect("a location");
    header.to_str().expect("text").to_owned()
}

/// A text of a JSON answer.
pub fn text(value: &Value, key: &str) -> String {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
        .to_owned()
}
