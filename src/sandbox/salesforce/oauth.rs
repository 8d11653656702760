//! Salesforce's `/services/oauth2/…`: `token`, `revoke`, `introspect`, `userinfo`, and the way to the consent page.

use serde_json::{Value, json};

use super::errors::JSON;
use super::{Account, instance_of, strip_instance};
use crate::sandbox::core::Core;
use crate::sandbox::faults::{FaultKind, Mods, Wanted};
use crate::sandbox::lock;
use crate::sandbox::message::{Provider, Reply, Request, field};
use crate::sandbox::oauth::{self, Credentials};
use crate::sandbox::tokens::{BadCode, Client, Exchange, Issued, Refused, Seen, SeenKind, TokenEvent};

type Answered = (Reply, Vec<TokenEvent>);

const USERINFO: &str = "/services/oauth2/userinfo";

/// Whether a path is one of OAuth's that need no access token.
pub(crate) fn is_oauth(path: &str) -> bool {
    let path = strip_instance(path).1;
    path.starts_with("/services/oauth2/") && path != USERINFO
}

/// Whether a path asks who the token belongs to.
pub(crate) fn is_userinfo(path: &str) -> bool {
    strip_instance(path).1 == USERINFO
}

/// The ledger's and the faults' word for a path below `/services/oauth2`.
pub(super) fn action(rest: &[&str]) -> &'static str {
    match rest {
        ["authorize"] => "authorize",
        ["token"] => "token",
        ["introspect"] => "introspect",
        ["revoke"] => "revoke",
        ["userinfo"] => "read",
        _ => "other",
    }
}

/// Answers a request below `/services/oauth2`; what the journal must keep.
pub(crate) fn answer(core: &Core, request: &Request, mods: &Mods, now_ms: i64) -> Answered {
    let posted = request.method == http::Method::POST;
    match strip_instance(&request.path)
        .1
        .trim_start_matches("/services/oauth2/")
    {
        "authorize" => oauth::authorize(core, Provider::Salesforce, request, mods, now_ms),
        "token" if posted => token(core, request, mods, now_ms),
        "introspect" if posted => (introspect(core, request, now_ms), Vec::new()),
        "revoke" => revoke(core, request),
        "token" | "introspect" => (refused(405, "invalid_request", "must use HTTP POST"), Vec::new()),
        _ => (refused(404, "not_found", "no such endpoint"), Vec::new()),
    }
}

fn refused(status: u16, error: &str, description: &str) -> Reply {
    secret(Reply::json(
        status,
        JSON,
        &json!({"error": error, "error_description": description}),
    ))
}

fn secret(reply: Reply) -> Reply {
    reply.with_header("Cache-Control", "no-cache, no-store")
}

/// The answer to too many token calls.
pub(crate) fn slow_down() -> Reply {
    refused(
        429,
        "temporarily_unavailable",
        "too many requests, retry your request later",
    )
}

fn unknown_client() -> Reply {
    refused(400, "invalid_client_id", "client identifier invalid")
}

fn wrong_secret() -> Reply {
    refused(400, "invalid_client", "invalid client credentials")
}

fn in_form(wanted: &Wanted) -> Reply {
    refused(wanted.status, &wanted.error, &wanted.description)
}

fn token(core: &Core, request: &Request, mods: &Mods, now_ms: i64) -> Answered {
    let form = request.form();
    let nothing = |reply| (reply, Vec::new());
    let client = Credentials::of_form_or_header(request, &form);
    if client.id.is_empty() {
        return nothing(unknown_client());
    }
    if mods.oauth.find(FaultKind::OkEmpty).is_some() {
        return nothing(secret(Reply::json(200, JSON, &json!({}))));
    }
    if let Some(wanted) = mods.oauth.error() {
        return nothing(in_form(&wanted));
    }
    let standing = core
        .tokens
        .client(Provider::Salesforce, &client.id, client.secret.as_deref());
    if standing == Client::WrongSecret {
        return nothing(wrong_secret());
    }
    let terms = mods.oauth.terms();
    let (result, events) = match field(&form, "grant_type") {
        Some("refresh_token") => {
            let refresh = field(&form, "refresh_token").unwrap_or_default();
            let (result, events) =
                core.tokens
                    .refresh(Provider::Salesforce, refresh, &client.id, &terms, now_ms);
            (result.map_err(|why| refused_refresh(why, standing)), events)
        }
        Some("authorization_code") => {
            let ask = Exchange {
                provider: Provider::Salesforce,
                code: field(&form, "code").unwrap_or_default(),
                client_id: &client.id,
                redirect_uri: field(&form, "redirect_uri"),
                verifier: field(&form, "code_verifier").filter(|v| !v.is_empty()),
            };
            let (result, events) = core.tokens.exchange(&ask, &terms, now_ms);
            (result.map_err(|why| refused_code(why, standing)), events)
        }
        _ => return nothing(refused(400, "unsupported_grant_type", "grant type not supported")),
    };
    match result {
        Ok(issued) => (issued_reply(core, &issued, mods, now_ms), events),
        Err(reply) => (reply, events),
    }
}

fn refused_refresh(why: Refused, client: Client) -> Reply {
    match why {
        Refused::OtherClient if client == Client::Unregistered => unknown_client(),
        Refused::InactiveUser => refused(400, "inactive_user", "user is inactive"),
        Refused::StillValid => refused(
            400,
            "access_denied",
            "Rate limit exceeded: access_token not expired",
        ),
        _ => refused(400, "invalid_grant", "expired access/refresh token"),
    }
}

fn refused_code(why: BadCode, client: Client) -> Reply {
    match why {
        BadCode::OtherClient if client == Client::Unregistered => unknown_client(),
        BadCode::Unknown | BadCode::OtherClient => {
            refused(400, "invalid_grant", "invalid authorization code")
        }
        BadCode::Used | BadCode::Expired => refused(400, "invalid_grant", "expired authorization code"),
        BadCode::RedirectUri => refused(
            400,
            "redirect_uri_mismatch",
            "redirect_uri must match configuration",
        ),
        BadCode::Verifier => refused(400, "invalid_grant", "invalid code verifier"),
    }
}

fn issued_reply(core: &Core, issued: &Issued, mods: &Mods, now_ms: i64) -> Reply {
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
    let mut body = json!({
        "access_token": issued.access_token,
        "signature": "c2ln",
        "scope": scope(issued.scopes.as_ref()),
        "instance_url": settings.instance_url.clone().unwrap_or_else(own),
        "id": id_url(&account),
        "token_type": "Bearer",
        "issued_at": now_ms.to_string(),
    });
    let offline = |scopes: &Vec<String>| {
        scopes
            .iter()
            .any(|s| s == "refresh_token" || s == "offline_access")
    };
    if issued.rotated || issued.first && issued.scopes.as_ref().is_none_or(offline) {
        body["refresh_token"] = json!(issued.refresh_token);
    }
    if let Some(seconds) = issued.ends_in {
        body["refresh_token_expires_in"] = json!(seconds);
    }
    mods.oauth.reshape(&mut body, issued);
    secret(Reply::json(200, JSON, &body))
}

fn scope(scopes: Option<&Vec<String>>) -> String {
    scopes.map_or_else(|| "refresh_token api".to_owned(), |s| s.join(" "))
}

fn id_url(account: &Account) -> String {
    let settings = &account.settings;
    format!(
        "https://login.salesforce.com/id/{}/{}",
        settings.org_id, settings.user_id
    )
}

fn introspect(core: &Core, request: &Request, now_ms: i64) -> Reply {
    let form = request.form();
    let client = Credentials::of_form_or_header(request, &form);
    match core
        .tokens
        .client(Provider::Salesforce, &client.id, client.secret.as_deref())
    {
        Client::Known => {}
        Client::WrongSecret => return wrong_secret(),
        Client::Unregistered => return unknown_client(),
    }
    let token = field(&form, "token").unwrap_or_default();
    let ours = |seen: &Seen| seen.client_id.as_ref().is_none_or(|id| *id == client.id);
    let seen = core.tokens.look(Provider::Salesforce, token, now_ms).filter(ours);
    let body = match seen {
        Some(seen) => described(core, &client.id, &seen),
        None => json!({"active": false}),
    };
    secret(Reply::json(200, JSON, &body))
}

fn described(core: &Core, client_id: &str, seen: &Seen) -> Value {
    let kind = match seen.kind {
        SeenKind::Access => "access_token",
        SeenKind::Refresh => "refresh_token",
    };
    let shared = core.salesforce(&seen.account);
    let mut body = json!({
        "active": true,
        "scope": scope(seen.scopes.as_ref()),
        "client_id": client_id,
        "username": format!("admin@{}.example", seen.account),
        "sub": id_url(&lock(&shared)),
        "token_type": kind,
    });
    if let Some(end) = seen.expires_at_ms {
        body["exp"] = json!(end / 1000);
    }
    body
}

/// Revokes by the token in the form or in the query; no client is asked for.
fn revoke(core: &Core, request: &Request) -> Answered {
    let form = request.form();
    let token = field(&form, "token")
        .map(str::to_owned)
        .or_else(|| request.query("token"));
    let events = core
        .tokens
        .revoke(Provider::Salesforce, &token.unwrap_or_default());
    if events.is_empty() {
        return (refused(400, "invalid_token", "invalid token"), events);
    }
    (Reply::empty(200), events)
}

/// Who the token belongs to.
pub(super) fn userinfo(account: &Account) -> Reply {
    let settings = &account.settings;
    let body = json!({
        "sub": id_url(account),
        "user_id": settings.user_id,
        "organization_id": settings.org_id,
        "preferred_username": format!("admin@{}.example", account.name),
        "nickname": "admin",
        "name": format!("Admin of {}", account.name),
        "email": format!("admin@{}.example", account.name),
        "email_verified": true,
        "zoneinfo": "Europe/Vienna",
        "active": true,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
    });
    Reply::json(200, JSON, &body)
}

/// What `userinfo` answers to a token that opens nothing: not a 401 as elsewhere.
pub(crate) fn bad_token() -> Reply {
    Reply::text(403, "text/html;charset=UTF-8", "Bad_OAuth_Token")
}
