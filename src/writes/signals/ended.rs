//! Waiting for operations to end, here or in another process.
//!
//! Whoever waits leaves its operation in a list. An end in this process rings at once; for ends in other processes one
//! statement asks for all who wait, so that waiting costs no connection and hardly a query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

use crate::store::SharedStore;

/// So many requests may wait in one process.
const MAX_WAITING: usize = 2_000;
/// How often the store is asked, while anybody waits.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Entry {
    project_id: Uuid,
    waiting: usize,
    new_work: Arc<Notify>,
}

#[derive(Debug, Default)]
struct List {
    operations: HashMap<Uuid, Entry>,
    waiting: usize,
}

/// Those who wait for the end of an operation.
#[derive(Debug, Clone, Default)]
pub struct Finished {
    list: Arc<Mutex<List>>,
    /// Rung when the first one begins to wait.
    begun: Arc<Notify>,
}

/// One who waits; dropping it ends the waiting.
#[derive(Debug)]
pub struct Waiting {
    finished: Finished,
    operation_id: Uuid,
    new_work: Arc<Notify>,
}

impl Waiting {
    /// Resolves when the operation has ended.
    pub async fn ended(&self) {
        self.new_work.notified().await;
        // Others who wait for the same one are told by this one.
        self.new_work.notify_one();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut list = self.finished.lock();
        list.waiting -= 1;
        if let Some(entry) = list.operations.get_mut(&self.operation_id) {
            entry.waiting -= 1;
            if entry.waiting == 0 {
                list.operations.remove(&self.operation_id);
            }
        }
    }
}

impl Finished {
    /// Starts asking `store`, for as long as this process lives.
    #[must_use]
    pub fn start(store: SharedStore) -> Self {
        let finished = Self::default();
        let (list, begun) = (Arc::downgrade(&finished.list), Arc::clone(&finished.begun));
        tokio::spawn(async move {
            let mut failing = crate::telemetry::Spell::default();
            loop {
                let asked: Vec<(Uuid, Uuid)> = match list.upgrade() {
                    None => return,
                    Some(list) => list
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .operations
                        .iter()
                        .map(|(id, entry)| (entry.project_id, *id))
                        .collect(),
                };
                if asked.is_empty() {
                    begun.notified().await;
                    continue;
                }
                match (store.which_ended(&asked).await, list.upgrade()) {
                    (_, None) => return,
                    (Ok(ended), Some(list)) => {
                        failing.ends();
                        ring(&list, ended);
                    }
                    // It has been said.
                    (Err(_), _) if !failing.begins() => {}
                    (Err(error), _) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the store does not say what has ended; trying again"
                        );
                    }
                }
                tokio::time::sleep(POLL).await;
            }
        });
        finished
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in the list; `None` when too many wait already.
    #[must_use]
    pub fn wait_for(&self, project_id: Uuid, operation_id: Uuid) -> Option<Waiting> {
        let mut list = self.lock();
        if list.waiting >= MAX_WAITING {
            return None;
        }
        list.waiting += 1;
        let entry = list.operations.entry(operation_id).or_insert_with(|| Entry {
            project_id,
            waiting: 0,
            new_work: Arc::new(Notify::new()),
        });
        entry.waiting += 1;
        let new_work = Arc::clone(&entry.new_work);
        drop(list);
        self.begun.notify_one();
        Some(Waiting {
            finished: self.clone(),
            operation_id,
            new_work,
        })
    }

    /// Tells those who wait that these have ended.
    pub fn ended(&self, operations: impl IntoIterator<Item = Uuid>) {
        ring(&self.list, operations);
    }
}

fn ring(list: &Mutex<List>, ended: impl IntoIterator<Item = Uuid>) {
    let list = list.lock().unwrap_or_else(PoisonError::into_inner);
    for operation in ended {
        if let Some(entry) = list.operations.get(&operation) {
            entry.new_work.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_for_an_operation_is_told_and_leaves_nothing_behind() {
        let finished = Finished::default();
        let (project, operation) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let waiting: Vec<Waiting> = (0..3)
            .filter_map(|_| finished.wait_for(project, operation))
            .collect();
        finished.ended([Uuid::from_u128(9), operation]);
        for one in &waiting {
            tokio::time::timeout(Duration::from_secs(10), one.ended())
                .await
                .expect("told");
        }
        drop(waiting);
        assert!(finished.lock().operations.is_empty());
        assert_eq!(finished.lock().waiting, 0);
    }

    #[tokio::test]
    async fn only_so_many_may_wait() {
        let finished = Finished::default();
        let waiting: Vec<Waiting> = (0..MAX_WAITING as u128)
            .filter_map(|n| finished.wait_for(Uuid::nil(), Uuid::from_u128(n)))
            .collect();
        assert_eq!(waiting.len(), MAX_WAITING);
        assert!(finished.wait_for(Uuid::nil(), Uuid::from_u128(0)).is_none());
        drop(waiting);
        assert!(finished.wait_for(Uuid::nil(), Uuid::from_u128(0)).is_some());
    }
}
