//! What stands in an answer: ids, and whether conditions hold.

use serde_json::Value;

use super::json_path::scalar;
use super::plan::{IdPlace, IdSource, Predicate, Test};
use super::scope::Scope;
use crate::connectors::contract::ProviderResponse;

/// The id at a place, when it is there.
#[must_use]
pub fn find_id(
    place: &IdPlace,
    scope: &Scope<'_>,
    response: &ProviderResponse,
    body: Option<&Value>,
) -> Option<String> {
    let text = match &place.source {
        IdSource::Header(name) => response.header(name).map(str::to_owned),
        IdSource::Body(path) => path.resolve(scope)?.all(body?).into_iter().find_map(scalar),
    }?;
    let id = match &place.pattern {
        None => text,
        Some(pattern) => {
            let found = pattern.captures(&text)?;
            found.get(1).or_else(|| found.get(0))?.as_str().to_owned()
        }
    };
    is_readable_id(&id).then_some(id)
}

/// Whether a text can be an id: one of which a part could not be read is none.
#[must_use]
pub fn is_readable_id(id: &str) -> bool {
    !id.is_empty() && !id.contains(char::REPLACEMENT_CHARACTER)
}

/// Whether a condition holds in a body.
#[must_use]
pub fn holds(predicate: &Predicate, scope: &Scope<'_>, body: &Value) -> bool {
    matches!(check(predicate, scope, body), Check::Holds)
}

/// How a condition stands in a body.
pub(super) enum Check {
    Holds,
    Fails,
    /// Nothing is at the path.
    Absent,
}

/// How a condition stands in a body.
pub(super) fn check(predicate: &Predicate, scope: &Scope<'_>, body: &Value) -> Check {
    let Some(path) = predicate.path.resolve(scope) else {
        return Check::Absent;
    };
    let found = path.all(body);
    let holds = |holds| if holds { Check::Holds } else { Check::Fails };
    match &predicate.test {
        Test::Empty => holds(found.iter().all(|v| is_empty(v))),
        Test::Present => holds(found.iter().any(|v| !is_empty(v))),
        Test::OneOf(_) if found.is_empty() => Check::Absent,
        Test::OneOf(values) => holds(found.iter().all(|v| values.contains(v))),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
