//! The loop that starts due items, and what follows each of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::conclude::LaneEffect;
use super::item::{Attempted, Holder, Unsent, after_panic, attempt};
use super::lane::{Item, Lanes};
use super::shard::{Held, Shards};
use crate::clock::SharedClock;
use crate::store::{Ending, Settle, StoreError};
use crate::writes::Writes;

/// The longest time between two looks at the store: the safety net under every wake-up.
const POLL: Duration = Duration::from_secs(1);
/// The wait after the store failed.
const STORE_DOWN_WAIT: Duration = Duration::from_millis(500);
/// How long reading the queue may take before the store counts as down.
const LOOK_TIMEOUT: Duration = Duration::from_secs(25);
/// The shortest time between two looks at the store, so that many small wake-ups share one.
const BREATH: Duration = Duration::from_millis(2);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// How long a lease lasts.
    pub lease: Duration,
    /// Calls at the same time.
    pub concurrency: usize,
    /// Calls at the same time per lane.
    pub lane_concurrency: usize,
    /// The first wait of the backoff.
    pub retry_base: Duration,
    /// How long a stop may wait for what is in flight.
    pub shutdown: Duration,
}

/// The tasks that are running, each with its lane and its operation.
type Running = HashMap<tokio::task::Id, (Uuid, Uuid)>;

/// One worker of the queue.
#[derive(Debug)]
pub struct Worker {
    writes: Arc<Writes>,
    clock: SharedClock,
    options: WorkerOptions,
    shards: Arc<Shards>,
}

/// What a finished task tells the loop.
struct Ended {
    lane_id: Uuid,
    effect: LaneEffect,
    dead_credential: bool,
}

impl Worker {
    /// A worker with its own id.
    #[must_use]
    pub fn new(writes: Arc<Writes>, clock: SharedClock, options: WorkerOptions) -> Self {
        let shards = Arc::new(Shards::new(writes.store().clone(), clock.new_id(), options.lease));
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
        tracing::info!(worker.id = %self.shards.worker, "the worker has started");

        let mut lanes = Lanes::new(self.options.lane_concurrency);
        let mut tasks: JoinSet<Ended> = JoinSet::new();
        let mut running = Running::new();
        let mut next_look = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = &mut keeper => {
                    tracing::error!("the keeper of the leases has died: the worker stops");
                    self.shards.drop_all();
                    return;
                }
                Some(ended) = tasks.join_next_with_id() => {
                    self.note(ended, &mut lanes, &mut running);
                    while let Some(ended) = tasks.try_join_next_with_id() {
                        self.note(ended, &mut lanes, &mut running);
                    }
                    self.start(&mut lanes, &mut tasks, &mut running);
                    // While every slot is taken nothing could start; the store is looked at all the same when it is due.
                    if (!lanes.wants_more() || tasks.len() >= self.options.concurrency) && Instant::now() < next_look {
                        continue;
                    }
                }
                () = wake.notified() => {}
                () = self.writes.accepted.notified() => {}
                () = tokio::time::sleep_until(next_look.into()) => {}
            }
            tokio::time::sleep(BREATH).await;
            next_look = Instant::now() + self.look(&mut lanes, &running).await;
            self.start(&mut lanes, &mut tasks, &mut running);
            self.hand_over(&mut lanes).await;
        }

        tracing::info!(
            in_flight = tasks.len(),
            "the worker stops: no new work is started"
        );
        let finished = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.shutdown, finished)
            .await
            .is_err()
        {
            tracing::warn!(
                in_flight = tasks.len(),
                "the time to stop is over: what is in flight is left to the next worker"
            );
        }
        keeper_stop.cancel();
        tasks.shutdown().await;
        // A panic in the keeper has been logged by the runtime; there is nothing left to keep.
        let _ = keeper.await;
        self.shards.retire().await;
        tracing::info!("the worker has stopped");
    }

    /// Reads lanes and items from the store. Answers how long to wait until the next look, at most.
    async fn look(&self, lanes: &mut Lanes, running: &Running) -> Duration {
        let leases = self.shards.startable();
        lanes.keep_only(&leases);
        if leases.is_empty() || !lanes.wants_more() {
            return POLL;
        }
        match tokio::time::timeout(LOOK_TIMEOUT, self.read(lanes, running, &leases)).await {
            Ok(Ok(next_due)) => next_due.unwrap_or(POLL).clamp(BREATH, POLL),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the queue could not be read; trying again"
                );
                STORE_DOWN_WAIT
            }
            Err(_) => {
                tracing::warn!("reading the queue takes too long; trying again");
                STORE_DOWN_WAIT
            }
        }
    }

    /// Reads what the lanes ask for. Answers the time until the next one becomes due.
    async fn read(
        &self,
        lanes: &mut Lanes,
        running: &Running,
        leases: &HashMap<i16, Held>,
    ) -> Result<Option<Duration>, StoreError> {
        let store = self.writes.store();
        let shards: Vec<i16> = leases.keys().copied().collect();
        let due = store.due_lanes(&shards).await?;
        let (asks, next_due) = lanes.plan(&due, Instant::now());
        if !asks.is_empty() {
            let in_memory = lanes.in_memory(running.values().map(|(_, operation)| *operation));
            let claimed = store.claim(&asks, &in_memory).await?;
            lanes.add(claimed, leases);
        }
        Ok(next_due)
    }

    /// Starts as many items as there are slots.
    fn start(&self, lanes: &mut Lanes, tasks: &mut JoinSet<Ended>, running: &mut Running) {
        while tasks.len() < self.options.concurrency {
            let Some(item) = lanes.next(Instant::now()) else {
                return;
            };
            let (lane_id, operation_id) = (item.claimed.lane_id, item.claimed.operation_id);
            if !self.shards.may_start(item.held.lease) {
                // The shard went away since the item was read; its owner reads it again.
                lanes.ended(lane_id);
                continue;
            }
            let task = tasks.spawn(run_item(
                Arc::clone(&self.writes),
                Arc::clone(&self.shards),
                self.clock.clone(),
                self.options.retry_base,
                item,
            ));
            running.insert(task.id(), (lane_id, operation_id));
        }
    }

    fn note(
        &self,
        ended: Result<(tokio::task::Id, Ended), tokio::task::JoinError>,
        lanes: &mut Lanes,
        running: &mut Running,
    ) {
        match ended {
            Ok((id, ended)) => {
                running.remove(&id);
                lanes.ended(ended.lane_id);
                if ended.dead_credential {
                    lanes.hold(ended.lane_id);
                }
                if let LaneEffect::Pause(pause) = ended.effect {
                    lanes.pause(ended.lane_id, Instant::now() + pause);
                }
            }
            Err(error) => {
                // The item stays in the queue and comes again; a panic is a defect that must be seen.
                if let Some((lane_id, operation_id)) = running.remove(&error.id()) {
                    lanes.ended(lane_id);
                    if error.is_panic() {
                        tracing::error!(operation.id = %operation_id, "performing an operation panicked: a defect; the lane pauses");
                        lanes.pause(lane_id, Instant::now() + Duration::from_secs(30));
                    }
                }
            }
        }
    }

    /// Hands over surplus shards of which nothing is running any more.
    async fn hand_over(&self, lanes: &mut Lanes) {
        let idle: Vec<i16> = self
            .shards
            .leaving()
            .into_iter()
            .filter(|shard| !lanes.is_running(*shard))
            .collect();
        if !idle.is_empty() {
            self.shards.release(&idle).await;
        }
    }
}

/// Performs one item and settles it. A lost shard cancels it at any point.
async fn run_item(
    writes: Arc<Writes>,
    shards: Arc<Shards>,
    clock: SharedClock,
    base: Duration,
    Item { claimed: item, held }: Item,
) -> Ended {
    let mut ended = Ended {
        lane_id: item.lane_id,
        effect: LaneEffect::None,
        dead_credential: false,
    };
    let started = Instant::now();
    let holder = Holder {
        worker: shards.worker,
        lease: held.lease,
        attempt_id: clock.new_id(),
    };
    let attempting =
        std::panic::AssertUnwindSafe(attempt(&writes, &item, started, base, &holder)).catch_unwind();
    let attempted = tokio::select! {
        biased;
        () = held.lost.cancelled() => return ended,
        attempted = attempting => attempted,
    };
    let attempted = match attempted {
        Ok(Ok(attempted)) => attempted,
        Ok(Err(Unsent::Store(error))) => {
            tracing::warn!(operation.id = %item.operation_id, error = &error as &dyn std::error::Error,
                "the store failed before the write was sent; it comes again");
            ended.effect = LaneEffect::Pause(STORE_DOWN_WAIT);
            return ended;
        }
        Ok(Err(Unsent::Lost)) => return ended,
        Err(_) => {
            tracing::error!(operation.id = %item.operation_id, "performing an operation panicked: a defect; it is tried again later");
            after_panic(&item, started)
        }
    };
    let Attempted {
        ending,
        effect,
        dead_credential,
        attempt,
        class,
    } = attempted;
    (ended.effect, ended.dead_credential) = (effect, dead_credential);
    let outcome = match &ending {
        Ending::Finish(result) => result.state.as_str(),
        Ending::Retry { .. } => "retry",
    };
    tracing::info!(
        operation.id = %item.operation_id, object = item.object, action = item.action, mode = "asynchronous",
        attempt = item.attempt + 1, outcome, class, duration_ms = started.elapsed().as_millis() as u64,
        "write performed"
    );
    if let LaneEffect::Pause(pause) = effect
        && pause >= Duration::from_secs(1)
        && let Err(error) = writes
            .store()
            .pause_lane(item.project_id, item.lane_id, pause)
            .await
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
        ending,
    };
    settle_until_done(&writes, &shards, &held, settle).await;
    ended
}

/// The provider has answered: the outcome is stored however long the store takes, as long as the shard is ours.
async fn settle_until_done(writes: &Writes, shards: &Shards, held: &Held, settle: Settle) {
    let mut wait = Duration::from_millis(20);
    loop {
        match writes.settle(settle.clone()).await {
            Ok(true) => return,
            Ok(false) => {
                tracing::warn!(operation.id = %settle.operation_id, "another worker has this operation by now: the outcome is kept as an attempt only");
                return;
            }
            Err(error) => {
                tracing::warn!(operation.id = %settle.operation_id, error = &error as &dyn std::error::Error,
                    "the outcome could not be stored; trying again");
            }
        }
        if !shards.holds(held.lease) {
            return;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}
