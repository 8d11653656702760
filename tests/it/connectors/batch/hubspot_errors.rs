//! Whose an error of HubSpot is, and what it means.

use serde_json::{Value, json};

use super::hubspot::{answer, failed, result};
use super::{Batch, BatchOutcome, Outcome, create, error, update, words};

fn three() -> Batch {
    create(
        "hubspot",
        "companies",
        &[json!({"name": "A"}), json!({"name": "B"}), json!({"name": "C"})],
    )
}

fn done(at: usize, traced: bool) -> Value {
    let (name, trace) = (["A", "B", "C"][at], format!("t{at}"));
    result(
        &at.to_string(),
        traced.then_some(trace.as_str()),
        json!({"name": name}),
    )
}

#[test]
fn an_error_is_given_to_those_it_names() {
    let conflict = failed(
        "CONFLICT",
        "Contact already exists. Existing ID: 77",
        json!({"objectWriteTraceId": ["t1"], "existingId": ["77"]}),
    );
    for traced in [true, false] {
        let body = answer(
            &[done(2, traced), done(0, traced)],
            std::slice::from_ref(&conflict),
        );
        let BatchOutcome::Each(all) = three().interpret(207, body.to_string().as_bytes()) else {
            panic!("it was not refused");
        };
        assert_eq!(
            words(&BatchOutcome::Each(all.clone())),
            ["ok 0", "rejected conflict CONFLICT", "ok 2"]
        );
        let error = error(&all[1]);
        assert_eq!(error.existing_id.as_deref(), Some("77"));
        assert_eq!(
            (error.status, error.message.as_str()),
            (207, "Contact already exists. Existing ID: 77")
        );
    }
    // The id stands in the context or in the text.
    for context in [
        json!({"objectWriteTraceId": "t0", "existingId": ["77"]}),
        json!({"objectWriteTraceId": ["t0"]}),
    ] {
        let text = if context["existingId"].is_null() {
            "Existing ID: 77"
        } else {
            "taken"
        };
        let body = answer(
            &[done(1, true), done(2, true)],
            &[failed("CONFLICT", text, context)],
        );
        let BatchOutcome::Each(all) = three().interpret(207, body.to_string().as_bytes()) else {
            panic!("it was not refused");
        };
        assert_eq!(error(&all[0]).existing_id.as_deref(), Some("77"));
    }
}

#[test]
fn one_error_may_name_several() {
    let invalid = failed(
        "VALIDATION_ERROR",
        "no such option",
        json!({"objectWriteTraceId": ["t0", "t2"]}),
    );
    let expected = [
        "rejected validation VALIDATION_ERROR",
        "ok 1",
        "rejected validation VALIDATION_ERROR",
    ];
    assert_eq!(
        three().words(207, &answer(&[done(1, false)], &[invalid])),
        expected
    );

    let batch = update(
        "hubspot",
        "companies",
        &[
            ("1", json!({"city": "A"})),
            ("2", json!({"city": "A"})),
            ("3", json!({"city": "A"})),
        ],
    );
    let missing = failed(
        "OBJECT_NOT_FOUND",
        "Could not get some",
        json!({"ids": ["3", "1"]}),
    );
    for status in [200, 207] {
        let body = answer(
            &[result("2", None, json!({"city": "A"}))],
            std::slice::from_ref(&missing),
        );
        let expected = [
            "rejected not_found OBJECT_NOT_FOUND",
            "ok 2",
            "rejected not_found OBJECT_NOT_FOUND",
        ];
        assert_eq!(batch.words(status, &body), expected);
    }
}

#[test]
fn ids_in_the_context_of_a_create_name_no_record() {
    // They are what the record was to be linked to.
    let batch = create("hubspot", "companies", &[json!({"name": "A"})]);
    let error = failed(
        "VALIDATION_ERROR",
        "gone",
        json!({"ids": ["t0"], "objectWriteTraceId": ["t0"]}),
    );
    assert_eq!(
        batch.words(207, &answer(&[], &[error])),
        ["rejected validation VALIDATION_ERROR"]
    );
}

#[test]
fn an_error_that_names_nobody_is_that_of_the_only_one_without_a_result() {
    let nameless = failed("VALIDATION_ERROR", "no", json!({}));
    for traced in [true, false] {
        let body = answer(
            &[done(2, traced), done(0, traced)],
            std::slice::from_ref(&nameless),
        );
        assert_eq!(
            three().words(207, &body),
            ["ok 0", "rejected validation VALIDATION_ERROR", "ok 2"]
        );
    }
    let mut without = nameless.clone();
    without.as_object_mut().unwrap().remove("context");
    let body = answer(&[done(2, true), done(0, true)], &[without]);
    assert_eq!(
        three().words(207, &body),
        ["ok 0", "rejected validation VALIDATION_ERROR", "ok 2"]
    );
}

#[test]
fn a_result_is_nobodys_by_elimination_when_an_error_names_nobody() {
    let batch = create(
        "hubspot",
        "companies",
        &[json!({"name": "A"}), json!({"name": "+41 44"})],
    );
    let results = [
        result("1", None, json!({"name": "A"})),
        result("2", None, json!({"name": "0041 44"})),
    ];
    assert_eq!(batch.words(201, &answer(&results, &[])), ["ok 1", "ok 2"]);
    // As many results as records, and an error: one of these results is of something else.
    let error = failed("VALIDATION_ERROR", "no", json!({}));
    assert_eq!(batch.words(207, &answer(&results, &[error])), ["ok 1", "unknown"]);
}

#[test]
fn several_nameless_errors_are_shared_when_they_add_up() {
    let no = failed("VALIDATION_ERROR", "no", json!({}));
    let taken = failed("CONFLICT", "taken", json!({}));
    let internal = failed("INTERNAL_ERROR", "oops", json!({}));
    let results = [done(0, true)];
    let all = |errors: &[Value]| three().interpret(207, answer(&results, errors).to_string().as_bytes());
    let BatchOutcome::Each(shared) = all(&[no.clone(), taken.clone()]) else {
        panic!("it was not refused");
    };
    assert_eq!(
        words(&BatchOutcome::Each(shared.clone())),
        ["ok 0", "rejected validation -", "rejected validation -"]
    );
    assert_eq!(error(&shared[2]).message, "no; taken");
    // One that may have been applied, or a number that does not fit: nobody knows.
    assert_eq!(
        words(&all(&[no.clone(), internal])),
        ["ok 0", "unknown", "unknown"]
    );
    assert_eq!(
        words(&all(std::slice::from_ref(&no))),
        ["ok 0", "unknown", "unknown"]
    );
    // Unless the count says that it stands for both.
    let mut body = answer(&results, &[no]);
    body["numErrors"] = 2.into();
    let same = "rejected validation VALIDATION_ERROR";
    assert_eq!(three().words(207, &body), ["ok 0", same, same]);
}

#[test]
fn a_failure_inside_hubspot_leaves_a_create_unknown_and_repeats_an_update() {
    let named = |context: Value| answer(&[], &[failed("INTERNAL_ERROR", "oops", context)]);
    let one = create("hubspot", "companies", &[json!({"name": "A"})]);
    assert_eq!(
        one.words(207, &named(json!({"objectWriteTraceId": ["t0"]}))),
        ["unknown"]
    );
    let one = update("hubspot", "companies", &[("1", json!({"name": "A"}))]);
    assert_eq!(one.words(207, &named(json!({"ids": ["1"]}))), ["retry transient"]);
}

#[test]
fn a_record_with_a_result_and_an_error_is_not_made_again() {
    let error = failed(
        "VALIDATION_ERROR",
        "no",
        json!({"objectWriteTraceId": ["t0"], "ids": ["1"]}),
    );
    let results = [result("1", Some("t0"), json!({"name": "A"}))];
    let made = create("hubspot", "companies", &[json!({"name": "A"})]);
    assert_eq!(
        made.words(207, &answer(&results, std::slice::from_ref(&error))),
        ["unknown"]
    );
    let changed = update("hubspot", "companies", &[("1", json!({"name": "A"}))]);
    let expected = ["rejected validation VALIDATION_ERROR"];
    assert_eq!(changed.words(207, &answer(&results, &[error])), expected);
}

#[test]
fn a_refusal_of_the_call_is_one_outcome() {
    let refused = |status: u16, category: &str, message: &str| -> (u16, Vec<u8>) {
        let body = json!({"status": "error", "category": category, "message": message});
        (status, body.to_string().into_bytes())
    };
    let html = |status: u16| {
        (
            status,
            b"<html><head><title>502 Bad Gateway</title></head></html>".to_vec(),
        )
    };
    for ((status, body), made, changed) in [
        (
            refused(400, "VALIDATION_ERROR", "no"),
            "rejected validation VALIDATION_ERROR",
            "rejected validation VALIDATION_ERROR",
        ),
        (
            refused(409, "CONFLICT", "Contact already exists"),
            "rejected conflict CONFLICT",
            "rejected conflict CONFLICT",
        ),
        (
            refused(401, "EXPIRED_AUTHENTICATION", "expired"),
            "unauthorized",
            "unauthorized",
        ),
        (
            refused(403, "MISSING_SCOPES", "scopes"),
            "rejected forbidden MISSING_SCOPES",
            "rejected forbidden MISSING_SCOPES",
        ),
        (
            refused(404, "x", "resource not found"),
            "rejected not_found x",
            "rejected not_found x",
        ),
        (refused(423, "x", "Locked"), "retry lock", "retry lock"),
        (
            refused(429, "RATE_LIMITS", "slow"),
            "retry rate_limited",
            "retry rate_limited",
        ),
        (
            refused(477, "MIGRATION", "moving"),
            "retry maintenance",
            "retry maintenance",
        ),
        (refused(500, "x", "oops"), "unknown", "retry transient"),
        (html(502), "unknown", "retry transient"),
        ((524, b"error code: 524".to_vec()), "unknown", "retry transient"),
        (
            (400, Vec::new()),
            "rejected validation -",
            "rejected validation -",
        ),
        // A success that cannot be read is none.
        (html(200), "unknown", "retry transient"),
        ((201, Vec::new()), "unknown", "retry transient"),
        ((201, b"[]".to_vec()), "unknown", "retry transient"),
        (
            (201, b"{\"status\":\"error\"}".to_vec()),
            "unknown",
            "retry transient",
        ),
        (
            (207, b"{\"results\":[{\"id\":".to_vec()),
            "unknown",
            "retry transient",
        ),
    ] {
        let text = String::from_utf8_lossy(&body).into_owned();
        let batch = create(
            "hubspot",
            "companies",
            &[json!({"name": "A"}), json!({"name": "B"})],
        );
        assert_eq!(
            words(&batch.interpret(status, &body)),
            [format!("whole {made}")],
            "{status} {text}"
        );
        let batch = batch.all_or_none();
        assert_eq!(
            words(&batch.interpret(status, &body)),
            [format!("whole {made}")],
            "{status} {text}"
        );
        let batch = update("hubspot", "companies", &[("1", json!({"name": "A"}))]);
        assert_eq!(
            words(&batch.interpret(status, &body)),
            [format!("whole {changed}")],
            "{status} {text}"
        );
    }
}

#[test]
fn an_answer_that_was_cut_off_tells_nothing() {
    let body = answer(&[done(0, true), done(1, true), done(2, true)], &[])
        .to_string()
        .into_bytes();
    let response = amp_write::connectors::ProviderResponse {
        status: 201,
        headers: Vec::new(),
        body,
        truncated: true,
    };
    assert_eq!(words(&three().read(&response)), ["whole unknown"]);
}

#[test]
fn the_limit_that_was_met_says_how_long_to_wait() {
    let body = json!({"status": "error", "message": "slow", "policyName": "SECONDLY"}).to_string();
    let BatchOutcome::Whole(Outcome::Retry {
        after: Some(after), ..
    }) = three().interpret(429, body.as_bytes())
    else {
        panic!("it is to be tried again");
    };
    assert_eq!(after.wait(super::now()).as_secs(), 1);
}

#[test]
fn an_atomic_create_that_was_refused_inside_a_success_is_refused_as_a_whole() {
    let batch = three().all_or_none();
    let body = answer(&[], &[failed("CONFLICT", "Existing ID: 5", json!({}))]);
    assert_eq!(batch.words(207, &body), ["whole rejected conflict CONFLICT"]);
}
