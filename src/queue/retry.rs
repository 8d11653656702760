//! When to try again: a pure function of what is known.

use std::time::Duration;

/// The longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// What the policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Again after this wait.
    After(Duration),
    /// The deadline would have passed: the operation ends.
    GiveUp,
}

/// The wait before the next attempt.
///
/// * `spent` — attempts spent so far, at least 1.
/// * `base` — the wait after the first attempt; it doubles with each further one, up to 15 minutes.
/// * `hint` — what the provider asked for; it only delays, never hurries.
/// * `left` — the time until the deadline.
/// * `jitter` — a random number from 0 (inclusive) to 1 (exclusive): the exponential wait is spread over its whole range.
#[must_use]
pub fn next(spent: u32, base: Duration, hint: Option<Duration>, left: Duration, jitter: f64) -> Next {
    let exponent = spent.saturating_sub(1).min(20);
    let ceiling = base.saturating_mul(1_u32 << exponent).min(MAX_WAIT);
    let spread = ceiling.mul_f64(jitter.clamp(0.0, 1.0));
    // Never at once: a provider that fails at once would be hammered.
    let floor = base.min(ceiling) / 10;
    let wait = spread.max(floor).max(hint.unwrap_or(Duration::ZERO));
    if wait >= left {
        Next::GiveUp
    } else {
        Next::After(wait)
    }
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
        assert_eq!(
            next(1, Duration::from_secs(1), None, Duration::ZERO, 0.5),
            Next::GiveUp
        );
        assert_eq!(
            next(1, Duration::from_secs(1), Some(HOUR), HOUR, 0.5),
            Next::GiveUp
        );
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_than_the_hint_nor_longer_than_what_is_left(
            spent in 0_u32.., base in 1_u64..10_000, hint in proptest::option::of(0_u64..200_000), left in 0_u64..200_000, jitter in 0.0..1.0_f64,
        ) {
            let (hint, left) = (hint.map(Duration::from_secs), Duration::from_secs(left));
            if let Next::After(wait) = next(spent, Duration::from_millis(base), hint, left, jitter) {
                prop_assert!(wait < left);
                prop_assert!(wait >= hint.unwrap_or_default());
                prop_assert!(wait > Duration::ZERO);
                prop_assert!(hint.is_some() || wait <= MAX_WAIT);
            }
        }
    }
}
