//! HubSpot's token endpoints: `/oauth/v1/token`, `/oauth/v3/token` and `/oauth/2026-03/token`.

use serde_json::{Value, json};

use super::errors::JSON;
use super::is_dated;
use crate::sandbox::message::{Provider, Reply, Request, field};
use crate::sandbox::tokens::{Issued, TokenEvent, Tokens};

/// Answers a token request; what the journal must keep.
pub(crate) fn token(
    tokens: &Tokens,
    request: &Request,
    rotate: bool,
    hub_id: impl Fn(&str) -> u64,
    now_ms: i64,
) -> (Reply, Vec<TokenEvent>) {
    let segments = request.segments();
    let version = match segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["oauth", version, "token"] if *version == "v1" || *version == "v3" || is_dated(version) => {
            (*version).to_owned()
        }
        _ => {
            return (
                refused(404, "not_found", "NOT_FOUND", "resource not found"),
                Vec::new(),
            );
        }
    };
    if request.method != http::Method::POST {
        return (
            refused(
                405,
                "invalid_request",
                "BAD_METHOD",
                "HTTP 405 Method Not Allowed",
            ),
            Vec::new(),
        );
    }
    let form = request.form();
    for name in ["grant_type", "client_id", "client_secret"] {
        if field(&form, name).is_none_or(str::is_empty) {
            let status = if name == "grant_type" {
                "BAD_GRANT_TYPE"
            } else {
                "BAD_CLIENT_ID"
            };
            let message = format!("missing or unknown {name}");
            return (refused(400, "invalid_request", status, &message), Vec::new());
        }
    }
    let refresh = match field(&form, "grant_type") {
        Some("refresh_token") => field(&form, "refresh_token").map(str::to_owned),
        Some("authorization_code") => {
            let code = field(&form, "code").unwrap_or_default();
            let refresh = tokens.exchange_code(Provider::HubSpot, code);
            if refresh.is_none() {
                let text = "missing or unknown auth code";
                return (refused(400, "invalid_grant", "BAD_AUTH_CODE", text), Vec::new());
            }
            refresh
        }
        _ => {
            let text = "missing or unknown grant type";
            return (
                refused(400, "unsupported_grant_type", "BAD_GRANT_TYPE", text),
                Vec::new(),
            );
        }
    };
    let (result, events) = tokens.refresh(Provider::HubSpot, &refresh.unwrap_or_default(), rotate, now_ms);
    let reply = match result {
        Ok(issued) => Reply::json(200, JSON, &answer(&version, &issued, hub_id(&issued.account))),
        Err(_) => {
            let text = "refresh token is invalid, expired or revoked";
            refused(400, "invalid_grant", "BAD_REFRESH_TOKEN", text)
        }
    };
    (reply, events)
}

fn answer(version: &str, issued: &Issued, hub_id: u64) -> Value {
    if version == "v1" {
        return json!({
            "token_type": "bearer",
            "refresh_token": issued.refresh_token,
            "access_token": issued.access_token,
            "expires_in": issued.expires_in,
        });
    }
    let all = || vec!["oauth".to_owned(), "crm.objects.contacts.write".to_owned()];
    json!({
        "token_type": "bearer",
        "token_use": "access_token",
        "access_token": issued.access_token,
        "refresh_token": issued.refresh_token,
        "expires_in": issued.expires_in,
        "hub_id": hub_id,
        "user_id": 77001,
        "scopes": issued.scopes.clone().unwrap_or_else(all),
    })
}

fn refused(status: u16, error: &str, code: &str, message: &str) -> Reply {
    let body = json!({"error": error, "error_description": message, "status": code, "message": message});
    Reply::json(status, JSON, &body)
}
