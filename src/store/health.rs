//! Whether the store takes writes: what is known from the last ones. It is down from the first one that failed until one
//! succeeds, and both are said once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

use super::{Result, StoreError};

/// A write so long ago says nothing any more: before a request leaves whose outcome must be recorded, a little is written.
const FRESH: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
struct HealthState {
    /// When a write was begun that has succeeded since.
    wrote_at: Option<Instant>,
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    /// When the last write began that has failed.
    tried_at: Instant,
    why: String,
}

/// See the module. Shared by all that write.
#[derive(Debug)]
pub struct Health {
    /// Names this process in what it writes to find out.
    pub process: Uuid,
    state: Mutex<HealthState>,
    /// One process asks the store once at a time.
    pub turn: tokio::sync::Mutex<()>,
    /// Rung when it may be down: somebody should ask.
    pub in_doubt: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            process: Uuid::new_v4(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            in_doubt: Notify::new(),
        }
    }
}

impl Health {
    fn lock(&self) -> std::sync::MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a write that began at this time.
    pub fn note<T>(&self, began: Instant, result: &Result<T>) {
        match result {
            Ok(_) => self.wrote(began),
            Err(error) if error.is_outage() => self.failed(began, error),
            Err(_) => {}
        }
    }

    fn wrote(&self, began: Instant) {
        let ended = {
            let mut state = self.lock();
            state.wrote_at = state.wrote_at.max(Some(began));
            state.down.take()
        };
        if let Some(down) = ended {
            tracing::warn!(
                down_ms = u64::try_from(down.since.elapsed().as_millis()).unwrap_or(u64::MAX),
                "the store takes writes again"
            );
        }
    }

    fn failed(&self, began: Instant, error: &StoreError) {
        let is_new = {
            let mut state = self.lock();
            state.wrote_at = None;
            match &mut state.down {
                Some(down) => {
                    down.tried_at = down.tried_at.max(began);
                    down.why = reason(error);
                    false
                }
                None => {
                    let why = reason(error);
                    state.down = Some(Down {
                        since: Instant::now(),
                        tried_at: began,
                        why,
                    });
                    true
                }
            }
        };
        if is_new {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the store takes no writes: synchronous writes are refused and nothing is sent until it does"
            );
            self.in_doubt.notify_one();
        }
    }

    /// Why the store takes no writes; `None` while it does, as far as is known.
    #[must_use]
    pub fn why_down(&self) -> Option<String> {
        self.lock().down.as_ref().map(|down| down.why.clone())
    }

    /// Whether a write has succeeded a moment ago, and none has failed since.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.last_write().is_some_and(|ago| ago < FRESH)
    }

    /// How long ago the last write began that succeeded; nothing when one has failed since, or there was none.
    #[must_use]
    pub fn last_write(&self) -> Option<Duration> {
        self.lock().wrote_at.map(|at| at.elapsed())
    }

    /// Whether the store is down, and was tried since: asking again would tell nothing new.
    #[must_use]
    pub fn failed_since(&self, time: Instant) -> bool {
        self.lock()
            .down
            .as_ref()
            .is_some_and(|down| down.tried_at >= time)
    }

    /// Whether an error is worth a line of its own in the log. While the store is down that has been said, and everything
    /// that needs it fails, again and again.
    #[must_use]
    pub fn is_worth_a_line(&self, error: &StoreError) -> bool {
        if !error.is_transient() {
            return true;
        }
        if self.lock().down.is_some() {
            return false;
        }
        self.in_doubt.notify_one();
        true
    }
}

/// For people: the database's own words, where it has any.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(cause) | StoreError::Undecided(cause) => format!("{error}: {cause}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage() -> Result<()> {
        Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
    }

    #[test]
    fn the_store_is_down_from_a_failed_write_until_one_succeeds() {
        let health = Health::default();
        assert!(
            health.why_down().is_none() && !health.is_fresh(),
            "nothing is known yet"
        );
        health.note(Instant::now(), &Ok(()));
        assert!(health.is_fresh());
        health.note(Instant::now(), &outage());
        assert!(health.why_down().is_some() && !health.is_fresh());
        assert!(!health.is_worth_a_line(&StoreError::Busy), "it has been said");
        health.note(Instant::now(), &Ok(()));
        assert!(health.why_down().is_none() && health.is_fresh());
    }

    #[test]
    fn what_is_wrong_with_one_write_says_nothing_of_the_store() {
        let health = Health::default();
        health.note::<()>(Instant::now(), &Err(StoreError::Conflict("taken".to_owned())));
        health.note::<()>(Instant::now(), &Err(StoreError::Busy));
        health.note::<()>(Instant::now(), &Err(StoreError::Unstorable));
        assert!(health.why_down().is_none());
    }
}
