//! What leaves by age.

use std::time::Duration;

use async_trait::async_trait;

use crate::store::Result;

/// What leaves by age.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Removes finished operations, and the payloads of finished operations, that are too old by the store's own clock.
    /// Work that is still queued stays, however old it is, and so does what failed and holds a record for which something waits.
    /// A hold behind which nothing waits ends when the payload of its operation is too old. Configs and revisions leave once nothing that is kept needs them. In small steps: nobody waits for it. Where another node is at
    /// it, nothing happens. Harmless to repeat, and to stop half-way.
    async fn expire_history(&self, retention: Retention) -> Result<Expired>;
}

/// How long history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Finished operations with their results and attempts.
    pub history: Duration,
    /// The stored requests of finished operations; never longer than the operations.
    pub payloads: Duration,
}

/// What a run removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Operations removed one by one. Those of a day that was dropped whole are not counted.
    pub operations: u64,
    /// Payloads removed.
    pub payloads: u64,
    /// Partitions dropped whole (Postgres).
    pub partitions: u64,
    /// Configs and revisions that were replaced long ago.
    pub definitions: u64,
}

/// What stands in place of a stored request that has expired.
pub const EXPIRED_PAYLOAD: &str = "";
