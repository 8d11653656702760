//! A fault as data: what goes wrong, for which requests, how often.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kind::FaultKind;
use crate::sandbox::message::Provider;

/// When a waiting or answering fault acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before anything is written.
    BeforeCommit,
    /// After the write took effect.
    AfterCommit,
}

/// Which requests a fault is for. Every part that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// `hubspot`, `salesforce` or `echo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The account's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The HTTP method, in any case. `POST …?_HttpMethod=PATCH` counts as PATCH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path and query without the provider's prefix, `*` for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The object in the path, in any case (for Salesforce collections, of the first record).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// `create`, `update`, `upsert`, `delete`, `read`, `search`, `associate`, `authorize` (the consent page), `token`
    /// (the token endpoint), `introspect`, `revoke` or `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Text that the request's body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// A fault: its kind, the requests it is for, how often it acts, and the settings of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// What goes wrong.
    pub fault: FaultKind,
    /// Which requests it is for; all when absent.
    #[serde(default, rename = "match")]
    pub when: Matcher,
    /// How many matching requests pass first.
    #[serde(default)]
    pub skip: u64,
    /// How often it acts; always when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// The chance of acting on a matching request, 0 to 1, drawn from the sandbox's seed; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Before or after the commit, for `delay`, `hold`, `server_error`, `error`, `answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Milliseconds of a `delay`, or between the pieces of a `slow_drip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The HTTP status of an answering fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's error code (HubSpot `category`, Salesforce `errorCode`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The error's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The field names of a Salesforce error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
    /// Extra headers of the answer, text values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub headers: Map<String, Value>,
    /// The exact body of an `answer` or `server_error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The policy of a `rate_limit`: HubSpot `TEN_SECONDLY_ROLLING`, `SECONDLY`, `DAILY`; Salesforce
    /// `TOTAL_REQUESTS`, `CONCURRENT_REQUESTS`, `CONCURRENT_LONG_TXN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Seconds in a `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The id of the locked record of a `row_lock`; every record touched when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Which items (from 0) of a batch fail in `partial`; the first one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<usize>>,
    /// Size of a `huge_body` or a `long_token`; where a `truncate_json` ends (half when absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes per piece of a `slow_drip` (1 when absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<usize>,
    /// Milliseconds a search lags behind (30,000 when absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<i64>,
    /// The new instance of `change_instance_url`: a word, or a whole `http(s)` URL; that of `hostile_instance_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Seconds of a grace, or until the end of a `hard_expiry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The scopes that a `narrow_scope` leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The account that an `other_account` chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// For `truncate_json`: cut the connection too, so that `Content-Length` is not reached.
    #[serde(default)]
    pub cut: bool,
}

impl FaultSpec {
    /// A fault of that kind for every request, always.
    #[must_use]
    pub fn new(fault: FaultKind) -> Self {
        Self {
            fault,
            when: Matcher::default(),
            skip: 0,
            times: None,
            probability: None,
            phase: None,
            delay_ms: None,
            status: None,
            code: None,
            message: None,
            fields: None,
            headers: Map::new(),
            body: None,
            policy: None,
            retry_after: None,
            record: None,
            items: None,
            bytes: None,
            chunk_bytes: None,
            lag_ms: None,
            instance: None,
            seconds: None,
            scopes: None,
            instead: None,
            cut: false,
        }
    }

    /// Only for this provider.
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.when.provider = Some(provider);
        self
    }

    /// Only for this account.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.when.account = Some(account.into());
        self
    }

    /// Only for this HTTP method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.when.method = Some(method.into());
        self
    }

    /// Only for paths of this pattern, `*` for any text.
    #[must_use]
    pub fn path(mut self, pattern: impl Into<String>) -> Self {
        self.when.path = Some(pattern.into());
        self
    }

    /// Only for this object.
    #[must_use]
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.when.object = Some(object.into());
        self
    }

    /// Only for this action, such as `create`.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.when.action = Some(action.into());
        self
    }

    /// Lets this many matching requests pass first.
    #[must_use]
    pub const fn skip(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Acts this many times.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Acts once.
    #[must_use]
    pub const fn once(self) -> Self {
        self.times(1)
    }

    /// Acts with this chance, 0 to 1, drawn from the sandbox's seed.
    #[must_use]
    pub const fn probability(mut self, probability: f64) -> Self {
        self.probability = Some(probability);
        self
    }

    /// Acts after the commit.
    #[must_use]
    pub const fn after_commit(mut self) -> Self {
        self.phase = Some(Phase::AfterCommit);
        self
    }

    /// Acts before the commit.
    #[must_use]
    pub const fn before_commit(mut self) -> Self {
        self.phase = Some(Phase::BeforeCommit);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// When a setting that its kind needs is missing or out of range: which one.
    pub fn check(&self) -> Result<(), String> {
        self.problem().map_or(Ok(()), Err)
    }

    pub(crate) fn is_after(&self) -> bool {
        self.phase == Some(Phase::AfterCommit)
    }

    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let name = self.fault.name();
        match self.fault {
            FaultKind::Delay if self.delay_ms.is_none() => Some(format!("{name} needs delay_ms")),
            FaultKind::Answer if self.status.is_none() => Some(format!("{name} needs status")),
            _ if self.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) => {
                Some("probability must lie between 0 and 1".to_owned())
            }
            _ if self.status.is_some_and(|s| !(200..=599).contains(&s)) => {
                Some("status must lie between 200 and 599".to_owned())
            }
            _ => None,
        }
    }
}
