//! Which result of HubSpot belongs to which record.

use serde_json::{Value, json};

use super::{create, update};

/// A result as HubSpot shows it: what was written, and values of its own.
pub fn result(id: &str, trace: Option<&str>, properties: Value) -> Value {
    let mut shown = properties.as_object().unwrap().clone();
    shown.insert("hs_object_id".into(), id.into());
    shown.insert("createdate".into(), "2026-10-05T09:14:22.118Z".into());
    let mut result = json!({"id": id, "properties": shown, "archived": false});
    if let Some(trace) = trace {
        result["objectWriteTraceId"] = trace.into();
    }
    result
}

pub fn answer(results: &[Value], errors: &[Value]) -> Value {
    let mut body = json!({"status": "COMPLETE", "results": results});
    if !errors.is_empty() {
        body["errors"] = errors.into();
        body["numErrors"] = errors.len().into();
    }
    body
}

pub fn failed(category: &str, message: &str, context: Value) -> Value {
    json!({"status": "error", "category": category, "message": message, "context": context})
}

fn names(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"name": name})).collect()
}

#[test]
fn results_are_matched_by_trace_id_whatever_they_hold() {
    let batch = create("hubspot", "companies", &names(&["A", "B", "C"]));
    let results = [
        result("3", Some("t2"), json!({"name": "A"})),
        result("1", Some("t0"), json!({"name": "B"})),
        result("2", Some("t1"), json!({"name": "C"})),
    ];
    for status in [200, 201, 207] {
        assert_eq!(
            batch.words(status, &answer(&results, &[])),
            ["ok 1", "ok 2", "ok 3"]
        );
    }
}

#[test]
fn results_without_trace_ids_are_matched_by_what_they_hold() {
    let records = [
        json!({"name": "Ánde ", "amount": 1500.50, "active": true}),
        json!({"name": "Bern", "amount": "007", "city": ""}),
        json!({"name": "Bern", "amount": "8", "city": null}),
    ];
    let results = [
        result("3", None, json!({"name": "bern", "amount": "8.0"})),
        result(
            "1",
            None,
            json!({"name": "Ánde", "amount": "1500.5", "active": "true"}),
        ),
        result("2", None, json!({"name": "BERN", "amount": "7", "city": null})),
    ];
    for batch in [
        create("hubspot", "companies", &records),
        create("hubspot", "companies", &records).all_or_none(),
    ] {
        assert_eq!(batch.words(201, &answer(&results, &[])), ["ok 1", "ok 2", "ok 3"]);
    }
}

#[test]
fn a_unique_field_decides_before_anything_else() {
    let records = [
        json!({"email": "A@x.example", "phone": "1"}),
        json!({"email": "b@x.example", "phone": "2"}),
    ];
    let results = [
        result("2", None, json!({"email": "b@x.example", "phone": "1"})),
        result("1", None, json!({"email": "a@x.example", "phone": "2"})),
    ];
    let batch = create("hubspot", "contacts", &records);
    assert_eq!(batch.words(201, &answer(&results, &[])), ["ok 1", "ok 2"]);
}

#[test]
fn records_of_the_same_content_may_change_places_and_others_may_not() {
    let twins = create("hubspot", "companies", &names(&["A", "A", "B"]));
    let results = [
        result("7", None, json!({"name": "B"})),
        result("8", None, json!({"name": "A"})),
        result("9", None, json!({"name": "A"})),
    ];
    assert_eq!(twins.words(201, &answer(&results, &[])), ["ok 8", "ok 9", "ok 7"]);

    // The same but for what they are linked to, which an answer does not show.
    let mut linked = create("hubspot", "companies", &names(&["A", "A"]));
    for (at, to) in ["1", "2"].iter().enumerate() {
        linked.associations[at] = vec![json!({"to": {"id": to}, "types": []})];
    }
    assert_eq!(linked.words(201, &answer(&results[1..], &[])), ["ok -", "ok -"]);
}

#[test]
fn nobody_gets_an_id_by_position() {
    let batch = create("hubspot", "companies", &names(&["A", "B"]));
    let strangers = [
        result("1", None, json!({"name": "Lily"})),
        result("2", None, json!({"name": "Marley"})),
    ];
    assert_eq!(batch.words(201, &answer(&strangers, &[])), ["ok -", "ok -"]);
    let bare = [json!({"id": "1"}), json!({"id": "2"})];
    assert_eq!(batch.words(201, &answer(&bare, &[])), ["ok -", "ok -"]);
}

#[test]
fn one_record_and_one_result_that_are_left_belong_together() {
    let batch = create("hubspot", "companies", &names(&["A", "+41 44", "C"]));
    let results = [
        result("3", Some("t2"), json!({"name": "C"})),
        result("2", None, json!({"name": "0041 44"})),
        result("1", Some("t0"), json!({"name": "A"})),
    ];
    assert_eq!(batch.words(201, &answer(&results, &[])), ["ok 1", "ok 2", "ok 3"]);
}

#[test]
fn a_rewritten_value_never_gives_a_record_the_id_of_another() {
    // HubSpot wrote the phone of the first in its own way, so that its result looks like that of the second.
    let records = [json!({"name": "Ann", "phone": "1"}), json!({"name": "Ann"})];
    let results = [
        result("1", None, json!({"name": "Ann", "phone": "+1"})),
        result("2", None, json!({"name": "Ann"})),
    ];
    let batch = create("hubspot", "companies", &records);
    assert_eq!(batch.words(201, &answer(&results, &[])), ["ok -", "ok -"]);
    // Nor when the second one failed and nobody is named.
    let error = failed("VALIDATION_ERROR", "no", json!({}));
    let words = batch.words(207, &answer(&results[..1], &[error]));
    assert_eq!(words, ["unknown", "unknown"]);
}

#[test]
fn a_record_that_is_a_part_of_another_is_told_apart() {
    let records = [
        json!({"name": "A"}),
        json!({"name": "A", "city": "Bern"}),
        json!({"name": "A", "city": "Rome"}),
    ];
    let results = [
        result("3", None, json!({"name": "A", "city": "Rome"})),
        result("2", None, json!({"name": "A", "city": "Bern"})),
        result("1", None, json!({"name": "A"})),
    ];
    let batch = create("hubspot", "companies", &records);
    assert_eq!(batch.words(201, &answer(&results, &[])), ["ok 1", "ok 2", "ok 3"]);
}

#[test]
fn updates_are_matched_by_id_and_a_merged_record_answers_with_the_id_that_survives() {
    let records = [
        ("11", json!({"city": "A"})),
        ("12", json!({"city": "B"})),
        ("13", json!({"city": "C"})),
    ];
    let batch = update("hubspot", "companies", &records);
    let results = [
        result("13", None, json!({"city": "C"})),
        result("99", None, json!({"city": "A"})),
        result("12", None, json!({"city": "B"})),
    ];
    assert_eq!(
        batch.words(200, &answer(&results, &[])),
        ["ok 99", "ok 12", "ok 13"]
    );
    // With trace ids: the first two are now the same record.
    let results = [
        result("12", Some("t0"), json!({"city": "A"})),
        result("13", Some("t2"), json!({"city": "C"})),
        result("12", Some("t1"), json!({"city": "B"})),
    ];
    assert_eq!(
        batch.words(200, &answer(&results, &[])),
        ["ok 12", "ok 12", "ok 13"]
    );
}

#[test]
fn what_is_neither_in_results_nor_in_errors_is_unknown_or_repeated() {
    let results = [result("1", Some("t0"), json!({"name": "A"}))];
    let made = create("hubspot", "companies", &names(&["A", "B"]));
    assert_eq!(made.words(201, &answer(&results, &[])), ["ok 1", "unknown"]);
    let changed = update(
        "hubspot",
        "companies",
        &[("1", json!({"name": "A"})), ("2", json!({"name": "B"}))],
    );
    assert_eq!(
        changed.words(200, &answer(&results, &[])),
        ["ok 1", "retry transient"]
    );
    // Nothing is concluded from an answer that is not complete, or that is about others too.
    let untraced = [result("1", None, json!({"name": "?"}))];
    let mut pending = answer(&untraced, &[]);
    pending["status"] = "PENDING".into();
    let one = create("hubspot", "companies", &names(&["A"]));
    assert_eq!(one.words(202, &pending), ["unknown"]);
    let foreign = [result("1", Some("somebody's"), json!({"name": "A"}))];
    assert_eq!(one.words(201, &answer(&foreign, &[])), ["unknown"]);
}

#[test]
fn two_results_for_one_record_leave_its_id_open() {
    let batch = create("hubspot", "companies", &names(&["A"]));
    let twice = [
        result("1", Some("t0"), json!({"name": "A"})),
        result("2", Some("t0"), json!({"name": "A"})),
    ];
    assert_eq!(batch.words(201, &answer(&twice, &[])), ["ok -"]);
    let same = [twice[0].clone(), twice[0].clone()];
    assert_eq!(batch.words(201, &answer(&same, &[])), ["ok 1"]);
}

#[test]
fn the_data_of_a_result_are_its_properties() {
    let batch = create("hubspot", "companies", &names(&["A"]));
    let shown = json!({"name": "A", "amount": "1.10"});
    let body = answer(&[result("1", Some("t0"), shown)], &[]).to_string();
    let super::BatchOutcome::Each(all) = batch.interpret(201, body.as_bytes()) else {
        panic!("it was not refused");
    };
    let super::Outcome::Succeeded { data: Some(data), .. } = &all[0] else {
        panic!("{all:?}");
    };
    assert_eq!(
        (&data["amount"], &data["hs_object_id"]),
        (&json!("1.10"), &json!("1"))
    );
}
