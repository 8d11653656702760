//! HubSpot's batch answers: `{status, results[], errors[], numErrors}`, in any order, with status 200, 201 or 207. What
//! counts is `errors` and never the status. The recorded answers do not repeat trace ids in `results`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::content::{Sent, pairs};
use super::hubspot::is_traced;
use super::reading::Reading;
use super::{BatchItem, BatchOutcome};
use crate::action::Action;
use crate::connectors::contract::{ErrorClass, Outcome, ProviderError};
use crate::connectors::declarative::interpret::parse;
use crate::connectors::declarative::json_path::scalar;

/// What an answer says about each record.
pub(super) fn interpret(reading: &Reading<'_>, unique: &[String]) -> BatchOutcome {
    let parsed = parse(reading.response);
    if !reading.is_success() {
        return reading.refused(parsed.ok().flatten().as_ref());
    }
    let body = match parsed {
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
struct Answer<'a> {
    results: Vec<Found<'a>>,
    errors: &'a [Value],
    count: Option<usize>,
    complete: bool,
}

/// One result.
struct Found<'a> {
    id: Option<String>,
    trace: Option<String>,
    properties: Option<&'a Map<String, Value>>,
}

impl<'a> Answer<'a> {
    fn of(body: &'a Value) -> Option<Self> {
        let list = |key: &str| body.get(key).and_then(Value::as_array);
        let (results, errors) = (list("results"), list("errors"));
        if results.is_none() && errors.is_none() {
            return None;
        }
        let text = |value: &Value, key: &str| value.get(key).and_then(scalar).filter(|t| !t.is_empty());
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
fn named(error: &Value, key: &str) -> Vec<String> {
    match error.get("context").and_then(|context| context.get(key)) {
        Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
        Some(value) => scalar(value).into_iter().collect(),
        None => Vec::new(),
    }
}

struct Pairing<'a> {
    reading: &'a Reading<'a>,
    answer: &'a Answer<'a>,
    items: &'a [BatchItem<'a>],
    outcomes: Vec<Option<Outcome>>,
    /// Whether an error names the item.
    failed: Vec<bool>,
    /// Places of results without an item.
    open: Vec<usize>,
    /// Errors that name none of the items.
    nameless: Vec<&'a Value>,
    /// Whether a result names an item that is not ours.
    foreign: bool,
}

impl<'a> Pairing<'a> {
    fn new(reading: &'a Reading<'a>, answer: &'a Answer<'a>) -> Self {
        let items = reading.command.items;
        Self {
            reading,
            answer,
            items,
            outcomes: vec![None; items.len()],
            failed: vec![false; items.len()],
            open: (0..answer.results.len()).collect(),
            nameless: Vec::new(),
            foreign: false,
        }
    }

    fn updates(&self) -> bool {
        self.reading.command.action == Action::Update
    }

    /// Gives each error to the items that it names.
    fn take_errors(&mut self) {
        for error in self.answer.errors {
            let traces = named(error, "objectWriteTraceId");
            let ids = if self.updates() {
                named(error, "ids")
            } else {
                Vec::new()
            };
            let is_named = |item: &BatchItem<'_>| {
                traces.iter().any(|trace| trace == item.trace_id)
                    || item.record_id.is_some_and(|own| ids.iter().any(|id| id == own))
            };
            let named: Vec<usize> = (0..self.items.len())
                .filter(|at| is_named(&self.items[*at]))
                .collect();
            if named.is_empty() {
                self.nameless.push(error);
            }
            for at in named {
                self.failed[at] = true;
                let outcome = self.reading.item(error, self.reading.repeat_safe());
                self.outcomes[at].get_or_insert(outcome);
            }
        }
    }

    fn by_trace_id(&mut self) {
        if !is_traced(self.reading.command) {
            return;
        }
        for result in std::mem::take(&mut self.open) {
            let Some(trace) = &self.answer.results[result].trace else {
                self.open.push(result);
                continue;
            };
            match self.items.iter().position(|item| item.trace_id == trace) {
                Some(at) => self.give(at, result),
                None => self.foreign = true,
            }
        }
    }

    /// Updates: by the id that was asked for.
    fn by_record_id(&mut self) {
        if !self.updates() {
            return;
        }
        for result in std::mem::take(&mut self.open) {
            let id = self.answer.results[result].id.as_deref();
            let is_it = |at: &usize| id.is_some() && self.items[*at].record_id == id;
            let waiting = (0..self.items.len()).filter(|at| self.outcomes[*at].is_none() || self.failed[*at]);
            match waiting.into_iter().find(is_it) {
                Some(at) => self.give(at, result),
                None => self.open.push(result),
            }
        }
    }

    fn by_content(&mut self, unique: &[String]) {
        let waiting = self.waiting();
        let results = &self.answer.results;
        let sent: Vec<Sent<'_>> = waiting
            .iter()
            .map(|at| Sent {
                id: self.items[*at].record_id.filter(|_| self.updates()),
                record: self.items[*at].record,
                associations: self.items[*at].associations,
            })
            .collect();
        let shown: Vec<_> = self.open.iter().map(|at| results[*at].properties).collect();
        let open = self.open.clone();
        for (record, result) in pairs(&sent, &shown, unique, self.adds_up()) {
            self.open.retain(|at| *at != open[result]);
            self.give(waiting[record], open[result]);
        }
    }

    /// Items that neither a result nor an error has been given to.
    fn waiting(&self) -> Vec<usize> {
        (0..self.items.len())
            .filter(|at| self.outcomes[*at].is_none())
            .collect()
    }

    /// Whether each item without an outcome has its result among those that are left.
    fn adds_up(&self) -> bool {
        let told = self
            .answer
            .errors
            .len()
            .max(self.failed.iter().filter(|f| **f).count());
        self.answer.complete
            && !self.foreign
            && self.nameless.is_empty()
            && self.answer.count.is_none_or(|count| count <= told)
            && self.waiting().len() == self.open.len()
    }

    /// Gives an item its result.
    fn give(&mut self, at: usize, result: usize) {
        let result = &self.answer.results[result];
        if self.failed[at] {
            // An error names it too. Of an update the error is what counts; a record that was made must not be made again.
            if !self.updates() {
                let why = "the answer holds both a result and an error for this record";
                self.outcomes[at] = Some(self.reading.untold(why));
            }
            return;
        }
        let (id, data) = (result.id.clone(), result.properties.cloned().map(Value::Object));
        let own = Outcome::Succeeded { record_id: id, data };
        let outcome = match self.outcomes[at].take() {
            None => own,
            Some(Outcome::Succeeded { record_id, data }) if record_id == result.id => {
                Outcome::Succeeded { record_id, data }
            }
            // Two results for one record: it was written, and nobody knows as which.
            Some(_) => Outcome::Succeeded {
                record_id: None,
                data: None,
            },
        };
        self.outcomes[at] = Some(outcome);
    }

    /// The outcomes, with those of items that nothing was found for.
    fn finish(self) -> Vec<Outcome> {
        let rest = self.rest();
        self.outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| rest.clone()))
            .collect()
    }

    /// The outcome of each item that nothing was found for.
    fn rest(&self) -> Outcome {
        let waiting = self.waiting().len();
        if self.adds_up() {
            return Outcome::Succeeded {
                record_id: None,
                data: None,
            };
        }
        let untold = || {
            self.reading
                .untold("the answer does not say what became of this record")
        };
        if !self.open.is_empty() || self.foreign || !self.answer.complete {
            return untold();
        }
        let safe = self.reading.repeat_safe();
        let errors: Vec<Outcome> = self.nameless.iter().map(|e| self.reading.item(e, safe)).collect();
        if let ([only], 1) = (errors.as_slice(), waiting) {
            return only.clone();
        }
        let failed = self.failed.iter().filter(|f| **f).count() + waiting;
        let as_many = errors.len() == waiting;
        let counted = match self.answer.count {
            Some(count) => count == failed || (as_many && count == self.answer.errors.len()),
            None => as_many,
        };
        match joined(&errors).filter(|_| counted) {
            Some(error) => Outcome::Rejected(error),
            None => untold(),
        }
    }
}

/// One error for several, where all are refusals for good.
fn joined(outcomes: &[Outcome]) -> Option<ProviderError> {
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

/// The records of an answer to a read. A merged record answers with the id that it was merged into.
pub(super) fn current(
    reading: &Reading<'_>,
    ids: &[&str],
    body: &Value,
) -> Result<HashMap<String, Map<String, Value>>, Outcome> {
    let untold = || reading.untold("the answer to a read does not say which record is which");
    let answer = Answer::of(body)
        .filter(|answer| answer.complete)
        .ok_or_else(untold)?;
    let mut missing: Vec<String> = Vec::new();
    for error in answer.errors {
        match reading.item(error, true) {
            Outcome::Rejected(own) if own.class == ErrorClass::NotFound => {
                missing.extend(named(error, "ids"))
            }
            other => return Err(other),
        }
    }
    let mut found = HashMap::new();
    let mut others = Vec::new();
    for result in &answer.results {
        let properties = result.properties.cloned().unwrap_or_default();
        match result.id.as_deref().filter(|id| ids.contains(id)) {
            Some(id) => drop(found.insert(id.to_owned(), properties)),
            None => others.push(properties),
        }
    }
    let mut left: Vec<&str> = ids.to_vec();
    left.sort_unstable();
    left.dedup();
    left.retain(|id| !found.contains_key(*id) && !missing.iter().any(|gone| gone == id));
    match (others.pop(), left.as_slice()) {
        (None, _) => Ok(found),
        (Some(only), [id]) if others.is_empty() => {
            found.insert((*id).to_owned(), only);
            Ok(found)
        }
        _ => Err(untold()),
    }
}
