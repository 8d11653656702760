//! Batches of up to 100 inputs.
//!
//! Trace ids decide whether a batch create is atomic: with an `objectWriteTraceId` on every input, good
//! inputs are written and bad ones reported (207); without, one bad input refuses the whole batch.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::account::Account;
use super::errors::Failure;
use super::links;
use super::objects;
use super::render::{self, Show};
use super::{Context, Outcome, asked, body_object, json_reply};
use crate::sandbox::clock;
use crate::sandbox::json_place::Step;
use crate::sandbox::message::{Reply, Request};

const MAX_INPUTS: usize = 100;

/// Reads the inputs and checks how many there are.
fn inputs(request: &Request) -> Result<(Value, Vec<Value>), Failure> {
    // Reading alone has one, whether archived records are meant; it looks at it itself.
    asked::parameters(
        request,
        if request.path.ends_with("/read") {
            &["archived"]
        } else {
            &[]
        },
    )?;
    let body = body_object(request)?;
    let Some(list) = body.get("inputs").and_then(Value::as_array).cloned() else {
        return Err(Failure::validation(
            "Invalid input JSON: Some required fields were not set: [inputs]",
        ));
    };
    if list.len() > MAX_INPUTS {
        return Err(Failure::validation(format!(
            "The maximum number of inputs supported in a batch is {MAX_INPUTS}. Please reduce the number of items \
             and try again"
        )));
    }
    Ok((body, list))
}

fn trace_id(input: &Value) -> Option<&str> {
    input
        .get("objectWriteTraceId")
        .and_then(Value::as_str)
        .filter(|t| !t.is_empty())
}

/// Whether each input has a trace id of its own: then inputs succeed and fail one by one.
fn is_traced(list: &[Value]) -> bool {
    let mut seen = HashSet::new();
    !list.is_empty() && list.iter().all(|i| trace_id(i).is_some_and(|t| seen.insert(t)))
}

/// The id of an input, given as text or (leniently, as HubSpot does) as a number.
fn id_of(input: &Value) -> Result<String, Failure> {
    match input.get("id") {
        Some(Value::String(id)) => Ok(id.clone()),
        Some(Value::Number(id)) => Ok(id.to_string()),
        _ => Err(Failure::validation(
            "Invalid input JSON: Some required fields were not set: [id]",
        )),
    }
}

/// Refuses a batch that names one id twice.
fn no_duplicates<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let twice: BTreeSet<&str> = ids.filter(|id| !seen.insert(*id)).collect();
    if twice.is_empty() {
        return Ok(());
    }
    let list: Vec<&str> = twice.into_iter().collect();
    let message = format!(
        "Duplicate IDs found in batch input: [{}]. IDs must be unique",
        list.join(", ")
    );
    Err(Failure::validation(message).context(json!({"ids": list})))
}

fn with_trace(mut shown: Map<String, Value>, input: &Value, cx: &Context<'_>) -> Map<String, Value> {
    if let Some(trace) = trace_id(input).filter(|_| !cx.mods.trace_ids_dropped()) {
        shown.insert("objectWriteTraceId".to_owned(), json!(trace));
    }
    shown
}

/// The answer of a batch: `good` when all went well, else 207, which version 2026-09 folds into 200.
fn answer(good: u16, version: &str, mut results: Vec<Value>, errors: Vec<Value>, cx: &Context<'_>) -> Reply {
    cx.mods.shuffle(&mut results);
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
    json_reply(
        if objects::enforces_rules(version) {
            200
        } else {
            207
        },
        &body,
    )
}

/// The error an injected partial failure gives this input.
fn injected(index: usize, cx: &Context<'_>) -> Result<(), Failure> {
    match cx.mods.partial(index) {
        Some((code, message)) => Err(Failure::new(500, message).category(&code)),
        None => Ok(()),
    }
}

pub(super) fn create(
    account: &mut Account,
    request: &Request,
    name: &str,
    version: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    let (_, list) = inputs(request)?;
    let traced = is_traced(&list);
    if !traced {
        // All or nothing: everything is checked, against the others of the batch too, before a write.
        let touched = check_all(account, request, name, version, &list)?;
        objects::free(&touched.iter().map(String::as_str).collect::<Vec<_>>(), cx)?;
    }
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (index, input) in list.iter().enumerate() {
        match create_one(account, request, name, version, (index, input, traced), cx) {
            Ok(shown) => results.push(Value::Object(shown)),
            Err(failure) => {
                let mut context = Map::new();
                if let Some(trace) = trace_id(input) {
                    context.insert("objectWriteTraceId".to_owned(), json!([trace]));
                }
                let existing = failure
                    .message
                    .split_once("Existing ID: ")
                    .map(|(_, id)| id.to_owned());
                if let Some(existing) = existing {
                    context.insert("existingId".to_owned(), json!([existing]));
                }
                errors.push(failure.item(&Value::Object(context)));
            }
        }
    }
    if traced {
        // On purpose, and always: results of a traced batch must be matched by trace id, not by place.
        results.reverse();
    }
    Ok(answer(201, version, results, errors, cx))
}

/// Checks every input of a batch that is written whole or not at all; the records it touches.
fn check_all(
    account: &mut Account,
    request: &Request,
    name: &str,
    version: &str,
    list: &[Value],
) -> Result<Vec<String>, Failure> {
    let mut touched = vec![String::new()];
    let mut taken: HashSet<(String, String)> = HashSet::new();
    for (index, input) in list.iter().enumerate() {
        let place = [Step::Key("inputs"), Step::Index(index)];
        let values = objects::properties(request, input, &place)?;
        let checked = objects::check_new(account, name, version, &values, true);
        // The whole batch's refusal names no record.
        checked.map_err(|mut failure| {
            if let Some(at) = failure.message.find(". Existing ID") {
                failure.message.truncate(at);
            }
            failure
        })?;
        let links = links::wanted(account, request, name, input, &place)?;
        links::check_targets(account, &links)?;
        touched.extend(links.into_iter().map(|link| link.to));
        let object = account.types.get(name).ok_or_else(Failure::not_found)?;
        for (property, value) in values.iter().filter(|(_, v)| !v.is_empty()) {
            let unique = object.properties.get(property).is_some_and(|p| p.unique);
            if unique && !taken.insert((property.clone(), value.to_lowercase())) {
                let message = format!("{} already exists", object.title());
                return Err(Failure::new(409, message).category("CONFLICT"));
            }
        }
    }
    Ok(touched)
}

fn create_one(
    account: &mut Account,
    request: &Request,
    name: &str,
    version: &str,
    (index, input, traced): (usize, &Value, bool),
    cx: &mut Context<'_>,
) -> Result<Map<String, Value>, Failure> {
    injected(index, cx)?;
    let place = [Step::Key("inputs"), Step::Index(index)];
    let values = objects::properties(request, input, &place)?;
    let links = links::wanted(account, request, name, input, &place)?;
    objects::check_new(account, name, version, &values, true)?;
    links::check_targets(account, &links)?;
    if traced {
        objects::free(&objects::link_ids(&links), cx)?;
    }
    let id = objects::insert(account, name, &values, &links, cx);
    let shown = written(account, name, id, &objects::names(input))?;
    Ok(with_trace(shown, input, cx))
}

/// A record as batch answers show it: what was written, and the system's own.
fn written(account: &Account, name: &str, id: u64, names: &[String]) -> Result<Map<String, Value>, Failure> {
    let (Some(object), Some(record)) = (account.types.get(name), account.record(name, id)) else {
        return Err(Failure::not_found());
    };
    Ok(render::record(account, object, record, Show::Written(names)))
}

fn missing(account: &Account, name: &str, ids: &[String]) -> Value {
    let kind = account
        .types
        .get(name)
        .map(super::ObjectType::legacy_name)
        .unwrap_or_default();
    Failure::new(
        404,
        format!(
            "Could not get some {kind} objects, they may be deleted or not exist. Check that ids are valid."
        ),
    )
    .category("OBJECT_NOT_FOUND")
    .item(&json!({"ids": ids}))
}

pub(super) fn update(
    account: &mut Account,
    request: &Request,
    name: &str,
    version: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    let (_, list) = inputs(request)?;
    let ids = list.iter().map(id_of).collect::<Result<Vec<_>, _>>()?;
    no_duplicates(ids.iter().map(String::as_str))?;
    // Unknown and read-only properties refuse the whole batch, before a write.
    for (index, input) in list.iter().enumerate() {
        let values = objects::properties(request, input, &[Step::Key("inputs"), Step::Index(index)])?;
        if account.settings.lenient {
            let names: Vec<String> = values.iter().map(|(n, _)| n.clone()).collect();
            account.make_lenient(name, &names);
        }
        let object = account.types.get(name).ok_or_else(Failure::not_found)?;
        let problems = super::validate::check(object, &values);
        if !problems.is_empty() && trace_id(input).is_none() {
            return Err(Failure::properties(&problems, account.settings.hub_id, true));
        }
    }
    let (mut results, mut errors, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (input, id)) in list.iter().zip(&ids).enumerate() {
        let values = objects::properties(request, input, &[Step::Key("inputs"), Step::Index(index)])?;
        let id_property = input.get("idProperty").and_then(Value::as_str);
        let done = injected(index, cx)
            .and_then(|()| objects::find(account, name, id, id_property))
            .and_then(|found| objects::change(account, name, found, &values, true, cx))
            .and_then(|found| written(account, name, found, &objects::names(input)));
        match done {
            Ok(shown) => results.push(Value::Object(with_trace(shown, input, cx))),
            Err(failure) if failure.status == 404 => unknown.push(id.clone()),
            Err(failure) => {
                let mut context = Map::new();
                context.insert("ids".to_owned(), json!([id]));
                if let Some(trace) = trace_id(input) {
                    context.insert("objectWriteTraceId".to_owned(), json!([trace]));
                }
                errors.push(failure.item(&Value::Object(context)));
            }
        }
    }
    if !unknown.is_empty() {
        errors.push(missing(account, name, &unknown));
    }
    Ok(answer(200, version, results, errors, cx))
}

pub(super) fn upsert(
    account: &mut Account,
    request: &Request,
    name: &str,
    version: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    let (_, list) = inputs(request)?;
    let ids = list.iter().map(id_of).collect::<Result<Vec<_>, _>>()?;
    no_duplicates(ids.iter().map(String::as_str))?;
    let traced = is_traced(&list);
    let mut work = Vec::new();
    for (index, (input, id)) in list.iter().zip(&ids).enumerate() {
        let mut values = objects::properties(request, input, &[Step::Key("inputs"), Step::Index(index)])?;
        let id_property = input
            .get("idProperty")
            .and_then(Value::as_str)
            .unwrap_or("hs_object_id")
            .to_owned();
        if account.settings.lenient {
            let names: Vec<String> = values.iter().map(|(n, _)| n.clone()).collect();
            account.make_lenient(name, &names);
        }
        let object = account.types.get(name).ok_or_else(Failure::not_found)?;
        let by_id = id_property == "hs_object_id";
        if !by_id && !object.properties.get(&id_property).is_some_and(|p| p.unique) {
            return Err(objects::not_unique(&id_property));
        }
        let problems = super::validate::check(object, &values);
        if !problems.is_empty() && !traced {
            return Err(Failure::properties(&problems, account.settings.hub_id, true));
        }
        let found = objects::find(account, name, id, Some(&id_property)).ok();
        let found = found.filter(|&f| account.live(name, f).is_some());
        if found.is_none() && !by_id && !values.iter().any(|(n, _)| *n == id_property) {
            values.insert(0, (id_property, id.clone()));
        }
        work.push((index, input, found, values));
    }
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (index, input, found, values) in work {
        let done = injected(index, cx).and_then(|()| match found {
            Some(id) => objects::change(account, name, id, &values, true, cx).map(|id| (id, false)),
            None => objects::check_new(account, name, version, &values, true)
                .map(|()| (objects::insert(account, name, &values, &[], cx), true)),
        });
        let mut names = objects::names(input);
        names.extend(values.iter().map(|(name, _)| name.clone()));
        let shown = done.and_then(|(id, new)| written(account, name, id, &names).map(|shown| (shown, new)));
        match shown {
            Ok((mut shown, new)) => {
                shown.insert("new".to_owned(), json!(new));
                results.push(Value::Object(with_trace(shown, input, cx)));
            }
            Err(failure) => {
                let context = match trace_id(input) {
                    Some(trace) => json!({"objectWriteTraceId": [trace]}),
                    None => json!({"ids": [ids[index]]}),
                };
                errors.push(failure.item(&context));
            }
        }
    }
    Ok(answer(200, version, results, errors, cx))
}

pub(super) fn read(
    account: &Account,
    request: &Request,
    name: &str,
    version: &str,
    cx: &Context<'_>,
) -> Outcome {
    let (body, list) = inputs(request)?;
    let archived = asked::flag(request, "archived")?;
    let mut whole = body.as_object().cloned().unwrap_or_default();
    // The history of values is not kept, so only an empty list of it is taken.
    if whole
        .get("propertiesWithHistory")
        .is_some_and(|l| l.is_null() || *l == json!([]))
    {
        whole.shift_remove("propertiesWithHistory");
    }
    asked::keys(&whole, &["inputs", "properties", "idProperty"], "a batch read")?;
    let ids = list.iter().map(id_of).collect::<Result<Vec<_>, _>>()?;
    let id_property = match whole.get("idProperty") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.as_str()),
        Some(_) => {
            return Err(Failure::validation(
                "Invalid input JSON: idProperty must be a text",
            ));
        }
    };
    let object = account.types.get(name).ok_or_else(Failure::not_found)?;
    let asked = objects::wanted(asked::texts(&whole, "properties")?, object);
    let (mut results, mut unknown) = (Vec::new(), Vec::new());
    for id in ids {
        let found = objects::find(account, name, &id, id_property);
        if let Err(failure) = &found
            && failure.status == 400
        {
            return Err(failure.clone());
        }
        let record = found.ok().and_then(|id| match archived {
            true => account.record(name, id).filter(|r| r.archived_ms.is_some()),
            false => account.live(name, id),
        });
        match record {
            Some(record) => {
                results.push(Value::Object(render::record(
                    account,
                    object,
                    record,
                    Show::Asked(&asked),
                )));
            }
            None => unknown.push(id),
        }
    }
    let errors = if unknown.is_empty() {
        Vec::new()
    } else {
        vec![missing(account, name, &unknown)]
    };
    Ok(answer(200, version, results, errors, cx))
}

/// Tells nothing per item: unknown ids are passed over.
pub(super) fn archive(account: &mut Account, request: &Request, name: &str, cx: &mut Context<'_>) -> Outcome {
    let (_, list) = inputs(request)?;
    let ids = list.iter().map(id_of).collect::<Result<Vec<_>, _>>()?;
    // With no result per item, one locked record refuses the call.
    objects::free(&ids.iter().map(String::as_str).collect::<Vec<_>>(), cx)?;
    for id in ids {
        if let Ok(found) = id.parse::<u64>() {
            objects::archive(account, name, found, cx);
        }
    }
    Ok(Reply::empty(204))
}
