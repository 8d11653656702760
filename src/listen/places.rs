//! The places for connections, and who leaves when they are all taken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::socket::Watch;

/// How often somebody who may leave is looked for while all are at work.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Of so many places one more connection leaves at a time: looking through all of them for each new one would take too long.
const AT_ONCE: usize = 128;

/// The places.
pub(super) struct Places {
    most: usize,
    free: Arc<Semaphore>,
    taken: Arc<Taken>,
    told: AtomicBool,
}

/// The connections, by number.
#[derive(Default)]
struct Taken(Mutex<(u64, HashMap<u64, Arc<Watch>>)>);

impl Taken {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Arc<Watch>>)> {
        // Nothing that is done under it can leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, which is free again when this is dropped.
pub(super) struct Place {
    number: u64,
    watch: Arc<Watch>,
    taken: Arc<Taken>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// What the connection is doing.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.lock().1.remove(&self.number);
    }
}

impl Places {
    pub fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            most,
            free: Arc::new(Semaphore::new(most)),
            taken: Arc::default(),
            told: AtomicBool::new(false),
        }
    }

    /// A place for a connection that begins now and has `read` for its first request. Waits while there is none.
    pub async fn take(&self, read: Duration) -> Place {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                // Told again only after a while with room.
                if self.free.available_permits() > self.most / 4 {
                    self.told.store(false, Ordering::Relaxed);
                }
                break Some(permit);
            }
            if !self.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    connections = self.most,
                    "all connections are taken: those that have been silent longest are closed, and without one new clients wait. More may be open with AMP_MAX_CONNECTIONS"
                );
            }
            self.make_room();
            let waited = tokio::time::timeout(LOOK_AGAIN, Arc::clone(&self.free).acquire_owned());
            match waited.await {
                Ok(Ok(permit)) => break Some(permit),
                // It is never closed; and without a bound is better than without service.
                Ok(Err(_)) => break None,
                Err(_) => {}
            }
        };
        let watch = Arc::new(Watch::new(read));
        let mut taken = self.taken.lock();
        taken.0 += 1;
        let number = taken.0;
        taken.1.insert(number, Arc::clone(&watch));
        Place {
            number,
            watch,
            taken: Arc::clone(&self.taken),
            _permit: permit,
        }
    }

    /// Tells those to leave that have been without a request for longest.
    pub fn make_room(&self) {
        let taken = self.taken.lock();
        let quiet = taken
            .1
            .values()
            .filter_map(|watch| Some((watch.quiet_since()?, watch)));
        let mut quiet: Vec<_> = quiet.collect();
        let leaving = (self.most / AT_ONCE + 1).min(quiet.len());
        if leaving > 0 {
            quiet.select_nth_unstable_by_key(leaving - 1, |(since, _)| *since);
        }
        for (_, watch) in &quiet[..leaving] {
            watch.leave();
        }
    }
}
