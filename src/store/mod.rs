//! The store: every use case is one method and one transaction, implemented twice, mirrored file by file.
//!
//! [`postgres`] is for production and any number of processes; [`sqlite`] is embedded, one file, one process.
//! One contract suite (`tests/it/store_contract`) runs on both. No method is ever held open across a call to a provider.

pub mod batcher;
mod changes;
mod claim;
mod commit;
mod connect;
mod health;
mod holds;
mod location;
mod migrations;
mod model;
pub mod postgres;
pub mod sqlite;
mod stragglers;
mod time;
mod upkeep;
mod whose;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

pub use changes::{CHANGES_KEPT, Change, ChangeKind, ChangeStore, LogPosition, News};
pub use claim::LATE_COMMIT;
pub(crate) use commit::commit;
pub use connect::{ConnectError, connect, open};
pub use health::Health;
pub use location::Location;
pub use model::*;
pub use upkeep::*;
pub use whose::Opening;

use crate::clock::Time;

/// Lanes hash to this many shards; the migrations make as many rows.
pub const SHARDS: i16 = 64;

/// So many operations are looked at for one page of a list whose filter no index serves.
const SCAN: i64 = 20_000;
/// How far the clocks of nodes may differ from the store's: ids carry the time of the one, rows that of the other.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// Whether a list has to look at operations one by one.
const fn filter_needs_scan(filter: &OperationFilter) -> bool {
    let indexed = filter.holds_record
        || filter.installations.is_some()
        || filter.client_ref.is_some()
        || matches!(
            filter.state,
            Some(StateFilter::InProgress | StateFilter::Ended(_))
        );
    let filtered = filter.object.is_some()
        || filter.integration.is_some()
        || filter.state.is_some()
        || filter.until.is_some()
        || filter.not_replayed;
    filtered && !indexed
}

/// An id that none of an operation accepted since then is below.
fn first_id_near(time: Time) -> Uuid {
    let micros = time
        .as_micros()
        .saturating_sub(i64::try_from(CLOCKS_DIFFER.as_micros()).unwrap_or(0));
    let millis = micros.max(0).unsigned_abs() / 1_000;
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// The shard of a lane: the last byte of a UUIDv7 is random, so lanes spread evenly.
#[must_use]
pub fn shard_of(lane_id: Uuid) -> i16 {
    i16::from(lane_id.as_bytes()[15]) % SHARDS
}

/// How long an idempotency key is kept: longer than any write is retried.
pub const KEY_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A shared store.
pub type SharedStore = Arc<dyn Store>;

/// What can go wrong in the store. Above it, only the kind matters; the cause is for the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or refuses for now. Nothing was changed.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The database was asked to commit and did not say whether it has: what was asked for may be there, or may come to be
    /// there later.
    #[error("the database does not say whether it has committed")]
    Undecided(#[source] sqlx::Error),
    /// Too many requests wait for the store already.
    #[error("the store has more work queued than it can take")]
    Busy,
    /// Something with the same unique name or role exists.
    #[error("{0}")]
    Conflict(String),
    /// A text that the database cannot keep: it holds a NUL character.
    #[error("a text holds a NUL character, which cannot be stored")]
    Unstorable,
    /// A row holds what the service never writes, or a statement is wrong: a defect.
    #[error("the database answered something unexpected")]
    Defect(#[source] sqlx::Error),
}

impl StoreError {
    /// A store that is known to be down, for this reason.
    #[must_use]
    pub fn down(why: impl Into<String>) -> Self {
        Self::Unavailable(sqlx::Error::Protocol(why.into()))
    }

    /// Whether trying again can help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Undecided(_) | Self::Busy)
    }

    /// Whether only the connection was dead, as those are that were made before the server was restarted: another may live.
    #[must_use]
    pub fn is_dead_connection(&self) -> bool {
        match self {
            Self::Unavailable(cause) | Self::Undecided(cause) => match cause {
                sqlx::Error::Io(_) => true,
                // Postgres: ended by an administrator, or with a crash.
                sqlx::Error::Database(error) => {
                    matches!(error.code().as_deref(), Some("57P01" | "57P02"))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the database as a whole is in trouble, not only this transaction, which others were in the way of.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Undecided(_) => true,
            Self::Unavailable(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                // Locks, deadlocks, serialization; on SQLite busy and locked.
                let lost_a_race = if code.len() == 5 {
                    code.starts_with("40") || code.starts_with("55")
                } else {
                    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
                };
                !lost_a_race
            }
            Self::Unavailable(_) => true,
            Self::Busy | Self::Conflict(_) | Self::Unstorable | Self::Defect(_) => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => {
                Self::Unavailable(error)
            }
            E::Database(database) if database.is_foreign_key_violation() => {
                Self::Conflict("something that this needs is gone, or something still needs this".to_owned())
            }
            E::Database(database) if matches!(database.code().as_deref(), Some("22021" | "22P05")) => {
                Self::Unstorable
            }
            E::Database(database) => {
                let code = database.code().unwrap_or_default();
                // Postgres: 08 connection, 53 resources, 57 operator intervention, 55 locks, 40 serialization and deadlock, 25006 read-only.
                // SQLite: 5 busy, 6 locked, 10 I/O, 13 full, 14 cannot open, 8 read-only (low byte of the extended code).
                let postgres = ["08", "53", "57", "40", "55"]
                    .iter()
                    .any(|class| code.len() == 5 && code.starts_with(class))
                    || code == "25006";
                let sqlite = code.len() != 5
                    && code
                        .parse::<u32>()
                        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14));
                if postgres || sqlite {
                    Self::Unavailable(error)
                } else {
                    Self::Defect(error)
                }
            }
            _ => Self::Defect(error),
        }
    }
}

/// The result of a store method.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What the rest of the service can ask of its database: use cases, grouped by what they are about. Every method is one
/// transaction.
#[async_trait]
pub trait Store:
    ProjectStore
    + IntegrationStore
    + ConnectionStore
    + InstallationStore
    + OperationStore
    + SteeringStore
    + QueueStore
    + RetentionStore
    + BacklogStore
    + ChangeStore
    + std::fmt::Debug
{
    /// `postgres` or `sqlite`, for logs and `/readyz`.
    fn kind(&self) -> &'static str;

    /// Answers when the database does.
    async fn ping(&self) -> Result<()>;

    /// Writes so many bytes for this process and commits them: says whether the store can record anything at all. What was
    /// written so before goes.
    async fn check_writes(&self, process: Uuid, bytes: usize) -> Result<()>;

    /// The newest key check: its number, and a known text that was sealed with the key in use then. `None` when no process
    /// has left one yet.
    async fn latest_key_check(&self) -> Result<Option<(i64, Vec<u8>)>>;

    /// Leaves a key check with this number, unless there is one already.
    async fn add_key_check(&self, number: i64, sealed: &[u8]) -> Result<()>;

    /// The connection whose credentials were sealed last: its project, its id and the sealed credentials.
    async fn last_sealed(&self) -> Result<Option<(Uuid, Uuid, Vec<u8>)>>;

    /// Closes every connection, after what is running.
    async fn close(&self);

    /// Makes room for the history of the coming days (partitions on Postgres). Harmless to repeat.
    async fn prepare_history(&self, now: Time) -> Result<()>;
}

/// Projects and their API keys.
#[async_trait]
pub trait ProjectStore: Send + Sync {
    /// Makes a project with its first key. `Conflict` when the name is taken.
    async fn create_project(&self, project: &NewProject, key: &NewApiKey) -> Result<Project>;
    /// Every project, by name.
    async fn list_projects(&self) -> Result<Vec<Project>>;
    /// One project by id, or by name without regard to case.
    async fn find_project(&self, id_or_name: &str) -> Result<Option<Project>>;
    /// The active key with this hash, and its project.
    async fn find_key(&self, key_hash: &[u8]) -> Result<Option<(ApiKey, Project)>>;
    /// Adds a key to a project.
    async fn create_api_key(&self, project_id: Uuid, key: &NewApiKey) -> Result<ApiKey>;
    /// The keys of a project, oldest first.
    async fn list_api_keys(&self, project_id: Uuid, only_active: bool) -> Result<Vec<ApiKey>>;
    /// One key of a project.
    async fn get_api_key(&self, project_id: Uuid, key: KeyRef<'_>) -> Result<Option<ApiKey>>;
    /// Changes a key. `None` when there is none.
    async fn update_api_key(
        &self,
        project_id: Uuid,
        key: KeyRef<'_>,
        change: &ApiKeyChange,
    ) -> Result<Option<ApiKey>>;
    /// Removes a key; false when there was none.
    async fn delete_api_key(&self, project_id: Uuid, key: KeyRef<'_>) -> Result<bool>;
}

/// Integrations and their revisions.
#[async_trait]
pub trait IntegrationStore: Send + Sync {
    /// Deploys a manifest: new integrations are made, changed ones get a revision, unchanged ones stay as they are.
    /// With `remove_others` those that are not named go, with their installations. Answers those named, in their order.
    async fn deploy(
        &self,
        project_id: Uuid,
        integrations: &[NewIntegration],
        remove_others: bool,
    ) -> Result<Vec<Integration>>;
    /// The integrations of a project, oldest first.
    async fn list_integrations(&self, project_id: Uuid) -> Result<Vec<Integration>>;
    /// How much the integrations of a project are used; those that are not installed may be absent. Reads the project's queue:
    /// for people who are about to change something.
    async fn integration_uses(&self, project_id: Uuid) -> Result<Vec<IntegrationUse>>;
    /// One integration.
    async fn find_integration(
        &self,
        project_id: Uuid,
        integration: IntegrationRef<'_>,
    ) -> Result<Option<Integration>>;
    /// One revision of an integration.
    async fn get_revision(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        revision_id: Uuid,
    ) -> Result<Option<Revision>>;
    /// Keeps an uploaded file for an hour; older ones go.
    async fn put_upload(&self, project_id: Uuid, id: Uuid, content: &[u8]) -> Result<()>;
    /// An uploaded file, as long as it is kept.
    async fn get_upload(&self, project_id: Uuid, id: Uuid) -> Result<Option<Vec<u8>>>;
    /// Removes an integration with its installations; false when there was none.
    async fn delete_integration(&self, project_id: Uuid, integration_id: Uuid) -> Result<bool>;
}

/// Customers' credentials.
#[async_trait]
pub trait ConnectionStore: Send + Sync {
    /// Makes a connection, and its group and consumer when they are new.
    async fn create_connection(&self, project_id: Uuid, connection: &NewConnection) -> Result<Connection>;
    /// The connections of a project that match, oldest first.
    async fn list_connections(&self, project_id: Uuid, filter: &ConnectionFilter) -> Result<Vec<Connection>>;
    /// One connection.
    async fn get_connection(&self, project_id: Uuid, connection_id: Uuid) -> Result<Option<Connection>>;
    /// Changes a connection. New credentials end the lane's authorization hold. `None` when there is none.
    async fn update_connection(
        &self,
        project_id: Uuid,
        connection_id: Uuid,
        change: &ConnectionChange,
    ) -> Result<Option<Connection>>;
    /// Notes whether the credentials of this version work; false when newer ones are in force, and nothing changes.
    /// Dead credentials hold the lane (its clock stands still); working ones end such a hold.
    async fn set_connection_works(
        &self,
        project_id: Uuid,
        connection_id: Uuid,
        credentials_version: i64,
        works: bool,
    ) -> Result<bool>;
    /// Removes a connection; false when there was none. `Conflict` while an installation uses it.
    async fn delete_connection(&self, project_id: Uuid, connection_id: Uuid) -> Result<bool>;
}

/// Installations, their configs, and the routes that writes take.
#[async_trait]
pub trait InstallationStore: Send + Sync {
    /// Makes an installation. `Conflict` when the group has one for this integration.
    async fn create_installation(
        &self,
        project_id: Uuid,
        installation: &NewInstallation,
    ) -> Result<Installation>;
    /// The installations of a project, oldest first, of one integration or group when given.
    async fn list_installations(
        &self,
        project_id: Uuid,
        integration_id: Option<Uuid>,
        group_ref: Option<&str>,
    ) -> Result<Vec<Installation>>;
    /// One installation of an integration.
    async fn get_installation(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        installation_id: Uuid,
    ) -> Result<Option<Installation>>;
    /// Writes a new config. `None` when the installation is gone or another config is in force by now.
    async fn update_installation(
        &self,
        project_id: Uuid,
        installation_id: Uuid,
        change: &InstallationChange,
    ) -> Result<Option<Installation>>;
    /// Removes an installation, and its connection when no other uses it; false when there was none.
    async fn delete_installation(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        installation_id: Uuid,
    ) -> Result<bool>;

    /// What a write of this group through this integration needs; `None` without an installation.
    async fn find_route(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        group_ref: &str,
    ) -> Result<Option<RouteRow>>;
    /// The configs in force of the installations that use these connections, of those that may say something of limits. (One
    /// statement for all lanes of a worker, whatever their project.)
    async fn list_lane_configs(&self, lanes: &[Uuid]) -> Result<Vec<LaneConfig>>;
    /// What a write needs for an operation: the config and revision that it was accepted with, the connection as it is now.
    /// `None` when the installation's config or the connection is gone.
    async fn find_pinned_route(
        &self,
        project_id: Uuid,
        config_id: Uuid,
        revision_id: Uuid,
        connection_id: Uuid,
    ) -> Result<Option<RouteRow>>;
}

/// Operations: accepted, performed, looked up.
#[async_trait]
pub trait OperationStore: Send + Sync {
    /// Accepts writes: each operation with its queue item and its idempotency key, all or none. Answers for each, in order,
    /// when it was accepted, or that its key is taken: of such a one nothing is stored, and its neighbours do not mind. What
    /// repeats a write that holds its record takes that write's place in the order. One with [`Gather`] becomes a record of
    /// the open operation with its batch key, and is told which one.
    async fn accept_operations(&self, operations: &[AcceptOperation]) -> Result<Vec<Accepted>>;
    /// Ends synchronous writes that were accepted before they were sent. True for each that took effect; false when its
    /// queue item has been taken over. Attempts are kept in any case.
    async fn finish_operations(&self, finishes: &[FinishOperation]) -> Result<Vec<bool>>;
    /// What an idempotency key was used for; `None` when it is free.
    async fn find_idempotency_key(&self, project_id: Uuid, key: &str) -> Result<Option<IdempotencyUse>>;
    /// Forgets keys, and the answers kept for them, that are older than [`KEY_LIFE`]: at most `limit` of each. Answers how many
    /// rows went. (One statement for all projects, like every clean-up.)
    async fn forget_idempotency_keys(&self, limit: i64) -> Result<u64>;
    /// Records synchronous writes that have been performed, all or none.
    async fn record_operations(&self, operations: &[RecordOperation]) -> Result<()>;
    /// One operation.
    async fn get_operation(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Operation>>;
    /// What was stored of an operation's request when it came, with the records that it has gathered so far: JSON text.
    /// `None` once it has expired.
    async fn get_request(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<String>>;
    /// The attempts of an operation, oldest first.
    async fn list_attempts(&self, project_id: Uuid, operation_id: Uuid) -> Result<Vec<Attempt>>;
    /// A page of operations, newest first. A filter that no index serves looks at a bounded number of operations: its page may
    /// hold fewer than asked for, and still have a next one.
    async fn list_operations(&self, project_id: Uuid, filter: &OperationFilter) -> Result<OperationPage>;
}

/// What it takes to follow operations and to steer them.
#[async_trait]
pub trait SteeringStore: Send + Sync {
    /// What an operation waits for; `None` when it is not in the queue.
    async fn get_live(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Live>>;
    /// Which of these operations have ended; one statement for all who wait, whatever their project.
    async fn which_ended(&self, operations: &[(Uuid, Uuid)]) -> Result<Vec<Uuid>>;
    /// Operations in the order in which they ended, after the given one; complete up to the last one answered.
    async fn list_finished(
        &self,
        project_id: Uuid,
        after: (Time, Uuid),
        limit: i64,
    ) -> Result<Vec<Operation>>;
    /// The store's clock.
    async fn store_now(&self) -> Result<Time>;
    /// What repeating an operation takes; `None` when there is no such operation.
    async fn get_accepting(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Accepting>>;
    /// The operations that repeat this one, oldest first.
    async fn list_replays(&self, project_id: Uuid, operation_id: Uuid) -> Result<Vec<Uuid>>;
    /// Ends a doubt: false unless the operation is in the state needs_review. With `release` it holds its record no longer.
    async fn resolve(
        &self,
        project_id: Uuid,
        operation_id: Uuid,
        result: &NewResult,
        release: bool,
    ) -> Result<bool>;
    /// Ends all holds of a record: the one that this operation holds, or for which it waits. Answers the lane; `None` when
    /// nothing was held.
    async fn release_record(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Uuid>>;
    /// Asks the worker that has the lane's shard to cancel. Asking again is harmless.
    async fn ask_to_cancel(&self, project_id: Uuid, operation_id: Uuid, lane_id: Uuid) -> Result<()>;
    /// Where such a request stands.
    async fn cancellation(&self, project_id: Uuid, operation_id: Uuid) -> Result<CancellationState>;
    /// Takes a request back, whatever it has come to.
    async fn withdraw_cancellation(&self, project_id: Uuid, operation_id: Uuid) -> Result<()>;
    /// The requests that this worker is to answer.
    async fn cancellations_for(&self, worker: Uuid) -> Result<Vec<Cancellation>>;
    /// Refuses a request.
    async fn refuse_cancellation(&self, project_id: Uuid, operation_id: Uuid, reason: &str) -> Result<()>;
    /// Takes an operation out of the queue with the result `cancelled`, unless it may have been sent. The worker must have
    /// the shard, and must not have started it.
    async fn cancel(
        &self,
        worker: Uuid,
        project_id: Uuid,
        operation_id: Uuid,
        result: &NewResult,
    ) -> Result<Cancelled>;
}

/// What other processes tell.
#[async_trait]
pub trait Listener: Send + std::fmt::Debug {
    /// The next message; `None` when some may have been lost meanwhile.
    async fn next(&mut self) -> Result<Option<String>>;
}

/// Live work: shards, lanes and items.
#[async_trait]
pub trait QueueStore: Send + Sync {
    /// Renews the worker's leases and takes free or expired shards up to its fair share. A change of owner raises the epoch.
    /// `calls` is how long a call of this worker may take: for so long after its lease a shard that it did not give back counts
    /// as unsettled for whoever takes it.
    async fn lease_shards(&self, worker: Uuid, lease: Duration, calls: Duration) -> Result<Leases>;
    /// Gives shards back, so that others need not wait for the lease to end. No call of them may be on its way.
    async fn release_shards(&self, worker: Uuid, shards: &[i16]) -> Result<()>;
    /// Leaves shards whose calls were cut off: anybody may take them at once, and they are unsettled.
    async fn abandon_shards(&self, worker: Uuid, shards: &[i16]) -> Result<()>;
    /// Gives everything back: the worker leaves.
    async fn retire_worker(&self, worker: Uuid) -> Result<()>;
    /// The lanes of these shards that have items, each with the time of its earliest. Costs one probe per lane.
    async fn due_lanes(&self, shards: &[i16]) -> Result<Vec<DueLane>>;
    /// Reads due items, the earliest of each lane first; changes nothing. Leaves out what the asks know already, and items
    /// behind an earlier one of the same record, also one that failed and holds it. Requests of about `max_bytes` in all are read, but always one.
    async fn claim(&self, asks: &[LaneAsk], max_bytes: usize) -> Result<Claim>;
    /// Reads items past their deadline, wherever they stand in their lanes, `limit` per lane at most; changes nothing.
    /// The clock of a held lane stands still: it has none.
    async fn claim_expired(&self, asks: &[ExpireAsk], limit: usize, max_bytes: usize)
    -> Result<Vec<Claimed>>;
    /// Which of these records of a batch still wait: an earlier write to them is in the queue, has failed and holds them, or may
    /// still take effect. `seq` is the batch's place in
    /// the order of acceptance.
    async fn waiting_records(&self, lane_id: Uuid, seq: i64, keys: &[i64]) -> Result<Vec<i64>>;
    /// Tells every process that listens. What is sent while nobody listens is lost.
    async fn notify(&self, messages: &[String]) -> Result<()>;
    /// Listens to what other processes tell; `None` where there are no others.
    async fn listen(&self) -> Result<Option<Box<dyn Listener>>>;
    /// Appends attempts: durable before requests leave that must not be repeated blindly. False for each whose lease is
    /// no longer the worker's: nothing is appended, and nothing may be sent.
    async fn begin_attempts(&self, begins: &[BeginAttempt]) -> Result<Vec<bool>>;
    /// Closes an operation that gathers records: nothing is added to it any more, and its request holds what was gathered.
    /// False when the lease is no longer the worker's or the item is gone; then nothing changes. Harmless to repeat.
    async fn close_gathered(&self, close: &CloseGathered) -> Result<bool>;
    /// Ends attempts: the item leaves with its result, and holds its record if it says so and failed; or it is put off. True for each that took effect; false where the
    /// lease is no longer the worker's or the item is gone. Attempts are kept in any case.
    async fn settle(&self, settles: &[Settle]) -> Result<Vec<bool>>;
    /// Pauses a lane, from the store's now. Of two pauses the one that ends later counts, and says why.
    async fn pause_lane(
        &self,
        project_id: Uuid,
        lane_id: Uuid,
        pause: Duration,
        reason: PauseReason,
    ) -> Result<()>;
    /// Every lane with work, of one project when given, the deepest first. Counts every item: for people, not for the queue.
    async fn list_lanes(&self, project_id: Option<Uuid>) -> Result<Vec<LaneStatus>>;
    /// How many items wait in all; for tests, metrics and shutdown reports.
    async fn queue_depth(&self) -> Result<i64>;
}
