//! The recorded scenarios of batches, where they lie beside the checkout: the same request, and each record's outcome.

use amp_write::action::Action;
use amp_write::connectors::{BatchOutcome, ErrorClass, Outcome};
use serde_json::{Map, Value, json};

use super::{Batch, body, create};
use crate::harness::shared;

/// The batch that makes the request of a scenario.
fn batch(provider: &str, request: &Value) -> Option<Batch> {
    let path = request["path"].as_str()?;
    let (action, object) = match (provider, request["method"].as_str()?) {
        ("hubspot", "POST") => {
            let (object, verb) = path
                .strip_prefix("/crm/objects/2026-0")?
                .split_once('/')?
                .1
                .split_once("/batch/")?;
            (Action::parse(verb)?, object.to_owned())
        }
        ("salesforce", method) if path.ends_with("/composite/sobjects") => {
            let object = request["body"]["records"][0]["attributes"]["type"].as_str()?;
            (
                if method == "PATCH" {
                    Action::Update
                } else {
                    Action::Create
                },
                object.to_owned(),
            )
        }
        _ => return None,
    };
    let sent = &request["body"];
    let inputs = sent["inputs"].as_array().or_else(|| sent["records"].as_array())?;
    let own = |input: &Value| -> Map<String, Value> {
        let mut own = input["properties"]
            .as_object()
            .or_else(|| input.as_object())
            .unwrap()
            .clone();
        own.retain(|key, _| key != "attributes" && key != "id");
        own
    };
    let records: Vec<Value> = inputs.iter().map(|input| Value::Object(own(input))).collect();
    let mut batch = create(provider, &object, &records);
    batch.action = action;
    batch.ids = inputs
        .iter()
        .map(|input| input["id"].as_str().map(str::to_owned))
        .collect();
    for (at, trace) in inputs
        .iter()
        .filter_map(|input| input["objectWriteTraceId"].as_str())
        .enumerate()
    {
        batch.traces[at] = trace.to_owned();
    }
    let untraced = provider == "hubspot" && inputs.iter().all(|input| input["objectWriteTraceId"].is_null());
    batch.all_or_none = sent["allOrNone"] == json!(true) || untraced;
    Some(batch)
}

/// Whether the request is the recorded one, but for a trace id and for keys that say nothing.
fn same_request(batch: &Batch, recorded: &Value) -> bool {
    fn bare(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(bare).collect(),
            Value::Object(map) => {
                let nothing = |key: &str, value: &Value| {
                    *value == json!([])
                        || (key == "objectWriteTraceId")
                        || (key == "allOrNone" && *value == json!(false))
                };
                let own = map.iter().filter(|(key, value)| !nothing(key, value));
                own.map(|(key, value)| (key.clone(), bare(value)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            other => other.clone(),
        }
    }
    batch
        .prepare()
        .is_ok_and(|request| bare(&body(&request)) == bare(recorded))
}

/// The id of each record in the answer, by what is known of the scenario: no id where it failed.
fn expected(provider: &str, row: &Value, at: usize) -> Option<String> {
    let answer = &row["response"]["body"];
    if provider == "salesforce" {
        let done = answer[at]["success"] == json!(true);
        return answer[at]["id"].as_str().filter(|_| done).map(str::to_owned);
    }
    let input = &row["request"]["body"]["inputs"][at];
    let of = |result: &&Value| match input["id"].as_str() {
        Some(id) => result["id"] == json!(id),
        None if !result["objectWriteTraceId"].is_null() => {
            result["objectWriteTraceId"] == input["objectWriteTraceId"]
        }
        None => result["properties"]["email"] == input["properties"]["email"],
    };
    answer["results"].as_array()?.iter().find(of)?["id"]
        .as_str()
        .map(str::to_owned)
}

#[test]
fn batches_mean_what_the_scenarios_say() {
    let Some(folder) = shared::recorded("providers") else {
        return;
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for provider in ["hubspot", "salesforce"] {
        for row in shared::rows(&folder.join(format!("{provider}_scenarios.jsonl"))) {
            let Some(batch) = batch(provider, &row["request"]).filter(|batch| !batch.records.is_empty())
            else {
                continue;
            };
            seen += 1;
            let (status, answer) = (
                row["response"]["status"].as_u64().unwrap(),
                &row["response"]["body"],
            );
            let bytes = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
            let outcome = batch.interpret(u16::try_from(status).unwrap(), bytes.as_bytes());
            let fits = match (row["client_class"].as_str().unwrap(), &outcome) {
                ("success" | "partial", BatchOutcome::Each(all)) => {
                    all.iter().enumerate().all(|(at, one)| match one {
                        Outcome::Succeeded { record_id, .. } => {
                            *record_id == expected(provider, &row, at) && record_id.is_some()
                        }
                        Outcome::Retry { .. } => row["retryable"] == json!(true),
                        Outcome::Rejected(_) => expected(provider, &row, at).is_none(),
                        _ => false,
                    })
                }
                ("validation", BatchOutcome::Whole(Outcome::Rejected(error))) => {
                    error.class == ErrorClass::Validation
                }
                ("conflict", BatchOutcome::Whole(Outcome::Rejected(error))) => {
                    error.class == ErrorClass::Conflict
                }
                ("transient", BatchOutcome::Whole(Outcome::Unknown(_))) => batch.action == Action::Create,
                _ => false,
            };
            // An update without an id, a record without a type: refused before they are sent.
            let sendable = batch.action == Action::Create || batch.ids.iter().all(Option::is_some);
            if !fits || (sendable && !same_request(&batch, &row["request"]["body"])) {
                wrong.push(format!("{} {}: {outcome:?}", row["id"], row["title"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 15, "only {seen} scenarios were batches");
}
