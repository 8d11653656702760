//! The v4 association endpoints.

use serde_json::{Value, json};

use super::account::Account;
use super::errors::Failure;
use super::links::{self, Wanted, apply, check_targets, remove, unset, wanted};
use super::{Context, Outcome, asked, body_object, json_reply, objects};
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
    let pages = request.method == http::Method::GET && words.contains(&"objects");
    asked::parameters(request, if pages { &["limit", "after"] } else { &[] })?;
    match (request.method.as_str(), words) {
        ("GET", ["crm", "v4", "associations", from, to, "labels"]) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            let shown = |id: u64| json!({"category": "HUBSPOT_DEFINED", "typeId": id, "label": null});
            let known = links::known_types(type_id(account, &from), type_id(account, &to));
            let list: Vec<Value> = known.into_iter().map(shown).collect();
            Ok(json_reply(200, &json!({"results": list})))
        }
        (
            "POST",
            [
                "crm",
                "v4",
                "associations",
                from,
                to,
                "batch",
                "associate",
                "default",
            ],
        ) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            batch_default(account, request, &from, &to, cx)
        }
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
            put_default(account, &from, id, &to, to_id, cx)
        }
        ("PUT", ["crm", "v4", "objects", from, id, "associations", to, to_id]) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            let types: Value = serde_json::from_slice(&request.body)
                .map_err(|e| Failure::bad_json(e.line(), e.column(), "Unexpected character"))?;
            put(account, &from, id, &to, to_id, (request, &types), cx)
        }
        ("DELETE", ["crm", "v4", "objects", from, id, "associations", to, to_id]) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            objects::free(&[id, to_id], cx)?;
            if let (Ok(id), Ok(to_id)) = (id.parse(), to_id.parse()) {
                remove(account, &from, id, &to, to_id, cx);
            }
            Ok(Reply::empty(204))
        }
        ("GET", ["crm", "v4", "objects", from, id, "associations", to]) => {
            let (from, to) = (name(account, from)?, name(account, to)?);
            let id = id.parse::<u64>().map_err(|_| Failure::not_found())?;
            page(request, linked(account, &from, id, &to))
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

/// A page of the associated records; `after` is the last one of the page before.
fn page(request: &Request, mut ends: Vec<Value>) -> Outcome {
    let limit = asked::limit(request, 500, 500)?;
    if let Some(after) = asked::after(request.query("after").as_deref())? {
        ends.retain(|end| end["toObjectId"].as_u64().is_some_and(|id| id > after));
    }
    let more = ends.len() > limit;
    ends.truncate(limit);
    let mut body = json!({"results": ends});
    if let Some(last) = ends.last().filter(|_| more) {
        body["paging"] = json!({"next": {"after": last["toObjectId"].to_string()}});
    }
    Ok(json_reply(200, &body))
}

fn type_id<'a>(account: &'a Account, name: &str) -> &'a str {
    account.types.get(name).map_or("", |t| t.type_id.as_str())
}

fn shown(account: &Account, from: &str, id: u64, to: &str, to_id: u64) -> Value {
    json!({
        "fromObjectTypeId": type_id(account, from),
        "fromObjectId": id,
        "toObjectTypeId": type_id(account, to),
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
    (request, types): (&Request, &Value),
    cx: &mut Context<'_>,
) -> Outcome {
    let (Ok(from_number), Ok(to_number)) = (id.parse::<u64>(), to_id.parse::<u64>()) else {
        return Err(Failure::not_found());
    };
    if account.live(from, from_number).is_none() {
        return Err(Failure::not_found());
    }
    let input = json!({"associations": [{"to": {"id": to_id}, "types": types}]});
    let links = wanted(account, request, from, &input, &[])?;
    check_targets(account, &links)?;
    objects::free(&[id, to_id], cx)?;
    apply(account, from, from_number, &links, cx);
    Ok(json_reply(201, &shown(account, from, from_number, to, to_number)))
}

/// The default association, without a label: the answer is a batch's, though it is one.
fn put_default(
    account: &mut Account,
    from: &str,
    id: &str,
    to: &str,
    to_id: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    let done = associate(account, from, id, to, to_id, cx)?;
    Ok(answer(200, vec![done], Vec::new(), cx))
}

/// `{"inputs": [{"from": {"id": "1"}, "to": {"id": "2"}}]}`.
fn batch_default(
    account: &mut Account,
    request: &Request,
    from: &str,
    to: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    let list = inputs(request, "associate")?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (index, input) in list.iter().enumerate() {
        let text = |place: &str| number(input.pointer(place)).map(|id| id.to_string());
        let (Some(start), Some(end)) = (text("/from/id"), text("/to/id")) else {
            let place = [Step::Key("inputs"), Step::Index(index)];
            return Err(unset(request, &place, &["from", "to"]));
        };
        match associate(account, from, &start, to, &end, cx) {
            Ok(done) => results.push(done),
            Err(failure) => errors.push(failure.item(&json!({"fromObjectId": [start], "toObjectId": [end]}))),
        }
    }
    Ok(answer(200, results, errors, cx))
}

fn associate(
    account: &mut Account,
    from: &str,
    id: &str,
    to: &str,
    to_id: &str,
    cx: &mut Context<'_>,
) -> Result<Value, Failure> {
    let known = links::known_types(type_id(account, from), type_id(account, to));
    let category = if known.is_empty() {
        "USER_DEFINED"
    } else {
        "HUBSPOT_DEFINED"
    };
    let link = Wanted {
        to_type: to.to_owned(),
        to: to_id.to_owned(),
        category: category.to_owned(),
        type_id: known.first().copied().unwrap_or(1),
    };
    let live = |object: &str, id: &str| id.parse().ok().filter(|&id| account.live(object, id).is_some());
    let Some(start) = live(from, id).filter(|_| to_id.parse::<u64>().is_ok()) else {
        return Err(Failure::not_found());
    };
    let spec = json!({"associationCategory": link.category, "associationTypeId": link.type_id});
    let links = [link];
    check_targets(account, &links)?;
    objects::free(&[id, to_id], cx)?;
    apply(account, from, start, &links, cx);
    Ok(json!({"from": {"id": id}, "to": {"id": to_id}, "associationSpec": spec}))
}

/// The id in an input, as a text or a number.
fn number(value: Option<&Value>) -> Option<u64> {
    match value {
        Some(Value::String(id)) => id.parse::<u64>().ok(),
        Some(Value::Number(id)) => id.as_u64(),
        _ => None,
    }
}

/// The inputs of a batch, at most as many as HubSpot takes for it.
fn inputs(request: &Request, verb: &str) -> Result<Vec<Value>, Failure> {
    let body = body_object(request)?;
    let Some(list) = body.get("inputs").and_then(Value::as_array) else {
        return Err(Failure::validation(
            "Invalid input JSON: Some required fields were not set: [inputs]",
        ));
    };
    let most = if verb == "read" { 1_000 } else { 2_000 };
    if list.len() > most {
        return Err(Failure::validation(format!(
            "The maximum number of inputs supported in a batch is {most}. Please reduce the number of items and try \
             again"
        )));
    }
    Ok(list.clone())
}

fn answer(good: u16, results: Vec<Value>, errors: Vec<Value>, cx: &Context<'_>) -> Reply {
    let mut body = json!({
        "status": "COMPLETE",
        "results": results,
        "startedAt": clock::iso(cx.now_ms),
        "completedAt": clock::iso(cx.now_ms),
    });
    if errors.is_empty() {
        return json_reply(good, &body);
    }
    body["numErrors"] = json!(errors.len());
    body["errors"] = Value::Array(errors);
    json_reply(207, &body)
}

fn batch(
    account: &mut Account,
    request: &Request,
    from: &str,
    to: &str,
    verb: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    let list = inputs(request, verb)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (index, input) in list.iter().enumerate() {
        let place = [Step::Key("inputs"), Step::Index(index)];
        let start = number(input.pointer("/from/id").or_else(|| input.get("id")));
        let Some(start) = start else {
            return Err(unset(request, &place, &["from"]));
        };
        match verb {
            "create" => {
                let item = json!({"associations": [{"to": input.get("to"), "types": input.get("types")}]});
                let links = wanted(account, request, from, &item, &[])?;
                let checked = match account.live(from, start) {
                    Some(_) => {
                        check_targets(account, &links).and_then(|()| objects::free(&[&start.to_string()], cx))
                    }
                    None => Err(Failure::not_found().category("OBJECT_NOT_FOUND")),
                };
                match checked {
                    Ok(()) => {
                        apply(account, from, start, &links, cx);
                        let end = number(input.pointer("/to/id")).unwrap_or_default();
                        results.push(shown(account, from, start, to, end));
                    }
                    Err(failure) => errors.push(failure.item(&json!({"fromObjectId": [start.to_string()]}))),
                }
            }
            "archive" => {
                for end in input.get("to").and_then(Value::as_array).into_iter().flatten() {
                    if let Some(end) = number(end.get("id")) {
                        remove(account, from, start, to, end, cx);
                    }
                }
            }
            // All of them come at once, so there is no page that could go on.
            "read" if input.get("after").is_some_and(|after| !after.is_null()) => {
                return Err(Failure::validation(
                    "Invalid paging cursor: the sandbox gives no after here",
                ));
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
    let good = if verb == "create" { 201 } else { 200 };
    Ok(answer(good, results, errors, cx))
}
