//! The body of a write as the app sends it.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Invalid;
use crate::json::Object;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    pub group_ref: Option<String>,
    pub r#type: Option<String>,
    pub mode: Option<String>,
    pub record: Option<Box<RawValue>>,
    pub batch: Option<Vec<Object<BatchItem>>>,
    pub associations: Option<Vec<Map<String, Value>>>,
    pub headers: Option<Vec<Object<Header>>>,
    pub batch_policy: Option<Object<BatchPolicy>>,
    pub retry_policy: Option<Object<RetryPolicy>>,
    pub auto_batch_policy: Option<Object<AutoBatchPolicy>>,
    pub strict: Option<bool>,
    pub on_unknown: Option<String>,
    pub on_failure: Option<String>,
    pub client_ref: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchItem {
    pub record: Option<Box<RawValue>>,
    pub associations: Option<Vec<Map<String, Value>>>,
    pub client_ref: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub key: Option<String>,
    pub value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchPolicy {
    /// Means nothing for a single record.
    pub all_or_none: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetryPolicy {
    pub deadline_hours: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AutoBatchPolicy {
    pub max_delay_minutes: Option<i64>,
    pub retry_deadline_hours: Option<i64>,
}

/// Reads JSON; an error names the path of the field and never repeats a value.
pub(super) fn read_body(body: &[u8]) -> Result<Body, Vec<Invalid>> {
    // Paths cost time and are for errors alone.
    if let Ok(Object(body)) = serde_json::from_slice(body) {
        return Ok(body);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read: Result<Object<Body>, _> = serde_path_to_error::deserialize(&mut deserializer);
    let broken = |error: &serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        vec![Invalid::new("", format!("the body is not valid JSON at {place}"))]
    };
    match read {
        Ok(Object(body)) => match deserializer.end() {
            Ok(()) => Ok(body),
            Err(error) => Err(broken(&error)),
        },
        Err(error) if error.inner().classify() == serde_json::error::Category::Data => {
            let path = error.path().to_string();
            let name = if path == "." { String::new() } else { path };
            Err(vec![Invalid::new(name, type_problem(error.inner()))])
        }
        Err(error) => Err(broken(error.inner())),
    }
}

/// The expected type out of serde's message, without the value that was sent.
fn type_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match (text.split_once("expected "), text.strip_prefix("missing field ")) {
        (Some((_, expected)), _) => format!("has the wrong type: expected {expected}"),
        (None, Some(field)) => format!("lacks the field {field}"),
        _ if text.starts_with("duplicate field") => "appears twice; send it once".to_owned(),
        _ => "has the wrong type".to_owned(),
    }
}
