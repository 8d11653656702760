//! How often a lane may start something: no more than the provider's limit within any window of its length. Pure: the time
//! is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::connectors::Limits;

/// A window is counted in so many parts. A start is forgotten when the part it lies in has left the window as a whole, so
/// the limit is never passed, and a tenth of it is given away at most.
const PARTS: u32 = 10;

/// Starts within the last window.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    limit: u32,
    part: Duration,
    /// When each part that counts began, with its starts, oldest first.
    parts: VecDeque<(Instant, u32)>,
    starts: u32,
}

impl Bucket {
    /// The bucket of a provider's limit; `None` where it publishes none.
    pub fn of(limits: &Limits) -> Option<Self> {
        Some(Self {
            limit: limits.requests?.max(1),
            part: Duration::from_millis(limits.per_millis.max(1)) / PARTS,
            parts: VecDeque::new(),
            starts: 0,
        })
    }

    /// The bucket of another limit of the same lane: what was started before goes on counting.
    pub fn changed_to(self, limits: &Limits) -> Option<Self> {
        let mut changed = Self::of(limits)?;
        if (changed.limit, changed.part) == (self.limit, self.part) {
            return Some(self);
        }
        // A start may lie at the end of its part: with shorter parts it must not be forgotten too early.
        let later = self.part.saturating_sub(changed.part);
        changed.parts = self
            .parts
            .into_iter()
            .map(|(began, count)| (began + later, count))
            .collect();
        changed.starts = self.starts;
        Some(changed)
    }

    /// When a part that began at this time counts no longer.
    fn forgotten_at(&self, began: Instant) -> Instant {
        began + self.part * (PARTS + 1)
    }

    /// When the next start is allowed; `now` when it is at once.
    pub fn ready_at(&self, now: Instant) -> Instant {
        let mut starts = self.starts;
        for (began, count) in &self.parts {
            let forgotten = self.forgotten_at(*began);
            if starts < self.limit && forgotten > now {
                break;
            }
            starts = starts.saturating_sub(*count);
            if forgotten > now {
                return if starts < self.limit { forgotten } else { continue };
            }
        }
        now
    }

    /// Notes a start.
    pub fn take(&mut self, now: Instant) {
        while let Some((began, count)) = self.parts.front().copied()
            && self.forgotten_at(began) <= now
        {
            self.parts.pop_front();
            self.starts = self.starts.saturating_sub(count);
        }
        match self.parts.back_mut() {
            Some((began, count)) if now < *began + self.part => *count += 1,
            _ => self.parts.push_back((now, 1)),
        }
        self.starts += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(requests: u32, per_millis: u64) -> Limits {
        Limits {
            concurrency: 1,
            requests: Some(requests),
            per_millis,
            batch: 1,
        }
    }

    #[test]
    fn a_provider_without_a_limit_has_no_bucket() {
        let unlimited = Limits {
            requests: None,
            ..limits(1, 1)
        };
        assert!(Bucket::of(&unlimited).is_none());
    }

    #[test]
    fn a_changed_limit_still_knows_what_was_started() {
        let start = Instant::now();
        let mut bucket = Bucket::of(&limits(10, 10_000)).expect("a limit");
        for _ in 0..10 {
            bucket.take(start);
        }
        let second = Duration::from_secs(1);
        let same = bucket.clone().changed_to(&limits(10, 10_000)).expect("a limit");
        assert_eq!(same.ready_at(start), bucket.ready_at(start));
        let more = bucket.clone().changed_to(&limits(12, 10_000)).expect("a limit");
        assert_eq!(more.ready_at(start), start, "two more");
        let fewer = bucket.clone().changed_to(&limits(5, 10_000)).expect("a limit");
        assert_eq!(fewer.ready_at(start), start + 11 * second);
        let shorter = bucket.clone().changed_to(&limits(10, 1_000)).expect("a limit");
        let ready = shorter.ready_at(start) - start;
        assert!(ready >= second && ready <= 2 * second + second / 10, "{ready:?}");
        let unlimited = Limits {
            requests: None,
            ..limits(1, 1)
        };
        assert!(bucket.changed_to(&unlimited).is_none());
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_limit_and_little_of_it_is_given_away(
            requests in 1_u32..100, per_millis in 100_u64..60_000, pauses in proptest::collection::vec(0_u64..2_000, 1..20),
        ) {
            let window = Duration::from_millis(per_millis);
            let start = Instant::now();
            let mut bucket = Bucket::of(&limits(requests, per_millis)).expect("a limit");
            let mut now = start;
            let (mut starts, mut idle) = (Vec::new(), Duration::ZERO);
            for number in 0..requests * 3 {
                if number % 7 == 0 {
                    // A little time in which nothing is asked for.
                    let pause = window * u32::try_from(pauses[number as usize % pauses.len()]).expect("small") / 10_000;
                    now += pause;
                    idle += pause;
                }
                now = bucket.ready_at(now);
                prop_assert!(bucket.ready_at(now) <= now);
                bucket.take(now);
                starts.push(now);
            }
            for (index, first) in starts.iter().enumerate() {
                let within = starts[index..].iter().take_while(|at| **at < *first + window).count();
                prop_assert!(within <= requests as usize, "{within} of {requests}");
            }
            prop_assert_eq!(bucket.parts.len() <= PARTS as usize + 2, true);
            prop_assert!(now.duration_since(start) <= window * 23 / 10 + idle, "the rate is nearly used up");
        }
    }
}
