//! Custom object schemas over HTTP: `/crm-object-schemas/v3/schemas`, and `/crm/v3/schemas` as older clients have it.

use serde_json::{Map, Value, json};

use super::account::Account;
use super::errors::Failure;
use super::properties::{made, show, time};
use super::schema::ObjectType;
use super::{Context, Outcome, asked, body_object, json_reply};
use crate::sandbox::message::{Reply, Request};

/// What a schema is given when it is made or changed.
const WRITTEN: &[&str] = &[
    "labels",
    "description",
    "requiredProperties",
    "searchableProperties",
    "primaryDisplayProperty",
    "secondaryDisplayProperties",
];

fn show_type(account: &Account, object: &ObjectType) -> Value {
    let by_rule = object.properties.values().filter(|p| p.required).map(|p| &p.name);
    let mut required = object.required_properties.clone();
    required.extend(
        by_rule
            .filter(|n| !object.required_properties.contains(n))
            .cloned(),
    );
    let association = |(index, word): (usize, &String)| {
        let to = account.resolve(word);
        json!({
            "id": (index + 1).to_string(),
            "fromObjectTypeId": object.type_id,
            "toObjectTypeId": to.map_or(word.as_str(), |t| t.type_id.as_str()),
            "name": format!("{}_to_{}", object.singular, to.map_or(word.as_str(), |t| t.singular.as_str())),
        })
    };
    let mut shown = json!({
        "id": object.type_id.trim_start_matches("2-"),
        "name": object.name,
        "fullyQualifiedName": object.name,
        "objectTypeId": object.type_id,
        "labels": {"singular": object.labels.singular, "plural": object.labels.plural},
        "description": object.description,
        "requiredProperties": required,
        "searchableProperties": object.searchable_properties,
        "secondaryDisplayProperties": object.secondary_display_properties,
        "properties": object.properties.values().map(show).collect::<Vec<_>>(),
        "associations": object.associated_objects.iter().enumerate().map(association).collect::<Vec<_>>(),
        "createdAt": time(object.created_ms),
        "updatedAt": time(object.created_ms),
        "archived": false,
    });
    if let Some(primary) = &object.primary_display_property {
        shown["primaryDisplayProperty"] = json!(primary);
    }
    shown
}

/// `…/schemas[/{object}]`.
pub(super) fn route(account: &mut Account, request: &Request, rest: &[&str], cx: &Context<'_>) -> Outcome {
    let method = request.method.as_str();
    let known: &[&str] = if matches!(method, "GET" | "DELETE") {
        &["archived"]
    } else {
        &[]
    };
    asked::parameters(request, known)?;
    // None is kept after its removal.
    let live = !asked::flag(request, "archived")?;
    match (method, rest) {
        ("GET", []) => {
            let custom = account.types.values().filter(|t| live && t.is_custom());
            let list: Vec<Value> = custom.map(|t| show_type(account, t)).collect();
            Ok(json_reply(200, &json!({"results": list})))
        }
        ("GET", [object]) => account
            .resolve(object)
            .filter(|_| live)
            .map(|t| json_reply(200, &show_type(account, t)))
            .ok_or_else(Failure::not_found),
        ("POST", []) => {
            let object = read(account, &body_object(request)?, cx.now_ms)?;
            let name = object.name.clone();
            account.put_type(object);
            account
                .resolve(&name)
                .map(|t| json_reply(201, &show_type(account, t)))
                .ok_or_else(Failure::not_found)
        }
        ("PATCH", [object]) => {
            let found = account.resolve(object).filter(|t| t.is_custom());
            let mut changed = found.cloned().ok_or_else(Failure::not_found)?;
            let body = body_object(request)?;
            let given = body.as_object().cloned().unwrap_or_default();
            asked::keys(&given, WRITTEN, "a change of a schema")?;
            write(&mut changed, &given)?;
            let shown = show_type(account, &changed);
            account.put_type(changed);
            Ok(json_reply(200, &shown))
        }
        ("DELETE", [object]) => {
            let found = account.resolve(object).filter(|t| t.is_custom());
            let name = found.ok_or_else(Failure::not_found)?.name.clone();
            let records = account.table(&name).map(|t| &t.records);
            let used = records.is_some_and(|r| r.values().any(|r| r.archived_ms.is_none()));
            if used {
                return Err(Failure::validation(
                    "The object type still has records; archive them first",
                ));
            }
            account.drop_type(&name);
            Ok(Reply::empty(204))
        }
        (_, [] | [_]) => Err(Failure::new(405, "HTTP 405 Method Not Allowed")),
        _ => Err(Failure::not_found()),
    }
}

/// A new custom object, as HubSpot's API writes it.
fn read(account: &Account, body: &Value, now_ms: i64) -> Result<ObjectType, Failure> {
    let given = body.as_object().cloned().unwrap_or_default();
    let short = given.get("name").and_then(Value::as_str).unwrap_or_default();
    if short.is_empty() {
        return Err(Failure::validation(
            "Invalid input JSON: Some required fields were not set: [name]",
        ));
    }
    let mut known = WRITTEN.to_vec();
    known.extend(["name", "properties", "associatedObjects"]);
    asked::keys(&given, &known, "a schema")?;
    let name = format!("p{}_{short}", account.settings.hub_id);
    if account.resolve(&name).is_some() {
        return Err(Failure::new(409, "Object type already exists").category("OBJECT_ALREADY_EXISTS"));
    }
    let mut object = ObjectType {
        singular: short.to_owned(),
        created_ms: Some(now_ms),
        associated_objects: asked::texts(&given, "associatedObjects")?.unwrap_or_default(),
        ..ObjectType::named(&name)
    };
    if let Some(word) = object
        .associated_objects
        .iter()
        .find(|w| account.resolve(w).is_none())
    {
        return Err(Failure::validation(format!(
            "Unable to infer object type from: {word}"
        )));
    }
    // Its group is there before its properties, which name it.
    object.complete(account.type_number());
    let properties = given.get("properties").and_then(Value::as_array);
    for property in properties.into_iter().flatten() {
        let property = made(&object, property, now_ms)?;
        object.properties.insert(property.name.clone(), property);
    }
    write(&mut object, &given)?;
    Ok(object)
}

/// Sets what a body gives; properties that it names must be there.
fn write(object: &mut ObjectType, given: &Map<String, Value>) -> Result<(), Failure> {
    let text = |key: &str| given.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(labels) = given.get("labels") {
        let label = |key: &str| labels.get(key).and_then(Value::as_str).map(str::to_owned);
        object.labels.singular = label("singular").unwrap_or_else(|| object.labels.singular.clone());
        object.labels.plural = label("plural").unwrap_or_else(|| object.labels.plural.clone());
    }
    object.description = text("description").unwrap_or_else(|| object.description.clone());
    object.primary_display_property =
        text("primaryDisplayProperty").or(object.primary_display_property.take());
    for (key, list) in [
        ("requiredProperties", &mut object.required_properties),
        ("searchableProperties", &mut object.searchable_properties),
        (
            "secondaryDisplayProperties",
            &mut object.secondary_display_properties,
        ),
    ] {
        if let Some(names) = asked::texts(given, key)? {
            *list = names;
        }
    }
    let named = object
        .required_properties
        .iter()
        .chain(&object.searchable_properties)
        .chain(&object.secondary_display_properties)
        .chain(&object.primary_display_property);
    let mut named = named.filter(|name| !object.properties.contains_key(*name));
    named.next().map_or(Ok(()), |name| {
        Err(Failure::validation(format!("Property \"{name}\" does not exist")))
    })
}
