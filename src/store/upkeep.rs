//! Upkeep: what leaves by age, what waits, and what has waited too long.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{NewResult, Result};
use crate::clock::Time;

/// Reads a row from each database, column by column, by name.
macro_rules! from_row {
    ($name:ident: $($field:ident),* $(,)?) => {
        from_row!(@one sqlx::postgres::PgRow, $name: $($field),*);
        from_row!(@one sqlx::sqlite::SqliteRow, $name: $($field),*);
    };
    (@one $row:ty, $name:ident: $($field:ident),*) => {
        impl<'r> sqlx::FromRow<'r, $row> for $name {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }
    };
}

/// What stands in place of a stored request that has expired.
pub const EXPIRED_PAYLOAD: &str = "";

/// The smallest id of a moment: operations have ids of version 7, which begin with their time.
pub(super) fn first_id_of(time: Time) -> Uuid {
    let millis = time.as_micros().max(0).unsigned_abs() / 1_000;
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// A config or a revision that was replaced may be needed by operations accepted a little later (routes are kept in memory)
/// and kept a little longer (a day of history leaves whole): it stays so much longer than they do.
pub(super) const DEFINITIONS_MARGIN: Duration = Duration::from_secs(3 * 86_400);

/// Configs that were replaced before $1, or whose installation is gone; then revisions that no config needs any more.
pub(super) const EXPIRE_DEFINITIONS: [&str; 2] = [
    "DELETE FROM configs AS c WHERE c.create_time < $1
       AND (EXISTS (SELECT 1 FROM configs n
                    WHERE n.project_id = c.project_id AND n.installation_id = c.installation_id
                      AND n.create_time > c.create_time AND n.create_time < $1)
            OR NOT EXISTS (SELECT 1 FROM installations i
                           WHERE i.project_id = c.project_id AND i.id = c.installation_id))
       AND NOT EXISTS (SELECT 1 FROM installations i WHERE i.project_id = c.project_id AND i.config_id = c.id)",
    "DELETE FROM revisions AS r WHERE r.create_time < $1
       AND (EXISTS (SELECT 1 FROM revisions n
                    WHERE n.project_id = r.project_id AND n.integration_id = r.integration_id
                      AND n.create_time > r.create_time AND n.create_time < $1)
            OR NOT EXISTS (SELECT 1 FROM integrations i
                           WHERE i.project_id = r.project_id AND i.id = r.integration_id))
       AND NOT EXISTS (SELECT 1 FROM integrations i WHERE i.project_id = r.project_id AND i.latest_revision_id = r.id)
       AND NOT EXISTS (SELECT 1 FROM configs c WHERE c.project_id = r.project_id AND c.revision_id = r.id)",
];

/// How long history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Finished operations with their results and attempts.
    pub history: Duration,
    /// The stored requests of finished operations; never longer than the operations.
    pub payloads: Duration,
}

/// What a run removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Operations removed one by one. Those of a day that was dropped whole are not counted.
    pub operations: u64,
    /// Payloads removed.
    pub payloads: u64,
    /// Partitions dropped whole (Postgres).
    pub partitions: u64,
    /// Configs and revisions that were replaced long ago.
    pub definitions: u64,
}

/// What leaves by age.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Removes finished operations, and the payloads of finished operations, that are too old by the store's own clock.
    /// Work that is still queued stays, however old it is, and so does what failed and holds a record for which something waits.
    /// A hold behind which nothing waits ends when the payload of its operation is too old. Configs and revisions leave once nothing that is kept needs them. In small steps: nobody waits for it. Where another node is at
    /// it, nothing happens. Harmless to repeat, and to stop half-way.
    async fn expire_history(&self, retention: Retention) -> Result<Expired>;
}

/// The waiting work of one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneBacklog {
    /// The project.
    pub project_id: Uuid,
    /// The lane.
    pub lane_id: Uuid,
    /// How many items wait.
    pub items: i64,
    /// The oldest operation: its id holds its time.
    pub oldest: Uuid,
    /// When its earliest item may, or might have, run; those that are held because an earlier write of their record failed do
    /// not count.
    pub run_at: Time,
    /// Whether the lane is held.
    pub held: bool,
    /// The store's clock.
    pub store_now: Time,
}

/// How things stand in the store, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreHealth {
    /// Lanes that are held.
    pub lanes_held: i64,
    /// Lanes that a rate limit pauses.
    pub lanes_paused: i64,
    /// Records of which later writes are held because an earlier one failed.
    pub records_held: i64,
    /// Shards that no worker has.
    pub shards_free: i64,
    /// Transactions of this database that have been open for more than a minute (Postgres).
    pub long_transactions: i64,
}

/// A hold that nobody has been told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// The project.
    pub project_id: Uuid,
    /// The lane: the connection's id.
    pub lane_id: Uuid,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Time,
}

/// An item whose lane has been held for longer than it may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongHeld {
    /// The shard.
    pub shard: i16,
    /// The lane: the connection's id.
    pub lane_id: Uuid,
    /// With lane and operation the key of the item.
    pub run_at: Time,
    /// The operation.
    pub operation_id: Uuid,
    /// The project.
    pub project_id: Uuid,
    /// Attempts spent.
    pub attempt: i32,
    /// The object as the app named it.
    pub object: String,
    /// What it does.
    pub action: String,
    /// The provider of the connection, while there is one.
    pub provider: Option<String>,
    /// Since when the lane is held.
    pub since: Time,
    /// A request left, and its outcome is not known.
    pub in_doubt: bool,
    /// It is a batch, and of some of its records something is known.
    pub has_records: bool,
}

/// What waits, and for how long.
#[async_trait]
pub trait BacklogStore: Send + Sync {
    /// The waiting work, lane by lane. Reads the whole queue: for the background, not for requests.
    async fn backlog(&self) -> Result<Vec<LaneBacklog>>;
    /// How things stand.
    async fn health(&self) -> Result<StoreHealth>;
    /// The holds that nobody has been told of; each is answered once, to one caller.
    async fn take_new_holds(&self) -> Result<Vec<NewHold>>;
    /// Items that have waited for longer than `limit` since their lane was held (or since they were accepted, when that
    /// was later), at most `most` of them.
    async fn long_held(&self, limit: Duration, most: i64) -> Result<Vec<LongHeld>>;
    /// Ends such items. True for each that ended; false where the lane is not held any more, or the item is gone.
    async fn end_long_held(&self, ends: &[(LongHeld, NewResult)]) -> Result<Vec<bool>>;
}

from_row!(LaneBacklog: project_id, lane_id, items, oldest, run_at, held, store_now);
from_row!(NewHold: project_id, lane_id, reason, since);
from_row!(LongHeld: shard, lane_id, run_at, operation_id, project_id, attempt, object, action, provider, since, in_doubt, has_records);
