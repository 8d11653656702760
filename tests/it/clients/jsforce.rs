//! `jsforce`.

use super::Row;

const TABLE: &[Row] = &[
    ("create", "[true, 18]"),
    (
        "create without a required field",
        r#"{"refused": "REQUIRED_FIELD_MISSING"}"#,
    ),
    ("create with an unknown field", r#"{"refused": "INVALID_FIELD"}"#),
    ("retrieve", r#""Holt""#),
    ("update", "true"),
    ("upsert twice", "[true, false]"),
    ("create several", "[true, true, true]"),
    (
        "all or none",
        r#"["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]"#,
    ),
    ("ordered", r#"["adler", "Berg", "Cole", "Holt"]"#),
    ("ordered descending, two of them", r#"["Holt", "Cole"]"#),
    ("ordered, from the second", r#"["Berg"]"#),
    ("ordered with nulls last", r#"["adler", "Cole", "Holt", "Berg"]"#),
    ("a list of values", r#"["Holt", "Cole"]"#),
    ("more than", r#"["Holt", "Cole"]"#),
    ("like is refused", r#"{"refused": "MALFORMED_QUERY"}"#),
    ("or is refused", r#"{"refused": "MALFORMED_QUERY"}"#),
    ("a relative date is refused", r#"{"refused": "MALFORMED_QUERY"}"#),
    ("group by is refused", r#"{"refused": "MALFORMED_QUERY"}"#),
    ("an unknown field is refused", r#"{"refused": "INVALID_FIELD"}"#),
    ("count", "4"),
    ("make 2,100 leads", "2100"),
    ("the first page of 2,100", r#"[2100, false, 2000, "string"]"#),
    ("the page after it", r#"[2100, true, 100, "L0000"]"#),
    ("pages by themselves", "2100"),
    ("pages of 500", "[500, 200, true]"),
    ("an unknown locator", r#"{"refused": "INVALID_QUERY_LOCATOR"}"#),
    ("describe", r#"["Last Name", false]"#),
    ("describe all", "true"),
    ("limits", r#"["DailyApiRequests"]"#),
    ("what was updated", "4"),
    ("delete", "true"),
    ("what was deleted", "[true]"),
    ("retrieve what is deleted", r#"{"refused": "ENTITY_IS_DELETED"}"#),
    ("query all sees it", "1"),
    ("layouts are not simulated", r#"{"refused": "NOT_FOUND"}"#),
    ("recent is not simulated", r#"{"refused": "NOT_FOUND"}"#),
    ("tooling is not simulated", r#"{"refused": "NOT_FOUND"}"#),
    ("search is not simulated", r#"{"refused": "NOT_FOUND"}"#),
    ("bulk 2 is not simulated", r#"{"refused": "ERROR_HTTP_404"}"#),
    ("bulk 1 is not simulated", r#"{"refused": "ERROR_HTTP_404"}"#),
    ("refresh the token by itself", "3"),
];

#[tokio::test]
async fn jsforce_takes_the_sandbox_for_salesforce() {
    super::agree("node", "jsforce.cjs", TABLE).await;
}
