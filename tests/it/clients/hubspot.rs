//! `@hubspot/api-client`.

use super::Row;

const TABLE: &[Row] = &[
    ("create a contact", r#"["ann@x.example", false, true]"#),
    ("create it again", r#"{"refused": [409, "CONFLICT"]}"#),
    (
        "create with an unknown property",
        r#"{"refused": [400, "VALIDATION_ERROR"]}"#,
    ),
    ("read two properties", r#"["Ann", "CFO"]"#),
    ("read by email", "true"),
    (
        "ask for the history of values",
        r#"{"refused": [400, "VALIDATION_ERROR"]}"#,
    ),
    ("update to null keeps", r#""CFO""#),
    ("update to nothing clears", "null"),
    ("update an unknown record", r#"{"refused": [404, null]}"#),
    ("batch create", r#"["COMPLETE", 3]"#),
    ("batch of 101", r#"{"refused": [400, "VALIDATION_ERROR"]}"#),
    ("batch read", r#""bob""#),
    ("batch update", r#""Graz""#),
    ("batch update of an unknown record", r#"["OBJECT_NOT_FOUND"]"#),
    ("batch upsert", "[false, true]"),
    (
        "a page",
        r#"["ann@x.example", "bob@x.example", "cid@x.example", "dan@x.example"]"#,
    ),
    ("all pages", "5"),
    ("a page of 101", r#"{"refused": [400, "VALIDATION_ERROR"]}"#),
    (
        "a page after nonsense",
        r#"{"refused": [400, "VALIDATION_ERROR"]}"#,
    ),
    ("search by filter", r#"["bob@x.example"]"#),
    ("search between", r#"["cid@x.example", "dan@x.example"]"#),
    ("search by words", r#"["bob@x.example"]"#),
    ("search by words of two properties", r#"["cid@x.example"]"#),
    (
        "sorted descending",
        r#"["eve@x.example", "dan@x.example", "cid@x.example", "bob@x.example", "ann@x.example"]"#,
    ),
    (
        "sorted by rule",
        r#"["dan@x.example", "cid@x.example", "bob@x.example", "ann@x.example", "eve@x.example"]"#,
    ),
    (
        "sorted ascending, second page",
        r#"["cid@x.example", "dan@x.example"]"#,
    ),
    ("two sorts", r#"{"refused": [400, "VALIDATION_ERROR"]}"#),
    ("search of 201", r#"{"refused": [400, "VALIDATION_ERROR"]}"#),
    (
        "search after nonsense",
        r#"{"refused": [400, "VALIDATION_ERROR"]}"#,
    ),
    (
        "search with an unknown operator",
        r#"{"refused": [400, "VALIDATION_ERROR"]}"#,
    ),
    (
        "a company, a deal, a ticket",
        r#"["Northpeak", "1500.50", "2026-12-01T00:00:00.000Z", "Help"]"#,
    ),
    (
        "a note at a time in milliseconds",
        r#""2026-09-21T14:13:20.123Z""#,
    ),
    ("a contact with an association", "1"),
    ("the default association", r#"["COMPLETE", true, true, 279]"#),
    ("default associations in a batch", "[279]"),
    ("an association with its type", "true"),
    ("the associations of a record", "[1, 279]"),
    ("associations in a batch", "1"),
    ("remove an association", "[]"),
    (
        "HubSpot's properties",
        r#"["First Name", true, "contactinformation"]"#,
    ),
    ("a property group", r#"["erp", "ERP", 3]"#),
    (
        "a property",
        r#"["erp", "ERP number", "From the ERP", "One", true, false]"#,
    ),
    (
        "a property of an unknown group",
        r#"{"refused": [400, "VALIDATION_ERROR"]}"#,
    ),
    ("change a property", r#""Number""#),
    ("a schema", r#"["Car", "Cars", ["plate"], "plate"]"#),
    ("read schemas", r#"[1, "Cars", ["plate"]]"#),
    ("change a schema", r#""Autos""#),
    (
        "a record without its required property",
        r#"{"refused": [400, "VALIDATION_ERROR"]}"#,
    ),
    ("a record with it", r#"["G 1"]"#),
    ("merge", "true"),
    ("archive", "true"),
    ("archive an unknown record", "null"),
    ("batch archive", "null"),
    ("refresh the token", r#"["bearer", 1800]"#),
    ("owners are not simulated", r#"{"refused": [404, null]}"#),
];

#[tokio::test]
async fn hubspots_own_client_takes_the_sandbox_for_hubspot() {
    super::agree("node", "hubspot.cjs", TABLE).await;
}
