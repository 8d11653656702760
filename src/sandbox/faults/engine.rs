//! The faults in force: which of them act on a request, and how often they did.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::kind::FaultKind;
use super::spec::{FaultSpec, Matcher};
use crate::sandbox::lock;
use crate::sandbox::message::Provider;

/// What the faults look at in a request.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub provider: Provider,
    pub account: Option<&'a str>,
    pub method: &'a str,
    /// Path and query without the provider's prefix.
    pub path: &'a str,
    pub object: Option<&'a str>,
    pub action: &'a str,
    pub body: &'a str,
}

/// One fault in force, with its counters.
#[derive(Debug)]
pub(crate) struct Fault {
    pub id: u64,
    pub spec: FaultSpec,
    state: Mutex<State>,
    hits: watch::Sender<u64>,
    released: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    matched: u64,
    /// How often it was drawn to act; `hits` follows when it has acted.
    fired: u64,
    rng: fastrand::Rng,
}

impl Fault {
    /// Counts one matching request (or record); true when the fault acts on it.
    pub fn fire(&self) -> bool {
        let mut state = lock(&self.state);
        state.matched += 1;
        let due = state.matched > self.spec.skip
            && self.spec.times.is_none_or(|times| state.fired < times)
            && self.spec.probability.is_none_or(|p| state.rng.f64() < p);
        if due {
            state.fired += 1;
        }
        due
    }

    /// Tells those who wait that the fault has acted once more.
    pub fn acted(&self) {
        self.hits.send_modify(|h| *h += 1);
    }

    /// A random number from the sandbox's seed and this fault.
    pub fn random(&self) -> u64 {
        lock(&self.state).rng.u64(..)
    }

    /// Waits until the fault is released.
    pub async fn wait_released(&self) {
        let mut released = self.released.subscribe();
        // The sender lives in self: the wait can end only by a release.
        let _ = released.wait_for(|r| *r).await;
    }

    /// Waits until the fault acted `hits` times.
    pub async fn wait_hits(&self, hits: u64) {
        let mut seen = self.hits.subscribe();
        let _ = seen.wait_for(|h| *h >= hits).await;
    }

    pub fn hits(&self) -> u64 {
        *self.hits.borrow()
    }

    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// The fault as the control API shows it.
    pub fn show(&self) -> Value {
        json!({
            "id": self.id,
            "hits": self.hits(),
            "matched": lock(&self.state).matched,
            "released": *self.released.borrow(),
            "fault": serde_json::to_value(&self.spec).unwrap_or(Value::Null),
        })
    }

    fn matches(&self, facts: &Facts<'_>) -> bool {
        let Matcher {
            provider,
            account,
            method,
            path,
            object,
            action,
            body,
        } = &self.spec.when;
        let same = |want: &Option<String>, have: Option<&str>| {
            want.as_deref()
                .is_none_or(|w| have.is_some_and(|h| h.eq_ignore_ascii_case(w)))
        };
        provider.is_none_or(|p| p == facts.provider)
            && account.as_deref().is_none_or(|a| facts.account == Some(a))
            && same(method, Some(facts.method))
            && same(object, facts.object)
            && same(action, Some(facts.action))
            && path.as_deref().is_none_or(|p| glob(p, facts.path))
            && body.as_deref().is_none_or(|b| facts.body.contains(b))
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any text.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut tail: Vec<&str> = parts.collect();
    let Some(last) = tail.pop() else {
        return rest.is_empty();
    };
    for part in tail {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// All faults in force.
#[derive(Debug)]
pub(crate) struct Engine {
    seed: u64,
    list: RwLock<Vec<Arc<Fault>>>,
    /// Length of `list`, to pass by without a lock when there is none.
    count: AtomicUsize,
    next_id: Mutex<u64>,
}

impl Engine {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            list: RwLock::default(),
            count: AtomicUsize::new(0),
            next_id: Mutex::new(0),
        }
    }

    pub fn add(&self, spec: FaultSpec) -> Arc<Fault> {
        let id = {
            let mut next = lock(&self.next_id);
            *next += 1;
            *next
        };
        let rng = fastrand::Rng::with_seed(self.seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let fault = Arc::new(Fault {
            id,
            spec,
            state: Mutex::new(State {
                matched: 0,
                fired: 0,
                rng,
            }),
            hits: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        let mut list = self
            .list
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        list.push(Arc::clone(&fault));
        self.count.store(list.len(), Ordering::Release);
        fault
    }

    pub fn list(&self) -> Vec<Arc<Fault>> {
        self.list
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    pub fn get(&self, id: u64) -> Option<Arc<Fault>> {
        self.list().into_iter().find(|f| f.id == id)
    }

    /// Takes one fault away and releases what it holds.
    pub fn remove(&self, id: u64) -> bool {
        let mut list = self
            .list
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = list.len();
        list.retain(|f| {
            if f.id == id {
                f.release();
            }
            f.id != id
        });
        self.count.store(list.len(), Ordering::Release);
        list.len() < before
    }

    /// Takes all faults away and releases what they hold.
    pub fn clear(&self) {
        let mut list = self
            .list
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for fault in list.drain(..) {
            fault.release();
        }
        self.count.store(0, Ordering::Release);
    }

    /// The faults that act on this request, in the order in which they were added. Record locks are
    /// listed when they match; they count per record, later.
    pub fn plan(&self, facts: &Facts<'_>) -> Vec<Arc<Fault>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let acts = |f: &Arc<Fault>| f.matches(facts) && (f.spec.fault == FaultKind::RowLock || f.fire());
        self.list().into_iter().filter(acts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(glob("/crm/*/contacts", "/crm/v3/objects/contacts"));
        assert!(glob("*", ""));
        assert!(glob("/a", "/a"));
        assert!(!glob("/a", "/ab"));
        assert!(!glob("/crm/*/contacts", "/crm/v3/objects/deals"));
        assert!(!glob("a*a", "a"));
    }

    #[test]
    fn a_fault_passes_skip_requests_and_then_acts_times_times() {
        let engine = Engine::new(1);
        let fault = engine.add(FaultSpec::new(FaultKind::Hold).skip(2).times(2));
        let acted: Vec<bool> = (0..6).map(|_| fault.fire()).collect();
        assert_eq!(acted, [false, false, true, true, false, false]);
    }

    #[test]
    fn the_same_seed_draws_the_same_chances() {
        let draw = |seed| {
            let fault = Engine::new(seed).add(FaultSpec::new(FaultKind::Hold).probability(0.5));
            (0..64).map(|_| fault.fire()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
