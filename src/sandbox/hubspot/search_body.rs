//! The body of a search, read whole: what is not simulated is refused, never passed over.

use serde_json::{Map, Value};

use super::errors::Failure;
use super::schema::ObjectType;
use super::{asked, validate};

/// The limits of HubSpot's guide to the search API.
const MAX_LIMIT: u64 = 200;
const MAX_RESULTS: u64 = 10_000;
const MAX_QUERY: usize = 3_000;
const MAX_GROUPS: usize = 5;
const MAX_FILTERS: usize = 6;
const MAX_ALL_FILTERS: usize = 18;

/// A search, checked against the object's properties.
#[derive(Debug)]
pub(super) struct Search {
    /// The words of `query`, in lower case; a record must have each of them.
    pub words: Vec<String>,
    /// Any of these groups, each with all of its filters; none means every record.
    pub groups: Vec<Vec<Filter>>,
    /// The property to sort by, and whether the highest comes first.
    pub sort: Option<(String, bool)>,
    pub properties: Option<Vec<String>>,
    pub limit: usize,
    pub after: usize,
}

#[derive(Debug)]
pub(super) struct Filter {
    pub property: String,
    pub test: Test,
}

#[derive(Debug)]
pub(super) enum Test {
    Is(String),
    IsNot(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Set,
    Unset,
    HasToken(String),
    LacksToken(String),
    Less(String),
    AtMost(String),
    More(String),
    AtLeast(String),
    Between(String, String),
}

fn wrong(what: impl std::fmt::Display) -> Failure {
    Failure::validation(format!("There was a problem with the request: {what}"))
}

/// The list under a key; empty when the key is absent or null.
fn list<'a>(body: &'a Map<String, Value>, key: &str) -> Result<&'a [Value], Failure> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(wrong(format!("{key} must be a list"))),
    }
}

pub(super) fn read(object: &ObjectType, body: &Map<String, Value>) -> Result<Search, Failure> {
    let known = ["filterGroups", "query", "sorts", "properties", "limit", "after"];
    asked::keys(body, &known, "a search")?;
    let groups = list(body, "filterGroups")?;
    if groups.len() > MAX_GROUPS {
        return Err(wrong(format!("at most {MAX_GROUPS} filterGroups are allowed")));
    }
    let groups = groups
        .iter()
        .map(|g| group(object, g))
        .collect::<Result<Vec<_>, _>>()?;
    if groups.iter().map(Vec::len).sum::<usize>() > MAX_ALL_FILTERS {
        return Err(wrong(format!(
            "at most {MAX_ALL_FILTERS} filters are allowed in all"
        )));
    }
    let limit = match body.get("limit") {
        None | Some(Value::Null) => 10,
        Some(limit) => whole(limit).filter(|limit| *limit <= MAX_LIMIT).ok_or_else(|| {
            wrong(format!(
                "limit must be a whole number of at most {MAX_LIMIT}, not {limit}"
            ))
        })?,
    };
    let after = match body.get("after") {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) if text.is_empty() => 0,
        Some(after) => whole(after).ok_or_else(|| {
            wrong(format!(
                "after must be what an earlier page gave as paging.next.after, not {after}"
            ))
        })?,
    };
    if after.saturating_add(limit) > MAX_RESULTS {
        return Err(wrong(format!(
            "a search gives its first {MAX_RESULTS} results only"
        )));
    }
    Ok(Search {
        words: query(object, body)?,
        groups,
        sort: sort(object, body)?,
        properties: asked::texts(body, "properties")?,
        limit: usize::try_from(limit).unwrap_or(0),
        after: usize::try_from(after).unwrap_or(0),
    })
}

/// A whole number, or one as text.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    }
}

/// The parts of a text that a search finds by: letters and digits in a row, in lower case.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|t| !t.is_empty())
        .map(str::to_lowercase)
}

fn query(object: &ObjectType, body: &Map<String, Value>) -> Result<Vec<String>, Failure> {
    let text = match body.get("query") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) if text.chars().count() <= MAX_QUERY => text,
        Some(Value::String(_)) => {
            return Err(wrong(format!("query may have at most {MAX_QUERY} characters")));
        }
        Some(_) => return Err(wrong("query must be a text")),
    };
    let words: Vec<String> = tokens(text).collect();
    if !words.is_empty() && object.searchable().is_empty() {
        return Err(wrong(format!("{} has no searchable properties", object.name)));
    }
    if words.is_empty() && !text.trim().is_empty() {
        return Err(wrong("query has neither a letter nor a digit"));
    }
    Ok(words)
}

fn known(object: &ObjectType, property: &str) -> Result<String, Failure> {
    if object.properties.contains_key(property) {
        return Ok(property.to_owned());
    }
    Err(wrong(format!("Property '{property}' does not exist")))
}

/// One rule at most: a property's name, `-` before it for descending, or `{propertyName, direction}`.
fn sort(object: &ObjectType, body: &Map<String, Value>) -> Result<Option<(String, bool)>, Failure> {
    let rule = match list(body, "sorts")? {
        [] => return Ok(None),
        [rule] => rule,
        _ => return Err(wrong("only one sort is allowed")),
    };
    match rule {
        Value::String(text) => {
            let (name, descending) = text
                .strip_prefix('-')
                .map_or((text.as_str(), false), |n| (n, true));
            Ok(Some((known(object, name)?, descending)))
        }
        Value::Object(rule) => {
            asked::keys(rule, &["propertyName", "direction"], "a sort")?;
            let name = rule.get("propertyName").and_then(Value::as_str);
            let name = known(object, name.unwrap_or_default())?;
            match rule.get("direction").map(Value::as_str) {
                None | Some(Some("ASCENDING")) => Ok(Some((name, false))),
                Some(Some("DESCENDING")) => Ok(Some((name, true))),
                _ => Err(wrong("the direction of a sort is ASCENDING or DESCENDING")),
            }
        }
        _ => Err(wrong("a sort is a property's name or {propertyName, direction}")),
    }
}

fn group(object: &ObjectType, group: &Value) -> Result<Vec<Filter>, Failure> {
    let group = group
        .as_object()
        .ok_or_else(|| wrong("a filter group must be an object"))?;
    asked::keys(group, &["filters"], "a filter group")?;
    if !group.contains_key("filters") {
        return Err(wrong("a filter group must have filters"));
    }
    let filters = list(group, "filters")?;
    if filters.len() > MAX_FILTERS {
        return Err(wrong(format!(
            "at most {MAX_FILTERS} filters are allowed in a group"
        )));
    }
    filters.iter().map(|f| filter(object, f)).collect()
}

fn filter(object: &ObjectType, filter: &Value) -> Result<Filter, Failure> {
    let filter = filter
        .as_object()
        .ok_or_else(|| wrong("a filter must be an object"))?;
    let keys = ["propertyName", "operator", "value", "highValue", "values"];
    asked::keys(filter, &keys, "a filter")?;
    let property = filter
        .get("propertyName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let property = known(object, property)?;
    let operator = filter.get("operator").and_then(Value::as_str).unwrap_or_default();
    let text = |key: &str| match filter.get(key) {
        None | Some(Value::Null) => Err(wrong(format!("{operator} needs a {key} for {property}"))),
        Some(value) => validate::text(value).map_err(|_| wrong(format!("{key} of a filter must be a text"))),
    };
    let texts = || -> Result<Vec<String>, Failure> {
        let list = list(filter, "values")?;
        if list.is_empty() {
            return Err(wrong(format!("{operator} needs values for {property}")));
        }
        let one = |v: &Value| validate::text(v).map_err(|_| wrong("values of a filter must be texts"));
        list.iter().map(one).collect()
    };
    let (test, takes): (Test, &[&str]) = match operator {
        "EQ" => (Test::Is(text("value")?), &["value"]),
        "NEQ" => (Test::IsNot(text("value")?), &["value"]),
        "LT" => (Test::Less(text("value")?), &["value"]),
        "LTE" => (Test::AtMost(text("value")?), &["value"]),
        "GT" => (Test::More(text("value")?), &["value"]),
        "GTE" => (Test::AtLeast(text("value")?), &["value"]),
        "BETWEEN" => (
            Test::Between(text("value")?, text("highValue")?),
            &["value", "highValue"],
        ),
        "IN" => (Test::In(texts()?), &["values"]),
        "NOT_IN" => (Test::NotIn(texts()?), &["values"]),
        "HAS_PROPERTY" => (Test::Set, &[]),
        "NOT_HAS_PROPERTY" => (Test::Unset, &[]),
        "CONTAINS_TOKEN" => (Test::HasToken(text("value")?), &["value"]),
        "NOT_CONTAINS_TOKEN" => (Test::LacksToken(text("value")?), &["value"]),
        other => return Err(wrong(format!("'{other}' is not an operator of a filter"))),
    };
    let given = |key: &&&str| filter.get(**key).is_some_and(|v| !v.is_null());
    let spare = ["value", "highValue", "values"];
    if let Some(key) = spare.iter().filter(given).find(|key| !takes.contains(key)) {
        return Err(wrong(format!("{operator} takes no {key}")));
    }
    Ok(Filter { property, test })
}
