//! From a command to a request. Pure: the same command always gives the same bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::body::{form, has_associations, json};
use super::compile::Compiled;
use super::definition::Encode;
use super::escape::{is_header_name, is_header_value, push_query};
use super::plan::{Idempotency, Lookup, Plan, Query, QueryValue, Rename};
use super::scope::Scope;
use super::text::{Mode, Text, record_text};
use crate::action::Action;
use crate::connectors::contract::{Command, ProviderRequest, ProviderResponse, Refusal, RefusalKind, Step};

/// What a connector knows beside the plan.
pub struct Surroundings<'a> {
    /// The module.
    pub module: &'a Compiled,
    /// The provider's name, for messages.
    pub provider: &'a str,
    /// Replaces scheme and host of every URL.
    pub rebase: Option<&'a str>,
    /// Default values of variables.
    pub var_defaults: &'a BTreeMap<String, String>,
    /// Names of headers that carry credentials.
    pub credential_headers: &'a [String],
}

/// Headers that a caller may never set: they belong to the connection, to the body or to credentials.
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

/// Makes the request of a command, or the read that has to come first.
///
/// # Errors
/// When the command does not fit the connector: unknown object, no such action, bad id, missing values, bad headers.
pub fn prepare(
    around: &Surroundings<'_>,
    command: &Command<'_>,
    looked_up: &[ProviderResponse],
) -> Result<Step, Refusal> {
    let plan = find_plan(around, command)?.for_record(command.record);
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
    request(around, plan, &scope, command, None).map(Step::Send)
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
    body: Option<Vec<u8>>,
) -> Result<ProviderRequest, Refusal> {
    let mut url = url(around, plan, scope, &plan.path, &plan.query)?;
    let mut headers = fixed_headers(plan, scope)?;
    if let (Some(Idempotency::Header(name)), Some(key)) = (&plan.idempotency, command.idempotency_key) {
        push_header(&mut headers, name, key.to_owned())?;
    }
    pass_headers(around, command, &mut headers)?;
    let body = match (&plan.body, body) {
        (_, Some(body)) => Some(body),
        (None, None) => None,
        (Some(body), None) if body.to_query => {
            for (key, value) in body.entries(scope.record) {
                push_parameter(
                    &mut url,
                    key,
                    &record_text(value).unwrap_or_else(|| Cow::Owned(value.to_string())),
                );
            }
            None
        }
        (Some(body), None) => {
            let mut out = Vec::with_capacity(512);
            body.write(&mut out, scope, command.associations)?;
            Some(out)
        }
    };
    let body = body.map(|body| encode(plan, body));
    let content_type = body.as_ref().map(|_| plan.content_type.clone());
    Ok(ProviderRequest {
        method: plan.method.clone(),
        url,
        headers,
        content_type,
        body,
    })
}

/// Turns the JSON of a body into the form the provider wants.
fn encode(plan: &Plan, body: Vec<u8>) -> Vec<u8> {
    let flat = match plan.encode {
        Encode::Json | Encode::Graphql => return body,
        Encode::Form => false,
        Encode::FormFlat => true,
    };
    // The bytes were written by `Body::write`, so they are JSON.
    serde_json::from_slice::<Value>(&body).map_or(body, |value| form(&value, flat))
}

fn fixed_headers(plan: &Plan, scope: &Scope<'_>) -> Result<Vec<(String, String)>, Refusal> {
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
fn pass_headers(
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
        let reserved =
            RESERVED_HEADERS.contains(&lower.as_str()) || around.credential_headers.contains(&lower);
        if reserved || headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
            return refuse(format!(
                "the header `{name}` is set by the connection and cannot be given"
            ));
        }
        push_header(headers, name, value.clone())?;
    }
    Ok(())
}

/// The absolute URL of a path.
///
/// # Errors
/// When a value is missing or does not fit.
pub fn url(
    around: &Surroundings<'_>,
    plan: &Plan,
    scope: &Scope<'_>,
    path: &Text,
    query: &[(Text, Query)],
) -> Result<String, Refusal> {
    let mut url = String::with_capacity(128);
    let own = plan
        .base_url_variable
        .as_deref()
        .and_then(|name| Some((name, scope.var(name)?)));
    match own {
        Some((name, base)) => url.push_str(checked_base(name, base)?),
        None => base_into(&mut url, &plan.base_url, scope)?,
    }
    let base_query = split_query(&mut url);
    path.render_into(&mut url, scope, Mode::Path)?;
    if let Some(rebase) = around.rebase {
        url = rebased(&url, rebase);
    }
    if let Some(base_query) = base_query {
        url.push('?');
        url.push_str(&base_query);
    }
    for (name, parameter) in query {
        if parameter
            .when
            .as_ref()
            .is_some_and(|when| !when.holds(scope.record))
        {
            continue;
        }
        let value = match &parameter.value {
            QueryValue::Text(text) => match text.render(scope, Mode::Plain) {
                Ok(value) => value,
                Err(_) if parameter.optional => continue,
                Err(refusal) => return Err(refusal),
            },
            QueryValue::RecordKeys(keys) => {
                let there: Vec<&str> = keys
                    .iter()
                    .map(String::as_str)
                    .filter(|key| scope.record.contains_key(*key))
                    .collect();
                if there.is_empty() && parameter.optional {
                    continue;
                }
                there.join(",")
            }
        };
        push_parameter(&mut url, &name.render(scope, Mode::Plain)?, &value);
    }
    Ok(url)
}

/// Writes the base URL of the file. A base that is one variable is a whole URL and checked as such.
pub fn base_into(url: &mut String, base: &Text, scope: &Scope<'_>) -> Result<(), Refusal> {
    if base.leading_literal().is_none()
        && let Some(super::text::Source::Conn(name)) = base.sources().next()
    {
        let Some(value) = scope.var(name) else {
            return Err(Refusal::new(
                RefusalKind::InvalidVariable,
                format!("the connection's variable `{name}` is missing; it holds the address to call"),
            ));
        };
        url.push_str(checked_base(name, value)?);
        return Ok(());
    }
    // What stands after the host of a base URL is text of the file or a path segment.
    let rendered = base.render_base(scope)?;
    url.push_str(rendered.trim_end_matches('/'));
    Ok(())
}

/// A base URL that comes from a variable: `https`, a host, perhaps a path and a query; nothing else.
fn checked_base<'v>(name: &str, value: &'v str) -> Result<&'v str, Refusal> {
    let bad = |why: &str| {
        Refusal::new(
            RefusalKind::InvalidVariable,
            format!("the connection's variable `{name}` {why}; it has to be an https URL"),
        )
    };
    let parsed = url::Url::parse(value).map_err(|_| bad("is not a URL"))?;
    if parsed.scheme() != "https" || parsed.host().is_none() {
        return Err(bad("is not an https URL"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() || parsed.fragment().is_some() {
        return Err(bad("holds a user name, a password or a fragment"));
    }
    if value
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
    {
        return Err(bad("holds a character that a URL cannot have"));
    }
    Ok(value.trim_end_matches('/'))
}

/// Takes the query off a base URL.
fn split_query(url: &mut String) -> Option<String> {
    let at = url.find('?')?;
    let query = url.split_off(at)[1..].to_owned();
    while url.ends_with('/') {
        url.pop();
    }
    Some(query)
}

/// The URL with scheme and host replaced; the replacement's own path comes first.
#[must_use]
pub fn rebased(url: &str, rebase: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let rest = url[after_scheme..]
        .find(['/', '?'])
        .map_or("", |at| &url[after_scheme + at..]);
    format!("{}{rest}", rebase.trim_end_matches('/'))
}

fn push_parameter(url: &mut String, name: &str, value: &str) {
    url.push(if url.contains('?') { '&' } else { '?' });
    push_query(url, name);
    url.push('=');
    push_query(url, value);
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
        .filter(|a| (200..300).contains(&a.status) && !a.truncated)
        .and_then(|a| serde_json::from_slice::<Value>(&a.body).ok())
        .ok_or_else(|| {
            let (provider, status) = (around.provider, answer.status);
            failed(format!(
                "{provider} answered the read before the write with status {status} and no usable body"
            ))
        })?;
    if let Some(native) = lookup.native {
        let mut out = Vec::new();
        json(&mut out, &native(command.record, &document).map_err(failed)?);
        return request(around, plan, scope, command, Some(out));
    }
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
            request(around, plan, &scope, &command, None)
        }
        None => request(around, plan, scope, command, None),
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
