//! OAuth 2 as its client: the URL where a customer agrees, the requests for tokens, and what their answers mean. Pure: a
//! [`TokenRequest`] is sent with [`super::Outbound::send`], whose guard, timeout and cap count for it as for any other.
//!
//! What is particular to a provider stands in its file, under `auth.oauth2`.

mod account;
mod answer;
mod ask;
mod fault;
mod form;

use std::collections::BTreeMap;
use std::time::Duration;

pub use account::{account_of, callback_vars, read_who, who};
pub use answer::{MAX_ANSWER_BYTES, MAX_TOKEN_BYTES, read};
pub use ask::{authorize_url, exchange, new_verifier, refresh, revoke, revokes, revokes_others, uses_pkce};
pub(super) use form::Form;

use super::WireRequest;
use crate::connectors::{Connector, RetryClass, RetryHint};
use crate::vault::Secret;

/// The app at the provider that asks on behalf of a project.
#[derive(Debug, Clone)]
pub struct ClientApp {
    /// Its id.
    pub client_id: String,
    /// Its secret; a public app has none. An empty one is none.
    pub client_secret: Option<Secret>,
    /// The scopes that every customer is asked for. Of none, those of the file are.
    pub scopes: Vec<String>,
    /// The scopes that an account may lack.
    pub optional_scopes: Vec<String>,
    /// What else is particular to it, by the names that the file uses as `{app.x}`.
    pub params: BTreeMap<String, String>,
    /// Further parameters of the authorisation URL.
    pub auth_params: BTreeMap<String, String>,
}

/// A request for a token, or about one.
#[derive(Debug)]
pub struct TokenRequest {
    /// What is sent.
    pub wire: WireRequest,
    /// What proves who we are: an answer may repeat it.
    pub secrets: Vec<Secret>,
}

/// What a token answer gives.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The token that requests carry.
    pub access_token: Secret,
    /// How long it lives.
    pub life: Life,
    /// A refresh token, to be stored in the place of the one before. With `None` that one stays good.
    pub refresh_token: Option<Secret>,
    /// How long the refresh token lives when it is not used, by the answer or else by the file.
    pub refresh_life: Option<Duration>,
    /// After how long the grant ends whatever is refreshed, by the answer. What the file says of it counts from consent on:
    /// [`grant_life`].
    pub grant_life: Option<Duration>,
    /// The scopes of the grant, when the answer names them.
    pub scopes: Option<Vec<String>>,
    /// The variables of the connection that the answer tells. One that it does not tell keeps its value.
    pub found: BTreeMap<String, String>,
    /// Whose grant it is, when the answer says so.
    pub account: Option<AccountId>,
    /// What was odd about the answer, for a log. No secret is in it.
    pub warnings: Vec<String>,
}

/// How long an access token lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// The answer says so.
    Told(Duration),
    /// It does not, or says what cannot be.
    Unknown,
}

impl Life {
    /// What the answer says.
    #[must_use]
    pub const fn told(self) -> Option<Duration> {
        match self {
            Self::Told(life) => Some(life),
            Self::Unknown => None,
        }
    }

    /// The lifetime, or what the provider's file supposes; `None` where nobody knows: then a token is good until it is
    /// refused.
    #[must_use]
    pub fn or_default(self, connector: &Connector) -> Option<Duration> {
        match self {
            Self::Told(life) => Some(life),
            Self::Unknown => connector.auth().expires_in().map(Duration::from_secs),
        }
    }
}

/// How long a grant lasts from consent on, whatever is refreshed, by the provider's file.
#[must_use]
pub fn grant_life(connector: &Connector) -> Option<Duration> {
    let days = connector.auth().oauth2()?.grant_days?;
    Some(Duration::from_secs(u64::from(days) * 86_400))
}

/// An account at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountId {
    /// What stays the same when the customer agrees again.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct GrantFault {
    /// The provider's code, such as `invalid_grant`.
    pub code: Option<String>,
    /// What it said, or what is wrong with its answer: without a secret that was sent, in one line, not at length.
    pub said: String,
    /// The HTTP status.
    pub status: u16,
    /// What it means.
    pub kind: FaultKind,
}

/// What a failed token request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The grant is over: the customer has to agree again.
    Dead,
    /// The app at the provider is set up wrongly, its secret say. The operator has to act; no customer can.
    App,
    /// No other token is given while the one before is good.
    StillValid,
    /// It may succeed later. The grant is as good as before.
    Passing {
        /// Why.
        class: RetryClass,
        /// When to ask again, if the provider says so.
        after: Option<RetryHint>,
    },
    /// The answer names what is not the provider's, such as an address to send the token to. Nothing of it may be used.
    Hostile,
    /// Any other refusal. It says nothing about a grant that was there before.
    Refused,
}

/// What errors of a token request mean for what was sent with the token: nothing of it has left.
impl GrantFault {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self.kind, FaultKind::Passing { .. })
    }
}

#[cfg(test)]
mod tests;
