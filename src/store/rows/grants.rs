//! OAuth grants: who refreshes them, and how that went. The tokens themselves are the credentials of the connection.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::ConnectionStatus;
use crate::clock::Time;
use crate::store::Result;

/// OAuth grants.
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// What is known of the grant of a connection. `None` when it has none.
    async fn get_grant(&self, project_id: Uuid, connection_id: Uuid) -> Result<Option<Grant>>;
    /// Takes a grant to refresh it, unless somebody else has it, it was refreshed since, it has to wait, or its credentials are
    /// dead. That a token is about to be sent is durable when this returns. `None` when there is no such connection.
    async fn take_grant(&self, take: &TakeGrant) -> Result<Option<GrantToRefresh>>;
    /// Goes on having it; false when another one has it by now.
    async fn keep_grant(&self, held: &HeldGrant, lease: Duration) -> Result<bool>;
    /// Stores new tokens and gives the grant back. Answers the version of the credentials; `None` when another one has the grant
    /// by now, or the credentials were replaced: then nothing has changed.
    async fn store_grant(&self, held: &HeldGrant, tokens: &NewTokens) -> Result<Option<i64>>;
    /// Notes that there are no new tokens and gives the grant back; false when another one has it by now, or the credentials
    /// were replaced: then nothing has changed.
    async fn fail_grant(&self, held: &HeldGrant, failure: &GrantFailure) -> Result<bool>;
    /// Grants whose time has come, the most overdue first, except at these providers. (One statement for all projects, like every
    /// claim.)
    async fn due_grants(&self, limit: i64, except: &[String]) -> Result<Vec<DueGrant>>;
    /// How long from now until the next grant is due, if one will be.
    async fn next_due_grant(&self) -> Result<Option<Duration>>;
}

row! {
    /// What is known of the grant of a connection.
    pub struct Grant of "grants" {
        pub connection_id: Uuid,
        /// The app that it was given to; none when the tokens were brought from elsewhere.
        pub provider_app_id: Option<Uuid>,
        /// The provider's id of the account.
        pub account_id: Option<String>,
        /// The provider's name of the account.
        pub account_name: Option<String>,
        /// The scopes that were granted: separated by blanks.
        pub scopes: Option<String>,
        /// How long its last access token was said to live, in seconds.
        pub life_seconds: Option<i64>,
        /// When it is refreshed next without being asked for.
        pub refresh_time: Option<Time>,
        /// When the refresh token lapses.
        pub refresh_expire_time: Option<Time>,
        /// How often it failed in a row.
        pub failures: i32,
        /// When it is tried again.
        pub retry_time: Option<Time>,
        /// What was said when it failed.
        pub last_error: Option<String>,
        pub last_error_time: Option<Time>,
        pub last_refresh_time: Option<Time>,
    }
}

/// Who wants to refresh a grant.
#[derive(Debug, Clone)]
pub struct TakeGrant {
    /// The project.
    pub project_id: Uuid,
    /// The connection.
    pub connection_id: Uuid,
    /// The version of the credentials that are too old.
    pub credentials_version: i64,
    /// The process.
    pub owner: Uuid,
    /// How long it has it at least.
    pub lease: Duration,
}

row! {
    /// A grant with all that refreshing it needs.
    pub struct GrantToRefresh of "grants" {
        pub connection_id: Uuid,
        pub project_id: Uuid,
        /// The provider.
        pub provider: String,
        /// The customer's workspace at the provider.
        pub provider_workspace_ref: Option<String>,
        /// Further connection variables: JSON text.
        pub provider_metadata: Option<String>,
        /// The status of the connection.
        pub status: ConnectionStatus,
        pub credentials: Vec<u8>,
        pub credentials_version: i64,
        /// The app that it was given to.
        pub provider_app_id: Option<Uuid>,
        /// The provider's id of the account.
        pub account_id: Option<String>,
        /// How long its last access token was said to live, in seconds.
        pub life_seconds: Option<i64>,
        /// Grows each time that somebody takes it.
        pub epoch: i64,
        /// Whether who asked has it now.
        pub taken: bool,
        /// Whether somebody else has it.
        pub busy: bool,
        /// Since when a refresh token is in doubt: it was sent, and no answer was stored.
        pub sent_time: Option<Time>,
        /// How often it failed in a row.
        pub failures: i32,
        /// When it is tried again.
        pub retry_time: Option<Time>,
        /// What was said when it failed.
        pub last_error: Option<String>,
        /// The time now, by the store's clock.
        pub store_now: Time,
    }
}

/// A grant that a process has taken.
#[derive(Debug, Clone, Copy)]
pub struct HeldGrant {
    /// The project.
    pub project_id: Uuid,
    /// The connection.
    pub connection_id: Uuid,
    /// The process.
    pub owner: Uuid,
    /// Fences it off from those who had it before.
    pub epoch: i64,
    /// The version of the credentials that are replaced.
    pub credentials_version: i64,
}

/// What is known of a grant that was given.
#[derive(Debug, Clone, Default)]
pub struct NewGrant {
    /// The app that it was given to; `None` for tokens that were brought from elsewhere.
    pub provider_app_id: Option<Uuid>,
    /// The provider's id of the account, when it is known.
    pub account_id: Option<String>,
    /// The provider's name of it.
    pub account_name: Option<String>,
    /// The scopes, separated by blanks, when they are known.
    pub scopes: Option<String>,
    /// How long the access token is said to live, in seconds.
    pub life_seconds: Option<i64>,
    /// When it is refreshed without being asked for; `None`: never.
    pub refresh_in: Option<Duration>,
    /// When the refresh token lapses, when that is known.
    pub refresh_expires_in: Option<Duration>,
}

/// New tokens of a grant.
#[derive(Debug, Clone)]
pub struct NewTokens {
    /// Sealed.
    pub credentials: Vec<u8>,
    /// The connection's variables, when the answer changed them: JSON text.
    pub provider_metadata: Option<String>,
    /// What is known of the grant; what is `None` of account, scopes and the end of the refresh token stays.
    pub grant: NewGrant,
}

/// Why there are no new tokens.
#[derive(Debug, Clone)]
pub struct GrantFailure {
    /// In words, without secrets.
    pub said: String,
    /// What follows.
    pub then: AfterFailure,
    /// Whether the refresh token may have been used up by a request without an answer.
    pub in_doubt: bool,
}

/// What follows when a grant could not be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It is tried again after so long.
    Retry(Duration),
    /// The provider does not accept the app: what waits for this connection is held until that is mended, and it is tried again
    /// after so long.
    Hold(Uuid, Duration),
    /// The customer has to connect again: what waits is held until then.
    Dead,
    /// The old tokens are still good, and nothing is wrong; it is due again after so long.
    StillGood(Duration),
}

row! {
    /// A grant whose time has come.
    pub struct DueGrant of "grants" {
        pub connection_id: Uuid,
        pub project_id: Uuid,
        /// The provider.
        pub provider: String,
        pub credentials_version: i64,
    }
}
