//! What the apps were told, held against what happened.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use amp_write::sandbox::audit::{Acknowledged, audit};
use amp_write::sandbox::{ChangeKind, LedgerEntry, Sandbox};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::load::{Sent, Told};
use crate::harness::Client;
use crate::harness::client::PATIENCE;

/// How a write ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// `succeeded`, `failed`, `needs_review`; of a write that the app was not told about, empty.
    pub state: String,
    pub record: Option<String>,
    pub detail: String,
}

/// Everything that is wrong. Sound when empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<String>);

/// Waits until every accepted operation has ended, then compares. Prints what there was, and fails on the first finding.
pub async fn judge(client: &Client, sandbox: &Sandbox, sent: &[Sent], title: &str) -> Summary {
    let ends = ends(client, sent).await;
    let findings = compare(&sandbox.ledger(), sent, &ends);
    let summary = Summary::new(sent, &ends);
    println!("{title}: {summary}");
    for finding in &findings.0 {
        for sent in sent
            .iter()
            .filter(|sent| finding.contains(&format!("{} ", sent.name)))
        {
            if let Some(id) = &sent.operation {
                println!(
                    "{finding}: {}",
                    client.get(&format!("/operations/{id}")).await.body
                );
            }
            for entry in sandbox.ledger().iter().filter(|entry| {
                sent.mark
                    .values()
                    .all(|value| entry.body.contains(&value.to_string()))
            }) {
                println!(
                    "  {} {} {} {} {:?}",
                    entry.time, entry.method, entry.path, entry.body, entry.status
                );
            }
        }
    }
    assert!(findings.0.is_empty(), "{title}: {:#?}", findings.0);
    summary
}

/// How many writes ended how.
#[derive(Debug, Clone, Default)]
pub struct Summary(pub BTreeMap<String, usize>);

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (what, count)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {what}")?;
        }
        Ok(())
    }
}

impl Summary {
    pub fn new(sent: &[Sent], ends: &[End]) -> Self {
        let mut counts = BTreeMap::new();
        for (sent, end) in sent.iter().zip(ends) {
            let what = match sent.told {
                Told::Accepted => format!("accepted and {}", end.state),
                Told::Done => "done at once".to_owned(),
                Told::Nothing => "not acknowledged".to_owned(),
            };
            *counts.entry(what).or_default() += 1;
        }
        Self(counts)
    }

    /// Only what was on its way when something broke may need a person: about `each` writes for each of the breaks.
    #[track_caller]
    pub fn assert_few_in_doubt(&self, breaks: usize, each: usize) {
        let doubtful = self.count("accepted and needs_review");
        // On a busy machine others lose their short leases, too, and calls take too long.
        let busy = self.count("accepted and succeeded") / 5;
        assert!(
            doubtful <= busy.max(breaks * each),
            "{doubtful} writes need a review after {breaks} breaks: {self}"
        );
    }

    /// How many of a kind.
    pub fn count(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or_default()
    }
}

/// Polls every operation that the apps know until it has ended.
pub async fn ends(client: &Client, sent: &[Sent]) -> Vec<End> {
    // A long storm leaves much behind: what counts is that it goes on.
    let progress = std::sync::Mutex::new(Instant::now());
    let progress = || progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    futures_util::stream::iter(sent)
        .map(async |sent| {
            let Some(id) = &sent.operation else {
                return End::default();
            };
            loop {
                let operation = client.get(&format!("/operations/{id}")).await;
                assert_eq!(
                    operation.status, 200,
                    "P2: {} was acknowledged and is gone: {}",
                    sent.name, operation.body
                );
                let operation = operation.json();
                if operation["status"] != "in_progress" {
                    *progress() = Instant::now();
                    return end_of(&operation, sent.place);
                }
                assert!(
                    progress().elapsed() < PATIENCE,
                    "P2: {} never ends: {operation}",
                    sent.name
                );
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .buffered(8)
        .collect()
        .await
}

fn end_of(operation: &Value, place: usize) -> End {
    let record = &operation["metadata"]["records"][place];
    End {
        state: record["state"].as_str().unwrap_or_default().to_owned(),
        record: record["recordId"].as_str().map(str::to_owned),
        detail: operation["result"].as_str().unwrap_or_default().to_owned(),
    }
}

/// Compares what was told, how it ended and what the providers have seen.
pub fn compare(ledger: &[LedgerEntry], sent: &[Sent], ends: &[End]) -> Findings {
    let mut findings = Findings::default();
    let operations: Vec<Acknowledged> = sent.iter().map(acknowledged).collect();
    let report = audit(ledger, &operations);
    let by_name: HashMap<&str, (&Sent, &End)> = sent
        .iter()
        .zip(ends)
        .map(|(sent, end)| (sent.name.as_str(), (sent, end)))
        .collect();
    assert_eq!(by_name.len(), sent.len(), "each write has a name of its own");
    let mut find = |text: String| findings.0.push(text);

    for name in &report.doubled {
        find(format!("P3: {name} was made more than once"));
    }
    for name in &report.unexpected {
        find(format!("{name} was made and nobody asked for it"));
    }
    for name in &report.out_of_order {
        // When the app was told nothing it cannot know where in the order the write stands.
        if by_name[name.as_str()].0.told != Told::Nothing {
            find(format!(
                "P4: {name} took effect after a later write to its record"
            ));
        }
    }
    let missing: HashSet<&str> = report.missing.iter().map(String::as_str).collect();
    let made = made(ledger);
    for (name, (sent, end)) in &by_name {
        let missing = missing.contains(name);
        match (sent.told, end.state.as_str()) {
            (Told::Nothing, _) => {}
            (Told::Done, state) if sent.operation.is_some() && state != "succeeded" => {
                find(format!("P1: {name} was done and is recorded as {state}"));
            }
            (Told::Done, _) | (_, "succeeded") if missing => {
                find(format!("P2: {name} is said to be done and never was"));
            }
            (Told::Done, _) | (_, "succeeded") => {}
            (_, "failed") if !missing => find(format!("{name} is said to have failed and was done")),
            // Whether a failure is right is for the test to say, which knows what went wrong.
            (_, "failed") => {}
            (_, "needs_review") if sent.keyed => {
                find(format!(
                    "{name} can be looked up and needs no review: {}",
                    end.detail
                ));
            }
            (_, "needs_review") => {}
            (_, state) => find(format!("{name} ended in the unknown state {state}")),
        }
        if let (Some(record), "create", false) = (&end.record, sent.action, missing)
            && !made.contains(record.as_str())
        {
            find(format!(
                "{name} is said to be record {record}, which was never made"
            ));
        }
    }
    findings.0.sort();
    findings
}

/// The ids of all records that were made.
fn made(ledger: &[LedgerEntry]) -> HashSet<&str> {
    ledger
        .iter()
        .flat_map(|entry| &entry.changes)
        .filter(|change| change.kind == ChangeKind::Created)
        .map(|change| change.id.as_str())
        .collect()
}

fn acknowledged(sent: &Sent) -> Acknowledged {
    Acknowledged {
        operation: sent.name.clone(),
        account: Some(sent.account.clone()),
        object: sent.object.to_owned(),
        action: sent.action.to_owned(),
        id: sent.record.clone(),
        values: sent.mark.clone(),
        order: sent.order,
    }
}
