//! Metrics in Prometheus' text format. Counted where things happen, rendered when they are asked for; nothing is read from
//! the store then. Every label comes from a closed set (routes, providers of the catalogue, words of this program): never
//! from a request or a record.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Series of one family, at most: should a label ever turn out not to be closed, memory still is.
const MAX_SERIES: usize = 10_000;
/// The bounds of latencies, in seconds.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// The bounds of batch sizes.
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all series of one name have in common.
#[derive(Debug)]
struct Family<V> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    series: Mutex<BTreeMap<String, V>>,
}

impl<V> Family<V> {
    fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self {
            name,
            help,
            labels,
            series: Mutex::new(BTreeMap::new()),
        }
    }

    /// `name="value",…`, escaped.
    fn key(&self, values: &[&str]) -> String {
        let mut key = String::with_capacity(64);
        for (label, value) in self.labels.iter().zip(values) {
            if !key.is_empty() {
                key.push(',');
            }
            key.push_str(label);
            key.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => key.push_str("\\\\"),
                    '"' => key.push_str("\\\""),
                    '\n' => key.push_str("\\n"),
                    c => key.push(c),
                }
            }
            key.push('"');
        }
        key
    }

    fn update(&self, values: &[&str], new: impl FnOnce() -> V, change: impl FnOnce(&mut V)) {
        let key = self.key(values);
        let mut series = lock(&self.series);
        if series.len() >= MAX_SERIES && !series.contains_key(&key) {
            return;
        }
        change(series.entry(key).or_insert_with(new));
    }
}

/// Counters of one name.
#[derive(Debug)]
pub struct Counters(Family<u64>);

impl Counters {
    /// Adds one to the series with these labels, in the order in which the family names them.
    pub fn increment(&self, labels: &[&str]) {
        self.add(labels, 1);
    }

    /// Adds several.
    pub fn add(&self, labels: &[&str], count: u64) {
        self.0.update(labels, || 0, |value| *value += count);
    }

    fn render(&self, out: &mut String) {
        head(out, self.0.name, self.0.help, "counter");
        for (key, value) in lock(&self.0.series).iter() {
            let _ = writeln!(out, "{}{{{key}}} {value}", self.0.name);
        }
    }
}

#[derive(Debug)]
struct Histogram {
    counts: Vec<u64>,
    sum: f64,
    total: u64,
}

/// Histograms of one name.
#[derive(Debug)]
pub struct Histograms {
    family: Family<Histogram>,
    bounds: &'static [f64],
}

impl Histograms {
    /// Notes a value under these labels, in the order in which the family names them.
    pub fn observe(&self, labels: &[&str], value: f64) {
        let bounds = self.bounds;
        let new = || Histogram {
            counts: vec![0; bounds.len()],
            sum: 0.0,
            total: 0,
        };
        self.family.update(labels, new, |histogram| {
            if let Some(slot) = bounds
                .iter()
                .position(|bound| value <= *bound)
                .and_then(|index| histogram.counts.get_mut(index))
            {
                *slot += 1;
            }
            histogram.sum += value;
            histogram.total += 1;
        });
    }

    fn render(&self, out: &mut String) {
        let name = self.family.name;
        head(out, name, self.family.help, "histogram");
        for (key, histogram) in lock(&self.family.series).iter() {
            let mut below = 0;
            for (bound, count) in self.bounds.iter().zip(&histogram.counts) {
                below += count;
                let _ = writeln!(out, "{name}_bucket{{{key},le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(out, "{name}_bucket{{{key},le=\"+Inf\"}} {}", histogram.total);
            let _ = writeln!(out, "{name}_sum{{{key}}} {}", histogram.sum);
            let _ = writeln!(out, "{name}_count{{{key}}} {}", histogram.total);
        }
    }
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// How things stood in the store when it was last looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standing {
    /// Items in lanes that are not held.
    pub waiting: i64,
    /// Items in held lanes.
    pub held: i64,
    /// How long the oldest of the waiting has waited since it was accepted, in seconds.
    pub oldest_waiting: f64,
    /// The same of the held.
    pub oldest_held: f64,
    /// How long the item that is most overdue could have run already, in seconds.
    pub overdue: f64,
    /// Lanes that have items.
    pub lanes: i64,
    /// Lanes that are held.
    pub lanes_held: i64,
    /// Lanes that a rate limit pauses.
    pub lanes_paused: i64,
    /// Records of which later writes are held because an earlier one failed.
    pub records_held: i64,
    /// Shards that no worker has.
    pub shards_free: i64,
    /// Transactions that have been open for more than a minute.
    pub long_transactions: i64,
}

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    /// Operations accepted: by provider, action and mode.
    pub operations_accepted: Counters,
    /// Operations ended: by provider, action, outcome and class.
    pub operations_ended: Counters,
    /// Writes refused because the queue is full: by the limit that was met.
    pub operations_refused: Counters,
    /// How long providers take to answer: by provider and kind of answer.
    pub provider_seconds: Histograms,
    /// How long a group commit takes: by kind.
    pub commit_seconds: Histograms,
    /// How many members share a commit: by kind.
    pub commit_members: Histograms,
    /// Requests: by method, route and status.
    pub http_requests: Counters,
    /// How long a request takes: by method and route.
    pub http_seconds: Histograms,
    /// What was not in memory, or not any more, and was read from the store: by cache.
    pub cache_misses: Counters,
    /// Refreshes of tokens, by provider and how they ended.
    pub refreshes: Counters,
    /// Shards of this process's worker.
    pub shards_owned: AtomicI64,
    standing: Mutex<Option<(std::time::Instant, Standing)>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = |name, help, labels| Histograms {
            family: Family::new(name, help, labels),
            bounds: SECONDS,
        };
        Self {
            operations_accepted: Counters(Family::new(
                "amp_operations_accepted_total",
                "Writes taken: asynchronous ones accepted for the queue, synchronous ones performed.",
                &["provider", "action", "mode"],
            )),
            operations_ended: Counters(Family::new(
                "amp_operations_ended_total",
                "Operations that ended; the class is that of the last attempt, or why there was none.",
                &["provider", "action", "outcome", "class"],
            )),
            operations_refused: Counters(Family::new(
                "amp_operations_refused_total",
                "Asynchronous writes refused with 429 because so many wait already.",
                &["limit"],
            )),
            provider_seconds: seconds(
                "amp_provider_call_seconds",
                "How long calls to providers took.",
                &["provider", "answer"],
            ),
            commit_seconds: seconds("amp_commit_seconds", "How long group commits took.", &["kind"]),
            commit_members: Histograms {
                family: Family::new(
                    "amp_commit_members",
                    "How many members shared a group commit.",
                    &["kind"],
                ),
                bounds: SIZES,
            },
            http_requests: Counters(Family::new(
                "amp_http_requests_total",
                "Requests answered.",
                &["method", "route", "status"],
            )),
            http_seconds: seconds(
                "amp_http_request_seconds",
                "How long requests took.",
                &["method", "route"],
            ),
            cache_misses: Counters(Family::new(
                "amp_cache_misses_total",
                "How often routes, API keys or the limits of lanes had to be read from the database.",
                &["cache"],
            )),
            refreshes: Counters(Family::new(
                "amp_token_refreshes_total",
                "Refreshes of OAuth tokens: renewed, refused (the customer has to connect again), later (tried again), not_renewable.",
                &["provider", "result"],
            )),
            shards_owned: AtomicI64::new(0),
            standing: Mutex::new(None),
        }
    }
}

impl Metrics {
    /// Takes over how things stand.
    pub fn set_standing(&self, standing: Standing) {
        *lock(&self.standing) = Some((std::time::Instant::now(), standing));
    }

    /// All of it as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(16 << 10);
        for counters in [
            &self.operations_accepted,
            &self.operations_ended,
            &self.operations_refused,
            &self.http_requests,
            &self.cache_misses,
            &self.refreshes,
        ] {
            counters.render(&mut out);
        }
        for histograms in [
            &self.provider_seconds,
            &self.commit_seconds,
            &self.commit_members,
            &self.http_seconds,
        ] {
            histograms.render(&mut out);
        }
        let mut gauge = |name: &str, help: &str, values: &[(&str, f64)]| {
            head(&mut out, name, help, "gauge");
            for (labels, value) in values {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
        gauge("amp_build_info", "The version of the program.", &[(version, 1.0)]);
        gauge(
            "amp_shards_owned",
            "Shards that this process's worker has.",
            &[("", self.shards_owned.load(Ordering::Relaxed) as f64)],
        );
        // Until the store has been looked at once, no figure is better than a wrong one.
        let Some((at, standing)) = *lock(&self.standing) else {
            return out;
        };
        const WAITING: &str = "{state=\"waiting\"}";
        const HELD: &str = "{state=\"held\"}";
        gauge(
            "amp_queue_items",
            "Operations in the queue: waiting (rate limits and retries included), or held for credentials.",
            &[(WAITING, standing.waiting as f64), (HELD, standing.held as f64)],
        );
        gauge(
            "amp_queue_oldest_seconds",
            "How long ago the oldest operation in the queue was accepted.",
            &[(WAITING, standing.oldest_waiting), (HELD, standing.oldest_held)],
        );
        gauge(
            "amp_queue_overdue_seconds",
            "How long ago the operation that is most overdue could have run; lanes that a rate limit pauses count; held ones do not, nor what waits behind a failed write.",
            &[("", standing.overdue)],
        );
        gauge(
            "amp_lanes_with_work",
            "Connections with operations in the queue.",
            &[("", standing.lanes as f64)],
        );
        gauge(
            "amp_lanes_held",
            "Connections that wait for working credentials.",
            &[("", standing.lanes_held as f64)],
        );
        gauge(
            "amp_lanes_paused",
            "Connections that a provider's rate limit pauses.",
            &[("", standing.lanes_paused as f64)],
        );
        gauge(
            "amp_records_held",
            "Records of which later writes wait until somebody deals with one that failed.",
            &[("", standing.records_held as f64)],
        );
        gauge(
            "amp_shards_free",
            "Shards that no worker has: their operations wait.",
            &[("", standing.shards_free as f64)],
        );
        gauge(
            "amp_long_transactions",
            "Transactions of the database that have been open for more than 60 seconds (Postgres).",
            &[("", standing.long_transactions as f64)],
        );
        gauge(
            "amp_figures_age_seconds",
            "How old the figures about queue, lanes, shards and transactions are.",
            &[("", at.elapsed().as_secs_f64())],
        );
        out
    }
}

/// A duration as a histogram takes it.
#[must_use]
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_histograms_render_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics
            .operations_accepted
            .increment(&["hub\"spot\n", "create", "synchronous"]);
        metrics
            .operations_accepted
            .add(&["hub\"spot\n", "create", "synchronous"], 2);
        metrics.commit_members.observe(&["accept"], 3.0);
        metrics.commit_members.observe(&["accept"], 1_000.0);
        let text = metrics.render();
        for line in [
            "# TYPE amp_operations_accepted_total counter",
            r#"amp_operations_accepted_total{provider="hub\"spot\n",action="create",mode="synchronous"} 3"#,
            r#"amp_commit_members_bucket{kind="accept",le="2"} 0"#,
            r#"amp_commit_members_bucket{kind="accept",le="5"} 1"#,
            r#"amp_commit_members_bucket{kind="accept",le="100"} 1"#,
            r#"amp_commit_members_bucket{kind="accept",le="+Inf"} 2"#,
            r#"amp_commit_members_sum{kind="accept"} 1003"#,
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(
            !text.contains("amp_queue_items"),
            "no figure before the first look"
        );
        metrics.set_standing(Standing::default());
        assert!(metrics.render().contains("amp_queue_items{state=\"waiting\"} 0"));
    }

    #[test]
    fn a_family_does_not_grow_without_end() {
        let metrics = Metrics::default();
        for number in 0..MAX_SERIES + 5 {
            metrics.operations_refused.increment(&[&number.to_string()]);
        }
        assert_eq!(lock(&metrics.operations_refused.0.series).len(), MAX_SERIES);
    }
}
