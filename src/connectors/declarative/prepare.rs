//! From a command to a request. Pure: the same command always gives the same bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::body::{Body, has_associations, integer};
use super::definition::Encode;
use super::escape::{is_header_name, is_header_value};
use super::form::form;
use super::plan::{Idempotency, Lookup, Plan, Rename};
use super::scope::Scope;
use super::surroundings::Surroundings;
use super::text::{Mode, record_text};
use super::url::{push_parameter, url};
use crate::action::Action;
use crate::connectors::contract::{Command, ProviderRequest, ProviderResponse, Refusal, RefusalKind, Step};

/// Headers that a caller may never set: they belong to the connection, to the body, to credentials or to those between, or they
/// make another request of it than the one that was checked.
const RESERVED_HEADERS: [&str; 17] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The same, with `x-` before them: another method, another path, another host or sender than the request's own.
const RESERVED_BEGINNINGS: [&str; 10] = [
    "x-http-method",
    "x-method",
    "x-http-verb",
    "x-original-",
    "x-rewrite-",
    "x-override-",
    "x-forwarded",
    "x-host",
    "x-real-ip",
    "x-client-ip",
];

/// Whether a header is not the caller's to set. Behind a gateway `_` is often the same as `-`.
fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    RESERVED_HEADERS.contains(&name.as_str())
        || RESERVED_BEGINNINGS.iter().any(|start| name.starts_with(start))
}

/// What is done about keys of the record that repeat its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKeys {
    /// They are put into the record.
    Added,
    /// The record is taken as it is: whoever made it has put them there.
    AsGiven,
}

/// Makes the request of a command, or the read that has to come first.
///
/// # Errors
/// When the command does not fit the connector: unknown object, no such action, bad id, missing values, bad headers.
pub fn prepare(
    around: &Surroundings<'_>,
    command: &Command<'_>,
    looked_up: &[ProviderResponse],
    id_keys: IdKeys,
) -> Result<Step, Refusal> {
    let plan = &find_plan(around, command)?.for_record(command.record);
    let id = command.record_id.filter(|id| !id.is_empty());
    if plan.needs_id && id.is_none() {
        let what = command.action;
        return Err(Refusal::new(
            RefusalKind::InvalidRecordId,
            format!(
                "{what} of `{}` needs a record id; put it into `id` of the record",
                command.object
            ),
        ));
    }
    if has_associations(command.associations) && !around.module.associations.contains(&command.action) {
        return Err(Refusal::new(
            RefusalKind::UnsupportedAssociations,
            format!(
                "{} takes no associations on {}; leave them out",
                around.provider, command.action
            ),
        ));
    }
    let key = command.idempotency_key.map(|key| ("idempotency_key", key));
    let extra: Vec<(&'static str, &str)> = key.into_iter().collect();
    let scope = Scope::of(plan, around.var_defaults, command, &extra);
    let completed = match id_keys {
        IdKeys::Added if !plan.repeat_id.is_empty() => Some(with_id_keys(plan, &scope)?),
        _ => None,
    };
    let record = completed.as_ref().unwrap_or(command.record);
    let command = &Command { record, ..*command };
    let scope = Scope { record, ..scope };
    if let Some(lookup) = plan
        .lookup
        .as_ref()
        .filter(|l| l.when.as_ref().is_none_or(|w| w.holds(command.record)))
    {
        return match looked_up.first() {
            None => lookup_request(around, plan, lookup, &scope).map(Step::Lookup),
            Some(answer) => after_lookup(around, plan, lookup, &scope, command, answer).map(Step::Send),
        };
    }
    request(around, plan, &scope, command).map(Step::Send)
}

/// The record with the keys that repeat its id.
fn with_id_keys(plan: &Plan, scope: &Scope<'_>) -> Result<Map<String, Value>, Refusal> {
    let mut record = scope.record.clone();
    let Some(id) = scope.id else {
        return Ok(record);
    };
    for repeat in &plan.repeat_id {
        let key = repeat.key.render(scope, Mode::Plain)?;
        match record.get(&key).filter(|value| !value.is_null()) {
            Some(own) if record_text(own).is_some_and(|own| own == id) => {}
            Some(own) => {
                return Err(Refusal::new(
                    RefusalKind::InvalidRecordId,
                    format!(
                        "the record of `{}` says `{key}: {own}` and its id is `{id}`; they name the same thing, so leave \
                         `{key}` out",
                        scope.object
                    ),
                ));
            }
            None => {
                let value = if repeat.integer {
                    let digits = integer(id, scope)?;
                    serde_json::from_str(digits).unwrap_or_else(|_| Value::from(digits))
                } else {
                    Value::from(id)
                };
                record.insert(key, value);
            }
        }
    }
    Ok(record)
}

/// The plan of a command.
///
/// # Errors
/// When the object or the action is not there.
pub fn find_plan<'a>(around: &Surroundings<'a>, command: &Command<'_>) -> Result<&'a Plan, Refusal> {
    let Command { action, object, .. } = command;
    around.module.plan(*action, object).ok_or_else(|| {
        if around.module.knows(object) {
            Refusal::new(
                RefusalKind::UnsupportedAction,
                format!("{} cannot {action} `{object}`", around.provider),
            )
        } else {
            Refusal::new(
                RefusalKind::UnknownObject,
                format!("{} has no object `{object}` that can be written", around.provider),
            )
        }
    })
}

fn request(
    around: &Surroundings<'_>,
    plan: &Plan,
    scope: &Scope<'_>,
    command: &Command<'_>,
) -> Result<ProviderRequest, Refusal> {
    let mut url = url(around, plan, scope, &plan.path, &plan.query)?;
    let mut headers = fixed_headers(plan, scope)?;
    match (&plan.idempotency, command.idempotency_key) {
        (Some(Idempotency::Header(name)), Some(key)) => push_header(&mut headers, name, key.to_owned())?,
        (Some(Idempotency::Query(name)), Some(key)) => push_parameter(&mut url, name, key),
        _ => {}
    }
    pass_headers(around, command, &mut headers)?;
    let body = match &plan.body {
        None => None,
        Some(body) if body.to_query => {
            for (key, value) in body.entries(scope.record) {
                push_parameter(
                    &mut url,
                    key,
                    &record_text(value).unwrap_or_else(|| Cow::Owned(value.to_string())),
                );
            }
            None
        }
        Some(body) => Some(encoded(plan, body, scope, command.associations)?),
    };
    let content_type = body.as_ref().map(|_| plan.content_type.clone());
    Ok(ProviderRequest {
        method: plan.method.clone(),
        url,
        headers,
        content_type,
        body,
    })
}

/// The bytes of the body in the encoding that the provider wants.
fn encoded(plan: &Plan, body: &Body, scope: &Scope<'_>, associations: &[Value]) -> Result<Vec<u8>, Refusal> {
    let flat = match plan.encode {
        Encode::Json | Encode::Graphql => None,
        Encode::Form => Some(false),
        Encode::FormFlat => Some(true),
    };
    if let Some(flat) = flat.filter(|_| body.is_record()) {
        return Ok(form(body.entries(scope.record), flat));
    }
    let mut out = Vec::with_capacity(512);
    body.write(&mut out, scope, associations)?;
    // A form of a template is made from its JSON, which `Body::write` has just written.
    Ok(
        match (
            flat,
            flat.and_then(|_| serde_json::from_slice::<Map<String, Value>>(&out).ok()),
        ) {
            (Some(flat), Some(map)) => form(map.iter(), flat),
            _ => out,
        },
    )
}

/// The headers of the file for a request.
///
/// # Errors
/// When a value is missing or cannot be in a header.
pub fn fixed_headers(plan: &Plan, scope: &Scope<'_>) -> Result<Vec<(String, String)>, Refusal> {
    let mut headers = Vec::with_capacity(plan.headers.len() + 1);
    for (name, value) in &plan.headers {
        push_header(&mut headers, name, value.render(scope, Mode::Plain)?)?;
    }
    Ok(headers)
}

fn push_header(headers: &mut Vec<(String, String)>, name: &str, value: String) -> Result<(), Refusal> {
    if !is_header_value(&value) {
        return Err(Refusal::new(
            RefusalKind::InvalidHeader,
            format!("the value of the header `{name}` holds a line break or another control character"),
        ));
    }
    headers.push((name.to_owned(), value));
    Ok(())
}

/// Adds the caller's headers where the provider takes them.
///
/// # Errors
/// When it takes none, or one is not a header or belongs to the connection.
pub fn pass_headers(
    around: &Surroundings<'_>,
    command: &Command<'_>,
    headers: &mut Vec<(String, String)>,
) -> Result<(), Refusal> {
    if command.headers.is_empty() {
        return Ok(());
    }
    let refuse = |message| Err(Refusal::new(RefusalKind::InvalidHeader, message));
    if !around.module.headers_passthrough.contains(&command.action) {
        return refuse(format!(
            "{} takes no headers on {}; leave them out",
            around.provider, command.action
        ));
    }
    for (name, value) in command.headers {
        let lower = name.to_ascii_lowercase();
        if !is_header_name(name) {
            return refuse(format!("`{}` is not the name of a header", name.escape_debug()));
        }
        let reserved = is_reserved(name) || around.credential_headers.contains(&lower);
        if reserved || headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
            return refuse(format!(
                "the header `{name}` belongs to the connection, or would make another request of this one, and cannot be given; leave it out"
            ));
        }
        push_header(headers, name, value.clone())?;
    }
    Ok(())
}

fn lookup_request(
    around: &Surroundings<'_>,
    plan: &Plan,
    lookup: &Lookup,
    scope: &Scope<'_>,
) -> Result<ProviderRequest, Refusal> {
    Ok(ProviderRequest {
        method: http::Method::GET,
        url: url(around, plan, scope, &lookup.path, &lookup.query)?,
        headers: fixed_headers(plan, scope)?,
        content_type: None,
        body: None,
    })
}

fn after_lookup(
    around: &Surroundings<'_>,
    plan: &Plan,
    lookup: &Lookup,
    scope: &Scope<'_>,
    command: &Command<'_>,
    answer: &ProviderResponse,
) -> Result<ProviderRequest, Refusal> {
    let failed = |why: String| Refusal::new(RefusalKind::LookupFailed, why);
    let document = Some(answer)
        .filter(|a| (200..300).contains(&a.status))
        .and_then(|a| a.json().ok().flatten())
        .ok_or_else(|| {
            let (provider, status) = (around.provider, answer.status);
            failed(format!(
                "{provider} answered the read before the write with status {status} and no usable body"
            ))
        })?;
    match &lookup.rename {
        Some(rename) => {
            let record = renamed(rename, command.record, &document);
            let command = Command {
                record: &record,
                ..*command
            };
            let scope = Scope {
                record: &record,
                ..*scope
            };
            request(around, plan, &scope, &command)
        }
        None => request(around, plan, scope, command),
    }
}

/// The record with the keys that the answer names moved under their ids.
fn renamed(rename: &Rename, record: &Map<String, Value>, document: &Value) -> Map<String, Value> {
    let mut ids = BTreeMap::new();
    for item in rename
        .list
        .all(document)
        .into_iter()
        .flat_map(|list| list.as_array().into_iter().flatten())
    {
        if let (Some(Value::String(name)), Some(id)) = (
            rename.name.first(item),
            rename.id.first(item).and_then(record_text),
        ) {
            ids.entry(name.as_str()).or_insert(id);
        }
    }
    let mut out = Map::new();
    let mut moved = match record.get(&rename.into) {
        Some(Value::Object(own)) => own.clone(),
        _ => Map::new(),
    };
    for (key, value) in record {
        match ids.get(key.as_str()) {
            Some(id) => {
                moved.insert(id.to_string(), value.clone());
            }
            None if *key != rename.into || !value.is_object() => {
                out.insert(key.clone(), value.clone());
            }
            None => {}
        }
    }
    if !moved.is_empty() {
        out.insert(rename.into.clone(), Value::Object(moved));
    }
    out
}

/// Whether a create made by this plan with this key may be sent twice.
#[must_use]
pub fn repeat_safe(plan: &Plan, action: Action, key: Option<&str>) -> bool {
    plan.repeat_safe || (action == Action::Create && plan.idempotency.is_some() && key.is_some())
}
