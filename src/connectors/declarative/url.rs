//! The URL of a request.

use std::collections::BTreeMap;

use super::escape::push_query;
use super::plan::{Plan, Query, QueryValue};
use super::scope::Scope;
use super::surroundings::Surroundings;
use super::text::{Mode, Text};
use crate::connectors::contract::{Refusal, RefusalKind};

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
    let rebase = own_base_into(&mut url, plan, scope, around.rebase)?;
    let base_query = split_query(&mut url);
    path.render_into(&mut url, scope, Mode::Path)?;
    if let Some(rebase) = rebase {
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

/// Writes the base URL of a plan: that of the variable which holds the account's own one, else that of the file. Answers
/// what scheme and host have to be replaced with: `rebase`, unless the account's own base is already at that origin.
///
/// # Errors
/// When a variable is missing or not acceptable.
pub fn own_base_into<'r>(
    url: &mut String,
    plan: &Plan,
    scope: &Scope<'_>,
    rebase: Option<&'r str>,
) -> Result<Option<&'r str>, Refusal> {
    let own = plan
        .base_url_variable
        .as_deref()
        .and_then(|name| Some((name, scope.var(name)?)));
    match own {
        Some((_, base)) if rebase.is_some_and(|rebase| same_origin(base, rebase)) => {
            url.push_str(base.trim_end_matches('/'));
            return Ok(None);
        }
        Some((name, base)) => url.push_str(checked_base(name, base)?),
        None => base_into(url, &plan.base_url, scope)?,
    }
    Ok(rebase)
}

/// Whether a plain URL has the scheme, host and port of another.
#[must_use]
pub fn same_origin(plain: &str, other: &str) -> bool {
    let parsed = (url::Url::parse(plain), url::Url::parse(other));
    let (Ok(plain), Ok(other)) = parsed else {
        return false;
    };
    let bare = plain.username().is_empty() && plain.password().is_none() && plain.fragment().is_none();
    bare && plain.query().is_none() && plain.origin().is_tuple() && plain.origin() == other.origin()
}

/// The URL with the base that was found out in the place of the one it was made with.
///
/// # Errors
/// When what was found out is not a base URL.
pub fn moved(
    plan: &Plan,
    scope: &Scope<'_>,
    url: String,
    found: &BTreeMap<String, String>,
    rebase: Option<&str>,
) -> Result<String, Refusal> {
    let found = plan
        .base_url_variable
        .as_deref()
        .and_then(|name| Some((name, found.get(name)?)));
    let Some((name, base)) = found else {
        return Ok(url);
    };
    let at_operators = rebase.is_some_and(|rebase| same_origin(base, rebase));
    // A host that the operator has put in the place of the provider's stays.
    if rebase.is_some() && !at_operators {
        return Ok(url);
    }
    let mut old = String::new();
    if let Some(rebase) = own_base_into(&mut old, plan, scope, rebase)? {
        old = rebased(&old, rebase).trim_end_matches('/').to_owned();
    }
    match url.strip_prefix(&old) {
        Some(rest) if at_operators && (rest.is_empty() || rest.starts_with(['/', '?'])) => {
            Ok(format!("{}{rest}", base.trim_end_matches('/')))
        }
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) => {
            Ok(format!("{}{rest}", checked_base(name, base)?))
        }
        _ => Ok(url),
    }
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

pub fn push_parameter(url: &mut String, name: &str, value: &str) {
    url.push(if url.contains('?') { '&' } else { '?' });
    push_query(url, name);
    url.push('=');
    push_query(url, value);
}
