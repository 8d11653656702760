//! Requests as they are stored, read back.

use serde_json::{Map, Value};

use super::record;
use super::request::{OnUnknown, StoredRequest};
use super::set::Shape;

/// Reads a stored request back, with its records in their order. A batch that still gathers its records has none.
///
/// # Errors
/// When it is not what this version writes.
pub fn read_stored(text: &str) -> Result<(StoredRequest, Vec<Map<String, Value>>), String> {
    if text.is_empty() {
        return Err("the request is no longer kept".to_owned());
    }
    let stored: StoredRequest = serde_json::from_str(text)
        .map_err(|_| "the stored request cannot be read by this version".to_owned())?;
    if stored.record.is_none() && StoredRequest::shape_of(text) == Shape::Single {
        return Err("the stored request holds no record".to_owned());
    }
    let of_batch = stored.batch.iter().map(|item| &item.record);
    let records: Result<Vec<_>, _> = stored
        .record
        .iter()
        .chain(of_batch)
        .map(|raw| record::read_record(raw))
        .collect();
    let records = records.map_err(|problem| problem.detail)?;
    Ok((stored, records))
}

/// What the app asked for when the outcome stays unknown.
#[must_use]
pub const fn may_repeat_blindly(stored: &StoredRequest) -> bool {
    matches!(stored.on_unknown, OnUnknown::Retry)
}
