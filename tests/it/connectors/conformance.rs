//! Recorded writes, where they lie beside the checkout: the same request, the same reading of the answer.
//!
//! Every row that we answer differently stands in [`DIFFERENT`] with its reason; a row that differs without a reason, or
//! a reason that no row needs any more, fails the test.

use std::collections::{BTreeMap, BTreeSet};

use amp_write::connectors::Catalog;
use amp_write::connectors::verify::{Variables, Verdict, describe, verify};
use serde_json::Value;

use crate::harness::shared;

/// `(provider, a part of the line that says what differs, why)`.
const DIFFERENT: &[(&str, &str, &str)] = &[
    // Updates that would be creates: refused, or made into real updates.
    (
        "amplitude",
        "cannot update",
        "sending it again makes a second one",
    ),
    (
        "blueshift",
        "cannot update",
        "the same POST without an id makes a second one",
    ),
    (
        "campaignMonitor",
        "cannot update",
        "the same POST without an id makes a second one",
    ),
    ("dropboxSign", "cannot update", "the call is the one that creates"),
    ("gong", "cannot update", "the call is the one that creates"),
    (
        "heyreach",
        "cannot update",
        "the call is an action that would be done again",
    ),
    ("instantly", "cannot update", "the recorded call names no record"),
    (
        "iterable",
        "cannot update `lists`",
        "the same POST makes a second list",
    ),
    ("meta", "cannot update", "the same POST sends again"),
    ("salesfinity", "cannot update", "the same POST makes a second one"),
    (
        "linear",
        "\"id\":\"123\"",
        "a change stays a change, by its own mutation",
    ),
    ("marketo", "updateOnly", "createOrUpdate could make a second one"),
    // What the recorded library gets wrong.
    (
        "aws",
        "ApplicationAccessScopes",
        "the recorded call has an empty command",
    ),
    (
        "aws",
        "InlinePolicyToPermissionSets",
        "the recorded call has an empty command",
    ),
    (
        "aws",
        "PermissionsBoundaryToPermissionSets",
        "the recorded call has an empty command",
    ),
    (
        "aws",
        "GroupMemberships",
        "AWS has no such command; the recorded call has an empty one",
    ),
    (
        "aws",
        "InstanceAccessControlAttributeConfigurations",
        "the recorded call has an empty command",
    ),
    (
        "braze",
        "campaigns/triggers/schedules",
        "create and update are swapped in the recorded call",
    ),
    (
        "braze",
        "method is `POST`",
        "changes are POST …/update with the id in the body",
    ),
    ("braze", "cannot update", "there is no such call"),
    (
        "chargebee",
        "create_",
        "the id is put behind an action that creates",
    ),
    ("chargebee", "cannot update", "there is no such call"),
    (
        "fireflies",
        "cannot",
        "the recorded call is the object's only mutation, whatever was asked for",
    ),
    (
        "loxo",
        "multipart/form-data",
        "the recorded label does not fit the body, which is a form",
    ),
    ("heyreach", "Some(\"0\")", "`0` is no record id"),
    (
        "xero",
        "055712c7",
        "the recorded id is that of the request, not of the record",
    ),
    (
        "hubspot",
        "record id is None and recorded is Some(\"171596044869\")",
        "the recorded results are those of other contacts, paired by position: nobody knows whose ids they are",
    ),
    // Calls made in another way on purpose.
    (
        "connectWise",
        "/lastName",
        "a change of some fields needs no read before it",
    ),
    (
        "connectWise",
        "customField53",
        "a JSON Patch of the caller is sent as it is",
    ),
];

#[derive(Default)]
struct Tally {
    matched: u32,
    refused: u32,
    differ: Vec<String>,
}

fn run(file: &str) -> Option<BTreeMap<String, Tally>> {
    let folder = shared::recorded("providers")?;
    let catalog = Catalog::builtin();
    let text = std::fs::read_to_string(folder.join("connection.json")).unwrap();
    let variables = Variables::from_json(&serde_json::from_str::<Value>(&text).unwrap());
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for row in shared::rows(&folder.join(file)) {
        let (provider, case) = describe(&row);
        let tally = tallies.entry(provider).or_default();
        match verify(&catalog, &variables, &row, now) {
            Verdict::Matched => tally.matched += 1,
            Verdict::RefusedAsExpected => tally.refused += 1,
            Verdict::NotAWrite => {}
            Verdict::Differs(why) => tally.differ.push(format!("{case}: {why}")),
        }
    }
    Some(tallies)
}

/// Prints the tallies and answers the lines without a reason, the indexes of the reasons used, and the share that fits.
fn review(tallies: &BTreeMap<String, Tally>) -> (Vec<String>, BTreeSet<usize>, f64) {
    let (mut same, mut all, mut unexplained, mut used) = (0, 0, Vec::new(), BTreeSet::new());
    for (provider, tally) in tallies {
        let (matched, refused, differ) = (tally.matched, tally.refused, tally.differ.len());
        println!("{provider}: {matched} matched, {refused} refused as expected, {differ} differ");
        same += matched + refused;
        all += matched + refused + u32::try_from(differ).unwrap();
        for why in &tally.differ {
            let fits =
                |(p, part, _): &&(&str, &str, &str)| (*p == "*" || p == provider) && why.contains(part);
            match DIFFERENT.iter().position(|entry| fits(&entry)) {
                Some(at) => {
                    used.insert(at);
                    println!("  differs: {why}\n    because {}", DIFFERENT[at].2);
                }
                None => unexplained.push(format!("{provider} {why}")),
            }
        }
    }
    let share = f64::from(same) / f64::from(all.max(1));
    println!("{same} of {all} rows are the same ({:.1} %)", share * 100.0);
    (unexplained, used, share)
}

#[test]
fn recorded_writes_are_done_the_same_or_differ_for_a_reason() {
    let (Some(requests), Some(responses)) = (run("requests.jsonl"), run("responses.jsonl")) else {
        return;
    };
    let (mut unexplained, mut used, requests) = review(&requests);
    let (more, used_too, responses) = review(&responses);
    unexplained.extend(more);
    used.extend(used_too);
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let idle: Vec<_> = (0..DIFFERENT.len())
        .filter(|at| !used.contains(at))
        .map(|at| DIFFERENT[at])
        .collect();
    assert!(idle.is_empty(), "no row needs these reasons any more: {idle:?}");
    assert!(
        requests >= 0.98,
        "only {requests:.3} of the requests are the same"
    );
    assert!(
        responses >= 0.98,
        "only {responses:.3} of the answers are read the same"
    );
}
