//! How faults bend a simulator's own behaviour while it handles a request.

use std::sync::Arc;

use super::engine::Fault;
use super::kind::FaultKind;
use super::oauth::OAuthFaults;

/// The faults that a simulator itself has to act out.
#[derive(Debug, Default, Clone)]
pub(crate) struct Mods {
    locks: Vec<Arc<Fault>>,
    shuffle: Option<Arc<Fault>>,
    partial: Option<Arc<Fault>>,
    instance: Option<String>,
    trace_ids_dropped: bool,
    lag_ms: i64,
    upsert_race: bool,
    /// Those of the token endpoint and the consent page.
    pub oauth: OAuthFaults,
}

impl Mods {
    /// Takes over a fault; false when it is not one that a simulator acts out.
    pub fn take(&mut self, fault: &Arc<Fault>) -> bool {
        match fault.spec.fault {
            FaultKind::RowLock => self.locks.push(Arc::clone(fault)),
            FaultKind::ShuffleResults => self.shuffle = Some(Arc::clone(fault)),
            FaultKind::Partial => self.partial = Some(Arc::clone(fault)),
            FaultKind::DropTraceIds => self.trace_ids_dropped = true,
            FaultKind::LagSearch => self.lag_ms = fault.spec.lag_ms.unwrap_or(30_000),
            FaultKind::UpsertRace => self.upsert_race = true,
            FaultKind::ChangeInstanceUrl => {
                self.instance = Some(
                    fault
                        .spec
                        .instance
                        .clone()
                        .unwrap_or_else(|| format!("moved-{}", fault.id)),
                );
            }
            _ => return self.oauth.take(fault),
        }
        true
    }

    /// The first of these records that a lock fault holds, counting the lock.
    pub fn locked<'a>(&self, records: &[&'a str]) -> Option<&'a str> {
        for fault in &self.locks {
            let wanted = fault.spec.record.as_deref();
            let held = records.iter().find(|r| wanted.is_none_or(|w| same_id(w, r)));
            if let Some(held) = held
                && fault.fire()
            {
                fault.acted();
                return Some(held);
            }
        }
        None
    }

    /// The error (status code word, message) an item of a batch must fail with.
    pub fn partial(&self, index: usize) -> Option<(String, String)> {
        let spec = &self.partial.as_ref()?.spec;
        let hit = spec
            .items
            .as_ref()
            .map_or(index == 0, |items| items.contains(&index));
        hit.then(|| {
            let code = spec.code.clone().unwrap_or_else(|| "INTERNAL_ERROR".to_owned());
            let message = spec
                .message
                .clone()
                .unwrap_or_else(|| "internal error".to_owned());
            (code, message)
        })
    }

    /// Puts results in a random order when asked to. Two or more results never stay as they were.
    pub fn shuffle<T>(&self, results: &mut [T]) {
        let Some(fault) = &self.shuffle else { return };
        if results.len() < 2 {
            return;
        }
        let mut rng = fastrand::Rng::with_seed(fault.random());
        // A cyclic permutation (Sattolo): no result keeps its place.
        for i in (1..results.len()).rev() {
            results.swap(i, rng.usize(..i));
        }
    }

    /// Whether batch results come without their trace ids.
    pub const fn trace_ids_dropped(&self) -> bool {
        self.trace_ids_dropped
    }

    /// How far searches lag behind, in milliseconds.
    pub const fn lag_ms(&self) -> i64 {
        self.lag_ms
    }

    /// Whether another client wins the race of an upsert.
    pub const fn upsert_race(&self) -> bool {
        self.upsert_race
    }

    /// The instance a refresh moves the account to.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }
}

/// Ids are equal as they stand; a Salesforce id of 15 characters also equals its form of 18.
fn same_id(a: &str, b: &str) -> bool {
    a == b
        || (a.len().min(b.len()) == 15
            && a.len().max(b.len()) == 18
            && a.as_bytes()[..15] == b.as_bytes()[..15])
}
