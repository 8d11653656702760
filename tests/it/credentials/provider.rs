//! A provider with a token endpoint, on loopback. It keeps what reached it and answers what it is told.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// What reached it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The field of a form.
    pub fn field(&self, name: &str) -> String {
        let mut form = url::form_urlencoded::parse(self.body.as_bytes());
        form.find(|(key, _)| key == name)
            .map_or(String::new(), |(_, value)| value.into_owned())
    }

    fn is_token_request(&self) -> bool {
        self.uri.ends_with("/token")
    }
}

#[derive(Debug, Default)]
pub struct State {
    pub seen: Vec<Seen>,
    /// Tokens that it takes; it takes anything while there are none and `open`.
    pub good: BTreeSet<String>,
    /// Takes every credential.
    pub open: bool,
    /// Answers of the token endpoint before it gives tokens.
    pub token_answers: VecDeque<(u16, Value)>,
    /// Answers to writes before it takes them.
    pub answers: VecDeque<(u16, Value)>,
    /// How long a token takes.
    pub token_delay: Duration,
    made: usize,
}

#[derive(Clone)]
pub struct Provider {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Provider {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let kept = Arc::clone(&state);
        let app = axum::Router::new().fallback(
            move |method: http::Method, uri: http::Uri, headers: HeaderMap, body: String| {
                let seen = Seen {
                    method: method.to_string(),
                    uri: uri.to_string(),
                    headers,
                    body,
                };
                answer(Arc::clone(&kept), seen)
            },
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state }
    }

    /// One that takes every credential.
    pub async fn open() -> Self {
        let provider = Self::start().await;
        provider.state().open = true;
        provider
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Requests for tokens, in order.
    pub fn minted(&self) -> Vec<Seen> {
        let seen = self.state().seen.clone();
        seen.into_iter().filter(Seen::is_token_request).collect()
    }

    /// All other requests, in order.
    pub fn writes(&self) -> Vec<Seen> {
        let seen = self.state().seen.clone();
        seen.into_iter().filter(|seen| !seen.is_token_request()).collect()
    }

    /// Ends every token that it has given.
    pub fn revoke(&self) {
        self.state().good.clear();
    }
}

async fn answer(state: Arc<Mutex<State>>, seen: Seen) -> (StatusCode, axum::Json<Value>) {
    let (is_token_request, delay) = {
        let mut state = state.lock().unwrap();
        state.seen.push(seen.clone());
        (seen.is_token_request(), state.token_delay)
    };
    if is_token_request {
        tokio::time::sleep(delay).await;
    }
    let mut state = state.lock().unwrap();
    let (status, body) = if is_token_request {
        let queued = state.token_answers.pop_front();
        queued.unwrap_or_else(|| {
            state.made += 1;
            let token = format!("t0ken-number-{}", state.made);
            state.good.insert(token.clone());
            (200, json!({"access_token": token, "token_type": "Bearer", "instance_url": "https://acme.my.salesforce.com"}))
        })
    } else {
        let bearer = seen
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        if !state.open && !state.good.contains(&bearer) {
            let error = format!("Session expired or invalid: {bearer}");
            (
                401,
                json!([{"errorCode": "INVALID_SESSION_ID", "message": error}]),
            )
        } else {
            let queued = state.answers.pop_front();
            queued.unwrap_or((
                201,
                json!({"id": "001000000000001AAA", "success": true, "errors": []}),
            ))
        }
    };
    (StatusCode::from_u16(status).unwrap(), axum::Json(body))
}
