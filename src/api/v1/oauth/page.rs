//! The page at the end of connecting. It tells its opener what happened, closes itself, and says it in words to who still sees
//! it. It needs nothing from elsewhere, and nothing but its own script runs in it.

use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::api::escape;
use crate::control::authorize::{Connected, FlowError};
use crate::vault::sha256;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}\
h1{font-size:1.25rem}p{margin:.75rem 0}small{color:#555}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}small{color:#aaa}}";

/// What the page does: the message stands in its data, so that the script is always the same, and the policy can name it.
const SCRIPT: &str = "(function(){var m=JSON.parse(document.getElementById('m').textContent);\
try{if(window.opener&&!window.opener.closed){window.opener.postMessage(m,'*')}}catch(e){}\
if(m.eventType==='AUTHORIZATION_SUCCEEDED'||window.opener){setTimeout(function(){window.close()},m.eventType==='AUTHORIZATION_SUCCEEDED'?50:4000)}})();";

/// The customer is connected.
pub(super) fn connected(connected: &Connected) -> Response {
    let connection = &connected.connection;
    let account = connected.account.as_ref().map(|account| {
        let name = account.name.as_ref().unwrap_or(&account.id);
        format!(" The account is {name}.")
    });
    let words = format!(
        "{} is connected.{}",
        connection.provider,
        account.unwrap_or_default()
    );
    let message = json!({
        "eventType": "AUTHORIZATION_SUCCEEDED",
        "data": { "connection": connection.id.to_string() },
    });
    let what = "You can close this window and go back to the app.";
    page(StatusCode::OK, "Connected", &words, what, &message)
}

/// Nobody is connected.
pub(super) fn failed(error: FlowError) -> Response {
    match error {
        FlowError::Failed(failure) => {
            let (words, what) = failure.words();
            not_connected(StatusCode::BAD_REQUEST, &words, what)
        }
        FlowError::Server(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a customer could not be connected"
            );
            let words = "Something went wrong on this side, and nobody is connected.";
            not_connected(
                StatusCode::SERVICE_UNAVAILABLE,
                words,
                "Wait a moment, go back to the app and connect again.",
            )
        }
    }
}

/// The request is nothing that a browser sends.
pub(super) fn unusable() -> Response {
    let words = "This request cannot be understood, and nobody is connected.";
    not_connected(
        StatusCode::BAD_REQUEST,
        words,
        "Go back to the app and connect again from there.",
    )
}

fn not_connected(status: StatusCode, words: &str, what: &str) -> Response {
    let error = format!("{words} {what}");
    let message = json!({ "eventType": "AUTHORIZATION_FAILED", "data": { "error": error } });
    page(status, "Not connected", words, what, &message)
}

fn page(status: StatusCode, title: &str, words: &str, what: &str, message: &Value) -> Response {
    // In a script element nothing but `</` and `<!--` can end it.
    let message = message.to_string().replace('<', "\\u003c");
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>{STYLE}</style></head>\
<body><h1>{title}</h1><p>{words}</p><p><small>{what}</small></p>\
<script type=\"application/json\" id=\"m\">{message}</script><script>{SCRIPT}</script></body></html>",
        title = escape(title),
        words = escape(words),
        what = escape(what),
    );
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(sha256(text.as_bytes())));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, html).into_response()
}
