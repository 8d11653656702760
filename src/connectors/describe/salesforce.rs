//! Salesforce: `GET /services/data/v60.0/sobjects/{object}/describe` (REST API Developer Guide, "sObject Describe").

use serde_json::Value;

use super::{DescribedObject, Field, ValueType, flag, has_list, list, text};

/// `None` when this does not describe the object.
pub(super) fn read(object: &str, describe: &Value) -> Option<DescribedObject> {
    if !has_list(describe, "fields") || !text(describe, "name").eq_ignore_ascii_case(object) {
        return None;
    }
    let field = |field: &Value| {
        let kind = text(field, "type");
        let (on_create, on_update) = (flag(field, "createable"), flag(field, "updateable"));
        let active = |option: &&Value| option.get("active") != Some(&Value::Bool(false));
        let length = field.get("length").and_then(Value::as_u64).unwrap_or(0);
        Field {
            // Salesforce knows no case in names; lower case is what pickers show and configs hold.
            name: text(field, "name").to_lowercase(),
            display_name: text(field, "label"),
            value_type: value_type(&kind),
            on_create,
            on_update,
            custom: Some(flag(field, "custom")),
            required: Some(on_create && !flag(field, "nillable") && !flag(field, "defaultedOnCreate")),
            reference_to: list(field, "referenceTo")
                .filter_map(|object| object.as_str().map(str::to_owned))
                .collect(),
            options: list(field, "picklistValues")
                .filter(active)
                .map(|option| (text(option, "value"), text(option, "label")))
                .collect(),
            only_options: flag(field, "restrictedPicklist"),
            // 0 stands for "no limit of its own", as with numbers and dates.
            max_length: usize::try_from(length)
                .ok()
                .filter(|length| *length > 0 && is_text(&kind)),
            provider_type: kind,
        }
    };
    Some(DescribedObject {
        name: text(describe, "name"),
        display_name: Some(text(describe, "label")).filter(|label| !label.is_empty()),
        fields: list(describe, "fields").map(field).collect(),
        any_case: true,
        typed: true,
    })
}

fn is_text(kind: &str) -> bool {
    matches!(
        kind,
        "string" | "textarea" | "email" | "phone" | "url" | "encryptedstring" | "combobox" | "id"
    )
}

fn value_type(kind: &str) -> ValueType {
    match kind {
        "boolean" => ValueType::Boolean,
        "picklist" => ValueType::SingleSelect,
        "multipicklist" => ValueType::MultiSelect,
        "date" => ValueType::Date,
        "datetime" => ValueType::Datetime,
        "int" | "long" => ValueType::Int,
        "double" | "currency" | "percent" => ValueType::Float,
        "reference" => ValueType::Reference,
        kind if is_text(kind) => ValueType::String,
        _ => ValueType::Other,
    }
}
