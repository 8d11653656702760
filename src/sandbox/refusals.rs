//! Answers that a fault, or a token that opens nothing, gives in the provider's own form.

use serde_json::{Value, json};

use super::core::Core;
use super::faults::{FaultKind, FaultSpec, Mods};
use super::hubspot::errors::Failure;
use super::lock;
use super::message::{Provider, Reply, Request};
use super::perform::is_oauth;
use super::salesforce::errors::Fault as SalesforceError;
use super::tokens::Access;
use super::{clock, hubspot, salesforce};

/// The page of an edge in trouble: HTML, or for Cloudflare's own statuses a line of text.
fn html(status: u16) -> Reply {
    if status == 503 {
        let page = "<html><head><title>We are down for maintenance.</title></head><body>Sorry for the \
                    inconvenience.</body></html>";
        return Reply::text(503, "text/html", page);
    }
    if (520..=527).contains(&status) {
        return Reply::text(status, "text/plain", format!("error code: {status}"));
    }
    let name = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("Error");
    let page = format!("<html><head><title>{status} {name}</title></head><body>cloudflare</body></html>");
    Reply::text(status, "text/html", page).with_header("Server", "cloudflare")
}

fn with_extras(mut reply: Reply, spec: &FaultSpec) -> Reply {
    if let Some(seconds) = spec.retry_after {
        reply = reply.with_header("Retry-After", seconds.to_string());
    }
    for (name, value) in &spec.headers {
        reply.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        reply = reply.with_header(
            name,
            value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        );
    }
    reply
}

/// The answer of a fault that refuses the request before anything is written.
pub(crate) fn before_commit(
    core: &Core,
    provider: Provider,
    account: Option<&str>,
    request: &Request,
    spec: &FaultSpec,
) -> Option<Reply> {
    let now_ms = core.clock.now_ms();
    match spec.fault {
        FaultKind::RateLimit if provider == Provider::Salesforce && is_oauth(provider, request) => {
            Some(with_extras(salesforce::slow_down(), spec))
        }
        FaultKind::RateLimit => Some(with_extras(rate_limited(core, provider, account, spec), spec)),
        FaultKind::Migrating => {
            let text = spec.message.as_deref().unwrap_or("Migration in progress");
            let reply = plain_hubspot(core, account, Failure::new(477, text));
            let seconds = spec.retry_after.unwrap_or(60).to_string();
            Some(
                with_extras(
                    reply,
                    &FaultSpec {
                        retry_after: None,
                        ..spec.clone()
                    },
                )
                .with_header("Retry-After", seconds),
            )
        }
        FaultKind::ExpireToken => {
            if let (Some(token), Some(account)) = (request.bearer(), account) {
                let event = core.tokens.expire(provider, token, account, now_ms);
                log_failure(core.keep_tokens(vec![event]));
            }
            None
        }
        FaultKind::RevokeGrant => {
            if let Some(account) = account {
                log_failure(core.keep_tokens(core.tokens.revoke_account(
                    provider,
                    account,
                    request.bearer(),
                )));
            }
            None
        }
        FaultKind::ServerError | FaultKind::Error | FaultKind::Answer if !spec.is_after() => {
            answering(core, provider, account, spec)
        }
        _ => None,
    }
}

fn log_failure(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the journal could not be written");
    }
}

/// The answer of a fault that replaces the provider's own one after the write took effect.
pub(crate) fn after_commit(
    core: &Core,
    provider: Provider,
    account: Option<&str>,
    spec: &FaultSpec,
) -> Option<Reply> {
    if spec.is_after() {
        answering(core, provider, account, spec)
    } else {
        None
    }
}

fn answering(core: &Core, provider: Provider, account: Option<&str>, spec: &FaultSpec) -> Option<Reply> {
    let reply = match spec.fault {
        FaultKind::ServerError => {
            let mut reply = html(spec.status.unwrap_or(502));
            if let Some(body) = &spec.body {
                reply.body = body.clone().into_bytes();
            }
            reply
        }
        FaultKind::Answer => {
            let mut reply = Reply::empty(spec.status.unwrap_or(200));
            if let Some(body) = &spec.body {
                reply.body = body.clone().into_bytes();
            }
            reply
        }
        FaultKind::Error => in_form(core, provider, account, spec),
        _ => return None,
    };
    Some(with_extras(reply, spec))
}

/// An error in the provider's own form.
fn in_form(core: &Core, provider: Provider, account: Option<&str>, spec: &FaultSpec) -> Reply {
    let status = spec
        .status
        .unwrap_or(if provider == Provider::HubSpot { 500 } else { 400 });
    let message = spec
        .message
        .clone()
        .unwrap_or_else(|| "internal error".to_owned());
    match provider {
        Provider::HubSpot => {
            let mut failure = Failure::new(status, message);
            if let Some(code) = &spec.code {
                failure = failure.category(code);
            }
            with_limits(core, account, plain_hubspot(core, account, failure))
        }
        Provider::Salesforce => {
            let code = spec
                .code
                .clone()
                .unwrap_or_else(|| "UNKNOWN_EXCEPTION".to_owned());
            let mut error = SalesforceError::new(status, &code, message);
            if let Some(fields) = &spec.fields {
                error = error.fields(fields.clone());
            }
            // The edge in front of the instance knows no limits; the instance tells them with each answer.
            let reply = error.reply();
            if status == 503 {
                reply
            } else {
                salesforce::with_limit_info(core, account, reply)
            }
        }
        Provider::Echo => Reply::json(
            status,
            "application/json",
            &json!({"error": spec.code, "message": message}),
        ),
    }
}

fn context<'a>(core: &'a Core, mods: &'a Mods, account: Option<&str>, now_ms: i64) -> hubspot::Context<'a> {
    // Each draw moves the account's generator on, so that no two answers share an id.
    let rng = match account {
        Some(name) => fastrand::Rng::with_seed(lock(&core.hubspot(name)).rng.u64(..)),
        None => fastrand::Rng::new(),
    };
    hubspot::Context {
        now_ms,
        action: "other",
        mods,
        counter: &core.counter,
        rng,
        changes: Vec::new(),
    }
}

fn plain_hubspot(core: &Core, account: Option<&str>, failure: Failure) -> Reply {
    let mods = Mods::default();
    let mut cx = context(core, &mods, account, core.clock.now_ms());
    failure.reply(&mut cx)
}

fn with_limits(core: &Core, account: Option<&str>, reply: Reply) -> Reply {
    match account {
        Some(name) => hubspot::limit_headers(&lock(&core.hubspot(name)), reply),
        None => reply,
    }
}

fn rate_limited(core: &Core, provider: Provider, account: Option<&str>, spec: &FaultSpec) -> Reply {
    match provider {
        Provider::HubSpot => {
            let policy = spec.policy.as_deref().unwrap_or("TEN_SECONDLY_ROLLING");
            let mods = Mods::default();
            let mut cx = context(core, &mods, account, core.clock.now_ms());
            let reply = hubspot::errors::rate_limited(policy, &mut cx).reply(&mut cx);
            let headed = policy != "SECONDLY";
            match account.filter(|_| headed) {
                Some(name) => hubspot::refused_headers(&lock(&core.hubspot(name)), policy, reply),
                None => reply,
            }
        }
        Provider::Salesforce => {
            let what = match spec.policy.as_deref().unwrap_or("TOTAL_REQUESTS") {
                "CONCURRENT_REQUESTS" => "ConcurrentRequests (Concurrent API Requests)",
                "CONCURRENT_LONG_TXN" => "ConcurrentPerOrgLongTxn",
                _ => "TotalRequests",
            };
            let error =
                SalesforceError::new(403, "REQUEST_LIMIT_EXCEEDED", format!("{what} Limit exceeded."));
            let reply = error.reply();
            if what == "TotalRequests" {
                return salesforce::used_up(core, account, reply);
            }
            salesforce::with_limit_info(core, account, reply)
        }
        Provider::Echo => {
            let status = spec.status.unwrap_or(429);
            Reply::json(status, "application/json", &json!({"error": "rate_limited"}))
        }
    }
}

/// The answer to a token that opens nothing.
pub(crate) fn unauthorized(
    core: &Core,
    provider: Provider,
    access: &Access,
    mods: &Mods,
    now_ms: i64,
) -> Reply {
    match provider {
        Provider::HubSpot => {
            let account = match access {
                Access::Expired { account, .. } => Some(account.as_str()),
                _ => None,
            };
            let mut cx = context(core, mods, account, now_ms);
            hubspot::unauthorized(access, &mut cx)
        }
        Provider::Salesforce => salesforce::unauthorized(),
        Provider::Echo => {
            let body: Value = json!({"error": "unauthorized", "time": clock::iso(now_ms)});
            Reply::json(401, "application/json", &body)
        }
    }
}
