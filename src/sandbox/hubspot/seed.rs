//! Records put in place by the control API, without the checks and limits of the provider.

use serde_json::{Value, json};

use super::account::{Account, Record};
use super::validate;
use crate::sandbox::clock;
use crate::sandbox::control::ControlError;

/// Puts a record: `{id?, properties?, archivedAt?, mergedInto?}`; its id.
pub(crate) fn seed(
    account: &mut Account,
    object: &str,
    body: &Value,
    now_ms: i64,
) -> Result<Value, ControlError> {
    let number = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.parse::<u64>()
                .map(Some)
                .map_err(|_| ControlError::invalid(format!("{key}: not a numeric id: {text}")))
        }
    };
    let time = |key: &str| match body.get(key).and_then(Value::as_str) {
        None => Ok(None),
        Some(text) => {
            let ms = clock::parse_iso(text);
            ms.map(Some)
                .ok_or_else(|| ControlError::invalid(format!("{key}: no RFC 3339 time: {text}")))
        }
    };
    let id = match number("id")? {
        Some(id) => id,
        None => account.take_id(object),
    };
    let created_ms = time("createdAt")?.unwrap_or(now_ms);
    let mut record = Record {
        id,
        properties: std::collections::BTreeMap::new(),
        created_ms,
        updated_ms: time("updatedAt")?.unwrap_or(created_ms),
        archived_ms: time("archivedAt")?,
        merged_into: number("mergedInto")?,
    };
    for (name, value) in body
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let text = validate::text(value)
            .map_err(|kind| ControlError::invalid(format!("properties.{name}: {kind} is no value")))?;
        record.properties.insert(name.clone(), text);
    }
    account.put_record(object, record);
    Ok(json!({"id": id.to_string()}))
}
