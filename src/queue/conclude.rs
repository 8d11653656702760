//! What follows from an outcome: a pure function.

use std::time::Duration;

use super::retry::{self, Next};
use crate::connectors::{Outcome, RetryClass};
use crate::store::{EndState, Ending, NewResult};
use crate::writes::perform::certainly_not_applied;
use crate::writes::{error_list, rejection, summary};

/// The pause after a rate limit that names no time.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(10);
/// A lane pauses no longer than this at a time: then one item asks again whether the provider meant it.
const MAX_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The shortest pause, whatever the provider says: it must not be hammered.
pub(super) const MIN_PAUSE: Duration = Duration::from_secs(1);
/// The pause after a used-up quota that names no time.
const QUOTA_PAUSE: Duration = Duration::from_secs(15 * 60);

/// What is known when an attempt has ended.
#[derive(Debug, Clone)]
pub(super) struct Situation<'a> {
    /// The object as the app named it.
    pub object: &'a str,
    /// Attempts spent, this one included.
    pub spent: i32,
    /// Time until the deadline; zero when it has passed.
    pub left: Duration,
    /// The first wait of the backoff.
    pub base: Duration,
    /// A random number from 0 to 1.
    pub jitter: f64,
    /// The provider's hint, seen from now.
    pub hint: Option<Duration>,
    /// A create whose fate can be looked up, or that the app allowed to be repeated.
    pub can_resolve: bool,
}

/// What follows for the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneEffect {
    /// Nothing.
    None,
    /// Nothing of it starts for this long.
    Pause(Duration),
}

/// A result.
pub(super) fn finish(
    state: EndState,
    object: &str,
    record_id: Option<String>,
    error: Option<String>,
    attempts: i32,
) -> Ending {
    Ending::Finish(NewResult {
        state,
        summary: summary(object, error.as_deref()),
        record_id,
        errors: error_list(&error.into_iter().collect::<Vec<_>>()),
        attempts,
        records: None,
    })
}

/// Why it ended at the deadline, and how often it was tried.
pub(super) fn gave_up(state: EndState, object: &str, attempts: i32, last: &str) -> Ending {
    finish(state, object, None, Some(gave_up_text(attempts, last)), attempts)
}

/// The same as a sentence.
pub(super) fn gave_up_text(attempts: i32, last: &str) -> String {
    let tries = if attempts == 1 {
        "1 attempt".to_owned()
    } else {
        format!("{attempts} attempts")
    };
    format!("gave up at the deadline after {tries}; the last one: {last}")
}

/// What happens to the item and to its lane.
pub(super) fn conclude(outcome: &Outcome, situation: &Situation<'_>) -> (Ending, LaneEffect) {
    let Situation { object, spent, .. } = *situation;
    match outcome {
        Outcome::Succeeded { record_id, .. } => (
            finish(EndState::Succeeded, object, record_id.clone(), None, spent),
            LaneEffect::None,
        ),
        Outcome::Rejected(error) => {
            let result = NewResult {
                state: EndState::Failed,
                summary: summary(object, Some(&error.told(usize::MAX))),
                record_id: None,
                errors: error_list(&[rejection(object, error)]),
                attempts: spent,
                records: None,
            };
            (Ending::Finish(result), LaneEffect::None)
        }
        // The lane is held by now; the attempt does not count, and the item waits for the customer to reconnect.
        Outcome::Unauthorized(_) => (
            Ending::Retry {
                delay: MIN_PAUSE,
                attempt: spent - 1,
            },
            LaneEffect::None,
        ),
        Outcome::Retry {
            error,
            class: class @ (RetryClass::RateLimited | RetryClass::Quota),
            ..
        } => {
            let fallback = if *class == RetryClass::Quota {
                QUOTA_PAUSE
            } else {
                RATE_LIMIT_PAUSE
            };
            let pause = situation.hint.unwrap_or(fallback).max(MIN_PAUSE);
            let ending = if pause >= situation.left {
                gave_up(EndState::Failed, object, spent, &error.message)
            } else {
                // Waiting spends no attempt.
                Ending::Retry {
                    delay: pause,
                    attempt: spent - 1,
                }
            };
            (ending, LaneEffect::Pause(pause.min(MAX_PAUSE)))
        }
        Outcome::Retry { error, .. } => {
            // Repeating was harmless, but whether the last one was applied is not known.
            let state = if certainly_not_applied(error) {
                EndState::Failed
            } else {
                EndState::NeedsReview
            };
            (
                again(situation, || {
                    gave_up(state, object, spent, &error.told(usize::MAX))
                }),
                LaneEffect::None,
            )
        }
        Outcome::Unknown(error) => {
            let review = || {
                let text = format!(
                    "{}; it may have been applied, and it is not sent again",
                    error.message
                );
                finish(EndState::NeedsReview, object, None, Some(text), spent)
            };
            let ending = if situation.can_resolve {
                again(situation, review)
            } else {
                review()
            };
            (ending, LaneEffect::None)
        }
    }
}

/// An answer of any kind can tell that the quota is used up: then the lane pauses before the provider has to refuse.
pub(super) fn with_quota(effect: LaneEffect, used_up_for: Option<Duration>) -> LaneEffect {
    match (effect, used_up_for) {
        (LaneEffect::None, Some(wait)) if !wait.is_zero() => {
            LaneEffect::Pause(wait.clamp(MIN_PAUSE, MAX_PAUSE))
        }
        (effect, _) => effect,
    }
}

/// The next attempt by the backoff, or the end.
pub(super) fn again(situation: &Situation<'_>, end: impl FnOnce() -> Ending) -> Ending {
    let spent = u32::try_from(situation.spent).unwrap_or(1);
    match retry::next(
        spent,
        situation.base,
        situation.hint,
        situation.left,
        situation.jitter,
    ) {
        Next::After(delay) => Ending::Retry {
            delay,
            attempt: situation.spent,
        },
        Next::GiveUp => end(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::{ErrorClass, ProviderError};

    fn situation(left: u64, can_resolve: bool) -> Situation<'static> {
        Situation {
            object: "contacts",
            spent: 3,
            left: Duration::from_secs(left),
            base: Duration::from_secs(1),
            jitter: 0.5,
            hint: None,
            can_resolve,
        }
    }

    fn error(class: ErrorClass) -> ProviderError {
        ProviderError {
            class,
            code: None,
            message: "m".to_owned(),
            status: 500,
            existing_id: None,
        }
    }

    fn state(ending: &Ending) -> Option<EndState> {
        match ending {
            Ending::Finish(result) => Some(result.state),
            Ending::Retry { .. } => None,
        }
    }

    #[test]
    fn an_unknown_create_is_never_repeated_unless_its_fate_can_be_found() {
        let unknown = Outcome::Unknown(error(ErrorClass::Unknown));
        assert_eq!(
            state(&conclude(&unknown, &situation(3600, false)).0),
            Some(EndState::NeedsReview)
        );
        assert_eq!(state(&conclude(&unknown, &situation(3600, true)).0), None);
        assert_eq!(
            state(&conclude(&unknown, &situation(0, true)).0),
            Some(EndState::NeedsReview)
        );
    }

    #[test]
    fn a_rate_limit_pauses_the_lane_and_spends_no_attempt() {
        let limited = Outcome::Retry {
            error: error(ErrorClass::RateLimited),
            class: RetryClass::RateLimited,
            after: None,
        };
        let (ending, effect) = conclude(
            &limited,
            &Situation {
                hint: Some(Duration::from_secs(7)),
                ..situation(3600, false)
            },
        );
        assert_eq!(
            ending,
            Ending::Retry {
                delay: Duration::from_secs(7),
                attempt: 2
            }
        );
        assert_eq!(effect, LaneEffect::Pause(Duration::from_secs(7)));
    }

    #[test]
    fn a_quota_that_is_used_up_pauses_the_lane_after_a_success_too() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(with_quota(LaneEffect::None, None), LaneEffect::None);
        assert_eq!(
            with_quota(LaneEffect::None, Some(Duration::ZERO)),
            LaneEffect::None
        );
        assert_eq!(
            with_quota(LaneEffect::None, Some(Duration::from_secs(7))),
            LaneEffect::Pause(Duration::from_secs(7))
        );
        assert_eq!(
            with_quota(LaneEffect::None, Some(hour)),
            LaneEffect::Pause(MAX_PAUSE)
        );
        let told = LaneEffect::Pause(Duration::from_secs(3));
        assert_eq!(with_quota(told, Some(hour)), told, "the refusal itself says more");
    }

    #[test]
    fn at_the_deadline_the_result_says_why_and_how_often() {
        let down = Outcome::Retry {
            error: error(ErrorClass::Transient),
            class: RetryClass::Transient,
            after: None,
        };
        let Ending::Finish(result) = conclude(&down, &situation(0, false)).0 else {
            panic!("it must end")
        };
        assert_eq!(result.state, EndState::Failed);
        assert!(
            result.summary.contains("after 3 attempts") && result.summary.ends_with(": m"),
            "{}",
            result.summary
        );
    }
}
