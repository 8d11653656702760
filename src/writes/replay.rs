//! Repeating an operation: its stored request becomes a new, asynchronous operation.

use std::time::Duration;

use uuid::Uuid;

use super::perform::Job;
use super::{WriteError, Writes, Written, check_supported, read_stored, record_key};
use crate::action::Action;
use crate::store::{AcceptOperation, Accepted, Accepting, NewIdempotencyKey, NewOperation, Operation};

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
    /// Accepts the request of an operation once more.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was stored.
    pub async fn replay(
        &self,
        operation: &Operation,
        accepting: &Accepting,
        mapping: Mapping,
        key: Option<NewIdempotencyKey>,
    ) -> Result<Written, WriteError> {
        let project_id = operation.project_id;
        let result = self.replay_now(operation, accepting, mapping, key.clone()).await;
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
        key: Option<NewIdempotencyKey>,
    ) -> Result<Written, WriteError> {
        let project_id = operation.project_id;
        let (stored, record) = read_stored(&accepting.request).map_err(WriteError::NotReplayable)?;
        let action = Action::from_word(&operation.action)
            .ok_or_else(|| WriteError::NotReplayable("its action is unknown to this version".to_owned()))?;
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
        let plan = route.plan(&operation.object)?;
        check_supported(&route, &plan, &operation.object, action, &stored)?;
        let id = self.clock.new_id();
        let mut job = Job::new(&route, &plan, action, record, false, &stored, id.to_string())?;
        if !job.is_empty_update() {
            job.check()?;
        }
        let deadline = match operation.deadline {
            Some(deadline) if operation.mode == "asynchronous" => deadline.since(operation.accept_time),
            _ => DEADLINE,
        };
        let record_key = record_key(&job, route.installation_id, operation.client_ref.as_deref());
        let accept = AcceptOperation {
            holds: record_key.is_some() && stored.on_failure.holds(),
            record_key,
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
                request: accepting.request.clone(),
                client_ref: operation.client_ref.clone(),
                replay_of: Some(operation.id),
            },
            deadline,
            key,
            performing: None,
        };
        let trace = std::mem::take(&mut job.applied.trace);
        let place = self
            .backlog
            .reserve(project_id, route.connection.id)
            .inspect_err(|full| self.metrics.operations_refused.increment(&[full.of]))?;
        match self.accept.submit(accept).await.map_err(WriteError::Store)? {
            Accepted::At(_) => place.take(),
            Accepted::KeyTaken => return Err(WriteError::KeyInUse { operation_id: None }),
        }
        self.count_accepted(&route, action, "asynchronous");
        Ok(Written {
            trace,
            ..Written::new(id, None)
        })
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
