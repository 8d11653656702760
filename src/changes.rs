//! What has changed lately, by key, so that caches drop just what depends on it.
//!
//! What is cached is stamped with the last change that was known before it was read, and is good as long as nothing that it
//! depends on was touched since: so what was read before a change is not used after it was noticed, whenever it came into
//! the cache. It is trusted only while the store has been heard from within `FRESH`: a change reaches every node within that
//! time, and a store that is down is noticed before anything is sent.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::store::{Change, ChangeKind, LogPosition, SharedStore, StoreError};

/// How often the store is asked whether something changed.
pub const POLL: Duration = Duration::from_millis(500);
/// How old the last answer may be before what is cached is read again.
const FRESH: Duration = Duration::from_secs(2);
/// So many touched things are remembered one by one. When there are more, what was cached before the older half of them and
/// not used since is read again.
const TOUCHED: usize = 50_000;

/// A place in the order in which this process noticed changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// What something depends on: a kind, and the id of such a thing.
pub type Dependency = (ChangeKind, Uuid);

#[derive(Debug, Default)]
struct Touched {
    /// When each was last touched.
    last: HashMap<Dependency, u64>,
    /// What was read before counts as touched.
    floor: u64,
}

/// What this process has noticed of changes, whoever made them.
#[derive(Debug)]
pub struct Changes {
    store: SharedStore,
    /// How far the store's log has been read.
    position: tokio::sync::Mutex<Option<LogPosition>>,
    metrics: Arc<Metrics>,
    /// The last change that was noticed: grows.
    noticed: AtomicU64,
    touched: Mutex<Touched>,
    heard_at: Mutex<Option<Instant>>,
    /// Rung when something was noticed.
    pub rung: Notify,
}

impl Changes {
    /// Nothing noticed yet.
    #[must_use]
    pub fn new(store: SharedStore, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            position: tokio::sync::Mutex::new(None),
            metrics,
            noticed: AtomicU64::new(0),
            touched: Mutex::default(),
            heard_at: Mutex::new(None),
            rung: Notify::new(),
        }
    }

    fn touched(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the store once whether something changed.
    ///
    /// # Errors
    /// When the store does not answer; what is cached counts as old soon after.
    pub async fn poll(&self) -> Result<(), StoreError> {
        let mut position = self.position.lock().await;
        let asked_at = Instant::now();
        let news = self.store.changes_since(position.as_ref()).await?;
        match news.changes {
            Some(changes) => self.note(&changes),
            None => self.note_everything(),
        }
        *position = Some(news.position);
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked_at);
        Ok(())
    }

    /// Whether the store has been heard from lately, so that what is cached may be trusted.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.heard_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|at| at.elapsed() < FRESH)
    }

    /// The last change that is known: to be asked for before something is read that shall be cached.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(self.noticed.load(Ordering::SeqCst))
    }

    /// Whether one of these was touched after that moment.
    pub fn touched_since(&self, moment: Moment, keys: impl IntoIterator<Item = Dependency>) -> bool {
        let touched = self.touched();
        moment.0 < touched.floor
            || keys
                .into_iter()
                .any(|key| touched.last.get(&key).is_some_and(|at| *at > moment.0))
    }

    /// Notes what was touched, by this process or another one. Nothing that was read before is used once it returns.
    pub fn note(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut touched = self.touched();
        let now = self.noticed.load(Ordering::SeqCst) + 1;
        for change in changes {
            touched.last.insert((change.kind, change.id), now);
        }
        if touched.last.len() > TOUCHED {
            touched.forget_half();
        }
        self.noticed.store(now, Ordering::SeqCst);
        drop(touched);
        self.rung.notify_one();
    }

    /// Anything may have changed.
    pub fn note_everything(&self) {
        let mut touched = self.touched();
        let now = self.noticed.load(Ordering::SeqCst) + 1;
        *touched = Touched {
            last: HashMap::new(),
            floor: now,
        };
        self.noticed.store(now, Ordering::SeqCst);
        drop(touched);
        self.rung.notify_one();
    }
}

impl Touched {
    fn forget_half(&mut self) {
        let mut times: Vec<u64> = self.last.values().copied().collect();
        let middle = times.len() / 2;
        let (_, floor, _) = times.select_nth_unstable(middle);
        self.floor = *floor;
        self.last.retain(|_, at| *at > self.floor);
    }
}

/// What cached things depend on.
pub trait DependsOn {
    /// Everything that, touched, makes this old.
    fn depends_on(&self) -> impl Iterator<Item = Dependency>;
}

#[derive(Debug)]
struct Kept<V> {
    value: Arc<V>,
    /// Up to where it is known that nothing it depends on was touched.
    good_until: AtomicU64,
}

/// A cache of what the store says, whose entries last until something that they depend on changes.
#[derive(Debug)]
pub struct Remembered<K, V> {
    changes: Arc<Changes>,
    name: &'static str,
    cache: Cache<K, Arc<Kept<V>>>,
}

impl<K: Eq + Hash, V: DependsOn> Remembered<K, V> {
    /// An empty one for so many entries; metrics call it `name`.
    #[must_use]
    pub fn new(changes: Arc<Changes>, name: &'static str, capacity: usize) -> Self {
        Self {
            changes,
            name,
            cache: Cache::new(capacity),
        }
    }

    /// What is known, as long as it may be trusted. Without it the store is asked.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        let found = self.trusted(key);
        if found.is_none() {
            self.changes.metrics.cache_misses.increment(&[self.name]);
        }
        found
    }

    fn trusted(&self, key: &K) -> Option<Arc<V>> {
        if !self.changes.is_fresh() {
            return None;
        }
        let kept = self.cache.get(key)?;
        if self.is_good(&kept) {
            return Some(Arc::clone(&kept.value));
        }
        self.cache.remove_if(key, |held| Arc::ptr_eq(held, &kept));
        None
    }

    /// Keeps what was read after `read_after`.
    pub fn keep(&self, read_after: Moment, key: K, value: Arc<V>) {
        let good_until = AtomicU64::new(read_after.0);
        self.cache.insert(key, Arc::new(Kept { value, good_until }));
    }

    /// Drops what is old, with the secrets that it may hold.
    pub fn sweep(&self) {
        self.cache.retain(|_, kept| self.is_good(kept));
    }

    fn is_good(&self, kept: &Kept<V>) -> bool {
        let now = self.changes.now();
        let known = Moment(kept.good_until.load(Ordering::SeqCst));
        if known == now {
            return true;
        }
        let good = !self.changes.touched_since(known, kept.value.depends_on());
        if good {
            // Whatever was noticed up to then is in what was just looked at.
            kept.good_until.fetch_max(now.0, Ordering::SeqCst);
        }
        good
    }
}
