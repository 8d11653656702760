//! Requests that may still take effect although nobody waits for their answers any more: what both stores make of them.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::rows::row;
use super::{Lease, Leases, Settle, Stragglers};
use crate::clock::Time;

row! {
    /// A shard as it was leased.
    pub struct LeasedShard of "shards" {
        pub id: i16,
        pub epoch: i64,
        /// Until when calls of a former owner may still be on their way.
        pub unsettled_until: Option<Time>,
        pub store_now: Time,
    }
}

/// What a worker is told of the shards that it holds now.
pub(super) fn leased(mut shards: Vec<LeasedShard>, fair_share: usize, store_now: Time) -> Leases {
    shards.sort_unstable_by_key(|shard| shard.id);
    let unsettled = shards.iter().filter_map(|shard| {
        let left = shard.unsettled_until?.since(shard.store_now);
        (!left.is_zero()).then_some((shard.id, left))
    });
    Leases {
        unsettled: unsettled.collect(),
        held: shards
            .iter()
            .map(|shard| Lease {
                shard: shard.id,
                epoch: shard.epoch,
            })
            .collect(),
        fair_share,
        store_now,
    }
}

/// A record for which later writes have to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StragglerRow {
    pub lane_id: Uuid,
    pub record_key: i64,
    pub seq: i64,
    pub project_id: Uuid,
    pub left: Duration,
}

/// The rows of the settles that took effect: one for each record, in one order for all, so that no two commits lock them
/// crosswise.
pub(super) fn stragglers(settles: &[Settle], settled: &[bool]) -> Vec<StragglerRow> {
    let mut rows: BTreeMap<(Uuid, i64), StragglerRow> = BTreeMap::new();
    for (settle, _) in settles.iter().zip(settled).filter(|(_, settled)| **settled) {
        let Some(Stragglers { seq, keys, left }) = &settle.stragglers else {
            continue;
        };
        for key in keys {
            let row = rows.entry((settle.lane_id, *key)).or_insert(StragglerRow {
                lane_id: settle.lane_id,
                record_key: *key,
                seq: *seq,
                project_id: settle.project_id,
                left: *left,
            });
            row.seq = row.seq.min(*seq);
            row.left = row.left.max(*left);
        }
    }
    rows.into_values().collect()
}
