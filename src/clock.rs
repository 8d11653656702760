//! Time and ids, as arguments: nothing else in the crate reads the system clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A moment in UTC, precise to the microsecond (what both stores keep and the wire shows).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// From microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This moment, later by `duration`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This moment, earlier by `duration`.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// How long from `earlier` until this moment; zero when it lies in the future of this one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same moment for crates that speak jiff; the ends of jiff's range stand for anything beyond them.
    #[must_use]
    pub fn to_timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl From<jiff::Timestamp> for Time {
    fn from(value: jiff::Timestamp) -> Self {
        Self(value.as_microsecond())
    }
}

/// RFC 3339 in UTC with exactly six digits and a `Z`, as the wire contract asks.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_timestamp())
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse::<jiff::Timestamp>().map(Self::from).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is not a time: use RFC 3339 like 2026-01-31T12:00:00Z"
            ))
        })
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Time;

    /// A new UUIDv7, ordered by this clock.
    fn new_id(&self) -> Uuid {
        let micros = self.now().as_micros().max(0).unsigned_abs();
        let nanos = u32::try_from((micros % 1_000_000) * 1_000).unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix_time(micros / 1_000_000, nanos, 0, 0))
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system clock"
    )]
    fn now(&self) -> Time {
        Time::from(jiff::Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_with_six_digits() {
        assert_eq!(
            Time::from_micros(1_700_000_000_000_000).to_string(),
            "2023-11-14T22:13:20.000000Z"
        );
        assert_eq!(
            Time::from_micros(1_700_000_000_000_120).to_string(),
            "2023-11-14T22:13:20.000120Z"
        );
    }

    #[test]
    fn extreme_times_do_not_panic() {
        let _ = Time::from_micros(i64::MAX).to_string();
        let _ = Time::from_micros(i64::MIN).to_string();
        assert_eq!(Time::from_micros(0).since(Time::from_micros(5)), Duration::ZERO);
    }

    #[test]
    fn ids_are_version_7_and_carry_the_time_of_the_clock() {
        let before = SystemClock.now().as_micros() / 1_000;
        let id = SystemClock.new_id();
        assert_eq!(id.get_version_num(), 7);
        let (seconds, nanos) = id.get_timestamp().expect("version 7 has a time").to_unix();
        assert!(i64::try_from(seconds * 1_000 + u64::from(nanos) / 1_000_000).expect("fits") >= before);
    }
}
