//! What a request may say besides its path: parameters and keys that the simulator does not know are refused, for a
//! test that passes because something was not looked at proves nothing.

use serde_json::{Map, Value};

use super::errors::Failure;
use crate::sandbox::message::Request;

/// Refuses query parameters other than these.
pub(super) fn parameters(request: &Request, known: &[&str]) -> Result<(), Failure> {
    request.unknown_query(known).map_or(Ok(()), |name| {
        Err(Failure::validation(format!(
            "The query parameter '{name}' is not one of this call, or the sandbox does not simulate it"
        )))
    })
}

/// Refuses keys of an object other than these.
pub(super) fn keys(object: &Map<String, Value>, known: &[&str], place: &str) -> Result<(), Failure> {
    let unknown = object.keys().find(|key| !known.contains(&key.as_str()));
    unknown.map_or(Ok(()), |key| {
        Err(Failure::validation(format!(
            "Invalid input JSON: '{key}' is not one of {place}, or the sandbox does not simulate it"
        )))
    })
}

/// A flag of the query: `true`, `false`, or absent for false.
pub(super) fn flag(request: &Request, name: &str) -> Result<bool, Failure> {
    match request.query(name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Failure::validation(format!(
            "{name} must be true or false, not '{other}'"
        ))),
    }
}

/// How many results a page may have: the query's `limit`, 1 to `most`.
pub(super) fn limit(request: &Request, usual: usize, most: usize) -> Result<usize, Failure> {
    let Some(text) = request.query("limit") else {
        return Ok(usual);
    };
    match text.parse() {
        Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Failure::validation(format!(
            "limit must be a whole number from 1 to {most}, not '{text}'"
        ))),
    }
}

/// Where the page begins: `after` as the page before named it.
pub(super) fn after(text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        Failure::validation(format!(
            "Invalid paging cursor '{text}': after must be what an earlier page gave as paging.next.after"
        ))
    })
}

/// The properties asked for, all lists of the query together; `None` when it names none.
pub(super) fn properties(request: &Request) -> Option<Vec<String>> {
    let lists = request.query_all("properties");
    if lists.is_empty() {
        return None;
    }
    let words = lists.iter().flat_map(|list| list.split(','));
    Some(
        words
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
    )
}

/// A list of texts in a body; `None` when the key is absent or null.
pub(super) fn texts(body: &Map<String, Value>, key: &str) -> Result<Option<Vec<String>>, Failure> {
    let wrong = || Failure::validation(format!("Invalid input JSON: {key} must be a list of texts"));
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => {
            let texts = list
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong));
            texts.collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(wrong()),
    }
}
