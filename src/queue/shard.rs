//! Leases of shards: taken, renewed at a third of their time, given back; a lost one cancels its calls.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Time;
use crate::metrics::Metrics;
use crate::store::{Lease, Leases, SharedStore, StoreError};
use crate::telemetry::Spell;

/// A shard that this worker holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The lease, with its epoch.
    pub lease: Lease,
    /// Cancelled when the shard is lost.
    pub lost: CancellationToken,
    /// True while the shard is being handed over: nothing new of it starts.
    pub leaving: bool,
    /// When it was taken.
    pub since: Instant,
    /// Set when calls from before it was taken may still be on their way.
    pub unsettled: Option<Unsettled>,
}

/// Until when calls may still take effect that were begun before a shard was taken: by a process that died, or by this one
/// when its lease had run out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsettled {
    /// What was accepted later was never sent before. By the store's clock.
    taken: Time,
    until: Instant,
}

impl Held {
    /// How long an earlier request for a write that was accepted at this time may still be on its way; nothing when there is
    /// none.
    pub fn unsettled(&self, accept_time: Time) -> Option<Duration> {
        let Unsettled { taken, until } = self.unsettled?;
        let left = until.saturating_duration_since(Instant::now());
        (accept_time <= taken && !left.is_zero()).then_some(left)
    }
}

/// The shards of one worker.
#[derive(Debug)]
pub(super) struct Shards {
    store: SharedStore,
    /// The worker's own id.
    pub worker: Uuid,
    lease: Duration,
    /// How long a call may take.
    calls: Duration,
    held: Mutex<HashMap<i16, Held>>,
    /// When calls of these shards were cut off, because the lease had run out.
    cut_off: Mutex<HashMap<i16, Instant>>,
    /// Until when the leases last, by this process's own clock.
    valid_until: Mutex<Option<Instant>>,
    metrics: Arc<Metrics>,
    /// Leasing and releasing take turns.
    turn: tokio::sync::Mutex<()>,
}

impl Shards {
    pub fn new(
        store: SharedStore,
        worker: Uuid,
        lease: Duration,
        calls: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            worker,
            lease,
            calls,
            cut_off: Mutex::new(HashMap::new()),
            held: Mutex::new(HashMap::new()),
            valid_until: Mutex::new(None),
            metrics,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<i16, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shards whose work may be started, with the leases under which it is claimed.
    pub fn startable(&self) -> HashMap<i16, Held> {
        if self.left().is_none_or(|left| left.is_zero()) {
            return HashMap::new();
        }
        self.held()
            .iter()
            .filter(|(_, held)| !held.leaving)
            .map(|(shard, held)| (*shard, held.clone()))
            .collect()
    }

    /// Whether work that was claimed under this lease may start now.
    pub fn may_start(&self, lease: Lease) -> bool {
        // A process that was stopped for a while must not go on as if nothing had happened.
        self.left().is_some_and(|left| !left.is_zero())
            && self
                .held()
                .get(&lease.shard)
                .is_some_and(|held| held.lease == lease && !held.leaving)
    }

    /// Whether a request may leave now under this lease: it is held, and has not run out by this process's own clock. A
    /// process that stood still wakes up in the middle of its work, and learns only here that others have gone on.
    pub fn may_send(&self, lease: Lease) -> bool {
        self.left().is_some_and(|left| !left.is_zero()) && self.holds(lease)
    }

    /// Whether this very lease is still held.
    pub fn holds(&self, lease: Lease) -> bool {
        self.held()
            .get(&lease.shard)
            .is_some_and(|held| held.lease == lease)
    }

    /// Renews for ever, until `stop`. Errors of the database never end it: they are retried until the lease has run out by
    /// the worker's own clock, and then every call of every shard is cancelled, because another worker may have taken over.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken, changed: Arc<tokio::sync::Notify>) {
        let mut failing = Spell::default();
        loop {
            // Counted from before the question: the store's lease can only last longer than this.
            let asked_at = Instant::now();
            let patience = self
                .left()
                .map_or(self.lease / 3, |left| left.min(self.lease / 3));
            let wait = match tokio::time::timeout(patience, self.renew(asked_at)).await {
                Ok(Ok(())) => {
                    if failing.ends() {
                        tracing::info!("the shards are leased again");
                    }
                    changed.notify_one();
                    self.lease / 3
                }
                Ok(Err(error)) => {
                    if failing.begins() {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the shards could not be leased; trying again until they are"
                        );
                    }
                    self.lease / 10
                }
                Err(_) => {
                    if failing.begins() {
                        tracing::warn!("leasing the shards takes too long; trying again until they are");
                    }
                    Duration::ZERO
                }
            };
            // Never longer than the lease lasts: it is given up in time even while the database is silent.
            let wait = self.left().map_or(wait, |left| wait.min(left));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            if self.left().is_some_and(|left| left.is_zero()) {
                tracing::error!(
                    "the lease ran out before it could be renewed: all calls in flight are cancelled"
                );
                self.drop_all();
                changed.notify_one();
            }
        }
    }

    /// Asks the store and takes over its answer. No release happens in between: a stale answer would take a shard back
    /// that has just been given away.
    pub async fn renew(&self, asked_at: Instant) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let leases = self
            .store
            .lease_shards(self.worker, self.lease, self.calls)
            .await?;
        *self.valid_until() = Some(asked_at + self.lease);
        self.adopt(&leases);
        Ok(())
    }

    fn valid_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the leases last yet; nothing when there are none.
    fn left(&self) -> Option<Duration> {
        self.valid_until()
            .map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Takes over what the store says: new leases in, lost ones cancelled, surplus ones marked for leaving.
    fn adopt(&self, leases: &Leases) {
        let now = Instant::now();
        let mut held = self.held();
        let mut cut_off = self.cut_off();
        cut_off.retain(|_, at| *at + self.calls > now);
        held.retain(|shard, known| {
            let kept = leases
                .held
                .iter()
                .any(|lease| lease.shard == *shard && lease.epoch == known.lease.epoch);
            if !kept {
                tracing::warn!(
                    shard,
                    "the shard was lost to another worker: its calls are cancelled"
                );
                known.lost.cancel();
                cut_off.insert(*shard, now);
            }
            kept
        });
        for lease in &leases.held {
            held.entry(lease.shard).or_insert_with(|| {
                let of_others = leases.unsettled.iter().find(|(shard, _)| *shard == lease.shard);
                let until = of_others
                    .map(|(_, left)| now + *left)
                    .max(cut_off.get(&lease.shard).map(|at| *at + self.calls));
                Held {
                    lease: *lease,
                    lost: CancellationToken::new(),
                    leaving: false,
                    since: now,
                    unsettled: until.map(|until| Unsettled {
                        taken: leases.store_now,
                        until,
                    }),
                }
            });
        }
        drop(cut_off);
        let staying = held.values().filter(|held| !held.leaving).count();
        let mut surplus = staying.saturating_sub(leases.fair_share);
        for known in held.values_mut().filter(|held| !held.leaving) {
            if surplus == 0 {
                break;
            }
            known.leaving = true;
            surplus -= 1;
        }
        self.count(held.len());
    }

    /// The lease of a shard that is held.
    #[cfg(test)]
    pub fn held_now(&self, shard: i16) -> Lease {
        self.held().get(&shard).expect("it is held").lease
    }

    /// The shards that are to be handed over.
    pub fn leaving(&self) -> Vec<i16> {
        self.held()
            .values()
            .filter(|held| held.leaving)
            .map(|held| held.lease.shard)
            .collect()
    }

    /// Hands shards over; nothing of them may be in flight.
    pub async fn release(&self, shards: &[i16]) {
        let _turn = self.turn.lock().await;
        match self.store.release_shards(self.worker, shards).await {
            Ok(()) => {
                let mut held = self.held();
                for shard in shards {
                    held.remove(shard);
                }
                self.count(held.len());
            }
            // They stay leaving, and are offered again.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "shards could not be handed over; trying again"
                );
            }
        }
    }

    /// Cancels everything: the leases are gone.
    pub fn drop_all(&self) {
        *self.valid_until() = None;
        let (mut held, mut cut_off) = (self.held(), self.cut_off());
        for (shard, held) in held.drain() {
            held.lost.cancel();
            cut_off.insert(shard, Instant::now());
        }
        self.count(0);
    }

    fn cut_off(&self) -> std::sync::MutexGuard<'_, HashMap<i16, Instant>> {
        self.cut_off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, shards: usize) {
        let shards = i64::try_from(shards).unwrap_or(i64::MAX);
        self.metrics.shards_owned.store(shards, Ordering::Relaxed);
    }

    /// Leaves for good: others take over at once. `in_flight` are shards whose calls were cut off.
    pub async fn retire(&self, in_flight: &[i16]) {
        self.drop_all();
        let retired = async {
            if !in_flight.is_empty() {
                self.store.abandon_shards(self.worker, in_flight).await?;
            }
            self.store.retire_worker(self.worker).await
        };
        if let Err(error) = retired.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the shards could not be released; others wait for the lease to end"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);
    const CALLS: Duration = Duration::from_secs(30);

    async fn shards() -> (tempfile::TempDir, Arc<Shards>) {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("amp.db").display());
        let store = crate::store::connect(&url, 1, Arc::new(crate::clock::SystemClock))
            .await
            .expect("a store");
        let metrics = Arc::new(Metrics::default());
        let shards = Shards::new(store, Uuid::from_u128(1), LEASE, CALLS, metrics);
        (folder, Arc::new(shards))
    }

    fn leases(epoch: i64) -> Leases {
        Leases {
            held: vec![Lease { shard: 3, epoch }],
            fair_share: 64,
            unsettled: Vec::new(),
            store_now: Time::from_micros(1_000),
        }
    }

    #[tokio::test]
    async fn a_shard_that_was_lost_and_won_back_between_two_renewals_was_lost() {
        let (_folder, shards) = shards().await;
        *shards.valid_until() = Some(Instant::now() + LEASE);
        shards.adopt(&leases(1));
        let before = shards.startable().remove(&3).expect("held");
        assert!(
            before.unsettled(Time::from_micros(0)).is_none(),
            "nothing was on its way"
        );
        shards.adopt(&leases(2));
        assert!(
            before.lost.is_cancelled(),
            "what ran under the old epoch is cancelled"
        );
        assert!(!shards.may_send(before.lease));
        let now = shards.startable().remove(&3).expect("held again");
        assert_eq!(now.lease.epoch, 2);
        assert!(!now.lost.is_cancelled());
        // What was cancelled may be with the provider, if it was accepted by then.
        assert!(
            now.unsettled(Time::from_micros(1_000))
                .is_some_and(|left| left <= CALLS)
        );
        assert_eq!(now.unsettled(Time::from_micros(1_001)), None);
    }

    #[tokio::test]
    async fn nothing_may_be_sent_once_the_lease_has_run_out_by_our_own_clock() {
        let (_folder, shards) = shards().await;
        shards.adopt(&leases(1));
        let lease = Lease { shard: 3, epoch: 1 };
        assert!(
            !shards.may_send(lease) && !shards.may_start(lease),
            "how long it lasts is not known"
        );
        *shards.valid_until() = Some(Instant::now() + LEASE);
        assert!(shards.may_send(lease) && shards.may_start(lease));
        *shards.valid_until() = Some(Instant::now());
        assert!(!shards.may_send(lease) && !shards.may_start(lease));
        assert!(shards.holds(lease), "the store may still say that it is held");
    }

    #[tokio::test]
    async fn calls_that_were_cut_off_when_the_lease_ran_out_may_still_be_on_their_way() {
        let (_folder, shards) = shards().await;
        *shards.valid_until() = Some(Instant::now() + LEASE);
        shards.adopt(&leases(1));
        shards.drop_all();
        *shards.valid_until() = Some(Instant::now() + LEASE);
        // Nobody else took it meanwhile: the epoch is the same.
        shards.adopt(&leases(1));
        let held = shards.startable().remove(&3).expect("held again");
        assert!(held.unsettled(Time::from_micros(500)).is_some());
    }
}
