//! What a worker remembers of each lane, and whose turn it is.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::shard::Held;
use crate::store::{Claimed, DueLane, LaneAsk};

/// Items read ahead per lane.
const READ_AHEAD: usize = 32;
/// Items read ahead in all: what bounds a worker's memory, whatever the backlog.
const READ_AHEAD_TOTAL: usize = 256;

/// A claimed item, with the lease under which it was claimed.
#[derive(Debug)]
pub(super) struct Item {
    /// What to perform.
    pub claimed: Claimed,
    /// It may start only while this holds.
    pub held: Held,
}

/// One lane.
#[derive(Debug, Default)]
struct Lane {
    shard: i16,
    waiting: VecDeque<Item>,
    running: usize,
    paused_until: Option<Instant>,
    held: bool,
}

/// All lanes with work, taking turns.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: HashMap<Uuid, Lane>,
    /// The order of turns; a lane that has run goes to the end.
    turns: VecDeque<Uuid>,
    concurrency: usize,
}

impl Lanes {
    pub fn new(concurrency: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            concurrency,
        }
    }

    fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.waiting.len()).sum()
    }

    /// Whether reading more from the store could start something that what is in memory cannot.
    pub fn wants_more(&self) -> bool {
        self.waiting() < READ_AHEAD_TOTAL
    }

    /// Every operation that is in memory: the store leaves these out.
    pub fn in_memory(&self, running: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
        self.lanes
            .values()
            .flat_map(|lane| lane.waiting.iter().map(|item| item.claimed.operation_id))
            .chain(running)
            .collect()
    }

    /// Takes note of the lanes that have work, and says how much of each to read. The second value is the time until the
    /// next lane becomes due, if that is known.
    pub fn plan(&mut self, due: &[DueLane], now: Instant) -> (Vec<LaneAsk>, Option<Duration>) {
        let mut asks = Vec::new();
        let mut next_due: Option<Duration> = None;
        let mut room = READ_AHEAD_TOTAL.saturating_sub(self.waiting());
        for found in due {
            if !self.lanes.contains_key(&found.lane_id) {
                self.turns.push_back(found.lane_id);
            }
            let lane = self.lanes.entry(found.lane_id).or_default();
            lane.shard = found.shard;
            lane.held = found.hold_reason.is_some();
            if let Some(until) = found.paused_until
                && until > found.store_now
            {
                let until = now + until.since(found.store_now);
                lane.paused_until = Some(lane.paused_until.map_or(until, |known| known.max(until)));
            }
            if lane.held {
                lane.waiting.clear();
                continue;
            }
            let paused = lane
                .paused_until
                .map(|until| until.saturating_duration_since(now))
                .filter(|left| !left.is_zero());
            let due_in = found.run_at.since(found.store_now);
            let start_in = due_in.max(paused.unwrap_or(Duration::ZERO));
            if !start_in.is_zero() {
                next_due = Some(next_due.map_or(start_in, |known| known.min(start_in)));
                continue;
            }
            if lane.waiting.len() < READ_AHEAD / 2 && room > 0 {
                let wanted = (READ_AHEAD - lane.waiting.len()).min(room);
                room -= wanted;
                asks.push(LaneAsk {
                    shard: found.shard,
                    lane_id: found.lane_id,
                    limit: i64::try_from(wanted).unwrap_or(1),
                });
            }
        }
        (asks, next_due)
    }

    /// Adds what the store gave, each under the lease that was held when it was asked.
    pub fn add(&mut self, claimed: Vec<Claimed>, leases: &HashMap<i16, Held>) {
        for claimed in claimed {
            if let (Some(lane), Some(held)) =
                (self.lanes.get_mut(&claimed.lane_id), leases.get(&claimed.shard))
            {
                lane.waiting.push_back(Item {
                    claimed,
                    held: held.clone(),
                });
            }
        }
    }

    /// The next item to run: lanes take turns, and one that is paused, held or full is passed over.
    pub fn next(&mut self, now: Instant) -> Option<Item> {
        for _ in 0..self.turns.len() {
            let id = self.turns.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            if lane.waiting.is_empty()
                && lane.running == 0
                && lane.paused_until.is_none_or(|until| until <= now)
            {
                // An idle lane costs nothing; it comes back when the store has work for it.
                self.lanes.remove(&id);
                continue;
            }
            self.turns.push_back(id);
            let blocked = lane.held
                || lane.running >= self.concurrency
                || lane.paused_until.is_some_and(|until| until > now);
            if !blocked && let Some(item) = lane.waiting.pop_front() {
                lane.running += 1;
                return Some(item);
            }
        }
        None
    }

    /// One item of a lane has ended.
    pub fn ended(&mut self, lane_id: Uuid) {
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.running = lane.running.saturating_sub(1);
        }
    }

    /// Nothing of this lane starts for a while; what was read ahead is read again later.
    pub fn pause(&mut self, lane_id: Uuid, until: Instant) {
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.paused_until = Some(lane.paused_until.map_or(until, |known| known.max(until)));
            lane.waiting.clear();
        }
    }

    /// Nothing of this lane starts until the store says otherwise.
    pub fn hold(&mut self, lane_id: Uuid) {
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.held = true;
            lane.waiting.clear();
        }
    }

    /// Forgets what was read ahead under leases that do not hold any more.
    pub fn keep_only(&mut self, leases: &HashMap<i16, Held>) {
        for lane in self.lanes.values_mut() {
            lane.waiting.retain(|item| {
                leases
                    .get(&item.claimed.shard)
                    .is_some_and(|held| held.lease == item.held.lease)
            });
        }
    }

    /// Whether something of this shard is running.
    pub fn is_running(&self, shard: i16) -> bool {
        self.lanes
            .values()
            .any(|lane| lane.shard == shard && lane.running > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;

    fn due(lane: u8) -> DueLane {
        DueLane {
            shard: 0,
            lane_id: Uuid::from_u128(u128::from(lane)),
            run_at: Time::from_micros(0),
            hold_reason: None,
            paused_until: None,
            store_now: Time::from_micros(0),
        }
    }

    fn item(lane: u8, number: u8) -> Claimed {
        Claimed {
            shard: 0,
            lane_id: Uuid::from_u128(u128::from(lane)),
            run_at: Time::from_micros(0),
            operation_id: Uuid::from_u128(u128::from(lane) << 8 | u128::from(number)),
            project_id: Uuid::nil(),
            attempt: 0,
            installation_id: Uuid::nil(),
            config_id: Uuid::nil(),
            revision_id: Uuid::nil(),
            object: String::new(),
            action: "create".to_owned(),
            request: String::new(),
            accept_time: Time::from_micros(0),
            deadline: None,
            held_from: None,
            held_until: None,
            in_doubt_since: None,
            store_now: Time::from_micros(0),
        }
    }

    fn leases() -> HashMap<i16, Held> {
        let held = Held {
            lease: crate::store::Lease { shard: 0, epoch: 1 },
            lost: tokio_util::sync::CancellationToken::new(),
            leaving: false,
        };
        HashMap::from([(0, held)])
    }

    #[test]
    fn lanes_take_turns_and_a_full_or_paused_one_is_passed_over() {
        let now = Instant::now();
        let mut lanes = Lanes::new(2);
        let (asks, _) = lanes.plan(&[due(1), due(2), due(3)], now);
        assert_eq!(asks.len(), 3);
        lanes.add(
            (1..=4)
                .map(|n| item(1, n))
                .chain([item(2, 1), item(3, 1)])
                .collect(),
            &leases(),
        );
        lanes.pause(Uuid::from_u128(3), now + Duration::from_secs(9));
        let order: Vec<u128> = std::iter::from_fn(|| lanes.next(now))
            .map(|item| item.claimed.lane_id.as_u128())
            .collect();
        assert_eq!(order, [1, 2, 1], "lane 1 has two slots, lane 3 is paused");
        lanes.ended(Uuid::from_u128(1));
        assert_eq!(
            lanes.next(now).map(|item| item.claimed.lane_id.as_u128()),
            Some(1)
        );
        let (asks, next_due) = lanes.plan(&[due(3)], now);
        assert!(asks.is_empty(), "a paused lane is not read");
        assert!(next_due.is_some_and(|wait| wait > Duration::from_secs(8)));
    }

    #[test]
    fn a_held_lane_is_neither_read_nor_run() {
        let now = Instant::now();
        let mut lanes = Lanes::new(2);
        lanes.plan(&[due(1)], now);
        lanes.add(vec![item(1, 1)], &leases());
        lanes.hold(Uuid::from_u128(1));
        assert!(lanes.next(now).is_none());
        let held = DueLane {
            hold_reason: Some("authorization".to_owned()),
            ..due(1)
        };
        assert!(lanes.plan(&[held], now).0.is_empty());
    }

    #[test]
    fn what_was_read_under_a_lost_lease_is_forgotten() {
        let now = Instant::now();
        let mut lanes = Lanes::new(2);
        lanes.plan(&[due(1)], now);
        lanes.add(vec![item(1, 1)], &leases());
        let mut regained = leases();
        regained.get_mut(&0).expect("held").lease.epoch = 3;
        lanes.keep_only(&regained);
        assert!(lanes.next(now).is_none());
    }
}
