//! The Salesforce simulator: sObjects, upserts, collections, describe, query, limits and OAuth.
//!
//! Behaviour follows Salesforce's documentation and recorded answers; where neither settles a text, the
//! simulator keeps to one form so that tests stay stable.

mod account;
mod asked;
mod changes;
mod check;
mod collections;
mod control;
mod duplicates;
pub(crate) mod errors;
mod ids;
mod oauth;
mod query;
mod records;
mod schema;
mod settings;
mod sobjects;
mod soql;

use std::sync::Arc;

use serde_json::{Map, Value, json};

pub(crate) use account::Account;
pub(crate) use control::control;
pub(crate) use ids::org_id;
pub(crate) use oauth::{answer as oauth, bad_token, is_oauth, is_userinfo, slow_down};
pub use schema::{Field, Object};
pub use settings::{DuplicateRule, SalesforceSettings, Trigger, ValidationRule};

use self::errors::{Fault, JSON};
use super::core::Core;
use super::faults::Mods;
use super::hubspot::Place;
use super::ledger::{Change, ChangeCounter, ChangeKind};
use super::lock;
use super::message::{self, Reply, Request};

/// What a handler needs beside the account and the request.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub now_ms: i64,
    pub mods: &'a Mods,
    pub counter: &'a ChangeCounter,
    pub changes: Vec<Change>,
}

impl Context<'_> {
    fn changed(&mut self, kind: ChangeKind, object: &str, id: &str, values: Map<String, Value>) {
        let order = self.counter.next();
        self.changes.push(Change {
            order,
            kind,
            object: object.to_owned(),
            id: id.to_owned(),
            values,
        });
    }
}

/// What the path and the headers of a call say for all its records.
#[derive(Debug)]
struct Call<'a> {
    /// `v60.0`.
    version: &'a str,
    /// 60.
    number: u32,
    duplicates: records::Duplicates,
    /// Whether assignment rules act (`Sforce-Auto-Assign` is not `FALSE`).
    auto_assign: bool,
}

type Outcome = Result<Reply, Fault>;

/// `~name` in `/~name/services/…`, and the rest of the path.
fn strip_instance(path: &str) -> (Option<&str>, &str) {
    match path.strip_prefix("/~") {
        Some(rest) => match rest.find('/') {
            Some(at) => (Some(&rest[..at]), &rest[at..]),
            None => (Some(rest), "/"),
        },
        None => (None, path),
    }
}

/// What an org's own address has after `/salesforce`.
fn instance_of(settings: &SalesforceSettings) -> String {
    settings
        .instance
        .as_ref()
        .map(|i| format!("/~{i}"))
        .unwrap_or_default()
}

/// The method that counts: `POST …?_HttpMethod=PATCH` is a PATCH.
fn method_of(request: &Request) -> String {
    match request.query("_HttpMethod") {
        Some(method) if request.method == http::Method::POST => method.to_ascii_uppercase(),
        _ => request.method.as_str().to_owned(),
    }
}

/// The path's segments, without the instance.
fn segments(request: &Request) -> Vec<String> {
    message::segments(strip_instance(&request.path).1)
}

/// Names the object and the action of a request, for faults.
pub(crate) fn place(request: &Request) -> Place {
    let segments = segments(request);
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = method_of(request);
    let first_type = || {
        let body: Value = serde_json::from_slice(&request.body).ok()?;
        body.pointer("/records/0/attributes/type")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let by_method = |method: &str| match method {
        "POST" => "create",
        "PATCH" => "update",
        "DELETE" => "delete",
        _ => "read",
    };
    let (object, action) = match words.as_slice() {
        ["services", "oauth2", rest @ ..] => (None, oauth::action(rest)),
        ["services", "data", _, "sobjects", name, "describe"] => (Some((*name).to_owned()), "read"),
        ["services", "data", _, "sobjects", name, _, _] if method == "PATCH" => {
            (Some((*name).to_owned()), "upsert")
        }
        ["services", "data", _, "sobjects", name, ..] => (Some((*name).to_owned()), by_method(&method)),
        ["services", "data", _, "composite", "sobjects"] => (first_type(), by_method(&method)),
        ["services", "data", _, "composite", "sobjects", name] => (Some((*name).to_owned()), "read"),
        ["services", "data", _, "composite", "sobjects", name, _] => (Some((*name).to_owned()), "upsert"),
        ["services", "data", _, "query" | "queryAll", ..] => (None, "search"),
        _ => (None, "other"),
    };
    Place { object, action }
}

/// Answers one request of an org.
pub(crate) fn handle(
    account: &mut Account,
    request: &Request,
    scopes: Option<&[String]>,
    mut cx: Context<'_>,
) -> Reply {
    let (instance, _) = strip_instance(&request.path);
    if account.settings.instance.as_deref() != instance {
        // The org has moved: the edge of its old home answers.
        return Reply::empty(420);
    }
    if is_userinfo(&request.path) {
        return oauth::userinfo(account);
    }
    if scopes.is_some_and(|s| !s.iter().any(|s| s == "api" || s == "full")) {
        let message = "This session is not valid for use with the REST API";
        return Fault::new(401, "INVALID_SESSION_ID", message).reply();
    }
    if account.settings.api_disabled {
        let message = "API is not enabled for this Organization or Partner";
        let reply = Fault::new(403, "API_DISABLED_FOR_ORG", message).reply();
        count(account, cx.now_ms);
        return limit_info(account, reply);
    }
    if !count(account, cx.now_ms) {
        let reply = Fault::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").reply();
        return limit_info(account, reply);
    }
    let reply = match route(account, request, &mut cx) {
        Ok(reply) => reply,
        Err(fault) => fault.reply(),
    };
    limit_info(account, reply).with_changes(cx.changes)
}

/// Counts a call of the day; false when the enforced limit is used up.
fn count(account: &mut Account, now_ms: i64) -> bool {
    let day = now_ms.div_euclid(86_400_000);
    if account.used.0 != day {
        account.used = (day, 0);
    }
    if account.settings.enforce_limits && account.used.1 >= account.settings.daily {
        return false;
    }
    account.used.1 += 1;
    true
}

fn limit_info(account: &Account, reply: Reply) -> Reply {
    let usage = format!("api-usage={}/{}", account.used.1, account.settings.daily);
    reply.with_header("Sforce-Limit-Info", usage)
}

/// Counts a call that a fault answers, and tells the usage.
pub(crate) fn with_limit_info(core: &Core, account: Option<&str>, reply: Reply) -> Reply {
    let Some(name) = account else { return reply };
    let shared = core.salesforce(name);
    let mut account = lock(&shared);
    count(&mut account, core.clock.now_ms());
    limit_info(&account, reply)
}

/// Tells that the day's calls are used up.
pub(crate) fn used_up(core: &Core, account: Option<&str>, reply: Reply) -> Reply {
    let Some(name) = account else { return reply };
    let daily = lock(&core.salesforce(name)).settings.daily;
    reply.with_header("Sforce-Limit-Info", format!("api-usage={daily}/{daily}"))
}

/// The answer to a token that opens nothing; Salesforce does not tell why.
pub(crate) fn unauthorized() -> Reply {
    Fault::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
        .header("WWW-Authenticate", "Token")
        .reply()
}

fn route(account: &mut Account, request: &Request, cx: &mut Context<'_>) -> Outcome {
    let url = request.path.len() + request.raw_query.as_deref().map_or(0, str::len);
    if url > 16_384 {
        return Err(Fault::new(414, "URI_TOO_LONG", "URI Too Long"));
    }
    let segments = segments(request);
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["services", "data", rest @ ..] = words.as_slice() else {
        return Err(Fault::not_found());
    };
    let Some((version, rest)) = rest.split_first() else {
        let versions = json!([{"label": "Sandbox", "url": "/services/data/v60.0", "version": "60.0"}]);
        return Ok(Reply::json(200, JSON, &versions));
    };
    let number = version
        .strip_prefix('v')
        .and_then(|v| v.split_once('.'))
        .and_then(|(n, _)| n.parse::<u32>().ok());
    let Some(number) = number.filter(|n| (20..=99).contains(n)) else {
        return Err(Fault::not_found());
    };
    let auto = request
        .header("sforce-auto-assign")
        .is_none_or(|v| !v.eq_ignore_ascii_case("false"));
    let call = Call {
        version,
        number,
        duplicates: records::Duplicates::read(request),
        auto_assign: auto,
    };
    let method = method_of(request);
    match rest {
        ["sobjects", rest @ ..] => sobjects::route(account, request, &method, rest, &call, cx),
        ["composite", "sobjects", rest @ ..] => {
            collections::route(account, request, &method, rest, &call, cx)
        }
        ["query" | "queryAll"] | ["query" | "queryAll", _] if method != "GET" => {
            Err(sobjects::not_allowed(&method, "GET"))
        }
        ["query"] => query::query(account, request, false, &call, cx),
        ["queryAll"] => query::query(account, request, true, &call, cx),
        ["query" | "queryAll", locator] => query::more(account, request, locator, &call),
        ["limits"] => {
            asked::parameters(request, &[])?;
            let left = account.settings.daily.saturating_sub(account.used.1);
            let body = json!({"DailyApiRequests": {"Max": account.settings.daily, "Remaining": left}});
            Ok(Reply::json(200, JSON, &body))
        }
        _ => Err(Fault::not_found()),
    }
}

/// The object of a path word.
fn object_of(account: &Account, name: &str) -> Result<Arc<Object>, Fault> {
    account.object(name).cloned().ok_or_else(Fault::not_found)
}

/// Reads a JSON body.
fn body_of(request: &Request) -> Result<Value, Fault> {
    if !request.is_json() {
        let kind = request.header("content-type").unwrap_or_default();
        let message = format!("content-type of the request was: {kind}");
        return Err(Fault::new(415, "UNSUPPORTED_MEDIA_TYPE", message));
    }
    serde_json::from_slice(&request.body).map_err(|error| {
        let message = format!(
            "Unexpected character at [line:{}, column:{}]",
            error.line(),
            error.column()
        );
        Fault::new(400, "JSON_PARSER_ERROR", message)
    })
}

/// Reads the body of a single record.
fn record_body(request: &Request) -> Result<Map<String, Value>, Fault> {
    match body_of(request)? {
        Value::Object(record) => Ok(record),
        _ => Err(Fault::new(
            400,
            "JSON_PARSER_ERROR",
            "The HTTP entity body must be a JSON object at [line:1, column:1]",
        )),
    }
}
