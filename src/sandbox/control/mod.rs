//! The control API under `/_sandbox`.

mod faults;
mod oauth;

use std::sync::Arc;

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::core::Core;
use super::echo::EchoRule;
use super::journal::Line;
use super::message::{Provider, Reply, Request, field, pairs};
use super::{audit, clock, hubspot, lock, salesforce};

/// Why a control call was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// The HTTP status: 400, 404 or 405.
    pub status: u16,
    /// What was wrong and where.
    pub message: String,
}

impl ControlError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: message.into(),
        }
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self {
            status: 404,
            message: what.into(),
        }
    }
}

type Outcome = Result<Value, ControlError>;

/// Answers an HTTP request to the control API.
pub(crate) async fn handle(core: &Arc<Core>, request: &Request) -> Reply {
    let path = match &request.raw_query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let body = if request.body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(&request.body)
            .map_err(|e| ControlError::invalid(format!("the body is no JSON: {e}")))
    };
    let outcome = match body {
        Ok(body) => call(core, &request.method, &path, body).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(Value::Null) => Reply::empty(204),
        Ok(value) => Reply::json(200, "application/json", &value),
        Err(error) => Reply::json(error.status, "application/json", &json!({"error": error.message})),
    }
}

/// One call of the control API. `path` is relative to `/_sandbox` and may have a query.
pub(crate) async fn call(core: &Arc<Core>, method: &Method, path: &str, body: Value) -> Outcome {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = pairs(query);
    let decoded = |s: &str| {
        percent_encoding::percent_decode_str(s)
            .decode_utf8_lossy()
            .into_owned()
    };
    let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(decoded).collect();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (method.as_str(), words.as_slice()) {
        ("GET", [] | ["health"]) => Ok(about(core)),
        ("POST", ["reset"]) => {
            core.reset();
            Ok(Value::Null)
        }
        ("GET", ["ledger"]) => {
            let since = number(&query, "since")?.unwrap_or(0);
            to_value(&core.ledger.read(since, field(&query, "account")))
        }
        ("DELETE", ["ledger"]) => {
            core.clear_ledger().map_err(journal)?;
            Ok(Value::Null)
        }
        ("POST", ["audit"]) => {
            let operations: Vec<audit::Acknowledged> = parse(body)?;
            to_value(&audit::audit(&core.ledger.read(0, None), &operations))
        }
        ("GET" | "POST", ["clock"]) => set_clock(core, method, &body),
        (_, ["apps" | "consent" | "grants" | "revoke" | "tokens", ..]) => {
            oauth::call(core, method, &words, body).await
        }
        ("GET", ["echo"]) => Ok(lock(&core.echo).rules()),
        ("POST", ["echo"]) => {
            let rules: Vec<EchoRule> = if body.is_array() {
                parse(body)?
            } else {
                vec![parse(body)?]
            };
            lock(&core.echo).add(rules);
            Ok(Value::Null)
        }
        ("DELETE", ["echo"]) => {
            *lock(&core.echo) = super::echo::Echo::default();
            Ok(Value::Null)
        }
        (_, ["faults", ..]) => faults::call(core, method, &words, &query, body).await,
        (_, ["accounts", provider, account, rest @ ..]) => match provider_of(provider)? {
            Provider::HubSpot => {
                let shared = core.hubspot(account);
                let mut state = lock(&shared);
                let outcome = hubspot_account(core, &mut state, method, rest, body);
                keep(core, &state.take_dirty())?;
                outcome
            }
            Provider::Salesforce => {
                let shared = core.salesforce(account);
                let mut state = lock(&shared);
                let outcome = salesforce::control(&mut state, method, rest, body, core.clock.now_ms());
                keep(core, &state.take_dirty())?;
                outcome
            }
            Provider::Echo => Err(ControlError::not_found("the echo provider has no accounts")),
        },
        _ => Err(ControlError::not_found(format!(
            "no control call {method} /_sandbox{path}; see docs/sandbox.md"
        ))),
    }
}

fn about(core: &Core) -> Value {
    json!({
        "name": "amp-write sandbox",
        "version": env!("CARGO_PKG_VERSION"),
        "seed": core.seed,
        "time": clock::iso(core.clock.now_ms()),
        "hubspot": format!("{}/hubspot", core.url),
        "salesforce": format!("{}/salesforce", core.url),
        "echo": format!("{}/echo", core.url),
        "accounts": {
            "hubspot": core.account_names(Provider::HubSpot),
            "salesforce": core.account_names(Provider::Salesforce),
        },
    })
}

fn set_clock(core: &Core, method: &Method, body: &Value) -> Outcome {
    if method == Method::POST {
        for (key, value) in body.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("freeze", Value::Bool(true)) => core.clock.freeze(core.clock.now_ms()),
                ("freeze", Value::String(text)) => {
                    let at = clock::parse_iso(text);
                    core.clock
                        .freeze(at.ok_or_else(|| ControlError::invalid("freeze: no RFC 3339 time"))?);
                }
                ("advance_ms", value) if value.as_i64().is_some() => {
                    core.clock.advance(value.as_i64().unwrap_or_default());
                }
                ("run", Value::Bool(true)) => core.clock.run(),
                _ => {
                    return Err(ControlError::invalid(format!(
                        "{key}: unknown, or of a wrong type"
                    )));
                }
            }
        }
    }
    Ok(json!({"now": clock::iso(core.clock.now_ms()), "now_ms": core.clock.now_ms()}))
}

fn hubspot_account(
    core: &Core,
    account: &mut hubspot::Account,
    method: &Method,
    rest: &[&str],
    body: Value,
) -> Outcome {
    let no_object =
        |name: &str| ControlError::not_found(format!("account {} has no object {name}", account.name));
    match (method.as_str(), rest) {
        ("GET", []) => to_value(&account.settings),
        ("PATCH", []) => {
            account.settings = patched(&account.settings, body)?;
            account.keep_meta();
            to_value(&account.settings)
        }
        ("GET", ["objects"]) => to_value(&account.types),
        ("POST", ["objects"]) => {
            let mut body = body;
            list_to_map(&mut body, "properties");
            let object: hubspot::ObjectType = parse(body)?;
            account.put_type(object);
            Ok(Value::Null)
        }
        ("POST", ["objects", name, "properties"]) => {
            let found = account.resolve(name).is_some();
            if !found {
                return Err(no_object(name));
            }
            let list: Vec<hubspot::Property> = if body.is_array() {
                parse(body)?
            } else {
                vec![parse(body)?]
            };
            for property in list {
                account.put_property(name, property);
            }
            Ok(Value::Null)
        }
        ("GET", ["records", name]) => {
            let object = account.resolve(name).ok_or_else(|| no_object(name))?.name.clone();
            let records = account.table(&object).map(|t| &t.records);
            Ok(records
                .into_iter()
                .flat_map(|r| r.values())
                .map(|r| json!(r))
                .collect())
        }
        ("GET", ["links"]) => to_value(&account.links),
        ("POST", ["records", name]) => {
            let object = account.resolve(name).ok_or_else(|| no_object(name))?.name.clone();
            hubspot::seed(account, &object, &body, core.clock.now_ms())
        }
        ("POST", ["next_ids", name]) => {
            let object = account.resolve(name).ok_or_else(|| no_object(name))?.name.clone();
            account.queue_ids(&object, parse::<Vec<u64>>(body)?);
            Ok(Value::Null)
        }
        ("POST", ["used"]) => {
            let used = |key: &str| body.get(key).and_then(Value::as_u64);
            let now = core.clock.now_ms();
            if let Some(n) = used("burst") {
                account.burst_used = (now.div_euclid(10_000), n);
            }
            if let Some(n) = used("daily") {
                account.daily_used = (now.div_euclid(86_400_000), n);
            }
            if let Some(n) = used("search") {
                account.search_used = (now.div_euclid(1_000), n);
            }
            Ok(Value::Null)
        }
        _ => Err(ControlError::not_found("no such call on a HubSpot account")),
    }
}

/// Turns a list of `{name, …}` into an object by name, as it is kept.
pub(crate) fn list_to_map(body: &mut Value, key: &str) {
    let Some(list) = body.get(key).and_then(Value::as_array) else {
        return;
    };
    let named = |item: &Value| {
        item.get("name")
            .and_then(Value::as_str)
            .map(|n| (n.to_owned(), item.clone()))
    };
    let map: Map<String, Value> = list.iter().filter_map(named).collect();
    body[key] = Value::Object(map);
}

/// Settings with the given keys replaced.
pub(crate) fn patched<T: serde::Serialize + DeserializeOwned>(
    settings: &T,
    patch: Value,
) -> Result<T, ControlError> {
    let mut whole = to_value(settings)?;
    let Value::Object(patch) = patch else {
        return Err(ControlError::invalid("a JSON object is expected"));
    };
    for (key, value) in patch {
        whole[key.as_str()] = value;
    }
    parse(whole)
}

pub(crate) fn parse<T: DeserializeOwned>(body: Value) -> Result<T, ControlError> {
    serde_json::from_value(body).map_err(|e| ControlError::invalid(e.to_string()))
}

pub(crate) fn to_value(value: &impl serde::Serialize) -> Outcome {
    serde_json::to_value(value).map_err(|e| ControlError {
        status: 500,
        message: e.to_string(),
    })
}

fn number(query: &[(String, String)], name: &str) -> Result<Option<u64>, ControlError> {
    let Some(text) = field(query, name) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| ControlError::invalid(format!("{name}: a whole number is expected, not {text:?}")))
}

fn provider_of(word: &str) -> Result<Provider, ControlError> {
    Provider::parse(word).ok_or_else(|| ControlError::not_found(format!("no provider {word}")))
}

fn journal(error: std::io::Error) -> ControlError {
    ControlError {
        status: 500,
        message: format!("journal: {error}"),
    }
}

fn keep(core: &Core, lines: &[Line]) -> Result<(), ControlError> {
    core.keep(lines).map_err(journal)
}
