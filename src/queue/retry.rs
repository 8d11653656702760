//! When to try again: a pure function of what is known.

use std::time::Duration;

/// The longest wait between two attempts, unless the provider names a longer one.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// A wait before the next attempt that does not come of the backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// How long.
    pub time: Duration,
    /// The provider itself asks for it. Else it is a guess of ours, which may be wrong: it never ends a write before its
    /// deadline, and is never longer than 15 minutes.
    pub named: bool,
}

impl Wait {
    /// A wait of our own.
    #[must_use]
    pub const fn guess(time: Duration) -> Self {
        Self { time, named: false }
    }

    /// How long it is waited at a time.
    #[must_use]
    pub fn bounded(self) -> Duration {
        if self.named {
            self.time
        } else {
            self.time.min(MAX_WAIT)
        }
    }

    /// Whether the provider asks to wait until the deadline is over.
    #[must_use]
    pub fn is_too_long(self, left: Duration) -> bool {
        self.named && self.time >= left
    }
}

/// What the policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Again after this wait.
    After(Duration),
    /// The deadline has passed, or the provider asks to wait until it has: the operation ends.
    GiveUp,
}

/// The wait before the next attempt.
///
/// * `spent` — attempts spent so far, at least 1.
/// * `base` — the wait after the first attempt; it doubles with each further one, up to 15 minutes.
/// * `hint` — what the provider asked for, or what we suppose; it only delays, never hurries.
/// * `left` — the time until the deadline. A wait of our own goes no further: what it is then, is seen at the deadline.
/// * `jitter` — a random number from 0 (inclusive) to 1 (exclusive): the exponential wait is spread over its whole range.
#[must_use]
pub fn next(spent: u32, base: Duration, hint: Option<Wait>, left: Duration, jitter: f64) -> Next {
    if left.is_zero() || hint.is_some_and(|hint| hint.is_too_long(left)) {
        return Next::GiveUp;
    }
    let exponent = spent.saturating_sub(1).min(20);
    let ceiling = base.saturating_mul(1_u32 << exponent).min(MAX_WAIT);
    let spread = ceiling.mul_f64(jitter.clamp(0.0, 1.0));
    // Never at once: a provider that fails at once would be hammered.
    let floor = base.min(ceiling) / 10;
    let wait = spread.max(floor).max(hint.map_or(Duration::ZERO, Wait::bounded));
    Next::After(wait.min(left))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn waits_double_up_to_the_ceiling() {
        let base = Duration::from_secs(1);
        let wait = |spent| match next(spent, base, None, 48 * HOUR, 0.999_999) {
            Next::After(wait) => wait.as_secs_f64().round() as u64,
            Next::GiveUp => panic!("48 hours are left"),
        };
        assert_eq!([wait(1), wait(2), wait(3), wait(4)], [1, 2, 4, 8]);
        assert_eq!(wait(1_000_000), 900);
    }

    #[test]
    fn past_the_deadline_it_gives_up() {
        let base = Duration::from_secs(1);
        assert_eq!(next(1, base, None, Duration::ZERO, 0.5), Next::GiveUp);
        let guess = Some(Wait::guess(base));
        assert_eq!(next(1, base, guess, Duration::ZERO, 0.5), Next::GiveUp);
    }

    #[test]
    fn only_a_wait_that_the_provider_names_ends_a_write_before_its_deadline() {
        let base = Duration::from_secs(1);
        let named = |time| Some(Wait { time, named: true });
        assert_eq!(next(1, base, named(HOUR), HOUR, 0.5), Next::GiveUp);
        assert_eq!(next(1, base, named(HOUR), 2 * HOUR, 0.5), Next::After(HOUR));
        assert_eq!(
            next(1, base, Some(Wait::guess(HOUR)), HOUR / 2, 0.5),
            Next::After(MAX_WAIT),
            "it asks again whether the guess was right"
        );
        let minute = Duration::from_secs(60);
        for (spent, hint) in [(1, Some(Wait::guess(HOUR))), (30, None)] {
            assert_eq!(next(spent, base, hint, minute, 0.999_999), Next::After(minute));
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_than_the_hint_nor_longer_than_what_is_left(
            spent in 0_u32.., base in 1_u64..10_000, hint in proptest::option::of((0_u64..200_000, proptest::bool::ANY)), left in 0_u64..200_000, jitter in 0.0..1.0_f64,
        ) {
            let hint = hint.map(|(time, named)| Wait { time: Duration::from_secs(time), named });
            let left = Duration::from_secs(left);
            match next(spent, Duration::from_millis(base), hint, left, jitter) {
                Next::After(wait) => {
                    prop_assert!(wait <= left);
                    prop_assert!(wait >= hint.map_or(Duration::ZERO, Wait::bounded).min(left));
                    prop_assert!(wait > Duration::ZERO);
                    prop_assert!(hint.is_some_and(|hint| hint.named) || wait <= MAX_WAIT);
                }
                Next::GiveUp => prop_assert!(left.is_zero() || hint.is_some_and(|hint| hint.named)),
            }
        }
    }
}
