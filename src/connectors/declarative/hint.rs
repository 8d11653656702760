//! When to come back: `Retry-After` and the headers that stand in for it.

use std::time::Duration;

use jiff::Timestamp;

use crate::connectors::contract::{ProviderResponse, RetryHint};

/// Headers that say when a limit ends, as a number: seconds left, epoch seconds or epoch milliseconds.
const RESET_HEADERS: [&str; 9] = [
    "x-ratelimit-retry-after",
    "x-ratelimit-requests-reset",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
    "ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-reset-requests",
    "ratelimit-limit-reset",
    "rate-limit-reset",
];

/// The wait that an answer asks for.
#[must_use]
pub fn hint(response: &ProviderResponse, now: Timestamp) -> Option<RetryHint> {
    if let Some(hint) = response.header("retry-after").and_then(|value| parse(value, now)) {
        return Some(hint);
    }
    let reset = RESET_HEADERS
        .iter()
        .find_map(|name| parse(response.header(name)?, now));
    reset.or_else(|| ietf_reset(response.header("ratelimit")?, now))
}

/// `RateLimit: limit=100, remaining=0, reset=7`.
fn ietf_reset(value: &str, now: Timestamp) -> Option<RetryHint> {
    let part = value
        .split([',', ';'])
        .find_map(|part| part.trim().strip_prefix("reset="))?;
    parse(part, now)
}

/// Reads an integer, a decimal number, an HTTP date or an ISO 8601 time. A number over 10¹² is epoch milliseconds, over
/// 10⁹ epoch seconds, else seconds left. A time that has passed means now.
fn parse(value: &str, now: Timestamp) -> Option<RetryHint> {
    let value = value.trim().trim_matches('"');
    if let Ok(number) = value.parse::<f64>() {
        if !number.is_finite() || number < 0.0 {
            return None;
        }
        if number > 1e12 {
            return at(Timestamp::from_millisecond(number as i64).ok()?, now);
        }
        if number > 1e9 {
            return at(Timestamp::from_second(number as i64).ok()?, now);
        }
        return Some(RetryHint::After(Duration::from_secs_f64(number)));
    }
    if let Ok(time) = value.parse::<Timestamp>() {
        return at(time, now);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    at(Timestamp::try_from(date).ok()?, now)
}

fn at(time: Timestamp, now: Timestamp) -> Option<RetryHint> {
    Some(RetryHint::At(time.max(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(name: &str, value: &str) -> Option<u64> {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let response = ProviderResponse {
            status: 429,
            headers: vec![(name.into(), value.into())],
            body: Vec::new(),
            truncated: false,
        };
        hint(&response, now).map(|hint| hint.wait(now).as_secs())
    }

    #[test]
    fn every_documented_form_of_waiting_is_read() {
        assert_eq!(wait("retry-after", "7"), Some(7));
        assert_eq!(wait("retry-after", "2.0"), Some(2));
        assert_eq!(wait("retry-after", "Mon, 23 Nov 2026 12:01:00 GMT"), Some(60));
        assert_eq!(wait("retry-after", "2026-11-23T12:00:30Z"), Some(30));
        assert_eq!(wait("x-ratelimit-reset", "1795435210"), Some(10));
        assert_eq!(wait("x-ratelimit-requests-reset", "1795435210000"), Some(10));
        assert_eq!(wait("x-ratelimit-reset", "30"), Some(30));
        assert_eq!(wait("ratelimit", "limit=100, remaining=0, reset=5"), Some(5));
    }

    #[test]
    fn a_time_in_the_past_means_now_and_nonsense_means_nothing() {
        assert_eq!(wait("retry-after", "Mon, 23 Nov 2020 12:01:00 GMT"), Some(0));
        assert_eq!(wait("retry-after", "-5"), None);
        assert_eq!(wait("retry-after", "soon"), None);
        assert_eq!(wait("retry-after", "NaN"), None);
        assert_eq!(wait("retry-after", "1e300"), None);
    }
}
