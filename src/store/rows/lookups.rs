//! Operations, looked up: by id, by idempotency key, in pages.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Attempt, EndState, Mode};
use crate::action::Action;
use crate::clock::Time;
use crate::store::Result;

/// Operations, looked up: by id, by idempotency key, in pages.
#[async_trait]
pub trait LookupStore: Send + Sync {
    /// What an idempotency key was used for; `None` when it is free.
    async fn find_idempotency_key(&self, project_id: Uuid, key: &str) -> Result<Option<IdempotencyUse>>;
    /// Forgets keys, and the answers kept for them, that are older than `KEY_LIFE`: at most `limit` of each. Answers how many
    /// rows went. (One statement for all projects, like every clean-up.)
    async fn forget_idempotency_keys(&self, limit: i64) -> Result<u64>;
    /// One operation.
    async fn get_operation(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Operation>>;
    /// What was stored of an operation's request when it came, with the records that it has gathered so far: JSON text.
    /// `None` once it has expired.
    async fn get_request(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<String>>;
    /// The attempts of an operation, oldest first.
    async fn list_attempts(&self, project_id: Uuid, operation_id: Uuid) -> Result<Vec<Attempt>>;
    /// A page of operations, newest first. A filter that no index serves looks at a bounded number of operations: its page may
    /// hold fewer than asked for, and still have a next one.
    async fn list_operations(&self, project_id: Uuid, filter: &OperationFilter) -> Result<OperationPage>;
}

row! {
    /// An operation with its result, if it has one.
    pub struct Operation of "operations" {
        pub id: Uuid,
        pub project_id: Uuid,
        /// The integration that was written through.
        pub integration_id: Uuid,
        /// The installation that was written through.
        pub installation_id: Uuid,
        /// The config that was in force.
        pub config_id: Uuid,
        /// The revision that was the latest.
        pub revision_id: Uuid,
        /// The connection, and lane, that it was accepted for.
        pub connection_id: Uuid,
        /// The object as the app named it.
        pub object: String,
        pub action: Action,
        /// Who waits for it.
        pub mode: Mode,
        /// The app's own name for the record.
        pub client_ref: Option<String>,
        /// The operation that this one repeats.
        pub replay_of: Option<Uuid>,
        /// When the store accepted it.
        pub accept_time: Time,
        /// When retrying ends.
        pub deadline: Option<Time>,
        /// The end state, absent while it runs.
        pub state: Option<EndState>,
        /// One line for people.
        pub summary: Option<String>,
        /// The provider's record id.
        pub record_id: Option<String>,
        /// The errors: a JSON list of texts.
        pub errors: Option<String>,
        /// How many attempts it took.
        pub attempts: Option<i32>,
        /// When it ended.
        pub finish_time: Option<Time>,
        /// Of a batch: how each record ended, a JSON list.
        pub records: Option<String>,
        /// True while later writes to its record are held because it failed.
        pub holds_record: bool,
    }
}

row! {
    /// The use of an idempotency key, with what its operation has come to.
    pub struct IdempotencyUse of "idempotency_keys" {
        /// SHA-256 of what the app asked for.
        pub fingerprint: Vec<u8>,
        pub operation_id: Uuid,
        /// Which record of the operation it was used for, where single writes share one.
        pub batch_index: Option<i32>,
        /// Who waits for it.
        pub mode: Mode,
        /// True when the key is free again.
        pub released: Option<bool>,
        /// The answer to a synchronous write, as its performer kept it.
        pub answer: Option<String>,
        /// The end state, absent while it runs.
        pub state: Option<EndState>,
        /// The provider's record id.
        pub record_id: Option<String>,
        /// The errors: a JSON list of texts.
        pub errors: Option<String>,
        /// Of a batch: how each record ended, a JSON list.
        pub records: Option<String>,
    }
}

/// Which operations to list: all that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct OperationFilter {
    /// Of one of these installations.
    pub installations: Option<Vec<Uuid>>,
    /// Of this integration.
    pub integration: Option<Uuid>,
    /// Of this object, as the app named it.
    pub object: Option<String>,
    /// With this name of the app's.
    pub client_ref: Option<String>,
    /// In this state.
    pub state: Option<StateFilter>,
    /// Accepted at this time or later.
    pub since: Option<Time>,
    /// Accepted before this time.
    pub until: Option<Time>,
    /// Only what has not been replayed yet.
    pub not_replayed: bool,
    /// Only what holds its record.
    pub holds_record: bool,
    /// Older than this one.
    pub before: Option<Uuid>,
    /// At most so many.
    pub limit: usize,
}

impl OperationFilter {
    /// Whether a list has to look at operations one by one.
    pub(in crate::store) const fn needs_scan(&self) -> bool {
        let indexed = self.holds_record
            || self.installations.is_some()
            || self.client_ref.is_some()
            || matches!(self.state, Some(StateFilter::InProgress | StateFilter::Ended(_)));
        let filtered = self.object.is_some()
            || self.integration.is_some()
            || self.state.is_some()
            || self.until.is_some()
            || self.not_replayed;
        filtered && !indexed
    }
}

/// Which states to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateFilter {
    /// Not ended.
    InProgress,
    /// Succeeded.
    Succeeded,
    /// Ended in one of these other states.
    Ended(Vec<EndState>),
}

/// A page of operations, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationPage {
    /// The operations.
    pub rows: Vec<Operation>,
    /// `before` of the next page; absent on the last one.
    pub next: Option<Uuid>,
}
