//! The control API's part on one Salesforce org.

use http::Method;
use serde_json::{Map, Value, json};

use super::account::{Account, Record};
use super::ids;
use super::records::computed;
use super::schema::{Field, Object};
use crate::sandbox::clock;
use crate::sandbox::control::{ControlError, parse, patched, to_value};

/// One call on this org.
pub(crate) fn control(
    account: &mut Account,
    method: &Method,
    rest: &[&str],
    body: Value,
    now_ms: i64,
) -> Result<Value, ControlError> {
    let no_object = |account: &Account, name: &str| {
        ControlError::not_found(format!("account {} has no object {name}", account.name))
    };
    match (method.as_str(), rest) {
        ("GET", []) => to_value(&account.settings),
        ("PATCH", []) => {
            account.settings = patched(&account.settings, body)?;
            account.keep_meta();
            to_value(&account.settings)
        }
        ("GET", ["objects"]) => to_value(
            &account
                .objects
                .values()
                .map(AsRef::as_ref)
                .collect::<Vec<&Object>>(),
        ),
        ("POST", ["objects"]) => {
            let object: Object = parse(body)?;
            account.put_object(object);
            account.schema_ms = now_ms;
            Ok(Value::Null)
        }
        ("POST", ["objects", name, "fields"]) => {
            if account.object(name).is_none() {
                return Err(no_object(account, name));
            }
            let list: Vec<Field> = if body.is_array() {
                parse(body)?
            } else {
                vec![parse(body)?]
            };
            for field in list {
                account.put_field(name, field);
            }
            account.schema_ms = now_ms;
            Ok(Value::Null)
        }
        ("GET", ["records", name]) => {
            let object = account
                .object(name)
                .ok_or_else(|| no_object(account, name))?
                .name
                .clone();
            let records = account.table(&object).map(|t| &t.records);
            Ok(records
                .into_iter()
                .flat_map(|r| r.values())
                .map(|r| json!(r))
                .collect())
        }
        ("POST", ["records", name]) => {
            let object = account
                .object(name)
                .ok_or_else(|| no_object(account, name))?
                .clone();
            seed(account, &object, &body, now_ms)
        }
        ("POST", ["next_ids", name]) => {
            let object = account
                .object(name)
                .ok_or_else(|| no_object(account, name))?
                .name
                .clone();
            let list: Vec<String> = parse(body)?;
            if let Some(wrong) = list
                .iter()
                .find(|id| !matches!(ids::parse(id), ids::Parsed::Id(_)))
            {
                return Err(ControlError::invalid(format!("no Salesforce id: {wrong}")));
            }
            account.queue_ids(&object, list);
            Ok(Value::Null)
        }
        ("POST", ["used"]) => {
            let calls = body.get("daily").and_then(Value::as_u64);
            let calls = calls.ok_or_else(|| ControlError::invalid("daily: a number of calls is expected"))?;
            account.used = (now_ms.div_euclid(86_400_000), calls);
            Ok(Value::Null)
        }
        _ => Err(ControlError::not_found("no such call on a Salesforce account")),
    }
}

/// Puts a record without the provider's checks: `{id?, fields?, deleted?, readOnly?, createdAt?, updatedAt?}`.
fn seed(account: &mut Account, object: &Object, body: &Value, now_ms: i64) -> Result<Value, ControlError> {
    let time = |key: &str| match body.get(key).and_then(Value::as_str) {
        None => Ok(None),
        Some(text) => {
            let ms = clock::parse_iso(text);
            ms.map(Some)
                .ok_or_else(|| ControlError::invalid(format!("{key}: no RFC 3339 time: {text}")))
        }
    };
    let (number, made) = account.take_id(object);
    let id = match body.get("id").and_then(Value::as_str) {
        None => made,
        Some(text) => match ids::parse(text) {
            ids::Parsed::Id(id) => id,
            _ => return Err(ControlError::invalid(format!("id: no Salesforce id: {text}"))),
        },
    };
    let number = account.record(&object.name, &id).map_or(number, |r| r.number);
    let mut fields = Map::new();
    for (name, value) in body
        .get("fields")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let field = object.field(name);
        let field = field.ok_or_else(|| {
            ControlError::invalid(format!("fields.{name}: {} has no such field", object.name))
        })?;
        if !value.is_null() {
            fields.insert(field.name.clone(), value.clone());
        }
    }
    computed(object, &mut fields);
    let created_ms = time("createdAt")?.unwrap_or(now_ms);
    let flag = |key: &str| body.get(key) == Some(&Value::Bool(true));
    let record = Record {
        id: id.clone(),
        number,
        fields,
        created_ms,
        modified_ms: time("updatedAt")?.unwrap_or(created_ms),
        deleted: flag("deleted"),
        read_only: flag("readOnly"),
    };
    account.put_record(&object.name, record);
    Ok(json!({"id": id}))
}
