//! The loop that reads what is due, starts it, and takes note of what follows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::attempt::{after_panic, attempt};
use super::conclude::LaneEffect;
use super::item::{Attempted, CutOff, Departed, Holder, Unsent};
use super::lane::{Ended, Item, Left};
use super::scheduler::{LaneOptions, READ_AHEAD_BYTES, Scheduler};
use super::shard::{Held, Shards};
use super::wake;
use crate::changes::Moment;
use crate::clock::SharedClock;
use crate::connectors::Limits;
use crate::store::{
    ChangeKind, Claimed, DueLane, Ending, Health, Lease, PauseReason, Settle, StoreError, Stragglers,
};
use crate::writes::Writes;
use crate::writes::limits::{Asked, in_force};
use crate::writes::request::StoredRequest;
use crate::writes::set::Shape;
use crate::writes::signals::Inbox;

/// The shortest time between two searches for lanes with work: the safety net under every wake-up.
const POLL: Duration = Duration::from_secs(1);
/// A search may take this part of the time at most, so that many lanes make it rare and not dear.
const POLL_SHARE: u32 = 20;
/// How often every lane is read from its beginning: nothing may be overlooked for ever.
const FROM_START: Duration = Duration::from_secs(60);
/// The wait after the store failed.
const STORE_DOWN_WAIT: Duration = Duration::from_millis(500);
/// How long reading the queue may take before the store counts as down.
const LOOK_TIMEOUT: Duration = Duration::from_secs(25);
/// The shortest time between two readings of the lanes' limits, however often configs change.
const LIMITS_EVERY: Duration = Duration::from_millis(250);
/// The shortest time between two looks at the store, so that many small wake-ups share one.
const BREATH: Duration = Duration::from_millis(2);
/// Items past their deadline that are ended at the same time; they make no calls and take no slots.
const ENDINGS: usize = 16;
/// This part of the calls is kept for lanes that have none open.
const KEPT: usize = 4;
/// Items past their deadline that are read of one lane at a time.
const SWEEP: usize = 64;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// How long a lease lasts.
    pub lease: Duration,
    /// Calls at the same time.
    pub concurrency: usize,
    /// Calls at the same time per lane, at most; a provider's own limit may be lower.
    pub lane_concurrency: usize,
    /// Whether the providers' own limits are kept.
    pub provider_limits: bool,
    /// The lanes that get more than one start in their turn.
    pub lane_weights: HashMap<Uuid, u32>,
    /// The first wait of the backoff.
    pub retry_base: Duration,
    /// How long a stop may wait for what is in flight.
    pub shutdown: Duration,
}

/// The tasks that are running.
type Running = HashMap<tokio::task::Id, InHand>;

/// What a running task performs.
#[derive(Debug)]
struct InHand {
    item: Ended,
    overdue: bool,
}

/// One worker of the queue.
#[derive(Debug)]
pub struct Worker {
    writes: Arc<Writes>,
    clock: SharedClock,
    options: WorkerOptions,
    shards: Arc<Shards>,
}

/// What a finished task tells the loop.
struct Outcome {
    left: Left,
    effect: LaneEffect,
    dead_credential: bool,
    /// The records of a batch that others need not wait for any more.
    freed: Vec<(i64, i64)>,
}

/// What a search for lanes has found.
struct Search {
    shards: Vec<(i16, Lease)>,
    found: Result<Vec<DueLane>, StoreError>,
    from_start: bool,
    took: Duration,
}

/// What one run of the loop keeps.
struct State {
    scheduler: Scheduler,
    inbox: Arc<Inbox>,
    tasks: JoinSet<Outcome>,
    running: Running,
    /// Tasks among the running that end items past their deadline.
    endings: usize,
    search: JoinSet<Search>,
    next_look: Instant,
    /// The next look waits for room.
    full: bool,
    next_search: Instant,
    next_from_start: Instant,
    /// The last change for which the lanes' limits are known, whether there is a newer one, and when they may be read again.
    limits_of: Moment,
    limits_stale: bool,
    next_limits: Instant,
}

impl Worker {
    /// A worker with its own id.
    #[must_use]
    pub fn new(writes: Arc<Writes>, clock: SharedClock, options: WorkerOptions) -> Self {
        let (store, metrics) = (writes.store().clone(), Arc::clone(&writes.metrics));
        let calls = writes.call_timeout();
        let shards = Arc::new(Shards::new(store, clock.new_id(), options.lease, calls, metrics));
        Self {
            writes,
            clock,
            options,
            shards,
        }
    }

    /// Works until `stop`, then finishes what is in flight within the time allowed and gives its shards back. It also ends
    /// when its keeper of leases has died, which is a defect: then it must not work on.
    pub async fn run(self, stop: CancellationToken) {
        let wake = Arc::new(Notify::new());
        let keeper_stop = CancellationToken::new();
        let mut keeper = tokio::spawn(Arc::clone(&self.shards).keep(keeper_stop.clone(), Arc::clone(&wake)));
        // However this ends, also by a panic: nobody may go on renewing for a worker that is gone.
        let _stop_keeper = keeper_stop.clone().drop_guard();
        tokio::spawn(super::cancel::serve(
            Arc::clone(&self.writes),
            self.shards.worker,
            keeper_stop.clone(),
        ));
        tracing::info!(worker.id = %self.shards.worker, "the worker has started");

        let inbox = self.writes.new_work.subscribe();
        // Ends with this function.
        let mut listening = JoinSet::new();
        listening.spawn(wake::listen(self.writes.store().clone(), Arc::clone(&inbox)));
        let now = Instant::now();
        let mut state = State {
            scheduler: Scheduler::new(LaneOptions {
                concurrency: self.options.lane_concurrency,
                weights: self.options.lane_weights.clone(),
            }),
            inbox,
            tasks: JoinSet::new(),
            running: Running::new(),
            endings: 0,
            search: JoinSet::new(),
            next_look: now,
            full: false,
            next_search: now,
            next_from_start: now + FROM_START,
            limits_of: self.writes.changes.now(),
            limits_stale: false,
            next_limits: now,
        };
        loop {
            let sleep_until = state.wake_at();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = &mut keeper => {
                    tracing::error!("the keeper of the leases has died: the worker stops");
                    self.shards.drop_all();
                    return;
                }
                () = wake.notified() => self.take_leases(&mut state),
                Some(ended) = state.tasks.join_next_with_id() => {
                    state.note(ended);
                    while let Some(ended) = state.tasks.try_join_next_with_id() {
                        state.note(ended);
                    }
                }
                Some(search) = state.search.join_next() => state.note_search(search, &self.writes.health),
                () = state.inbox.new_work.notified() => self.take_inbox(&mut state),
                () = self.writes.accepted.notified() => state.next_search = Instant::now(),
                () = self.writes.changes.rung.notified() => {}
                () = tokio::time::sleep_until(sleep_until.into()) => {}
            }
            let now = Instant::now();
            self.renew_limits(&mut state, now).await;
            state.scheduler.fire(now);
            self.start(&mut state);
            if state.next_look <= now && state.scheduler.wants_reading() {
                self.look(&mut state).await;
                self.start(&mut state);
            }
            if state.next_search <= now {
                self.search(&mut state, now);
            }
            self.sweep(&mut state).await;
            self.hand_over(&mut state).await;
        }
        state.inbox.own(std::iter::empty());

        tracing::info!(
            in_flight = state.tasks.len(),
            "the worker stops: no new work is started"
        );
        let finished = async {
            while let Some(ended) = state.tasks.join_next_with_id().await {
                state.note(ended);
            }
        };
        if tokio::time::timeout(self.options.shutdown, finished)
            .await
            .is_err()
        {
            tracing::warn!(
                in_flight = state.tasks.len(),
                "the time to stop is over: what is in flight is left to the next worker"
            );
        }
        keeper_stop.cancel();
        let in_flight: Vec<i16> = state.running.values().map(|running| running.item.shard).collect();
        state.tasks.shutdown().await;
        // A panic in the keeper has been logged by the runtime; there is nothing left to keep.
        let _ = keeper.await;
        self.shards.retire(&in_flight).await;
        // What arrived meanwhile is for whoever takes the shards: they look for lanes when they do.
        tracing::info!("the worker has stopped");
    }

    /// Takes over what the keeper of the leases says.
    fn take_leases(&self, state: &mut State) {
        let leases = self.shards.startable();
        state.inbox.own(leases.keys().copied());
        state.scheduler.set_leases(leases);
        // Shards that are new are searched at once.
        if !state.scheduler.unexplored().is_empty() {
            state.next_search = Instant::now();
        }
    }

    /// Takes in what has arrived, and sends on what is not for this worker any more.
    fn take_inbox(&self, state: &mut State) {
        let arrived = state.inbox.take();
        if arrived.everything || !arrived.shards.is_empty() {
            state.next_search = Instant::now();
        }
        for lane_id in state.scheduler.arrived(arrived, Instant::now()) {
            self.writes.new_work.tell_others(lane_id, false);
        }
    }

    /// Reads the lanes that want it.
    async fn look(&self, state: &mut State) {
        let asks = state.scheduler.asks(Instant::now());
        state.next_look = Instant::now() + BREATH;
        if asks.is_empty() {
            // No room: it comes when something in memory starts or ends.
            state.next_look = Instant::now() + POLL;
            state.full = true;
            return;
        }
        let store = self.writes.store();
        let max_bytes = state.scheduler.room_bytes();
        let claimed = async {
            let claim = store.claim(&asks, max_bytes).await?;
            // Lanes that are new here: what their installations say of limits comes before the first start.
            let asked = match state.scheduler.unlimited(&claim).as_slice() {
                [] => Asked::new(),
                lanes => self.writes.limits_asked(lanes).await?,
            };
            Ok((claim, asked))
        };
        let claimed = tokio::time::timeout(LOOK_TIMEOUT, claimed).await;
        let now = Instant::now();
        match claimed {
            Ok(Ok((claim, asked))) => {
                state.scheduler.add(claim, self.limits(&asked), now);
                state.next_look = now + BREATH;
            }
            failed => {
                say_store_failed(&self.writes.health, failed.map(|claim| claim.map(|_| ())));
                state.scheduler.ask_again(&asks, now);
                state.next_look = now + STORE_DOWN_WAIT;
            }
        }
    }

    /// The limits in force of a lane at a provider, by what its installations ask for.
    fn limits(&self, asked: &Asked) -> impl Fn(Uuid, &str) -> Option<Limits> {
        move |lane_id, provider| {
            let of_file = match self.options.provider_limits {
                true => self.writes.limits_of(provider),
                false => None,
            };
            in_force(of_file, asked.get(&lane_id).copied())
        }
    }

    /// Some config or connector file has changed: the lanes that run and depend on it take over what it says of limits.
    async fn renew_limits(&self, state: &mut State, now: Instant) {
        let changes = &self.writes.changes;
        let noticed = changes.now();
        state.limits_stale = state.limits_of != noticed;
        if !state.limits_stale || state.next_limits > now {
            return;
        }
        let mut lanes = state.scheduler.limited();
        lanes.retain(|lane| changes.touched_since(state.limits_of, [(ChangeKind::Lane, *lane)]));
        let asked = match lanes.as_slice() {
            [] => Ok(Ok(Asked::new())),
            lanes => tokio::time::timeout(LOOK_TIMEOUT, self.writes.limits_asked(lanes)).await,
        };
        let now = Instant::now();
        match asked {
            Ok(Ok(asked)) => {
                state.scheduler.limit(lanes, self.limits(&asked), now);
                (state.limits_of, state.limits_stale) = (noticed, false);
                state.next_limits = now + LIMITS_EVERY;
            }
            failed => {
                say_store_failed(&self.writes.health, failed.map(|asked| asked.map(|_| ())));
                state.next_limits = now + STORE_DOWN_WAIT;
            }
        }
    }

    /// Looks for lanes with work, beside everything else.
    fn search(&self, state: &mut State, now: Instant) {
        if !state.search.is_empty() {
            // It may have begun too early to see what is looked for now.
            state.next_search = now + BREATH;
            return;
        }
        state.next_search = now + POLL;
        let from_start = state.next_from_start <= now;
        let new = state.scheduler.unexplored();
        let shards = if from_start || new.is_empty() {
            state.scheduler.shards()
        } else {
            // Everything else has been searched lately; what is new must not wait for it.
            state.next_search = now;
            new
        };
        if shards.is_empty() {
            state.next_search = now + POLL;
            return;
        }
        if from_start {
            state.next_from_start = now + FROM_START;
        }
        let store = self.writes.store().clone();
        state.search.spawn(async move {
            let started = Instant::now();
            let ids: Vec<i16> = shards.iter().map(|(shard, _)| *shard).collect();
            let found = tokio::time::timeout(LOOK_TIMEOUT, store.due_lanes(&ids)).await;
            Search {
                shards,
                found: found.unwrap_or(Err(StoreError::Busy)),
                from_start,
                took: started.elapsed(),
            }
        });
    }

    /// Reads items past their deadline, wherever they stand.
    async fn sweep(&self, state: &mut State) {
        let now = Instant::now();
        let asks = state.scheduler.sweeps(now);
        if asks.is_empty() {
            return;
        }
        let store = self.writes.store();
        let expired = store.claim_expired(&asks, SWEEP, READ_AHEAD_BYTES / 4);
        let now = Instant::now();
        match tokio::time::timeout(LOOK_TIMEOUT, expired).await {
            Ok(Ok(items)) => {
                state.scheduler.add_overdue(items, now);
                self.start(state);
            }
            failed => {
                say_store_failed(&self.writes.health, failed.map(|items| items.map(|_| ())));
                state.scheduler.sweep_again(&asks, now + STORE_DOWN_WAIT, now);
            }
        }
    }

    /// Starts as many items as there are slots.
    fn start(&self, state: &mut State) {
        while state.endings < ENDINGS
            && let Some(item) = state.scheduler.next_overdue()
        {
            self.spawn(state, item);
        }
        let total = self.options.concurrency;
        loop {
            let used = state.tasks.len() - state.endings;
            if used >= total {
                return;
            }
            let scarce = used + total / KEPT >= total && total >= 2 * KEPT;
            let Some(item) = state.scheduler.next(Instant::now(), scarce) else {
                return;
            };
            self.spawn(state, item);
        }
    }

    fn spawn(&self, state: &mut State, item: Item) {
        let in_hand = InHand {
            item: Ended::of(&item.claimed),
            overdue: item.overdue,
        };
        if !self.shards.may_start(item.held.lease) {
            // The shard went away since the item was read; its owner reads it again.
            let now = Instant::now();
            state.scheduler.ended(&in_hand.item, Left::Untouched, now);
            self.take_leases(state);
            return;
        }
        state.endings += usize::from(item.overdue);
        let task = state.tasks.spawn(run_item(
            Arc::clone(&self.writes),
            Arc::clone(&self.shards),
            self.clock.clone(),
            self.options.retry_base,
            item,
        ));
        state.running.insert(task.id(), in_hand);
    }

    /// Hands over surplus shards of which nothing is running any more.
    async fn hand_over(&self, state: &mut State) {
        let mut idle = self.shards.leaving();
        if idle.is_empty() {
            return;
        }
        idle.retain(|shard| !state.running.values().any(|running| running.item.shard == *shard));
        if !idle.is_empty() {
            self.shards.release(&idle).await;
        }
    }
}

impl State {
    /// When the loop must turn again, if nothing happens before.
    fn wake_at(&self) -> Instant {
        let look = self.scheduler.wants_reading().then_some(self.next_look);
        let limits = self.limits_stale.then_some(self.next_limits);
        [Some(self.next_search), look, limits, self.scheduler.next_timer()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.next_search)
    }

    fn note(&mut self, ended: Result<(tokio::task::Id, Outcome), tokio::task::JoinError>) {
        let now = Instant::now();
        if std::mem::take(&mut self.full) {
            self.next_look = now;
        }
        match ended {
            Ok((id, outcome)) => {
                let Some(InHand { item, overdue }) = self.running.remove(&id) else {
                    return;
                };
                self.endings -= usize::from(overdue);
                if outcome.dead_credential {
                    self.scheduler.hold(item.lane_id, now);
                }
                if let LaneEffect::Pause(pause, _) = outcome.effect {
                    self.scheduler.pause(item.lane_id, now + pause, now);
                }
                self.scheduler.ended(&item, outcome.left, now);
                self.scheduler.freed(item.lane_id, outcome.freed, now);
            }
            Err(error) => {
                // The item stays in the queue and comes again; a panic is a defect that must be seen.
                let Some(InHand { item, overdue }) = self.running.remove(&error.id()) else {
                    return;
                };
                self.endings -= usize::from(overdue);
                if error.is_panic() {
                    tracing::error!(operation.id = %item.operation_id, "performing an operation panicked: a defect; the lane pauses");
                    self.scheduler
                        .pause(item.lane_id, now + Duration::from_secs(30), now);
                }
                self.scheduler.ended(&item, Left::Untouched, now);
            }
        }
    }

    fn note_search(&mut self, search: Result<Search, tokio::task::JoinError>, health: &Health) {
        let now = Instant::now();
        let Ok(search) = search else {
            // A panic has been logged by the runtime; the next search follows.
            return;
        };
        match search.found {
            Ok(lanes) => {
                self.scheduler
                    .found(&search.shards, &lanes, search.from_start, now);
                let rest = search.took * POLL_SHARE;
                if self.next_search > now {
                    self.next_search = self.next_search.max(now + rest);
                }
            }
            Err(error) => {
                say_store_failed(health, Ok(Err(error)));
                self.next_search = now + STORE_DOWN_WAIT;
                if search.from_start {
                    self.next_from_start = now;
                }
            }
        }
    }
}

fn say_store_failed(health: &Health, result: Result<Result<(), StoreError>, tokio::time::error::Elapsed>) {
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) if !health.is_worth_a_line(&error) => {}
        Ok(Err(error)) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the queue could not be read; trying again"
        ),
        Err(_) if health.is_worth_a_line(&StoreError::Busy) => {
            tracing::warn!("reading the queue takes too long; trying again");
        }
        Err(_) => {}
    }
}

/// Performs one item and settles it. A lost shard cancels it at any point.
async fn run_item(
    writes: Arc<Writes>,
    shards: Arc<Shards>,
    clock: SharedClock,
    base: Duration,
    Item {
        claimed: item,
        held,
        read_at,
        overdue,
    }: Item,
) -> Outcome {
    let mut ended = Outcome {
        left: Left::Untouched,
        effect: LaneEffect::None,
        dead_credential: false,
        freed: Vec::new(),
    };
    // Until its end is stored. A cancelled one may still have been in memory.
    let Some(_entered) = writes.running.enter(item.operation_id) else {
        return ended;
    };
    let started = Instant::now();
    let departed = Departed::default();
    let holder = Holder {
        departed: &departed,
        shards: &shards,
        lease: held.lease,
        attempt_id: clock.new_id(),
        overdue,
    };
    let attempting =
        std::panic::AssertUnwindSafe(attempt(&writes, &item, read_at, base, &holder)).catch_unwind();
    let attempted = tokio::select! {
        biased;
        () = held.lost.cancelled() => return ended,
        attempted = attempting => attempted,
    };
    let attempted = match attempted {
        Ok(Ok(attempted)) => attempted,
        Ok(Err(Unsent::Store(error))) => {
            if writes.health.is_worth_a_line(&error) {
                tracing::warn!(operation.id = %item.operation_id, error = &error as &dyn std::error::Error,
                    "the store failed before the write was sent; it comes again");
            }
            ended.effect = LaneEffect::Pause(STORE_DOWN_WAIT, PauseReason::Backoff);
            return ended;
        }
        Ok(Err(Unsent::Lost | Unsent::NotYet | Unsent::Undecided(_))) => return ended,
        Err(_) => {
            tracing::error!(operation.id = %item.operation_id, "performing an operation panicked: a defect; it is tried again later");
            after_panic(&item, read_at, departed.take())
        }
    };
    let Attempted {
        mut ending,
        effect,
        dead_credential,
        attempt,
        freed,
        cut_off,
        class,
    } = attempted;
    let is_batch = StoredRequest::shape_of(&item.request) == Shape::Batch;
    if let (Ending::Finish(result), true) = (&mut ending, is_batch) {
        // However it ended: what waited for its records is free.
        result.records.get_or_insert_with(|| "[]".to_owned());
    }
    (ended.effect, ended.dead_credential) = (effect, dead_credential);
    let outcome = match &ending {
        Ending::Finish(result) => result.state.as_str(),
        Ending::Retry { .. } => "retry",
    };
    tracing::info!(
        operation.id = %item.operation_id, object = item.object, action = item.action.as_str(), mode = "asynchronous",
        attempt = item.attempt + 1, outcome, class, duration_ms = started.elapsed().as_millis() as u64,
        "write performed"
    );
    if let LaneEffect::Pause(pause, reason) = effect
        && pause >= Duration::from_secs(1)
        && let Err(error) = writes
            .store()
            .pause_lane(item.project_id, item.lane_id, pause, reason)
            .await
        && writes.health.is_worth_a_line(&error)
    {
        tracing::warn!(lane.id = %item.lane_id, error = &error as &dyn std::error::Error, "the pause of a lane could not be stored");
    }
    let settle = Settle {
        worker: shards.worker,
        lease: held.lease,
        lane_id: item.lane_id,
        run_at: item.run_at,
        operation_id: item.operation_id,
        project_id: item.project_id,
        attempt,
        stragglers: stragglers(&item, &held, &ending, freed.as_deref(), cut_off),
        ending,
        freed: freed.clone(),
    };
    let left = match settle.ending {
        Ending::Finish(_) => Left::Finished,
        Ending::Retry { delay, .. } => Left::PutOff(delay),
    };
    if settle_until_done(&writes, &shards, &held, settle).await {
        ended.left = left;
        if is_batch && freed.is_none() {
            // It ended without being looked at: what waited for its records is found by reading the lane anew.
            writes.new_work.changed(item.lane_id);
        }
        ended.freed = freed.into_iter().flatten().map(|key| (key, item.seq)).collect();
    }
    ended
}

/// The records of this write that a request may still change, although it ends or is put off: one that got no answer, or one
/// of a process that had the shard before and did not say what became of it.
fn stragglers(
    item: &Claimed,
    held: &Held,
    ending: &Ending,
    freed: Option<&[i64]>,
    cut_off: Option<CutOff>,
) -> Option<Stragglers> {
    let CutOff { mut keys, mut left } = cut_off.unwrap_or_default();
    if let Some(unsettled) = held.unsettled(item.accept_time) {
        // While the write itself stays, it stands before all later ones anyway.
        let single = item.record_key.filter(|_| matches!(ending, Ending::Finish(_)));
        keys.extend(single.into_iter().chain(freed.into_iter().flatten().copied()));
        left = left.max(unsettled);
    }
    (!keys.is_empty() && !left.is_zero()).then_some(Stragglers {
        seq: item.seq,
        keys,
        left,
    })
}

/// The provider has answered: the outcome is stored however long the store takes, as long as the shard is ours.
/// False when that has not happened: then the item is as another worker, or its end, left it.
async fn settle_until_done(writes: &Writes, shards: &Shards, held: &Held, settle: Settle) -> bool {
    let mut wait = Duration::from_millis(20);
    let mut undecided = false;
    loop {
        match writes.settle(settle.clone()).await {
            Ok(true) => return true,
            // A commit without an answer may have happened: then its end is there.
            Ok(false) if undecided && writes.has_settled(&settle).await => return true,
            Ok(false) => {
                tracing::warn!(operation.id = %settle.operation_id, "another worker has this operation by now: the outcome is kept as an attempt only");
                return false;
            }
            Err(error) => {
                undecided |= matches!(error, StoreError::Undecided(_));
                if writes.health.is_worth_a_line(&error) {
                    tracing::warn!(operation.id = %settle.operation_id, error = &error as &dyn std::error::Error,
                        "the outcome could not be stored; trying again");
                }
            }
        }
        if !shards.holds(held.lease) {
            return false;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}
