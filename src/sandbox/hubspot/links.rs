//! Associations: their types, their checks, making and removing them.

use serde_json::{Map, Value, json};

use super::Context;
use super::account::{Account, Link};
use super::errors::Failure;
use crate::sandbox::json_place::{self, Step};
use crate::sandbox::ledger::ChangeKind;
use crate::sandbox::message::Request;

/// HubSpot's own association types: (id, from, to, id of the reverse direction).
/// Source: hubspot-api-nodejs, `src/enums/AssociationTypes.ts` (Apache-2.0).
const DEFINED: &[(u64, &str, &str, u64)] = &[
    (279, "0-1", "0-2", 280),
    (1, "0-1", "0-2", 2),
    (3, "0-3", "0-1", 4),
    (341, "0-3", "0-2", 342),
    (5, "0-3", "0-2", 6),
    (15, "0-1", "0-5", 16),
    (339, "0-5", "0-2", 340),
    (26, "0-5", "0-2", 25),
    (27, "0-3", "0-5", 28),
    (19, "0-3", "0-8", 20),
    (202, "0-46", "0-1", 201),
    (204, "0-27", "0-1", 203),
    (194, "0-48", "0-1", 193),
    (198, "0-49", "0-1", 197),
    (200, "0-47", "0-1", 199),
    (190, "0-46", "0-2", 189),
    (214, "0-46", "0-3", 213),
    (449, "0-1", "0-1", 449),
    (450, "0-2", "0-2", 450),
];

/// The ends of one of HubSpot's own types: (from, to, reverse id).
fn defined(id: u64) -> Option<(&'static str, &'static str, u64)> {
    DEFINED.iter().find_map(|&(there, from, to, back)| {
        if there == id {
            Some((from, to, back))
        } else if back == id {
            Some((to, from, there))
        } else {
            None
        }
    })
}

/// HubSpot's own types from one object type to another; the first is the default.
pub(super) fn known_types(from: &str, to: &str) -> Vec<u64> {
    let fits = |&(there, a, b, back): &(u64, &str, &str, u64)| match (from, to) {
        pair if pair == (a, b) => Some(there),
        pair if pair == (b, a) => Some(back),
        _ => None,
    };
    DEFINED.iter().filter_map(fits).collect()
}

/// An association asked for, its type checked.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The object name of the other end.
    pub to_type: String,
    pub to: String,
    pub category: String,
    pub type_id: u64,
}

/// Reads `associations` of an input of a create. `null` and `[]` mean none.
pub(super) fn wanted(
    account: &Account,
    request: &Request,
    from: &str,
    input: &Value,
    place: &[Step<'_>],
) -> Result<Vec<Wanted>, Failure> {
    let list = match input.get("associations") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => {
            return Err(Failure::bad_json(
                1,
                1,
                "Cannot deserialize `associations`: an array is expected",
            ));
        }
    };
    let from_type = account
        .types
        .get(from)
        .map(|t| t.type_id.as_str())
        .unwrap_or_default();
    let mut found = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let mut path = place.to_vec();
        path.extend([Step::Key("associations"), Step::Index(index)]);
        let to = match item.pointer("/to/id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(unset(request, &path, &["to"])),
        };
        let Some(types) = item.get("types").and_then(Value::as_array) else {
            return Err(unset(request, &path, &["types"]));
        };
        path.push(Step::Key("types"));
        for (index, kind) in types.iter().enumerate() {
            path.push(Step::Index(index));
            let (category, type_id) = category_and_type(request, kind, &path)?;
            path.pop();
            let to_type = match defined(type_id).filter(|_| category == "HUBSPOT_DEFINED") {
                Some((start, end, _)) if start == from_type => end,
                Some((start, _, _)) => {
                    return Err(Failure::validation(format!(
                        "invalid from object type {from_type} for associations to be created. expected: {start}"
                    )));
                }
                // Labels of the account: any type of object that has this id.
                None => "",
            };
            let to_type = if to_type.is_empty() {
                account
                    .tables
                    .iter()
                    .find(|(_, t)| to.parse().is_ok_and(|id| t.records.contains_key(&id)))
                    .map(|(name, _)| name.clone())
            } else {
                account.resolve(to_type).map(|t| t.name.clone())
            };
            found.push(Wanted {
                to_type: to_type.unwrap_or_default(),
                to: to.clone(),
                category,
                type_id,
            });
        }
    }
    Ok(found)
}

fn category_and_type(request: &Request, kind: &Value, path: &[Step<'_>]) -> Result<(String, u64), Failure> {
    let category = kind.get("associationCategory").and_then(Value::as_str);
    let type_id = kind
        .get("associationTypeId")
        .and_then(|v| v.as_u64().or_else(|| v.as_str().and_then(|s| s.parse().ok())));
    match (category, type_id) {
        (Some(category), Some(type_id)) => Ok((category.to_owned(), type_id)),
        (category, type_id) => {
            let names = [
                ("associationCategory", category.is_none()),
                ("associationTypeId", type_id.is_none()),
            ];
            let unset_names: Vec<&str> = names
                .iter()
                .filter(|(_, unset)| *unset)
                .map(|(n, _)| *n)
                .collect();
            Err(unset(request, path, &unset_names))
        }
    }
}

/// `Some required fields were not set`. HubSpot's column is the one before the object's brace.
pub(super) fn unset(request: &Request, path: &[Step<'_>], names: &[&str]) -> Failure {
    let body = String::from_utf8_lossy(&request.body);
    let start = json_place::span(&body, path).map_or(0, |(start, _)| start);
    let (line, column) = json_place::line_column(&body, start);
    let what = format!("Some required fields were not set: [{}]", names.join(", "));
    Failure::bad_json(line, column.saturating_sub(1), &what)
}

/// Refuses associations to records that are not there.
pub(super) fn check_targets(account: &Account, links: &[Wanted]) -> Result<(), Failure> {
    let absent: Vec<&Wanted> = links
        .iter()
        .filter(|l| {
            !l.to
                .parse()
                .is_ok_and(|id| account.live(&l.to_type, id).is_some())
        })
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    let kind = |l: &Wanted| {
        account
            .types
            .get(&l.to_type)
            .map(super::ObjectType::legacy_name)
            .unwrap_or_default()
    };
    let invalid: Vec<String> = absent
        .iter()
        .map(|l| format!("{}={} is not valid", kind(l), l.to))
        .collect();
    let ids: Vec<&str> = absent.iter().map(|l| l.to.as_str()).collect();
    let kinds: Vec<String> = absent.iter().map(|l| kind(l)).collect();
    Err(
        Failure::validation("One or more associations are invalid").context(json!({
            "INVALID_OBJECT_IDS": invalid,
            "objectId": ids,
            "objectType": kinds,
        })),
    )
}

/// Makes the associations in both directions.
pub(super) fn apply(account: &mut Account, from: &str, id: u64, links: &[Wanted], cx: &mut Context<'_>) {
    for link in links {
        let Ok(to) = link.to.parse::<u64>() else { continue };
        let back = defined(link.type_id)
            .filter(|_| link.category == "HUBSPOT_DEFINED")
            .map(|(_, _, back)| back);
        let there = Link {
            from_type: from.to_owned(),
            from: id,
            to_type: link.to_type.clone(),
            to,
            category: link.category.clone(),
            type_id: link.type_id,
        };
        let reverse = Link {
            from_type: link.to_type.clone(),
            from: to,
            to_type: from.to_owned(),
            to: id,
            category: link.category.clone(),
            type_id: back.unwrap_or(link.type_id),
        };
        let new = account.put_link(there);
        account.put_link(reverse);
        if new {
            cx.changed(
                ChangeKind::Associated,
                from,
                &id.to_string(),
                far_end(&link.to_type, to, Some(link.type_id)),
            );
        }
    }
}

fn far_end(object: &str, id: u64, type_id: Option<u64>) -> Map<String, Value> {
    let mut values = Map::new();
    values.insert("toObject".to_owned(), json!(object));
    values.insert("toId".to_owned(), json!(id.to_string()));
    if let Some(type_id) = type_id {
        values.insert("associationTypeId".to_owned(), json!(type_id));
    }
    values
}

pub(super) fn remove(
    account: &mut Account,
    from: &str,
    id: u64,
    to_type: &str,
    to: u64,
    cx: &mut Context<'_>,
) {
    let between = |l: &&Link| {
        l.from_type == from && l.from == id && l.to_type == to_type && l.to == to
            || l.from_type == to_type && l.from == to && l.to_type == from && l.to == id
    };
    let gone: Vec<Link> = account.links.iter().filter(between).cloned().collect();
    for link in &gone {
        account.drop_link(link);
    }
    if !gone.is_empty() {
        cx.changed(
            ChangeKind::Dissociated,
            from,
            &id.to_string(),
            far_end(to_type, to, None),
        );
    }
}
