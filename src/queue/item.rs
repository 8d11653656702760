//! What a worker has in hand with one queue item, and what came of an attempt at it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::conclude::LaneEffect;
use super::shard::Shards;
use crate::store::{BeginAttempt, Claimed, Ending, Lease, NewAttempt, StoreError};
use crate::writes::{Writes, never_left};

/// How long an item waits that this process cannot use.
pub(super) const UNUSABLE_WAIT: Duration = Duration::from_secs(30);

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Attempted {
    /// What happens to the item.
    pub ending: Ending,
    /// What happens to the lane.
    pub effect: LaneEffect,
    /// True when the credentials are dead.
    pub dead_credential: bool,
    /// The row of the attempt.
    pub attempt: Option<NewAttempt>,
    /// Of a batch: the keys of the records that have ended.
    pub freed: Option<Vec<i64>>,
    /// The call got no answer, and may still take effect.
    pub cut_off: Option<CutOff>,
    /// One word for the log.
    pub class: &'static str,
}

/// A call that nobody waits for any more, and that may still take effect.
#[derive(Debug, Clone, Default)]
pub(super) struct CutOff {
    /// The keys of its records.
    pub keys: Vec<i64>,
    /// How long yet.
    pub left: Duration,
}

impl CutOff {
    /// `left` is how long the call may still take effect; `None` when it has ended.
    pub fn of(left: Option<Duration>, keys: impl IntoIterator<Item = i64>) -> Option<Self> {
        let left = left.filter(|left| !left.is_zero())?;
        let keys: Vec<i64> = keys.into_iter().collect();
        (!keys.is_empty()).then_some(Self { keys, left })
    }
}

impl Attempted {
    pub fn without_call(ending: Ending, class: &'static str) -> Self {
        Self {
            ending,
            effect: LaneEffect::None,
            dead_credential: false,
            attempt: None,
            freed: None,
            cut_off: None,
            class,
        }
    }
}

/// The time until the deadline. While the lane was held the clock stood still, for work that was accepted before.
pub(super) fn left(item: &Claimed, claimed_at: Instant) -> Duration {
    let Some(deadline) = item.deadline else {
        return Duration::ZERO;
    };
    let stood_still = match (item.held_from, item.held_until) {
        (Some(from), Some(until)) => until.since(from.max(item.accept_time)),
        _ => Duration::ZERO,
    };
    deadline
        .after(stood_still)
        .since(item.store_now)
        .saturating_sub(claimed_at.elapsed())
}

/// The row of the request that has left for an item: should performing it panic, nobody knows what became of that.
#[derive(Debug, Default)]
pub(super) struct Departed(Mutex<Option<NewAttempt>>);

impl Departed {
    /// Right before the request leaves.
    pub fn note(&self, row: NewAttempt) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(row);
    }

    /// The row of an attempt that has ended, dated as that of its beginning: by the store's clock.
    pub fn dated(&self, row: NewAttempt) -> NewAttempt {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start_time = begun.as_ref().map_or(row.start_time, |begun| begun.start_time);
        NewAttempt { start_time, ..row }
    }

    /// What has left.
    pub fn take(&self) -> Option<NewAttempt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Who performs an item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder<'a> {
    /// The worker's shards.
    pub shards: &'a Shards,
    /// The lease under which the item was claimed.
    pub lease: Lease,
    /// The id of the attempt.
    pub attempt_id: Uuid,
    /// Takes note of what leaves.
    pub departed: &'a Departed,
    /// True when the item is past its deadline: it is ended out of its turn, and not sent.
    pub overdue: bool,
}

/// Why nothing was sent and nothing follows: the item stays as it is.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The store failed.
    Store(StoreError),
    /// Another worker has the shard by now.
    Lost,
    /// It was to be ended at its deadline, which has moved.
    NotYet,
    /// The store does not say whether it has noted that the write is about to leave, so it did not. With the row that says so.
    Undecided(Box<NewAttempt>),
}

impl Holder<'_> {
    /// The last look right before a request leaves: reading what comes before the write took its time, and a process can
    /// stand still. `row` is of the attempt; `sent` of one that must not be repeated blindly: it is durable before the
    /// request leaves, so that whoever finds this item after a crash knows that it may have been applied.
    ///
    /// # Errors
    /// Nothing may be sent: the lease is no longer held, or the store failed.
    pub async fn leave(
        &self,
        writes: &Writes,
        row: NewAttempt,
        sent: Option<NewAttempt>,
    ) -> Result<(), Unsent> {
        self.may_leave()?;
        let Some(attempt) = sent else {
            // Nothing is noted of it, so nothing has shown yet that its end can be recorded.
            writes.must_take_writes().await?;
            self.departed.note(row);
            return Ok(());
        };
        let unsent = never_left(&attempt);
        self.departed.note(row);
        let begin = BeginAttempt {
            worker: self.shards.worker,
            lease: self.lease,
            attempt,
        };
        match writes.begin_attempt(begin).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unsent::Lost),
            Err(StoreError::Undecided(_)) => Err(Unsent::Undecided(Box::new(unsent))),
            Err(error) => Err(error.into()),
        }
    }

    fn may_leave(&self) -> Result<(), Unsent> {
        if self.shards.may_send(self.lease) {
            Ok(())
        } else {
            Err(Unsent::Lost)
        }
    }
}

impl From<StoreError> for Unsent {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::clock::{SystemClock, Time};
    use crate::connectors::{Catalog, SharedCatalog};
    use crate::outbound::{Outbound, OutboundOptions};
    use crate::store::{SharedStore, connect};
    use crate::vault::{Vault, generate_key};
    use crate::writes::backlog::QueueLimits;

    fn row() -> NewAttempt {
        NewAttempt::sent(
            Uuid::from_u128(7),
            Uuid::nil(),
            Uuid::nil(),
            3,
            Time::from_micros(5),
        )
    }

    async fn store(folder: &std::path::Path) -> SharedStore {
        let url = format!("sqlite://{}", folder.join("test.db").display());
        connect(&url, 1, Arc::new(SystemClock))
            .await
            .expect("the store opens")
    }

    fn writes(store: &SharedStore) -> Writes {
        let catalog = Catalog::load(None, &BTreeMap::new()).expect("the built-in files");
        let key = generate_key().expect("random");
        let outbound = Outbound::new(OutboundOptions {
            timeout: Duration::from_secs(1),
            max_response_bytes: 1 << 20,
            trusted_urls: std::collections::BTreeMap::new(),
        });
        Writes::new(
            store.clone(),
            Arc::new(SharedCatalog::new(catalog)),
            Arc::new(Vault::from_keys(&key).expect("a key")),
            outbound.expect("a client"),
            Arc::new(SystemClock),
            QueueLimits {
                installation: 9,
                project: 9,
            },
            1,
        )
    }

    /// What came of the last look of a worker whose lease lasts so long; whether it left, and what is durable of it.
    async fn last_look(lease: Duration, epoch: i64, must_not_repeat: bool) -> (bool, bool, usize) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path()).await;
        let writes = writes(&store);
        let shards = Shards::new(store.clone(), Uuid::from_u128(1), lease, lease, Arc::default());
        shards.renew(Instant::now()).await.expect("leased");
        let (departed, row) = (Departed::default(), row());
        let held = shards.held_now(0);
        let holder = Holder {
            shards: &shards,
            lease: Lease {
                epoch: held.epoch + epoch,
                ..held
            },
            attempt_id: row.id,
            departed: &departed,
            overdue: false,
        };
        let sent = must_not_repeat.then(|| row.clone());
        let left = match holder.leave(&writes, row.clone(), sent).await {
            Ok(()) => true,
            Err(Unsent::Lost) => false,
            Err(error) => panic!("{error:?}"),
        };
        let durable = store.list_attempts(row.project_id, row.operation_id).await;
        (left, departed.take().is_some(), durable.expect("read").len())
    }

    #[tokio::test]
    async fn nothing_leaves_under_a_lease_that_has_run_out_between_the_read_and_the_write() {
        let minute = Duration::from_secs(60);
        assert_eq!(last_look(minute, 0, false).await, (true, true, 0));
        assert_eq!(last_look(minute, 0, true).await, (true, true, 1));
        for must_not_repeat in [false, true] {
            let ran_out = last_look(Duration::ZERO, 0, must_not_repeat).await;
            assert_eq!(ran_out, (false, false, 0), "the keeper has not noticed it yet");
            let anothers = last_look(minute, 1, must_not_repeat).await;
            assert_eq!(anothers, (false, false, 0), "it is held under another epoch");
        }
    }
}
