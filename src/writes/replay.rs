//! Repeating an operation: its stored request becomes a new, asynchronous operation.

use std::time::Duration;

use uuid::Uuid;

use super::route::Route;
use super::set::{NoteState, Progress, Shape, WriteSet, read_notes};
use super::{WriteError, Writes, Written, check_supported, read_stored};
use crate::action::Action;
use crate::mapping::{Plan, PlanError, TraceEntry};
use crate::store::{AcceptOperation, Accepting, Mode, NewIdempotencyKey, NewOperation, Operation};

/// How long a synchronous write is retried when it is repeated, as it named no time.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Under which rules an operation is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// The config and revision that were in force when it was accepted.
    Original,
    /// Those in force now.
    Current,
}

impl Writes {
    /// Accepts the request of an operation once more. Of a batch only `records` are repeated.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was stored.
    pub async fn replay(
        &self,
        operation: &Operation,
        accepting: &Accepting,
        mapping: Mapping,
        records: &[usize],
        key: Option<NewIdempotencyKey>,
    ) -> Result<Written, WriteError> {
        let project_id = operation.project_id;
        let result = self
            .replay_now(operation, accepting, mapping, records, key.clone())
            .await;
        match (result, key) {
            (Err(error), Some(key)) => match self.answer_again(project_id, &key).await? {
                Some(written) => Ok(written),
                None => Err(error),
            },
            (result, _) => result,
        }
    }

    async fn replay_now(
        &self,
        operation: &Operation,
        accepting: &Accepting,
        mapping: Mapping,
        records: &[usize],
        key: Option<NewIdempotencyKey>,
    ) -> Result<Written, WriteError> {
        let project_id = operation.project_id;
        let action = operation.action;
        let route = match mapping {
            Mapping::Original => {
                self.routes
                    .find_pinned(
                        project_id,
                        operation.config_id,
                        operation.revision_id,
                        operation.connection_id,
                    )
                    .await?
            }
            Mapping::Current => {
                let group_ref = accepting
                    .group_ref
                    .as_deref()
                    .ok_or_else(|| WriteError::NotReplayable("its installation was deleted".to_owned()))?;
                let integration = operation.integration_id.to_string();
                self.routes.find(project_id, &integration, group_ref).await?
            }
        };
        let plan = match mapping {
            Mapping::Original => {
                self.still_enabled(operation, accepting).await?;
                route.plan(&operation.object)?
            }
            Mapping::Current => route.plan_of_new(&operation.object)?,
        };
        let id = self.clock.new_id();
        let Repeated {
            request,
            holds,
            record_key,
            record_keys,
            trace,
        } = repeat(&route, &plan, operation, action, &accepting.request, id, records)?;
        let deadline = match operation.deadline {
            Some(deadline) if operation.mode == Mode::Asynchronous => deadline.since(operation.accept_time),
            _ => DEADLINE,
        };
        let accept = AcceptOperation {
            holds,
            record_key,
            record_keys,
            operation: NewOperation {
                id,
                project_id,
                integration_id: route.integration_id,
                installation_id: route.installation_id,
                config_id: route.config_id,
                revision_id: route.revision_id,
                connection_id: route.connection.id,
                object: operation.object.clone(),
                action,
                request,
                client_ref: operation.client_ref.clone(),
                replay_of: Some(operation.id),
            },
            deadline,
            key,
            performing: None,
            gather: None,
        };
        self.accept_for_queue(&route, accept, trace).await
    }

    /// A replay is a new write: what the customer no longer allows is not written under an older config either.
    async fn still_enabled(&self, operation: &Operation, accepting: &Accepting) -> Result<(), WriteError> {
        let Some(group_ref) = accepting.group_ref.as_deref() else {
            return Ok(());
        };
        let integration = operation.integration_id.to_string();
        let route = self
            .routes
            .find(operation.project_id, &integration, group_ref)
            .await?;
        match route.plan_of_new(&operation.object) {
            Err(error @ PlanError::NotEnabled { .. }) => Err(error.into()),
            // Whatever else the rules of today say: the original ones count.
            _ => Ok(()),
        }
    }

    /// The operation with its request, for [`Writes::replay`]; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_to_replay(
        &self,
        project_id: Uuid,
        operation_id: Uuid,
    ) -> Result<Option<(Operation, Accepting)>, crate::store::StoreError> {
        let Some(operation) = self.store.get_operation(project_id, operation_id).await? else {
            return Ok(None);
        };
        let accepting = self.store.get_accepting(project_id, operation_id).await?;
        Ok(accepting.map(|accepting| (operation, accepting)))
    }
}

/// What is accepted once more.
struct Repeated {
    request: String,
    holds: bool,
    record_key: Option<i64>,
    record_keys: Vec<i64>,
    trace: Vec<TraceEntry>,
}

/// Of a batch only the records `only` are repeated.
fn repeat(
    route: &Route,
    plan: &Plan,
    operation: &Operation,
    action: Action,
    request: &str,
    id: Uuid,
    only: &[usize],
) -> Result<Repeated, WriteError> {
    let (mut stored, mut records) = read_stored(request).map_err(WriteError::NotReplayable)?;
    if stored.shape() == Shape::Batch {
        retain(&mut records, only);
        retain(&mut stored.batch, only);
    }
    if records.is_empty() {
        let text = "every record of the batch was written";
        return Err(WriteError::NotReplayable(text.to_owned()));
    }
    check_supported(route, plan, &operation.object, action, &stored)?;
    let name = operation.client_ref.as_deref();
    let mut set = WriteSet::new(route, plan, action, records, false, &stored, name, id)?;
    set.check()?;
    let (record_key, record_keys) = set.record_keys();
    Ok(Repeated {
        holds: record_key.is_some() && stored.on_failure.holds(),
        record_key,
        record_keys,
        trace: set.take_decisions(),
        request: match set.shape {
            Shape::Single => request.to_owned(),
            // Made of strings and of JSON that was parsed before: it cannot fail.
            Shape::Batch => serde_json::to_string(&stored).expect("a stored request is JSON"),
        },
    })
}

fn retain<T>(list: &mut Vec<T>, only: &[usize]) {
    let mut index = 0;
    list.retain(|_| {
        index += 1;
        only.contains(&(index - 1))
    });
}

/// The records of an operation that were not written, by their places; those in need of review, which may have been, only
/// when asked for. A single write has one record.
#[must_use]
pub fn not_written(operation: &Operation, accepting: &Accepting, with_review: bool) -> Vec<usize> {
    let count = match read_stored(&accepting.request) {
        Ok((stored, _)) if !stored.batch.is_empty() => stored.batch.len(),
        _ => return vec![0],
    };
    let mut progress = Progress::new(count);
    progress.note(&read_notes(operation.records.as_deref()));
    let is_left = |index: &usize| match progress.records[*index].end.as_ref().map(|end| end.state) {
        Some(NoteState::Succeeded) => false,
        Some(NoteState::NeedsReview) => with_review,
        _ => true,
    };
    (0..count).filter(is_left).collect()
}
