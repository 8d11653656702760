//! What an operation did to its record, derived again: from the request as received, and the revision and config that
//! were in force. These never change, so neither does the answer.

use std::collections::{HashMap, HashSet};

use super::batch::{Batch, Progress, read_notes};
use super::perform::Job;
use super::request::StoredRequest;
use super::route::{Route, RouteError};
use super::{Writes, read_stored, read_stored_batch};
use crate::action::Action;
use crate::connectors::{ProviderRequest, Step};
use crate::mapping::{Plan, TraceEntry};
use crate::outbound::{ShownRequest, show};
use crate::store::{Attempt, Operation, StoreError};

/// What was done to the records of an operation, and the request that came of it.
#[derive(Debug, Default)]
pub struct Derived {
    /// What was decided for each field.
    pub trace: Vec<Traced>,
    /// The request to the provider; `None` when nothing was left to send, when it took several, or when it depends on what
    /// the provider answered to a read.
    pub request: Option<ShownRequest>,
    /// What the request calls its records, in their order.
    pub named: Vec<Named>,
}

/// What a request calls a record.
#[derive(Debug, Default)]
pub struct Named {
    /// The app's own name for it, of a record of a batch.
    pub client_ref: Option<String>,
    /// The provider's id, of an update or a delete.
    pub record_id: Option<String>,
}

/// What was decided for one field of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// Of a batch: the record's place in it.
    pub record: Option<usize>,
    /// The decision.
    pub entry: TraceEntry,
}

impl Traced {
    /// The trace of a single write.
    pub(super) fn of_one(trace: Vec<TraceEntry>) -> Vec<Self> {
        let one = |entry| Self { record: None, entry };
        trace.into_iter().map(one).collect()
    }

    /// The traces of a batch's records.
    pub(super) fn of_batch(batch: &mut Batch<'_>) -> Vec<Self> {
        batch
            .jobs
            .iter_mut()
            .enumerate()
            .flat_map(|(index, job)| {
                let trace = std::mem::take(&mut job.applied.trace);
                trace.into_iter().map(move |entry| Self {
                    record: Some(index),
                    entry,
                })
            })
            .collect()
    }
}

impl Writes {
    /// Derives the trace of an operation; what `ifEmpty` left out when it was sent stands in its attempts. `None` when
    /// something that it needs is gone: its payload, its config, or the connection.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn derive(
        &self,
        operation: &Operation,
        attempts: &[Attempt],
    ) -> Result<Option<Derived>, StoreError> {
        let Some(text) = self.store.get_request(operation.project_id, operation.id).await? else {
            return Ok(None);
        };
        let Some(action) = Action::parse(&operation.action) else {
            return Ok(None);
        };
        let found = self
            .routes
            .find_pinned(
                operation.project_id,
                operation.config_id,
                operation.revision_id,
                operation.connection_id,
            )
            .await;
        let route = match found {
            Ok(route) => route,
            Err(RouteError::Store(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let Ok(plan) = route.plan(&operation.object) else {
            return Ok(None);
        };
        Ok(if StoredRequest::is_batch(&text) {
            of_batch(&route, &plan, action, operation, &text, attempts)
        } else {
            of_one(&route, &plan, action, operation, &text, attempts)
        })
    }
}

fn of_one(
    route: &Route,
    plan: &Plan,
    action: Action,
    operation: &Operation,
    text: &str,
    attempts: &[Attempt],
) -> Option<Derived> {
    let (stored, record) = read_stored(text).ok()?;
    let key = operation.id.to_string();
    let mut job = Job::new(route, plan, action, record, false, &stored, key).ok()?;
    // What was left out is decided when a request leaves: the last one counts.
    let skipped = attempts
        .iter()
        .rev()
        .find_map(|attempt| attempt.skipped.as_deref());
    let skipped: Vec<String> = skipped
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    job.leave_out(&skipped);
    let request = match route.connector.prepare(&job.command(), &[]) {
        Ok(Step::Send(request)) if !job.is_empty_update() => shown(route, request),
        _ => None,
    };
    Some(Derived {
        trace: Traced::of_one(job.applied.trace),
        request,
        named: vec![Named {
            client_ref: None,
            record_id: job.applied.record_id,
        }],
    })
}

fn of_batch(
    route: &Route,
    plan: &Plan,
    action: Action,
    operation: &Operation,
    text: &str,
    attempts: &[Attempt],
) -> Option<Derived> {
    let (stored, records) = read_stored_batch(text).ok()?;
    let mut batch = Batch::new(route, plan, action, records, false, &stored, operation.id).ok()?;
    let mut skipped: HashMap<usize, Vec<String>> = HashMap::new();
    for note in attempts
        .iter()
        .filter(|row| row.state != "sent")
        .flat_map(|row| read_notes(row.records.as_deref()))
    {
        skipped.insert(note.index, note.skipped);
    }
    for (index, job) in batch.jobs.iter_mut().enumerate() {
        job.leave_out(skipped.get(&index).map_or(&[], Vec::as_slice));
    }
    // What the first call carries.
    let first = Progress::new(batch.jobs.len()).next(&HashSet::new(), batch.limit(), batch.all_or_none);
    let request = (first.len() == batch.jobs.len())
        .then(|| batch.request(&first))
        .flatten()
        .and_then(|request| shown(route, request));
    let refs = stored.batch.iter().map(|item| item.client_ref.clone());
    let ids = batch.jobs.iter().map(|job| job.applied.record_id.clone());
    let named = refs.zip(ids).map(|(client_ref, record_id)| Named {
        client_ref,
        record_id,
    });
    Some(Derived {
        named: named.collect(),
        trace: Traced::of_batch(&mut batch),
        request,
    })
}

fn shown(route: &Route, request: ProviderRequest) -> Option<ShownRequest> {
    let (connector, connection) = (&route.connector, &route.connection);
    show(connector, &connection.credentials, &connection.vars, request).ok()
}
