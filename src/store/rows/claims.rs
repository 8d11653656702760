//! What is asked of lanes, and what is read of them.

use uuid::Uuid;

use super::HoldReason;
use crate::action::Action;
use crate::clock::Time;
use crate::store::MaybeKnown;

/// How much of one lane to claim, and what is known of it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneAsk {
    /// The shard of the lane.
    pub shard: i16,
    /// The lane.
    pub lane_id: Uuid,
    /// Reading begins behind this place.
    pub after: LanePlace,
    /// At most so many items are claimed.
    pub limit: usize,
    /// At most so many rows are looked at for them.
    pub scan: i64,
    /// The items of this lane that are in memory: they are passed over.
    pub known: Vec<Uuid>,
    /// The records whose items are in memory: others of theirs have to wait.
    pub busy: Vec<i64>,
    /// Records of which an item has ended, with its `seq`: the next of each is claimed, wherever it stands.
    pub next_of: Vec<(i64, i64)>,
}

impl LaneAsk {
    /// Asks for the first `limit` items of a lane of which nothing is known.
    #[must_use]
    pub fn first(shard: i16, lane_id: Uuid, limit: usize) -> Self {
        Self {
            shard,
            lane_id,
            after: LanePlace::START,
            limit,
            scan: i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
            known: Vec::new(),
            busy: Vec::new(),
            next_of: Vec::new(),
        }
    }
}

/// A lane in which something may be past its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpireAsk {
    /// The shard of the lane.
    pub shard: i16,
    /// The lane.
    pub lane_id: Uuid,
    /// The items that are being performed: they are passed over.
    pub known: Vec<Uuid>,
}

/// A place in a lane: its items stand in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LanePlace {
    /// When the item may run.
    pub run_at: Time,
    /// The item's operation.
    pub operation_id: Uuid,
}

impl LanePlace {
    /// Before every item that may run at this time.
    #[must_use]
    pub const fn before(run_at: Time) -> Self {
        Self {
            run_at,
            operation_id: Uuid::nil(),
        }
    }

    /// Before every item.
    pub const START: Self = Self::before(Time::from_micros(i64::MIN));
}

/// What a claim has read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Due items, those of each lane in their order.
    pub items: Vec<Claimed>,
    /// How far each lane was read, in the order of the asks.
    pub lanes: Vec<LaneRead>,
}

/// How far a lane was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRead {
    /// The lane.
    pub lane_id: Uuid,
    /// The next reading begins behind this place. Whatever is due before it has been claimed, is in memory, or waits
    /// behind an item of the same record, or is held because one failed.
    pub after: LanePlace,
    /// True when more may be due behind `after`.
    pub more: bool,
    /// When everything due has been read: the time of the next item.
    pub next_due: Option<Time>,
    /// True when items were passed over because an earlier one of the same record waits, runs, or has failed and holds it.
    pub blocked: bool,
    /// Set while the lane is held.
    pub hold_reason: Option<MaybeKnown<HoldReason>>,
    /// Set while a rate limit pauses the lane.
    pub paused_until: Option<Time>,
    /// The store's clock at the time of the read.
    pub store_now: Time,
}

row! {
    /// A due item with all that performing it takes.
    pub struct Claimed of "operations" {
        pub shard: i16,
        /// The lane: the connection's id.
        pub lane_id: Uuid,
        /// With lane and operation the key of the item.
        pub run_at: Time,
        pub operation_id: Uuid,
        pub project_id: Uuid,
        /// Grows in the order of acceptance.
        pub seq: i64,
        /// Items with the same key in a lane run singly, by `seq`.
        pub record_key: Option<i64>,
        /// True when an earlier item of the same record still waits, or has failed and holds it: this one can only be ended, at
        /// its deadline.
        pub behind: bool,
        /// How many attempts have been spent.
        pub attempt: i32,
        /// The connection's provider; absent when the connection is gone.
        pub provider: Option<String>,
        pub installation_id: Uuid,
        /// The config that was in force when it was accepted.
        pub config_id: Uuid,
        /// The revision that was the latest then.
        pub revision_id: Uuid,
        /// The object as the app named it.
        pub object: String,
        /// What it does. A later version may have written what this one does not know: such a write waits for a process that
        /// does, and must not keep this one from its neighbours.
        pub action: MaybeKnown<Action>,
        /// The request as accepted: JSON text.
        pub request: String,
        /// When it was accepted.
        pub accept_time: Time,
        /// When retrying ends.
        pub deadline: Option<Time>,
        /// The lane's last hold: from.
        pub held_from: Option<Time>,
        /// The lane's last hold: until.
        pub held_until: Option<Time>,
        /// When a request left whose outcome is not known (no usable answer, or none that was stored), the time it left: of
        /// several the earliest.
        pub in_doubt_since: Option<Time>,
        /// Until then a request of an earlier write to the record may still take effect: this one must not go before. Of a
        /// batch absent; see `waiting_records`.
        pub straggles_until: Option<Time>,
        /// The store's clock at the time of the read.
        pub store_now: Time,
    }
}
