//! What a provider's answer says about a write, and what of it may be told.

use crate::connectors::{ErrorClass, Outcome, ProviderError, Refusal, RefusalKind, RetryClass};

/// The class of an outcome in one word, for attempts and logs.
pub(super) const fn class_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded { .. } => "success",
        Outcome::Unknown(_) => "outcome_unknown",
        Outcome::Retry {
            class: RetryClass::Transient,
            error,
            ..
        } => match error.class {
            ErrorClass::Server => "server",
            ErrorClass::Unknown => "outcome_unknown",
            _ => "transient",
        },
        Outcome::Retry { class, .. } => class.as_str(),
        Outcome::Rejected(error) | Outcome::Unauthorized(error) => error.class.as_str(),
    }
}

pub(super) fn clean(text: &mut String, secrets: &[&str]) {
    for secret in secrets {
        if text.contains(secret) {
            *text = text.replace(secret, "***");
        }
    }
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

/// Takes out what must not be shown or cannot be kept: secrets that a provider repeats, and NUL characters.
pub(super) fn make_presentable(outcome: &mut Outcome, secrets: &[&str]) {
    match outcome {
        Outcome::Succeeded { record_id, .. } => {
            record_id.iter_mut().for_each(|text| clean(text, secrets));
        }
        Outcome::Rejected(error)
        | Outcome::Unauthorized(error)
        | Outcome::Unknown(error)
        | Outcome::Retry { error, .. } => {
            let ProviderError {
                code,
                message,
                existing_id,
                ..
            } = error;
            for text in [Some(message), code.as_mut(), existing_id.as_mut()]
                .into_iter()
                .flatten()
            {
                clean(text, secrets);
            }
        }
    }
}

/// Whether the write that ended so may have been applied, and nobody knows: it left, and no usable answer came.
#[must_use]
pub const fn may_have_been_applied(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Unknown(_) => true,
        Outcome::Retry { error, .. } => !certainly_not_applied(error),
        Outcome::Succeeded { .. } | Outcome::Rejected(_) | Outcome::Unauthorized(_) => false,
    }
}

/// Whether an error leaves no doubt that the provider did nothing.
#[must_use]
pub const fn certainly_not_applied(error: &ProviderError) -> bool {
    !matches!(error.class, ErrorClass::Server | ErrorClass::Unknown)
}

pub(super) fn error(class: ErrorClass, message: impl Into<String>) -> ProviderError {
    ProviderError {
        class,
        code: None,
        message: message.into(),
        status: 0,
        existing_id: None,
    }
}

/// What the outcome of a read means for the write that it comes before: whatever went wrong, the write was not sent.
pub(super) fn of_read(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Retry { error, class, after } if !certainly_not_applied(&error) => Outcome::Retry {
            error: ProviderError {
                class: ErrorClass::Transient,
                ..error
            },
            class,
            after,
        },
        other => other,
    }
}

/// A refusal of the connector as the error of an outcome.
pub(super) fn refused(refusal: &Refusal) -> ProviderError {
    let class = match refusal.kind {
        RefusalKind::InvalidVariable | RefusalKind::LookupFailed => ErrorClass::Config,
        _ => ErrorClass::Validation,
    };
    error(class, refusal.message.clone())
}

/// The error of an outcome.
#[must_use]
pub const fn error_of(outcome: &Outcome) -> Option<&ProviderError> {
    match outcome {
        Outcome::Succeeded { .. } => None,
        Outcome::Rejected(error) | Outcome::Unauthorized(error) | Outcome::Unknown(error) => Some(error),
        Outcome::Retry { error, .. } => Some(error),
    }
}
