//! Outcomes in words, as operations and answers tell them.

use serde_json::Value;

use crate::connectors::ProviderError;

/// What is told of a write that ends while an earlier request of it is in doubt.
pub const IN_DOUBT: &str =
    "an earlier request of it got no answer and may have been applied: look at the provider";

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
