//! Salesforce's token endpoint, `/services/oauth2/token`.

use serde_json::json;

use super::errors::JSON;
use super::{instance_of, strip_instance};
use crate::sandbox::core::Core;
use crate::sandbox::faults::Mods;
use crate::sandbox::lock;
use crate::sandbox::message::{Provider, Reply, Request, field};
use crate::sandbox::tokens::{GrantState, TokenEvent};

/// Whether a path is the token endpoint's (or another one of OAuth).
pub(crate) fn is_token_path(path: &str) -> bool {
    strip_instance(path).1.starts_with("/services/oauth2/")
}

fn refused(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(
        status,
        JSON,
        &json!({"error": error, "error_description": description}),
    )
    .with_header("Cache-Control", "no-cache, no-store")
}

/// Answers a token request; what the journal must keep.
pub(crate) fn token(core: &Core, request: &Request, mods: &Mods, now_ms: i64) -> (Reply, Vec<TokenEvent>) {
    let path = strip_instance(&request.path).1;
    if path != "/services/oauth2/token" {
        return (refused(404, "not_found", "no such endpoint"), Vec::new());
    }
    if request.method != http::Method::POST {
        return (refused(405, "invalid_request", "must use HTTP POST"), Vec::new());
    }
    let form = request.form();
    let tokens = &core.tokens;
    if field(&form, "client_id").is_none_or(str::is_empty) {
        return (
            refused(400, "invalid_client_id", "client identifier invalid"),
            Vec::new(),
        );
    }
    let (refresh, first) = match field(&form, "grant_type") {
        Some("refresh_token") => (
            field(&form, "refresh_token").unwrap_or_default().to_owned(),
            false,
        ),
        Some("authorization_code") => {
            let code = field(&form, "code").unwrap_or_default();
            match tokens.exchange_code(Provider::Salesforce, code) {
                Some(refresh) => (refresh, true),
                None => {
                    return (
                        refused(400, "invalid_grant", "invalid authorization code"),
                        Vec::new(),
                    );
                }
            }
        }
        _ => {
            return (
                refused(400, "unsupported_grant_type", "grant type not supported"),
                Vec::new(),
            );
        }
    };
    let (result, events) = tokens.refresh(Provider::Salesforce, &refresh, mods.rotate(), now_ms);
    let issued = match result {
        Ok(issued) => issued,
        Err(GrantState::InactiveUser) => return (refused(400, "inactive_user", "user is inactive"), events),
        Err(_) => {
            return (
                refused(400, "invalid_grant", "expired access/refresh token"),
                events,
            );
        }
    };
    let shared = core.salesforce(&issued.account);
    let mut account = lock(&shared);
    if let Some(moved) = mods.instance() {
        if moved.starts_with("http://") || moved.starts_with("https://") {
            account.settings.instance_url = Some(moved.to_owned());
        } else {
            account.settings.instance = Some(moved.to_owned());
            account.settings.instance_url = None;
        }
        account.keep_meta();
        if let Err(error) = core.keep(&account.take_dirty()) {
            tracing::error!(%error, "the journal could not be written");
        }
    }
    let settings = &account.settings;
    let own = || format!("{}/salesforce{}", core.url, instance_of(settings));
    let scopes = issued
        .scopes
        .as_ref()
        .map_or_else(|| "refresh_token api".to_owned(), |s| s.join(" "));
    let mut body = json!({
        "access_token": issued.access_token,
        "signature": "c2ln",
        "scope": scopes,
        "instance_url": settings.instance_url.clone().unwrap_or_else(own),
        "id": format!("https://login.salesforce.com/id/{}/{}", settings.org_id, settings.user_id),
        "token_type": "Bearer",
        "issued_at": now_ms.to_string(),
    });
    if issued.rotated || first {
        body["refresh_token"] = json!(issued.refresh_token);
    }
    let reply = Reply::json(200, JSON, &body).with_header("Cache-Control", "no-cache, no-store");
    (reply, events)
}
