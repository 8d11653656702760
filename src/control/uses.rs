//! When API keys were last used: coarse, and beside the requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::Projects;
use crate::clock::Time;
use crate::store::{ApiKey, KeyUse, StoreError};

/// Uses of a key are noted so far apart, whichever node it is used on.
const APART: Duration = Duration::from_secs(60);
/// So many keys are noted in one transaction.
const AT_ONCE: usize = 500;

/// When a key was last noted as used, as far as this process knows: what a request looks at.
#[derive(Debug)]
pub(super) struct Noted(AtomicI64);

impl Noted {
    pub(super) const fn of(key: &ApiKey) -> Self {
        Self(AtomicI64::new(match key.last_used_time {
            Some(time) => time.as_micros(),
            None => i64::MIN,
        }))
    }

    /// Whether this use is to be noted: for one request a minute it is.
    fn is_due(&self, now: Time) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let is_old = last < now.before(APART).as_micros();
        // Of those who ask at the same time one wins.
        is_old
            && self
                .0
                .compare_exchange(last, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// Uses that the store does not know yet, by key.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<Uuid, KeyUse>>);

impl Uses {
    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, KeyUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key was used: no more than a look at a number, but for one request a minute.
    pub(super) fn note(&self, key: &ApiKey, noted: &Noted, now: Time) {
        if noted.is_due(now) {
            let used = KeyUse {
                key_id: key.id,
                project_id: key.project_id,
                time: now,
            };
            self.map().insert(key.id, used);
        }
    }
}

impl Projects {
    /// Tells the store which API keys were used: to be called every few seconds, by nobody who answers a request.
    ///
    /// # Errors
    /// When the store fails; the next call tells it.
    pub async fn note_uses(&self) -> Result<(), StoreError> {
        let uses: Vec<KeyUse> = std::mem::take(&mut *self.uses.map()).into_values().collect();
        for (index, some) in uses.chunks(AT_ONCE).enumerate() {
            if let Err(error) = self.store.note_api_keys_used(some, APART).await {
                let mut map = self.uses.map();
                for used in uses.iter().skip(index * AT_ONCE) {
                    map.entry(used.key_id).or_insert(*used);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let noted = Noted(AtomicI64::new(i64::MIN));
        let at = |seconds: i64| Time::from_micros(seconds * 1_000_000);
        let due: Vec<i64> = (0..200)
            .filter(|second| noted.is_due(at(1_000 + second)))
            .collect();
        assert_eq!(due, [0, 61, 122, 183]);
        assert!(!noted.is_due(at(0)), "a clock that went back");
    }
}
