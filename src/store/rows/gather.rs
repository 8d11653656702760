//! Operations that gather single writes.

use std::time::Duration;

use uuid::Uuid;

use super::Lease;
use crate::clock::Time;

/// A single write that shares an operation with others like it.
#[derive(Debug, Clone)]
pub struct Gather {
    /// SHA-256 of all that those who share an operation have in common.
    pub batch_key: Vec<u8>,
    /// The record, as the batch keeps it: JSON text.
    pub item: String,
    /// How long the operation may wait for others, from now.
    pub delay: Duration,
}

/// How the request of an operation begins that still gathers records: when it is closed they take their place in it.
pub const OPEN_BATCH: &str = "{\"batch\":[]";
/// So many records one operation gathers.
pub const GATHER_RECORDS: usize = 100;
/// So many bytes of records one operation gathers, unless a single one is longer.
pub const GATHER_BYTES: usize = 4 << 20;

/// The place of a record in an operation that gathers records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gathered {
    /// The operation.
    pub operation_id: Uuid,
    /// The record's place in it, from 0.
    pub index: usize,
    /// True for the one whose operation was made for it: one more waits in the queue.
    pub opened: bool,
}

/// An operation that has gathered long enough. It is closed only while `lease` is still `worker`'s.
#[derive(Debug, Clone)]
pub struct CloseGathered {
    /// The worker.
    pub worker: Uuid,
    /// The shard and epoch under which the item was claimed.
    pub lease: Lease,
    /// The lane.
    pub lane_id: Uuid,
    /// The item's time, as claimed.
    pub run_at: Time,
    /// The project.
    pub project_id: Uuid,
    /// The operation.
    pub operation_id: Uuid,
}
