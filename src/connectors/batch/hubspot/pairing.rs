//! Which result and which error of HubSpot belongs to which record: by trace id, by record id, by what they hold. In this
//! order, and never by position.

use serde_json::Value;

use super::answer::{Answer, joined, named};
use super::is_traced;
use crate::action::Action;
use crate::connectors::batch::BatchItem;
use crate::connectors::batch::content::{Sent, pairs};
use crate::connectors::batch::reading::Reading;
use crate::connectors::contract::Outcome;

/// The items of a batch and the parts of its answer, while they find each other.
pub(super) struct Pairing<'a> {
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
    pub(super) fn new(reading: &'a Reading<'a>, answer: &'a Answer<'a>) -> Self {
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
    pub(super) fn take_errors(&mut self) {
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

    pub(super) fn by_trace_id(&mut self) {
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
    pub(super) fn by_record_id(&mut self) {
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

    pub(super) fn by_content(&mut self, unique: &[String]) {
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
    pub(super) fn finish(self) -> Vec<Outcome> {
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
