//! How long a request may still take effect that nobody waits for any more.

use std::time::Duration;

use super::batch::Turn;
use super::perform::{Performed, certainly_not_applied};
use super::{Writes, error_of};
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

    /// How long the request of this write may still take effect; nothing when it has ended.
    #[must_use]
    pub fn still_out(&self, performed: &Performed) -> Option<Duration> {
        left(
            self.outbound.timeout(),
            performed.sent,
            performed.answered_at,
            performed.status,
            std::iter::once(&performed.outcome),
        )
    }

    /// The same for the call of a batch.
    #[must_use]
    pub fn call_still_out(&self, turn: &Turn) -> Option<Duration> {
        left(
            self.outbound.timeout(),
            turn.sent,
            turn.answered_at,
            turn.status(),
            turn.outcomes.iter().map(|(_, outcome)| outcome),
        )
    }
}
