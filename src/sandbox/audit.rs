//! The auditor: compares what a client was told with what the ledger says happened.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ledger::{Change, ChangeKind, LedgerEntry};

/// An operation that was acknowledged, and how to find its effect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// The operation's id, for the report.
    pub operation: String,
    /// The account it is for; any when absent.
    #[serde(default)]
    pub account: Option<String>,
    /// The provider's name of the object, in any case.
    pub object: String,
    /// `create`, `update`, `delete`, or `upsert` (either of the first two).
    pub action: String,
    /// The provider's id of the record, when it is known.
    #[serde(default)]
    pub id: Option<String>,
    /// Values that the change must have written: the key of a create (`{"email": "a@b.co"}`), or a mark
    /// that tells one update of a record from another. Numbers and texts of the same digits are equal.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// Its place among the operations on the same record; lower ones were accepted earlier.
    pub order: u64,
}

/// What the auditor found. Sound when every list is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Operations without any effect.
    pub missing: Vec<String>,
    /// Creates that made more than one record.
    pub doubled: Vec<String>,
    /// Operations whose effect came (again) after that of a later one on the same record.
    pub out_of_order: Vec<String>,
    /// Ids of records that no operation asked for, as `object/id`.
    pub unexpected: Vec<String>,
}

impl Report {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self == &Self::default()
    }
}

/// When an operation took effect: its place, its first and last change, its id.
type Span<'a> = (u64, u64, u64, &'a str);

/// A record: account, object in lower case, id.
type RecordKey<'a> = (Option<&'a str>, String, String);

struct Seen<'a> {
    account: Option<&'a str>,
    change: &'a Change,
}

/// Compares acknowledged operations with the ledger.
///
/// A create must have made exactly one record, an update and a delete must have been applied at least
/// once (they are idempotent), and on each record no operation may take effect after a later one did.
#[must_use]
pub fn audit(ledger: &[LedgerEntry], operations: &[Acknowledged]) -> Report {
    let mut seen: Vec<Seen<'_>> = ledger
        .iter()
        .flat_map(|e| {
            e.changes.iter().map(|change| Seen {
                account: e.account.as_deref(),
                change,
            })
        })
        .collect();
    seen.sort_by_key(|s| s.change.order);
    // By the value of each written field: thousands of operations must not each read the whole ledger.
    let mut by_value: HashMap<(String, String), Vec<usize>> = HashMap::new();
    let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, item) in seen.iter().enumerate() {
        by_id.entry(&item.change.id).or_default().push(at);
        for (name, value) in &item.change.values {
            by_value
                .entry((name.to_lowercase(), plain(value)))
                .or_default()
                .push(at);
        }
    }
    let mut report = Report::default();
    let mut claimed = vec![false; seen.len()];
    let mut spans: HashMap<RecordKey<'_>, Vec<Span<'_>>> = HashMap::new();
    for operation in operations {
        let candidates: Vec<usize> = match (&operation.id, operation.values.iter().next()) {
            (Some(id), _) => by_id.get(id.as_str()).cloned().unwrap_or_default(),
            (None, Some((name, value))) => by_value
                .get(&(name.to_lowercase(), plain(value)))
                .cloned()
                .unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        let found: Vec<usize> = candidates
            .into_iter()
            .filter(|&at| fits(operation, &seen[at]))
            .collect();
        for &at in &found {
            claimed[at] = true;
        }
        let (Some(&first), Some(&last)) = (found.first(), found.last()) else {
            report.missing.push(operation.operation.clone());
            continue;
        };
        if operation.action == "create" && found.len() > 1 {
            report.doubled.push(operation.operation.clone());
        }
        let change = seen[first].change;
        let record = (
            seen[first].account,
            change.object.to_lowercase(),
            change.id.clone(),
        );
        let span = (
            operation.order,
            change.order,
            seen[last].change.order,
            operation.operation.as_str(),
        );
        spans.entry(record).or_default().push(span);
    }
    for list in spans.values_mut() {
        list.sort_unstable();
        for (at, (_, _, last, name)) in list.iter().enumerate() {
            if list[at + 1..].iter().any(|(_, first, _, _)| first < last) {
                report.out_of_order.push((*name).to_owned());
            }
        }
    }
    report.out_of_order.sort();
    let made = seen
        .iter()
        .zip(&claimed)
        .filter(|(s, claimed)| s.change.kind == ChangeKind::Created && !**claimed);
    report.unexpected = made
        .map(|(s, _)| format!("{}/{}", s.change.object, s.change.id))
        .collect();
    report
}

fn fits(operation: &Acknowledged, seen: &Seen<'_>) -> bool {
    let kind = match operation.action.as_str() {
        "create" => seen.change.kind == ChangeKind::Created,
        "update" => seen.change.kind == ChangeKind::Updated,
        "upsert" => matches!(seen.change.kind, ChangeKind::Created | ChangeKind::Updated),
        "delete" => seen.change.kind == ChangeKind::Archived,
        _ => false,
    };
    kind && seen.change.object.eq_ignore_ascii_case(&operation.object)
        && operation
            .account
            .as_deref()
            .is_none_or(|a| seen.account == Some(a))
        && operation.id.as_deref().is_none_or(|id| seen.change.id == id)
        && operation.values.iter().all(|(name, wanted)| {
            let written = seen
                .change
                .values
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name));
            written.is_some_and(|(_, value)| plain(value) == plain(wanted))
        })
}

/// A value as text: HubSpot keeps numbers as text of the same digits.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
