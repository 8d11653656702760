//! What an installation says of how much its connection may do: `config.content.write.limits`.

use serde_json::{Map, Value};

use super::parse::issue;
use crate::manifest::Issue;
use crate::manifest::node::{Problems, Trail, kind, mapping, member};

/// Calls at the same time that may be asked for.
const CONCURRENCY: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Calls within the window that may be asked for.
const REQUESTS: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Windows that may be asked for, in seconds.
const PER_SECONDS: std::ops::RangeInclusive<f64> = 0.1..=86_400.0;

/// Limits that stand in for those of the connector file. What is absent stays as the file has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConfigLimits {
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    /// Calls within a window.
    pub rate: Option<ConfigRate>,
}

/// So many calls within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigRate {
    /// The calls.
    pub requests: u32,
    /// The window in milliseconds.
    pub per_millis: u64,
}

impl ConfigLimits {
    /// Reads the limits of a config's content; a config without them says nothing.
    ///
    /// # Errors
    /// Every problem at once, with paths as those of [`ConfigContent`](super::ConfigContent) have them. What is no mapping on the way there is for
    /// that one to tell.
    pub fn parse(content: &Value) -> Result<Self, Vec<Issue>> {
        let root = Trail::root();
        let write = content.as_object().and_then(|map| member(map, "write"));
        let Some((write_key, Value::Object(write))) = write else {
            return Ok(Self::default());
        };
        let Some((key, value)) = member(write, "limits") else {
            return Ok(Self::default());
        };
        let mut problems = Problems::default();
        let at = root.key(write_key);
        let at = at.key(key);
        let limits = mapping(value, &at, &mut problems).map(|map| Self::read(map, &at, &mut problems));
        if problems.is_empty() {
            return Ok(limits.unwrap_or_default());
        }
        Err(problems.into_vec().into_iter().map(issue).collect())
    }

    fn read(map: &Map<String, Value>, at: &Trail<'_>, problems: &mut Problems) -> Self {
        let requests = whole(map, "requests", &REQUESTS, at, problems);
        let per_millis = window(map, at, problems);
        let given = |name| member(map, name).is_some();
        for (name, other) in [("requests", "perSeconds"), ("perSeconds", "requests")] {
            if given(other) && !given(name) {
                let detail = format!("{name} is missing: {other} has no meaning without it.");
                problems.error(&at.key(name), detail);
            }
        }
        Self {
            concurrency: whole(map, "concurrency", &CONCURRENCY, at, problems),
            rate: requests
                .zip(per_millis)
                .map(|(requests, per_millis)| ConfigRate { requests, per_millis }),
        }
    }

    /// The lower of two in each: fewer calls at the same time, and fewer calls in the same time. Who says nothing has no say.
    #[must_use]
    pub fn lowest(self, other: Self) -> Self {
        let lower = |a: ConfigRate, b: ConfigRate| if b.is_lower_than(a) { b } else { a };
        Self {
            concurrency: both(self.concurrency, other.concurrency, u32::min),
            rate: both(self.rate, other.rate, lower),
        }
    }
}

impl ConfigRate {
    /// Fewer calls in the same time; of two that are alike there, the one that allows fewer of them at once.
    fn is_lower_than(self, other: Self) -> bool {
        let (mine, others) = (
            u128::from(self.requests) * u128::from(other.per_millis),
            u128::from(other.requests) * u128::from(self.per_millis),
        );
        (mine, self.requests) < (others, other.requests)
    }
}

fn both<T>(a: Option<T>, b: Option<T>, choose: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(choose(a, b)),
        (a, b) => a.or(b),
    }
}

fn whole(
    map: &Map<String, Value>,
    name: &str,
    allowed: &std::ops::RangeInclusive<u32>,
    at: &Trail<'_>,
    problems: &mut Problems,
) -> Option<u32> {
    let (key, value) = member(map, name)?;
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| allowed.contains(number));
    if number.is_none() {
        let (from, to) = (allowed.start(), allowed.end());
        problems.error(
            &at.key(key),
            format!(
                "{name} must be a whole number from {from} to {to}; it is {}.",
                shown(value)
            ),
        );
    }
    number
}

fn window(map: &Map<String, Value>, at: &Trail<'_>, problems: &mut Problems) -> Option<u64> {
    let (key, value) = member(map, "perSeconds")?;
    let seconds = value.as_f64().filter(|seconds| PER_SECONDS.contains(seconds));
    if seconds.is_none() {
        let (from, to) = (PER_SECONDS.start(), PER_SECONDS.end());
        problems.error(
            &at.key(key),
            format!(
                "perSeconds must be a number of seconds from {from} to {to}; it is {}.",
                shown(value)
            ),
        );
    }
    let millis = std::time::Duration::try_from_secs_f64(seconds?).ok()?.as_millis();
    u64::try_from(millis).ok()
}

/// A number as it was written, short enough for a message; of anything else, its kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string().chars().take(20).collect(),
        other => kind(other).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(limits: Value) -> Result<ConfigLimits, Vec<(String, String)>> {
        ConfigLimits::parse(&json!({"write": {"objects": {}, "limits": limits}})).map_err(|issues| {
            issues
                .into_iter()
                .map(|issue| (issue.path, issue.detail))
                .collect()
        })
    }

    fn rate(requests: u32, per_millis: u64) -> ConfigLimits {
        ConfigLimits {
            rate: Some(ConfigRate { requests, per_millis }),
            ..ConfigLimits::default()
        }
    }

    #[test]
    fn what_is_said_is_read_and_what_is_not_said_is_left_to_the_connector() {
        let nothing = ConfigLimits::default();
        for content in [
            json!(null),
            json!([]),
            json!({"write": 7}),
            json!({"write": {"limits": null}}),
        ] {
            assert_eq!(ConfigLimits::parse(&content), Ok(nothing), "{content}");
        }
        assert_eq!(parse(json!({})), Ok(nothing));
        assert_eq!(
            parse(json!({"concurrency": 3, "x": 1})),
            Ok(ConfigLimits {
                concurrency: Some(3),
                rate: None
            }),
            "unknown keys are fine"
        );
        assert_eq!(
            parse(json!({"requests": 100, "perSeconds": 0.5})),
            Ok(rate(100, 500))
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        for (limits, path) in [
            (json!([]), ""),
            (json!({"concurrency": 0}), ".concurrency"),
            (json!({"concurrency": 1001}), ".concurrency"),
            (json!({"concurrency": 1.5}), ".concurrency"),
            (json!({"concurrency": "2"}), ".concurrency"),
            (json!({"requests": 5}), ".perSeconds"),
            (json!({"perSeconds": 5}), ".requests"),
            (json!({"requests": -1, "perSeconds": 5}), ".requests"),
            (json!({"requests": 5, "perSeconds": 0}), ".perSeconds"),
            (json!({"requests": 5, "perSeconds": 1e300}), ".perSeconds"),
        ] {
            let issues = parse(limits.clone()).expect_err("it is wrong");
            assert_eq!(issues.len(), 1, "{limits}: {issues:?}");
            assert_eq!(
                issues[0].0,
                format!("config.content.write.limits{path}"),
                "{limits}"
            );
        }
    }

    #[test]
    fn the_lowest_wins_in_each_and_silence_has_no_say() {
        let three = ConfigLimits {
            concurrency: Some(3),
            ..ConfigLimits::default()
        };
        let both = three.lowest(rate(10, 1_000)).lowest(ConfigLimits::default());
        assert_eq!((both.concurrency, both.rate), (Some(3), rate(10, 1_000).rate));
        assert_eq!(
            rate(10, 1_000).lowest(rate(50, 10_000)),
            rate(50, 10_000),
            "5 a second"
        );
        assert_eq!(rate(100, 10_000).lowest(rate(10, 1_000)), rate(10, 1_000));
    }
}
