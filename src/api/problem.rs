//! What a client sees when something goes wrong: RFC 9457 problem details with a stable `type` for each kind.
//!
//! Handlers answer a [`Problem`]; the request layer adds the request id and the time and writes the JSON. Causes that a client
//! must not see travel in it to the log, where the request layer writes them once.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CONNECTION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::clock::Time;
use crate::store::StoreError;
use crate::writes::request::Invalid;

/// Every kind of problem. The match in each method is exhaustive: a new kind cannot be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is not what it must be.
    InvalidRequest,
    /// No credential, or a wrong one.
    Unauthenticated,
    /// The credential may not do this.
    Forbidden,
    /// The path leads nowhere, or to something that this server does not serve.
    NotServed,
    /// The method is not one of the path's.
    MethodNotAllowed,
    /// No such thing.
    NotFound,
    /// The group has no installation of this integration.
    InstallationNotFound,
    /// It exists already, or is in use.
    Conflict,
    /// The operation is not in a state in which this can be done.
    WrongState,
    /// No worker answers.
    NoWorker,
    /// A setting of this server is missing that this needs.
    NotSetUp,
    /// Too many watch already.
    TooManyWatchers,
    /// The first request with this idempotency key is still being performed.
    KeyInUse,
    /// The idempotency key was used for another request.
    KeyReused,
    /// The body did not arrive in time.
    TooSlow,
    /// The body is larger than allowed.
    TooLarge,
    /// The body is encoded in a way that is not read.
    UnsupportedEncoding,
    /// A manifest or config breaks rules.
    InvalidManifest,
    /// A mask names what was not given.
    ValueMissing,
    /// The provider refuses the customer's credentials.
    CredentialDead,
    /// The provider's rate limit.
    ProviderRateLimit,
    /// So many asynchronous writes wait that no more are taken.
    QueueFull,
    /// The provider did not answer, or failed.
    ProviderFailed,
    /// The provider answered, but the outcome could not be stored.
    OutcomeNotStored,
    /// The installation cannot be used with this server.
    Unusable,
    /// The database does not answer.
    StoreUnavailable,
    /// A defect.
    Internal,
}

impl Code {
    const fn word(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotServed => "not-served",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NotFound => "not-found",
            Self::InstallationNotFound => "installation-not-found",
            Self::Conflict => "conflict",
            Self::WrongState => "wrong-state",
            Self::NoWorker => "no-worker",
            Self::NotSetUp => "not-set-up",
            Self::TooManyWatchers => "too-many-watchers",
            Self::KeyInUse => "idempotency-key-in-use",
            Self::KeyReused => "idempotency-key-reused",
            Self::TooSlow => "too-slow",
            Self::TooLarge => "too-large",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::InvalidManifest => "invalid-manifest",
            Self::ValueMissing => "value-missing",
            Self::CredentialDead => "credential-dead",
            Self::ProviderRateLimit => "provider-rate-limit",
            Self::QueueFull => "queue-full",
            Self::ProviderFailed => "provider-failed",
            Self::OutcomeNotStored => "outcome-not-stored",
            Self::Unusable => "installation-unusable",
            Self::StoreUnavailable => "store-unavailable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotServed | Self::NotFound | Self::InstallationNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::KeyInUse | Self::WrongState => StatusCode::CONFLICT,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidManifest | Self::ValueMissing | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::CredentialDead => StatusCode::FAILED_DEPENDENCY,
            Self::ProviderRateLimit | Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::ProviderFailed => StatusCode::BAD_GATEWAY,
            Self::OutcomeNotStored
            | Self::StoreUnavailable
            | Self::NoWorker
            | Self::NotSetUp
            | Self::TooManyWatchers => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unusable | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn retryable(self) -> bool {
        matches!(
            self,
            Self::StoreUnavailable
                | Self::TooSlow
                | Self::ProviderRateLimit
                | Self::KeyInUse
                | Self::QueueFull
                | Self::NoWorker
                | Self::TooManyWatchers
        )
    }
}

/// One problem.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    retryable: bool,
    remedy: Option<String>,
    causes: Vec<String>,
    issues: Vec<ProblemIssue>,
    retry_after: Option<Duration>,
    context: Option<Value>,
    closes: bool,
    /// For the log only.
    reason: Option<String>,
}

/// One of several things that are wrong with a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemIssue {
    /// `body`, `query`, `path` or `header`.
    pub r#in: &'static str,
    /// Where in it.
    pub name: String,
    /// What is wrong and what to do.
    pub detail: String,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody {
    /// A stable URI for the kind of problem.
    #[schema(example = "urn:amp-write:problem:not-found")]
    pub r#type: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// When, RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub time: Time,
    /// Also in the header `X-Request-Id` and in the log.
    pub request_id: String,
    /// Always `api`.
    pub subsystem: &'static str,
    /// Whether sending the same request again is safe and can help.
    pub retryable: bool,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retry_after: Option<Time>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What led to it; of a request with `issues` the same as these, one text `name: detail` each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Everything that is wrong with the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<ProblemIssue>,
    /// Further facts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub context: Option<Value>,
}

impl Problem {
    /// A problem with its usual retryability.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retryable: code.retryable(),
            remedy: None,
            causes: Vec::new(),
            issues: Vec::new(),
            retry_after: None,
            context: None,
            closes: false,
            reason: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Overrides whether trying again is safe and can help.
    #[must_use]
    pub const fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds what led to it.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds further facts.
    #[must_use]
    pub fn context(mut self, context: Value) -> Self {
        self.context = Some(context);
        self
    }

    /// Ends the connection with it: a body that was announced has not been read.
    #[must_use]
    pub const fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Says for the log, not for the client, what was behind it.
    #[must_use]
    pub fn reason(self, error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.because(text)
    }

    /// As [`Problem::reason`], in words: never with a value of a record.
    #[must_use]
    pub fn because(mut self, text: String) -> Self {
        self.reason = Some(text);
        self
    }

    /// The kind in one word, for the log.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        self.code.word()
    }

    /// What happened, for the log: not where it may be the provider's words, which may repeat a record.
    #[must_use]
    pub fn log_detail(&self) -> Option<&str> {
        (!matches!(self.code, Code::ProviderFailed)).then_some(self.detail.as_str())
    }

    /// What was behind it, for the log.
    #[must_use]
    pub fn log_reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// A 400 about the body, listing everything that is wrong.
    #[must_use]
    pub fn invalid_body(issues: Vec<Invalid>) -> Self {
        let said = |issue: &Invalid| match issue.name.as_str() {
            "" => issue.detail.clone(),
            name => format!("{name} {}", issue.detail),
        };
        let detail = issues.iter().map(said).collect::<Vec<_>>().join("; ");
        Self::with_issues(Code::InvalidRequest, detail, issues)
    }

    /// A problem with everything that is wrong with the body.
    #[must_use]
    pub fn with_issues(code: Code, detail: impl Into<String>, issues: Vec<Invalid>) -> Self {
        let issues = issues.into_iter().map(|issue| ProblemIssue {
            r#in: "body",
            name: issue.name,
            detail: issue.detail,
        });
        Self {
            issues: issues.collect(),
            ..Self::new(code, detail)
        }
    }

    /// A 400 about one place of the body.
    pub fn invalid(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid_body(vec![Invalid::new(name, detail)])
    }

    /// A 400 about a header.
    pub fn header(name: &str, detail: impl Into<String>) -> Self {
        Self::elsewhere("header", name, detail.into())
    }

    /// The same, of another kind.
    #[must_use]
    pub const fn of_kind(mut self, code: Code) -> Self {
        self.code = code;
        self.retryable = code.retryable();
        self
    }

    /// A 400 about a parameter of the query.
    pub fn query(name: &str, detail: impl Into<String>) -> Self {
        Self::elsewhere("query", name, detail.into())
    }

    fn elsewhere(place: &'static str, name: &str, detail: String) -> Self {
        let text = format!("{name} {detail}");
        let issue = ProblemIssue {
            r#in: place,
            name: name.to_owned(),
            detail,
        };
        Self {
            issues: vec![issue],
            ..Self::new(Code::InvalidRequest, text)
        }
    }

    /// A 400 about one place of the body, in whole sentences.
    pub fn about(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let issue = ProblemIssue {
            r#in: "body",
            name: name.into(),
            detail: detail.clone(),
        };
        Self {
            issues: vec![issue],
            ..Self::new(Code::InvalidRequest, detail)
        }
    }

    /// A plain 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// What happened this time.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// The JSON, with what only the request layer knows.
    #[must_use]
    pub fn body(&self, request_id: &str, now: Time) -> ProblemBody {
        let status = self.code.status();
        ProblemBody {
            r#type: format!("urn:amp-write:problem:{}", self.code.word()),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            time: now,
            request_id: request_id.to_owned(),
            subsystem: "api",
            retryable: self.retryable,
            retry_after: self.retry_after.map(|wait| now.after(wait)),
            remedy: self.remedy.clone(),
            causes: self.all_causes(),
            issues: self.issues.clone(),
            context: self.context.clone(),
        }
    }

    /// What led to it, and what `issues` says once more as one text each: the official UI shows these alone.
    fn all_causes(&self) -> Vec<String> {
        let issues = self.issues.iter().map(|issue| match issue.name.as_str() {
            "" => issue.detail.clone(),
            name => format!("{name}: {}", issue.detail),
        });
        self.causes.iter().cloned().chain(issues).collect()
    }

    /// The value of `Retry-After`: whole seconds, rounded up.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
            .map(|seconds| seconds.max(1))
    }
}

/// The store's errors, where nothing was sent to a provider.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(detail) => Self::new(Code::Conflict, detail),
            StoreError::Unstorable => Self::new(
                Code::InvalidRequest,
                "a text of the request holds a NUL character, which cannot be stored",
            ),
            StoreError::Unavailable(cause) => Self::new(
                Code::StoreUnavailable,
                "the database does not answer, or takes no writes; nothing was stored and nothing was sent to a provider",
            )
            .retry_after(Duration::from_secs(1))
            .reason(&cause),
            StoreError::Undecided(cause) => Self::new(
                Code::StoreUnavailable,
                "the database does not say whether it has stored this: it may have, or may not",
            )
            .retryable(false)
            .context(serde_json::json!({ "outcome": "unknown" }))
            .remedy("Look whether it is there, when the database answers, before you send it again.")
            .reason(&cause),
            StoreError::Busy => Self::new(
                Code::StoreUnavailable,
                "more work is waiting for the database than it can take",
            )
            .retry_after(Duration::from_secs(1)),
            StoreError::Defect(cause) | StoreError::Unreadable { cause, .. } => Self::new(
                Code::Internal,
                "an internal error; the server's log says more under this requestId",
            )
            .reason(&cause),
        }
    }
}

/// The problem travels in the response's extensions until the request layer writes it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if self.code == Code::UnsupportedEncoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
