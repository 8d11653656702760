//! Who is told of new work: the worker of this process that has the shard, at once and with the work itself; else every
//! other process, through the store, gathered so that a busy service sends few messages.
//!
//! What is told only saves time. The store is the truth: a worker finds by itself whatever it was not told of.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::clock::Time;
use crate::store::{AcceptOperation, Accepted, Claimed, SHARDS, SharedStore, shard_of};

/// The shortest time between two messages to other processes.
const GATHER: Duration = Duration::from_millis(75);
/// The wait after a message could not be sent.
const RETRY: Duration = Duration::from_millis(500);
/// Lanes named in one message: it stays below what Postgres takes.
const LANES_PER_MESSAGE: usize = 200;
/// Beyond so many lanes a message names the shard alone, and its worker looks for itself.
const LANES_NAMED: usize = 1_000;
/// Items that wait in an inbox, at most.
const HANDED_ITEMS: usize = 256;
/// Beyond so many lanes a worker looks for all of them at once.
const LANES_WAITING: usize = 10_000;
/// Bytes of requests that wait in an inbox, at most.
const HANDED_BYTES: usize = 4 << 20;
/// A longer request is read from the store.
const HANDED_REQUEST_BYTES: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub struct NewWork {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Shared {
    inboxes: RwLock<Vec<Weak<Inbox>>>,
    others: Mutex<HashMap<i16, Gathered>>,
    ring: Notify,
}

/// What is to be told about one shard.
#[derive(Debug)]
enum Gathered {
    Lanes(HashMap<Uuid, bool>),
    Everything,
}

/// What has arrived for one worker.
#[derive(Debug, Default)]
pub struct Inbox {
    owned: AtomicU64,
    arrived: Mutex<Arrived>,
    /// Rung when something has arrived.
    pub new_work: Notify,
}

/// The content of an inbox.
#[derive(Debug, Default)]
pub struct Arrived {
    /// Work itself, in the order of its commits.
    pub handed: Vec<Handed>,
    /// Lanes to look at; true where the lane itself may have changed, as when its hold has ended.
    pub lanes: HashMap<Uuid, bool>,
    /// Shards of which more has changed than could be named.
    pub shards: Vec<i16>,
    /// Something may have been lost: look for lanes everywhere.
    pub everything: bool,
    /// Of the requests in `handed`.
    pub bytes: usize,
}

/// Work that has just been accepted by this process.
#[derive(Debug)]
pub struct Handed {
    /// As a claim would give it; the provider is not known.
    pub item: Claimed,
    /// When its commit began, at the earliest: nobody can have read it before.
    pub begun: Instant,
}

fn bit(shard: i16) -> u64 {
    u32::try_from(shard).map_or(0, |shard| 1_u64.checked_shl(shard).unwrap_or(0))
}

impl NewWork {
    /// A new_work whose messages go through `store`. They end with it.
    #[must_use]
    pub fn start(store: SharedStore) -> Self {
        let (shared, stop) = (Arc::new(Shared::default()), CancellationToken::new());
        tokio::spawn(ring(Arc::clone(&shared), store, stop.clone()));
        Self {
            shared,
            _stop: stop.drop_guard(),
        }
    }

    /// An inbox for a worker of this process, for as long as it keeps it.
    #[must_use]
    pub fn subscribe(&self) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        let mut inboxes = self
            .shared
            .inboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        inboxes.retain(|known| known.strong_count() > 0);
        inboxes.push(Arc::downgrade(&inbox));
        inbox
    }

    fn owner(&self, shard: i16) -> Option<Arc<Inbox>> {
        let inboxes = self.shared.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        inboxes
            .iter()
            .filter_map(Weak::upgrade)
            .find(|inbox| inbox.owned.load(Ordering::Acquire) & bit(shard) != 0)
    }

    /// Tells of work that has been committed, in this order; `begun` is a moment before the commit began.
    pub fn accepted(&self, operations: &[AcceptOperation], answers: &[Accepted], begun: Instant) {
        for (accept, answer) in operations.iter().zip(answers) {
            let lane_id = accept.operation.connection_id;
            let owner = || self.owner(shard_of(lane_id));
            match (answer, &accept.performing) {
                // What its own process performs is for the queue only when that process dies: it is found when it is due.
                (Accepted::KeyTaken, _) | (_, Some(_)) => {}
                (Accepted::At(time), None) => match owner() {
                    Some(inbox) => inbox.hand(accept, *time, begun),
                    None => self.tell_others(lane_id, false),
                },
                // Its operation waits, or has become due just now: the store knows.
                (Accepted::Gathered(_), None) => match owner() {
                    Some(inbox) => inbox.look_at(lane_id, false),
                    None => self.tell_others(lane_id, false),
                },
            }
        }
    }

    /// Tells that a lane may have changed: that it is held no longer, say.
    pub fn changed(&self, lane_id: Uuid) {
        match self.owner(shard_of(lane_id)) {
            Some(inbox) => inbox.look_at(lane_id, true),
            None => self.tell_others(lane_id, true),
        }
    }

    /// Tells other processes to look at a lane.
    pub fn tell_others(&self, lane_id: Uuid, changed: bool) {
        let mut others = self.shared.others.lock().unwrap_or_else(PoisonError::into_inner);
        let gathered = others
            .entry(shard_of(lane_id))
            .or_insert_with(|| Gathered::Lanes(HashMap::new()));
        if let Gathered::Lanes(lanes) = gathered {
            *lanes.entry(lane_id).or_default() |= changed;
            if lanes.len() > LANES_NAMED {
                *gathered = Gathered::Everything;
            }
        }
        drop(others);
        self.shared.ring.notify_one();
    }
}

impl Inbox {
    fn arrived(&self) -> std::sync::MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which shards' work comes here.
    pub fn own(&self, shards: impl Iterator<Item = i16>) {
        let owned = shards.map(bit).fold(0, |all, one| all | one);
        self.owned.store(owned, Ordering::Release);
    }

    /// Takes out what has arrived.
    pub fn take(&self) -> Arrived {
        let mut arrived = std::mem::take(&mut *self.arrived());
        if arrived.lanes.len() > LANES_WAITING {
            arrived.lanes.clear();
            arrived.everything = true;
        }
        arrived
    }

    /// Asks for a look at a lane.
    pub fn look_at(&self, lane_id: Uuid, changed: bool) {
        *self.arrived().lanes.entry(lane_id).or_default() |= changed;
        self.new_work.notify_one();
    }

    /// Something may have been lost.
    pub fn lost(&self) {
        self.arrived().everything = true;
        self.new_work.notify_one();
    }

    /// Takes in a message of another process; one that cannot be read means: look everywhere.
    pub fn hear(&self, message: &str) {
        match parse(message) {
            Some((shard, _)) if self.owned.load(Ordering::Acquire) & bit(shard) == 0 => return,
            Some((_, Some(lanes))) => {
                let mut arrived = self.arrived();
                for (lane_id, changed) in lanes {
                    *arrived.lanes.entry(lane_id).or_default() |= changed;
                }
            }
            Some((shard, None)) => self.arrived().shards.push(shard),
            None => self.arrived().everything = true,
        }
        self.new_work.notify_one();
    }

    fn hand(&self, accept: &AcceptOperation, time: Time, begun: Instant) {
        let operation = &accept.operation;
        let mut arrived = self.arrived();
        let bytes = operation.request.len();
        // An item with a record may have to wait for others of it that only the store knows.
        let small = bytes <= HANDED_REQUEST_BYTES && arrived.bytes + bytes <= HANDED_BYTES;
        if accept.record_key.is_none()
            && accept.record_keys.is_empty()
            && small
            && arrived.handed.len() < HANDED_ITEMS
        {
            arrived.bytes += bytes;
            arrived.handed.push(Handed {
                item: as_claimed(accept, time),
                begun,
            });
        } else {
            arrived.lanes.entry(operation.connection_id).or_default();
        }
        drop(arrived);
        self.new_work.notify_one();
    }
}

/// What a claim would read of work that has just been accepted.
fn as_claimed(accept: &AcceptOperation, time: Time) -> Claimed {
    let operation = &accept.operation;
    Claimed {
        shard: shard_of(operation.connection_id),
        lane_id: operation.connection_id,
        run_at: time,
        operation_id: operation.id,
        project_id: operation.project_id,
        // Only items of a record are ordered by it.
        seq: 0,
        record_key: accept.record_key,
        behind: false,
        attempt: 0,
        provider: None,
        installation_id: operation.installation_id,
        config_id: operation.config_id,
        revision_id: operation.revision_id,
        object: operation.object.clone(),
        action: operation.action.into(),
        request: operation.request.clone(),
        accept_time: time,
        deadline: Some(time.after(accept.deadline)),
        held_from: None,
        held_until: None,
        in_doubt_since: None,
        straggles_until: None,
        store_now: time,
    }
}

/// Sends what has been gathered, and then gathers for a while.
async fn ring(shared: Arc<Shared>, store: SharedStore, stop: CancellationToken) {
    let mut failing = crate::telemetry::Spell::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.ring.notified() => {}
        }
        let gathered = std::mem::take(&mut *shared.others.lock().unwrap_or_else(PoisonError::into_inner));
        if gathered.is_empty() {
            continue;
        }
        let messages = messages(&gathered);
        let sent = store.notify(&messages).await;
        let wait = match sent {
            Ok(()) => {
                failing.ends();
                GATHER
            }
            Err(error) => {
                if failing.begins() {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "other processes could not be told of new work; trying again until they are"
                    );
                }
                let mut others = shared.others.lock().unwrap_or_else(PoisonError::into_inner);
                for shard in gathered.keys() {
                    others.insert(*shard, Gathered::Everything);
                }
                shared.ring.notify_one();
                RETRY
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// `7:*`, or `7:` and lanes: hexadecimal, comma-separated, each with a `!` before it when the lane itself has changed.
fn messages(gathered: &HashMap<i16, Gathered>) -> Vec<String> {
    let mut messages = Vec::new();
    for (shard, gathered) in gathered {
        match gathered {
            Gathered::Everything => messages.push(format!("{shard}:*")),
            Gathered::Lanes(lanes) => {
                let names: Vec<String> = lanes
                    .iter()
                    .map(|(lane, changed)| format!("{}{}", if *changed { "!" } else { "" }, lane.simple()))
                    .collect();
                for part in names.chunks(LANES_PER_MESSAGE) {
                    messages.push(format!("{shard}:{}", part.join(",")));
                }
            }
        }
    }
    messages
}

type Parsed = (i16, Option<Vec<(Uuid, bool)>>);

fn parse(message: &str) -> Option<Parsed> {
    let (shard, lanes) = message.split_once(':')?;
    let shard = shard.parse().ok().filter(|shard| (0..SHARDS).contains(shard))?;
    if lanes == "*" {
        return Some((shard, None));
    }
    let lanes = lanes.split(',').map(|name| {
        let (name, changed) = name.strip_prefix('!').map_or((name, false), |name| (name, true));
        Uuid::try_parse(name).ok().map(|lane| (lane, changed))
    });
    Some((shard, Some(lanes.collect::<Option<Vec<_>>>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_understood() {
        let lanes = HashMap::from([(Uuid::from_u128(5), true), (Uuid::from_u128(6), false)]);
        let sent = messages(&HashMap::from([(7, Gathered::Lanes(lanes.clone()))]));
        let (shard, heard) = parse(&sent[0]).expect("a message");
        assert_eq!(shard, 7);
        assert_eq!(heard.map(HashMap::from_iter), Some(lanes));
        let all = messages(&HashMap::from([(63, Gathered::Everything)]));
        assert_eq!(parse(&all[0]), Some((63, None)));
        for bad in ["", "7", "64:*", "-1:*", "7:x", "7:"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_message_is_short_enough_for_postgres() {
        let lanes = (0..LANES_NAMED)
            .map(|n| (Uuid::from_u128(n as u128), true))
            .collect();
        let sent = messages(&HashMap::from([(63, Gathered::Lanes(lanes))]));
        assert_eq!(sent.len(), 5);
        assert!(sent.iter().all(|message| message.len() < 8_000));
    }
}
