//! The words a connector and its callers share: commands, requests, answers, outcomes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::Action;
use crate::json;

/// One write of one record, after mapping: what the connector turns into a request.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// What to do to the record.
    pub action: Action,
    /// The provider's name of the object, such as `contacts` or `Account`.
    pub object: &'a str,
    /// The provider's id of the record; needed for update and delete.
    pub record_id: Option<&'a str>,
    /// The record in the provider's words; empty on a delete.
    pub record: &'a Map<String, Value>,
    /// Links to other records, in the provider's own shape. Only some providers take them.
    pub associations: &'a [Value],
    /// Headers the caller wants passed on, as name and value. Only some providers take them.
    pub headers: &'a [(String, String)],
    /// The variables of the connection, such as `workspace`.
    pub vars: &'a BTreeMap<String, String>,
    /// A key that is the same on every attempt of this write. Used where the provider knows such keys.
    pub idempotency_key: Option<&'a str>,
    /// Whether an earlier request for this write may have been applied: then a delete of what is not there is done.
    pub repeated: bool,
}

/// A request as the provider shall get it, except for credentials: those are attached by the outbound layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRequest {
    /// The HTTP method.
    pub method: http::Method,
    /// The absolute URL, query included, fully escaped.
    pub url: String,
    /// Headers other than `Content-Type`, as name and value, in the order they are sent.
    pub headers: Vec<(String, String)>,
    /// The value of `Content-Type`; present when there is a body.
    pub content_type: Option<String>,
    /// The body; `None` when the request has none.
    pub body: Option<Vec<u8>>,
}

/// An answer of the provider, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, possibly empty; text in UTF-8 as far as the answer says in what it came.
    pub body: Vec<u8>,
    /// True when the body is not whole: cut off, by the connection or by our own size limit, or in an encoding that is not
    /// read.
    pub truncated: bool,
}

impl ProviderResponse {
    /// The value of the first header with this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The body as JSON: `None` when there is none. Characters that cannot be read are replaced, so that one of them does
    /// not hide the rest.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub fn json(&self) -> Result<Option<Value>, &'static str> {
        if self.truncated {
            return Err("its body did not arrive whole, or in an encoding that is not read");
        }
        if json::trimmed(&self.body).is_empty() {
            return Ok(None);
        }
        json::read(&self.body).map(Some).ok_or("its body is not JSON")
    }

    /// What can be made out of the body: for a refusal, whose status has said already that nothing was done, and whose code
    /// says why.
    #[must_use]
    pub fn json_so_far(&self) -> Option<Value> {
        if self.truncated {
            json::read_cut(&self.body)
        } else {
            json::read(&self.body)
        }
    }
}

/// What to do next for a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This is the write itself.
    Send(ProviderRequest),
    /// A read that has to come first. Send it, and call [`super::Connector::prepare`] again with its answer.
    Lookup(ProviderRequest),
}

/// What the provider's answer says about a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The provider did it.
    Succeeded {
        /// The provider's id of the record, where one is known.
        record_id: Option<String>,
        /// What the provider said about the record: always a JSON object.
        data: Option<Value>,
    },
    /// The provider refused, and would refuse again.
    Rejected(ProviderError),
    /// The write was certainly not applied, or may be repeated without harm, and a later attempt may succeed.
    Retry {
        /// What the provider said.
        error: ProviderError,
        /// Why a later attempt may succeed.
        class: RetryClass,
        /// When the provider wants the next attempt, if it says so.
        after: Option<RetryHint>,
    },
    /// The credential was not accepted: refresh it once and repeat once.
    Unauthorized(ProviderError),
    /// The write was sent, and the answer does not say whether it was applied. Must not be repeated blindly.
    Unknown(ProviderError),
}

/// What went wrong, in one shape for all providers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// The kind of error.
    pub class: ErrorClass,
    /// The provider's own code, such as `PROPERTY_DOESNT_EXIST`.
    pub code: Option<String>,
    /// The provider's own text, or ours when it gave none.
    pub message: String,
    /// The HTTP status it came with.
    pub status: u16,
    /// On a conflict: the id of the record that is already there, when the provider names it.
    pub existing_id: Option<String>,
}

/// What is longer is no code but a text, and not told as one.
const MAX_CODE: usize = 100;

impl ProviderError {
    /// The text with the provider's code and the record that is already there, as far as it does not name them itself; of
    /// at most so many characters, of which the text gives way.
    #[must_use]
    pub fn told(&self, limit: usize) -> String {
        let missing =
            |part: &Option<String>| part.clone().filter(|part| !self.message.contains(part.as_str()));
        let code = missing(&self.code)
            .filter(|code| code.len() <= MAX_CODE)
            .map(|code| format!("code {code}"));
        let existing = missing(&self.existing_id).map(|id| format!("existing record {id}"));
        let more: Vec<String> = [code, existing].into_iter().flatten().collect();
        let more = match more.as_slice() {
            [] => String::new(),
            more => format!(" ({})", more.join(", ")),
        };
        let room = limit.saturating_sub(more.chars().count());
        let message = match self.message.char_indices().nth(room) {
            Some((end, _)) => &self.message[..end],
            None => &self.message,
        };
        format!("{message}{more}")
    }
}

/// The kinds of errors. Also the words of `errors.classify` in a connector file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The record is not acceptable. Terminal.
    Validation,
    /// A record like this is already there, or a precondition failed. Terminal.
    Conflict,
    /// The record or the object is not there. Terminal, except that a delete of a missing record is done.
    NotFound,
    /// The credential is good and may not do this. Terminal.
    Forbidden,
    /// The connection or the provider's account is set up so that this cannot work. Terminal.
    Config,
    /// The credential was not accepted.
    Auth,
    /// Too many requests in a short time. Certainly not applied.
    RateLimited,
    /// A long-lasting quota (a day's calls) is used up. Certainly not applied.
    Quota,
    /// Somebody else holds the record for a moment. Certainly not applied.
    Lock,
    /// The provider refuses writes for a while (maintenance, migration). Certainly not applied.
    Maintenance,
    /// A passing failure that certainly did not apply the write.
    Transient,
    /// The provider failed (5xx): a create may or may not have been applied.
    Server,
    /// Nothing of the above.
    Unknown,
}

impl ErrorClass {
    /// The word for this class in files, traces and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Config => "config",
            Self::Auth => "auth",
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::Lock => "lock",
            Self::Maintenance => "maintenance",
            Self::Transient => "transient",
            Self::Server => "server",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a later attempt may succeed; the retry policy picks its delays by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// A short limit on the number of calls. The whole lane should pause.
    RateLimited,
    /// A long quota is used up. The whole lane should pause.
    Quota,
    /// The record is locked for a moment.
    Lock,
    /// The provider takes no writes for minutes or hours.
    Maintenance,
    /// A passing failure.
    Transient,
}

impl RetryClass {
    /// The word for this class in traces and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::Lock => "lock",
            Self::Maintenance => "maintenance",
            Self::Transient => "transient",
        }
    }
}

/// When the next attempt may be worth it. Never in the past; not bounded upwards, the caller's deadline does that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryHint {
    /// The provider asks to wait this long after the answer.
    After(Duration),
    /// The provider asks to wait until this time.
    At(jiff::Timestamp),
    /// Nobody asks for it: this long after the answer, as a connector file or a rule of ours supposes. It may be wrong, so it
    /// is no reason to give up.
    Guess(Duration),
}

impl RetryHint {
    /// The wait seen from `now`; zero when the time has passed.
    #[must_use]
    pub fn wait(self, now: jiff::Timestamp) -> Duration {
        match self {
            Self::After(wait) | Self::Guess(wait) => wait,
            Self::At(time) => Duration::try_from(time.duration_since(now)).unwrap_or(Duration::ZERO),
        }
    }

    /// Whether the provider itself has named it.
    #[must_use]
    pub const fn is_named(self) -> bool {
        !matches!(self, Self::Guess(_))
    }
}

/// A command that cannot be turned into a request. Nothing was sent, and nothing would change by trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal.
    pub kind: RefusalKind,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl Refusal {
    /// A variable of the connection is not there.
    #[must_use]
    pub fn missing_variable(name: &str) -> Self {
        let message = format!("the connection's variable `{name}` is missing");
        Self::new(RefusalKind::InvalidVariable, message)
    }

    pub(crate) fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// The kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The connector does not know this object.
    UnknownObject,
    /// The connector cannot do this action on this object.
    UnsupportedAction,
    /// Update or delete without a record id, or with one that cannot be one.
    InvalidRecordId,
    /// The record lacks a value that belongs into the request, or has one of the wrong kind.
    InvalidRecord,
    /// A caller's header is not allowed or not a header.
    InvalidHeader,
    /// Associations were given and the provider takes none.
    UnsupportedAssociations,
    /// A variable of the connection is missing or not acceptable.
    InvalidVariable,
    /// The answer to a lookup cannot be used.
    LookupFailed,
}

/// How much a provider takes from one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at the same time.
    pub concurrency: u32,
    /// Calls within [`Limits::per_millis`]; `None` when the provider publishes no such limit.
    pub requests: Option<u32>,
    /// The length of the window of [`Limits::requests`] in milliseconds.
    pub per_millis: u64,
    /// Records in one batch call; 1 when the connector has no batch.
    pub batch: u32,
}

impl Limits {
    /// The limit as calls per second, where there is one.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        self.requests
            .map(|n| f64::from(n) * 1000.0 / self.per_millis.max(1) as f64)
    }
}
