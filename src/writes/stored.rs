//! Requests as they are stored, read back.

use serde_json::{Map, Value};

use super::record;
use super::request::{OnUnknown, StoredRequest};

/// Reads a stored request back.
///
/// # Errors
/// When it is not what this version writes.
pub fn read_stored(text: &str) -> Result<(StoredRequest, Map<String, Value>), String> {
    if text.is_empty() {
        return Err("the request is no longer kept".to_owned());
    }
    let stored: StoredRequest = serde_json::from_str(text)
        .map_err(|_| "the stored request cannot be read by this version".to_owned())?;
    let raw = stored
        .record
        .as_ref()
        .ok_or("the stored request holds no record")?;
    let record = record::read_record(raw).map_err(|problem| problem.detail)?;
    Ok((stored, record))
}

/// Reads a stored batch back.
///
/// # Errors
/// When it is not what this version writes.
pub fn read_stored_batch(text: &str) -> Result<(StoredRequest, Vec<Map<String, Value>>), String> {
    let stored: StoredRequest = serde_json::from_str(text)
        .map_err(|_| "the stored request cannot be read by this version".to_owned())?;
    let records: Result<Vec<_>, _> = stored
        .batch
        .iter()
        .map(|item| record::read_record(&item.record))
        .collect();
    let records = records.map_err(|problem| problem.detail)?;
    Ok((stored, records))
}

/// What the app asked for when the outcome stays unknown.
#[must_use]
pub const fn may_repeat_blindly(stored: &StoredRequest) -> bool {
    matches!(stored.on_unknown, OnUnknown::Retry)
}
