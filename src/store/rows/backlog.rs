//! What waits, and for how long.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{HoldReason, LaneStatus, NewResult};
use crate::action::Action;
use crate::clock::Time;
use crate::store::{MaybeKnown, Result};

/// What waits, and for how long.
#[async_trait]
pub trait BacklogStore: Send + Sync {
    /// The waiting work, lane by lane. Reads the whole queue: for the background, not for requests.
    async fn backlog(&self) -> Result<Vec<LaneBacklog>>;
    /// Every lane with work, of one project when given, the deepest first. Counts every item: for people, not for the queue.
    async fn list_lanes(&self, project_id: Option<Uuid>) -> Result<Vec<LaneStatus>>;
    /// How many items wait in all; for tests, metrics and shutdown reports.
    async fn queue_depth(&self) -> Result<i64>;
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

row! {
    /// The waiting work of one lane.
    pub struct LaneBacklog of "queue_items" {
        pub project_id: Uuid,
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
        pub store_now: Time,
    }
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

row! {
    /// A hold that nobody has been told of.
    pub struct NewHold of "lanes" {
        pub project_id: Uuid,
        /// The lane: the connection's id.
        pub lane_id: Uuid,
        pub reason: MaybeKnown<HoldReason>,
        pub since: Time,
    }
}

row! {
    /// An item whose lane has been held for longer than it may wait.
    pub struct LongHeld of "queue_items" {
        pub shard: i16,
        /// The lane: the connection's id.
        pub lane_id: Uuid,
        /// With lane and operation the key of the item.
        pub run_at: Time,
        pub operation_id: Uuid,
        pub project_id: Uuid,
        pub attempt: i32,
        /// The object as the app named it.
        pub object: String,
        pub action: MaybeKnown<Action>,
        /// The provider of the connection, while there is one.
        pub provider: Option<String>,
        /// Since when the lane is held.
        pub since: Time,
        /// A request left, and its outcome is not known.
        pub in_doubt: bool,
        /// It is a batch, and of some of its records something is known.
        pub has_records: bool,
    }
}
