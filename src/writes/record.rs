//! Reading a record without losing anything: digits and key order. That no key is there twice was checked with the body.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::request::Invalid;

/// Parses a record.
pub(super) fn read_record(raw: &RawValue) -> Result<Map<String, Value>, Invalid> {
    serde_json::from_str(raw.get()).map_err(|error: serde_json::Error| match error.classify() {
        serde_json::error::Category::Data => Invalid::new("record", "must be a JSON object"),
        _ => Invalid::new("record", "cannot be read: it is nested too deeply"),
    })
}
