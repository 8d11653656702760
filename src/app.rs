//! Everything the service is made of, built once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::changes::POLL;
use crate::clock::SharedClock;
use crate::connectors::{Catalog, LoadError, SharedCatalog};
use crate::control::Control;
use crate::control::authorize::REMEMBERED;
use crate::listen::Limits;
use crate::outbound::{Outbound, OutboundOptions};
use crate::queue::WorkerOptions;
use crate::settings::TuningArgs;
use crate::store::{Expired, Retention, SharedStore};
use crate::vault::Vault;
use crate::writes::Writes;
use crate::writes::backlog::QueueLimits;

/// How often what is old is dropped from memory, with its credentials: until then it is only not used any more.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often the history is looked after: partitions for the coming days, and what leaves by age.
const HISTORY_EVERY: Duration = Duration::from_secs(3600);

/// So many requests may watch operations in one process.
const WATCHERS: usize = 200;
/// So many old idempotency keys are removed in one statement.
const KEYS_AT_ONCE: i64 = 1_000;
/// How often the queue is counted, at most. Counting a large one takes longer, and is done less often: it takes a twentieth
/// of the time.
const SURVEY_EVERY: Duration = Duration::from_secs(5);
const SURVEY_SHARE: u32 = 20;
/// How long no write may have succeeded before a little is written to know whether the store takes any.
const STORE_EVERY: Duration = Duration::from_secs(5);
/// How often a store that takes no writes is asked again.
const STORE_DOWN_EVERY: Duration = Duration::from_millis(300);
/// How often the store is told which API keys were used; of each key once a minute.
const USES_EVERY: Duration = Duration::from_secs(5);
/// How often writes are looked for that have waited for credentials for too long.
const HOLDS_EVERY: Duration = Duration::from_secs(60);

/// The parts of the service.
#[derive(Debug)]
pub struct App {
    /// The limits and times.
    pub tuning: TuningArgs,
    /// The clock.
    pub clock: SharedClock,
    /// The database.
    pub store: SharedStore,
    /// Secrets at rest.
    pub vault: Arc<Vault>,
    /// The providers.
    pub catalog: Arc<SharedCatalog>,
    /// The engine of writes.
    pub writes: Arc<Writes>,
    /// Every use case that is not a write.
    pub control: Control,
    /// Writes that are being performed: they go on when their app hangs up, and a stop waits for them.
    pub in_flight: TaskTracker,
    /// Places for those who watch operations.
    pub watchers: Arc<Semaphore>,
    /// Cancelled when the process stops: requests that only wait end then.
    pub stopping: CancellationToken,
}

/// What handlers get.
pub type AppState = Arc<App>;

/// Why the service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A connector file, or a provider URL of the settings.
    #[error("the connectors cannot be loaded:\n{0}")]
    Connectors(String),
    /// The HTTP client.
    #[error("{0}")]
    Outbound(String),
}

/// What the settings alone decide, checked before the database is opened: a process that cannot start must not have
/// migrated it.
#[derive(Debug)]
pub struct Prepared {
    tuning: TuningArgs,
    catalog: Catalog,
    outbound: Outbound,
}

impl Prepared {
    /// Reads the connector files and builds the HTTP client.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn new(tuning: TuningArgs) -> Result<Self, BuildError> {
        let urls = tuning.provider_urls();
        let catalog = Catalog::load(tuning.connectors_dir.as_deref(), &urls).map_err(|errors| {
            BuildError::Connectors(
                errors
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        })?;
        let outbound = Outbound::new(OutboundOptions {
            timeout: Duration::from_secs(tuning.provider_timeout_seconds),
            max_response_bytes: usize::try_from(tuning.max_provider_bytes).unwrap_or(usize::MAX),
            trusted_urls: urls,
        })
        .map_err(BuildError::Outbound)?;
        Ok(Self {
            tuning,
            catalog,
            outbound,
        })
    }

    /// The service over an open store.
    #[must_use]
    pub fn over(self, store: SharedStore, vault: Vault, clock: SharedClock) -> AppState {
        let Self {
            tuning,
            catalog,
            outbound,
        } = self;
        let (catalog, vault) = (Arc::new(SharedCatalog::new(catalog)), Arc::new(vault));
        let writes = Arc::new(Writes::new(
            store.clone(),
            Arc::clone(&catalog),
            Arc::clone(&vault),
            outbound,
            clock.clone(),
            QueueLimits {
                installation: tuning.queue_limit_installation,
                project: tuning.queue_limit_project,
            },
            tuning.refresh_concurrency as usize,
        ));
        let control = Control::new(
            store.clone(),
            Arc::clone(&vault),
            Arc::clone(&catalog),
            Arc::clone(&writes),
            clock.clone(),
            tuning.public_url.as_deref(),
        );
        Arc::new(App {
            control,
            tuning,
            clock,
            store,
            vault,
            catalog,
            writes,
            in_flight: TaskTracker::new(),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            stopping: CancellationToken::new(),
        })
    }
}

impl App {
    /// Builds the service over an open store.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(
        tuning: TuningArgs,
        store: SharedStore,
        vault: Vault,
        clock: SharedClock,
    ) -> Result<AppState, BuildError> {
        Ok(Prepared::new(tuning)?.over(store, vault, clock))
    }

    /// How a worker of this process works.
    #[must_use]
    pub fn worker_options(&self) -> WorkerOptions {
        WorkerOptions {
            lease: self.tuning.lease(),
            concurrency: self.tuning.worker_concurrency as usize,
            lane_concurrency: self.tuning.lane_concurrency as usize,
            provider_limits: self.tuning.provider_limits,
            lane_weights: self.tuning.lane_weights.iter().copied().collect(),
            retry_base: Duration::from_millis(self.tuning.retry_base_ms),
            shutdown: Duration::from_secs(self.tuning.shutdown_seconds),
        }
    }

    /// What clients may take of this process.
    #[must_use]
    pub const fn client_limits(&self) -> Limits {
        Limits {
            connections: self.tuning.max_connections as usize,
            read: Duration::from_secs(self.tuning.read_timeout_seconds),
            idle: Duration::from_secs(self.tuning.idle_timeout_seconds),
        }
    }

    /// How long history is kept.
    fn retention(&self) -> Retention {
        let days = |days: u32| Duration::from_secs(86_400 * u64::from(days));
        let history = self.tuning.retention_days;
        let payloads = self.tuning.payload_retention_days.unwrap_or(history);
        Retention {
            history: days(history),
            payloads: days(payloads.min(history)),
        }
    }

    /// Everything that is done beside the requests, until `stop`. Errors are logged and never end it.
    pub async fn housekeeping(self: Arc<Self>, stop: CancellationToken) {
        let work = async {
            tokio::join!(
                self.keep_caches_honest(),
                self.keep_store_known(),
                self.keep_history(),
                self.keep_count(),
                self.keep_holds_short(),
                Arc::clone(&self.writes.grants).keep_fresh(stop.clone()),
                self.keep_uses_known()
            )
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = work => {}
        }
        // Requests that only wait for something to end do not hold up a stop.
        self.stopping.cancel();
    }

    async fn keep_caches_honest(&self) {
        let mut poll = every(POLL);
        let mut swept = std::time::Instant::now();
        loop {
            poll.tick().await;
            if swept.elapsed() > SWEEP_EVERY {
                swept = std::time::Instant::now();
                self.writes.routes.sweep();
                self.control.projects.sweep();
            }
            if let Err(error) = self.writes.changes.poll().await
                && self.writes.health.is_worth_a_line(&error)
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the store does not say whether something changed"
                );
            }
        }
    }

    /// Whether the store takes writes is known also while nobody writes; and when it takes none, it is asked until it does.
    async fn keep_store_known(&self) {
        let health = &self.writes.health;
        loop {
            tokio::select! {
                () = tokio::time::sleep(STORE_EVERY) => {}
                () = health.in_doubt.notified() => self.writes.check_store().await,
            }
            while health.why_down().is_some() {
                tokio::time::sleep(STORE_DOWN_EVERY).await;
                self.writes.check_store().await;
            }
            if health.last_write().is_none_or(|ago| ago > STORE_EVERY) {
                self.writes.check_store().await;
            }
        }
    }

    /// A few at a time: nobody shall wait for it.
    async fn forget_keys(&self) {
        loop {
            match self.store.forget_idempotency_keys(KEYS_AT_ONCE).await {
                Ok(0) => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "old idempotency keys could not be removed; trying again in an hour"
                    );
                    return;
                }
            }
        }
    }

    /// Partitions for the coming days, and what leaves by age.
    async fn keep_history(&self) {
        let mut history = every(HISTORY_EVERY);
        loop {
            history.tick().await;
            if let Err(error) = self.store.prepare_history(self.clock.now()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the partitions of the coming days could not be made"
                );
            }
            self.forget_keys().await;
            if let Err(error) = self.store.forget_changes().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "old changes could not be removed; trying again in an hour"
                );
            }
            if let Err(error) = self.store.forget_flows(REMEMBERED).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "connections that nobody completed could not be forgotten; trying again in an hour"
                );
            }
            match self.store.expire_history(self.retention()).await {
                Ok(expired) if expired == Expired::default() => {}
                Ok(gone) => tracing::info!(?gone, "what was too old is gone"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "history that is too old could not be removed; trying again in an hour"
                ),
            }
        }
    }

    /// What waits, for the limits and the metrics.
    async fn keep_count(&self) {
        loop {
            let started = std::time::Instant::now();
            let done = async {
                self.writes.survey().await?;
                self.writes.tell_new_holds().await
            };
            if let Err(error) = done.await
                && self.writes.health.is_worth_a_line(&error)
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the queue could not be counted; the old figures go on"
                );
            }
            tokio::time::sleep(SURVEY_EVERY.max(started.elapsed() * SURVEY_SHARE)).await;
        }
    }

    async fn keep_uses_known(&self) {
        let mut uses = every(USES_EVERY);
        loop {
            uses.tick().await;
            if let Err(error) = self.control.projects.note_uses().await
                && self.writes.health.is_worth_a_line(&error)
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "when API keys were last used could not be noted; trying again"
                );
            }
        }
    }

    async fn keep_holds_short(&self) {
        let limit = Duration::from_secs(self.tuning.max_hold_hours * 3_600);
        let mut holds = every(HOLDS_EVERY);
        loop {
            holds.tick().await;
            if let Err(error) = self.writes.end_long_holds(limit).await
                && self.writes.health.is_worth_a_line(&error)
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "writes that have waited for credentials for too long could not be ended; trying again"
                );
            }
        }
    }

    /// Reads the folder of connector files again. A file that cannot be used keeps what was there for it; its problems are
    /// logged and answered. What is in flight ends with the connector it began with.
    pub fn reload_connectors(&self) -> Vec<LoadError> {
        let dir = self.tuning.connectors_dir.as_deref();
        let errors = self.catalog.reload(dir, &self.tuning.provider_urls());
        // Routes hold the connectors they were made with.
        self.writes.changes.note_everything();
        for error in &errors {
            tracing::error!(file = %error.file, line = error.line, path = %error.path,
                "a connector file cannot be used and the last good one stays: {}", error.message);
        }
        tracing::info!(problems = errors.len(), "the connector files were read again");
        errors
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}
