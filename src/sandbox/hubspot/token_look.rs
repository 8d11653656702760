//! Whose a HubSpot token is, and its end: introspection, v1's metadata, revocation.

use serde_json::{Value, json};

use super::errors::JSON;
use super::oauth::{USER, all_or, refused, wrong_secret};
use crate::sandbox::core::Core;
use crate::sandbox::lock;
use crate::sandbox::message::{Provider, Reply, Request, field};
use crate::sandbox::oauth::{Credentials, seen_by};
use crate::sandbox::tokens::{Client, Seen, SeenKind, TokenEvent};

/// The credentials and the token of an introspection or revocation.
fn checked(core: &Core, request: &Request) -> Result<(Credentials, String), Reply> {
    let form = request.form();
    let client = Credentials::of_form(&form);
    if client.id.is_empty() {
        return Err(refused(
            400,
            "invalid_request",
            "BAD_CLIENT_ID",
            "missing or unknown client_id",
        ));
    }
    let standing = core
        .tokens
        .client(Provider::HubSpot, &client.id, client.secret.as_deref());
    if standing == Client::WrongSecret {
        return Err(wrong_secret());
    }
    match field(&form, "token").filter(|t| !t.is_empty()) {
        Some(token) => Ok((client, token.to_owned())),
        None => Err(refused(400, "invalid_request", "BAD_TOKEN", "missing token")),
    }
}

/// Answers `/token/introspect`.
pub(super) fn introspect(core: &Core, request: &Request, now_ms: i64) -> Reply {
    let (client, token) = match checked(core, request) {
        Ok(checked) => checked,
        Err(reply) => return reply,
    };
    let body = match seen_by(core, Provider::HubSpot, &client, &token, now_ms) {
        Some(seen) => {
            let mut body = described(core, &token, &seen, now_ms);
            body["active"] = json!(true);
            body["client_id"] = json!(client.id);
            body
        }
        None => json!({"active": false}),
    };
    Reply::json(200, JSON, &body)
}

/// Answers `/token/revoke`; what the journal must keep.
pub(super) fn revoke(core: &Core, request: &Request, now_ms: i64) -> (Reply, Vec<TokenEvent>) {
    match checked(core, request) {
        // A token that is unknown, or another app's, is no error (RFC 7009 §2.2).
        Ok((client, token)) => match seen_by(core, Provider::HubSpot, &client, &token, now_ms) {
            Some(_) => (Reply::empty(200), core.tokens.revoke(Provider::HubSpot, &token)),
            None => (Reply::empty(200), Vec::new()),
        },
        Err(reply) => (reply, Vec::new()),
    }
}

/// v1's answer about a token.
pub(super) fn metadata(core: &Core, token: &str, kind: SeenKind, now_ms: i64) -> Reply {
    match core.tokens.look(Provider::HubSpot, token, now_ms) {
        Some(seen) if seen.kind == kind => Reply::json(200, JSON, &described(core, token, &seen, now_ms)),
        _ => {
            let text = "The token is unknown, expired or revoked";
            Reply::json(404, JSON, &json!({"status": "error", "message": text}))
        }
    }
}

fn described(core: &Core, token: &str, seen: &Seen, now_ms: i64) -> Value {
    let hub_id = lock(&core.hubspot(&seen.account)).settings.hub_id;
    let mut body = json!({
        "token": token,
        "user": format!("admin@{}.example", seen.account),
        "hub_domain": format!("{}.example", seen.account),
        "hub_id": hub_id,
        "user_id": USER,
        "app_id": 456_789,
        "scopes": all_or(seen.scopes.as_ref()),
    });
    match seen.kind {
        SeenKind::Access => {
            let left = seen
                .expires_at_ms
                .map_or(1800, |end| end.saturating_sub(now_ms) / 1000);
            body["expires_in"] = json!(left);
            body["token_type"] = json!("access");
        }
        SeenKind::Refresh => body["token_type"] = json!("refresh"),
    }
    body
}
