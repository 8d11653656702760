//! What this process is performing for the queue, and what it must not start any more.
//!
//! A worker enters each item before it performs it, and leaves it when its end is stored. Whoever cancels bars the item first:
//! then either it has been entered already, and cannot be cancelled, or it will never be entered, also not from memory.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

/// So many barred operations are remembered. A worker reads far fewer ahead.
const BARRED: usize = 100_000;

#[derive(Debug, Default)]
struct Sets {
    running: HashSet<Uuid>,
    barred: HashSet<Uuid>,
    oldest: VecDeque<Uuid>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<Mutex<Sets>>);

/// An operation that is being performed; dropping it says that its end is stored, or that another worker has it.
#[derive(Debug)]
pub struct Entered {
    running: Running,
    operation_id: Uuid,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.lock().running.remove(&self.operation_id);
    }
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to perform an operation; `None` when it is barred.
    #[must_use]
    pub fn enter(&self, operation_id: Uuid) -> Option<Entered> {
        let mut sets = self.lock();
        if sets.barred.contains(&operation_id) {
            return None;
        }
        sets.running.insert(operation_id);
        Some(Entered {
            running: self.clone(),
            operation_id,
        })
    }

    /// Bars an operation; false when it is being performed.
    #[must_use]
    pub fn bar(&self, operation_id: Uuid) -> bool {
        let mut sets = self.lock();
        if sets.running.contains(&operation_id) {
            return false;
        }
        if sets.barred.insert(operation_id) {
            sets.oldest.push_back(operation_id);
            if sets.oldest.len() > BARRED
                && let Some(oldest) = sets.oldest.pop_front()
            {
                sets.barred.remove(&oldest);
            }
        }
        true
    }

    /// Lets a barred operation be performed after all.
    pub fn unbar(&self, operation_id: Uuid) {
        let mut sets = self.lock();
        if sets.barred.remove(&operation_id) {
            sets.oldest.retain(|barred| *barred != operation_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_either_performed_or_barred() {
        let (running, id) = (Running::default(), Uuid::from_u128(1));
        let entered = running.enter(id).expect("it may run");
        assert!(!running.bar(id), "it is being performed");
        drop(entered);
        assert!(running.bar(id));
        assert!(running.bar(id), "twice is once");
        assert!(running.enter(id).is_none());
        assert!(running.enter(id).is_none(), "also the next time");
        running.unbar(id);
        assert!(running.enter(id).is_some());
    }
}
