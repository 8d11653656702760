//! Outcomes in words, as operations and answers tell them.

use serde_json::Value;

use super::perform::{Performed, certainly_not_applied};
use crate::connectors::{Outcome, ProviderError};
use crate::store::{EndState, NewResult};

/// The error of an outcome.
#[must_use]
pub const fn error_of(outcome: &Outcome) -> Option<&ProviderError> {
    match outcome {
        Outcome::Succeeded { .. } => None,
        Outcome::Rejected(error) | Outcome::Unauthorized(error) | Outcome::Unknown(error) => Some(error),
        Outcome::Retry { error, .. } => Some(error),
    }
}

/// What an attempt tells, in at most so many characters.
pub(super) fn message_of(performed: &Performed, limit: usize) -> Option<String> {
    match error_of(&performed.outcome) {
        None if performed.sent.is_none() => {
            Some("the provider has a value for every field: nothing was sent".to_owned())
        }
        error => error.map(|error| error.told(limit)),
    }
}

/// `[contacts] Write completed (1 succeeded, 0 failed)` and the like: one line for people.
#[must_use]
pub fn summary(object: &str, error: Option<&str>) -> String {
    match error {
        None => format!("[{object}] Write completed (1 succeeded, 0 failed)"),
        Some(error) => format!("[{object}] Error writing to provider: {error}"),
    }
}

/// The sentence for a rejected write: `error writing account: bad request: No such column … (code INVALID_FIELD)`.
#[must_use]
pub fn rejection(object: &str, error: &ProviderError) -> String {
    rejection_within(object, error, usize::MAX)
}

/// As [`rejection`], of at most so many characters.
#[must_use]
pub(super) fn rejection_within(object: &str, error: &ProviderError, limit: usize) -> String {
    use crate::connectors::ErrorClass as C;
    let kind = match error.class {
        C::Validation => "bad request",
        C::Conflict => "conflict",
        C::NotFound => "not found",
        C::Forbidden => "forbidden",
        C::Config => "configuration",
        C::Auth => "unauthorized",
        C::RateLimited | C::Quota => "rate limited",
        C::Lock => "record locked",
        C::Maintenance => "maintenance",
        C::Transient | C::Server => "provider error",
        C::Unknown => "unknown outcome",
    };
    let start = format!("error writing {object}: {kind}: ");
    let room = limit.saturating_sub(start.chars().count());
    format!("{start}{}", error.told(room))
}

/// A list of error texts as the store keeps it.
#[must_use]
pub fn error_list(errors: &[String]) -> String {
    Value::from(errors.to_vec()).to_string()
}

/// How a synchronous write ends: nobody tries it again but the app.
pub(super) fn end_of_synchronous(object: &str, performed: &Performed) -> NewResult {
    let attempts = i32::from(performed.sent.is_some());
    let (state, record_id, error) = match &performed.outcome {
        Outcome::Succeeded { record_id, .. } => (EndState::Succeeded, record_id.clone(), None),
        Outcome::Unknown(error) => (EndState::NeedsReview, None, Some(error)),
        // Sent, no usable answer, but safe to repeat: whether it was applied is not known either.
        Outcome::Retry { error, .. } if !certainly_not_applied(error) => {
            (EndState::NeedsReview, None, Some(error))
        }
        Outcome::Rejected(error) | Outcome::Unauthorized(error) => (EndState::Failed, None, Some(error)),
        Outcome::Retry { error, .. } => (EndState::Failed, None, Some(error)),
    };
    let errors: Vec<String> = error.map(|error| rejection(object, error)).into_iter().collect();
    NewResult {
        state,
        summary: summary(object, error.map(|error| error.told(usize::MAX)).as_deref()),
        record_id,
        errors: error_list(&errors),
        attempts,
        records: None,
    }
}
