//! Writes: accepted or performed at once, and how they end. Knows the store, the rules, the connectors and outbound; knows
//! neither HTTP requests of the app nor the queue's order.

pub mod backlog;
pub mod batch;
pub mod bell;
mod deliver;
pub mod derive;
mod excerpt;
pub mod fields;
pub mod finished;
mod gather;
pub mod idempotency;
pub mod limits;
pub mod perform;
pub mod preview;
mod reconcile;
mod record;
pub mod replay;
pub mod request;
pub mod route;
pub mod running;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::action::Action;
use crate::clock::{SharedClock, Time};
use crate::connectors::{Limits, Outcome, ProviderError, Refusal, SharedCatalog};
use crate::mapping::{ApplyError, Plan, PlanError, TraceEntry};
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::store::batcher::Batcher;
use crate::store::{
    AcceptOperation, Accepted, AttemptState, BeginAttempt, EndState, Ending, FinishOperation, Gathered,
    NewAttempt, NewIdempotencyKey, NewOperation, NewResult, RecordOperation, Settle, SharedStore, StoreError,
};
use crate::vault::{Vault, sha256};
use backlog::{Backlog, QueueFull, QueueLimits};
use batch::{Batch, PerformedBatch};
use bell::Bell;
use finished::Finished;
use idempotency::Stored;
use perform::{Job, Performed};
pub use reconcile::Found;
use request::{Invalid, Mode, OnUnknown, Records, StoredRequest, WriteRequest};
use route::{Route, RouteError, Routes};

/// How long the outcome of a synchronous write is tried to be stored before the app is told that it could not be.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);
/// How much of a provider's message an attempt keeps, in characters.
const MESSAGE_CHARS: usize = 500;

/// The engine of all writes.
#[derive(Debug)]
pub struct Writes {
    pub(super) clock: SharedClock,
    store: SharedStore,
    /// Routes in memory.
    pub routes: Routes,
    pub(super) outbound: Outbound,
    descriptions: fields::Descriptions,
    accept: Batcher<AcceptOperation, Accepted>,
    finish: Batcher<FinishOperation, bool>,
    record: Batcher<RecordOperation, ()>,
    settle: Batcher<Settle, bool>,
    attempts: Batcher<BeginAttempt, bool>,
    /// Those who wait for operations to end.
    pub finished: Finished,
    /// What this process performs for the queue.
    pub running: running::Running,
    /// Rung when a request to cancel has been stored by this process.
    pub cancel_asked: Notify,
    /// Tells workers of new work.
    pub bell: Arc<Bell>,
    /// What waits, and the limits to it.
    pub backlog: Backlog,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Rung when lanes or work may have changed in a way that the bell was not told of.
    pub accepted: Arc<Notify>,
}

/// What became of a write request.
#[derive(Debug)]
pub struct Written {
    /// The operation.
    pub operation_id: Uuid,
    /// What happened to each field.
    pub trace: Vec<TraceEntry>,
    /// Absent for a batch, and for an asynchronous write: it has been accepted.
    pub performed: Option<Performed>,
    /// What became of a synchronous batch.
    pub batch: Option<PerformedBatch>,
    /// Which record of the operation it is, where single writes share one; from 0.
    pub batch_index: Option<usize>,
    /// True when this is the first answer, given again.
    pub replayed: bool,
    /// True when the queue finds out what became of it: the same key gets what it finds.
    pub handed_over: bool,
}

impl Written {
    fn new(operation_id: Uuid, performed: Option<Performed>) -> Self {
        Self {
            operation_id,
            trace: Vec::new(),
            performed,
            batch: None,
            batch_index: None,
            replayed: false,
            handed_over: false,
        }
    }
}

/// Why a write was neither accepted nor performed. Nothing was stored and nothing was sent, except for `NotRecorded`.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No way to the provider.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The manifest has no such object, or its rules contradict each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The record cannot be written as it is.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The connector cannot make a request of it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The installation does not allow deletes of this object.
    #[error("deletes of `{0}` are not enabled for this installation")]
    DeleteNotEnabled(String),
    /// Records of a batch cannot be written as they are.
    #[error("records of the batch cannot be written")]
    Items(Vec<Invalid>),
    /// The connector cannot do this.
    #[error("{provider} does not support {action} for `{object}`")]
    Unsupported {
        /// The provider.
        provider: String,
        /// What was asked.
        action: Action,
        /// Of what.
        object: String,
    },
    /// Headers for a provider that takes none.
    #[error("{0} takes no headers from the app")]
    HeadersNotTaken(String),
    /// Associations for a provider, or an action, without them.
    #[error("{0}")]
    AssociationsNotTaken(String),
    /// The credentials are known to be dead.
    #[error("the provider no longer accepts the credentials of this connection")]
    DeadCredential,
    /// So many writes wait that no more are taken.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// The store failed before anything was sent.
    #[error(transparent)]
    Store(StoreError),
    /// The operation cannot be repeated.
    #[error("it cannot be replayed: {0}")]
    NotReplayable(String),
    /// The idempotency key was used for another request.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused {
        /// The operation of that request.
        operation_id: Uuid,
    },
    /// The first request with this idempotency key is still being performed.
    #[error("the first request with this Idempotency-Key is still being performed")]
    KeyInUse {
        /// Its operation.
        operation_id: Option<Uuid>,
    },
    /// The first request with this idempotency key was sent, and nobody knows whether it was applied.
    #[error(
        "the first request with this Idempotency-Key was sent, and it is not known whether it was applied"
    )]
    OutcomeUnknown {
        /// Its operation.
        operation_id: Uuid,
        /// What is known.
        errors: Vec<String>,
    },
    /// The first request with this idempotency key outlived its process, and has failed since.
    #[error("the first request with this Idempotency-Key has failed")]
    Ended {
        /// Its operation.
        operation_id: Uuid,
        /// Why.
        errors: Vec<String>,
    },
    /// The provider has answered, but its answer could not be stored.
    #[error("the provider has answered, but the outcome could not be stored")]
    NotRecorded {
        /// What the provider said.
        written: Box<Written>,
    },
}

impl Writes {
    /// Builds the engine and starts its group commits.
    #[must_use]
    pub fn new(
        store: SharedStore,
        catalog: Arc<SharedCatalog>,
        vault: Arc<Vault>,
        outbound: Outbound,
        clock: SharedClock,
        limits: QueueLimits,
    ) -> Self {
        let metrics = Arc::new(Metrics::default());
        let writers = if store.kind() == "sqlite" { 1 } else { 2 };
        let (accept, record, settle, attempts) = (store.clone(), store.clone(), store.clone(), store.clone());
        let finish = store.clone();
        let bell = Arc::new(Bell::start(store.clone()));
        let accepted_bell = Arc::clone(&bell);
        Self {
            routes: Routes::new(store.clone(), catalog, vault),
            clock,
            outbound,
            descriptions: fields::Descriptions::new(),
            accept: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[AcceptOperation]| {
                    let (store, bell) = (accept.clone(), Arc::clone(&accepted_bell));
                    Box::pin(async move {
                        let begun = std::time::Instant::now();
                        let times = store.accept_operations(members).await?;
                        bell.accepted(members, &times, begun);
                        Ok(times)
                    })
                }),
                "accept",
                Arc::clone(&metrics),
            ),
            finish: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[FinishOperation]| {
                    let store = finish.clone();
                    Box::pin(async move { store.finish_operations(members).await })
                }),
                "finish",
                Arc::clone(&metrics),
            ),
            record: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[RecordOperation]| {
                    let store = record.clone();
                    Box::pin(async move {
                        store
                            .record_operations(members)
                            .await
                            .map(|()| vec![(); members.len()])
                    })
                }),
                "record",
                Arc::clone(&metrics),
            ),
            settle: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[Settle]| {
                    let store = settle.clone();
                    Box::pin(async move { store.settle(members).await })
                }),
                "settle",
                Arc::clone(&metrics),
            ),
            attempts: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[BeginAttempt]| {
                    let store = attempts.clone();
                    Box::pin(async move { store.begin_attempts(members).await })
                }),
                "attempts",
                Arc::clone(&metrics),
            ),
            bell,
            finished: Finished::start(store.clone()),
            running: running::Running::default(),
            cancel_asked: Notify::new(),
            accepted: Arc::new(Notify::new()),
            backlog: Backlog::new(limits),
            metrics,
            store,
        }
    }

    /// The store, for the layers above.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// How much a provider takes from one connection; `None` for one that is not in the catalogue.
    #[must_use]
    pub fn limits_of(&self, provider: &str) -> Option<Limits> {
        self.routes.limits_of(provider)
    }

    /// The time now, by this process's clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

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
    async fn accept_for_queue(
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
        if let Some((outcome, _)) = &performed.whole {
            self.note_credentials(batch.route, outcome).await;
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

    /// Appends the row that says "a request is about to leave". Durable when it returns; false when another worker has
    /// the shard by now.
    ///
    /// # Errors
    /// When the store fails; then nothing may be sent.
    pub async fn begin_attempt(&self, begin: BeginAttempt) -> Result<bool, StoreError> {
        self.attempts.submit(begin).await
    }

    /// Ends an attempt of a queue item; true when it took effect.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settle(&self, settle: Settle) -> Result<bool, StoreError> {
        let (project_id, lane_id) = (settle.project_id, settle.lane_id);
        let operation_id = settle.operation_id;
        let finishes = matches!(settle.ending, Ending::Finish(_));
        let settled = self.settle.submit(settle).await?;
        if settled && finishes {
            self.backlog.add(project_id, lane_id, -1);
            self.finished.ended([operation_id]);
        }
        Ok(settled)
    }

    /// Looks for what an earlier attempt may have made; see [`Found`].
    pub async fn look_for(&self, job: &Job<'_>, sent_since: Time) -> Found {
        self.reconcile(job, sent_since).await
    }

    /// Notes what an answer says about the credentials: dead ones hold the lane until the customer reconnects.
    /// Answers false when newer credentials are in force than those that were used.
    pub async fn note_credentials(&self, route: &Route, outcome: &Outcome) -> bool {
        let works = match outcome {
            Outcome::Unauthorized(_) => false,
            // Writing "working" once is enough; a healthy connection costs no statement.
            Outcome::Succeeded { .. } if !route.connection.works => true,
            _ => return true,
        };
        let connection = &route.connection;
        let noted = self
            .store
            .set_connection_works(
                route.project_id,
                connection.id,
                connection.credentials_version,
                works,
            )
            .await;
        self.routes.clear();
        match noted {
            Ok(current) => current,
            Err(error) => {
                tracing::warn!(connection.id = %connection.id, error = &error as &dyn std::error::Error,
                    "the status of a connection could not be stored");
                true
            }
        }
    }

    /// The row of an attempt that has been answered, or not.
    #[must_use]
    pub fn attempt(
        &self,
        id: Uuid,
        operation_id: Uuid,
        project_id: Uuid,
        number: i32,
        performed: &Performed,
    ) -> NewAttempt {
        NewAttempt {
            id,
            project_id,
            operation_id,
            number,
            state: if matches!(performed.outcome, Outcome::Unknown(_)) {
                AttemptState::Unanswered
            } else {
                AttemptState::Answered
            },
            start_time: performed.sent.unwrap_or_else(|| self.clock.now()),
            status: performed.status.map(i32::from),
            class: Some(performed.class().to_owned()),
            message: message_of(performed).map(|text| text.chars().take(MESSAGE_CHARS).collect()),
            latency_us: performed.latency_us,
            skipped: (!performed.skipped.is_empty()).then(|| error_list(&performed.skipped)),
            excerpt: match performed.outcome {
                Outcome::Succeeded { .. } => None,
                _ => performed.raw.as_deref().and_then(excerpt::excerpt),
            },
            records: None,
        }
    }
}

/// The error of an outcome.
#[must_use]
pub const fn error_of(outcome: &Outcome) -> Option<&ProviderError> {
    match outcome {
        Outcome::Succeeded { .. } => None,
        Outcome::Rejected(error) | Outcome::Unauthorized(error) | Outcome::Unknown(error) => Some(error),
        Outcome::Retry { error, .. } => Some(error),
    }
}

fn message_of(performed: &Performed) -> Option<&str> {
    match error_of(&performed.outcome) {
        None if performed.sent.is_none() => {
            Some("the provider has a value for every field: nothing was sent")
        }
        error => error.map(|error| error.message.as_str()),
    }
}

fn check_supported(
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
fn record_key(job: &Job<'_>, installation_id: Uuid, client_ref: Option<&str>) -> Option<i64> {
    let object = job.plan.provider_object();
    let text = match (job.applied.record_id.as_deref(), client_ref) {
        (Some(id), _) => format!("{object}\n{id}"),
        (None, Some(name)) => format!("{object}\n{installation_id}\n{name}"),
        (None, None) => return None,
    };
    let hash = sha256(text.as_bytes());
    hash.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes))
}

/// `[contacts] Write completed (1 succeeded, 0 failed)` and the like: one line for people.
#[must_use]
pub fn summary(object: &str, error: Option<&str>) -> String {
    match error {
        None => format!("[{object}] Write completed (1 succeeded, 0 failed)"),
        Some(error) => format!("[{object}] Error writing to provider: {error}"),
    }
}

/// The sentence for a rejected write: `error writing account: bad request: No such column …`.
#[must_use]
pub fn rejection(object: &str, error: &ProviderError) -> String {
    use crate::connectors::ErrorClass as C;
    let kind = match error.class {
        C::Validation => "bad request",
        C::Conflict => "conflict",
        C::NotFound => "not found",
        C::Forbidden => "forbidden",
        C::Config => "configuration",
        C::Auth => "unauthorized",
        C::RateLimited | C::Quota => "rate limited",
        C::Lock => "record locked",
        C::Maintenance => "maintenance",
        C::Transient | C::Server => "provider error",
        C::Unknown => "unknown outcome",
    };
    format!("error writing {object}: {kind}: {}", error.message)
}

/// A list of error texts as the store keeps it.
#[must_use]
pub fn error_list(errors: &[String]) -> String {
    Value::from(errors.to_vec()).to_string()
}

/// How a synchronous write ends: nobody tries it again but the app.
fn end_of_synchronous(object: &str, performed: &Performed) -> NewResult {
    let attempts = i32::from(performed.sent.is_some());
    let (state, record_id, error) = match &performed.outcome {
        Outcome::Succeeded { record_id, .. } => (EndState::Succeeded, record_id.clone(), None),
        Outcome::Unknown(error) => (EndState::NeedsReview, None, Some(error)),
        // Sent, no usable answer, but safe to repeat: whether it was applied is not known either.
        Outcome::Retry { error, .. } if !perform::certainly_not_applied(error) => {
            (EndState::NeedsReview, None, Some(error))
        }
        Outcome::Rejected(error) | Outcome::Unauthorized(error) => (EndState::Failed, None, Some(error)),
        Outcome::Retry { error, .. } => (EndState::Failed, None, Some(error)),
    };
    let errors: Vec<String> = error.map(|error| rejection(object, error)).into_iter().collect();
    NewResult {
        state,
        summary: summary(object, error.map(|error| error.message.as_str())),
        record_id,
        errors: error_list(&errors),
        attempts,
        records: None,
    }
}

/// Reads a stored request back.
///
/// # Errors
/// When it is not what this version writes.
pub fn read_stored(text: &str) -> Result<(StoredRequest, Map<String, Value>), String> {
    if text.is_empty() {
        return Err("the request is no longer kept".to_owned());
    }
    let stored: StoredRequest = serde_json::from_str(text)
        .map_err(|_| "the stored request cannot be read by this version".to_owned())?;
    let raw = stored
        .record
        .as_ref()
        .ok_or("the stored request holds no record")?;
    let record = record::read_record(raw).map_err(|problem| problem.detail)?;
    Ok((stored, record))
}

/// Reads a stored batch back.
///
/// # Errors
/// When it is not what this version writes.
pub fn read_stored_batch(text: &str) -> Result<(StoredRequest, Vec<Map<String, Value>>), String> {
    let stored: StoredRequest = serde_json::from_str(text)
        .map_err(|_| "the stored request cannot be read by this version".to_owned())?;
    let records: Result<Vec<_>, _> = stored
        .batch
        .iter()
        .map(|item| record::read_record(&item.record))
        .collect();
    let records = records.map_err(|problem| problem.detail)?;
    Ok((stored, records))
}

/// What the app asked for when the outcome stays unknown.
#[must_use]
pub const fn may_repeat_blindly(stored: &StoredRequest) -> bool {
    matches!(stored.on_unknown, OnUnknown::Retry)
}
