//! Search: words, filter groups (any of them) of filters (all of them), one sort. Its index may lag behind the writes.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Value, json};

use super::account::{Account, Record};
use super::errors::Failure;
use super::objects;
use super::render::{self, Show};
use super::schema::ObjectType;
use super::search_body::{self, Filter, Test, tokens};
use super::{Context, Outcome, asked, body_object, json_reply, validate};
use crate::sandbox::clock;
use crate::sandbox::message::Request;

pub(super) fn search(account: &Account, request: &Request, name: &str, cx: &Context<'_>) -> Outcome {
    asked::parameters(request, &[])?;
    let body = body_object(request)?;
    let object = account.types.get(name).ok_or_else(Failure::not_found)?;
    let search = search_body::read(object, &body.as_object().cloned().unwrap_or_default())?;
    let visible_until = cx.now_ms.saturating_sub(cx.mods.lag_ms());
    let lagging = cx.mods.lag_ms() > 0;
    let fits = |record: &&Record| {
        record.archived_ms.is_none()
            && record.merged_into.is_none()
            && (!lagging || record.created_ms <= visible_until)
            && has_words(object, record, &search.words)
            && (search.groups.is_empty()
                || search
                    .groups
                    .iter()
                    .any(|g| g.iter().all(|f| passes(object, record, f))))
    };
    let records = account.table(name).map(|t| &t.records);
    let mut found: Vec<&Record> = records
        .into_iter()
        .flat_map(|r| r.values())
        .filter(fits)
        .collect();
    if let Some((property, descending)) = &search.sort {
        found.sort_by(|a, b| sorted(object, property, *descending, a, b));
    }
    let names = objects::wanted(search.properties, object);
    let results: Vec<Value> = found
        .iter()
        .skip(search.after)
        .take(search.limit)
        .map(|r| Value::Object(render::record(account, object, r, Show::Asked(&names))))
        .collect();
    let mut answer = json!({"total": found.len(), "results": results});
    let end = search.after + search.limit;
    if end < found.len() && search.limit > 0 {
        answer["paging"] = json!({"next": {"after": end.to_string()}});
    }
    Ok(json_reply(200, &answer))
}

/// A record's value of a property, the system's own too; `None` when it is empty.
fn value_of<'a>(object: &ObjectType, record: &'a Record, property: &str) -> Option<Cow<'a, str>> {
    let own = record.properties.get(property).filter(|v| !v.is_empty());
    match (property, own) {
        (_, Some(value)) => Some(Cow::Borrowed(value)),
        ("hs_object_id", None) => Some(Cow::Owned(record.id.to_string())),
        ("createdate", None) => Some(Cow::Owned(clock::iso(record.created_ms))),
        (name, None) if name == object.modified_property() => Some(Cow::Owned(clock::iso(record.updated_ms))),
        _ => None,
    }
}

/// Whether each word begins a part of one of the searchable properties.
fn has_words(object: &ObjectType, record: &Record, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let searchable = object.searchable();
    let parts: Vec<String> = searchable
        .iter()
        .filter_map(|name| record.properties.get(*name))
        .flat_map(|value| tokens(value))
        .collect();
    words
        .iter()
        .all(|word| parts.iter().any(|part| part.starts_with(word)))
}

enum Measure {
    Time(i64),
    Number(f64),
}

/// The order of two values of a property: numbers and times by what they mean, all else as text.
fn order(object: &ObjectType, property: &str, a: &str, b: &str) -> Ordering {
    let measure = |text: &str| match object.properties.get(property).map(|p| p.kind.as_str()) {
        Some("date" | "datetime") => validate::moment(text).map(Measure::Time),
        Some("number") => text.parse().ok().map(Measure::Number),
        _ => None,
    };
    match (measure(a), measure(b)) {
        (Some(Measure::Time(a)), Some(Measure::Time(b))) => a.cmp(&b),
        (Some(Measure::Number(a)), Some(Measure::Number(b))) => a.total_cmp(&b),
        (None, None) => a.to_lowercase().cmp(&b.to_lowercase()),
        // What is put in place by hand may be neither: it follows the others, so that the order stays one.
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// Records without a value come last, whatever the direction; those of one value keep their order.
fn sorted(object: &ObjectType, property: &str, descending: bool, a: &Record, b: &Record) -> Ordering {
    match (value_of(object, a, property), value_of(object, b, property)) {
        (Some(a), Some(b)) => {
            let order = order(object, property, &a, &b);
            if descending { order.reverse() } else { order }
        }
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

fn passes(object: &ObjectType, record: &Record, filter: &Filter) -> bool {
    let have = value_of(object, record, &filter.property);
    let compared = |wanted: &str| Some(order(object, &filter.property, have.as_deref()?, wanted));
    let is = |wanted: &String| compared(wanted).is_some_and(Ordering::is_eq);
    let has = |token: &str| {
        let token = token.trim_matches('*').to_lowercase();
        have.as_ref().is_some_and(|h| h.to_lowercase().contains(&token))
    };
    match &filter.test {
        Test::Is(wanted) => is(wanted),
        Test::IsNot(wanted) => !is(wanted),
        Test::In(list) => list.iter().any(is),
        Test::NotIn(list) => !list.iter().any(is),
        Test::Set => have.is_some(),
        Test::Unset => have.is_none(),
        Test::HasToken(token) => has(token),
        Test::LacksToken(token) => !has(token),
        Test::Less(wanted) => compared(wanted).is_some_and(Ordering::is_lt),
        Test::AtMost(wanted) => compared(wanted).is_some_and(Ordering::is_le),
        Test::More(wanted) => compared(wanted).is_some_and(Ordering::is_gt),
        Test::AtLeast(wanted) => compared(wanted).is_some_and(Ordering::is_ge),
        Test::Between(low, high) => {
            compared(low).is_some_and(Ordering::is_ge) && compared(high).is_some_and(Ordering::is_le)
        }
    }
}
