//! Taking a write request: performed while the app waits, or accepted for the queue.

use std::time::Duration;

use uuid::Uuid;

use super::batch::Batch;
use super::error::WriteError;
use super::gather;
use super::idempotency::Stored;
use super::perform::{Job, Performed};
use super::request::{Mode, Records, StoredRequest, WriteRequest};
use super::route::Route;
use super::words::end_of_synchronous;
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
            (Err(error), Some(key)) if !matches!(error, WriteError::NotRecorded { .. }) => {
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
        let plan = route.plan(object)?;
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
        let record = match request.records {
            Records::One(record) => record,
            Records::Batch(records) => {
                let mut batch = Batch::new(
                    &route,
                    &plan,
                    request.action,
                    records,
                    request.strict,
                    &request.stored,
                    operation_id,
                )
                .map_err(WriteError::Items)?;
                batch.check()?;
                return match request.mode {
                    Mode::Asynchronous => {
                        let accept = AcceptOperation {
                            record_key: None,
                            holds: false,
                            record_keys: batch.record_keys(),
                            operation,
                            deadline: request.deadline,
                            key,
                            performing: None,
                            gather: None,
                        };
                        self.accept_for_queue(&route, accept, batch.decisions()).await
                    }
                    // In a box, like all that is large and not always needed: the future of every write is moved about.
                    Mode::Synchronous => Box::pin(self.write_batch(&mut batch, operation, key)).await,
                };
            }
        };
        let mut job = Job::new(
            &route,
            &plan,
            request.action,
            record,
            request.strict,
            &request.stored,
            operation_id.to_string(),
        )?;
        if !job.is_empty_update() {
            job.check()?;
        }
        match request.mode {
            Mode::Asynchronous => {
                let record = record_key(&job, route.installation_id, operation.client_ref.as_deref());
                let gather = request.gather.and_then(|delay| {
                    gather::gather(&mut operation, &request.stored, delay, request.deadline)
                });
                // The record of a shared operation is one of several.
                let (record_key, record_keys) = match gather {
                    Some(_) => (None, record.into_iter().collect()),
                    None => (record, Vec::new()),
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
                let trace = std::mem::take(&mut job.applied.trace);
                self.accept_for_queue(&route, accept, trace).await
            }
            Mode::Synchronous => {
                let (performed, stored) = match key {
                    Some(key) => Box::pin(self.perform_once(&mut job, operation, key)).await?,
                    None => {
                        let performing = self.perform(&mut job, async |_| Ok::<(), WriteError>(()), || true);
                        let performed = Box::pin(performing).await?;
                        (performed, Stored::Not(Box::new(operation)))
                    }
                };
                self.note_credentials(&route, &performed.outcome).await;
                let trace = std::mem::take(&mut job.applied.trace);
                let stored = match stored {
                    Stored::Not(operation) => Box::pin(self.record_end(*operation, &performed)).await,
                    stored => stored,
                };
                self.count_accepted(&route, request.action, "synchronous");
                self.metrics.operations_ended.increment(&[
                    route.connector.provider(),
                    request.action.as_str(),
                    end_of_synchronous(object, &performed).state.as_str(),
                    performed.class(),
                ]);
                let written = Written {
                    trace,
                    handed_over: matches!(stored, Stored::HandedOver),
                    ..Written::new(operation_id, Some(performed))
                };
                match stored {
                    Stored::Yes | Stored::HandedOver => Ok(written),
                    Stored::Failed | Stored::Not(_) => Err(WriteError::NotRecorded {
                        written: Box::new(written),
                    }),
                }
            }
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
        // Taken before the commit, which goes on also when nobody waits for it any more.
        self.backlog
            .reserve(project_id, lane_id)
            .inspect_err(|full| self.metrics.operations_refused.increment(&[full.of]))?
            .take();
        let mut written = Written {
            trace,
            ..Written::new(operation_id, None)
        };
        let accepted = self.accept.submit(accept).await;
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

    /// Performs a batch while the app waits.
    async fn write_batch(
        &self,
        batch: &mut Batch<'_>,
        operation: NewOperation,
        key: Option<NewIdempotencyKey>,
    ) -> Result<Written, WriteError> {
        let (operation_id, action) = (operation.id, operation.action);
        let object = operation.object.clone();
        let (run, stored) = match key {
            Some(key) => self.perform_batch_once(batch, operation, key).await?,
            None => {
                let run = self
                    .perform_batch(batch, &object, operation_id, operation.project_id, async |_| {
                        Ok::<(), WriteError>(())
                    })
                    .await?;
                (run, Stored::Not(Box::new(operation)))
            }
        };
        let stopped_by = run.stopped_by().cloned();
        let (performed, result, attempts) = run.end(&object);
        let state = result.state;
        let stored = match stored {
            Stored::Not(operation) => {
                let record = RecordOperation {
                    operation: *operation,
                    result,
                    attempts,
                };
                self.record_now(record).await
            }
            stored => stored,
        };
        // Dead credentials are noted also when some of its records had come through before.
        if let Some(outcome) = stopped_by {
            self.note_credentials(batch.route, &outcome).await;
        }
        self.count_accepted(batch.route, action, "synchronous");
        let class = if performed.whole.is_some() {
            "whole"
        } else {
            "batch"
        };
        let provider = batch.route.connector.provider();
        self.metrics
            .operations_ended
            .increment(&[provider, action.as_str(), state.as_str(), class]);
        let written = Written {
            trace: batch.decisions(),
            batch: Some(performed),
            handed_over: matches!(stored, Stored::HandedOver),
            ..Written::new(operation_id, None)
        };
        match stored {
            Stored::Yes | Stored::HandedOver => Ok(written),
            Stored::Failed | Stored::Not(_) => Err(WriteError::NotRecorded {
                written: Box::new(written),
            }),
        }
    }

    /// Stores a synchronous write with its end.
    async fn record_end(&self, operation: NewOperation, performed: &Performed) -> Stored {
        let operation_id = operation.id;
        let record = RecordOperation {
            result: end_of_synchronous(&operation.object, performed),
            attempts: performed
                .is_worth_telling()
                .then(|| self.attempt(operation_id, operation_id, operation.project_id, 1, performed))
                .into_iter()
                .collect(),
            operation,
        };
        self.record_now(record).await
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
        let mut failed_before = false;
        loop {
            match self.record.submit(record.clone()).await {
                Err(error) if error.is_transient() && tokio::time::Instant::now() + wait < deadline => {
                    failed_before = true;
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                // A commit whose answer was lost may have happened: then the row is there.
                Err(_)
                    if failed_before
                        && self
                            .store
                            .get_operation(project_id, operation_id)
                            .await?
                            .is_some() =>
                {
                    return Ok(());
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
    if !stored.associations.is_empty() || stored.batch.iter().any(|item| !item.associations.is_empty()) {
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
