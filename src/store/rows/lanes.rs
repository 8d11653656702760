//! Shards and lanes: who works on them, and what keeps them from starting.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Time;
use crate::store::enums::words;
use crate::store::{MaybeKnown, Result};

/// Shards and lanes: who works on them, and what keeps them from starting.
#[async_trait]
pub trait LaneStore: Send + Sync {
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
    /// Pauses a lane, from the store's now. Of two pauses the one that ends later counts, and says why.
    async fn pause_lane(
        &self,
        project_id: Uuid,
        lane_id: Uuid,
        pause: Duration,
        reason: PauseReason,
    ) -> Result<()>;
}

/// A shard that a worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The shard, 0 to 63.
    pub shard: i16,
    /// Grows with each change of owner: the fence.
    pub epoch: i64,
}

/// What a worker holds after leasing, and how much would be its fair share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    /// The shards it holds.
    pub held: Vec<Lease>,
    /// The number of shards that each live worker should hold at most.
    pub fair_share: usize,
    /// Shards of which calls of a former owner may still be on their way, each with how long yet.
    pub unsettled: Vec<(i16, Duration)>,
    /// The store's clock.
    pub store_now: Time,
}

row! {
    /// A lane that has work, and what may keep it from starting.
    pub struct DueLane of "queue_items" {
        pub shard: i16,
        pub lane_id: Uuid,
        /// When its earliest item may run.
        pub run_at: Time,
        /// The earliest deadline of its items, without what holds have added.
        pub deadline: Option<Time>,
        /// Set while the lane is held.
        pub hold_reason: Option<MaybeKnown<HoldReason>>,
        /// Set while a rate limit pauses the lane.
        pub paused_until: Option<Time>,
        /// The store's clock at the time of the read.
        pub store_now: Time,
    }
}

row! {
    /// A lane with work, as people look at it.
    pub struct LaneStatus of "queue_items" {
        pub shard: i16,
        /// The lane: the connection's id.
        pub lane_id: Uuid,
        /// The project's name.
        pub project: Option<String>,
        /// The connection's provider; absent, like its group, when the connection is gone.
        pub provider: Option<String>,
        pub group_ref: Option<String>,
        /// How many items wait or run.
        pub depth: i64,
        /// When its earliest item may run, or was to run.
        pub run_at: Time,
        /// Set while the lane is held.
        pub hold_reason: Option<MaybeKnown<HoldReason>>,
        /// Since when, while it is held.
        pub held_from: Option<Time>,
        /// Set when a rate limit has paused the lane.
        pub paused_until: Option<Time>,
        /// Records of which later writes are held because an earlier one failed.
        pub held_records: i64,
        /// Whether a worker has the shard.
        pub has_worker: bool,
        /// The store's clock at the time of the read.
        pub store_now: Time,
    }
}

words! {
    /// Why a lane is held, until somebody does something about it.
    "lanes.hold_reason",
    pub enum HoldReason {
        /// The provider refuses the customer's credentials.
        Authorization = "authorization",
    }
}

words! {
    /// Why nothing of a lane starts for a while.
    "lanes.pause_reason",
    pub enum PauseReason {
        /// The provider's limit on calls in a short time is reached.
        RateLimit = "rate_limit",
        /// A long-lasting quota is used up.
        Quota = "quota",
        /// Something failed that concerns all of it.
        Backoff = "backoff",
    }
}
