//! Whose turn it is: all lanes with work, by weighted deficit round-robin. A lane that cannot start waits for its timer and
//! costs nothing until then.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::lane::{Ended, Item, Lane, Left};
use super::shard::Held;
use crate::connectors::Limits;
use crate::store::{Claim, Claimed, DueLane, ExpireAsk, LaneAsk, Lease, shard_of};
use crate::writes::signals::{Arrived, Handed};

/// Items read ahead in all, and the bytes of their requests: what bounds a worker's memory, whatever the backlog.
const READ_AHEAD: usize = 256;
pub(super) const READ_AHEAD_BYTES: usize = 16 << 20;
/// Lanes read in one claim, at most.
const ASKS: usize = 64;
/// Lanes swept for items past their deadline at a time.
const SWEEPS: usize = 32;
/// Handed-over work that is older is read from the store instead: a commit never takes so long.
const HANDED_FRESH: Duration = Duration::from_secs(30);

/// What applies to every lane.
#[derive(Debug, Clone, Default)]
pub(super) struct LaneOptions {
    /// Calls of a lane at the same time, at most.
    pub concurrency: usize,
    /// The weights of lanes that have another than 1.
    pub weights: HashMap<Uuid, u32>,
}

/// All lanes of which something is known.
#[derive(Debug)]
pub(super) struct Scheduler {
    options: LaneOptions,
    lanes: HashMap<Uuid, Lane>,
    /// Lanes that may start something, in the order of their turns.
    ready: VecDeque<Uuid>,
    /// Lanes that want to be read, in the order of their turns.
    hungry: VecDeque<Uuid>,
    /// Lanes to be swept for items past their deadline.
    overdue: VecDeque<Uuid>,
    /// Items past their deadline, to be ended.
    endings: VecDeque<Item>,
    /// When lanes want to be looked at again; entries that a lane no longer names are void.
    timers: BinaryHeap<Reverse<(Instant, Uuid)>>,
    leases: HashMap<i16, Held>,
    /// Shards whose lanes have been looked for since they were taken.
    explored: HashMap<i16, Lease>,
    /// Items that are being performed although their lane was given up, with it.
    strays: HashMap<Uuid, Uuid>,
    waiting: usize,
    waiting_bytes: usize,
}

impl Scheduler {
    pub fn new(options: LaneOptions) -> Self {
        Self {
            options,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            hungry: VecDeque::new(),
            overdue: VecDeque::new(),
            endings: VecDeque::new(),
            timers: BinaryHeap::new(),
            leases: HashMap::new(),
            explored: HashMap::new(),
            strays: HashMap::new(),
            waiting: 0,
            waiting_bytes: 0,
        }
    }

    /// Takes over the leases: what came under others is forgotten.
    pub fn set_leases(&mut self, leases: HashMap<i16, Held>) {
        // A lease that ran out and was nobody else's meanwhile comes back as the same, but what was begun under it was cut off.
        let valid = |shard: i16, held: &Held| {
            leases
                .get(&shard)
                .is_some_and(|current| current.lease == held.lease && !held.lost.is_cancelled())
        };
        let gone: Vec<Uuid> = self
            .lanes
            .iter()
            .filter(|(_, lane)| !valid(lane.shard, &lane.held))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.explored.remove(&shard_of(id));
            self.remove(id);
        }
        self.endings.retain(|item| valid(item.claimed.shard, &item.held));
        self.explored
            .retain(|shard, lease| leases.get(shard).is_some_and(|held| held.lease == *lease));
        self.leases = leases;
    }

    /// The shards whose work may be started.
    pub fn shards(&self) -> Vec<(i16, Lease)> {
        self.leases
            .iter()
            .map(|(shard, held)| (*shard, held.lease))
            .collect()
    }

    /// The shards whose lanes are not known yet.
    pub fn unexplored(&self) -> Vec<(i16, Lease)> {
        let mut shards = self.shards();
        shards.retain(|(shard, _)| !self.explored.contains_key(shard));
        shards
    }

    fn remove(&mut self, id: Uuid) {
        if let Some(mut lane) = self.lanes.remove(&id) {
            self.forget(&lane.drop_waiting());
            self.strays
                .extend(lane.in_hand().map(|operation| (operation, id)));
        }
    }

    fn forget(&mut self, items: &VecDeque<Item>) {
        self.waiting = self.waiting.saturating_sub(items.len());
        let bytes: usize = items.iter().map(Item::bytes).sum();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
    }

    /// The lane, made when it is new; `None` without the shard.
    fn lane(&mut self, id: Uuid, now: Instant) -> Option<&mut Lane> {
        let held = self.leases.get(&shard_of(id))?;
        let options = &self.options;
        Some(self.lanes.entry(id).or_insert_with(|| {
            let weight = options.weights.get(&id).copied().unwrap_or(1).max(1);
            Lane::new(shard_of(id), held.clone(), options.concurrency, weight, now)
        }))
    }

    /// Puts a lane where its state belongs. To be called after every change of it.
    fn place(&mut self, id: Uuid, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        lane.wake(now);
        if lane.may_be_forgotten(now) {
            self.remove(id);
            return;
        }
        if !lane.in_ready && lane.may_start(now) {
            lane.in_ready = true;
            self.ready.push_back(id);
        }
        if !lane.in_hungry && lane.wants_reading(now) {
            lane.in_hungry = true;
            self.hungry.push_back(id);
        }
        if !lane.in_overdue && lane.wants_sweep(now) {
            lane.in_overdue = true;
            self.overdue.push_back(id);
        }
        if let Some(at) = lane.wake_at(now)
            && at > now
            && lane.timer.is_none_or(|timer| at < timer)
        {
            lane.timer = Some(at);
            self.timers.push(Reverse((at, id)));
        }
    }

    /// When the next timer fires.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Fires the timers that are over.
    pub fn fire(&mut self, now: Instant) {
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.timer == Some(at)) else {
                continue;
            };
            lane.timer = None;
            self.place(id, now);
        }
    }

    /// Whether lanes want to be read and there is room for what they have.
    pub fn wants_reading(&self) -> bool {
        !self.hungry.is_empty()
    }

    /// What to read now, fairly shared among the lanes that want it.
    pub fn asks(&mut self, now: Instant) -> Vec<LaneAsk> {
        if !self.hungry.is_empty() && !self.has_room() {
            self.make_room(now);
        }
        let mut room = if self.waiting_bytes < READ_AHEAD_BYTES {
            READ_AHEAD.saturating_sub(self.waiting)
        } else {
            0
        };
        // The more lanes want something, the less each is given in its turn.
        let share = (room / self.hungry.len().max(1)).max(1);
        let mut asks = Vec::new();
        for _ in 0..self.hungry.len() {
            if room == 0 || asks.len() >= ASKS {
                break;
            }
            let Some(id) = self.hungry.pop_front() else {
                break;
            };
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            lane.in_hungry = false;
            // A lane that was given up and came back may stand here twice.
            if !lane.wants_reading(now) || asks.iter().any(|ask: &LaneAsk| ask.lane_id == id) {
                continue;
            }
            let strays = self
                .strays
                .iter()
                .filter(|(_, lane)| **lane == id)
                .map(|(operation, _)| *operation);
            let ask = lane.ask(id, share.min(room), strays);
            room -= ask.limit;
            asks.push(ask);
        }
        asks
    }

    fn has_room(&self) -> bool {
        self.waiting < READ_AHEAD && self.waiting_bytes < READ_AHEAD_BYTES
    }

    /// The room for reading ahead is full: lanes that could not start anything now give theirs up.
    fn make_room(&mut self, now: Instant) {
        let stuck: Vec<Uuid> = self
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.waiting.is_empty() && !lane.may_start(now))
            .map(|(id, _)| *id)
            .collect();
        for id in stuck {
            if let Some(lane) = self.lanes.get_mut(&id) {
                let dropped = lane.drop_waiting();
                self.forget(&dropped);
            }
            if self.waiting <= READ_AHEAD / 2 && self.waiting_bytes <= READ_AHEAD_BYTES / 2 {
                break;
            }
        }
    }

    /// So many bytes of requests may be read.
    pub fn room_bytes(&self) -> usize {
        READ_AHEAD_BYTES.saturating_sub(self.waiting_bytes)
    }

    /// The lanes whose limits are known.
    pub fn limited(&self) -> Vec<Uuid> {
        let known = self.lanes.iter().filter(|(_, lane)| lane.provider().is_some());
        known.map(|(id, _)| *id).collect()
    }

    /// The lanes of a claim whose limits are not known yet.
    pub fn unlimited(&self, claim: &Claim) -> Vec<Uuid> {
        let unknown = |id: &Uuid| self.lanes.get(id).is_some_and(|lane| lane.provider().is_none());
        let found: HashSet<Uuid> = claim
            .items
            .iter()
            .map(|item| item.lane_id)
            .filter(unknown)
            .collect();
        found.into_iter().collect()
    }

    /// Takes over the limits in force of these lanes, which may have changed.
    pub fn limit(&mut self, lanes: Vec<Uuid>, limits: impl Fn(Uuid, &str) -> Option<Limits>, now: Instant) {
        for id in lanes {
            if let Some(lane) = self.lanes.get_mut(&id)
                && let Some(provider) = lane.provider().map(str::to_owned)
            {
                let limits = limits(id, &provider);
                lane.limit(provider, limits);
            }
            self.place(id, now);
        }
    }

    /// Takes in what the store gave.
    pub fn add(&mut self, claim: Claim, limits: impl Fn(Uuid, &str) -> Option<Limits>, now: Instant) {
        let mut items: HashMap<Uuid, Vec<Claimed>> = HashMap::new();
        for item in claim.items {
            items.entry(item.lane_id).or_default().push(item);
        }
        for read in claim.lanes {
            let items = items.remove(&read.lane_id).unwrap_or_default();
            let Some(lane) = self.lanes.get_mut(&read.lane_id) else {
                continue;
            };
            lane.read(&read, !items.is_empty(), now);
            let blocked = lane.on_hold || lane.is_paused(now);
            for item in items {
                // Whatever went wrong before: what is in memory is not performed a second time.
                if lane.knows(item.operation_id) || self.strays.contains_key(&item.operation_id) {
                    tracing::error!(operation.id = %item.operation_id, "a claim gave what is in memory already: a defect");
                    continue;
                }
                if blocked {
                    lane.rewind(item.run_at);
                    continue;
                }
                if lane.provider().is_none()
                    && let Some(provider) = &item.provider
                {
                    lane.limit(provider.clone(), limits(item.lane_id, provider));
                }
                let item = Item {
                    held: lane.held.clone(),
                    read_at: now,
                    overdue: false,
                    claimed: item,
                };
                self.waiting += 1;
                self.waiting_bytes += item.bytes();
                lane.waiting.push_back(item);
            }
            if lane.on_hold {
                let dropped = lane.drop_waiting();
                self.forget(&dropped);
            }
            self.place(read.lane_id, now);
        }
    }

    /// The store did not answer: the same is asked again.
    pub fn ask_again(&mut self, asks: &[LaneAsk], now: Instant) {
        for ask in asks {
            if let Some(lane) = self.lanes.get_mut(&ask.lane_id) {
                lane.ask_again(ask);
            }
            self.place(ask.lane_id, now);
        }
    }

    /// Which lanes to sweep for items past their deadline.
    pub fn sweeps(&mut self, now: Instant) -> Vec<ExpireAsk> {
        let mut asks = Vec::new();
        while asks.len() < SWEEPS
            && let Some(id) = self.overdue.pop_front()
        {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.in_overdue = false;
                if lane.wants_sweep(now) {
                    asks.push(ExpireAsk {
                        shard: lane.shard,
                        lane_id: id,
                        known: lane.sweep_begins(),
                    });
                }
            }
        }
        asks
    }

    /// The store did not answer: these lanes are swept later.
    pub fn sweep_again(&mut self, asks: &[ExpireAsk], at: Instant, now: Instant) {
        for ask in asks {
            if let Some(lane) = self.lanes.get_mut(&ask.lane_id) {
                lane.overdue_by(at);
            }
            self.place(ask.lane_id, now);
        }
    }

    /// Takes in items past their deadline: they are ended before anything else, in whatever order.
    pub fn add_overdue(&mut self, items: Vec<Claimed>, now: Instant) {
        for item in items {
            let Some(lane) = self.lanes.get_mut(&item.lane_id) else {
                continue;
            };
            if let Some(index) = lane
                .waiting
                .iter()
                .position(|waiting| waiting.claimed.operation_id == item.operation_id)
                && let Some(waiting) = lane.waiting.remove(index)
            {
                self.waiting = self.waiting.saturating_sub(1);
                self.waiting_bytes = self.waiting_bytes.saturating_sub(waiting.bytes());
            }
            lane.start_ending(item.operation_id);
            self.endings.push_back(Item {
                held: lane.held.clone(),
                read_at: now,
                overdue: true,
                claimed: item,
            });
        }
    }

    /// The next item that is past its deadline.
    pub fn next_overdue(&mut self) -> Option<Item> {
        self.endings.pop_front()
    }

    /// The next item to run. Each lane starts as many as its weight in its turn, then the next lane has its turn. While calls
    /// are `scarce` only a lane that has none open gets one: slow lanes must not use up what all share.
    pub fn next(&mut self, now: Instant, scarce: bool) -> Option<Item> {
        let mut passed_over = 0;
        while let Some(id) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            if scarce && lane.has_calls() {
                self.ready.push_back(id);
                passed_over += 1;
                if passed_over >= self.ready.len() {
                    return None;
                }
                continue;
            }
            lane.in_ready = false;
            if !lane.may_start(now) {
                lane.turn = 0;
                self.place(id, now);
                continue;
            }
            let Some(item) = lane.waiting.pop_front() else {
                continue;
            };
            self.waiting = self.waiting.saturating_sub(1);
            self.waiting_bytes = self.waiting_bytes.saturating_sub(item.bytes());
            lane.start(&item.claimed, now);
            if lane.turn == 0 {
                lane.turn = lane.weight;
            }
            lane.turn -= 1;
            if lane.turn > 0 && lane.may_start(now) {
                lane.in_ready = true;
                self.ready.push_front(id);
            } else {
                lane.turn = 0;
            }
            self.place(id, now);
            return Some(item);
        }
        None
    }

    /// An item has left memory.
    pub fn ended(&mut self, item: &Ended, left: Left, now: Instant) {
        self.strays.remove(&item.operation_id);
        if let Some(lane) = self.lanes.get_mut(&item.lane_id) {
            lane.ended(item, left, now);
        }
        self.place(item.lane_id, now);
    }

    /// Records of a batch of this lane have ended: others may have waited for them.
    pub fn freed(&mut self, lane_id: Uuid, records: Vec<(i64, i64)>, now: Instant) {
        if records.is_empty() {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.freed(records);
        }
        self.place(lane_id, now);
    }

    /// Nothing of this lane starts for a while; what was read ahead is read again later.
    pub fn pause(&mut self, lane_id: Uuid, until: Instant, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.pause_until(until);
            let dropped = lane.drop_waiting();
            self.forget(&dropped);
        }
        self.place(lane_id, now);
    }

    /// Nothing of this lane starts until the store says otherwise.
    pub fn hold(&mut self, lane_id: Uuid, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.on_hold = true;
            let dropped = lane.drop_waiting();
            self.forget(&dropped);
        }
        self.place(lane_id, now);
    }

    /// Takes note of the lanes that have work. With `from_start` each is read from its beginning.
    pub fn found(&mut self, shards: &[(i16, Lease)], lanes: &[DueLane], from_start: bool, now: Instant) {
        for (shard, lease) in shards {
            if self.leases.get(shard).is_some_and(|held| held.lease == *lease) {
                self.explored.insert(*shard, *lease);
            }
        }
        for found in lanes {
            let Some(lane) = self.lane(found.lane_id, now) else {
                continue;
            };
            if let Some(until) = found.paused_until.filter(|until| *until > found.store_now) {
                lane.pause_until(now + until.since(found.store_now));
            }
            if let Some(deadline) = found.deadline {
                lane.overdue_by(now + deadline.since(found.store_now));
            }
            let was_held = std::mem::replace(&mut lane.on_hold, found.hold_reason.is_some());
            let due_in = found.run_at.since(found.store_now);
            if !due_in.is_zero() {
                lane.due_by(now + due_in);
            } else if was_held || (from_start && lane.may_read_from_start(now)) {
                lane.read_from_start(now);
            } else if lane.waiting.is_empty() && lane.in_hand().next().is_none() {
                lane.more = true;
            }
            if lane.on_hold {
                let dropped = lane.drop_waiting();
                self.forget(&dropped);
            }
            self.place(found.lane_id, now);
        }
    }

    /// Takes in what has arrived. Answers the lanes whose shard is not held any more: others must be told.
    pub fn arrived(&mut self, arrived: Arrived, now: Instant) -> Vec<Uuid> {
        let mut elsewhere = Vec::new();
        for handed in arrived.handed {
            let lane_id = handed.item.lane_id;
            if !self.take_handed(handed, now) {
                elsewhere.push(lane_id);
            }
        }
        for (lane_id, changed) in arrived.lanes {
            match self.lane(lane_id, now) {
                Some(lane) => {
                    if changed {
                        lane.changed(now);
                    } else {
                        lane.look();
                    }
                    self.place(lane_id, now);
                }
                None => elsewhere.push(lane_id),
            }
        }
        elsewhere
    }

    /// Work goes straight into memory when nothing of its lane is jumped over; else its lane is read. False without the shard.
    fn take_handed(&mut self, Handed { item, begun }: Handed, now: Instant) -> bool {
        let lane_id = item.lane_id;
        // New work of a lane that has nothing else must not wait for room that others fill.
        let has_room = self.waiting < 2 * READ_AHEAD && self.waiting_bytes < READ_AHEAD_BYTES;
        let explored = self.explored.contains_key(&item.shard);
        let fresh = begun.elapsed() < HANDED_FRESH;
        let Some(lane) = self.lane(lane_id, now) else {
            return false;
        };
        if let (Some(deadline), true) = (item.deadline, fresh) {
            lane.overdue_by(now + deadline.since(item.store_now));
        }
        if lane.knows(item.operation_id) {
            return true;
        }
        if has_room && explored && fresh && lane.takes_handed(begun, now) {
            let item = Item {
                held: lane.held.clone(),
                read_at: begun,
                overdue: false,
                claimed: item,
            };
            let bytes = item.bytes();
            lane.waiting.push_back(item);
            self.waiting += 1;
            self.waiting_bytes += bytes;
        } else {
            lane.look();
        }
        self.place(lane_id, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::store::HoldReason;
    use crate::store::{LanePlace, LaneRead};

    fn lane(number: u128) -> Uuid {
        // All in shard 0.
        Uuid::from_u128(number << 8)
    }

    fn item(lane_number: u128, number: u128) -> Claimed {
        Claimed {
            shard: 0,
            lane_id: lane(lane_number),
            run_at: Time::from_micros(i64::try_from(number).expect("small")),
            operation_id: Uuid::from_u128(lane_number << 64 | number),
            project_id: Uuid::nil(),
            seq: i64::try_from(number).expect("small"),
            record_key: None,
            behind: false,
            attempt: 0,
            provider: Some("p".to_owned()),
            installation_id: Uuid::nil(),
            config_id: Uuid::nil(),
            revision_id: Uuid::nil(),
            object: String::new(),
            action: crate::action::Action::Create.into(),
            request: "x".repeat(10),
            accept_time: Time::from_micros(0),
            deadline: None,
            held_from: None,
            held_until: None,
            in_doubt_since: None,
            straggles_until: None,
            store_now: Time::from_micros(1_000),
        }
    }

    fn due(number: u128) -> DueLane {
        DueLane {
            shard: 0,
            lane_id: lane(number),
            run_at: Time::from_micros(0),
            deadline: None,
            hold_reason: None,
            paused_until: None,
            store_now: Time::from_micros(1_000),
        }
    }

    fn read(number: u128) -> LaneRead {
        LaneRead {
            lane_id: lane(number),
            after: LanePlace::before(Time::from_micros(500)),
            more: false,
            next_due: None,
            blocked: false,
            hold_reason: None,
            paused_until: None,
            store_now: Time::from_micros(1_000),
        }
    }

    fn limits(concurrency: u32, requests: Option<u32>) -> impl Fn(Uuid, &str) -> Option<Limits> {
        move |_, _| {
            Some(Limits {
                concurrency,
                requests,
                per_millis: 1_000,
                batch: 1,
            })
        }
    }

    fn leases(epoch: i64) -> HashMap<i16, Held> {
        let held = Held {
            lease: Lease { shard: 0, epoch },
            lost: tokio_util::sync::CancellationToken::new(),
            leaving: false,
            since: Instant::now(),
            unsettled: None,
        };
        HashMap::from([(0, held)])
    }

    fn scheduler(concurrency: usize, weights: &[(Uuid, u32)]) -> Scheduler {
        let mut scheduler = Scheduler::new(LaneOptions {
            concurrency,
            weights: weights.iter().copied().collect(),
        });
        scheduler.set_leases(leases(1));
        scheduler
    }

    /// Finds the lanes, and gives each its items.
    fn fill(
        scheduler: &mut Scheduler,
        lanes: &[(u128, u128)],
        limit: &impl Fn(Uuid, &str) -> Option<Limits>,
    ) {
        let now = Instant::now();
        let found: Vec<DueLane> = lanes.iter().map(|(number, _)| due(*number)).collect();
        let shards = scheduler.shards();
        scheduler.found(&shards, &found, false, now);
        let asks = scheduler.asks(now);
        assert_eq!(asks.len(), lanes.len());
        let claim = Claim {
            items: lanes
                .iter()
                .flat_map(|(number, count)| (1..=*count).map(|n| item(*number, n)))
                .collect(),
            lanes: lanes.iter().map(|(number, _)| read(*number)).collect(),
        };
        scheduler.add(claim, limit, now);
    }

    fn started(scheduler: &mut Scheduler, now: Instant) -> Vec<u128> {
        std::iter::from_fn(|| scheduler.next(now, false))
            .map(|item| item.claimed.lane_id.as_u128() >> 8)
            .collect()
    }

    #[test]
    fn limits_that_change_hold_for_what_waits_and_for_what_was_started() {
        let now = Instant::now();
        let mut scheduler = scheduler(8, &[]);
        fill(&mut scheduler, &[(1, 8)], &limits(1, Some(4)));
        assert_eq!(scheduler.limited(), [lane(1)]);
        assert_eq!(started(&mut scheduler, now).len(), 1);
        scheduler.limit(scheduler.limited(), limits(9, Some(4)), now);
        assert_eq!(
            started(&mut scheduler, now).len(),
            3,
            "four within the window, one before"
        );
        scheduler.limit(scheduler.limited(), limits(9, None), now);
        assert_eq!(
            started(&mut scheduler, now).len(),
            4,
            "the setting's eight at once"
        );
        scheduler.limit(scheduler.limited(), limits(1, None), now);
        scheduler.ended(&Ended::of(&item(1, 1)), Left::Finished, now);
        assert!(started(&mut scheduler, now).is_empty());
    }

    #[test]
    fn lanes_take_turns_and_a_full_or_paused_one_is_passed_over() {
        let now = Instant::now();
        let mut scheduler = scheduler(2, &[]);
        fill(&mut scheduler, &[(1, 4), (2, 1), (3, 1)], &limits(9, None));
        scheduler.pause(lane(3), now + Duration::from_secs(9), now);
        assert_eq!(
            started(&mut scheduler, now),
            [1, 2, 1],
            "lane 1 has two slots, lane 3 is paused"
        );
        scheduler.ended(&Ended::of(&item(1, 1)), Left::Finished, now);
        assert_eq!(started(&mut scheduler, now), [1]);
        assert!(!scheduler.wants_reading(), "a paused lane is not read");
        let later = now + Duration::from_secs(10);
        assert!(scheduler.next_timer().is_some_and(|at| at <= later));
        scheduler.fire(later);
        assert_eq!(scheduler.asks(later).len(), 1, "after its pause it is read again");
    }

    #[test]
    fn a_heavier_lane_starts_more_in_its_turn() {
        let mut scheduler = scheduler(8, &[(lane(2), 3)]);
        fill(&mut scheduler, &[(1, 4), (2, 6)], &limits(8, None));
        assert_eq!(
            started(&mut scheduler, Instant::now()),
            [1, 2, 2, 2, 1, 2, 2, 2, 1, 1]
        );
    }

    #[test]
    fn the_last_calls_are_kept_for_lanes_that_have_none() {
        let now = Instant::now();
        let mut scheduler = scheduler(8, &[]);
        fill(&mut scheduler, &[(1, 4), (2, 2)], &limits(8, None));
        let next = |scheduler: &mut Scheduler, scarce| {
            let item = scheduler.next(now, scarce)?;
            Some(item.claimed.lane_id.as_u128() >> 8)
        };
        assert_eq!(next(&mut scheduler, false), Some(1));
        assert_eq!(next(&mut scheduler, true), Some(2), "lane 1 has one open");
        assert_eq!(next(&mut scheduler, true), None);
        assert_eq!(next(&mut scheduler, false), Some(1), "its turn was not lost");
    }

    #[test]
    fn the_providers_limits_are_kept() {
        let mut scheduler = scheduler(8, &[]);
        fill(&mut scheduler, &[(1, 8)], &limits(5, None));
        assert_eq!(started(&mut scheduler, Instant::now()).len(), 5);

        let mut scheduler = self::scheduler(8, &[]);
        fill(&mut scheduler, &[(1, 8)], &limits(8, Some(3)));
        let now = Instant::now();
        assert_eq!(started(&mut scheduler, now).len(), 3);
        let next = scheduler.next_timer().expect("a timer");
        assert!(next >= now + Duration::from_secs(1) && next <= now + Duration::from_millis(1_200));
        scheduler.fire(next);
        assert_eq!(started(&mut scheduler, next).len(), 3, "in the next second");
    }

    #[test]
    fn a_held_lane_is_neither_read_nor_run_and_has_no_timer() {
        let now = Instant::now();
        let mut scheduler = scheduler(2, &[]);
        fill(&mut scheduler, &[(1, 2)], &limits(9, None));
        scheduler.hold(lane(1), now);
        assert!(scheduler.next(now, false).is_none() && !scheduler.wants_reading());
        let shards = scheduler.shards();
        let held = DueLane {
            hold_reason: Some(HoldReason::Authorization.into()),
            ..due(1)
        };
        scheduler.found(&shards, &[held], true, now);
        assert!(!scheduler.wants_reading());
        scheduler.found(&shards, &[due(1)], false, now);
        let asks = scheduler.asks(now);
        assert_eq!(asks[0].after, LanePlace::START, "what waited is read again");
    }

    #[test]
    fn what_came_under_a_lost_lease_is_forgotten_and_what_runs_is_not_read_again() {
        let now = Instant::now();
        let mut scheduler = scheduler(1, &[]);
        fill(&mut scheduler, &[(1, 2)], &limits(9, None));
        let running = scheduler
            .next(now, false)
            .expect("it starts")
            .claimed
            .operation_id;
        scheduler.set_leases(leases(3));
        assert!(scheduler.next(now, false).is_none());
        assert_eq!(scheduler.unexplored().len(), 1);
        let shards = scheduler.shards();
        scheduler.found(&shards, &[due(1)], false, now);
        assert_eq!(scheduler.asks(now)[0].known, [running]);
        assert!(scheduler.unexplored().is_empty());
    }

    #[test]
    fn a_lane_that_was_given_up_and_came_back_is_read_once() {
        let mut scheduler = scheduler(2, &[]);
        let now = Instant::now();
        let shards = scheduler.shards();
        scheduler.found(&shards, &[due(1)], false, now);
        // The lease ran out before the lane was read, and came back.
        scheduler.set_leases(HashMap::new());
        scheduler.set_leases(leases(1));
        let shards = scheduler.shards();
        scheduler.found(&shards, &[due(1)], false, now);
        assert_eq!(scheduler.asks(now).len(), 1);
    }

    #[test]
    fn what_a_lease_that_came_back_as_the_same_had_begun_is_given_up() {
        let mut scheduler = scheduler(2, &[]);
        fill(&mut scheduler, &[(1, 1)], &limits(9, None));
        let held = scheduler.leases[&0].clone();
        held.lost.cancel();
        scheduler.set_leases(leases(1));
        assert!(
            scheduler.next(Instant::now(), false).is_none(),
            "it would be cut off at once"
        );
        assert_eq!(scheduler.unexplored().len(), 1, "its lanes are looked for anew");
    }

    #[test]
    fn an_item_that_is_in_memory_is_not_taken_a_second_time() {
        let mut scheduler = scheduler(9, &[]);
        fill(&mut scheduler, &[(1, 1)], &limits(9, None));
        let again = Claim {
            items: vec![item(1, 0)],
            lanes: vec![read(1)],
        };
        scheduler.add(again.clone(), limits(9, None), Instant::now());
        scheduler.add(again, limits(9, None), Instant::now());
        let ids: Vec<Uuid> = std::iter::from_fn(|| scheduler.next(Instant::now(), false))
            .map(|item| item.claimed.operation_id)
            .collect();
        let different: std::collections::HashSet<&Uuid> = ids.iter().collect();
        assert_eq!(ids.len(), different.len(), "{ids:?}");
    }

    fn handed(number: u128, begun: Instant) -> Arrived {
        Arrived {
            handed: vec![Handed {
                item: item(1, number),
                begun,
            }],
            ..Arrived::default()
        }
    }

    #[test]
    fn handed_over_work_starts_at_once_unless_it_would_jump_over_something_or_may_have_run() {
        let mut scheduler = scheduler(2, &[]);
        fill(&mut scheduler, &[(1, 1)], &limits(9, None));
        let now = Instant::now();
        assert_eq!(started(&mut scheduler, now), [1]);
        scheduler.ended(&Ended::of(&item(1, 1)), Left::Finished, now);

        let after_reading = Instant::now() + Duration::from_millis(1);
        let before_reading = now
            .checked_sub(Duration::from_secs(1))
            .expect("a machine that is up");
        assert!(scheduler.arrived(handed(2, before_reading), now).is_empty());
        assert!(
            scheduler.next(now, false).is_none(),
            "a claim since the commit may have read it"
        );
        let asks = scheduler.asks(now);
        assert_eq!(asks.len(), 1, "so the lane is read");
        scheduler.arrived(handed(3, after_reading), now);
        assert!(
            scheduler.next(now, false).is_none(),
            "there may be more before it"
        );
        let nothing = || Claim {
            items: vec![],
            lanes: vec![read(1)],
        };
        scheduler.add(nothing(), limits(9, None), now);
        assert_eq!(
            scheduler.asks(now).len(),
            1,
            "the third came while the lane was read: once more"
        );
        scheduler.add(nothing(), limits(9, None), now);
        scheduler.arrived(handed(4, after_reading), now);
        assert_eq!(
            scheduler.next(now, false).map(|item| item.claimed.operation_id),
            Some(item(1, 4).operation_id)
        );
    }

    #[test]
    fn work_of_a_shard_that_is_gone_is_passed_on() {
        let now = Instant::now();
        let mut scheduler = scheduler(2, &[]);
        scheduler.set_leases(HashMap::new());
        let mut arrived = handed(1, now);
        arrived.lanes.insert(lane(2), false);
        assert_eq!(scheduler.arrived(arrived, now), [lane(1), lane(2)]);
    }

    #[test]
    fn memory_is_bounded_in_items_and_bytes_and_stuck_lanes_give_up_their_room() {
        let now = Instant::now();
        let mut scheduler = scheduler(8, &[]);
        let numbers: Vec<(u128, u128)> = (1..=32).map(|number| (number, 8)).collect();
        fill(&mut scheduler, &numbers, &limits(8, None));
        assert_eq!(scheduler.waiting, READ_AHEAD);
        // Every lane is full with what does not end.
        while scheduler.next(now, false).is_some() {}
        assert_eq!(scheduler.waiting, 0);
        for number in 1..=32 {
            scheduler.arrived(
                Arrived {
                    lanes: HashMap::from([(lane(number), false)]),
                    ..Arrived::default()
                },
                now,
            );
        }
        let asks = scheduler.asks(now);
        let items = asks
            .iter()
            .flat_map(|ask| (100..100 + ask.limit as u128).map(|n| item(ask.lane_id.as_u128() >> 8, n)))
            .collect();
        let lanes = (1..=32).map(read).collect();
        scheduler.add(Claim { items, lanes }, limits(8, None), now);
        assert_eq!(scheduler.waiting, READ_AHEAD);
        assert!(scheduler.next(now, false).is_none(), "all of it is stuck");
        let shards = scheduler.shards();
        scheduler.found(&shards, &[due(99)], false, now);
        let asks = scheduler.asks(now);
        assert_eq!(asks.len(), 1, "a lane that can start is read all the same");
        assert_eq!(asks[0].lane_id, lane(99));
        assert!(scheduler.waiting <= READ_AHEAD / 2);
        assert_eq!(scheduler.waiting_bytes, scheduler.waiting * 10);
    }

    #[test]
    fn a_lane_without_work_is_forgotten() {
        let now = Instant::now();
        let mut scheduler = scheduler(2, &[]);
        fill(&mut scheduler, &[(1, 1)], &limits(9, None));
        scheduler.next(now, false);
        scheduler.ended(&Ended::of(&item(1, 1)), Left::Finished, now);
        assert_eq!(scheduler.lanes.len(), 1);
        scheduler.fire(now + Duration::from_secs(3600));
        assert!(scheduler.lanes.is_empty());
    }

    #[test]
    fn an_item_past_its_deadline_is_ended_out_of_its_turn() {
        let now = Instant::now();
        let mut scheduler = scheduler(1, &[]);
        fill(&mut scheduler, &[(1, 2)], &limits(1, None));
        scheduler.next(now, false);
        let shards = scheduler.shards();
        let past = DueLane {
            deadline: Some(Time::from_micros(900)),
            ..due(1)
        };
        scheduler.found(&shards, &[past], false, now);
        let sweeps = scheduler.sweeps(now);
        assert_eq!(
            sweeps[0].known,
            [item(1, 1).operation_id],
            "what runs is left alone"
        );
        scheduler.add_overdue(vec![item(1, 2)], now);
        let ending = scheduler.next_overdue().expect("it is ended now");
        assert!(ending.overdue);
        assert_eq!(scheduler.waiting, 0, "it does not wait for its turn any more");
        assert!(scheduler.sweeps(now).is_empty());
        scheduler.ended(&Ended::of(&ending.claimed), Left::Finished, now);
        assert_eq!(scheduler.sweeps(now).len(), 1, "there may be more");
    }
}
