//! Associations: with a create, and through the v4 endpoints.

use serde_json::{Map, Value, json};

use super::account::{Account, Link};
use super::errors::Failure;
use super::{Context, Outcome, body_object, json_reply};
use crate::sandbox::clock;
use crate::sandbox::json_place::{self, Step};
use crate::sandbox::ledger::ChangeKind;
use crate::sandbox::message::{Reply, Request};

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

/// The default type between two object types.
fn default_type(from: &str, to: &str) -> Option<u64> {
    DEFINED.iter().find_map(|&(there, a, b, back)| match (from, to) {
        pair if pair == (a, b) => Some(there),
        pair if pair == (b, a) => Some(back),
        _ => None,
    })
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
    let Some(list) = input.get("associations").and_then(Value::as_array) else {
        return Ok(Vec::new());
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
fn unset(request: &Request, path: &[Step<'_>], names: &[&str]) -> Failure {
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

fn remove(account: &mut Account, from: &str, id: u64, to_type: &str, to: u64, cx: &mut Context<'_>) {
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

/// The v4 endpoints.
pub(super) fn route(
    account: &mut Account,
    request: &Request,
    words: &[&str],
    cx: &mut Context<'_>,
) -> Outcome {
    let name = |account: &Account, word: &str| {
        account
            .resolve(word)
            .map(|t| t.name.clone())
            .ok_or_else(|| Failure::new(400, format!("Unable to infer object type from: {word}")))
    };
    match (request.method.as_str(), words) {
        ("POST", ["crm", "v4", "associations", from, to, "batch", verb]) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            batch(account, request, &from, &to, verb, cx)
        }
        (
            "PUT",
            [
                "crm",
                "v4",
                "objects",
                from,
                id,
                "associations",
                "default",
                to,
                to_id,
            ],
        ) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            put(account, &from, id, &to, to_id, None, cx)
        }
        ("PUT", ["crm", "v4", "objects", from, id, "associations", to, to_id]) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            let types: Value = serde_json::from_slice(&request.body)
                .map_err(|e| Failure::bad_json(e.line(), e.column(), "Unexpected character"))?;
            put(account, &from, id, &to, to_id, Some((request, &types)), cx)
        }
        ("DELETE", ["crm", "v4", "objects", from, id, "associations", to, to_id]) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            if let (Ok(id), Ok(to_id)) = (id.parse(), to_id.parse()) {
                remove(account, &from, id, &to, to_id, cx);
            }
            Ok(Reply::empty(204))
        }
        ("GET", ["crm", "v4", "objects", from, id, "associations", to]) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            let id = id.parse::<u64>().map_err(|_| Failure::not_found())?;
            Ok(json_reply(
                200,
                &json!({"results": linked(account, &from, id, &to)}),
            ))
        }
        _ => Err(Failure::not_found()),
    }
}

fn linked(account: &Account, from: &str, id: u64, to: &str) -> Vec<Value> {
    let mut ends: Vec<(u64, Vec<Value>)> = Vec::new();
    for link in account
        .links
        .iter()
        .filter(|l| l.from_type == from && l.from == id && l.to_type == to)
    {
        let kind = json!({"category": link.category, "typeId": link.type_id, "label": null});
        match ends.iter_mut().find(|(to, _)| *to == link.to) {
            Some((_, kinds)) => kinds.push(kind),
            None => ends.push((link.to, vec![kind])),
        }
    }
    ends.into_iter()
        .map(|(to, kinds)| json!({"toObjectId": to, "associationTypes": kinds}))
        .collect()
}

fn shown(account: &Account, from: &str, id: u64, to: &str, to_id: u64) -> Value {
    let type_id = |name: &str| {
        account
            .types
            .get(name)
            .map(|t| t.type_id.clone())
            .unwrap_or_default()
    };
    json!({
        "fromObjectTypeId": type_id(from),
        "fromObjectId": id,
        "toObjectTypeId": type_id(to),
        "toObjectId": to_id,
        "labels": [],
    })
}

fn put(
    account: &mut Account,
    from: &str,
    id: &str,
    to: &str,
    to_id: &str,
    types: Option<(&Request, &Value)>,
    cx: &mut Context<'_>,
) -> Outcome {
    let (Ok(from_number), Ok(to_number)) = (id.parse::<u64>(), to_id.parse::<u64>()) else {
        return Err(Failure::not_found());
    };
    if account.live(from, from_number).is_none() {
        return Err(Failure::not_found());
    }
    let links = match types {
        Some((request, types)) => {
            let input = json!({"associations": [{"to": {"id": to_id}, "types": types}]});
            wanted(account, request, from, &input, &[])?
        }
        None => vec![default_link(account, from, to, to_id)],
    };
    check_targets(account, &links)?;
    apply(account, from, from_number, &links, cx);
    Ok(json_reply(201, &shown(account, from, from_number, to, to_number)))
}

fn default_link(account: &Account, from: &str, to: &str, to_id: &str) -> Wanted {
    let type_id = |name: &str| {
        account
            .types
            .get(name)
            .map(|t| t.type_id.as_str())
            .unwrap_or_default()
    };
    let known = default_type(type_id(from), type_id(to));
    Wanted {
        to_type: to.to_owned(),
        to: to_id.to_owned(),
        category: if known.is_some() {
            "HUBSPOT_DEFINED"
        } else {
            "USER_DEFINED"
        }
        .to_owned(),
        type_id: known.unwrap_or(1),
    }
}

fn batch(
    account: &mut Account,
    request: &Request,
    from: &str,
    to: &str,
    verb: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    let body = body_object(request)?;
    let Some(list) = body.get("inputs").and_then(Value::as_array) else {
        return Err(Failure::validation(
            "Invalid input JSON: Some required fields were not set: [inputs]",
        ));
    };
    let id = |value: Option<&Value>| match value {
        Some(Value::String(id)) => id.parse::<u64>().ok(),
        Some(Value::Number(id)) => id.as_u64(),
        _ => None,
    };
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (index, input) in list.iter().enumerate() {
        let place = [Step::Key("inputs"), Step::Index(index)];
        let start = id(input.pointer("/from/id").or_else(|| input.get("id")));
        let Some(start) = start else {
            return Err(unset(request, &place, &["from"]));
        };
        match verb {
            "create" => {
                let item = json!({"associations": [{"to": input.get("to"), "types": input.get("types")}]});
                let links = wanted(account, request, from, &item, &[])?;
                let checked = match account.live(from, start) {
                    Some(_) => check_targets(account, &links),
                    None => Err(Failure::not_found().category("OBJECT_NOT_FOUND")),
                };
                match checked {
                    Ok(()) => {
                        apply(account, from, start, &links, cx);
                        let end = id(input.pointer("/to/id")).unwrap_or_default();
                        results.push(shown(account, from, start, to, end));
                    }
                    Err(failure) => errors.push(failure.item(&json!({"fromObjectId": [start.to_string()]}))),
                }
            }
            "archive" => {
                for end in input.get("to").and_then(Value::as_array).into_iter().flatten() {
                    if let Some(end) = id(end.get("id")) {
                        remove(account, from, start, to, end, cx);
                    }
                }
            }
            "read" => results.push(json!({
                "from": {"id": start.to_string()},
                "to": linked(account, from, start, to),
            })),
            _ => return Err(Failure::not_found()),
        }
    }
    if verb == "archive" {
        return Ok(Reply::empty(204));
    }
    let mut body = json!({
        "status": "COMPLETE",
        "results": results,
        "startedAt": clock::iso(cx.now_ms),
        "completedAt": clock::iso(cx.now_ms),
    });
    let good = if verb == "create" { 201 } else { 200 };
    if errors.is_empty() {
        return Ok(json_reply(good, &body));
    }
    body["numErrors"] = json!(errors.len());
    body["errors"] = Value::Array(errors);
    Ok(json_reply(207, &body))
}
