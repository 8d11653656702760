//! Several records in one operation. Where the provider takes them in one call they go in one; else one by one. Each
//! record ends for itself: one that fails takes others with it only when the app asks for all or none.
//!
//! A batch is performed call by call ([`crate::writes::Writes::perform_chunk`]), by whoever waits: a synchronous one at once, an
//! asynchronous one with a turn of its lane for each call. What the next call carries follows from the attempts alone
//! ([`Progress`]).

mod chunk;
mod progress;
pub(in crate::writes) mod synchronous;

use std::collections::HashMap;

use serde_json::{Map, Value};
use uuid::Uuid;

pub use chunk::{Turn, end_untried};
pub use progress::{Note, NoteState, Progress, notes_text, read_notes};
pub use synchronous::PerformedBatch;

use super::perform::Job;
use super::request::{Invalid, StoredRequest};
use super::route::Route;
use super::{WriteError, error_list, record_key};
use crate::action::Action;
use crate::connectors::{BatchItem, RefusalKind};
use crate::mapping::{ApplyError, Plan, TraceEntry};
use crate::store::{EndState, NewResult};

/// Errors of a batch's records that its result lists, at most.
const MAX_ERRORS: usize = 100;

/// A batch that is ready to be performed.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The way.
    pub route: &'a Route,
    /// The compiled rules.
    pub plan: &'a Plan,
    /// What to do.
    pub action: Action,
    /// One record that fails takes all others back.
    pub all_or_none: bool,
    /// Headers to pass through.
    headers: &'a [(String, String)],
    /// Each record, in the order of the batch.
    pub jobs: Vec<Job<'a>>,
    /// The records' keys: writes with the same key run singly.
    pub keys: Vec<Option<i64>>,
    /// Names the records within a call.
    trace_ids: Vec<String>,
}

impl<'a> Batch<'a> {
    /// Applies the rules to each record.
    ///
    /// # Errors
    /// What is wrong with which record, all of it.
    pub fn new(
        route: &'a Route,
        plan: &'a Plan,
        action: Action,
        records: Vec<Map<String, Value>>,
        strict: bool,
        stored: &'a StoredRequest,
        operation_id: Uuid,
    ) -> Result<Self, Vec<Invalid>> {
        let mut problems = Vec::new();
        let mut jobs = Vec::with_capacity(records.len());
        let trace_ids: Vec<String> = (0..records.len())
            .map(|index| format!("{operation_id}-{index}"))
            .collect();
        for (index, (record, item)) in records.into_iter().zip(&stored.batch).enumerate() {
            let parts = (item.associations.as_slice(), stored.headers.as_slice());
            let key = trace_ids[index].clone();
            match Job::with(route, plan, action, record, strict, parts, key) {
                Ok(job) => jobs.push(job),
                Err(error) => problems.extend(places(index, &error)),
            }
        }
        if problems.is_empty() {
            problems.extend(written_twice(&jobs));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let installation_id = route.installation_id;
        let keys = jobs
            .iter()
            .zip(&stored.batch)
            .map(|(job, item)| record_key(job, installation_id, item.client_ref.as_deref()))
            .collect();
        Ok(Self {
            route,
            plan,
            action,
            all_or_none: stored.all_or_none,
            headers: &stored.headers,
            jobs,
            keys,
            trace_ids,
        })
    }

    /// Says before anything is stored or sent whether the connector can make requests of it.
    ///
    /// # Errors
    /// What it refuses, of all records.
    pub fn check(&self) -> Result<(), WriteError> {
        let mut problems = Vec::new();
        for (index, job) in self
            .jobs
            .iter()
            .enumerate()
            .filter(|(_, job)| !job.is_empty_update())
        {
            if let Err(refusal) = job.check() {
                let name = match refusal.kind {
                    RefusalKind::InvalidRecordId => "record.id",
                    RefusalKind::InvalidRecord => "record",
                    RefusalKind::UnsupportedAssociations => "associations",
                    // Not about this record.
                    _ => return Err(refusal.into()),
                };
                problems.push(Invalid::new(format!("batch[{index}].{name}"), refusal.message));
            }
        }
        let support = self.support();
        if self.all_or_none && self.jobs.len() > 1 {
            let provider = self.route.connector.provider();
            let detail = match support {
                None => Some(format!(
                    "cannot be kept: {provider} takes records one by one, and what it has taken cannot be taken back"
                )),
                Some(support) if support.records < self.jobs.len() => Some(format!(
                    "cannot be kept: {provider} takes {} records at a time",
                    support.records
                )),
                Some(_) => None,
            };
            problems.extend(detail.map(|detail| Invalid::new("batchPolicy.allOrNone", detail)));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(WriteError::Items(problems))
        }
    }

    fn support(&self) -> Option<crate::connectors::BatchSupport> {
        self.route
            .connector
            .batch(self.action, self.plan.provider_object())
    }

    /// How many records one call takes; 1 where the provider takes no batches.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.support().map_or(1, |support| support.records.max(1))
    }

    /// Whether sending a record again can make a second one.
    #[must_use]
    pub fn is_unsafe_to_repeat(&self) -> bool {
        self.jobs.first().is_some_and(Job::is_unsafe_to_repeat)
    }

    /// The keys of its records, each once.
    #[must_use]
    pub fn record_keys(&self) -> Vec<i64> {
        let mut keys: Vec<i64> = self.keys.iter().copied().flatten().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// What was decided for the fields of all records, each decision once: for warnings.
    #[must_use]
    pub fn decisions(&self) -> Vec<TraceEntry> {
        each_once(self.jobs.iter().flat_map(|job| &job.applied.trace))
    }

    fn item(&self, index: usize) -> BatchItem<'_> {
        let job = &self.jobs[index];
        BatchItem {
            trace_id: &self.trace_ids[index],
            record_id: job.applied.record_id.as_deref(),
            record: &job.applied.record,
            associations: job.associations,
        }
    }
}

/// What was decided for the fields of several records, each decision once.
pub(super) fn each_once<'t>(entries: impl Iterator<Item = &'t TraceEntry>) -> Vec<TraceEntry> {
    let mut seen = std::collections::HashSet::new();
    entries
        .filter(|entry| seen.insert((entry.source.as_deref(), entry.decision.as_str())))
        .cloned()
        .collect()
}

/// Where in a batch a record cannot be written as it is.
fn places(index: usize, error: &ApplyError) -> Vec<Invalid> {
    let at = |name: &str, detail: String| Invalid::new(format!("batch[{index}].{name}"), detail);
    match error {
        ApplyError::MissingRecordId(_) | ApplyError::InvalidRecordId(_) => {
            vec![at("record.id", error.to_string())]
        }
        ApplyError::Conflict { .. } | ApplyError::NotAnObject { .. } => vec![at("record", error.to_string())],
        ApplyError::Dropped { fields } => fields
            .iter()
            .map(|field| {
                let detail = "would be dropped, and strict was asked for";
                at(&format!("record.{field}"), detail.to_owned())
            })
            .collect(),
    }
}

/// Two writes to one record in one batch have no order.
fn written_twice(jobs: &[Job<'_>]) -> Vec<Invalid> {
    let mut seen = HashMap::new();
    let mut problems = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        let Some(id) = job.applied.record_id.as_deref() else {
            continue;
        };
        let id = job.route.connector.record_rules().ids.canonical(id);
        if let Some(first) = seen.insert(id, index) {
            let detail = format!("names the record of batch[{first}] again; send each record once");
            problems.push(Invalid::new(format!("batch[{index}].record.id"), detail));
        }
    }
    problems
}

/// How a batch ended, from how its records did.
#[must_use]
pub fn result_of(object: &str, progress: &Progress, attempts: i32) -> NewResult {
    let ends = progress.ends();
    let (succeeded, failed, unknown) = progress.counts();
    let unknown_too = if unknown > 0 {
        format!(", {unknown} unknown")
    } else {
        String::new()
    };
    let errors: Vec<String> = ends.iter().filter_map(error_of_note).take(MAX_ERRORS).collect();
    NewResult {
        state: match (succeeded, unknown) {
            (_, 1..) => EndState::NeedsReview,
            (1.., _) => EndState::Succeeded,
            _ => EndState::Failed,
        },
        summary: format!(
            "[{object}] Batch write completed ({succeeded} succeeded, {failed} failed{unknown_too})"
        ),
        record_id: None,
        errors: error_list(&errors),
        attempts,
        records: Some(notes_text(&ends)),
    }
}

/// The error of a record, with its place in the batch.
#[must_use]
pub fn error_of_note(note: &Note) -> Option<String> {
    let error = note.error.as_deref()?;
    (note.state != NoteState::Succeeded).then(|| format!("batch[{}]: {error}", note.index))
}
