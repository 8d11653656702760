//! The store: every use case is one method and one transaction. What both databases understand is written once, in `both/`,
//! and compiled for each; what they do not has a file on each side.
//!
//! [`postgres`] is for production and any number of processes; [`sqlite`] is embedded, one file, one process.
//! One contract suite (`tests/it/store_contract`) runs on both. No method is ever held open across a call to a provider.

/// A statement of pieces: texts, and macros for what differs between the databases or stands once for several statements.
macro_rules! sql {
    ($($text:literal $($name:ident!($($argument:literal)?))?)+) => {
        concat!($($text, $($name!($($argument)?),)?)+)
    };
}

pub mod batcher;
#[macro_use]
mod blocked;
mod changes;
mod claim;
mod commit;
mod connect;
mod enums;
mod error;
mod health;
mod holds;
mod location;
mod migrations;
pub mod postgres;
mod rows;
pub mod sqlite;
mod stragglers;
mod time;
mod whose;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

pub use changes::{CHANGES_KEPT, Change, ChangeKind, ChangeStore, LogPosition, News};
pub use claim::LATE_COMMIT;
pub(crate) use commit::commit;
pub use connect::{ConnectError, connect, open};
pub use enums::{MaybeKnown, StoredWord};
pub use error::{Result, StoreError};
pub use health::Health;
pub use location::Location;
pub use rows::*;
pub use whose::Opening;

use crate::clock::Time;

/// Lanes hash to this many shards; the migrations make as many rows.
pub const SHARDS: i16 = 64;

/// The shard of a lane: the last byte of a UUIDv7 is random, so lanes spread evenly.
#[must_use]
pub fn shard_of(lane_id: Uuid) -> i16 {
    i16::from(lane_id.as_bytes()[15]) % SHARDS
}

/// The smallest id of a moment: operations have ids of version 7, which begin with their time.
fn first_id_of(time: Time) -> Uuid {
    let millis = time.as_micros().max(0).unsigned_abs() / 1_000;
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// How long an idempotency key is kept: longer than any write is retried.
pub const KEY_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A shared store.
pub type SharedStore = Arc<dyn Store>;

/// What the rest of the service can ask of its database: use cases, grouped by what they are about. Every method is one
/// transaction.
#[async_trait]
pub trait Store:
    ProjectStore
    + JwtKeyStore
    + IntegrationStore
    + ConnectionStore
    + GrantStore
    + ProviderAppStore
    + FlowStore
    + InstallationStore
    + OperationStore
    + LookupStore
    + SteeringStore
    + LaneStore
    + QueueStore
    + RetentionStore
    + BacklogStore
    + ChangeStore
    + std::fmt::Debug
{
    /// `postgres` or `sqlite`, for logs and `/readyz`.
    fn kind(&self) -> &'static str;

    /// Answers when the database does.
    async fn ping(&self) -> Result<()>;

    /// Writes so many bytes for this process and commits them: says whether the store can record anything at all. What was
    /// written so before goes.
    async fn check_writes(&self, process: Uuid, bytes: usize) -> Result<()>;

    /// The newest key check: its number, and a known text that was sealed with the key in use then. `None` when no process
    /// has left one yet.
    async fn latest_key_check(&self) -> Result<Option<(i64, Vec<u8>)>>;

    /// Leaves a key check with this number, unless there is one already.
    async fn add_key_check(&self, number: i64, sealed: &[u8]) -> Result<()>;

    /// The connection whose credentials were sealed last: its project, its id and the sealed credentials.
    async fn last_sealed(&self) -> Result<Option<(Uuid, Uuid, Vec<u8>)>>;

    /// Closes every connection, after what is running.
    async fn close(&self);

    /// Makes room for the history of the coming days (partitions on Postgres). Harmless to repeat.
    async fn prepare_history(&self, now: Time) -> Result<()>;
}
