//! The v4 association endpoints.

use serde_json::{Value, json};

use super::account::Account;
use super::errors::Failure;
use super::links::{self, Wanted, apply, check_targets, remove, unset, wanted};
use super::{Context, Outcome, body_object, json_reply};
use crate::sandbox::clock;
use crate::sandbox::json_place::Step;
use crate::sandbox::message::{Reply, Request};

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
    let known = links::default_type(type_id(from), type_id(to));
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
