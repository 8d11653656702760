//! An app's side of the wire: sends exactly what it is told and keeps all of the answer.

use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use serde_json::Value;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, unread.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    /// Asserts the status, and shows the body when it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Asserts a problem of contract rule 2 with this status, and answers its body.
    #[track_caller]
    pub fn problem(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.body
        );
        let body = self.json();
        for field in ["type", "title", "detail", "time", "requestId", "subsystem"] {
            assert!(body[field].is_string(), "{field} is missing: {body}");
        }
        assert_eq!(body["status"], status);
        assert_eq!(body["subsystem"], "api");
        assert!(body["retryable"].is_boolean());
        assert_eq!(body["requestId"], self.header("x-request-id"));
        body
    }
}

/// A client with a credential.
#[derive(Debug, Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub url: String,
    /// An API key; or `Bearer …`, which goes into `Authorization`; or nothing at all, when empty.
    pub key: String,
    pub project: String,
}

impl Client {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's client plays the app, not the service"
    )]
    pub fn new(url: String, key: String, project: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("a client");
        Self {
            http,
            url,
            key,
            project,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what the service under test answers is small"
    )]
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = String::from_utf8(response.bytes().await?.to_vec()).expect("UTF-8");
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    /// A request with the credential and nothing else; the path is used as it is.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.key.is_empty() {
            request
        } else if self.key.starts_with("Bearer ") {
            request.header("authorization", &self.key)
        } else {
            request.header("x-api-key", &self.key)
        }
    }

    /// The same client with another credential.
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            ..self.clone()
        }
    }

    /// The path of something in the project.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/projects/{}{rest}", self.project)
    }

    pub async fn get(&self, rest: &str) -> Answer {
        self.send(self.request(Method::GET, &self.path(rest))).await
    }

    pub async fn delete(&self, rest: &str) -> Answer {
        self.send(self.request(Method::DELETE, &self.path(rest))).await
    }

    pub async fn call(&self, method: Method, rest: &str, body: impl ToString) -> Answer {
        let request = self
            .request(method, &self.path(rest))
            .header("content-type", "application/json");
        self.send(request.body(body.to_string())).await
    }

    pub async fn post(&self, rest: &str, body: impl ToString) -> Answer {
        self.call(Method::POST, rest, body).await
    }

    pub async fn put(&self, rest: &str, body: impl ToString) -> Answer {
        self.call(Method::PUT, rest, body).await
    }

    pub async fn patch(&self, rest: &str, body: impl ToString) -> Answer {
        self.call(Method::PATCH, rest, body).await
    }

    /// A write.
    pub async fn write(&self, integration: &str, object: &str, body: impl ToString) -> Answer {
        self.post(&format!("/integrations/{integration}/objects/{object}"), body)
            .await
    }

    /// Polls an operation until `done`.
    pub async fn operation_until(&self, id: &str, done: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let operation = self.get(&format!("/operations/{id}")).await.expect(200).json();
            if done(&operation) {
                return operation;
            }
            assert!(started.elapsed() < PATIENCE, "it does not come: {operation}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Polls an operation until it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        self.operation_until(id, |operation| operation["status"] != "in_progress")
            .await
    }
}
