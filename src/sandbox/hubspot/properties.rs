//! Property and object schemas over HTTP.

use serde_json::{Value, json};

use super::account::Account;
use super::errors::Failure;
use super::schema::{ObjectType, Property};
use super::{Context, Outcome, body_object, json_reply};
use crate::sandbox::message::{Reply, Request};

fn show(property: &Property) -> Value {
    let options: Vec<Value> = property
        .options
        .iter()
        .enumerate()
        .map(|(order, o)| json!({"label": o, "value": o, "displayOrder": order, "hidden": false}))
        .collect();
    json!({
        "name": property.name,
        "label": property.label,
        "type": property.kind,
        "fieldType": property.field_type,
        "description": "",
        "groupName": "sandbox",
        "options": options,
        "hasUniqueValue": property.unique,
        "hidden": false,
        "calculated": property.read_only,
        "formField": !property.read_only,
        "modificationMetadata": {
            "archivable": !property.read_only,
            "readOnlyDefinition": property.read_only,
            "readOnlyValue": property.read_only,
        },
    })
}

/// `/crm/v3/properties/{object}[/{name}]`.
pub(super) fn route(
    account: &mut Account,
    request: &Request,
    object: &str,
    rest: &[&str],
    _cx: &Context<'_>,
) -> Outcome {
    let Some(found) = account.resolve(object) else {
        return Err(Failure::new(
            400,
            format!("Unable to infer object type from: {object}"),
        ));
    };
    let name = found.name.clone();
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let list: Vec<Value> = found.properties.values().map(show).collect();
            Ok(json_reply(200, &json!({"results": list})))
        }
        ("GET", [property]) => {
            let found = found.properties.get(*property).ok_or_else(Failure::not_found)?;
            Ok(json_reply(200, &show(found)))
        }
        ("POST", []) => {
            let property = read(&body_object(request)?)?;
            if found.properties.contains_key(&property.name) {
                let message = format!("A property named '{}' already exists.", property.name);
                return Err(Failure::new(409, message).category("OBJECT_ALREADY_EXISTS"));
            }
            let shown = show(&property);
            account.put_property(&name, property);
            Ok(json_reply(201, &shown))
        }
        ("PATCH", [property]) => {
            let old = found
                .properties
                .get(*property)
                .cloned()
                .ok_or_else(Failure::not_found)?;
            let mut body = show(&old);
            for (key, value) in body_object(request)?.as_object().into_iter().flatten() {
                body[key.as_str()] = value.clone();
            }
            let changed = Property {
                required: old.required,
                ..read(&body)?
            };
            let shown = show(&changed);
            account.put_property(&name, changed);
            Ok(json_reply(200, &shown))
        }
        ("DELETE", [property]) => {
            if let Some(object) = account.types.get_mut(&name) {
                object.properties.remove(*property);
            }
            account.keep_meta();
            Ok(Reply::empty(204))
        }
        (_, [] | [_]) => Err(Failure::new(405, "HTTP 405 Method Not Allowed")),
        _ => Err(Failure::not_found()),
    }
}

/// A property as HubSpot's API writes it.
fn read(body: &Value) -> Result<Property, Failure> {
    let text = |key: &str| {
        body.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let unset: Vec<&str> = ["name", "type", "fieldType"]
        .into_iter()
        .filter(|k| text(k).is_empty())
        .collect();
    if !unset.is_empty() {
        let message = format!(
            "Invalid input JSON: Some required fields were not set: [{}]",
            unset.join(", ")
        );
        return Err(Failure::validation(message));
    }
    let options = body
        .get("options")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    Ok(Property {
        name: text("name"),
        label: text("label"),
        kind: text("type"),
        field_type: text("fieldType"),
        options: options
            .filter_map(|o| o.get("value")?.as_str().map(str::to_owned))
            .collect(),
        read_only: body.pointer("/modificationMetadata/readOnlyValue") == Some(&Value::Bool(true)),
        unique: body.get("hasUniqueValue") == Some(&Value::Bool(true)),
        required: false,
    })
}

fn show_type(object: &ObjectType) -> Value {
    let required: Vec<&str> = object
        .properties
        .values()
        .filter(|p| p.required)
        .map(|p| p.name.as_str())
        .collect();
    json!({
        "name": object.name,
        "fullyQualifiedName": object.name,
        "objectTypeId": object.type_id,
        "labels": {"singular": object.title(), "plural": object.name},
        "requiredProperties": required,
        "properties": object.properties.values().map(show).collect::<Vec<_>>(),
        "archived": false,
    })
}

/// `/crm/v3/schemas[/{object}]`: custom objects.
pub(super) fn schemas(account: &mut Account, request: &Request, rest: &[&str], _cx: &Context<'_>) -> Outcome {
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let custom = account.types.values().filter(|t| t.type_id.starts_with("2-"));
            Ok(json_reply(
                200,
                &json!({"results": custom.map(show_type).collect::<Vec<_>>()}),
            ))
        }
        ("GET", [object]) => account
            .resolve(object)
            .map(|t| json_reply(200, &show_type(t)))
            .ok_or_else(Failure::not_found),
        ("POST", []) => {
            let body = body_object(request)?;
            let Some(short) = body.get("name").and_then(Value::as_str).filter(|n| !n.is_empty()) else {
                return Err(Failure::validation(
                    "Invalid input JSON: Some required fields were not set: [name]",
                ));
            };
            let name = format!("p{}_{short}", account.settings.hub_id);
            if account.resolve(&name).is_some() {
                return Err(Failure::new(409, "Object type already exists").category("OBJECT_ALREADY_EXISTS"));
            }
            let mut object = ObjectType {
                name: name.clone(),
                type_id: String::new(),
                singular: short.to_owned(),
                properties: std::collections::BTreeMap::new(),
            };
            for property in body
                .get("properties")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let property = read(property)?;
                object.properties.insert(property.name.clone(), property);
            }
            account.put_type(object);
            account
                .resolve(&name)
                .map(|t| json_reply(201, &show_type(t)))
                .ok_or_else(Failure::not_found)
        }
        (_, [] | [_]) => Err(Failure::new(405, "HTTP 405 Method Not Allowed")),
        _ => Err(Failure::not_found()),
    }
}
