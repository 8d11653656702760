//! Taking a write request: performed while the app waits, or accepted for the queue.

use std::time::Duration;

use uuid::Uuid;

use super::error::WriteError;
use super::gather;
use super::idempotency::Stored;
use super::job::Job;
use super::request::{Mode, StoredRequest, WriteRequest};
use super::route::Route;
use super::set::WriteSet;
use super::{RECORD_PATIENCE, Writes, Written};
use crate::action::Action;
use crate::mapping::{Plan, TraceEntry};
use crate::store::{
    AcceptOperation, Accepted, Gathered, NewIdempotencyKey, NewOperation, RecordOperation, StoreError,
};
use crate::vault::sha256;

impl Writes {
    /// Takes a write request: performs it, or accepts it for the queue. With an idempotency key a repeated request gets its
    /// first answer, also when it would be refused by now.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(
        &self,
        project_id: Uuid,
        integration: &str,
        object: &str,
        request: WriteRequest,
        key: Option<NewIdempotencyKey>,
    ) -> Result<Written, WriteError> {
        let result = self
            .write_now(project_id, integration, object, request, key.clone())
            .await;
        match (result, key) {
            // Of a commit without an answer the key says nothing: it may be under way.
            (Err(error), Some(key))
                if !matches!(
                    error,
                    WriteError::NotRecorded { .. } | WriteError::Undecided { .. }
                ) =>
            {
                match self.answer_again(project_id, &key).await {
                    Ok(Some(written)) => Ok(written),
                    Ok(None) => Err(error),
                    // The store's first word says more: nothing was stored, nothing was sent.
                    Err(WriteError::Store(_)) => Err(error),
                    Err(used) => Err(used),
                }
            }
            (result, _) => result,
        }
    }

    async fn write_now(
        &self,
        project_id: Uuid,
        integration: &str,
        object: &str,
        request: WriteRequest,
        key: Option<NewIdempotencyKey>,
    ) -> Result<Written, WriteError> {
        let route = self
            .routes
            .find(project_id, integration, &request.group_ref)
            .await?;
        let plan = route.plan_of_new(object)?;
        check_supported(&route, &plan, object, request.action, &request.stored)?;
        if request.mode == Mode::Synchronous && !route.connection.works {
            return Err(WriteError::DeadCredential);
        }
        let operation_id = self.clock.new_id();
        let mut operation = NewOperation {
            id: operation_id,
            project_id,
            integration_id: route.integration_id,
            installation_id: route.installation_id,
            config_id: route.config_id,
            revision_id: route.revision_id,
            connection_id: route.connection.id,
            object: object.to_owned(),
            action: request.action,
            // Made of strings and of JSON that was parsed before: it cannot fail.
            request: serde_json::to_string(&request.stored).expect("a stored request is JSON"),
            client_ref: request.client_ref.clone(),
            replay_of: None,
        };
        let mut set = WriteSet::new(
            &route,
            &plan,
            request.action,
            request.records,
            request.strict,
            &request.stored,
            request.client_ref.as_deref(),
            operation_id,
        )?;
        set.check()?;
        match request.mode {
            Mode::Asynchronous => {
                let gather = request.gather.and_then(|delay| {
                    gather::gather(&mut operation, &request.stored, delay, request.deadline)
                });
                let (record_key, record_keys) = match (set.record_keys(), &gather) {
                    // The record of a shared operation is one of several.
                    ((record_key, _), Some(_)) => (None, record_key.into_iter().collect()),
                    (keys, None) => keys,
                };
                let accept = AcceptOperation {
                    holds: record_key.is_some() && request.stored.on_failure.holds(),
                    record_key,
                    record_keys,
                    operation,
                    deadline: request.deadline,
                    key,
                    performing: None,
                    gather,
                };
                let trace = set.take_decisions();
                self.accept_for_queue(&route, accept, trace).await
            }
            // In a box, like all that is large and not always needed: the future of every write is moved about.
            Mode::Synchronous => Box::pin(self.perform_now(&mut set, operation, key)).await,
        }
    }

    /// Stores a write for the queue.
    pub(super) async fn accept_for_queue(
        &self,
        route: &Route,
        accept: AcceptOperation,
        trace: Vec<TraceEntry>,
    ) -> Result<Written, WriteError> {
        let (operation_id, action) = (accept.operation.id, accept.operation.action);
        let (project_id, lane_id) = (accept.operation.project_id, route.connection.id);
        self.must_not_be_down().await.map_err(WriteError::Store)?;
        // Taken before the commit, which goes on also when nobody waits for it any more.
        self.backlog
            .reserve(project_id, lane_id)
            .inspect_err(|full| self.metrics.operations_refused.increment(&[full.of]))?
            .take();
        let mut written = Written {
            trace,
            ..Written::new(operation_id, None)
        };
        let (keyed, gathered) = (accept.key.is_some(), accept.gather.is_some());
        let accepted = match self.accept.submit(accept).await {
            // One that shares an operation has no row of its own by which it could be found.
            Err(StoreError::Undecided(cause)) => {
                let found = if gathered {
                    None
                } else {
                    self.look_up(project_id, operation_id).await
                };
                match found {
                    Some(operation) => {
                        // The worker was not told when it was committed.
                        self.new_work.changed(lane_id);
                        Ok(Accepted::At(operation.accept_time))
                    }
                    None => {
                        tracing::warn!(operation.id = %operation_id, error = &cause as &dyn std::error::Error,
                            "it is not known whether a write was accepted");
                        // It counts as one that waits until the queue is counted again.
                        return Err(WriteError::Undecided {
                            operation_id: (!gathered).then_some(operation_id),
                            keyed,
                        });
                    }
                }
            }
            accepted => accepted,
        };
        let is_new = matches!(
            accepted,
            Ok(Accepted::At(_) | Accepted::Gathered(Gathered { opened: true, .. }))
        );
        if !is_new {
            self.backlog.add(project_id, lane_id, -1);
        }
        match accepted.map_err(WriteError::Store)? {
            Accepted::At(_) => {}
            Accepted::Gathered(gathered) => {
                (written.operation_id, written.batch_index) = (gathered.operation_id, Some(gathered.index));
                if !gathered.opened {
                    // The operation waits, and has been counted, already.
                    return Ok(written);
                }
            }
            Accepted::KeyTaken => return Err(WriteError::KeyInUse { operation_id: None }),
        }
        self.count_accepted(route, action, "asynchronous");
        Ok(written)
    }

    /// Performs a write while the app waits.
    async fn perform_now(
        &self,
        set: &mut WriteSet<'_>,
        operation: NewOperation,
        key: Option<NewIdempotencyKey>,
    ) -> Result<Written, WriteError> {
        let (operation_id, project_id) = (operation.id, operation.project_id);
        self.must_take_writes().await.map_err(WriteError::Store)?;
        let (mut run, run_at) = match key {
            Some(key) => Box::pin(self.run_once(set, &operation, key)).await?,
            None => {
                let ids = (project_id, operation_id);
                let unnoted = async |_| Ok::<(), WriteError>(());
                (self.run(set, &operation.object, ids, unnoted).await?, None)
            }
        };
        if let Some((outcome, version)) = run.of_credentials.take() {
            self.note_credentials_of(set.route, &outcome, version).await;
        }
        let is_handed_over = run_at.is_some() && run.is_in_doubt();
        if is_handed_over {
            run.note_unsent(operation_id);
        }
        let (performed, result) = run.end(&operation.object);
        let labels = [
            set.route.connector.provider(),
            set.action.as_str(),
            result.state.as_str(),
            performed.class(),
        ];
        self.metrics.operations_ended.increment(&labels);
        self.count_accepted(set.route, set.action, "synchronous");
        let stored = match run_at {
            Some(run_at) => {
                let end = (!is_handed_over).then_some((result, &performed));
                let has_record = set.keys().iter().any(Option::is_some);
                self.finish_once(&operation, run_at, run.attempts, end, has_record)
                    .await
            }
            None => {
                let record = RecordOperation {
                    operation,
                    result,
                    attempts: run.attempts,
                };
                Box::pin(self.record_now(record)).await
            }
        };
        let written = Written {
            trace: set.take_decisions(),
            handed_over: matches!(stored, Stored::HandedOver),
            ..Written::new(operation_id, Some(performed))
        };
        match stored {
            Stored::Yes | Stored::HandedOver => Ok(written),
            Stored::Failed => Err(WriteError::NotRecorded {
                written: Box::new(written),
            }),
        }
    }

    async fn record_now(&self, record: RecordOperation) -> Stored {
        let operation_id = record.operation.id;
        match self.record_patiently(record).await {
            Ok(()) => Stored::Yes,
            Err(error) => {
                tracing::error!(operation.id = %operation_id, error = &error as &dyn std::error::Error,
                    "the outcome of a synchronous write could not be stored");
                Stored::Failed
            }
        }
    }

    fn count_accepted(&self, route: &Route, action: Action, mode: &str) {
        let labels = [route.connector.provider(), action.as_str(), mode];
        self.metrics.operations_accepted.increment(&labels);
    }

    /// The provider has answered: what it said must not be lost for a short outage of the store.
    async fn record_patiently(&self, record: RecordOperation) -> Result<(), StoreError> {
        let deadline = tokio::time::Instant::now() + RECORD_PATIENCE;
        let mut wait = Duration::from_millis(50);
        let (project_id, operation_id) = (record.operation.project_id, record.operation.id);
        let mut undecided = false;
        loop {
            let recorded = self.record.submit(record.clone()).await;
            undecided |= matches!(recorded, Err(StoreError::Undecided(_)));
            match recorded {
                Err(error) if error.is_transient() && tokio::time::Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                // A commit whose answer was lost may have happened: then the row is there.
                Err(error) if undecided => {
                    return match self.look_up(project_id, operation_id).await {
                        Some(_) => Ok(()),
                        None => Err(error),
                    };
                }
                result => return result,
            }
        }
    }
}

pub(super) fn check_supported(
    route: &Route,
    plan: &Plan,
    object: &str,
    action: Action,
    stored: &StoredRequest,
) -> Result<(), WriteError> {
    let connector = &route.connector;
    if action == Action::Delete && !plan.delete_enabled() {
        return Err(WriteError::DeleteNotEnabled(object.to_owned()));
    }
    if !connector.supports(action, plan.provider_object()) {
        return Err(WriteError::Unsupported {
            provider: connector.provider().to_owned(),
            action,
            object: object.to_owned(),
        });
    }
    if !stored.headers.is_empty() && !connector.passes_headers_on(action) {
        return Err(WriteError::HeadersNotTaken(connector.provider().to_owned()));
    }
    if stored.has_associations() {
        if !connector.takes_associations() {
            let detail = format!("{} takes no associations", connector.provider());
            return Err(WriteError::AssociationsNotTaken(detail));
        }
        if !connector.takes_associations_on(action) {
            let detail = format!("associations can be made with a create, not with {}", action);
            return Err(WriteError::AssociationsNotTaken(detail));
        }
    }
    Ok(())
}

/// Writes with the same key run singly, in the order they were accepted: those of one record, and creates of what the app
/// calls by one name. A create without such a name has no record yet, so none waits for it.
///
/// However a record is spelled, it has one key: the connector says which ids and objects are one. The keys of writes that
/// an earlier version has accepted were made of the spelling. They stay as they are: such a write keeps its order among
/// those of its time, and the keys are the same wherever the spelling is the canonical one, as at every provider without
/// rules of its own. Making them anew would mean to read every stored request; the queue is empty of them soon.
pub(super) fn record_key(job: &Job<'_>, installation_id: Uuid, client_ref: Option<&str>) -> Option<i64> {
    let rules = job.route.connector.record_rules();
    let object = rules.object(job.plan.provider_object());
    let text = match (job.applied.record_id.as_deref(), client_ref) {
        (Some(id), _) => format!("{object}\n{}", rules.ids.canonical(id)),
        (None, Some(name)) => format!("{object}\n{installation_id}\n{name}"),
        (None, None) => return None,
    };
    let hash = sha256(text.as_bytes());
    hash.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes))
}
