//! HubSpot's token endpoints: `/oauth/{v1,v3,2026-03,…}/token`, with `…/introspect` and `…/revoke`, and v1's metadata.

use http::Method;
use serde_json::{Value, json};

use super::errors::JSON;
use super::is_dated;
use crate::sandbox::core::Core;
use crate::sandbox::faults::{FaultKind, Mods, Wanted};
use crate::sandbox::lock;
use crate::sandbox::message::{Provider, Reply, Request, field};
use crate::sandbox::oauth::{self, Credentials};
use crate::sandbox::tokens::{BadCode, Client, Exchange, Issued, Refused, Seen, SeenKind, TokenEvent};

type Answered = (Reply, Vec<TokenEvent>);

/// The user who gives every consent.
const USER: u64 = 77_001;

/// The ledger's and the faults' word for a path below `/oauth`.
pub(super) fn action(words: &[&str]) -> &'static str {
    match words {
        ["oauth", "authorize"] => "authorize",
        ["oauth", _, "token"] => "token",
        ["oauth", _, "token", "introspect"] | ["oauth", _, "access-tokens" | "refresh-tokens", _] => {
            "introspect"
        }
        ["oauth", _, "token", "revoke"] => "revoke",
        _ => "other",
    }
}

/// Answers a request below `/oauth`; what the journal must keep.
pub(crate) fn answer(core: &Core, request: &Request, mods: &Mods, now_ms: i64) -> Answered {
    let segments = request.segments();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let versioned = |version: &str| version == "v3" || is_dated(version);
    match (&request.method, words.as_slice()) {
        (_, ["oauth", "authorize"]) => oauth::authorize(core, Provider::HubSpot, request, mods, now_ms),
        (&Method::POST, ["oauth", version, "token"]) if *version == "v1" || versioned(version) => {
            token(core, request, version, mods, now_ms)
        }
        (&Method::POST, ["oauth", version, "token", "introspect"]) if versioned(version) => {
            (introspect(core, request, now_ms), Vec::new())
        }
        (&Method::POST, ["oauth", version, "token", "revoke"]) if versioned(version) => {
            revoke(core, request, now_ms)
        }
        (&Method::GET, ["oauth", "v1", "access-tokens", token]) => {
            (metadata(core, token, SeenKind::Access, now_ms), Vec::new())
        }
        (&Method::GET, ["oauth", "v1", "refresh-tokens", token]) => {
            (metadata(core, token, SeenKind::Refresh, now_ms), Vec::new())
        }
        (&Method::DELETE, ["oauth", "v1", "refresh-tokens", token]) => {
            (Reply::empty(204), core.tokens.revoke(Provider::HubSpot, token))
        }
        (_, ["oauth", version, "token"] | ["oauth", version, "token", "introspect" | "revoke"])
            if *version == "v1" || versioned(version) =>
        {
            let text = "HTTP 405 Method Not Allowed";
            (refused(405, "invalid_request", "BAD_METHOD", text), Vec::new())
        }
        _ => (
            refused(404, "not_found", "NOT_FOUND", "resource not found"),
            Vec::new(),
        ),
    }
}

fn token(core: &Core, request: &Request, version: &str, mods: &Mods, now_ms: i64) -> Answered {
    let form = request.form();
    let nothing = |reply| (reply, Vec::new());
    for name in ["grant_type", "client_id", "client_secret"] {
        if field(&form, name).is_none_or(str::is_empty) {
            let status = if name == "grant_type" {
                "BAD_GRANT_TYPE"
            } else {
                "BAD_CLIENT_ID"
            };
            let message = format!("missing or unknown {name}");
            return nothing(refused(400, "invalid_request", status, &message));
        }
    }
    if mods.oauth.find(FaultKind::OkEmpty).is_some() {
        return nothing(Reply::json(200, JSON, &json!({})));
    }
    if let Some(wanted) = mods.oauth.error() {
        return nothing(in_form(&wanted));
    }
    let client = Credentials::of_form(&form);
    let standing = core
        .tokens
        .client(Provider::HubSpot, &client.id, client.secret.as_deref());
    if standing == Client::WrongSecret {
        return nothing(wrong_secret());
    }
    let terms = mods.oauth.terms();
    let (result, events) = match field(&form, "grant_type") {
        Some("refresh_token") => {
            let refresh = field(&form, "refresh_token").unwrap_or_default();
            let (result, events) =
                core.tokens
                    .refresh(Provider::HubSpot, refresh, &client.id, &terms, now_ms);
            (result.map_err(|why| refused_refresh(why, standing)), events)
        }
        Some("authorization_code") => {
            let ask = Exchange {
                provider: Provider::HubSpot,
                code: field(&form, "code").unwrap_or_default(),
                client_id: &client.id,
                redirect_uri: field(&form, "redirect_uri"),
                verifier: field(&form, "code_verifier").filter(|v| !v.is_empty()),
            };
            let (result, events) = core.tokens.exchange(&ask, &terms, now_ms);
            (result.map_err(|why| refused_code(why, standing)), events)
        }
        _ => {
            let text = "missing or unknown grant type";
            return nothing(refused(400, "unsupported_grant_type", "BAD_GRANT_TYPE", text));
        }
    };
    match result {
        Ok(issued) => {
            let hub_id = lock(&core.hubspot(&issued.account)).settings.hub_id;
            let mut body = body(version, &issued, hub_id);
            mods.oauth.reshape(&mut body, &issued);
            (Reply::json(200, JSON, &body), events)
        }
        Err(reply) => (reply, events),
    }
}

fn body(version: &str, issued: &Issued, hub_id: u64) -> Value {
    let mut body = if version == "v1" {
        json!({
            "token_type": "bearer",
            "refresh_token": issued.refresh_token,
            "access_token": issued.access_token,
            "expires_in": issued.expires_in,
        })
    } else {
        json!({
            "token_type": "bearer",
            "token_use": "access_token",
            "access_token": issued.access_token,
            "refresh_token": issued.refresh_token,
            "expires_in": issued.expires_in,
            "hub_id": hub_id,
            "user_id": USER,
            "scopes": all_or(issued.scopes.as_ref()),
        })
    };
    if let Some(seconds) = issued.ends_in {
        body["refresh_token_expires_in"] = json!(seconds);
    }
    body
}

fn all_or(scopes: Option<&Vec<String>>) -> Vec<String> {
    let all = || vec!["oauth".to_owned(), "crm.objects.contacts.write".to_owned()];
    scopes.cloned().unwrap_or_else(all)
}

fn refused(status: u16, error: &str, code: &str, message: &str) -> Reply {
    let body = json!({"error": error, "error_description": message, "status": code, "message": message});
    Reply::json(status, JSON, &body)
}

fn in_form(wanted: &Wanted) -> Reply {
    if wanted.error == "invalid_client" {
        return wrong_secret();
    }
    let code = wanted.error.to_ascii_uppercase();
    refused(wanted.status, &wanted.error, &code, &wanted.description)
}

fn wrong_secret() -> Reply {
    refused(
        400,
        "invalid_client",
        "BAD_CLIENT_SECRET",
        "missing or invalid client secret",
    )
}

fn unknown_client() -> Reply {
    refused(
        400,
        "invalid_client",
        "BAD_CLIENT_ID",
        "missing or unknown client id",
    )
}

fn refused_refresh(why: Refused, client: Client) -> Reply {
    match why {
        Refused::OtherClient if client == Client::Unregistered => unknown_client(),
        Refused::StillValid => refused(
            400,
            "access_denied",
            "ACCESS_TOKEN_NOT_EXPIRED",
            "Rate limit exceeded: access_token not expired",
        ),
        _ => refused(
            400,
            "invalid_grant",
            "BAD_REFRESH_TOKEN",
            "refresh token is invalid, expired or revoked",
        ),
    }
}

fn refused_code(why: BadCode, client: Client) -> Reply {
    let (code, text) = match why {
        BadCode::OtherClient if client == Client::Unregistered => return unknown_client(),
        BadCode::Expired => ("EXPIRED_AUTH_CODE", "auth code is expired"),
        BadCode::RedirectUri => (
            "MISMATCH_REDIRECT_URI_AUTH_CODE",
            "the redirect URI is not the one that the auth code was given for",
        ),
        BadCode::Verifier => ("BAD_CODE_VERIFIER", "missing or invalid code verifier"),
        BadCode::Unknown | BadCode::OtherClient | BadCode::Used => {
            ("BAD_AUTH_CODE", "missing or unknown auth code")
        }
    };
    refused(400, "invalid_grant", code, text)
}

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

/// The token, when it is good and belongs to this client (or to none).
fn seen_by(core: &Core, client: &Credentials, token: &str, now_ms: i64) -> Option<Seen> {
    let seen = core.tokens.look(Provider::HubSpot, token, now_ms)?;
    seen.client_id
        .as_ref()
        .is_none_or(|id| *id == client.id)
        .then_some(seen)
}

fn introspect(core: &Core, request: &Request, now_ms: i64) -> Reply {
    let (client, token) = match checked(core, request) {
        Ok(checked) => checked,
        Err(reply) => return reply,
    };
    let body = match seen_by(core, &client, &token, now_ms) {
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

fn revoke(core: &Core, request: &Request, now_ms: i64) -> Answered {
    match checked(core, request) {
        // A token that is unknown, or another app's, is no error (RFC 7009 §2.2).
        Ok((client, token)) => match seen_by(core, &client, &token, now_ms) {
            Some(_) => (Reply::empty(200), core.tokens.revoke(Provider::HubSpot, &token)),
            None => (Reply::empty(200), Vec::new()),
        },
        Err(reply) => (reply, Vec::new()),
    }
}

/// v1's answer about a token.
fn metadata(core: &Core, token: &str, kind: SeenKind, now_ms: i64) -> Reply {
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
