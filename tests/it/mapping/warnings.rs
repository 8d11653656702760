//! What the `Amp-Warnings` header says.

use amp_write::mapping::{Decision, TraceEntry, warnings};
use serde_json::json;

fn entry(source: Option<&str>, decision: Decision) -> TraceEntry {
    TraceEntry {
        source: source.map(str::to_owned),
        target: None,
        decision,
        sent_as: None,
    }
}

#[test]
fn fields_of_the_request_that_are_not_written_are_named() {
    let trace = [
        entry(Some("a"), Decision::Mapped),
        entry(Some("b"), Decision::DroppedUnmapped),
        entry(Some("c"), Decision::DroppedNotChosen),
        entry(Some("d"), Decision::SkippedNotEmpty),
        entry(None, Decision::SkippedWriteOnUpdate),
        entry(Some("e"), Decision::ValueNotMapped),
        entry(None, Decision::Defaulted),
    ];
    assert_eq!(
        warnings(&trace),
        [
            "dropped_unmapped: b",
            "dropped_not_chosen: c",
            "skipped_not_empty: d",
            "value_not_mapped: e"
        ]
    );
}

#[test]
fn any_name_fits_into_a_header() {
    let name = format!("é,%\r\nX-Evil: 1{}", "x".repeat(1000));
    let text = warnings(&[entry(Some(&name), Decision::DroppedUnmapped)]).concat();
    assert!(
        text.starts_with("dropped_unmapped: %C3%A9%2C%25%0D%0AX-Evil: 1xxx"),
        "{text}"
    );
    assert!(text.ends_with("x...") && text.len() < 120, "{text}");
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
}

#[test]
fn many_fields_are_counted() {
    let trace: Vec<TraceEntry> = (0..25)
        .map(|n| entry(Some(&n.to_string()), Decision::DroppedUnmapped))
        .collect();
    let warnings = warnings(&trace);
    assert_eq!(warnings.len(), 21);
    assert_eq!(warnings[20], "and 5 more");
}

#[test]
fn a_trace_entry_is_written_with_what_it_has() {
    let entry = TraceEntry {
        source: Some("a".into()),
        target: None,
        decision: Decision::DroppedNotChosen,
        sent_as: None,
    };
    assert_eq!(
        serde_json::to_value(&entry).unwrap(),
        json!({"source": "a", "decision": "dropped_not_chosen"})
    );
    for decision in [
        Decision::Mapped,
        Decision::PassedThrough,
        Decision::Defaulted,
        Decision::ValueMapped,
        Decision::ValueNotMapped,
        Decision::DroppedUnmapped,
        Decision::DroppedNotChosen,
        Decision::SkippedWriteOnCreate,
        Decision::SkippedWriteOnUpdate,
        Decision::SkippedNotEmpty,
    ] {
        assert_eq!(serde_json::to_value(decision).unwrap(), decision.as_str());
    }
}
