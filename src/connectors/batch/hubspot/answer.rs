//! HubSpot's batch answers: `{status, results[], errors[], numErrors}`, in any order, with status 200, 201 or 207. What
//! counts is `errors` and never the status. The recorded answers do not repeat trace ids in `results`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::pairing::Pairing;
use crate::action::Action;
use crate::connectors::batch::BatchOutcome;
use crate::connectors::batch::reading::Reading;
use crate::connectors::contract::{ErrorClass, Outcome, ProviderError};
use crate::connectors::declarative::answers::is_readable_id;
use crate::connectors::declarative::json_path::scalar;
use crate::connectors::read_answers::same_record;

/// What an answer says about each record.
pub(in crate::connectors::batch) fn interpret(reading: &Reading<'_>, unique: &[String]) -> BatchOutcome {
    if !reading.is_success() {
        return reading.refused(reading.response.json_so_far().as_ref());
    }
    let body = match reading.response.json() {
        Ok(body) => body.unwrap_or_default(),
        Err(why) => return reading.unreadable(why),
    };
    let Some(answer) = Answer::of(&body) else {
        return reading.unreadable("its body does not say what became of the records");
    };
    let command = reading.command;
    let atomic = command.all_or_none && command.action == Action::Create;
    if atomic && answer.results.is_empty() && !answer.errors.is_empty() {
        let all: Vec<Outcome> = answer.errors.iter().map(|e| reading.item(e, false)).collect();
        if let Some(error) = joined(&all) {
            return BatchOutcome::Whole(Outcome::Rejected(error));
        }
    }
    let mut pairing = Pairing::new(reading, &answer);
    pairing.take_errors();
    pairing.by_trace_id();
    pairing.by_record_id();
    pairing.by_content(unique);
    BatchOutcome::Each(pairing.finish())
}

/// A batch answer in its parts.
pub(super) struct Answer<'a> {
    pub(super) results: Vec<Found<'a>>,
    pub(super) errors: &'a [Value],
    pub(super) count: Option<usize>,
    pub(super) complete: bool,
}

/// One result.
pub(super) struct Found<'a> {
    pub(super) id: Option<String>,
    pub(super) trace: Option<String>,
    pub(super) properties: Option<&'a Map<String, Value>>,
}

impl<'a> Answer<'a> {
    fn of(body: &'a Value) -> Option<Self> {
        let list = |key: &str| body.get(key).and_then(Value::as_array);
        let (results, errors) = (list("results"), list("errors"));
        if results.is_none() && errors.is_none() {
            return None;
        }
        let text = |value: &Value, key: &str| value.get(key).and_then(scalar).filter(|t| is_readable_id(t));
        let found = |result: &'a Value| Found {
            id: text(result, "id"),
            trace: text(result, "objectWriteTraceId"),
            properties: result.get("properties").and_then(Value::as_object),
        };
        Some(Self {
            results: results.into_iter().flatten().map(found).collect(),
            errors: errors.map_or(&[], Vec::as_slice),
            count: body
                .get("numErrors")
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok()),
            complete: text(body, "status").is_none_or(|status| status.eq_ignore_ascii_case("COMPLETE")),
        })
    }
}

/// The texts in the context of an error under a key, one or a list.
pub(super) fn named(error: &Value, key: &str) -> Vec<String> {
    match error.get("context").and_then(|context| context.get(key)) {
        Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
        Some(value) => scalar(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// One error for several, where all are refusals for good.
pub(super) fn joined(outcomes: &[Outcome]) -> Option<ProviderError> {
    let refusal = |outcome: &Outcome| match outcome {
        Outcome::Rejected(error) => Some(error.clone()),
        _ => None,
    };
    let errors: Vec<ProviderError> = outcomes.iter().map(refusal).collect::<Option<_>>()?;
    let first = errors.first()?.clone();
    let mut texts: Vec<&str> = Vec::new();
    for error in &errors {
        if !texts.contains(&error.message.as_str()) {
            texts.push(&error.message);
        }
    }
    let message = texts.join("; ");
    let same = |of: fn(&ProviderError) -> (ErrorClass, Option<&str>)| {
        errors.iter().all(|error| of(error) == of(&first))
    };
    if same(|error| (error.class, error.code.as_deref())) {
        let existing_id = first.existing_id.clone().filter(|_| errors.len() == 1);
        return Some(ProviderError {
            message,
            existing_id,
            ..first
        });
    }
    Some(ProviderError {
        class: ErrorClass::Validation,
        code: None,
        message,
        status: first.status,
        existing_id: None,
    })
}

/// The records of an answer to a read, where it accounts for every one: by its values, or by an error that says that it is
/// missing. A result of a record that was not asked for accounts for none, although a merged record is answered with the id
/// that it was merged into: which one that was, nobody can tell.
///
/// # Errors
/// What went wrong with a record; `None` when the answer does not say which is which.
pub(in crate::connectors::batch) fn current(
    reading: &Reading<'_>,
    ids: &[&str],
    body: &Value,
) -> Result<HashMap<String, Map<String, Value>>, Option<Outcome>> {
    let answer = Answer::of(body).filter(|answer| answer.complete).ok_or(None)?;
    let mut missing: Vec<String> = Vec::new();
    for error in answer.errors {
        match reading.item(error, true) {
            Outcome::Rejected(own) if own.class == ErrorClass::NotFound => {
                missing.extend(named(error, "ids"))
            }
            other => return Err(Some(other)),
        }
    }
    let mut found = HashMap::new();
    for result in &answer.results {
        let (Some(told), Some(properties)) = (&result.id, result.properties) else {
            return Err(None);
        };
        for id in ids.iter().filter(|id| same_record(id, told)) {
            found.insert((*id).to_owned(), properties.clone());
        }
    }
    let gone = |id: &str| missing.iter().any(|told| same_record(id, told));
    if ids.iter().all(|id| found.contains_key(*id) || gone(id)) {
        Ok(found)
    } else {
        Err(None)
    }
}
