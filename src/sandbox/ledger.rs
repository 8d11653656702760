//! The ledger: every request in order, what was answered and what it changed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::lock;
use super::message::Provider;

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Number of the request in order of arrival, from 1.
    pub sequence: u64,
    /// When it arrived, RFC 3339 UTC in milliseconds, by the sandbox's clock.
    pub time: String,
    /// The account its token belongs to; `null` when the token is missing or unknown.
    pub account: Option<String>,
    /// The simulator that was addressed.
    pub provider: Provider,
    /// The HTTP method as sent.
    pub method: String,
    /// Path and query as sent, without the provider's prefix.
    pub path: String,
    /// Header names and values in order; the value of `Authorization` is replaced by `[redacted]`.
    pub headers: Vec<(String, String)>,
    /// The exact body text as received.
    pub body: String,
    /// What the client saw.
    pub status: LedgerStatus,
    /// Names of the faults that this request met, in the order in which they were added.
    pub faults: Vec<String>,
    /// What the request changed, in the order of the changes.
    pub changes: Vec<Change>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerStatus {
    /// Not answered yet, for instance held by a fault. `"pending"` in JSON.
    Pending,
    /// Answered with this HTTP status. The number in JSON.
    Answered(u16),
    /// The connection was closed on purpose, without an answer. `"dropped"` in JSON.
    Dropped,
}

impl Serialize for LedgerStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Pending => serializer.serialize_str("pending"),
            Self::Answered(status) => serializer.serialize_u16(*status),
            Self::Dropped => serializer.serialize_str("dropped"),
        }
    }
}

impl<'de> Deserialize<'de> for LedgerStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value.as_str() {
            Some("pending") => return Ok(Self::Pending),
            Some("dropped") => return Ok(Self::Dropped),
            _ => {}
        }
        value
            .as_u64()
            .and_then(|n| u16::try_from(n).ok())
            .map(Self::Answered)
            .ok_or_else(|| {
                serde::de::Error::custom("status must be an HTTP status, \"pending\" or \"dropped\"")
            })
    }
}

/// One change of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Number of the change among all changes of the sandbox: the order in which they took effect.
    pub order: u64,
    /// What happened to the record.
    pub kind: ChangeKind,
    /// The provider's own name of the object, such as `contacts` or `Contact`.
    pub object: String,
    /// The provider's id of the record.
    pub id: String,
    /// The values the request wrote, as stored (HubSpot stores text); for associations, the other end.
    pub values: Map<String, Value>,
}

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A new record.
    Created,
    /// An existing record was changed.
    Updated,
    /// A record was archived (HubSpot) or deleted (Salesforce).
    Archived,
    /// A record was merged into another one and is gone.
    Merged,
    /// Two records were associated.
    Associated,
    /// An association was removed.
    Dissociated,
}

/// Numbers changes in the order in which they take effect, over all accounts.
#[derive(Debug, Default)]
pub(crate) struct ChangeCounter(AtomicU64);

impl ChangeCounter {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn raise_to(&self, order: u64) {
        self.0.fetch_max(order, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The sequence number given last.
    last: u64,
    /// In order of their sequence numbers.
    entries: Vec<LedgerEntry>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }
}

impl Ledger {
    /// Adds an entry and gives it its sequence number.
    pub fn begin(&self, mut entry: LedgerEntry) -> u64 {
        let mut inner = lock(&self.inner);
        inner.last += 1;
        let sequence = inner.last;
        entry.sequence = sequence;
        inner.entries.push(entry);
        drop(inner);
        self.version.send_modify(|v| *v += 1);
        sequence
    }

    /// Changes an entry and shows it; nothing happens when it was cleared meanwhile.
    pub fn update<T>(&self, sequence: u64, change: impl FnOnce(&mut LedgerEntry) -> T) -> Option<T> {
        let mut inner = lock(&self.inner);
        let at = inner.entries.partition_point(|e| e.sequence < sequence);
        let result = inner
            .entries
            .get_mut(at)
            .filter(|e| e.sequence == sequence)
            .map(change);
        drop(inner);
        self.version.send_modify(|v| *v += 1);
        result
    }

    /// The entries after `since`, of one account when given.
    pub fn read(&self, since: u64, account: Option<&str>) -> Vec<LedgerEntry> {
        let inner = lock(&self.inner);
        let wanted = |e: &&LedgerEntry| account.is_none() || e.account.as_deref() == account;
        let skip = inner.entries.partition_point(|e| e.sequence <= since);
        inner.entries[skip..].iter().filter(wanted).cloned().collect()
    }

    /// Forgets every entry; sequence numbers go on.
    pub fn clear(&self) {
        lock(&self.inner).entries.clear();
    }

    /// Puts back an entry read from the journal. A later one of the same sequence replaces the earlier.
    pub fn restore(&self, entry: LedgerEntry) {
        let mut inner = lock(&self.inner);
        inner.last = inner.last.max(entry.sequence);
        let at = inner.entries.partition_point(|e| e.sequence < entry.sequence);
        if inner
            .entries
            .get(at)
            .is_some_and(|e| e.sequence == entry.sequence)
        {
            inner.entries[at] = entry;
        } else {
            inner.entries.insert(at, entry);
        }
    }

    /// Tells about every change of the ledger.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}
