//! Properties and their groups over HTTP.

use serde_json::{Map, Value, json};

use super::account::Account;
use super::errors::Failure;
use super::schema::{self, ObjectType, Property, PropertyGroup, PropertyOption};
use super::{Context, Outcome, asked, body_object, json_reply};
use crate::sandbox::clock;
use crate::sandbox::message::{Reply, Request};

/// When HubSpot's own properties were made, as far as anyone can see: 2019-08-06.
const LONG_AGO_MS: i64 = 1_565_059_268_000;

/// The types of a property (HubSpot's guide to properties).
const TYPES: &[&str] = &[
    "bool",
    "date",
    "datetime",
    "enumeration",
    "json",
    "number",
    "object_coordinates",
    "phone_number",
    "string",
];

/// What a property is given when it is made or changed.
const WRITTEN: &[&str] = &[
    "label",
    "type",
    "fieldType",
    "groupName",
    "description",
    "options",
    "displayOrder",
    "hidden",
    "formField",
];

/// A time of the schema as text; what has none was there from the beginning.
pub(super) fn time(ms: Option<i64>) -> String {
    clock::iso(ms.unwrap_or(LONG_AGO_MS))
}

/// A property as HubSpot's API shows it.
pub(super) fn show(property: &Property) -> Value {
    let option = |(order, o): (usize, &PropertyOption)| {
        json!({
            "label": o.label,
            "value": o.value,
            "description": o.description,
            "displayOrder": order,
            "hidden": o.hidden,
        })
    };
    let mut shown = json!({
        "name": property.name,
        "label": property.label,
        "type": property.kind,
        "fieldType": property.field_type,
        "description": property.description,
        "groupName": property.group,
        "options": property.options.iter().enumerate().map(option).collect::<Vec<_>>(),
        "displayOrder": property.display_order,
        "hasUniqueValue": property.unique,
        "hidden": property.hidden,
        "calculated": property.read_only,
        "externalOptions": false,
        "archived": false,
        "formField": property.form_field.unwrap_or(!property.read_only),
        "createdAt": time(property.created_ms),
        "updatedAt": time(property.updated_ms.or(property.created_ms)),
        "modificationMetadata": {
            "archivable": !property.hubspot_defined && !property.read_only,
            "readOnlyDefinition": property.hubspot_defined || property.read_only,
            "readOnlyOptions": false,
            "readOnlyValue": property.read_only,
        },
    });
    if property.hubspot_defined {
        shown["hubspotDefined"] = json!(true);
    }
    shown
}

/// `/crm/v3/properties/{object}[/{name}]` and `/crm/v3/properties/{object}/groups[/{name}]`.
pub(super) fn route(
    account: &mut Account,
    request: &Request,
    object: &str,
    rest: &[&str],
    cx: &Context<'_>,
) -> Outcome {
    let Some(found) = account.resolve(object) else {
        return Err(Failure::new(
            400,
            format!("Unable to infer object type from: {object}"),
        ));
    };
    let name = found.name.clone();
    let method = request.method.as_str();
    if let ["groups", rest @ ..] = rest {
        return groups(account, request, &name, rest);
    }
    asked::parameters(request, if method == "GET" { &["archived"] } else { &[] })?;
    match (method, rest) {
        ("GET", []) => {
            // None is kept after its removal.
            let live = !asked::flag(request, "archived")?;
            let list: Vec<Value> = found.properties.values().filter(|_| live).map(show).collect();
            Ok(json_reply(200, &json!({"results": list})))
        }
        ("GET", [property]) => {
            let live = !asked::flag(request, "archived")?;
            let found = found.properties.get(*property).filter(|_| live);
            Ok(json_reply(200, &show(found.ok_or_else(Failure::not_found)?)))
        }
        ("POST", []) => {
            let property = made(found, &body_object(request)?, cx.now_ms)?;
            if found.properties.contains_key(&property.name) {
                let message = format!("A property named '{}' already exists.", property.name);
                return Err(Failure::new(409, message).category("OBJECT_ALREADY_EXISTS"));
            }
            let shown = show(&property);
            account.put_property(&name, property);
            Ok(json_reply(201, &shown))
        }
        ("PATCH", [property]) => {
            let old = found.properties.get(*property).cloned();
            let mut changed = old.ok_or_else(Failure::not_found)?;
            let body = body_object(request)?;
            let given = body.as_object().cloned().unwrap_or_default();
            let before = show(&changed);
            // A whole property may be sent back, but what cannot change must be as it is.
            let other = given
                .iter()
                .find(|(k, v)| !WRITTEN.contains(&k.as_str()) && before.get(*k) != Some(*v));
            if let Some((key, _)) = other {
                return Err(Failure::validation(format!(
                    "'{key}' of a property cannot be changed"
                )));
            }
            write(found, &mut changed, &given)?;
            changed.updated_ms = Some(cx.now_ms);
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

/// A new property of this object, as HubSpot's API writes it.
pub(super) fn made(object: &ObjectType, body: &Value, now_ms: i64) -> Result<Property, Failure> {
    let given = body.as_object().cloned().unwrap_or_default();
    let text = |key: &str| given.get(key).and_then(Value::as_str).unwrap_or_default();
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
    let mut known = WRITTEN.to_vec();
    known.extend(["name", "hasUniqueValue", "modificationMetadata"]);
    asked::keys(&given, &known, "a property")?;
    let mut property = Property {
        read_only: body.pointer("/modificationMetadata/readOnlyValue") == Some(&Value::Bool(true)),
        unique: given.get("hasUniqueValue") == Some(&Value::Bool(true)),
        created_ms: Some(now_ms),
        ..schema::property(text("name"), text("type"), false)
    };
    write(object, &mut property, &given)?;
    property.complete(&object.first_group());
    Ok(property)
}

/// Sets what a body gives.
fn write(object: &ObjectType, property: &mut Property, given: &Map<String, Value>) -> Result<(), Failure> {
    let text = |key: &str| given.get(key).and_then(Value::as_str).map(str::to_owned);
    let flag = |key: &str| given.get(key).and_then(Value::as_bool);
    if let Some(kind) = text("type") {
        if !TYPES.contains(&kind.as_str()) {
            let message = format!("'{kind}' is not a type of property: [{}]", TYPES.join(", "));
            return Err(Failure::validation(message));
        }
        property.kind = kind;
    }
    if let Some(group) = text("groupName") {
        if !object.groups.contains_key(&group) {
            return Err(Failure::validation(format!(
                "Property group '{group}' does not exist"
            )));
        }
        property.group = group;
    }
    property.label = text("label").unwrap_or_else(|| property.label.clone());
    property.field_type = text("fieldType").unwrap_or_else(|| property.field_type.clone());
    property.description = text("description").unwrap_or_else(|| property.description.clone());
    property.hidden = flag("hidden").unwrap_or(property.hidden);
    property.form_field = flag("formField").or(property.form_field);
    let order = given.get("displayOrder").and_then(Value::as_i64);
    property.display_order = order.unwrap_or(property.display_order);
    if let Some(options) = given.get("options").and_then(Value::as_array) {
        let read = |o: &Value| {
            PropertyOption::read(o).ok_or_else(|| {
                Failure::validation("Invalid input JSON: an option must have a label and a value")
            })
        };
        property.options = options.iter().map(read).collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn show_group(group: &PropertyGroup) -> Value {
    json!({
        "name": group.name,
        "label": group.label,
        "displayOrder": group.display_order,
        "archived": false,
    })
}

fn groups(account: &mut Account, request: &Request, name: &str, rest: &[&str]) -> Outcome {
    asked::parameters(request, &[])?;
    let found = account.types.get_mut(name).ok_or_else(Failure::not_found)?;
    let (status, shown) = match (request.method.as_str(), rest) {
        ("GET", []) => {
            let list: Vec<Value> = found.groups.values().map(show_group).collect();
            return Ok(json_reply(200, &json!({"results": list})));
        }
        ("GET", [group]) => {
            let group = found.groups.get(*group).ok_or_else(Failure::not_found)?;
            return Ok(json_reply(200, &show_group(group)));
        }
        ("POST", []) => {
            let body = body_object(request)?;
            let given = body.as_object().cloned().unwrap_or_default();
            asked::keys(&given, &["name", "label", "displayOrder"], "a property group")?;
            let text = |key: &str| {
                given
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let (name, label) = (text("name"), text("label"));
            if name.is_empty() || label.is_empty() {
                return Err(Failure::validation(
                    "Invalid input JSON: Some required fields were not set: [name, label]",
                ));
            }
            if found.groups.contains_key(&name) {
                let message = format!("A property group named '{name}' already exists.");
                return Err(Failure::new(409, message).category("OBJECT_ALREADY_EXISTS"));
            }
            let order = given.get("displayOrder").and_then(Value::as_i64);
            let group = PropertyGroup {
                name,
                label,
                display_order: order.unwrap_or(-1),
            };
            let shown = show_group(&group);
            found.groups.insert(group.name.clone(), group);
            (201, shown)
        }
        ("PATCH", [group]) => {
            let group = found.groups.get_mut(*group).ok_or_else(Failure::not_found)?;
            let body = body_object(request)?;
            let given = body.as_object().cloned().unwrap_or_default();
            asked::keys(&given, &["label", "displayOrder"], "a property group")?;
            if let Some(label) = given.get("label").and_then(Value::as_str) {
                label.clone_into(&mut group.label);
            }
            let order = given.get("displayOrder").and_then(Value::as_i64);
            group.display_order = order.unwrap_or(group.display_order);
            (200, show_group(group))
        }
        ("DELETE", [group]) => {
            if found.properties.values().any(|p| p.group == *group) {
                return Err(Failure::validation(format!(
                    "The property group '{group}' still has properties"
                )));
            }
            found.groups.remove(*group);
            account.keep_meta();
            return Ok(Reply::empty(204));
        }
        (_, [] | [_]) => return Err(Failure::new(405, "HTTP 405 Method Not Allowed")),
        _ => return Err(Failure::not_found()),
    };
    account.keep_meta();
    Ok(json_reply(status, &shown))
}
