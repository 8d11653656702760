//! What an operation did to its record, derived again: from the request as received, and the revision and config that
//! were in force. These never change, so neither does the answer.

use std::collections::{HashMap, HashSet};

use super::route::{Route, RouteError};
use super::set::{Progress, Shape, WriteSet, read_notes};
use super::{Writes, read_stored};
use crate::action::Action;
use crate::connectors::ProviderRequest;
use crate::mapping::{Plan, TraceEntry};
use crate::outbound::{ShownRequest, show};
use crate::store::{Attempt, AttemptState, Operation, StoreError};

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
    /// The traces of a write's records.
    pub(super) fn take(set: &mut WriteSet<'_>) -> Vec<Self> {
        let shape = set.shape;
        set.jobs
            .iter_mut()
            .enumerate()
            .flat_map(|(index, job)| {
                let record = (shape == Shape::Batch).then_some(index);
                let trace = std::mem::take(&mut job.applied.trace);
                trace.into_iter().map(move |entry| Self { record, entry })
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
        Ok(of_records(
            &route,
            &plan,
            operation.action,
            operation,
            &text,
            attempts,
        ))
    }
}

fn of_records(
    route: &Route,
    plan: &Plan,
    action: Action,
    operation: &Operation,
    text: &str,
    attempts: &[Attempt],
) -> Option<Derived> {
    let (stored, records) = read_stored(text).ok()?;
    let mut set = WriteSet::new(route, plan, action, records, false, &stored, None, operation.id).ok()?;
    let mut skipped = skipped(set.shape, attempts);
    for (index, job) in set.jobs.iter_mut().enumerate() {
        job.leave_out(&skipped.remove(&index).unwrap_or_default());
    }
    // What the first call carries.
    let first = Progress::new(set.jobs.len()).next(&HashSet::new(), set.limit(), set.all_or_none);
    let request = (first.len() == set.jobs.len())
        .then(|| set.request(&first))
        .flatten()
        .and_then(|request| shown(route, request));
    let named = stored.items().zip(&set.jobs).map(|(item, job)| Named {
        client_ref: item.client_ref.map(str::to_owned),
        record_id: job.applied.record_id.clone(),
    });
    Some(Derived {
        named: named.collect(),
        trace: Traced::take(&mut set),
        request,
    })
}

/// What was left out of each record is decided when a request leaves: the last one counts.
fn skipped(shape: Shape, attempts: &[Attempt]) -> HashMap<usize, Vec<String>> {
    let answered = || attempts.iter().filter(|row| row.state != AttemptState::Sent);
    match shape {
        Shape::Single => answered()
            .rev()
            .find_map(|attempt| attempt.skipped.as_deref())
            .and_then(|text| serde_json::from_str(text).ok())
            .map(|fields| (0, fields))
            .into_iter()
            .collect(),
        Shape::Batch => answered()
            .flat_map(|row| read_notes(row.records.as_deref()))
            .map(|note| (note.index, note.skipped))
            .collect(),
    }
}

fn shown(route: &Route, request: ProviderRequest) -> Option<ShownRequest> {
    let (connector, connection) = (&route.connector, &route.connection);
    show(connector, &connection.credentials, &connection.vars, request).ok()
}
