//! `simple-salesforce`.

use super::Row;

const TABLE: &[Row] = &[
    ("create", "true"),
    (
        "create without a required field",
        r#"{"refused": [400, "REQUIRED_FIELD_MISSING"]}"#,
    ),
    ("get", r#""Holt""#),
    ("update", "204"),
    ("upsert", "201"),
    ("get by external id", r#""web""#),
    ("too long", r#"{"refused": [400, "STRING_TOO_LONG"]}"#),
    ("describe", r#""Contact""#),
    ("describe all", "200"),
    ("metadata", r#""Contact""#),
    ("limits", r#"["DailyApiRequests"]"#),
    ("make 2,100 leads", "2100"),
    ("query", r#""Holt""#),
    ("two pages", r#"[2000, false, "L2099", 100, true, "L0000"]"#),
    ("all pages", "2100"),
    ("pages of 200", "200"),
    ("like is refused", r#"{"refused": [400, "MALFORMED_QUERY"]}"#),
    (
        "an unknown parameter is refused",
        r#"{"refused": [400, "INVALID_PARAMETER"]}"#,
    ),
    ("what was updated", "true"),
    ("delete", "204"),
    ("what was deleted", "[true]"),
    (
        "get what is deleted",
        r#"{"refused": [404, "ENTITY_IS_DELETED"]}"#,
    ),
    ("query all sees it", "1"),
    ("layouts are not simulated", r#"{"refused": [404, "NOT_FOUND"]}"#),
    ("search is not simulated", r#"{"refused": [404, "NOT_FOUND"]}"#),
    ("tooling is not simulated", r#"{"refused": [404, "NOT_FOUND"]}"#),
];

#[tokio::test]
async fn simple_salesforce_takes_the_sandbox_for_salesforce() {
    super::agree("python3", "simple_salesforce_calls.py", TABLE).await;
}
