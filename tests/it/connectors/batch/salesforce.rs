//! What Salesforce says about each record of a collection.

use serde_json::{Value, json};

use super::{Batch, BatchOutcome, create, error, update, words};

const A: &str = "003Hs00002AbCdEIAV";
const B: &str = "003Hs00002AbCdFIAV";

fn two() -> Batch {
    create(
        "salesforce",
        "Contact",
        &[json!({"LastName": "A"}), json!({"LastName": "B"})],
    )
}

fn two_updates() -> Batch {
    update(
        "salesforce",
        "Contact",
        &[(A, json!({"LastName": "A"})), (B, json!({"LastName": "B"}))],
    )
}

fn done(id: &str) -> Value {
    json!({"id": id, "success": true, "errors": []})
}

fn failed(code: &str, message: &str) -> Value {
    json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": []}]})
}

const BACK: &str = "ALL_OR_NONE_OPERATION_ROLLED_BACK";

#[test]
fn results_stand_in_the_order_of_the_records() {
    assert_eq!(
        two().words(200, &json!([done(A), done(B)])),
        [format!("ok {A}"), format!("ok {B}")]
    );
    let mixed = json!([failed("REQUIRED_FIELD_MISSING", "missing"), done(B)]);
    let expected = [
        "rejected validation REQUIRED_FIELD_MISSING".to_owned(),
        format!("ok {B}"),
    ];
    assert_eq!(two().words(200, &mixed), expected);
    assert_eq!(two().words(400, &mixed), expected);
    // An id of 15 characters is that of 18.
    let short = json!([done(&A[..15]), {"success": true, "errors": []}]);
    assert_eq!(
        two_updates().words(200, &short),
        [format!("ok {}", &A[..15]), format!("ok {B}")]
    );
}

#[test]
fn results_that_do_not_fit_the_records_tell_nothing() {
    for body in [
        json!([done(A)]),
        json!([done(A), done(B), done(B)]),
        json!([done(A), {"id": B}]),
        json!([done(A), null]),
        json!([]),
        json!({"hasErrors": false}),
        json!(null),
        json!("ok"),
    ] {
        assert_eq!(two().words(200, &body), ["whole unknown"], "{body}");
        assert_eq!(
            two_updates().words(200, &body),
            ["whole retry transient"],
            "{body}"
        );
    }
    // Another order than that of the records cannot be, and is not believed.
    let swapped = json!([done(B), done(A)]);
    assert_eq!(two_updates().words(200, &swapped), ["whole retry transient"]);
    // A record that was made and has no id.
    assert_eq!(
        two().words(200, &json!([{"success": true}, done(B)])),
        ["unknown".to_owned(), format!("ok {B}")]
    );
}

#[test]
fn errors_of_records_mean_what_those_of_single_writes_mean() {
    let taken = "duplicate value found: Ext__c duplicates value on record with id: 001Hs00001XyZaB";
    for (code, message, expected) in [
        ("INVALID_FIELD", "no", "rejected validation INVALID_FIELD"),
        (
            "DUPLICATES_DETECTED",
            "Use one of these records?",
            "rejected conflict DUPLICATES_DETECTED",
        ),
        ("DUPLICATE_VALUE", taken, "rejected conflict DUPLICATE_VALUE"),
        (
            "ENTITY_IS_DELETED",
            "entity is deleted",
            "rejected not_found ENTITY_IS_DELETED",
        ),
        (
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "no",
            "rejected forbidden INSUFFICIENT_ACCESS_OR_READONLY",
        ),
        (
            "UNABLE_TO_LOCK_ROW",
            "unable to obtain exclusive access",
            "retry lock",
        ),
        ("NEVER_HEARD_OF", "?", "rejected validation NEVER_HEARD_OF"),
    ] {
        let body = json!([failed(code, message), done(B)]);
        assert_eq!(two_updates().words(200, &body)[0], expected);
        let BatchOutcome::Each(all) = two().interpret(200, body.to_string().as_bytes()) else {
            panic!("it was not refused");
        };
        let existing = (code == "DUPLICATE_VALUE").then_some("001Hs00001XyZaB");
        assert_eq!(error(&all[0]).existing_id.as_deref(), existing);
    }
    // Nobody knows of a create; an update is repeated.
    let body = json!([failed("UNKNOWN_EXCEPTION", "oops"), done(B)]);
    assert_eq!(two().words(200, &body)[0], "unknown");
    assert_eq!(two_updates().words(200, &body)[0], "retry transient");
}

#[test]
fn a_record_that_was_taken_back_for_another_says_so() {
    let body = json!([
        failed("REQUIRED_FIELD_MISSING", "missing"),
        failed(BACK, "Record rolled back")
    ]);
    for batch in [two(), two().all_or_none()] {
        for status in [200, 400] {
            let BatchOutcome::Each(all) = batch.interpret(status, body.to_string().as_bytes()) else {
                panic!("it was not refused");
            };
            let blameless = error(&all[1]);
            assert_eq!(blameless.code.as_deref(), Some(BACK));
            assert!(blameless.message.contains("another record"), "{blameless}");
            assert_eq!(
                words(&BatchOutcome::Each(all.clone())),
                [
                    "rejected validation REQUIRED_FIELD_MISSING".to_owned(),
                    format!("rejected validation {BACK}")
                ]
            );
        }
    }
}

#[test]
fn all_or_none_with_one_to_be_tried_again_is_tried_again_as_a_whole() {
    let locked = json!([
        failed("UNABLE_TO_LOCK_ROW", "locked"),
        failed(BACK, "Record rolled back")
    ]);
    assert_eq!(two().all_or_none().words(200, &locked), ["whole retry lock"]);
    assert_eq!(
        two_updates().all_or_none().words(200, &locked),
        ["whole retry lock"]
    );
    assert_eq!(
        two().words(200, &locked),
        ["retry lock".to_owned(), format!("rejected validation {BACK}")]
    );
    // All was taken back, so nothing was made.
    let broken = json!([
        failed("UNKNOWN_EXCEPTION", "oops"),
        failed(BACK, "Record rolled back")
    ]);
    assert_eq!(two().all_or_none().words(200, &broken), ["whole retry transient"]);
}

#[test]
fn a_refusal_of_the_call_is_one_outcome() {
    let refused = |code: &str, message: &str| json!([{"errorCode": code, "message": message}]);
    for (status, body, made, changed) in [
        (
            401,
            refused("INVALID_SESSION_ID", "Session expired or invalid"),
            "unauthorized",
            "unauthorized",
        ),
        (
            403,
            refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
            "retry quota",
            "retry quota",
        ),
        (
            403,
            refused("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded."),
            "retry rate_limited",
            "retry rate_limited",
        ),
        (
            400,
            refused("EXCEEDED_ID_LIMIT", "record limit reached"),
            "rejected validation EXCEEDED_ID_LIMIT",
            "rejected validation EXCEEDED_ID_LIMIT",
        ),
        (
            400,
            refused("JSON_PARSER_ERROR", "no"),
            "rejected validation JSON_PARSER_ERROR",
            "rejected validation JSON_PARSER_ERROR",
        ),
        (
            200,
            refused("INVALID_SESSION_ID", "Session expired or invalid"),
            "unauthorized",
            "unauthorized",
        ),
        (
            500,
            refused("UNKNOWN_EXCEPTION", "oops"),
            "unknown",
            "retry transient",
        ),
        (
            503,
            refused("SERVER_UNAVAILABLE", "busy"),
            "unknown",
            "retry transient",
        ),
        (500, json!([done(A), done(B)]), "unknown", "retry transient"),
        (400, json!(null), "rejected validation -", "rejected validation -"),
        (420, json!(null), "unauthorized", "unauthorized"),
    ] {
        assert_eq!(
            two().words(status, &body),
            [format!("whole {made}")],
            "{status} {body}"
        );
        assert_eq!(
            two().all_or_none().words(status, &body),
            [format!("whole {made}")],
            "{status} {body}"
        );
        assert_eq!(
            two_updates().words(status, &body),
            [format!("whole {changed}")],
            "{status} {body}"
        );
    }
    let html = b"<html><head><title>Down</title></head></html>";
    for status in [200, 502, 503] {
        assert_eq!(words(&two().interpret(status, html)), ["whole unknown"]);
        assert_eq!(
            words(&two_updates().interpret(status, html)),
            ["whole retry transient"]
        );
    }
    assert_eq!(words(&two().interpret(200, b"[{\"id\":")), ["whole unknown"]);
}
