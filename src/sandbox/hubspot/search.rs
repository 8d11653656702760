//! Search: filter groups (any of them) of filters (all of them). Its index may lag behind the writes.

use serde_json::{Value, json};

use super::account::{Account, Record};
use super::errors::Failure;
use super::objects;
use super::render::{self, Show};
use super::{Context, Outcome, body_object, json_reply};
use crate::sandbox::message::Request;

pub(super) fn search(account: &Account, request: &Request, name: &str, cx: &Context<'_>) -> Outcome {
    let body = body_object(request)?;
    let object = account.types.get(name).ok_or_else(Failure::not_found)?;
    let groups = body
        .get("filterGroups")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for filter in groups
        .iter()
        .filter_map(|g| g.get("filters")?.as_array())
        .flatten()
    {
        let property = filter
            .get("propertyName")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !object.properties.contains_key(property) {
            let message =
                format!("There was a problem with the request: Property '{property}' does not exist");
            return Err(Failure::validation(message));
        }
    }
    let limit = body
        .get("limit")
        .and_then(Value::as_u64)
        .unwrap_or(10)
        .clamp(1, 200);
    let after = match body.get("after") {
        Some(Value::String(after)) => after.parse().unwrap_or(0),
        Some(Value::Number(after)) => after.as_u64().unwrap_or(0),
        _ => 0,
    };
    let visible_until = cx.now_ms.saturating_sub(cx.mods.lag_ms());
    let lagging = cx.mods.lag_ms() > 0;
    let fits = |record: &&Record| {
        record.archived_ms.is_none()
            && record.merged_into.is_none()
            && (!lagging || record.created_ms <= visible_until)
            && (groups.is_empty() || groups.iter().any(|g| in_group(record, g)))
    };
    let records = account.table(name).map(|t| &t.records);
    let found: Vec<&Record> = records
        .into_iter()
        .flat_map(|r| r.values())
        .filter(fits)
        .collect();
    let names = body.get("properties").and_then(Value::as_array);
    let asked: Vec<String> = match names {
        Some(names) => names
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        None => objects::asked(None, object.default_properties()),
    };
    let (skip, take) = (
        usize::try_from(after).unwrap_or(usize::MAX),
        usize::try_from(limit).unwrap_or(10),
    );
    let results: Vec<Value> = found
        .iter()
        .skip(skip)
        .take(take)
        .map(|r| Value::Object(render::record(account, object, r, Show::Asked(&asked))))
        .collect();
    let mut answer = json!({"total": found.len(), "results": results});
    if skip.saturating_add(take) < found.len() {
        answer["paging"] = json!({"next": {"after": (skip + take).to_string()}});
    }
    Ok(json_reply(200, &answer))
}

fn in_group(record: &Record, group: &Value) -> bool {
    group
        .get("filters")
        .and_then(Value::as_array)
        .is_some_and(|filters| filters.iter().all(|f| in_filter(record, f)))
}

fn in_filter(record: &Record, filter: &Value) -> bool {
    let text = |key: &str| {
        filter
            .get(key)
            .and_then(|v| super::validate::text(v).ok())
            .unwrap_or_default()
    };
    let property = text("propertyName");
    let id = record.id.to_string();
    let have = match property.as_str() {
        "hs_object_id" => Some(id.as_str()),
        name => record
            .properties
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty()),
    };
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let order = |b: &str| -> Option<std::cmp::Ordering> {
        let a = have?;
        match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.partial_cmp(&b),
            _ => Some(a.cmp(b)),
        }
    };
    let value = text("value");
    let listed = || {
        let values = filter.get("values").and_then(Value::as_array);
        values
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|v| have.is_some_and(|h| same(h, v)))
    };
    match text("operator").as_str() {
        "EQ" => have.is_some_and(|h| same(h, &value)),
        "NEQ" => have.is_none_or(|h| !same(h, &value)),
        "IN" => listed(),
        "NOT_IN" => !listed(),
        "HAS_PROPERTY" => have.is_some(),
        "NOT_HAS_PROPERTY" => have.is_none(),
        "CONTAINS_TOKEN" => {
            have.is_some_and(|h| h.to_lowercase().contains(&value.trim_matches('*').to_lowercase()))
        }
        "GT" => order(&value).is_some_and(std::cmp::Ordering::is_gt),
        "GTE" => order(&value).is_some_and(std::cmp::Ordering::is_ge),
        "LT" => order(&value).is_some_and(std::cmp::Ordering::is_lt),
        "LTE" => order(&value).is_some_and(std::cmp::Ordering::is_le),
        _ => false,
    }
}
