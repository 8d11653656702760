//! What follows from an outcome: a pure function.

use std::time::Duration;

use super::retry::{self, MAX_WAIT, Next, Wait};
use crate::connectors::{Outcome, RetryClass};
use crate::store::{EndState, Ending, NewResult, PauseReason};
use crate::writes::outcome::may_have_been_applied;
use crate::writes::set::NoteState;
use crate::writes::{error_list, summary};

/// The pause after a rate limit that names no time.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(10);
/// A lane pauses no longer than this at a time: then one item asks again whether the provider meant it.
const MAX_PAUSE: Duration = MAX_WAIT;
/// The shortest pause, whatever the provider says: it must not be hammered.
pub(super) const MIN_PAUSE: Duration = Duration::from_secs(1);
/// The pause after a used-up quota that names no time.
const QUOTA_PAUSE: Duration = Duration::from_secs(15 * 60);

/// What is known when an attempt has ended.
#[derive(Debug, Clone)]
pub(super) struct Situation {
    /// Attempts spent, this one included.
    pub spent: i32,
    /// Time until the deadline; zero when it has passed.
    pub left: Duration,
    /// The first wait of the backoff.
    pub base: Duration,
    /// A random number from 0 to 1.
    pub jitter: f64,
    /// The wait that the answer asks for, or that we suppose, seen from now.
    pub hint: Option<Wait>,
    /// A create whose fate can be looked up, or that the app allowed to be repeated.
    pub can_resolve: bool,
}

impl Situation {
    /// Why it ends, and how often it was tried.
    pub fn gave_up_text(&self, last: &str) -> String {
        match self.hint.filter(|hint| hint.is_too_long(self.left)) {
            Some(hint) if !self.left.is_zero() => format!(
                "gave up after {}: the provider asks to wait longer than the deadline ({}); the last one: {last}",
                tries(self.spent),
                spelled(hint.time)
            ),
            _ => gave_up_text(self.spent, last),
        }
    }
}

/// What follows for the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneEffect {
    /// Nothing.
    None,
    /// Nothing of it starts for this long, because of that.
    Pause(Duration, PauseReason),
}

/// The reason to pause for a limit of this class.
const fn reason_of(class: RetryClass) -> PauseReason {
    match class {
        RetryClass::Quota => PauseReason::Quota,
        _ => PauseReason::RateLimit,
    }
}

/// The end of a write of whose records nothing is known.
pub(super) fn finish(state: EndState, object: &str, error: &str, attempts: i32) -> Ending {
    Ending::Finish(NewResult {
        state,
        summary: summary(object, Some(error)),
        record_id: None,
        errors: error_list(&[error.to_owned()]),
        attempts,
        records: None,
    })
}

/// Why it ended at the deadline, and how often it was tried.
pub(super) fn gave_up_text(attempts: i32, last: &str) -> String {
    format!(
        "gave up at the deadline after {}; the last one: {last}",
        tries(attempts)
    )
}

fn tries(attempts: i32) -> String {
    match attempts {
        1 => "1 attempt".to_owned(),
        _ => format!("{attempts} attempts"),
    }
}

/// `2 h 5 min`, and the like.
fn spelled(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let parts = [
        (seconds / 3_600, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    parts.join(" ")
}

/// What follows for a record that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Follows {
    /// The item comes again, with so many attempts spent.
    Again { delay: Duration, attempt: i32 },
    /// It ends so, for this reason.
    End { state: NoteState, text: String },
}

impl Follows {
    fn failed(text: String) -> Self {
        Self::End {
            state: NoteState::Failed,
            text,
        }
    }

    fn in_review(text: String) -> Self {
        Self::End {
            state: NoteState::NeedsReview,
            text,
        }
    }
}

/// What follows from an outcome that has not ended its record, and what it means for the lane. `None` for one that has.
pub(super) fn conclude(outcome: &Outcome, situation: &Situation) -> Option<(Follows, LaneEffect)> {
    let spent = situation.spent;
    Some(match outcome {
        Outcome::Succeeded { .. } | Outcome::Rejected(_) => return None,
        // The lane is held by now; the attempt does not count, and the item waits for the customer to reconnect.
        Outcome::Unauthorized(_) => {
            let later = Follows::Again {
                delay: MIN_PAUSE,
                attempt: spent - 1,
            };
            (later, LaneEffect::None)
        }
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
            let hint = situation.hint.unwrap_or(Wait::guess(fallback));
            let follows = if situation.left.is_zero() || hint.is_too_long(situation.left) {
                Follows::failed(situation.gave_up_text(&error.told(usize::MAX)))
            } else {
                // Waiting spends no attempt.
                Follows::Again {
                    delay: hint.bounded().max(MIN_PAUSE).min(situation.left),
                    attempt: spent - 1,
                }
            };
            let pause = hint.time.clamp(MIN_PAUSE, MAX_PAUSE);
            (follows, LaneEffect::Pause(pause, reason_of(*class)))
        }
        Outcome::Retry { error, .. } => {
            let give_up = || {
                let text = situation.gave_up_text(&error.told(usize::MAX));
                // Repeating was harmless, but whether the last one was applied is not known.
                if may_have_been_applied(outcome) {
                    Follows::in_review(format!("{text}; it may have been applied"))
                } else {
                    Follows::failed(text)
                }
            };
            (again(situation, give_up), LaneEffect::None)
        }
        Outcome::Unknown(error) => {
            let review = || Follows::in_review(not_sent_again(&error.message));
            let follows = if situation.can_resolve {
                again(situation, review)
            } else {
                review()
            };
            (follows, LaneEffect::None)
        }
    })
}

/// Why a record ends whose request got no answer, and that nobody can look for.
pub(super) fn not_sent_again(text: &str) -> String {
    format!("{text}; it may have been applied, and it is not sent again")
}

/// An answer of any kind can tell that a limit is used up: then the lane pauses before the provider has to refuse.
pub(super) fn with_quota(effect: LaneEffect, used_up_for: Option<(Duration, RetryClass)>) -> LaneEffect {
    match (effect, used_up_for) {
        (LaneEffect::None, Some((wait, class))) if !wait.is_zero() => {
            LaneEffect::Pause(wait.clamp(MIN_PAUSE, MAX_PAUSE), reason_of(class))
        }
        (effect, _) => effect,
    }
}

/// The next attempt by the backoff, or the end.
pub(super) fn again(situation: &Situation, end: impl FnOnce() -> Follows) -> Follows {
    let spent = u32::try_from(situation.spent).unwrap_or(1);
    match retry::next(
        spent,
        situation.base,
        situation.hint,
        situation.left,
        situation.jitter,
    ) {
        Next::After(delay) => Follows::Again {
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

    fn situation(left: u64, can_resolve: bool) -> Situation {
        Situation {
            spent: 3,
            left: Duration::from_secs(left),
            base: Duration::from_secs(1),
            jitter: 0.5,
            hint: None,
            can_resolve,
        }
    }

    fn named(seconds: u64) -> Wait {
        Wait {
            time: Duration::from_secs(seconds),
            named: true,
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

    fn follows(outcome: &Outcome, situation: &Situation) -> (Follows, LaneEffect) {
        conclude(outcome, situation).expect("it has not ended")
    }

    fn state(follows: &Follows) -> Option<NoteState> {
        match follows {
            Follows::End { state, .. } => Some(*state),
            Follows::Again { .. } => None,
        }
    }

    #[test]
    fn an_unknown_create_is_never_repeated_unless_its_fate_can_be_found() {
        let unknown = Outcome::Unknown(error(ErrorClass::Unknown));
        assert_eq!(
            state(&follows(&unknown, &situation(3600, false)).0),
            Some(NoteState::NeedsReview)
        );
        assert_eq!(state(&follows(&unknown, &situation(3600, true)).0), None);
        assert_eq!(
            state(&follows(&unknown, &situation(0, true)).0),
            Some(NoteState::NeedsReview)
        );
    }

    #[test]
    fn a_rate_limit_pauses_the_lane_and_spends_no_attempt() {
        let limited = Outcome::Retry {
            error: error(ErrorClass::RateLimited),
            class: RetryClass::RateLimited,
            after: None,
        };
        let (ending, effect) = follows(
            &limited,
            &Situation {
                hint: Some(named(7)),
                ..situation(3600, false)
            },
        );
        assert_eq!(
            ending,
            Follows::Again {
                delay: Duration::from_secs(7),
                attempt: 2
            }
        );
        assert_eq!(
            effect,
            LaneEffect::Pause(Duration::from_secs(7), PauseReason::RateLimit)
        );
    }

    #[test]
    fn a_quota_that_we_suppose_to_last_longer_than_the_deadline_is_waited_for() {
        let used_up = Outcome::Retry {
            error: error(ErrorClass::Quota),
            class: RetryClass::Quota,
            after: None,
        };
        for hint in [None, Some(Wait::guess(Duration::from_secs(7_200)))] {
            let (ending, effect) = follows(
                &used_up,
                &Situation {
                    hint,
                    ..situation(3600, false)
                },
            );
            let lane_wakes = Duration::from_secs(900);
            assert_eq!(
                ending,
                Follows::Again {
                    delay: lane_wakes,
                    attempt: 2
                }
            );
            assert_eq!(effect, LaneEffect::Pause(lane_wakes, PauseReason::Quota));
            let near = Situation {
                hint,
                ..situation(60, false)
            };
            assert_eq!(
                follows(&used_up, &near).0,
                Follows::Again {
                    delay: Duration::from_secs(60),
                    attempt: 2
                },
                "it ends at its deadline, not before"
            );
            let over = Situation {
                hint,
                ..situation(0, false)
            };
            let Follows::End { text, .. } = follows(&used_up, &over).0 else {
                panic!("it must end")
            };
            assert!(
                text.contains("gave up at the deadline after 3 attempts"),
                "{}",
                text
            );
        }
    }

    #[test]
    fn a_wait_that_the_provider_names_and_that_is_too_long_ends_the_write_and_is_told() {
        for class in [
            RetryClass::Quota,
            RetryClass::RateLimited,
            RetryClass::Maintenance,
            RetryClass::Lock,
        ] {
            let told = Outcome::Retry {
                error: error(ErrorClass::Maintenance),
                class,
                after: None,
            };
            let ending = follows(
                &told,
                &Situation {
                    hint: Some(named(7_325)),
                    ..situation(3600, false)
                },
            )
            .0;
            let Follows::End { state, text } = ending else {
                panic!("it must end")
            };
            assert_eq!(state, NoteState::Failed);
            assert!(
                text.contains("the provider asks to wait longer than the deadline (2 h 2 min 5 s)"),
                "{}",
                text
            );
        }
    }

    #[test]
    fn a_quota_that_is_used_up_pauses_the_lane_after_a_success_too() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(with_quota(LaneEffect::None, None), LaneEffect::None);
        let seven = Duration::from_secs(7);
        assert_eq!(
            with_quota(LaneEffect::None, Some((Duration::ZERO, RetryClass::Quota))),
            LaneEffect::None
        );
        assert_eq!(
            with_quota(LaneEffect::None, Some((seven, RetryClass::RateLimited))),
            LaneEffect::Pause(seven, PauseReason::RateLimit)
        );
        assert_eq!(
            with_quota(LaneEffect::None, Some((hour, RetryClass::Quota))),
            LaneEffect::Pause(MAX_PAUSE, PauseReason::Quota)
        );
        let told = LaneEffect::Pause(Duration::from_secs(3), PauseReason::RateLimit);
        assert_eq!(
            with_quota(told, Some((hour, RetryClass::Quota))),
            told,
            "the refusal itself says more"
        );
    }

    #[test]
    fn at_the_deadline_the_result_says_why_and_how_often() {
        let down = Outcome::Retry {
            error: error(ErrorClass::Transient),
            class: RetryClass::Transient,
            after: None,
        };
        let Follows::End { state, text } = follows(&down, &situation(0, false)).0 else {
            panic!("it must end")
        };
        assert_eq!(state, NoteState::Failed);
        assert!(
            text.contains("after 3 attempts") && text.ends_with(": m"),
            "{}",
            text
        );
    }

    #[test]
    fn at_the_deadline_what_got_no_answer_is_in_doubt_though_it_could_be_repeated() {
        for class in [ErrorClass::Server, ErrorClass::Unknown] {
            let lost = Outcome::Retry {
                error: error(class),
                class: RetryClass::Transient,
                after: None,
            };
            let Follows::End { state, text } = follows(&lost, &situation(0, false)).0 else {
                panic!("it must end")
            };
            assert_eq!(state, NoteState::NeedsReview);
            assert!(text.ends_with("it may have been applied"), "{}", text);
        }
    }
}
