//! Which result belongs to which record, by what they hold: for results that repeat neither a trace id nor a known id.
//!
//! A wrong pairing is worse than none, so a pair is made only where there is no other possibility. Providers rewrite some
//! values (a phone number, a date), the same value always in the same way. So a result that holds what a record holds is
//! that record's, unless more results do than there are records of this content: then one of them is a record's whose
//! values were rewritten, and nobody can tell which.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A record that waits for its result.
pub(super) struct Sent<'a> {
    /// The record that is changed. Different records are different, whatever is written.
    pub(super) id: Option<&'a str>,
    /// What was sent.
    pub(super) record: &'a Map<String, Value>,
    /// What was sent with it. Records that differ here are different.
    pub(super) associations: &'a [Value],
}

/// Pairs of a record and a result, as places in `sent` and `results`. `complete`: there are no others, so that every
/// record has its result here.
pub(super) fn pairs(
    sent: &[Sent<'_>],
    results: &[Option<&Map<String, Value>>],
    unique: &[String],
    complete: bool,
) -> Vec<(usize, usize)> {
    let mut open = Open {
        sent: (0..sent.len()).collect(),
        results: (0..results.len()).collect(),
        made: Vec::new(),
    };
    for field in unique {
        open.by_unique(sent, results, field);
    }
    let shown = |key: &str| {
        results
            .iter()
            .flatten()
            .any(|result| plain(result.get(key)).is_some())
    };
    let keys: BTreeSet<&str> = sent
        .iter()
        .flat_map(|s| s.record.keys())
        .map(String::as_str)
        .collect();
    let keys: Vec<&str> = keys.into_iter().filter(|key| shown(key)).collect();
    let table = Table::of(sent, results, &keys, complete);
    while open.by_content(&table) {}
    if let (true, [record], [result]) = (complete, open.sent.as_slice(), open.results.as_slice()) {
        open.made.push((*record, *result));
    }
    open.made
}

/// What has not found its counterpart yet.
struct Open {
    sent: Vec<usize>,
    results: Vec<usize>,
    made: Vec<(usize, usize)>,
}

impl Open {
    fn pair(&mut self, record: usize, result: usize) {
        self.sent.retain(|at| *at != record);
        self.results.retain(|at| *at != result);
        self.made.push((record, result));
    }

    /// By a field that no two records of the provider share.
    fn by_unique(&mut self, sent: &[Sent<'_>], results: &[Option<&Map<String, Value>>], field: &str) {
        let of_sent = |at: &usize| plain(sent[*at].record.get(field));
        let of_result = |at: &usize| plain(results[*at]?.get(field));
        for record in self.sent.clone() {
            let Some(value) = of_sent(&record) else { continue };
            let alike = |own: Option<String>| own.as_deref() == Some(value.as_str());
            let others = self.sent.iter().filter(|at| alike(of_sent(at))).count();
            let mut found = self.results.iter().copied().filter(|at| alike(of_result(at)));
            if let (1, Some(result), None) = (others, found.next(), found.next()) {
                self.pair(record, result);
            }
        }
    }

    /// One round by content; whether it made a pair.
    fn by_content(&mut self, table: &Table) -> bool {
        let before = self.made.len();
        for record in self.sent.clone() {
            let class = table.class[record];
            let same: Vec<usize> = self
                .sent
                .iter()
                .copied()
                .filter(|at| table.class[*at] == class)
                .collect();
            let fitting: Vec<usize> = self
                .results
                .iter()
                .copied()
                .filter(|result| table.fits[record][*result])
                .collect();
            let clear = |result: &usize| self.is_clear(table, class, *result);
            if fitting.len() <= same.len() && !fitting.is_empty() && fitting.iter().all(clear) {
                for (record, result) in same.into_iter().zip(fitting) {
                    self.pair(record, result);
                }
            }
        }
        self.made.len() > before
    }

    /// Whether a result that fits a class can be no other's.
    fn is_clear(&self, table: &Table, class: usize, result: usize) -> bool {
        let fitting = |other: usize| self.results.iter().filter(|r| table.fits[other][**r]).count();
        let size = |class: usize| self.sent.iter().filter(|at| table.class[**at] == class).count();
        let mut others = self.sent.iter().copied().filter(|at| table.class[*at] != class);
        if table.complete {
            // Another class that it fits has results of its own to spare.
            let mut rivals = others.filter(|other| table.fits[*other][result]);
            return rivals.all(|other| fitting(other) > size(table.class[other]));
        }
        // Results are missing, so there is nobody to compare with: the others have to be plainly different.
        others.all(|other| table.apart[other][result])
    }
}

/// What was compared, once for all rounds.
struct Table {
    complete: bool,
    /// Records of the same number are the same.
    class: Vec<usize>,
    /// By record, by result: all that was sent and that results show is equal.
    fits: Vec<Vec<bool>>,
    /// By record, by result: they differ by more than a provider rewrites.
    apart: Vec<Vec<bool>>,
}

impl Table {
    fn of(sent: &[Sent<'_>], results: &[Option<&Map<String, Value>>], keys: &[&str], complete: bool) -> Self {
        let same = |a: &Sent<'_>, b: &Sent<'_>| {
            a.id == b.id && a.record == b.record && a.associations == b.associations
        };
        let class = sent
            .iter()
            .enumerate()
            .map(|(at, own)| sent.iter().position(|other| same(own, other)).unwrap_or(at))
            .collect();
        let texts = |map: &Map<String, Value>| -> Vec<Option<String>> {
            keys.iter().map(|key| plain(map.get(*key))).collect()
        };
        let records: Vec<_> = sent.iter().map(|s| texts(s.record)).collect();
        let shown: Vec<_> = results.iter().map(|r| r.map(texts).unwrap_or_default()).collect();
        let given: Vec<Vec<bool>> = sent
            .iter()
            .map(|s| keys.iter().map(|key| s.record.contains_key(*key)).collect())
            .collect();
        let table = |holds: &dyn Fn(usize, &[Option<String>]) -> bool| -> Vec<Vec<bool>> {
            (0..sent.len())
                .map(|record| shown.iter().map(|result| holds(record, result)).collect())
                .collect()
        };
        let fits = table(&|record, result| {
            (0..keys.len())
                .all(|key| !given[record][key] || records[record][key].as_ref() == value(result, key))
        });
        let apart = table(&|record, result| {
            (0..keys.len()).any(|key| match (&records[record][key], value(result, key)) {
                (Some(own), Some(shown)) => plainly_different(own, shown),
                (own, _) => own.is_some(),
            })
        });
        Self {
            complete,
            class,
            fits,
            apart,
        }
    }
}

/// Whether one text cannot be the other in another way of writing it.
fn plainly_different(a: &str, b: &str) -> bool {
    let bare = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let (a, b) = (bare(a), bare(b));
    !a.contains(&b) && !b.contains(&a)
}

/// The value of a key, where there is one.
fn value(values: &[Option<String>], key: usize) -> Option<&String> {
    values.get(key)?.as_ref()
}

/// A value as a text to compare: `None` when it is empty. HubSpot answers all values as texts, keeps some in lower case and
/// writes numbers in its own way.
pub(super) fn plain(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::Null => return None,
        Value::String(text) => text.trim().to_lowercase(),
        other => other.to_string().to_lowercase(),
    };
    (!text.is_empty()).then(|| number(&text).unwrap_or(text))
}

/// A decimal number without what does not count: `01.50` is `1.5`.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let part = part.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match part {
        "" if whole == "0" => "0".to_owned(),
        "" => format!("{sign}{whole}"),
        part => format!("{sign}{whole}.{part}"),
    })
}
