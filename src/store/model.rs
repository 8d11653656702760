//! The rows that the store gives and takes. Ids are UUIDs, times UTC, JSON is text that has been validated before.

use std::time::Duration;

use uuid::Uuid;

use crate::action::Action;
use crate::clock::Time;

/// Declares a row and how it is read from each database, column by column, by name.
macro_rules! row {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident : $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }
        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }
    };
}

pub(super) use row;

row! {
    /// A project: the boundary that no key and no query crosses.
    pub struct Project {
        /// Its id.
        pub id: Uuid,
        /// Its unique name; compared without regard to case.
        pub name: String,
        /// The name of the app, for people.
        pub app_name: String,
        /// The organisation it belongs to; one per project here.
        pub org_id: Uuid,
        /// When it was made.
        pub create_time: Time,
        /// When it was last changed.
        pub update_time: Option<Time>,
    }
}

row! {
    /// An API key as it is kept: a hash and a masked form, never the key.
    pub struct ApiKey {
        /// Its id, which also names it in paths.
        pub id: Uuid,
        /// The project that it opens.
        pub project_id: Uuid,
        /// What lists show instead of the key.
        pub masked: String,
        /// A name for people.
        pub label: String,
        /// `full`, `frontend`, comma-separated.
        pub scopes: String,
        /// An inactive key opens nothing.
        pub active: bool,
        /// When it was made.
        pub create_time: Time,
    }
}

row! {
    /// A customer's credential for one provider, with the group and the consumer it belongs to.
    pub struct Connection {
        /// Its id; also the id of its lane.
        pub id: Uuid,
        /// The project.
        pub project_id: Uuid,
        /// The provider's name in the catalogue.
        pub provider: String,
        /// The customer.
        pub group_ref: String,
        /// The customer's name.
        pub group_name: String,
        /// When the group was first seen.
        pub group_create_time: Time,
        /// The person who connected.
        pub consumer_ref: String,
        /// That person's name.
        pub consumer_name: String,
        /// When the consumer was first seen.
        pub consumer_create_time: Time,
        /// The customer's workspace at the provider, such as a Salesforce subdomain.
        pub provider_workspace_ref: Option<String>,
        /// Further connection variables: a JSON object as text.
        pub provider_metadata: Option<String>,
        /// `apiKey`, `basic`, `oauth2/authorizationCode`, …
        pub auth_scheme: String,
        /// `created`, `working` or `bad_credentials`.
        pub status: String,
        /// The sealed credentials.
        pub credentials: Vec<u8>,
        /// Grows with each change of the credentials.
        pub credentials_version: i64,
        /// When it was made.
        pub create_time: Time,
        /// When it was last changed.
        pub update_time: Option<Time>,
    }
}

row! {
    /// An integration together with its latest revision.
    pub struct Integration {
        /// Its id.
        pub id: Uuid,
        /// The project.
        pub project_id: Uuid,
        /// Unique in the project, without regard to case.
        pub name: String,
        /// The provider's name in the catalogue.
        pub provider: String,
        /// When it was first deployed.
        pub create_time: Time,
        /// When it was last deployed with a change.
        pub update_time: Option<Time>,
        /// The latest revision.
        pub revision_id: Uuid,
        /// The manifest's specVersion of that revision.
        pub spec_version: String,
        /// The integration as it stands in the manifest: JSON text.
        pub content: String,
        /// When that revision was made.
        pub revision_create_time: Time,
    }
}

row! {
    /// How much an integration is used.
    pub struct IntegrationUse {
        /// The integration.
        pub integration_id: Uuid,
        /// Its installations.
        pub installations: i64,
        /// Their operations in the queue.
        pub queued: i64,
    }
}

row! {
    /// One state of an integration.
    pub struct Revision {
        /// Its id.
        pub id: Uuid,
        /// The manifest's specVersion.
        pub spec_version: String,
        /// The integration as it stands in the manifest: JSON text.
        pub content: String,
        /// When it was deployed.
        pub create_time: Time,
    }
}

row! {
    /// An installation together with the config in force.
    pub struct Installation {
        /// Its id.
        pub id: Uuid,
        /// The project.
        pub project_id: Uuid,
        /// The integration that is installed.
        pub integration_id: Uuid,
        /// The credential it writes with.
        pub connection_id: Uuid,
        /// The customer.
        pub group_ref: String,
        /// `consumer:…`, `builder:…` or `api:…`.
        pub created_by: String,
        /// When it was made.
        pub create_time: Time,
        /// When its config or connection was last changed.
        pub update_time: Option<Time>,
        /// The config in force.
        pub config_id: Uuid,
        /// The revision that was the latest when the config was written.
        pub revision_id: Uuid,
        /// The config: JSON text.
        pub config_content: String,
        /// Who wrote the config.
        pub config_created_by: String,
        /// When the config was written.
        pub config_create_time: Time,
        /// The state of the latest operation, when there is one: `success`, `failure` or `in_progress`.
        pub last_operation_state: Option<String>,
    }
}

row! {
    /// An operation with its result, if it has one.
    pub struct Operation {
        /// Its id.
        pub id: Uuid,
        /// The project.
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
        /// `create`, `update` or `delete`.
        pub action: String,
        /// `synchronous` or `asynchronous`.
        pub mode: String,
        /// The app's own name for the record.
        pub client_ref: Option<String>,
        /// The operation that this one repeats.
        pub replay_of: Option<Uuid>,
        /// When the store accepted it.
        pub accept_time: Time,
        /// When retrying ends.
        pub deadline: Option<Time>,
        /// The end state, absent while it runs.
        pub state: Option<String>,
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
    /// One row of an attempt: its sending, or its answer.
    pub struct Attempt {
        /// One id for the sending and the answer of the same request.
        pub id: Uuid,
        /// The operation.
        pub operation_id: Uuid,
        /// The project.
        pub project_id: Uuid,
        /// Counts from 1.
        pub number: i32,
        /// `sent` or `answered`.
        pub state: String,
        /// When the request left.
        pub start_time: Time,
        /// The provider's HTTP status, absent when none arrived.
        pub status: Option<i32>,
        /// How the answer was classified.
        pub class: Option<String>,
        /// The provider's message, shortened.
        pub message: Option<String>,
        /// Microseconds until the answer.
        pub latency_us: Option<i64>,
        /// The fields that were left out because the provider had a value: a JSON list of names.
        pub skipped: Option<String>,
        /// The beginning of the provider's answer to an attempt that failed, without secrets.
        pub excerpt: Option<String>,
        /// Of a batch: the records that it carried and what became of each, a JSON list.
        pub records: Option<String>,
    }
}

row! {
    /// Everything that a write needs to know, from one read.
    pub struct RouteRow {
        /// The integration.
        pub integration_id: Uuid,
        /// Its name.
        pub integration_name: String,
        /// The installation.
        pub installation_id: Uuid,
        /// The config in force.
        pub config_id: Uuid,
        /// The config: JSON text.
        pub config_content: String,
        /// The revision: the latest, or the pinned one.
        pub revision_id: Uuid,
        /// The integration's content in that revision: JSON text.
        pub revision_content: String,
        /// The connection.
        pub connection_id: Uuid,
        /// The provider of the connection.
        pub provider: String,
        /// The customer's workspace at the provider.
        pub provider_workspace_ref: Option<String>,
        /// Further connection variables: JSON text.
        pub provider_metadata: Option<String>,
        /// The auth scheme of the connection.
        pub auth_scheme: String,
        /// The status of the connection.
        pub connection_status: String,
        /// The sealed credentials.
        pub credentials: Vec<u8>,
        /// Their version.
        pub credentials_version: i64,
    }
}

row! {
    /// The config of an installation, for the lane of its connection.
    pub struct LaneConfig {
        /// The lane: the connection's id.
        pub lane_id: Uuid,
        /// The config: JSON text.
        pub content: String,
    }
}

row! {
    /// A lane that has work, and what may keep it from starting.
    pub struct DueLane {
        /// The shard of the lane.
        pub shard: i16,
        /// The lane.
        pub lane_id: Uuid,
        /// When its earliest item may run.
        pub run_at: Time,
        /// The earliest deadline of its items, without what holds have added.
        pub deadline: Option<Time>,
        /// Set while the lane is held.
        pub hold_reason: Option<String>,
        /// Set while a rate limit pauses the lane.
        pub paused_until: Option<Time>,
        /// The store's clock at the time of the read.
        pub store_now: Time,
    }
}

row! {
    /// A lane with work, as people look at it.
    pub struct LaneStatus {
        /// The shard of the lane.
        pub shard: i16,
        /// The lane: the connection's id.
        pub lane_id: Uuid,
        /// The project's name.
        pub project: Option<String>,
        /// The connection's provider; absent, like its group, when the connection is gone.
        pub provider: Option<String>,
        /// The customer.
        pub group_ref: Option<String>,
        /// How many items wait or run.
        pub depth: i64,
        /// When its earliest item may run, or was to run.
        pub run_at: Time,
        /// Set while the lane is held.
        pub hold_reason: Option<String>,
        /// Since when, while it is held.
        pub held_from: Option<Time>,
        /// Set when a rate limit has paused the lane.
        pub paused_until: Option<Time>,
        /// Records of which later writes are held because an earlier one failed.
        pub held_records: i64,
        /// Whether a worker has the shard.
        pub has_worker: bool,
        /// The store's clock at the time of the read.
        pub store_now: Time,
    }
}

row! {
    /// A due item with all that performing it takes.
    pub struct Claimed {
        /// The shard.
        pub shard: i16,
        /// The lane: the connection's id.
        pub lane_id: Uuid,
        /// With lane and operation the key of the item.
        pub run_at: Time,
        /// The operation.
        pub operation_id: Uuid,
        /// The project.
        pub project_id: Uuid,
        /// Grows in the order of acceptance.
        pub seq: i64,
        /// Items with the same key in a lane run singly, by `seq`.
        pub record_key: Option<i64>,
        /// True when an earlier item of the same record still waits, or has failed and holds it: this one can only be ended, at
        /// its deadline.
        pub behind: bool,
        /// How many attempts have been spent.
        pub attempt: i32,
        /// The connection's provider; absent when the connection is gone.
        pub provider: Option<String>,
        /// The installation.
        pub installation_id: Uuid,
        /// The config that was in force when it was accepted.
        pub config_id: Uuid,
        /// The revision that was the latest then.
        pub revision_id: Uuid,
        /// The object as the app named it.
        pub object: String,
        /// `create`, `update` or `delete`.
        pub action: String,
        /// The request as accepted: JSON text.
        pub request: String,
        /// When it was accepted.
        pub accept_time: Time,
        /// When retrying ends.
        pub deadline: Option<Time>,
        /// The lane's last hold: from.
        pub held_from: Option<Time>,
        /// The lane's last hold: until.
        pub held_until: Option<Time>,
        /// When a request left whose outcome was never stored, the time it left.
        pub in_doubt_since: Option<Time>,
        /// The store's clock at the time of the read.
        pub store_now: Time,
    }
}

/// A project to be made.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Its id.
    pub id: Uuid,
    /// Its name, validated.
    pub name: String,
    /// The app's name.
    pub app_name: String,
    /// The organisation's id.
    pub org_id: Uuid,
}

/// An API key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its id.
    pub id: Uuid,
    /// SHA-256 of the key.
    pub key_hash: Vec<u8>,
    /// What lists show.
    pub masked: String,
    /// A name for people.
    pub label: String,
    /// Scopes, comma-separated.
    pub scopes: String,
}

/// Names one API key within a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRef<'a> {
    /// By id.
    Id(Uuid),
    /// By the SHA-256 of the key itself.
    Hash(&'a [u8]),
}

/// What may be changed of an API key; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyChange {
    /// New label.
    pub label: Option<String>,
    /// New scopes, comma-separated.
    pub scopes: Option<String>,
    /// New state.
    pub active: Option<bool>,
}

/// Names one integration within a project: the id when the text is one, else the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegrationRef<'a> {
    /// By id.
    Id(Uuid),
    /// By name, without regard to case.
    Name(&'a str),
}

impl<'a> IntegrationRef<'a> {
    /// Reads a path segment.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        Uuid::try_parse(text).map_or(Self::Name(text), Self::Id)
    }
}

/// One integration of a deploy.
#[derive(Debug, Clone)]
pub struct NewIntegration {
    /// The id it gets when it is new.
    pub id: Uuid,
    /// The id of the revision that is made when something changed.
    pub revision_id: Uuid,
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// The manifest's specVersion.
    pub spec_version: String,
    /// Its content: JSON text.
    pub content: String,
}

impl NewIntegration {
    /// Whether a deploy of this makes a new revision of what is there.
    #[must_use]
    pub fn changes(&self, old: &Integration) -> bool {
        old.content != self.content || old.spec_version != self.spec_version
    }
}

/// A connection to be made. The group and the consumer are made, or renamed when a name is given.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// Its id.
    pub id: Uuid,
    /// The provider.
    pub provider: String,
    /// The customer.
    pub group_ref: String,
    /// The customer's name, when given.
    pub group_name: Option<String>,
    /// The person.
    pub consumer_ref: String,
    /// That person's name, when given.
    pub consumer_name: Option<String>,
    /// The workspace at the provider.
    pub provider_workspace_ref: Option<String>,
    /// Further variables: JSON text.
    pub provider_metadata: Option<String>,
    /// The auth scheme.
    pub auth_scheme: String,
    /// Sealed credentials.
    pub credentials: Vec<u8>,
}

/// What may be changed of a connection; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct ConnectionChange {
    /// New workspace.
    pub provider_workspace_ref: Option<String>,
    /// New variables: JSON text.
    pub provider_metadata: Option<String>,
    /// New sealed credentials. The status becomes `created` and the lane's authorization hold ends.
    pub credentials: Option<Vec<u8>>,
}

/// Which connections to list; `None` means any.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFilter {
    /// Of this provider.
    pub provider: Option<String>,
    /// Of this group.
    pub group_ref: Option<String>,
    /// Of this consumer.
    pub consumer_ref: Option<String>,
}

/// An installation to be made, with its first config.
#[derive(Debug, Clone)]
pub struct NewInstallation {
    /// Its id.
    pub id: Uuid,
    /// The integration.
    pub integration_id: Uuid,
    /// The connection.
    pub connection_id: Uuid,
    /// The customer.
    pub group_ref: String,
    /// Who made it.
    pub created_by: String,
    /// The config.
    pub config: NewConfig,
}

/// A config to be written.
#[derive(Debug, Clone)]
pub struct NewConfig {
    /// Its id.
    pub id: Uuid,
    /// The latest revision.
    pub revision_id: Uuid,
    /// JSON text.
    pub content: String,
    /// Who wrote it.
    pub created_by: String,
}

/// A change of an installation. It holds only while the config that it was computed from is still in force.
#[derive(Debug, Clone)]
pub struct InstallationChange {
    /// The config that the change was computed from.
    pub expected_config_id: Uuid,
    /// The connection from now on.
    pub connection_id: Uuid,
    /// The config from now on.
    pub config: NewConfig,
}

/// What both kinds of operation have in common.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// Its id.
    pub id: Uuid,
    /// The project.
    pub project_id: Uuid,
    /// The integration.
    pub integration_id: Uuid,
    /// The installation.
    pub installation_id: Uuid,
    /// The config in force.
    pub config_id: Uuid,
    /// The latest revision.
    pub revision_id: Uuid,
    /// The connection, and lane.
    pub connection_id: Uuid,
    /// The object as the app named it.
    pub object: String,
    /// What it does.
    pub action: Action,
    /// The request as received: JSON text.
    pub request: String,
    /// The app's own name for the record.
    pub client_ref: Option<String>,
    /// The operation that this one repeats.
    pub replay_of: Option<Uuid>,
}

/// A write to be accepted: it is in the queue from then on.
#[derive(Debug, Clone)]
pub struct AcceptOperation {
    /// The operation.
    pub operation: NewOperation,
    /// Items with the same key in a lane run singly, in the order they were accepted.
    pub record_key: Option<i64>,
    /// Of a batch: the keys of its records, each once.
    pub record_keys: Vec<i64>,
    /// True when later writes to its record are held if it fails.
    pub holds: bool,
    /// How long it may be retried.
    pub deadline: Duration,
    /// The idempotency key that it claims.
    pub key: Option<NewIdempotencyKey>,
    /// Set for a synchronous write: whoever accepts it performs it.
    pub performing: Option<Performing>,
    /// Set for a write that shares an operation with others like it: then this operation is only made when none is open.
    pub gather: Option<Gather>,
}

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

/// A write that its acceptor is about to perform, while the app waits.
#[derive(Debug, Clone)]
pub struct Performing {
    /// The queue leaves it alone for this long: afterwards its performer is gone for good.
    pub hold: Duration,
    /// Set when it must not be repeated blindly: its first row.
    pub sent: Option<NewAttempt>,
}

/// An idempotency key to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIdempotencyKey {
    /// The key, as the app sent it.
    pub key: String,
    /// SHA-256 of what the app asked for.
    pub fingerprint: Vec<u8>,
}

/// What became of a write to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was accepted at this time.
    At(Time),
    /// It shares an operation with others.
    Gathered(Gathered),
    /// Its idempotency key is taken: nothing of it was stored.
    KeyTaken,
}

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

row! {
    /// The use of an idempotency key, with what its operation has come to.
    pub struct IdempotencyUse {
        /// SHA-256 of what the app asked for.
        pub fingerprint: Vec<u8>,
        /// The operation.
        pub operation_id: Uuid,
        /// Which record of the operation it was used for, where single writes share one.
        pub batch_index: Option<i32>,
        /// `synchronous` or `asynchronous`.
        pub mode: String,
        /// True when the key is free again.
        pub released: Option<bool>,
        /// The answer to a synchronous write, as its performer kept it.
        pub answer: Option<String>,
        /// The end state, absent while it runs.
        pub state: Option<String>,
        /// The provider's record id.
        pub record_id: Option<String>,
        /// The errors: a JSON list of texts.
        pub errors: Option<String>,
        /// Of a batch: how each record ended, a JSON list.
        pub records: Option<String>,
    }
}

row! {
    /// What a waiting operation waits for.
    pub struct Live {
        /// When it may run.
        pub run_at: Time,
        /// How many attempts have been spent.
        pub attempt: i32,
        /// Set while the lane is held.
        pub hold_reason: Option<String>,
        /// The lane's last hold: from.
        pub held_from: Option<Time>,
        /// The lane's last hold: until.
        pub held_until: Option<Time>,
        /// Set while a rate limit pauses the lane.
        pub paused_until: Option<Time>,
        /// True when an earlier write to the same record still waits.
        pub behind: bool,
        /// The write that failed and holds the record: the first one that stands before this one.
        pub held_by: Option<Uuid>,
        /// True while single writes are gathered in it.
        pub gathering: bool,
        /// The store's clock at the time of the read.
        pub store_now: Time,
    }
}

row! {
    /// What repeating an operation takes.
    pub struct Accepting {
        /// The request as accepted: JSON text; empty when it is no longer kept.
        pub request: String,
        /// The customer, when the installation is still there.
        pub group_ref: Option<String>,
    }
}

row! {
    /// A request to cancel an operation.
    pub struct Cancellation {
        /// The lane.
        pub lane_id: Uuid,
        /// The project.
        pub project_id: Uuid,
        /// The operation.
        pub operation_id: Uuid,
    }
}

/// What came of cancelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be sent: it has its result.
    Yes,
    /// It is in the queue no more, or the worker has lost the shard.
    Gone,
    /// A synchronous write: whoever accepted it performs it.
    Synchronous,
    /// An earlier attempt may have been applied.
    MaybeApplied,
}

/// Where a request to cancel stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancellationState {
    /// No worker has looked at it yet.
    Asked,
    /// A worker has refused, for this reason.
    Refused(String),
    /// It is there no more: it was done, or withdrawn.
    Gone,
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

/// The end of a write that its acceptor performed. It takes effect only while nobody else has taken the item over.
#[derive(Debug, Clone)]
pub struct FinishOperation {
    /// The project.
    pub project_id: Uuid,
    /// The lane.
    pub lane_id: Uuid,
    /// The operation.
    pub operation_id: Uuid,
    /// The item's time, as accepted.
    pub run_at: Time,
    /// The attempts; they are kept in any case.
    pub attempts: Vec<NewAttempt>,
    /// What happens to the item.
    pub ending: Finish,
}

/// How an acceptor ends what it performed.
#[derive(Debug, Clone)]
pub enum Finish {
    /// With this result, and this answer for whoever repeats the request.
    Result(NewResult, NewAnswer),
    /// It is not known whether it was applied: the queue finds out.
    HandOver,
}

/// What a repeated request is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewAnswer {
    /// This: JSON text.
    Keep(String),
    /// Nothing: it was not applied, and the key is free again.
    Release,
}

/// A synchronous write that has been performed.
#[derive(Debug, Clone)]
pub struct RecordOperation {
    /// The operation.
    pub operation: NewOperation,
    /// How it ended.
    pub result: NewResult,
    /// The attempts: one when a request left, several for a batch that took several calls.
    pub attempts: Vec<NewAttempt>,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewResult {
    /// The end state.
    pub state: EndState,
    /// One line for people.
    pub summary: String,
    /// The provider's record id.
    pub record_id: Option<String>,
    /// The errors: a JSON list of texts.
    pub errors: String,
    /// How many attempts it took.
    pub attempts: i32,
    /// Of a batch: how each record ended, a JSON list.
    pub records: Option<String>,
}

/// The states in which an operation can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndState {
    /// The provider has it.
    Succeeded,
    /// It has not been applied, and will not be.
    Failed,
    /// It may have been applied; a person must look.
    NeedsReview,
    /// It was stopped before it was sent.
    Cancelled,
}

impl EndState {
    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::NeedsReview => "needs_review",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One row of an attempt to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// One id for the sending and the answer of the same request.
    pub id: Uuid,
    /// The project.
    pub project_id: Uuid,
    /// The operation.
    pub operation_id: Uuid,
    /// Counts from 1.
    pub number: i32,
    /// Sent, or answered.
    pub state: AttemptState,
    /// When the request left.
    pub start_time: Time,
    /// The provider's HTTP status.
    pub status: Option<i32>,
    /// How the answer was classified.
    pub class: Option<String>,
    /// The provider's message, shortened.
    pub message: Option<String>,
    /// Microseconds until the answer.
    pub latency_us: Option<i64>,
    /// The fields that were left out because the provider had a value: a JSON list of names.
    pub skipped: Option<String>,
    /// The beginning of the provider's answer to an attempt that failed, without secrets.
    pub excerpt: Option<String>,
    /// Of a batch: the records that it carries and what became of each, a JSON list.
    pub records: Option<String>,
}

impl NewAttempt {
    /// The row that says "a request is about to leave".
    #[must_use]
    pub const fn sent(id: Uuid, project_id: Uuid, operation_id: Uuid, number: i32, start_time: Time) -> Self {
        Self {
            id,
            project_id,
            operation_id,
            number,
            state: AttemptState::Sent,
            start_time,
            status: None,
            class: None,
            message: None,
            latency_us: None,
            skipped: None,
            excerpt: None,
            records: None,
        }
    }
}

/// Which row of an attempt this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// Written before the request leaves.
    Sent,
    /// Written when its outcome is known.
    Answered,
    /// Written when no usable answer came: the outcome stays in doubt.
    Unanswered,
}

impl AttemptState {
    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Answered => "answered",
            Self::Unanswered => "unanswered",
        }
    }
}

/// A shard that a worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The shard, 0 to 63.
    pub shard: i16,
    /// Grows with each change of owner: the fence.
    pub epoch: i64,
}

/// What a worker holds after leasing, and how much would be its fair share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    /// The shards it holds.
    pub held: Vec<Lease>,
    /// The number of shards that each live worker should hold at most.
    pub fair_share: usize,
}

/// A place in a lane: its items stand in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When the item may run.
    pub run_at: Time,
    /// The item's operation.
    pub operation_id: Uuid,
}

impl Place {
    /// Before every item that may run at this time.
    #[must_use]
    pub const fn before(run_at: Time) -> Self {
        Self {
            run_at,
            operation_id: Uuid::nil(),
        }
    }

    /// Before every item.
    pub const START: Self = Self::before(Time::from_micros(i64::MIN));
}

/// How much of one lane to claim, and what is known of it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneAsk {
    /// The shard of the lane.
    pub shard: i16,
    /// The lane.
    pub lane_id: Uuid,
    /// Reading begins behind this place.
    pub after: Place,
    /// At most so many items are claimed.
    pub limit: usize,
    /// At most so many rows are looked at for them.
    pub scan: i64,
    /// The items of this lane that are in memory: they are passed over.
    pub known: Vec<Uuid>,
    /// The records whose items are in memory: others of theirs have to wait.
    pub busy: Vec<i64>,
    /// Records of which an item has ended, with its `seq`: the next of each is claimed, wherever it stands.
    pub next_of: Vec<(i64, i64)>,
}

impl LaneAsk {
    /// Asks for the first `limit` items of a lane of which nothing is known.
    #[must_use]
    pub fn first(shard: i16, lane_id: Uuid, limit: usize) -> Self {
        Self {
            shard,
            lane_id,
            after: Place::START,
            limit,
            scan: i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
            known: Vec::new(),
            busy: Vec::new(),
            next_of: Vec::new(),
        }
    }
}

/// What a claim has read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Due items, those of each lane in their order.
    pub items: Vec<Claimed>,
    /// How far each lane was read, in the order of the asks.
    pub lanes: Vec<LaneRead>,
}

/// How far a lane was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRead {
    /// The lane.
    pub lane_id: Uuid,
    /// The next reading begins behind this place. Whatever is due before it has been claimed, is in memory, or waits
    /// behind an item of the same record, or is held because one failed.
    pub after: Place,
    /// True when more may be due behind `after`.
    pub more: bool,
    /// When everything due has been read: the time of the next item.
    pub next_due: Option<Time>,
    /// True when items were passed over because an earlier one of the same record waits, runs, or has failed and holds it.
    pub blocked: bool,
    /// Set while the lane is held.
    pub hold_reason: Option<String>,
    /// Set while a rate limit pauses the lane.
    pub paused_until: Option<Time>,
    /// The store's clock at the time of the read.
    pub store_now: Time,
}

/// A lane in which something may be past its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpireAsk {
    /// The shard of the lane.
    pub shard: i16,
    /// The lane.
    pub lane_id: Uuid,
    /// The items that are being performed: they are passed over.
    pub known: Vec<Uuid>,
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
