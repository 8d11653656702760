//! How a record looks in an answer.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::account::{Account, Record};
use super::schema::ObjectType;
use crate::sandbox::clock;

/// Which properties an answer shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Show<'a> {
    /// Every property the record has: the answer of a single create.
    All,
    /// These, each null when unset (and left out when the object has none of that name).
    Asked(&'a [String]),
    /// These, which a write named, as they are kept now.
    Written(&'a [String]),
}

/// The record as JSON. Id, creation and modification time are always among the properties.
pub(super) fn record<'a>(
    account: &Account,
    object: &ObjectType,
    record: &'a Record,
    show: Show<'a>,
) -> Map<String, Value> {
    let mut shown: BTreeMap<&str, Value> = BTreeMap::new();
    match show {
        Show::All => shown.extend(record.properties.iter().map(|(k, v)| (k.as_str(), json!(v)))),
        Show::Asked(names) => {
            for name in names.iter().filter(|n| object.properties.contains_key(*n)) {
                let value = record.properties.get(name).filter(|v| !v.is_empty());
                shown.insert(name, value.map_or(Value::Null, |v| json!(v)));
            }
        }
        Show::Written(names) => {
            let held = |name: &'a String| Some((name.as_str(), json!(record.properties.get(name)?)));
            shown.extend(names.iter().filter_map(held));
        }
    }
    let id = record.id.to_string();
    shown.insert("hs_object_id", json!(id));
    // A record seeded with its own creation date keeps it.
    let created = record
        .properties
        .get("createdate")
        .cloned()
        .unwrap_or_else(|| clock::iso(record.created_ms));
    shown.insert("createdate", json!(created));
    shown.insert(object.modified_property(), json!(clock::iso(record.updated_ms)));
    let properties: Map<String, Value> = shown.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(id));
    body.insert("properties".to_owned(), Value::Object(properties));
    body.insert("createdAt".to_owned(), json!(clock::iso(record.created_ms)));
    body.insert("updatedAt".to_owned(), json!(clock::iso(record.updated_ms)));
    body.insert("archived".to_owned(), json!(record.archived_ms.is_some()));
    if let Some(at) = record.archived_ms {
        body.insert("archivedAt".to_owned(), json!(clock::iso(at)));
    }
    let url = format!(
        "https://app.hubspot.com/contacts/{}/record/{}/{id}",
        account.settings.hub_id, object.type_id
    );
    body.insert("url".to_owned(), json!(url));
    body
}
