//! Group commit: requests that arrive while a commit is under way share the next one.
//!
//! There is no timer. An idle store commits a single request at once; a busy one takes what has queued up meanwhile, so a
//! request waits for about one commit at most. This is where the speed of accepting comes from.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::{Health, Result, StoreError};
use crate::metrics::{Metrics, seconds};

/// So many members share one commit at most.
const MAX_BATCH: usize = 100;
/// So many members may wait; beyond it the answer is [`StoreError::Busy`], at once.
const CAPACITY: usize = 4_096;

/// How long a commit may take before the store counts as down.
const FLUSH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(25);

/// Writes a batch, all or none, and answers one result per member, in order.
pub type Flush<T, R> = Arc<dyn for<'a> Fn(&'a [T]) -> BoxFuture<'a, Result<Vec<R>>> + Send + Sync>;

/// Collects members of one kind into commits. Cheap to clone; the last clone's drop lets the task end.
pub struct Batcher<T, R> {
    sender: mpsc::Sender<(T, oneshot::Sender<Result<R>>)>,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
        }
    }
}

impl<T, R> std::fmt::Debug for Batcher<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher")
            .field("free", &self.sender.capacity())
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts `writers` tasks that commit with `flush`. One is right for SQLite, two for Postgres.
    #[must_use]
    pub fn start(writers: usize, flush: Flush<T, R>) -> Self {
        Self::start_measured(writers, flush, "other", Arc::default(), Arc::default())
    }

    /// As [`Batcher::start`], with the commits counted and timed as this `kind`, and what they say of the store noted.
    #[must_use]
    pub fn start_measured(
        writers: usize,
        flush: Flush<T, R>,
        kind: &'static str,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        for _ in 0..writers.max(1) {
            tokio::spawn(run(
                Arc::clone(&receiver),
                Arc::clone(&flush),
                kind,
                Arc::clone(&metrics),
                Arc::clone(&health),
            ));
        }
        Self { sender }
    }

    /// Hands one member over and waits until it is committed.
    ///
    /// # Errors
    /// `Busy` when too many wait already (nothing happened); else what the store says of this member. `Undecided` says that
    /// it may have been committed, or may yet be: it was not tried again.
    pub async fn submit(&self, member: T) -> Result<R> {
        let (reply, answer) = oneshot::channel();
        self.sender
            .try_send((member, reply))
            .map_err(|_| StoreError::Busy)?;
        // The writer answers every member it has taken; it is gone only when the process ends.
        answer
            .await
            .unwrap_or(Err(StoreError::Undecided(sqlx::Error::WorkerCrashed)))
    }
}

type Member<T, R> = (T, oneshot::Sender<Result<R>>);

async fn run<T, R>(
    receiver: Arc<tokio::sync::Mutex<mpsc::Receiver<Member<T, R>>>>,
    flush: Flush<T, R>,
    kind: &'static str,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) {
    loop {
        let mut waiting = Vec::new();
        // The lock is let go before the commit, so that a second writer collects meanwhile.
        if receiver.lock().await.recv_many(&mut waiting, MAX_BATCH).await == 0 {
            return;
        }
        let (members, replies): (Vec<T>, Vec<_>) = waiting.into_iter().unzip();
        // A server that has vanished must not hold up everyone for as long as the network takes to notice.
        let started = std::time::Instant::now();
        let flushed = in_time(flush(&members)).await;
        health.note(started, &flushed);
        metrics
            .commit_seconds
            .observe(&[kind], seconds(started.elapsed()));
        metrics.commit_members.observe(&[kind], members.len() as f64);
        match flushed {
            Ok(results) => {
                for (reply, result) in replies.into_iter().zip(results) {
                    // A requester that has gone away needs no answer; its row is committed all the same.
                    let _ = reply.send(Ok(result));
                }
            }
            // While the store is down every member fails alike; trying each alone would only take longer. And of a commit
            // without an answer nobody knows whether it has happened: tried again, it could happen twice.
            Err(error @ (StoreError::Unavailable(_) | StoreError::Undecided(_))) => {
                let (cause, undecided) = match &error {
                    StoreError::Undecided(cause) => (cause.to_string(), true),
                    StoreError::Unavailable(cause) => (cause.to_string(), false),
                    other => (other.to_string(), false),
                };
                tracing::debug!(
                    error = cause,
                    kind,
                    members = members.len(),
                    undecided,
                    "a group commit failed"
                );
                for reply in replies {
                    let cause = sqlx::Error::Protocol(cause.clone());
                    let error = if undecided {
                        StoreError::Undecided(cause)
                    } else {
                        StoreError::Unavailable(cause)
                    };
                    let _ = reply.send(Err(error));
                }
            }
            // One bad member must not fail its neighbours: each gets its own commit.
            Err(_) => {
                for (member, reply) in members.iter().zip(replies) {
                    let result = in_time(flush(std::slice::from_ref(member))).await;
                    let single = result.and_then(|mut results| {
                        results.pop().ok_or(StoreError::Defect(sqlx::Error::RowNotFound))
                    });
                    let _ = reply.send(single);
                }
            }
        }
    }
}

/// What takes too long has not failed: it may be on its way.
async fn in_time<R>(flushing: BoxFuture<'_, Result<Vec<R>>>) -> Result<Vec<R>> {
    tokio::time::timeout(FLUSH_TIMEOUT, flushing)
        .await
        .unwrap_or_else(|_| {
            let text = "the database has not answered in time".to_owned();
            Err(StoreError::Undecided(sqlx::Error::Protocol(text)))
        })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn flush(commits: &Arc<AtomicUsize>) -> Flush<u32, u32> {
        let commits = Arc::clone(commits);
        Arc::new(move |members: &[u32]| {
            commits.fetch_add(1, Ordering::SeqCst);
            let answer = if members.contains(&13) {
                Err(StoreError::Conflict("13".to_owned()))
            } else {
                Ok(members.iter().map(|member| member * 2).collect())
            };
            Box::pin(async move {
                tokio::task::yield_now().await;
                answer
            })
        })
    }

    #[tokio::test]
    async fn members_that_wait_share_a_commit_and_each_gets_its_own_answer() {
        let commits = Arc::new(AtomicUsize::new(0));
        let batcher = Batcher::start(1, flush(&commits));
        let answers = futures_util::future::join_all((20..70).map(|n| batcher.submit(n))).await;
        let answers: Vec<u32> = answers
            .into_iter()
            .map(|answer| answer.expect("committed"))
            .collect();
        assert_eq!(answers, (20..70).map(|n| n * 2).collect::<Vec<_>>());
        assert!(
            commits.load(Ordering::SeqCst) < 50,
            "50 members must not need 50 commits"
        );
    }

    #[tokio::test]
    async fn a_bad_member_fails_alone() {
        let commits = Arc::new(AtomicUsize::new(0));
        let batcher = Batcher::start(1, flush(&commits));
        let answers = futures_util::future::join_all((10..20).map(|n| batcher.submit(n))).await;
        let failed: Vec<usize> = answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| answer.is_err())
            .map(|(index, _)| index)
            .collect();
        assert_eq!(failed, vec![3], "only 13, the fourth, fails");
    }

    #[tokio::test]
    async fn a_commit_without_an_answer_is_not_tried_again_for_any_of_its_members() {
        let commits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&commits);
        let health = Arc::new(Health::default());
        let flush: Flush<u32, u32> = Arc::new(move |_: &[u32]| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                tokio::task::yield_now().await;
                Err(StoreError::Undecided(sqlx::Error::WorkerCrashed))
            })
        });
        let batcher = Batcher::start_measured(1, flush, "other", Arc::default(), Arc::clone(&health));
        let answers = futures_util::future::join_all((0..3).map(|n| batcher.submit(n))).await;
        for answer in answers {
            assert!(matches!(answer, Err(StoreError::Undecided(_))), "{answer:?}");
        }
        assert!(
            commits.load(Ordering::SeqCst) <= 2,
            "each member was in one commit"
        );
        assert!(health.why_down().is_some(), "such a store is down");
    }
}
