//! Salesforce's checks of a record, in the words of its answers.

use serde_json::{Map, Value};

use super::account::{Account, key};
use super::errors::Fault;
use super::ids::{self, Parsed};
use super::schema::{Field, Object};
use crate::sandbox::clock;
use crate::sandbox::json_place::{self, Step};

/// Whether a record is made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Create,
    Update,
}

/// Refuses JSON kinds that a field's type cannot take; the whole request fails. `place` is the record's
/// path in the body.
pub(super) fn kinds(
    object: &Object,
    record: &Map<String, Value>,
    body: &str,
    place: &[Step<'_>],
) -> Result<(), Fault> {
    for (name, value) in record {
        let Some(field) = object.field(name) else { continue };
        let Some((wanted, kind, shown)) = wrong_kind(field, value) else {
            continue;
        };
        let mut path = place.to_vec();
        path.push(Step::Key(name));
        let end = json_place::span(body, &path).map_or(0, |(_, end)| end);
        let (line, column) = json_place::line_column(body, end.saturating_sub(1));
        let message = format!(
            "Cannot deserialize instance of {wanted} from {kind} value {shown} or request may be missing a required \
             field at [line:{line}, column:{column}]"
        );
        return Err(Fault::new(400, "JSON_PARSER_ERROR", message));
    }
    Ok(())
}

fn wrong_kind(field: &Field, value: &Value) -> Option<(&'static str, &'static str, String)> {
    let wanted = match field.kind.as_str() {
        "int" => "int",
        "double" | "currency" | "percent" => "double",
        "boolean" => "boolean",
        "date" => "date",
        "datetime" => "datetime",
        _ => "string",
    };
    let fits = match value {
        Value::Null => true,
        Value::Object(_) | Value::Array(_) => false,
        Value::Bool(_) => matches!(wanted, "boolean" | "string"),
        Value::Number(n) => match wanted {
            "int" => n.to_string().bytes().all(|b| b.is_ascii_digit() || b == b'-'),
            "double" | "string" => true,
            _ => false,
        },
        Value::String(text) if text.is_empty() => true,
        Value::String(text) => match wanted {
            "int" => text.parse::<i64>().is_ok(),
            "double" => text.parse::<f64>().is_ok(),
            "boolean" => matches!(text.as_str(), "true" | "false"),
            "date" => text
                .get(..10)
                .is_some_and(|d| d.parse::<jiff::civil::Date>().is_ok()),
            "datetime" => is_datetime(text),
            _ => true,
        },
    };
    if fits {
        return None;
    }
    let (kind, shown) = match value {
        Value::String(text) => ("VALUE_STRING", text.clone()),
        Value::Number(n) if n.to_string().contains(['.', 'e', 'E']) => ("VALUE_NUMBER_FLOAT", n.to_string()),
        Value::Number(n) => ("VALUE_NUMBER_INT", n.to_string()),
        Value::Bool(true) => ("VALUE_TRUE", "true".to_owned()),
        Value::Bool(false) => ("VALUE_FALSE", "false".to_owned()),
        Value::Array(_) => ("START_ARRAY", "[".to_owned()),
        _ => ("START_OBJECT", "{".to_owned()),
    };
    Some((wanted, kind, shown))
}

/// With a zone as `Z`, `+01:00` or `+0100`; a plain day counts as midnight.
fn is_datetime(text: &str) -> bool {
    let with_colon = match text.len().checked_sub(5).and_then(|at| text.split_at_checked(at)) {
        Some((start, zone)) if zone.is_ascii() && zone.starts_with(['+', '-']) && !zone.contains(':') => {
            format!("{start}{}:{}", &zone[..3], &zone[3..])
        }
        _ => text.to_owned(),
    };
    clock::parse_iso(&with_colon).is_some() || text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10
}

/// The record with the fields' own names, references by external id resolved, `""` as null; or what is
/// wrong with its names.
pub(super) fn names(
    account: &Account,
    object: &Object,
    record: &Map<String, Value>,
    mode: Mode,
) -> Result<Map<String, Value>, Fault> {
    let mut values = Map::new();
    let mut fixed = Vec::new();
    for (name, value) in record.iter().filter(|(n, _)| *n != "attributes") {
        if let Value::Object(target) = value {
            let (field, id) = by_external_id(account, object, name, target)?;
            values.insert(field, id);
            continue;
        }
        let Some(field) = object.field(name) else {
            return Err(Fault::no_column(name, &object.name));
        };
        let writable = if mode == Mode::Create {
            field.createable
        } else {
            field.updateable
        };
        if !writable {
            fixed.push(field.name.clone());
        }
        let value = if value.as_str() == Some("") {
            Value::Null
        } else {
            value.clone()
        };
        values.insert(field.name.clone(), value);
    }
    if fixed.is_empty() {
        return Ok(values);
    }
    let message = format!(
        "Unable to create/update fields: {}. Please check the security settings of this field and verify that it \
         is read/write for your profile or permission set.",
        fixed.join(", ")
    );
    Err(Fault::new(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message).fields(fixed))
}

/// `{"Account": {"Ext_Id__c": "E-1"}}` names the target by its external id.
fn by_external_id(
    account: &Account,
    object: &Object,
    name: &str,
    target: &Map<String, Value>,
) -> Result<(String, Value), Fault> {
    let fits = |f: &&Field| f.relationship().is_some_and(|r| r.eq_ignore_ascii_case(name));
    let Some(field) = object.fields.iter().find(fits) else {
        return Err(Fault::no_column(name, &object.name));
    };
    for parent in field.reference_to.iter().filter_map(|p| account.object(p)) {
        for (key, value) in target.iter().filter(|(k, _)| *k != "attributes") {
            let Some(by) = parent.field(key).filter(|f| f.external_id) else {
                continue;
            };
            let holders = account
                .table(&parent.name)
                .map(|t| t.holders(&by.name, value))
                .unwrap_or_default();
            let Some(record) = holders.first() else {
                let message = format!(
                    "Foreign key external ID: {} not found for field {} in entity {}",
                    key_text(value),
                    by.name,
                    parent.name
                );
                return Err(Fault::with_fields("INVALID_FIELD", message, &[]));
            };
            return Ok((field.name.clone(), Value::String(record.id.clone())));
        }
    }
    Err(Fault::no_column(name, &object.name))
}

fn key_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Checks each value alone.
pub(super) fn values(account: &Account, object: &Object, values: &Map<String, Value>) -> Result<(), Fault> {
    for (name, value) in values {
        let Some(field) = object.field(name) else { continue };
        let Some(text) = value.as_str() else { continue };
        let fields = [field.name.as_str()];
        if field.length > 0 && text.chars().count() > field.length {
            // The label of a standard name field names its object: `Account Name`.
            let label = if name == "Name" {
                format!("{} Name", object.name)
            } else {
                field.label.clone()
            };
            let message = format!(
                "{label}: data value too large: {text} (max length={})",
                field.length
            );
            return Err(Fault::with_fields("STRING_TOO_LONG", message, &fields));
        }
        match field.kind.as_str() {
            "email" if !is_email(text) => {
                let message = format!("{}: invalid email address: {text}", field.label);
                return Err(Fault::with_fields("INVALID_EMAIL_ADDRESS", message, &fields));
            }
            "picklist" | "multipicklist" if field.restricted_picklist => {
                let parts: Vec<&str> = if field.kind == "picklist" {
                    vec![text]
                } else {
                    text.split(';').collect()
                };
                if let Some(bad) = parts
                    .into_iter()
                    .find(|p| !field.picklist_values.iter().any(|v| v == p))
                {
                    let message = format!("{}: bad value for restricted picklist field: {bad}", field.label);
                    return Err(Fault::with_fields(
                        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                        message,
                        &fields,
                    ));
                }
            }
            "reference" => reference(account, object, field, text)?,
            _ => {}
        }
    }
    Ok(())
}

fn is_email(value: &str) -> bool {
    let Some((name, domain)) = value.rsplit_once('@') else {
        return false;
    };
    let clean = !value.chars().any(|c| c.is_whitespace() || c.is_control());
    clean && !name.is_empty() && !name.contains('@') && domain.contains('.') && !domain.starts_with('.')
}

fn reference(account: &Account, object: &Object, field: &Field, text: &str) -> Result<(), Fault> {
    let fields = [field.name.as_str()];
    let id = match ids::parse(text) {
        Parsed::Id(id) => id,
        Parsed::Malformed | Parsed::NoId => {
            let message = format!("{}: id value of incorrect type: {text}", field.label);
            return Err(Fault::with_fields("MALFORMED_ID", message, &fields));
        }
    };
    let targets: Vec<_> = field
        .reference_to
        .iter()
        .filter_map(|t| account.object(t))
        .collect();
    if !targets.is_empty() && !targets.iter().any(|t| id.starts_with(&t.key_prefix)) {
        let message = format!("{}: id value of incorrect type: {text}", field.label);
        return Err(Fault::with_fields("MALFORMED_ID", message, &fields));
    }
    if field.name == "OwnerId" {
        let inactive = account
            .settings
            .inactive_users
            .iter()
            .any(|u| ids::canonical(u) == id);
        if inactive {
            let short = text.get(..15).unwrap_or(text);
            let owned = object.name.to_ascii_lowercase();
            let message = format!("operation performed with inactive user [{short}] as owner of {owned}");
            return Err(Fault::with_fields("INACTIVE_OWNER_OR_USER", message, &fields));
        }
    }
    // Users are not simulated: any user id will do.
    let target = account.object_of_id(&id).filter(|t| t.name != "User");
    let Some(target) = target else { return Ok(()) };
    match account.record(&target.name, &id) {
        Some(record) if !record.deleted => Ok(()),
        _ => Err(Fault::with_fields(
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            &[],
        )),
    }
}

/// Required fields that a create leaves empty, or an update empties.
pub(super) fn required(object: &Object, values: &Map<String, Value>, mode: Mode) -> Result<(), Fault> {
    let empty = |f: &&Field| match (values.get(&f.name), mode) {
        (None, Mode::Create) => !f.defaulted_on_create,
        (None, Mode::Update) => false,
        (Some(value), _) => value.is_null(),
    };
    let lacking: Vec<String> = object
        .fields
        .iter()
        .filter(|f| f.createable && !f.nillable)
        .filter(empty)
        .map(|f| f.name.clone())
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let message = format!("Required fields are missing: [{}]", lacking.join(", "));
    Err(Fault::new(400, "REQUIRED_FIELD_MISSING", message).fields(lacking))
}

/// The administrator's validation rules, on the record as it would be.
pub(super) fn rules(account: &Account, object: &Object, whole: &Map<String, Value>) -> Result<(), Fault> {
    let same = |name: &String, wanted: &Value| {
        let have = object
            .field(name)
            .and_then(|f| whole.get(&f.name))
            .unwrap_or(&Value::Null);
        if wanted.is_null() {
            have.is_null()
        } else {
            key(have) == key(wanted)
        }
    };
    let broken = account.settings.validation_rules.iter().find(|rule| {
        rule.object.eq_ignore_ascii_case(&object.name)
            && rule.when.iter().all(|(name, wanted)| same(name, wanted))
    });
    broken.map_or(Ok(()), |rule| {
        Err(Fault::new(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", &rule.message).fields(rule.fields.clone()))
    })
}

/// Unique fields whose value another record holds.
pub(super) fn unique(
    account: &Account,
    object: &Object,
    values: &Map<String, Value>,
    own: Option<&str>,
) -> Result<(), Fault> {
    for field in object.fields.iter().filter(|f| f.unique) {
        let Some(value) = values.get(&field.name).filter(|v| !v.is_null()) else {
            continue;
        };
        let holders = account
            .table(&object.name)
            .map(|t| t.holders(&field.name, value))
            .unwrap_or_default();
        if let Some(holder) = holders.into_iter().find(|h| Some(h.id.as_str()) != own) {
            let message = format!(
                "duplicate value found: {} duplicates value on record with id: {}",
                field.name,
                &holder.id[..15]
            );
            return Err(Fault::with_fields("DUPLICATE_VALUE", message, &[]));
        }
    }
    Ok(())
}

/// A trigger of that event that throws.
pub(super) fn triggers(account: &Account, object: &Object, mode: Mode) -> Result<(), Fault> {
    let suffix = if mode == Mode::Create { "Insert" } else { "Update" };
    let thrown = account
        .settings
        .triggers
        .iter()
        .find(|t| t.object.eq_ignore_ascii_case(&object.name) && t.event.ends_with(suffix));
    thrown.map_or(Ok(()), |t| {
        let message = format!(
            "{}: execution of {}\n\ncaused by: {}\n\nTrigger.{}: line 12, column 1",
            t.name, t.event, t.exception, t.name
        );
        Err(Fault::with_fields(
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            message,
            &[],
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datetime_has_a_zone() {
        for good in [
            "2026-10-05T09:14:22Z",
            "2026-10-05T09:14:22.000+0000",
            "2026-10-05T09:14:22+02:00",
            "2026-10-05",
        ] {
            assert!(is_datetime(good), "{good}");
        }
        for bad in ["2026-10-05T09:14:22", "12/01/2026", "+1\u{e9}2", "now", ""] {
            assert!(!is_datetime(bad), "{bad}");
        }
    }
}
