//! When to come back: `Retry-After` and the headers that stand in for it.

use std::time::Duration;

use jiff::Timestamp;

use crate::connectors::contract::{ProviderResponse, RetryClass, RetryHint};

/// Headers that say when a limit ends, as a number: seconds left, epoch seconds or epoch milliseconds.
const RESET_HEADERS: [&str; 8] = [
    "x-ratelimit-requests-reset",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
    "ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-reset-requests",
    "ratelimit-limit-reset",
    "rate-limit-reset",
];

/// Headers that say in milliseconds how long to wait.
const MILLISECOND_HEADERS: [&str; 3] = ["retry-after-ms", "x-ms-retry-after-ms", "x-retry-after-ms"];

/// Headers that say how many calls are left.
const REMAINING_HEADERS: [&str; 6] = [
    "x-ratelimit-remaining",
    "x-rate-limit-remaining",
    "ratelimit-remaining",
    "rate-limit-remaining",
    "x-ratelimit-requests-remaining",
    "x-hubspot-ratelimit-remaining",
];

/// The pause when a quota is used up that is counted over a day, and nobody says when it ends.
const DAY_QUOTA_PAUSE: Duration = Duration::from_secs(60);

/// The wait that a failure of this class asks for. Headers that tell when a limit ends stand on every answer of some
/// providers: on a failure that is no limit they ask for nothing.
#[must_use]
pub fn hint(response: &ProviderResponse, class: RetryClass, now: Timestamp) -> Option<RetryHint> {
    match class {
        RetryClass::RateLimited | RetryClass::Quota => end_of_limit(response, now),
        RetryClass::Lock | RetryClass::Maintenance | RetryClass::Transient => asked(response, now),
    }
}

/// The wait that an answer asks for in so many words.
fn asked(response: &ProviderResponse, now: Timestamp) -> Option<RetryHint> {
    let milliseconds = MILLISECOND_HEADERS.iter().find_map(|name| {
        let wait: f64 = response.header(name)?.trim().parse().ok()?;
        after(wait / 1_000.0)
    });
    milliseconds.or_else(|| {
        ["retry-after", "x-ratelimit-retry-after"]
            .iter()
            .find_map(|name| parse(response.header(name)?, now))
    })
}

/// When a limit ends.
fn end_of_limit(response: &ProviderResponse, now: Timestamp) -> Option<RetryHint> {
    asked(response, now)
        .or_else(|| {
            RESET_HEADERS
                .iter()
                .find_map(|name| parse(response.header(name)?, now))
        })
        .or_else(|| structured(response.header("ratelimit")?, now))
        .or_else(|| per_endpoint(response, now))
}

/// The wait that follows from the headers of any answer, a success too: the limit that they tell of is used up, and of which
/// kind it is. Nothing while something is left, or when they do not say.
#[must_use]
pub fn exhausted(response: &ProviderResponse, now: Timestamp) -> Option<(RetryHint, RetryClass)> {
    let short = |hint| Some((hint, RetryClass::RateLimited));
    let none_left = |name: &&str| response.header(name).is_some_and(|left| left.trim() == "0");
    if REMAINING_HEADERS.iter().any(none_left) {
        return end_of_limit(response, now)
            .or_else(|| window(response))
            .and_then(short);
    }
    let zero =
        |value: &str| members(value).any(|(name, left)| matches!(name, "remaining" | "r") && left == "0");
    if let Some(value) = response.header("ratelimit").filter(|value| zero(value)) {
        return structured(value, now).and_then(short);
    }
    per_endpoint(response, now)
        .and_then(short)
        .or_else(|| Some((day_quota(response)?, RetryClass::Quota)))
}

/// The window that a provider counts its calls in, when it tells no end of it: at the latest then some are left again.
#[must_use]
pub fn window(response: &ProviderResponse) -> Option<RetryHint> {
    let left = response.header("x-hubspot-ratelimit-remaining")?;
    let window = response.header("x-hubspot-ratelimit-interval-milliseconds")?;
    let window = Duration::try_from_secs_f64(window.trim().parse::<f64>().ok()? / 1_000.0).ok()?;
    (left.trim() == "0").then_some(RetryHint::Guess(window))
}

/// `RateLimit: limit=100, remaining=0, reset=7`, and the later `RateLimit: "burst";r=0;t=7, "day";r=900;t=3600`: of several
/// the one that is used up counts, else the first.
fn structured(value: &str, now: Timestamp) -> Option<RetryHint> {
    if let Some((_, reset)) = members(value).find(|(name, _)| *name == "reset") {
        return parse(reset, now);
    }
    let time = |policy: &str| {
        members(policy)
            .find(|(name, _)| *name == "t")
            .map(|(_, t)| t.to_owned())
    };
    let used_up = value
        .split(',')
        .find(|policy| members(policy).any(|(name, left)| name == "r" && left == "0"));
    parse(&time(used_up.or_else(|| value.split(',').next())?)?, now)
}

/// Zendesk limits some endpoints apart: `zendesk-ratelimit-tickets: total=100; remaining=0; resets=41`.
fn per_endpoint(response: &ProviderResponse, now: Timestamp) -> Option<RetryHint> {
    response
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("zendesk-ratelimit-"))
        .filter(|(_, value)| members(value).any(|(name, left)| name == "remaining" && left == "0"))
        .find_map(|(_, value)| parse(members(value).find(|(name, _)| *name == "resets")?.1, now))
}

/// Salesforce tells how much of the day's calls is used: `Sforce-Limit-Info: api-usage=100000/100000`.
fn day_quota(response: &ProviderResponse) -> Option<RetryHint> {
    let (_, usage) = members(response.header("sforce-limit-info")?).find(|(name, _)| *name == "api-usage")?;
    let (used, limit) = usage.split_once('/')?;
    let (used, limit): (u64, u64) = (used.trim().parse().ok()?, limit.trim().parse().ok()?);
    (limit > 0 && used >= limit).then_some(RetryHint::Guess(DAY_QUOTA_PAUSE))
}

/// The members `name=value` of a header.
fn members(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value
        .split([',', ';'])
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
}

fn after(seconds: f64) -> Option<RetryHint> {
    Duration::try_from_secs_f64(seconds).ok().map(RetryHint::After)
}

/// `1m30s`, `200ms`, `7s`: numbers with units.
fn spelled(value: &str) -> Option<RetryHint> {
    let mut rest = value;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    after(total)
}

/// Reads an integer, a decimal number, numbers with units, an HTTP date or an ISO 8601 time. A number over 10¹² is epoch milliseconds, over
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
        return after(number);
    }
    if !value.is_empty()
        && let Some(hint) = spelled(value)
    {
        return Some(hint);
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

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn answer(headers: &[(&str, &str)]) -> ProviderResponse {
        ProviderResponse {
            status: 429,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            body: Vec::new(),
            truncated: false,
        }
    }

    fn wait(name: &str, value: &str) -> Option<u64> {
        end_of_limit(&answer(&[(name, value)]), now()).map(|hint| hint.wait(now()).as_secs())
    }

    fn pause(headers: &[(&str, &str)]) -> Option<u64> {
        exhausted(&answer(headers), now()).map(|(hint, _)| hint.wait(now()).as_secs())
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
        assert_eq!(wait("ratelimit", r#""burst";r=0;t=6"#), Some(6));
        assert_eq!(wait("ratelimit", r#""day";r=9;t=3600, "burst";r=0;t=6"#), Some(6));
        assert_eq!(wait("retry-after-ms", "2500"), Some(2));
        assert_eq!(wait("x-ms-retry-after-ms", "7000"), Some(7));
        assert_eq!(wait("x-ratelimit-reset-requests", "1m30s"), Some(90));
        assert_eq!(wait("x-ratelimit-reset-requests", "6h0m1.5s"), Some(21_601));
        assert_eq!(wait("retry-after", "12s"), Some(12));
        assert_eq!(
            wait("zendesk-ratelimit-tickets", "total=100; remaining=0; resets=41"),
            Some(41)
        );
    }

    #[test]
    fn a_wait_is_named_when_the_provider_says_it_and_a_guess_when_we_suppose_it() {
        let named = |headers: &[(&str, &str)]| {
            hint(&answer(headers), RetryClass::RateLimited, now()).map(RetryHint::is_named)
        };
        assert_eq!(named(&[("retry-after", "7")]), Some(true));
        assert_eq!(named(&[("x-ratelimit-reset", "30")]), Some(true));
        let used_up = |headers: &[(&str, &str)]| {
            exhausted(&answer(headers), now()).map(|(hint, class)| (hint.is_named(), class))
        };
        let windowed = [
            ("x-hubspot-ratelimit-remaining", "0"),
            ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
        ];
        assert_eq!(used_up(&windowed), Some((false, RetryClass::RateLimited)));
        let day = [("sforce-limit-info", "api-usage=15000/15000")];
        assert_eq!(used_up(&day), Some((false, RetryClass::Quota)));
        let told = [("x-ratelimit-remaining", "0"), ("retry-after", "9")];
        assert_eq!(used_up(&told), Some((true, RetryClass::RateLimited)));
    }

    #[test]
    fn the_end_of_a_limit_that_is_not_reached_asks_for_nothing() {
        let healthy = answer(&[("x-ratelimit-remaining", "4000"), ("x-ratelimit-reset", "3000")]);
        assert_eq!(hint(&healthy, RetryClass::Transient, now()), None);
        let limit = hint(&healthy, RetryClass::RateLimited, now());
        assert_eq!(limit, Some(RetryHint::After(Duration::from_secs(3_000))));
        let told = answer(&[("retry-after-ms", "2500"), ("x-ratelimit-reset", "3000")]);
        assert_eq!(
            hint(&told, RetryClass::Transient, now()),
            Some(RetryHint::After(Duration::from_millis(2_500)))
        );
    }

    #[test]
    fn a_time_in_the_past_means_now_and_nonsense_means_nothing() {
        assert_eq!(wait("retry-after", "Mon, 23 Nov 2020 12:01:00 GMT"), Some(0));
        assert_eq!(wait("retry-after", "-5"), None);
        assert_eq!(wait("retry-after", "soon"), None);
        assert_eq!(wait("retry-after", "NaN"), None);
        assert_eq!(wait("retry-after", "1e300"), None);
        for nonsense in [
            "",
            "s",
            "1x",
            "1.2.3s",
            "1s soon",
            "999999999999999999999999h",
            "ü7s",
        ] {
            assert_eq!(wait("retry-after", nonsense), None, "{nonsense}");
        }
        assert_eq!(wait("retry-after-ms", "inf"), None);
        assert_eq!(wait("ratelimit", "remaining"), None);
    }

    #[test]
    fn a_quota_that_is_used_up_asks_for_a_pause_and_one_that_is_not_does_not() {
        assert_eq!(
            pause(&[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1795435210")
            ]),
            Some(10)
        );
        assert_eq!(
            pause(&[
                ("x-ratelimit-remaining", "1"),
                ("x-ratelimit-reset", "1795435210")
            ]),
            None
        );
        let hubspot = |left| {
            pause(&[
                ("x-hubspot-ratelimit-remaining", left),
                ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
            ])
        };
        assert_eq!(hubspot("0"), Some(10));
        assert_eq!(hubspot("100"), None);
        assert_eq!(pause(&[("ratelimit", "limit=9, remaining=0, reset=5")]), Some(5));
        assert_eq!(pause(&[("ratelimit", "limit=9, remaining=3, reset=5")]), None);
        assert_eq!(pause(&[("ratelimit", r#""burst";r=0;t=6"#)]), Some(6));
        assert_eq!(
            pause(&[("sforce-limit-info", "api-usage=15000/15000; api-bursts=1/9")]),
            Some(60)
        );
        assert_eq!(pause(&[("sforce-limit-info", "api-usage=10018/100000")]), None);
        assert_eq!(
            pause(&[("zendesk-ratelimit-tickets", "total=100; remaining=7; resets=41")]),
            None
        );
        assert_eq!(
            pause(&[("x-ratelimit-remaining", "0")]),
            None,
            "nobody says for how long"
        );
        assert_eq!(
            pause(&[("retry-after", "7")]),
            None,
            "a wait alone is not a quota"
        );
    }
}
