//! The records of a write: one, or up to 100 of them. A single write is a set of one; both go the same road.
//!
//! Where the provider takes several records in one call they go in one; else one by one. Each record ends for itself: one
//! that fails takes others with it only when the app asks for all or none. A set is performed call by call
//! ([`Writes::call`](super::Writes::call)), by whoever waits: a synchronous one at once (`run`), an asynchronous one with a
//! turn of its lane for each call. What the next call carries follows from what is known of the records ([`Progress`]).

mod attempt;
mod call;
mod end;
mod note;
mod progress;
pub(in crate::writes) mod run;

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use uuid::Uuid;

pub use call::Turn;
pub use end::{error_of_note, result_of};
pub use note::{Note, NoteState, notes_text, read_notes};
pub use progress::{Progress, Standing};
pub use run::Performed;

use super::WriteError;
use super::accept::record_key;
use super::job::Job;
use super::request::{Invalid, StoredRequest};
use super::route::Route;
use crate::action::Action;
use crate::connectors::{BatchItem, BatchSupport, RefusalKind};
use crate::mapping::{ApplyError, Plan, TraceEntry};

/// How the app asked for it: what it is told has this shape. Behind the answer there is no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One record.
    Single,
    /// A list of records, of one too.
    Batch,
}

/// The records of a write, ready to be performed.
#[derive(Debug)]
pub struct WriteSet<'a> {
    /// The way.
    pub route: &'a Route,
    /// The compiled rules.
    pub plan: &'a Plan,
    /// What to do.
    pub action: Action,
    /// How the app asked for it.
    pub shape: Shape,
    /// One record that fails takes all others back.
    pub all_or_none: bool,
    /// Headers to pass through.
    headers: &'a [(String, String)],
    /// Each record, in the order of the request.
    pub jobs: Vec<Job<'a>>,
    /// The app's own names of the records.
    names: Vec<Option<&'a str>>,
    /// See [`WriteSet::keys`].
    keys: OnceLock<Vec<Option<i64>>>,
}

impl<'a> WriteSet<'a> {
    /// Applies the rules to each record. `name` is the app's own name of the record of a single write.
    ///
    /// # Errors
    /// What is wrong with which record, all of it.
    #[expect(clippy::too_many_arguments, reason = "all that a write is made of")]
    pub fn new(
        route: &'a Route,
        plan: &'a Plan,
        action: Action,
        records: Vec<Map<String, Value>>,
        strict: bool,
        stored: &'a StoredRequest,
        name: Option<&'a str>,
        operation_id: Uuid,
    ) -> Result<Self, WriteError> {
        let shape = stored.shape();
        let mut problems = Vec::new();
        let mut jobs = Vec::with_capacity(records.len());
        let mut names = Vec::with_capacity(records.len());
        for (index, (record, item)) in records.into_iter().zip(stored.items()).enumerate() {
            let (place, key) = match shape {
                Shape::Single => (String::new(), operation_id.to_string()),
                Shape::Batch => (format!("batch[{index}]."), format!("{operation_id}-{index}")),
            };
            let parts = (item.associations, stored.headers.as_slice());
            match Job::new(route, plan, action, record, strict, parts, key) {
                Ok(job) => jobs.push(job),
                Err(error) => match (shape, &error) {
                    (Shape::Batch, _) | (_, ApplyError::Dropped { .. }) => {
                        problems.extend(places(&place, &error))
                    }
                    (Shape::Single, _) => return Err(error.into()),
                },
            }
            names.push(item.client_ref.or(name));
        }
        if problems.is_empty() {
            problems.extend(written_twice(&jobs));
        }
        if !problems.is_empty() {
            return Err(WriteError::Items(problems));
        }
        Ok(Self {
            route,
            plan,
            action,
            shape,
            all_or_none: stored.all_or_none,
            headers: &stored.headers,
            jobs,
            names,
            keys: OnceLock::new(),
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
            let Err(refusal) = job.check() else { continue };
            let name = match (self.shape, refusal.kind) {
                (Shape::Batch, RefusalKind::InvalidRecordId) => "record.id",
                (Shape::Batch, RefusalKind::InvalidRecord) => "record",
                (Shape::Batch, RefusalKind::UnsupportedAssociations) => "associations",
                // Not about this record of several.
                _ => return Err(refusal.into()),
            };
            problems.push(Invalid::new(format!("batch[{index}].{name}"), refusal.message));
        }
        if self.all_or_none && self.jobs.len() > 1 {
            let provider = self.route.connector.provider();
            let detail = match self.support() {
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

    fn support(&self) -> Option<BatchSupport> {
        self.route
            .connector
            .batch(self.action, self.plan.provider_object())
    }

    /// How many records one call takes; 1 where the provider takes no batches.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self.jobs.as_slice() {
            [_] => 1,
            _ => self.support().map_or(1, |support| support.records.max(1)),
        }
    }

    /// Whether sending a record again can make a second one.
    #[must_use]
    pub fn is_unsafe_to_repeat(&self) -> bool {
        self.jobs.first().is_some_and(Job::is_unsafe_to_repeat)
    }

    /// The key of each record: writes with the same key run singly. Made when they are asked for: most synchronous writes
    /// need none.
    pub fn keys(&self) -> &[Option<i64>] {
        self.keys.get_or_init(|| {
            let installation_id = self.route.installation_id;
            let named = self.jobs.iter().zip(&self.names);
            named
                .map(|(job, name)| record_key(job, installation_id, *name))
                .collect()
        })
    }

    /// The same set with keys that are known already.
    #[must_use]
    pub fn with_keys(self, keys: Vec<Option<i64>>) -> Self {
        Self {
            keys: OnceLock::from(keys),
            ..self
        }
    }

    /// The keys under which the write is accepted: that of a single record, and those of a batch, each once.
    #[must_use]
    pub fn record_keys(&self) -> (Option<i64>, Vec<i64>) {
        match (self.shape, self.keys()) {
            (Shape::Single, keys) => (keys.first().copied().flatten(), Vec::new()),
            (Shape::Batch, keys) => {
                let mut keys: Vec<i64> = keys.iter().copied().flatten().collect();
                keys.sort_unstable();
                keys.dedup();
                (None, keys)
            }
        }
    }

    /// Takes what was decided for the fields of all records, each decision once: for warnings.
    pub fn take_decisions(&mut self) -> Vec<TraceEntry> {
        match (self.shape, self.jobs.as_mut_slice()) {
            (Shape::Single, [job]) => std::mem::take(&mut job.applied.trace),
            (_, jobs) => each_once(jobs.iter().flat_map(|job| &job.applied.trace)),
        }
    }

    fn item(&self, index: usize) -> BatchItem<'_> {
        let job = &self.jobs[index];
        BatchItem {
            trace_id: &job.idempotency_key,
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

/// Where a record cannot be written as it is; `place` is that of the record in the request.
fn places(place: &str, error: &ApplyError) -> Vec<Invalid> {
    let at = |name: &str, detail: String| Invalid::new(format!("{place}{name}"), detail);
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
    if jobs.len() < 2 {
        return Vec::new();
    }
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
