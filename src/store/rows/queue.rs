//! Live work: what is claimed, and what happens to it.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Claim, Claimed, CloseGathered, ExpireAsk, LaneAsk, Lease, NewAttempt, NewResult};
use crate::clock::Time;
use crate::store::Result;

/// Live work: what is claimed, and what happens to it.
#[async_trait]
pub trait QueueStore: Send + Sync {
    /// Reads due items, the earliest of each lane first; changes nothing. Leaves out what the asks know already, and items
    /// behind an earlier one of the same record, also one that failed and holds it. Requests of about `max_bytes` in all are read, but always one.
    async fn claim(&self, asks: &[LaneAsk], max_bytes: usize) -> Result<Claim>;
    /// Reads items past their deadline, wherever they stand in their lanes, `limit` per lane at most; changes nothing.
    /// The clock of a held lane stands still: it has none.
    async fn claim_expired(&self, asks: &[ExpireAsk], limit: usize, max_bytes: usize)
    -> Result<Vec<Claimed>>;
    /// Which of these records of a batch still wait: an earlier write to them is in the queue, has failed and holds them, or may
    /// still take effect. `seq` is the batch's place in
    /// the order of acceptance.
    async fn waiting_records(&self, lane_id: Uuid, seq: i64, keys: &[i64]) -> Result<Vec<i64>>;
    /// Tells every process that listens. What is sent while nobody listens is lost.
    async fn notify(&self, messages: &[String]) -> Result<()>;
    /// Listens to what other processes tell; `None` where there are no others.
    async fn listen(&self) -> Result<Option<Box<dyn Listener>>>;
    /// Appends attempts: durable before requests leave that must not be repeated blindly. False for each whose lease is
    /// no longer the worker's: nothing is appended, and nothing may be sent.
    async fn begin_attempts(&self, begins: &[BeginAttempt]) -> Result<Vec<bool>>;
    /// Closes an operation that gathers records: nothing is added to it any more, and its request holds what was gathered.
    /// False when the lease is no longer the worker's or the item is gone; then nothing changes. Harmless to repeat.
    async fn close_gathered(&self, close: &CloseGathered) -> Result<bool>;
    /// Ends attempts: the item leaves with its result, and holds its record if it says so and failed; or it is put off. True for each that took effect; false where the
    /// lease is no longer the worker's or the item is gone. Attempts are kept in any case.
    async fn settle(&self, settles: &[Settle]) -> Result<Vec<bool>>;
}

/// What other processes tell.
#[async_trait]
pub trait Listener: Send + std::fmt::Debug {
    /// The next message; `None` when some may have been lost meanwhile.
    async fn next(&mut self) -> Result<Option<String>>;
}

/// The end of one attempt at a queue item. It takes effect only while `lease` is still `worker`'s.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The worker that performed.
    pub worker: Uuid,
    /// The shard and epoch under which the item was claimed.
    pub lease: Lease,
    /// The lane.
    pub lane_id: Uuid,
    /// The item's time, as claimed.
    pub run_at: Time,
    /// The operation.
    pub operation_id: Uuid,
    /// The project.
    pub project_id: Uuid,
    /// The attempt; it is kept even when the lease is lost.
    pub attempt: Option<NewAttempt>,
    /// What happens to the item.
    pub ending: Ending,
    /// Set for a batch that stays: the keys of the records that have ended, and that others need not wait for any more.
    /// `None` for a single write.
    pub freed: Option<Vec<i64>>,
    /// Requests that may still take effect, of this write: later writes to these records wait.
    pub stragglers: Option<Stragglers>,
}

/// Records that a request may still change although nobody waits for its answer any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stragglers {
    /// The place of the write in the order of acceptance: what was accepted later waits.
    pub seq: i64,
    /// The keys of the records.
    pub keys: Vec<i64>,
    /// How long, from the store's now.
    pub left: Duration,
}

/// An attempt that is about to begin. It may, while `lease` is still `worker`'s.
#[derive(Debug, Clone)]
pub struct BeginAttempt {
    /// The worker that is about to send.
    pub worker: Uuid,
    /// The shard and epoch under which the item was claimed.
    pub lease: Lease,
    /// The row.
    pub attempt: NewAttempt,
}

/// What happens to a queue item after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It leaves the queue with this result.
    Finish(NewResult),
    /// It stays and runs again after `delay`, with `attempt` attempts spent.
    Retry {
        /// From the store's now.
        delay: Duration,
        /// Attempts spent so far.
        attempt: i32,
    },
}
