//! How long a request may still take effect that nobody waits for any more.

use std::time::Duration;

use super::Writes;
use super::outcome::{certainly_not_applied, error_of};
use super::set::Turn;
use crate::clock::Time;
use crate::connectors::Outcome;

/// Answers of something between us and the provider, which has stopped waiting while the provider may go on: RFC 9110 15.6.3
/// and 15.6.5, RFC 9110 15.5.9, and Cloudflare's 520 to 524.
const fn is_gateways(status: u16) -> bool {
    matches!(status, 408 | 502 | 504 | 520..=524)
}

/// What the provider may still make of a request, counted from when it left: as long as it was given for its answer.
fn left(
    timeout: Duration,
    sent: Option<Time>,
    answered_at: Time,
    status: Option<u16>,
    mut outcomes: impl Iterator<Item = impl std::borrow::Borrow<Outcome>>,
) -> Option<Duration> {
    let sent = sent?;
    let nobody_answered = status.is_none_or(is_gateways);
    let in_doubt =
        outcomes.any(|outcome| error_of(outcome.borrow()).is_some_and(|error| !certainly_not_applied(error)));
    let left = timeout.saturating_sub(answered_at.since(sent));
    (nobody_answered && in_doubt && !left.is_zero()).then_some(left)
}

impl Writes {
    /// How long a call may take.
    #[must_use]
    pub const fn call_timeout(&self) -> Duration {
        self.outbound.timeout()
    }

    /// How long this call may still take effect; nothing when it has ended.
    #[must_use]
    pub fn still_out(&self, turn: &Turn) -> Option<Duration> {
        left(
            self.outbound.timeout(),
            turn.sent,
            turn.answered_at,
            turn.status,
            turn.outcomes.iter().map(|(_, outcome)| outcome),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::{ErrorClass, RetryClass};
    use crate::writes::outcome::error;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn after(seconds: i64, status: Option<u16>, outcome: &Outcome) -> Option<Duration> {
        let (sent, answered) = (Time::from_micros(0), Time::from_micros(seconds * 1_000_000));
        left(TIMEOUT, Some(sent), answered, status, std::iter::once(outcome))
    }

    fn retry(class: ErrorClass) -> Outcome {
        Outcome::Retry {
            error: error(class, "m"),
            class: RetryClass::Transient,
            after: None,
        }
    }

    #[test]
    fn a_request_without_an_answer_of_the_provider_may_take_effect_until_its_time_is_over() {
        let lost = retry(ErrorClass::Server);
        let unknown = Outcome::Unknown(error(ErrorClass::Unknown, "m"));
        for outcome in [&lost, &unknown] {
            assert_eq!(after(1, None, outcome), Some(Duration::from_secs(29)));
            assert_eq!(after(30, None, outcome), None, "it took too long");
            for gateways in [408, 502, 504, 524] {
                assert_eq!(after(2, Some(gateways), outcome), Some(Duration::from_secs(28)));
            }
            for own in [200, 500, 501, 503] {
                assert_eq!(
                    after(2, Some(own), outcome),
                    None,
                    "the provider itself has ended it"
                );
            }
        }
    }

    #[test]
    fn a_request_that_never_left_or_certainly_did_nothing_is_not_on_its_way() {
        let lost = retry(ErrorClass::Server);
        let never = left(TIMEOUT, None, Time::from_micros(9), None, std::iter::once(&lost));
        assert_eq!(never, None);
        assert_eq!(
            after(1, None, &retry(ErrorClass::Transient)),
            None,
            "it could not be connected"
        );
        let done = Outcome::Succeeded {
            record_id: None,
            data: None,
        };
        assert_eq!(after(1, Some(200), &done), None);
    }

    #[test]
    fn one_record_in_doubt_keeps_the_call_of_a_batch() {
        let done = Outcome::Succeeded {
            record_id: None,
            data: None,
        };
        let lost = retry(ErrorClass::Server);
        let (sent, answered) = (Time::from_micros(0), Time::from_micros(0));
        let outcomes = [&done, &lost];
        let kept = left(TIMEOUT, Some(sent), answered, None, outcomes.into_iter());
        assert_eq!(kept, Some(TIMEOUT));
    }
}
