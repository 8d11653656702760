//! Writes: accepted or performed at once, and how they end. Knows the store, the rules, the connectors and outbound; knows
//! neither HTTP requests of the app nor the queue's order.

mod accept;
mod access;
pub mod backlog;
mod error;
mod excerpt;
pub mod explain;
pub mod fields;
mod gather;
pub mod idempotency;
pub mod job;
pub mod limits;
mod messages;
pub mod outcome;
pub mod preview;
mod reconcile;
mod record;
mod recording;
pub mod replay;
pub mod request;
pub mod route;
pub mod running;
pub mod set;
pub mod signals;
mod still_out;
mod stored;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

use crate::changes::Changes;
use crate::clock::{SharedClock, Time};
use crate::connectors::{Limits, Outcome, SharedCatalog};
use crate::grants::{Grants, Parts};
use crate::mapping::TraceEntry;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::store::batcher::Batcher;
use crate::store::{
    AcceptOperation, Accepted, BeginAttempt, Change, ChangeKind, Ending, FinishOperation, Health,
    RecordOperation, Settle, SharedStore, StoreError,
};
use crate::vault::Vault;
use accept::check_supported;
use backlog::{Backlog, QueueLimits};
pub use error::WriteError;
use job::Job;
pub use messages::{IN_DOUBT, error_list, rejection, summary};
pub use outcome::error_of;
pub use reconcile::Found;
pub use recording::never_left;
use route::{Route, Routes};
use set::{Performed, Turn, WriteSet};
use signals::{Finished, NewWork};
pub use stored::{may_repeat_blindly, read_stored};

/// How long the outcome of a synchronous write is tried to be stored before the app is told that it could not be.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);
/// How much of a provider's message an attempt keeps, in characters.
const MESSAGE_CHARS: usize = 500;

/// The engine of all writes.
#[derive(Debug)]
pub struct Writes {
    pub(super) clock: SharedClock,
    store: SharedStore,
    /// What has changed lately.
    pub changes: Arc<Changes>,
    /// Routes in memory.
    pub routes: Routes,
    pub(super) outbound: Outbound,
    /// Customers' OAuth grants.
    pub grants: Arc<Grants>,
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
    pub new_work: Arc<NewWork>,
    /// What waits, and the limits to it.
    pub backlog: Backlog,
    /// Whether the store takes writes.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Rung when lanes or work may have changed in a way that `new_work` was not told of.
    pub accepted: Arc<Notify>,
}

/// What became of a write request.
#[derive(Debug)]
pub struct Written {
    /// The operation.
    pub operation_id: Uuid,
    /// What happened to each field.
    pub trace: Vec<TraceEntry>,
    /// What became of it; absent for an asynchronous write: it has been accepted.
    pub performed: Option<Performed>,
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
            batch_index: None,
            replayed: false,
            handed_over: false,
        }
    }
}

impl Writes {
    /// Builds the engine and starts its group commits. `refreshes` is how many tokens are refreshed at one provider at a time.
    #[must_use]
    pub fn new(
        store: SharedStore,
        catalog: Arc<SharedCatalog>,
        vault: Arc<Vault>,
        outbound: Outbound,
        clock: SharedClock,
        limits: QueueLimits,
        refreshes: usize,
    ) -> Self {
        let metrics = Arc::new(Metrics::default());
        let changes = Arc::new(Changes::new(store.clone(), Arc::clone(&metrics)));
        let health = Arc::new(Health::default());
        let writers = if store.kind() == "sqlite" { 1 } else { 2 };
        let (accept, record, settle, attempts) = (store.clone(), store.clone(), store.clone(), store.clone());
        let finish = store.clone();
        let new_work = Arc::new(NewWork::start(store.clone()));
        let accepted_bell = Arc::clone(&new_work);
        let grants = Arc::new(Grants::new(Parts {
            store: store.clone(),
            vault: Arc::clone(&vault),
            catalog: Arc::clone(&catalog),
            outbound: outbound.clone(),
            clock: clock.clone(),
            changes: Arc::clone(&changes),
            metrics: Arc::clone(&metrics),
            at_once: refreshes,
        }));
        Self {
            routes: Routes::new(store.clone(), catalog, vault, Arc::clone(&changes)),
            changes,
            grants,
            clock,
            outbound,
            descriptions: fields::Descriptions::new(),
            accept: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[AcceptOperation]| {
                    let (store, new_work) = (accept.clone(), Arc::clone(&accepted_bell));
                    Box::pin(async move {
                        let begun = std::time::Instant::now();
                        let times = store.accept_operations(members).await?;
                        new_work.accepted(members, &times, begun);
                        Ok(times)
                    })
                }),
                "accept",
                Arc::clone(&metrics),
                Arc::clone(&health),
            ),
            finish: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[FinishOperation]| {
                    let store = finish.clone();
                    Box::pin(async move { store.finish_operations(members).await })
                }),
                "finish",
                Arc::clone(&metrics),
                Arc::clone(&health),
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
                Arc::clone(&health),
            ),
            settle: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[Settle]| {
                    let store = settle.clone();
                    Box::pin(async move { store.settle(members).await })
                }),
                "settle",
                Arc::clone(&metrics),
                Arc::clone(&health),
            ),
            attempts: Batcher::start_measured(
                writers,
                Arc::new(move |members: &[BeginAttempt]| {
                    let store = attempts.clone();
                    Box::pin(async move { store.begin_attempts(members).await })
                }),
                "attempts",
                Arc::clone(&metrics),
                Arc::clone(&health),
            ),
            new_work,
            finished: Finished::start(store.clone()),
            running: running::Running::default(),
            cancel_asked: Notify::new(),
            accepted: Arc::new(Notify::new()),
            backlog: Backlog::new(limits),
            health,
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
        reconcile::look(self, job, sent_since).await
    }

    /// Notes what an answer says about the credentials: dead ones hold the lane until the customer reconnects.
    /// Answers false when newer credentials are in force than those that were used.
    pub async fn note_credentials(&self, route: &Route, outcome: &Outcome) -> bool {
        self.note_credentials_of(route, outcome, route.connection.credentials_version)
            .await
    }

    async fn note_credentials_of(&self, route: &Route, outcome: &Outcome, credentials_version: i64) -> bool {
        let works = match outcome {
            Outcome::Unauthorized(_) => false,
            // Writing "working" once is enough; a connection that has worked costs no statement.
            Outcome::Succeeded { .. } if route.connection.is_first_success() => true,
            _ => return true,
        };
        // Others that use it know what they have been told: only a change between good and bad is news to them.
        let is_news = works != route.connection.works;
        let connection = &route.connection;
        let noted = self
            .store
            .set_connection_works(route.project_id, connection.id, credentials_version, works)
            .await;
        if is_news {
            let change = Change::of(route.project_id, ChangeKind::Connection, connection.id);
            self.changes.note(&[change]);
        }
        match noted {
            Ok(current) => current,
            Err(error) => {
                connection.forget_success();
                if self.health.is_worth_a_line(&error) {
                    tracing::warn!(connection.id = %connection.id, error = &error as &dyn std::error::Error,
                        "the status of a connection could not be stored");
                }
                true
            }
        }
    }

    /// The same of a call.
    pub async fn note_call(&self, set: &WriteSet<'_>, turn: &Turn) -> bool {
        match turn.of_credentials(set) {
            Some((outcome, version)) => self.note_credentials_of(set.route, outcome, version).await,
            None => true,
        }
    }
}
