//! HubSpot's paths below `/oauth`, and its token endpoints `/oauth/{v1,v3,2026-03,…}/token`.

use http::Method;
use serde_json::{Value, json};

use super::errors::JSON;
use super::{is_dated, token_look};
use crate::sandbox::core::Core;
use crate::sandbox::faults::Mods;
use crate::sandbox::lock;
use crate::sandbox::message::{Provider, Reply, Request, field};
use crate::sandbox::oauth::{self, Credentials, Denied};
use crate::sandbox::tokens::{BadCode, Issued, Refused, SeenKind, TokenEvent};

type Answered = (Reply, Vec<TokenEvent>);

/// The user who gives every consent.
pub(super) const USER: u64 = 77_001;

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
            (token_look::introspect(core, request, now_ms), Vec::new())
        }
        (&Method::POST, ["oauth", version, "token", "revoke"]) if versioned(version) => {
            token_look::revoke(core, request, now_ms)
        }
        (&Method::GET, ["oauth", "v1", "access-tokens", token]) => (
            token_look::metadata(core, token, SeenKind::Access, now_ms),
            Vec::new(),
        ),
        (&Method::GET, ["oauth", "v1", "refresh-tokens", token]) => (
            token_look::metadata(core, token, SeenKind::Refresh, now_ms),
            Vec::new(),
        ),
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
    let client = Credentials::of_form(&form);
    match oauth::token(core, Provider::HubSpot, &client, &form, mods, now_ms) {
        (Ok(issued), events) => {
            let hub_id = lock(&core.hubspot(&issued.account)).settings.hub_id;
            let mut body = body(version, &issued, hub_id);
            mods.oauth.reshape(&mut body, &issued);
            (Reply::json(200, JSON, &body), events)
        }
        (Err(why), events) => (denied(why), events),
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

pub(super) fn all_or(scopes: Option<&Vec<String>>) -> Vec<String> {
    let all = || vec!["oauth".to_owned(), "crm.objects.contacts.write".to_owned()];
    scopes.cloned().unwrap_or_else(all)
}

pub(super) fn refused(status: u16, error: &str, code: &str, message: &str) -> Reply {
    let body = json!({"error": error, "error_description": message, "status": code, "message": message});
    Reply::json(status, JSON, &body)
}

pub(super) fn wrong_secret() -> Reply {
    refused(
        400,
        "invalid_client",
        "BAD_CLIENT_SECRET",
        "missing or invalid client secret",
    )
}

fn denied(why: Denied) -> Reply {
    let (error, code, text) = match why {
        Denied::Empty => return Reply::json(200, JSON, &json!({})),
        Denied::Wanted(wanted) if wanted.error == "invalid_client" => return wrong_secret(),
        Denied::Wanted(wanted) => {
            let code = wanted.error.to_ascii_uppercase();
            return refused(wanted.status, &wanted.error, &code, &wanted.description);
        }
        Denied::WrongSecret => return wrong_secret(),
        Denied::UnknownClient => ("invalid_client", "BAD_CLIENT_ID", "missing or unknown client id"),
        Denied::GrantType => (
            "unsupported_grant_type",
            "BAD_GRANT_TYPE",
            "missing or unknown grant type",
        ),
        Denied::Refresh(Refused::StillValid) => (
            "access_denied",
            "ACCESS_TOKEN_NOT_EXPIRED",
            "Rate limit exceeded: access_token not expired",
        ),
        Denied::Refresh(_) => (
            "invalid_grant",
            "BAD_REFRESH_TOKEN",
            "refresh token is invalid, expired or revoked",
        ),
        Denied::Code(BadCode::Expired) => ("invalid_grant", "EXPIRED_AUTH_CODE", "auth code is expired"),
        Denied::Code(BadCode::RedirectUri) => (
            "invalid_grant",
            "MISMATCH_REDIRECT_URI_AUTH_CODE",
            "the redirect URI is not the one that the auth code was given for",
        ),
        Denied::Code(BadCode::Verifier) => (
            "invalid_grant",
            "BAD_CODE_VERIFIER",
            "missing or invalid code verifier",
        ),
        Denied::Code(BadCode::Unknown | BadCode::OtherClient | BadCode::Used) => {
            ("invalid_grant", "BAD_AUTH_CODE", "missing or unknown auth code")
        }
    };
    refused(400, error, code, text)
}
