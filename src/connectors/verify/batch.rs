//! One recorded batch: the same request, and the same result for each record.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Verdict, alike, answer, same_exchange};
use crate::action::Action;
use crate::connectors::batch::{BatchCommand, BatchItem, BatchOutcome};
use crate::connectors::connector::Connector;
use crate::connectors::contract::{Outcome, ProviderRequest};

pub(super) fn row(
    connector: &Connector,
    vars: &BTreeMap<String, String>,
    row: &Value,
    now: jiff::Timestamp,
) -> Verdict {
    let input = &row["input"];
    let Some(action) = input["Type"].as_str().and_then(Action::parse) else {
        return Verdict::Differs("the row has no `Type`".into());
    };
    let recorded = input["Batch"].as_array().map_or(&[][..], Vec::as_slice);
    // The recorded traces are the places of the records.
    let traces: Vec<String> = (0..recorded.len()).map(|at| at.to_string()).collect();
    let records: Vec<Map<String, Value>> = recorded
        .iter()
        .map(|item| item["Record"].as_object().cloned().unwrap_or_default())
        .collect();
    let items: Vec<BatchItem<'_>> = recorded
        .iter()
        .zip(&traces)
        .zip(&records)
        .map(|((item, trace_id), record)| BatchItem {
            trace_id,
            record_id: record.get("id").and_then(Value::as_str),
            record,
            associations: item["Associations"].as_array().map_or(&[][..], Vec::as_slice),
        })
        .collect();
    let command = BatchCommand {
        action,
        object: input["ObjectName"].as_str().unwrap_or_default(),
        items: &items,
        headers: &[],
        vars,
        all_or_none: input["AllOrNone"] == Value::Bool(true),
    };
    let exchanges = row["exchanges"].as_array().map_or(&[][..], Vec::as_slice);
    let [exchange] = exchanges else {
        return Verdict::Differs(format!("one call, and {} are recorded", exchanges.len()));
    };
    match connector.prepare_batch(&command) {
        Err(refusal) => return Verdict::Differs(format!("refused: {}", refusal.message)),
        Ok(request) => {
            // A trace id is ours to add: recorded updates are without.
            let same = same_exchange(&request, exchange, vars, true)
                .or_else(|why| same_exchange(&untraced(request), exchange, vars, true).map_err(|_| why));
            if let Err(why) = same {
                return Verdict::Differs(why);
            }
        }
    }
    let outcome = connector.interpret_batch(&command, &answer(exchange), now);
    match (&outcome, row["result"]["Results"].as_array()) {
        (BatchOutcome::Whole(_), None) => Verdict::Matched,
        (BatchOutcome::Each(all), Some(results)) if all.len() == results.len() => {
            let first = all
                .iter()
                .zip(results)
                .enumerate()
                .find_map(|(at, (one, theirs))| Some((at, difference(one, theirs)?)));
            first.map_or(Verdict::Matched, |(at, why)| {
                Verdict::Differs(format!("record {at}: {why}"))
            })
        }
        _ => Verdict::Differs(format!("{outcome:?} and recorded is {}", row["result"])),
    }
}

/// The request without trace ids.
fn untraced(mut request: ProviderRequest) -> ProviderRequest {
    let body = request.body.as_deref().unwrap_or_default();
    if let Ok(mut body) = serde_json::from_slice::<Value>(body) {
        let inputs = body.get_mut("inputs").and_then(Value::as_array_mut);
        for input in inputs.into_iter().flatten().filter_map(Value::as_object_mut) {
            input.shift_remove("objectWriteTraceId");
        }
        request.body = Some(body.to_string().into_bytes());
    }
    request
}

/// What differs between an outcome and a recorded result.
fn difference(outcome: &Outcome, recorded: &Value) -> Option<String> {
    let succeeded = recorded["success"] == Value::Bool(true);
    let Outcome::Succeeded { record_id, data } = outcome else {
        return succeeded.then(|| format!("{outcome:?} where a success is recorded"));
    };
    if !succeeded {
        return Some("a success where a failure is recorded".into());
    }
    let theirs = recorded["recordId"].as_str();
    if record_id.as_deref() != theirs {
        return Some(format!("record id is {record_id:?} and recorded is {theirs:?}"));
    }
    let (own, theirs) = (data.clone().unwrap_or_default(), &recorded["data"]);
    let same = theirs.is_null() || alike(&own, theirs, None);
    (!same).then(|| format!("data is {own} and recorded is {theirs}"))
}
