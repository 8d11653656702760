//! How much waits, and where too much does: new work is refused before memory or disk suffers.
//!
//! Nothing is counted for a request. The store is counted in the background, seldom enough to cost little; in between this
//! process adds what it accepts and takes off what it ends. What other processes accept meanwhile it does not see: the
//! limits are kept within what they accept between two counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::store::{LaneBacklog, SharedStore, StoreError};

/// How many asynchronous writes may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Of one customer's connection.
    pub installation: u64,
    /// Of one project.
    pub project: u64,
}

/// So many wait that no more are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} asynchronous writes of this {of} wait already, and no more are taken")]
pub struct QueueFull {
    /// `installation` or `project`.
    pub of: &'static str,
    /// The limit.
    pub limit: u64,
}

#[derive(Debug, Default)]
struct Counts {
    lanes: HashMap<Uuid, i64>,
    projects: HashMap<Uuid, i64>,
}

impl Counts {
    fn add(&mut self, project_id: Uuid, lane_id: Uuid, count: i64) {
        *self.lanes.entry(lane_id).or_default() += count;
        *self.projects.entry(project_id).or_default() += count;
    }
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    /// What has changed since the store began to count.
    since: Option<HashMap<(Uuid, Uuid), i64>>,
}

/// What waits, as far as this process knows.
#[derive(Debug)]
pub struct Backlog {
    limits: QueueLimits,
    state: Mutex<State>,
}

/// A place in the queue; given up when it is dropped, unless it was taken.
#[derive(Debug)]
pub struct Place<'a> {
    backlog: &'a Backlog,
    project_id: Uuid,
    lane_id: Uuid,
    taken: bool,
}

impl Place<'_> {
    /// The write is in the queue.
    pub fn take(mut self) {
        self.taken = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.backlog.add(self.project_id, self.lane_id, -1);
        }
    }
}

impl Backlog {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            state: Mutex::new(State::default()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more write.
    ///
    /// # Errors
    /// When a limit has been reached.
    pub fn reserve(&self, project_id: Uuid, lane_id: Uuid) -> Result<Place<'_>, QueueFull> {
        let mut state = self.state();
        let count = |map: &HashMap<Uuid, i64>, id| map.get(&id).copied().unwrap_or(0).max(0).unsigned_abs();
        for (of, waiting, limit) in [
            (
                "installation",
                count(&state.counts.lanes, lane_id),
                self.limits.installation,
            ),
            (
                "project",
                count(&state.counts.projects, project_id),
                self.limits.project,
            ),
        ] {
            if waiting >= limit {
                return Err(QueueFull { of, limit });
            }
        }
        state.note(project_id, lane_id, 1);
        Ok(Place {
            backlog: self,
            project_id,
            lane_id,
            taken: false,
        })
    }

    /// Work has come (or gone) that this process knows of.
    pub fn add(&self, project_id: Uuid, lane_id: Uuid, count: i64) {
        self.state().note(project_id, lane_id, count);
    }

    /// Counts anew. Answers what the store said.
    ///
    /// # Errors
    /// When the store fails; then the old counts go on.
    pub async fn refresh(&self, store: &SharedStore) -> Result<Vec<LaneBacklog>, StoreError> {
        self.state().since = Some(HashMap::new());
        let counted = store.backlog().await;
        let mut state = self.state();
        let since = state.since.take().unwrap_or_default();
        let lanes = counted?;
        state.counts = Counts::default();
        for lane in &lanes {
            state.counts.add(lane.project_id, lane.lane_id, lane.items);
        }
        for ((project_id, lane_id), count) in since {
            state.counts.add(project_id, lane_id, count);
        }
        Ok(lanes)
    }
}

impl State {
    fn note(&mut self, project_id: Uuid, lane_id: Uuid, count: i64) {
        self.counts.add(project_id, lane_id, count);
        if let Some(since) = &mut self.since {
            *since.entry((project_id, lane_id)).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const C: Uuid = Uuid::from_u128(3);

    fn backlog() -> Backlog {
        Backlog::new(QueueLimits {
            installation: 2,
            project: 3,
        })
    }

    #[test]
    fn each_limit_is_kept_and_a_place_that_was_not_taken_is_free_again() {
        let backlog = backlog();
        backlog.reserve(A, A).expect("room").take();
        drop(backlog.reserve(A, A).expect("room"));
        backlog.reserve(A, A).expect("room again").take();
        let full = backlog.reserve(A, A).map(drop);
        assert_eq!(
            full,
            Err(QueueFull {
                of: "installation",
                limit: 2
            })
        );
        backlog.reserve(A, B).expect("another installation").take();
        let full = backlog.reserve(A, C).map(drop);
        assert_eq!(
            full,
            Err(QueueFull {
                of: "project",
                limit: 3
            })
        );
        backlog.reserve(B, C).expect("another project").take();
        backlog.add(A, A, -1);
        backlog.reserve(A, A).expect("one has ended").take();
    }
}
