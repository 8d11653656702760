//! Lanes: what of them must survive a restart or be seen by others.

use uuid::Uuid;

use crate::clock::Time;
use crate::store::MaybeKnown;
use crate::store::words::words;

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
