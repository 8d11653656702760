//! What an answer that is not a success means: the provider's codes first, then the HTTP status.

use jiff::Timestamp;
use serde_json::Value;

use super::answers::{find_id, holds};
use super::hint::{exhausted, hint, window};
use super::json_path::{JsonPath, scalar};
use super::plan::{ErrorPlan, Remedy};
use super::scope::Scope;
use crate::action::Action;
use crate::connectors::contract::{
    ErrorClass, Outcome, ProviderError, ProviderResponse, RetryClass, RetryHint,
};

/// A classified error.
pub struct Failure {
    /// The error.
    pub error: ProviderError,
    /// The wait that the file names for this kind.
    pub wait_seconds: Option<u64>,
}

/// Classifies an answer. `default` is the class when neither a rule nor the status says one.
#[must_use]
pub fn classify(
    plan: &ErrorPlan,
    scope: &Scope<'_>,
    action: Action,
    response: &ProviderResponse,
    body: Option<&Value>,
    default: Option<ErrorClass>,
    now: Timestamp,
) -> Failure {
    let codes = body.map(|body| texts(&plan.code, body)).unwrap_or_default();
    let own_text = body.and_then(|body| {
        let found = plan
            .message
            .iter()
            .map(|path| texts(std::slice::from_ref(path), body))
            .find(|t| !t.is_empty());
        found.map(|texts| joined(&texts))
    });
    let inner_status = body.and_then(|body| {
        texts(&plan.status, body)
            .first()
            .and_then(|s| s.parse::<u16>().ok())
            .filter(|s| (100..600).contains(s))
    });
    let status = inner_status.unwrap_or(response.status);
    let text = own_text.clone().or_else(|| body.and_then(common_text));
    let rule = plan.classify.iter().find(|rule| {
        (rule.status.is_empty() || rule.status.contains(&status))
            && (rule.code.is_empty() || rule.code.iter().any(|code| codes.contains(code)))
            && (rule.message.is_empty()
                || rule
                    .message
                    .iter()
                    .any(|part| text.as_ref().is_some_and(|text| text.contains(part.as_str()))))
            && (rule.on.is_empty() || rule.on.contains(&action))
    });
    let class = rule.map(|rule| rule.class);
    let class = class
        .or_else(|| limited(status, response, now))
        .or_else(|| by_status(status))
        .or(default)
        .unwrap_or(ErrorClass::Unknown);
    let existing_id = (class == ErrorClass::Conflict)
        .then(|| {
            plan.existing_id
                .iter()
                .find_map(|place| find_id(place, scope, response, body))
        })
        .flatten();
    let remedy = body.and_then(|body| {
        let fits = |remedy: &&Remedy| {
            remedy.code.iter().any(|code| codes.contains(code))
                && (remedy.when.is_empty() || remedy.when.iter().any(|when| holds(when, scope, body)))
        };
        plan.remedies.iter().find(fits)
    });
    let mut message = text.unwrap_or_else(|| fallback_text(response, body));
    if let Some(remedy) = remedy {
        let end = if message.ends_with(['.', '?', '!']) {
            " "
        } else {
            ". "
        };
        message = format!("{message}{end}{}", remedy.text);
    }
    Failure {
        error: ProviderError {
            class,
            code: codes.into_iter().next(),
            message,
            status: response.status,
            existing_id,
        },
        wait_seconds: rule.and_then(|rule| rule.wait_seconds),
    }
}

/// Whether a body has a code or a text where this provider's errors have them.
#[must_use]
pub fn tells_error(plan: &ErrorPlan, body: &Value) -> bool {
    !texts(&plan.code, body).is_empty() || !texts(&plan.message, body).is_empty()
}

fn texts(paths: &[JsonPath], body: &Value) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for value in paths.iter().flat_map(|path| path.all(body)) {
        let text = match value {
            Value::Array(items) => joined(&items.iter().filter_map(scalar).collect::<Vec<_>>()),
            Value::Object(map) if !map.is_empty() => value.to_string(),
            other => scalar(other).unwrap_or_default(),
        };
        if !text.is_empty() && !all.contains(&text) {
            all.push(text);
        }
    }
    all
}

fn joined(texts: &[String]) -> String {
    texts.join("; ")
}

/// Where most providers put their text.
fn common_text(body: &Value) -> Option<String> {
    const KEYS: [&str; 9] = [
        "message",
        "error_description",
        "error",
        "detail",
        "title",
        "errors",
        "msg",
        "description",
        "Message",
    ];
    let text = |value: &Value| scalar(value).filter(|t| !t.is_empty());
    let item = |value: &Value| match value {
        Value::Object(map) => KEYS.iter().find_map(|key| text(map.get(*key)?)),
        other => text(other),
    };
    match body {
        Value::Object(map) => KEYS.iter().find_map(|key| match map.get(*key)? {
            Value::Array(items) => {
                let all: Vec<String> = items.iter().filter_map(item).collect();
                (!all.is_empty()).then(|| joined(&all))
            }
            value => item(value),
        }),
        Value::Array(items) => {
            let all: Vec<String> = items.iter().filter_map(item).collect();
            (!all.is_empty()).then(|| joined(&all))
        }
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

fn fallback_text(response: &ProviderResponse, body: Option<&Value>) -> String {
    let status = response.status;
    if (300..400).contains(&status) {
        return format!("the provider answered with a redirect (status {status}), which is never followed");
    }
    let raw = String::from_utf8_lossy(&response.body);
    let raw = raw.trim();
    if body.is_none() && !raw.is_empty() {
        if let Some(title) = html_title(raw) {
            return format!("status {status}, with a web page: {title}");
        }
        return format!("status {status}: {}", shortened(raw));
    }
    match body {
        Some(body) if !matches!(body, Value::Null) => {
            format!("status {status}: {}", shortened(&body.to_string()))
        }
        _ => format!("status {status} without an explanation"),
    }
}

fn html_title(raw: &str) -> Option<&str> {
    let start = raw.find("<title>")? + "<title>".len();
    let end = raw[start..].find("</title>")?;
    Some(raw[start..start + end].trim())
}

fn shortened(text: &str) -> String {
    const MOST: usize = 500;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Some providers refuse with 403 what is over a limit (GitHub): then the answer says when to come back, or that no call is
/// left. A refusal for good says neither.
fn limited(status: u16, response: &ProviderResponse, now: Timestamp) -> Option<ErrorClass> {
    let told =
        || response.header("retry-after").is_some() && hint(response, RetryClass::RateLimited, now).is_some();
    (status == 403 && (told() || exhausted(response, now).is_some())).then_some(ErrorClass::RateLimited)
}

/// What an HTTP status means when the provider says nothing better.
const fn by_status(status: u16) -> Option<ErrorClass> {
    Some(match status {
        200..300 => return None,
        300..400 => ErrorClass::Config,
        401 | 419 | 440 | 498 => ErrorClass::Auth,
        403 | 451 => ErrorClass::Forbidden,
        404 | 410 => ErrorClass::NotFound,
        408 => ErrorClass::Server,
        409 | 412 => ErrorClass::Conflict,
        423 => ErrorClass::Lock,
        425 => ErrorClass::Transient,
        429 => ErrorClass::RateLimited,
        477 => ErrorClass::Maintenance,
        400..500 => ErrorClass::Validation,
        500.. => ErrorClass::Server,
        _ => ErrorClass::Unknown,
    })
}

/// The outcome of a failure. `repeat_safe`: sending the same request again can do no harm.
#[must_use]
pub fn outcome(failure: Failure, response: &ProviderResponse, now: Timestamp, repeat_safe: bool) -> Outcome {
    let Failure { error, wait_seconds } = failure;
    let class = match error.class {
        ErrorClass::Validation
        | ErrorClass::Conflict
        | ErrorClass::NotFound
        | ErrorClass::Forbidden
        | ErrorClass::Config => return Outcome::Rejected(error),
        ErrorClass::Auth => return Outcome::Unauthorized(error),
        ErrorClass::Unknown | ErrorClass::Server if !repeat_safe => return Outcome::Unknown(error),
        ErrorClass::Unknown | ErrorClass::Server | ErrorClass::Transient => RetryClass::Transient,
        ErrorClass::RateLimited => RetryClass::RateLimited,
        ErrorClass::Quota => RetryClass::Quota,
        ErrorClass::Lock => RetryClass::Lock,
        ErrorClass::Maintenance => RetryClass::Maintenance,
    };
    let after = hint(response, class, now)
        .or_else(|| wait_seconds.map(|s| RetryHint::Guess(std::time::Duration::from_secs(s))))
        .or_else(|| window(response));
    Outcome::Retry { error, class, after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn of(class: ErrorClass, repeat_safe: bool) -> Outcome {
        let failure = Failure {
            error: ProviderError {
                class,
                code: None,
                message: "m".to_owned(),
                status: 200,
                existing_id: None,
            },
            wait_seconds: None,
        };
        let response = ProviderResponse {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
            truncated: false,
        };
        outcome(failure, &response, now(), repeat_safe)
    }

    #[test]
    fn what_may_have_been_applied_is_tried_again_only_when_that_can_do_no_harm() {
        for class in [ErrorClass::Unknown, ErrorClass::Server] {
            assert!(matches!(of(class, false), Outcome::Unknown(_)), "{class:?}");
            let again = of(class, true);
            assert!(
                matches!(
                    &again,
                    Outcome::Retry { class: RetryClass::Transient, error, .. } if error.class == class
                ),
                "{again:?}"
            );
        }
        for class in [
            ErrorClass::Transient,
            ErrorClass::Lock,
            ErrorClass::RateLimited,
            ErrorClass::Quota,
            ErrorClass::Maintenance,
        ] {
            assert!(matches!(of(class, false), Outcome::Retry { .. }), "{class:?}");
        }
    }

    #[test]
    fn a_status_that_http_does_not_have_says_nothing() {
        for status in [0, 99, 199] {
            assert_eq!(by_status(status), Some(ErrorClass::Unknown), "{status}");
        }
        assert_eq!(by_status(999), Some(ErrorClass::Server));
    }
}
