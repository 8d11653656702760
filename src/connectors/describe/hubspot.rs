//! HubSpot: `GET /crm/v3/properties/{object}` and `GET /crm/v3/schemas/{object}` (HubSpot's API reference,
//! "Properties" and "Custom objects").

use std::collections::HashSet;

use serde_json::Value;

use super::{DescribedObject, Field, ValueType, flag, has_list, list, text};

/// Texts are cut nowhere, but refused above this many characters (HubSpot's knowledge base, "property field types").
const MAX_TEXT: usize = 65_536;

/// `None` when these are no properties. Without its list an object schema says nothing.
pub(super) fn read(object: &str, properties: &Value, schema: Option<&Value>) -> Option<DescribedObject> {
    if !has_list(properties, "results") {
        return None;
    }
    let schema = schema.filter(|schema| has_list(schema, "requiredProperties"));
    let required: Option<HashSet<&str>> = schema.map(|schema| {
        list(schema, "requiredProperties")
            .filter_map(Value::as_str)
            .collect()
    });
    let display_name = schema
        .and_then(|schema| {
            schema
                .pointer("/labels/plural")
                .or_else(|| schema.pointer("/labels/singular"))
        })
        .and_then(Value::as_str)
        .map(str::to_owned);
    let field = |property: &Value| {
        let name = text(property, "name");
        let (kind, widget) = (text(property, "type"), text(property, "fieldType"));
        let read_only = property.pointer("/modificationMetadata/readOnlyValue") == Some(&Value::Bool(true))
            || flag(property, "calculated");
        let value_type = value_type(&kind, &widget);
        let options: Vec<(String, String)> = list(property, "options")
            .map(|option| (text(option, "value"), text(option, "label")))
            .collect();
        Field {
            display_name: text(property, "label"),
            value_type,
            on_create: !read_only,
            on_update: !read_only,
            // HubSpot's own properties say so; those of an account say nothing or false.
            custom: Some(!flag(property, "hubspotDefined")),
            required: required.as_ref().map(|required| required.contains(name.as_str())),
            reference_to: Vec::new(),
            // Options that come from elsewhere (owners, say) are not listed.
            only_options: kind == "enumeration" && !options.is_empty(),
            options,
            max_length: (kind == "string").then_some(MAX_TEXT),
            provider_type: kind,
            name,
        }
    };
    Some(DescribedObject {
        name: object.to_owned(),
        display_name,
        fields: list(properties, "results").map(field).collect(),
        any_case: false,
        typed: false,
    })
}

fn value_type(kind: &str, widget: &str) -> ValueType {
    match (kind, widget) {
        ("enumeration", "checkbox") => ValueType::MultiSelect,
        ("bool" | "boolean", _) | ("enumeration", "booleancheckbox") => ValueType::Boolean,
        ("enumeration", _) => ValueType::SingleSelect,
        ("string" | "phone_number", _) => ValueType::String,
        ("number", _) => ValueType::Float,
        ("date", _) => ValueType::Date,
        ("datetime", _) => ValueType::Datetime,
        _ => ValueType::Other,
    }
}
