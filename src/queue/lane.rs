//! What a worker remembers of one lane: what of it is in memory, how far the table was read, and what keeps it from starting.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::bucket::Bucket;
use super::shard::Held;
use crate::clock::Time;
use crate::connectors::Limits;
use crate::store::{Claimed, LATE_COMMIT, LaneAsk, LanePlace, LaneRead};

/// Items of a lane in stock beyond those that run, at most.
const STOCK: usize = 32;
/// Rows looked at for a lane in one claim beyond those asked for, at first and at most: more while only blocked ones come
/// back.
const SCAN: (i64, i64) = (4, 1_024);
/// Reading lanes from their beginning may take this part of the time at most.
const PASS_SHARE: u32 = 20;
/// A lane that is never read to its end begins anew after this time.
const UNFINISHED_PASS: Duration = Duration::from_secs(300);
/// How long a lane without work is remembered.
const FORGET: Duration = Duration::from_secs(600);

/// An item in memory, with the lease under which it came there.
#[derive(Debug)]
pub(super) struct Item {
    /// What to perform.
    pub claimed: Claimed,
    /// It may start only while this holds.
    pub held: Held,
    /// When `claimed.store_now` was.
    pub read_at: Instant,
    /// True when it is past its deadline and must only be ended, not sent.
    pub overdue: bool,
}

impl Item {
    /// What it costs in memory.
    pub fn bytes(&self) -> usize {
        self.claimed.request.len()
    }
}

/// How an item left memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It is gone from the queue.
    Finished,
    /// It comes again after this time.
    PutOff(Duration),
    /// It is in the queue as it was.
    Untouched,
}

/// One lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub shard: i16,
    pub held: Held,
    pub waiting: VecDeque<Item>,
    /// What is being performed, each with its record.
    running: HashMap<Uuid, Option<i64>>,
    /// Items past their deadline that are being ended; they hold no slot of the lane.
    ending: HashSet<Uuid>,
    pub on_hold: bool,
    paused_until: Option<Instant>,
    /// Calls at the same time by the setting: a cap on whatever else is said.
    cap: usize,
    concurrency: usize,
    bucket: Option<Bucket>,
    /// Whose limits apply; unknown until the first item has been read.
    provider: Option<String>,
    pub weight: u32,
    /// Starts left in this turn.
    pub turn: u32,

    /// The table is read from here on.
    after: LanePlace,
    /// Up to here the table was read so late that nothing can become visible any more: where the next pass begins.
    floor: LanePlace,
    /// More may be due in the table than is in memory.
    pub more: bool,
    /// Something has arrived since this pass over the table began: it may stand where the pass has been already.
    again: bool,
    /// The state of the lane itself may have changed.
    pub recheck: bool,
    due_at: Option<Instant>,
    /// When the next item may be past its deadline.
    overdue_at: Option<Instant>,
    /// Records of which an item has ended while others may wait behind it.
    next_of: Vec<(i64, i64)>,
    /// Items were passed over because an earlier one of the same record waits or runs.
    blocked: bool,
    scan: i64,
    /// When it was last begun to be read from its beginning, and how long it took until everything due had been seen.
    pass_began: Instant,
    pass_took: Option<Duration>,
    /// When it was last read, or emptied: what was handed over from before may have been read already.
    pub read_at: Option<Instant>,
    used_at: Instant,

    pub in_ready: bool,
    pub in_hungry: bool,
    pub in_overdue: bool,
    pub timer: Option<Instant>,
}

impl Lane {
    pub fn new(shard: i16, held: Held, concurrency: usize, weight: u32, now: Instant) -> Self {
        Self {
            shard,
            held,
            waiting: VecDeque::new(),
            running: HashMap::new(),
            ending: HashSet::new(),
            on_hold: false,
            paused_until: None,
            cap: concurrency,
            concurrency,
            bucket: None,
            provider: None,
            weight,
            turn: 0,
            after: LanePlace::START,
            floor: LanePlace::START,
            more: false,
            again: false,
            recheck: false,
            due_at: None,
            overdue_at: None,
            next_of: Vec::new(),
            blocked: false,
            scan: SCAN.0,
            pass_began: now,
            pass_took: None,
            read_at: None,
            used_at: now,
            in_ready: false,
            in_hungry: false,
            in_overdue: false,
            timer: None,
        }
    }

    /// Takes over the limits in force; the setting stays a cap. What was started under others goes on counting.
    pub fn limit(&mut self, provider: String, limits: Option<Limits>) {
        self.provider = Some(provider);
        self.concurrency = limits.map_or(self.cap, |limits| {
            self.cap.min(limits.concurrency.max(1) as usize)
        });
        self.bucket = limits.and_then(|limits| match self.bucket.take() {
            Some(bucket) => bucket.changed_to(&limits),
            None => Bucket::of(&limits),
        });
    }

    /// The provider whose limits apply, once that is known.
    pub fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    pub fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }

    /// Whether an item that waits in memory may start now.
    pub fn may_start(&self, now: Instant) -> bool {
        !self.waiting.is_empty()
            && !self.on_hold
            && !self.is_paused(now)
            && self.running.len() < self.concurrency
            && self
                .bucket
                .as_ref()
                .is_none_or(|bucket| bucket.ready_at(now) <= now)
    }

    /// Whether any of it is being performed.
    pub fn has_calls(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether the table should be read for it: before it runs dry.
    pub fn wants_reading(&self, now: Instant) -> bool {
        self.recheck
            || (!self.on_hold
                && !self.is_paused(now)
                && (self.more || !self.next_of.is_empty())
                && (self.waiting.len() <= self.concurrency / 2))
    }

    /// Whether items past their deadline should be looked for.
    pub fn wants_sweep(&self, now: Instant) -> bool {
        !self.on_hold && self.ending.is_empty() && self.overdue_at.is_some_and(|at| at <= now)
    }

    /// When it must be looked at again, if nothing happens before.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.on_hold {
            return None;
        }
        let pause = self.paused_until.filter(|until| *until > now);
        let start = match &self.bucket {
            Some(bucket)
                if pause.is_none() && !self.waiting.is_empty() && self.running.len() < self.concurrency =>
            {
                Some(bucket.ready_at(now)).filter(|at| *at > now)
            }
            _ => None,
        };
        let due = self.due_at.map(|due| pause.map_or(due, |until| due.max(until)));
        let overdue = if self.ending.is_empty() {
            self.overdue_at
        } else {
            None
        };
        let forget = self.is_idle().then_some(self.used_at + FORGET);
        [pause, start, due, overdue, forget].into_iter().flatten().min()
    }

    /// Nothing is known to wait for it, in memory or in the table.
    fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.running.is_empty()
            && self.ending.is_empty()
            && !self.more
            && !self.recheck
            && self.due_at.is_none()
            && self.overdue_at.is_none()
            && self.paused_until.is_none()
            && !self.on_hold
    }

    pub fn may_be_forgotten(&self, now: Instant) -> bool {
        self.is_idle() && self.used_at + FORGET <= now
    }

    /// Whether work that has just been accepted may go straight into memory: nothing of the lane waits in the table, so that
    /// it jumps over nothing, and the table was not read since the commit, so that it is not in memory already.
    pub fn takes_handed(&self, begun: Instant, now: Instant) -> bool {
        !self.more
            && !self.recheck
            && !self.on_hold
            && !self.is_paused(now)
            && self.provider.is_some()
            && self.held.since < begun
            && self.read_at.is_none_or(|read| read < begun)
            && self.waiting.len() < STOCK
    }

    /// What to read, of at most `room` items; `known` are further operations that are in memory.
    pub fn ask(&mut self, lane_id: Uuid, room: usize, known: impl Iterator<Item = Uuid>) -> LaneAsk {
        let limit = (2 * self.concurrency)
            .min(STOCK)
            .saturating_sub(self.waiting.len())
            .min(room);
        let known: Vec<Uuid> = self
            .waiting
            .iter()
            .map(|item| item.claimed.operation_id)
            .chain(self.running.keys().copied())
            .chain(self.ending.iter().copied())
            .chain(known)
            .collect();
        let busy = self
            .waiting
            .iter()
            .filter_map(|item| item.claimed.record_key)
            .chain(self.running.values().copied().flatten())
            .collect();
        self.recheck = false;
        if self.after == LanePlace::START {
            self.blocked = false;
        }
        let in_memory = i64::try_from(limit + known.len() + 1).unwrap_or(SCAN.1);
        LaneAsk {
            shard: self.shard,
            lane_id,
            after: self.after,
            limit,
            scan: self.scan.max(in_memory),
            known,
            busy,
            next_of: std::mem::take(&mut self.next_of),
        }
    }

    /// A question that got no answer is asked again.
    pub fn ask_again(&mut self, ask: &LaneAsk) {
        self.next_of.extend(&ask.next_of);
        self.more = true;
    }

    /// Takes note of how far the table was read.
    pub fn read(&mut self, read: &LaneRead, taken: bool, now: Instant) {
        self.read_at = Some(now);
        self.used_at = now;
        let late = Time::from_micros(
            read.store_now.as_micros() - i64::try_from(LATE_COMMIT.as_micros()).unwrap_or(0),
        );
        // What was read earlier in this pass is final only if it was old enough then.
        if self.floor >= self.after {
            self.floor = self.floor.max(read.after.min(LanePlace::before(late)));
        }
        self.after = if read.more { read.after } else { self.floor };
        self.more = read.more || std::mem::take(&mut self.again);
        self.blocked |= read.blocked;
        self.scan = if read.more && !taken {
            (self.scan * 4).min(SCAN.1)
        } else {
            SCAN.0
        };
        if !read.more {
            self.pass_took
                .get_or_insert_with(|| now.saturating_duration_since(self.pass_began));
            self.due_at = read.next_due.map(|due| now + due.since(read.store_now));
        }
        self.on_hold = read.hold_reason.is_some();
        if let Some(until) = read.paused_until.filter(|until| *until > read.store_now) {
            self.pause_until(now + until.since(read.store_now));
        }
    }

    /// Something has arrived in the table.
    pub fn look(&mut self) {
        self.again = self.more;
        self.more = true;
    }

    /// The lane itself has changed: what was passed over may run.
    pub fn changed(&mut self, now: Instant) {
        self.look();
        self.recheck = true;
        if self.blocked {
            self.read_from_start(now);
        }
    }

    /// The table is read from its beginning: nothing may be overlooked for ever.
    pub fn read_from_start(&mut self, now: Instant) {
        (self.pass_began, self.pass_took) = (now, None);
        self.after = LanePlace::START;
        self.floor = LanePlace::START;
        self.more = true;
    }

    /// Whether it may be read from its beginning once more: passing over a flood must come to its end, and must not take
    /// more than a part of the time.
    pub fn may_read_from_start(&self, now: Instant) -> bool {
        let wait = self.pass_took.map_or(UNFINISHED_PASS, |took| took * PASS_SHARE);
        now.saturating_duration_since(self.pass_began) >= wait
    }

    /// An item that was in memory is left to the table, and read from there again.
    pub fn rewind(&mut self, run_at: Time) {
        self.after = self.after.min(LanePlace::before(run_at));
        self.floor = self.floor.min(self.after);
        self.more = true;
    }

    /// Forgets what waits in memory; answers it.
    pub fn drop_waiting(&mut self) -> VecDeque<Item> {
        let waiting = std::mem::take(&mut self.waiting);
        for item in &waiting {
            self.rewind(item.claimed.run_at);
        }
        waiting
    }

    pub fn pause_until(&mut self, until: Instant) {
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }

    /// Becomes due at this time, or earlier.
    pub fn due_by(&mut self, at: Instant) {
        self.due_at = Some(self.due_at.map_or(at, |known| known.min(at)));
    }

    /// Something is past its deadline at this time, or earlier.
    pub fn overdue_by(&mut self, at: Instant) {
        self.overdue_at = Some(self.overdue_at.map_or(at, |known| known.min(at)));
    }

    pub fn sweep_begins(&mut self) -> Vec<Uuid> {
        self.overdue_at = None;
        self.running.keys().chain(&self.ending).copied().collect()
    }

    /// Takes note of what has become due.
    pub fn wake(&mut self, now: Instant) {
        if self.due_at.is_some_and(|at| at <= now) {
            self.due_at = None;
            self.more = true;
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
    }

    /// An item starts.
    pub fn start(&mut self, item: &Claimed, now: Instant) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
        self.used_at = now;
        self.running.insert(item.operation_id, item.record_key);
    }

    /// An item past its deadline is going to be ended.
    pub fn start_ending(&mut self, operation_id: Uuid) {
        self.ending.insert(operation_id);
    }

    /// An item has left memory.
    pub fn ended(&mut self, item: &Ended, left: Left, now: Instant) {
        self.used_at = now;
        if self.ending.remove(&item.operation_id) {
            // There may be more of the kind, and what waited behind it may run.
            self.overdue_by(now);
        }
        self.running.remove(&item.operation_id);
        match left {
            Left::Finished => {
                if self.blocked
                    && let Some((key, seq)) = item.record
                {
                    self.next_of.push((key, seq));
                }
            }
            Left::PutOff(delay) => self.due_by(now + delay),
            Left::Untouched => self.rewind(item.run_at),
        }
    }

    /// Records of a batch have ended: others may have waited for them.
    pub fn freed(&mut self, records: Vec<(i64, i64)>) {
        if self.blocked {
            self.next_of.extend(records);
        }
    }

    /// Whether this operation is in memory.
    pub fn knows(&self, operation_id: Uuid) -> bool {
        self.running.contains_key(&operation_id)
            || self.ending.contains(&operation_id)
            || self
                .waiting
                .iter()
                .any(|item| item.claimed.operation_id == operation_id)
    }

    /// What is being performed.
    pub fn in_hand(&self) -> impl Iterator<Item = Uuid> {
        self.running.keys().chain(&self.ending).copied()
    }
}

/// What is remembered of an item while it is performed.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub shard: i16,
    pub lane_id: Uuid,
    pub operation_id: Uuid,
    pub run_at: Time,
    /// The record of which it was the earliest, and its place in the order of acceptance.
    pub record: Option<(i64, i64)>,
}

impl Ended {
    pub fn of(item: &Claimed) -> Self {
        Self {
            shard: item.shard,
            lane_id: item.lane_id,
            operation_id: item.operation_id,
            run_at: item.run_at,
            record: item
                .record_key
                .filter(|_| !item.behind)
                .map(|key| (key, item.seq)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Lease;

    fn lane() -> Lane {
        let held = Held {
            lease: Lease { shard: 0, epoch: 1 },
            lost: tokio_util::sync::CancellationToken::new(),
            leaving: false,
            since: Instant::now(),
            unsettled: None,
        };
        Lane::new(0, held, 8, 1, Instant::now())
    }

    fn seconds(seconds: i64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    /// A read of the table at `now` that came as far as `to`.
    fn read(now: i64, to: i64, more: bool) -> LaneRead {
        let to = if more { to } else { to.min(now - 10) };
        LaneRead {
            lane_id: Uuid::nil(),
            after: LanePlace::before(seconds(to)),
            more,
            next_due: None,
            blocked: false,
            hold_reason: None,
            paused_until: None,
            store_now: seconds(now),
        }
    }

    #[test]
    fn a_lane_that_has_changed_is_read_from_its_beginning_when_something_of_it_was_passed_over() {
        let mut lane = lane();
        lane.more = true;
        lane.read(&read(1_000, 900, false), true, Instant::now());
        let passed = lane.after;
        lane.changed(Instant::now());
        assert!(lane.more && lane.recheck);
        assert_eq!(lane.after, passed, "nothing waits before that");
        let blocked = LaneRead {
            blocked: true,
            ..read(1_001, 900, false)
        };
        lane.read(&blocked, false, Instant::now());
        lane.changed(Instant::now());
        assert!(lane.more);
        assert_eq!((lane.after, lane.floor), (LanePlace::START, LanePlace::START));
    }

    #[test]
    fn a_pass_that_took_long_begins_again_where_something_could_have_become_visible_behind_it() {
        let mut lane = lane();
        lane.more = true;
        // Old work: final as soon as it is read.
        lane.read(&read(1_000, 900, true), true, Instant::now());
        assert_eq!(
            (lane.after, lane.floor),
            (LanePlace::before(seconds(900)), LanePlace::before(seconds(900)))
        );
        // New work, read while a commit from before may still be on its way.
        lane.read(&read(1_001, 1_000, true), true, Instant::now());
        assert_eq!(lane.after, LanePlace::before(seconds(1_000)), "the pass goes on");
        // The pass ends half a minute later. What became visible meanwhile lies behind it.
        lane.look();
        lane.read(&read(1_030, 1_029, false), true, Instant::now());
        assert_eq!(lane.after, LanePlace::before(seconds(991)));
        assert!(lane.more, "something has arrived since the pass began");
        lane.read(&read(1_031, 1_029, false), false, Instant::now());
        assert_eq!(lane.after, LanePlace::before(seconds(1_021)));
        assert!(!lane.more);
    }
}
