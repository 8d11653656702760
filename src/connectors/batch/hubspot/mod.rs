//! HubSpot's batch requests: `POST /crm/objects/2026-03/{object}/batch/{create,update,read}` (HubSpot's API reference, "CRM
//! objects"; what trace ids do is shown by the fixtures of amp-labs/connectors).

mod answer;
mod pairing;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

pub(super) use self::answer::{current, interpret};
use super::{BatchCommand, BatchItem};
use crate::action::Action;
use crate::connectors::contract::{Refusal, RefusalKind};
use crate::connectors::declarative::body::is_nothing;
use crate::connectors::declarative::json_path::scalar;

#[derive(Serialize)]
struct Inputs<'a> {
    inputs: Vec<Input<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    properties: Cow<'a, Map<String, Value>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    associations: Vec<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_write_trace_id: Option<&'a str>,
}

/// Whether the inputs carry trace ids. A create whose inputs all have one of their own is partial; without them one bad
/// input refuses all. An update is partial in any case.
pub(super) fn is_traced(command: &BatchCommand<'_>) -> bool {
    command.action == Action::Update || !command.all_or_none
}

/// The body of a create or an update. The id of an update stands beside the properties and is none of them.
pub(super) fn body(command: &BatchCommand<'_>) -> Result<Vec<u8>, Refusal> {
    let traced = is_traced(command);
    let update = command.action == Action::Update;
    let mut inputs = Vec::with_capacity(command.items.len());
    for (at, item) in command.items.iter().enumerate() {
        inputs.push(Input {
            id: item.record_id.filter(|_| update),
            properties: properties(command, at, item)?,
            associations: item.associations.iter().filter(|a| !is_nothing(a)).collect(),
            object_write_trace_id: traced.then_some(item.trace_id),
        });
    }
    serde_json::to_vec(&Inputs { inputs })
        .map_err(|why| Refusal::new(RefusalKind::InvalidRecord, why.to_string()))
}

fn properties<'a>(
    command: &BatchCommand<'_>,
    at: usize,
    item: &BatchItem<'a>,
) -> Result<Cow<'a, Map<String, Value>>, Refusal> {
    let Some(own) = item.record.get("id").filter(|_| command.action == Action::Update) else {
        return Ok(Cow::Borrowed(item.record));
    };
    if scalar(own).as_deref() != item.record_id {
        return Err(Refusal::new(
            RefusalKind::InvalidRecordId,
            format!("record {at} of the batch has another `id` than the one it is updated by; leave it out"),
        ));
    }
    let mut properties = item.record.clone();
    properties.shift_remove("id");
    Ok(Cow::Owned(properties))
}

/// The body of a read.
pub(super) fn read_body(ids: &[&str], fields: &[&str]) -> Value {
    let inputs: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    json!({"properties": fields, "inputs": inputs})
}
