//! The sandbox's own clock: real time, shifted or frozen, so that expiry and windows need no waiting.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A clock in milliseconds since 1970 (UTC). It runs with real time until it is frozen or moved.
#[derive(Debug, Default)]
pub struct Clock {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    offset_ms: i64,
    frozen_ms: Option<i64>,
}

impl Clock {
    /// The present time of the sandbox, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let state = *super::lock(&self.state);
        state
            .frozen_ms
            .unwrap_or_else(|| real_ms().saturating_add(state.offset_ms))
    }

    /// Stops the clock at `at_ms`.
    pub fn freeze(&self, at_ms: i64) {
        super::lock(&self.state).frozen_ms = Some(at_ms);
    }

    /// Moves the clock by `by_ms`, whether it runs or is frozen. A negative number moves it back.
    pub fn advance(&self, by_ms: i64) {
        let mut state = super::lock(&self.state);
        match &mut state.frozen_ms {
            Some(at) => *at = at.saturating_add(by_ms),
            None => state.offset_ms = state.offset_ms.saturating_add(by_ms),
        }
    }

    /// Lets the clock run in real time again.
    pub fn run(&self) {
        *super::lock(&self.state) = State::default();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox stands for other machines: its clock is its own, and tests turn it"
)]
fn real_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `2026-10-05T09:14:22.118Z`.
pub(crate) fn iso(ms: i64) -> String {
    written(ms, "Z")
}

/// Salesforce's form of a time: `2026-10-05T09:14:22.000+0000`.
pub(crate) fn salesforce_time(ms: i64) -> String {
    written(ms, "+0000")
}

/// Written by hand: every answer holds several times, and a format string is read anew for each.
fn written(ms: i64, zone: &str) -> String {
    let at = TimeZone::UTC.to_datetime(timestamp(ms));
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}{zone}",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond(),
    )
}

/// The HTTP form: `Mon, 05 Oct 2026 09:00:00 GMT`.
pub(crate) fn http_date(ms: i64) -> String {
    timestamp(ms)
        .to_zoned(TimeZone::UTC)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// Reads the HTTP form back; `None` when the text is no such date.
pub(crate) fn parse_http_date(text: &str) -> Option<i64> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

/// Reads an ISO-8601 time with a zone; `None` when the text is none.
pub(crate) fn parse_iso(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_each_providers_form() {
        let ms = parse_iso("2026-10-05T09:14:22.118Z").unwrap();
        assert_eq!(iso(ms), "2026-10-05T09:14:22.118Z");
        assert_eq!(salesforce_time(ms), "2026-10-05T09:14:22.118+0000");
        assert_eq!(http_date(ms), "Mon, 05 Oct 2026 09:14:22 GMT");
        assert_eq!(parse_http_date("Mon, 05 Oct 2026 09:14:22 GMT"), Some(ms - 118));
    }

    #[test]
    fn a_frozen_clock_moves_only_when_told() {
        let clock = Clock::default();
        clock.freeze(1_000);
        assert_eq!(clock.now_ms(), 1_000);
        clock.advance(500);
        assert_eq!(clock.now_ms(), 1_500);
        clock.run();
        assert!(clock.now_ms() > 1_700_000_000_000);
    }
}
