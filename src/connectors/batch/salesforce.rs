//! Salesforce's collections: `/services/data/v60.0/composite/sobjects` (REST API Developer Guide, "sObject Collections").
//! Results come in the order of the request, which Salesforce guarantees.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::reading::Reading;
use super::{BatchCommand, BatchItem, BatchOutcome};
use crate::action::Action;
use crate::connectors::contract::{Outcome, Refusal, RefusalKind};
use crate::connectors::declarative::answers::is_readable_id;
use crate::connectors::declarative::escape::push_segment;
use crate::connectors::declarative::json_path::scalar;
use crate::record_rules::Ids;

/// The code of a record that was good and was taken back because another one was not.
const ROLLED_BACK: &str = "ALL_OR_NONE_OPERATION_ROLLED_BACK";

/// The method and body of a create or an update.
pub(super) fn request(command: &BatchCommand<'_>) -> Result<(http::Method, Vec<u8>), Refusal> {
    let object = command.object;
    // Here the name stands in the body; it has to be one that a path can hold, as for a single write.
    push_segment(&mut String::new(), object).map_err(|why| {
        let name = object.escape_debug();
        Refusal::new(RefusalKind::UnknownObject, format!("the object `{name}` {why}"))
    })?;
    let records = command.items.iter().enumerate();
    let records: Vec<Value> = records
        .map(|(at, item)| record(command, at, item))
        .collect::<Result<_, _>>()?;
    let body = json!({"allOrNone": command.all_or_none, "records": records});
    let method = if command.action == Action::Create {
        http::Method::POST
    } else {
        http::Method::PATCH
    };
    Ok((method, body.to_string().into_bytes()))
}

/// A record with its type and, on an update, its id. Names of fields are the same in any case.
fn record(command: &BatchCommand<'_>, at: usize, item: &BatchItem<'_>) -> Result<Value, Refusal> {
    let update = command.action == Action::Update;
    let mut out = Map::with_capacity(item.record.len() + 2);
    out.insert("attributes".into(), json!({"type": command.object}));
    if let Some(id) = item.record_id.filter(|_| update) {
        out.insert("id".into(), Value::from(id));
    }
    for (name, value) in item.record {
        if name.eq_ignore_ascii_case("attributes") {
            return Err(Refusal::new(
                RefusalKind::InvalidRecord,
                format!("record {at} of the batch has `{name}`, which would name its type; leave it out"),
            ));
        }
        if update && name.eq_ignore_ascii_case("id") {
            let own = scalar(value).unwrap_or_default();
            if !item.record_id.is_some_and(|id| same_id(id, &own)) {
                return Err(Refusal::new(
                    RefusalKind::InvalidRecordId,
                    format!(
                        "record {at} of the batch has another `{name}` than the one it is updated by; leave it out"
                    ),
                ));
            }
            continue;
        }
        out.insert(name.clone(), value.clone());
    }
    Ok(Value::Object(out))
}

/// Whether two ids name the same record.
fn same_id(a: &str, b: &str) -> bool {
    Ids::Salesforce.canonical(a) == Ids::Salesforce.canonical(b)
}

/// What an answer says about each record.
pub(super) fn interpret(reading: &Reading<'_>) -> BatchOutcome {
    let parsed = reading.response.json();
    let items = match &parsed {
        Ok(Some(Value::Array(items))) if is_list_of_results(items) => items,
        Ok(body) if !reading.is_success() => return reading.refused(body.as_ref()),
        Err(_) if !reading.is_success() => {
            return reading.refused(reading.response.json_so_far().as_ref());
        }
        Ok(Some(body)) if is_refusal(body) => return reading.refused(Some(body)),
        Ok(_) => return reading.unreadable("its body does not say what became of the records"),
        Err(why) => return reading.unreadable(why),
    };
    // A refusal of all records may come with status 400 (fixtures of amp-labs/connectors).
    if !reading.is_success() && reading.response.status != 400 {
        return reading.refused(parsed.as_ref().ok().and_then(Option::as_ref));
    }
    let command = reading.command;
    if items.len() != command.items.len() {
        return reading.unreadable("with another number of results than there were records");
    }
    let pairs = || items.iter().zip(command.items);
    let misplaced = |(result, item): (&Value, &BatchItem<'_>)| match (text(result, "id"), item.record_id) {
        (Some(id), Some(asked)) if command.action == Action::Update => !same_id(&id, asked),
        _ => false,
    };
    if pairs().any(misplaced) {
        return reading.unreadable("its results are those of other records");
    }
    let any_done = items.iter().any(|result| result["success"] == Value::Bool(true));
    // Where all is taken back, nothing was applied, whatever the reason.
    let all_back = command.all_or_none && !any_done;
    let outcomes: Vec<Outcome> = pairs()
        .map(|(result, item)| one(reading, result, item, all_back))
        .collect();
    if all_back && let Some(retry) = outcomes.iter().find(|o| matches!(o, Outcome::Retry { .. })) {
        return BatchOutcome::Whole(retry.clone());
    }
    BatchOutcome::Each(outcomes)
}

/// `[{"success": …}, …]`, and not `[{"errorCode": …}]`.
fn is_list_of_results(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|item| item["success"].is_boolean())
}

/// `[{"errorCode": …, "message": …}]`, or one such object.
fn is_refusal(body: &Value) -> bool {
    let first = body.as_array().and_then(|items| items.first()).unwrap_or(body);
    first["errorCode"].is_string() || first["error"].is_string()
}

fn text(result: &Value, key: &str) -> Option<String> {
    result.get(key).and_then(scalar).filter(|id| is_readable_id(id))
}

fn one(reading: &Reading<'_>, result: &Value, item: &BatchItem<'_>, all_back: bool) -> Outcome {
    if result["success"] == Value::Bool(true) {
        let asked = || item.record_id.map(str::to_owned);
        return match text(result, "id") {
            Some(id) => Outcome::Succeeded {
                record_id: Some(id),
                data: None,
            },
            None if reading.command.action == Action::Update => Outcome::Succeeded {
                record_id: asked(),
                data: None,
            },
            None => reading.untold("the provider says that the record was made, but not its id"),
        };
    }
    let outcome = reading.item(result, all_back || reading.repeat_safe());
    match outcome {
        Outcome::Rejected(mut error) if error.code.as_deref() == Some(ROLLED_BACK) => {
            error.message = format!(
                "rolled back, because another record of the batch was refused: {}",
                error.message
            );
            Outcome::Rejected(error)
        }
        other => other,
    }
}

/// The body of a read.
pub(super) fn read_body(ids: &[&str], fields: &[&str]) -> Value {
    json!({"ids": ids, "fields": fields})
}

/// The records of an answer to a read: as many as there were ids, null for one that is missing. `None` when it does not say
/// of each which record it is.
pub(super) fn current(ids: &[&str], body: &Value) -> Option<HashMap<String, Map<String, Value>>> {
    let records = body.as_array()?;
    let mut asked: Vec<&str> = Vec::with_capacity(ids.len());
    for id in ids {
        if !asked.contains(id) {
            asked.push(id);
        }
    }
    if records.len() != asked.len() {
        return None;
    }
    let mut found = HashMap::new();
    let mut missing = 0;
    for record in records {
        let record = match record {
            Value::Null => {
                missing += 1;
                continue;
            }
            Value::Object(record) => record,
            _ => return None,
        };
        let own = own_id(record)?;
        let named: Vec<&str> = asked.iter().copied().filter(|id| same_id(id, &own)).collect();
        if named.is_empty() {
            return None;
        }
        for id in named {
            found.insert(id.to_owned(), record.clone());
        }
    }
    // Two answers for one record would leave another one without.
    (found.len() + missing >= asked.len()).then_some(found)
}

/// The id of a record: its own, or the end of its address.
fn own_id(record: &Map<String, Value>) -> Option<String> {
    let id = record.iter().find(|(name, _)| name.eq_ignore_ascii_case("id"));
    let of_url = || {
        let url = record.get("attributes")?.get("url")?.as_str()?;
        url.rsplit('/').next().map(str::to_owned)
    };
    id.and_then(|(_, id)| scalar(id)).or_else(of_url)
}
