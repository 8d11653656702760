//! `/composite/sobjects`: up to 200 records in one call, results in the order of the request.

use serde_json::{Map, Value, json};

use super::account::Account;
use super::check;
use super::errors::{Fault, JSON};
use super::ids::{self, Parsed};
use super::records;
use super::schema::Object;
use super::sobjects;
use super::{Call, Context, Outcome, asked, body_of, object_of};
use crate::sandbox::json_place::Step;
use crate::sandbox::message::{Reply, Request};

const MAX_RECORDS: usize = 200;
/// How many runs of records of one type a collection may have.
const MAX_RUNS: usize = 10;

pub(super) fn route(
    account: &mut Account,
    request: &Request,
    method: &str,
    rest: &[&str],
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Outcome {
    let known: &[&str] = match (method, rest) {
        ("DELETE", []) => &["ids", "allOrNone"],
        ("GET", [_]) => &["ids", "fields"],
        _ => &[],
    };
    asked::parameters(request, known)?;
    match (method, rest) {
        ("POST", []) => write(account, request, Verb::Create, call, cx),
        ("PATCH", []) => write(account, request, Verb::Update, call, cx),
        ("DELETE", []) => delete(account, request, call, cx),
        ("PATCH", [name, field]) => {
            let verb = Verb::Upsert {
                object: (*name).to_owned(),
                field: (*field).to_owned(),
            };
            write(account, request, verb, call, cx)
        }
        ("POST" | "GET", [name]) => retrieve(account, request, method, name, call),
        (_, []) => Err(sobjects::not_allowed(method, "DELETE,PATCH,POST")),
        (_, [_]) => Err(sobjects::not_allowed(method, "GET,POST")),
        _ => Err(Fault::not_found()),
    }
}

#[derive(Debug, Clone)]
enum Verb {
    Create,
    Update,
    Upsert { object: String, field: String },
}

/// The key of a record in any case, such as `id`.
fn text<'a>(record: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    record
        .iter()
        .find(|(k, _)| k.eq_ignore_ascii_case(name))
        .and_then(|(_, v)| v.as_str())
}

fn count(n: usize) -> Result<(), Fault> {
    if n == 0 {
        return Err(Fault::new(
            400,
            "REQUIRED_FIELD_MISSING",
            "At least 1 record is required",
        ));
    }
    if n > MAX_RECORDS {
        let message =
            format!("record limit reached. cannot submit more than {MAX_RECORDS} records into this call");
        return Err(Fault::new(400, "EXCEEDED_ID_LIMIT", message));
    }
    Ok(())
}

fn write(
    account: &mut Account,
    request: &Request,
    verb: Verb,
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Outcome {
    let body = body_of(request)?;
    let list = body.get("records").and_then(Value::as_array);
    let records: Vec<Map<String, Value>> = list
        .into_iter()
        .flatten()
        .map(|r| r.as_object().cloned().unwrap_or_default())
        .collect();
    count(records.len())?;
    let mut types = Vec::with_capacity(records.len());
    for record in &records {
        let name = record
            .get("attributes")
            .and_then(|a| a.get("type"))
            .and_then(Value::as_str);
        let Some(name) = name.filter(|n| !n.is_empty()) else {
            let message = "Include an entity type in your request and try again.";
            return Err(Fault::new(400, "INVALID_INPUT", message));
        };
        types.push(name);
    }
    if types.chunk_by(|a, b| a.eq_ignore_ascii_case(b)).count() > MAX_RUNS {
        let message = format!(
            "Cannot have more than {MAX_RUNS} chunks in a single operation. Please rearrange the data to reduce chunking."
        );
        return Err(Fault::new(400, "INVALID_INPUT", message));
    }
    let body_text = String::from_utf8_lossy(&request.body);
    let mut objects = Vec::with_capacity(records.len());
    for (index, (record, name)) in records.iter().zip(&types).enumerate() {
        if account.settings.lenient {
            account.make_lenient(name, record);
            if let Verb::Upsert { object, field } = &verb {
                account.make_external_id(object, field);
            }
        }
        let object = match &verb {
            Verb::Upsert { object, .. } => object_of(account, object)?,
            _ => object_of(account, name)?,
        };
        check::kinds(
            &object,
            record,
            &body_text,
            &[Step::Key("records"), Step::Index(index)],
        )?;
        objects.push(object);
    }
    let all_or_none = body.get("allOrNone") == Some(&Value::Bool(true));
    let work = records.iter().zip(&objects).enumerate();
    run(
        account,
        all_or_none,
        cx,
        work,
        |account, cx, (index, (record, object))| {
            if let Some((code, message)) = cx.mods.partial(index) {
                return Err(Fault::with_fields(&code, message, &[]));
            }
            one(account, &verb, object, record, call, cx)
        },
    )
}

fn one(
    account: &mut Account,
    verb: &Verb,
    object: &Object,
    record: &Map<String, Value>,
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Result<Value, Fault> {
    match verb {
        Verb::Create => {
            let id = records::create(account, object, record, call, cx)?;
            Ok(json!({"id": id, "success": true, "errors": []}))
        }
        Verb::Update => {
            let Some(id) = text(record, "id") else {
                return Err(Fault::with_fields(
                    "MISSING_ARGUMENT",
                    "Id not specified in an update call",
                    &[],
                ));
            };
            let id = find(account, object, id)?;
            let mut values = record.clone();
            values.retain(|k, _| !k.eq_ignore_ascii_case("id"));
            records::update(account, object, &id, &values, call, cx)?;
            Ok(json!({"id": id, "success": true, "errors": []}))
        }
        Verb::Upsert { field, .. } => {
            let Some(by) = object.field(field).filter(|f| f.external_id) else {
                return Err(records::no_external_id(field));
            };
            let value = record
                .iter()
                .find(|(k, _)| k.eq_ignore_ascii_case(&by.name))
                .map(|(_, v)| v.clone());
            let Some(value) = value.filter(|v| !v.is_null()) else {
                let message = format!("{} not specified", by.name);
                return Err(Fault::with_fields("MISSING_ARGUMENT", message, &[]));
            };
            let mut values = record.clone();
            values.retain(|k, _| !k.eq_ignore_ascii_case(&by.name));
            let done =
                records::upsert(account, object, field, &value, &values, call, cx).map_err(|fault| {
                    if fault.status == 300 {
                        let message = format!("Multiple records found with {}", by.name);
                        return Fault::with_fields("DUPLICATE_EXTERNAL_ID", message, &[]);
                    }
                    fault
                })?;
            Ok(json!({"id": done.id, "success": true, "errors": [], "created": done.created}))
        }
    }
}

/// A record of a collection: a malformed id is told in other words than in a path.
fn find(account: &Account, object: &Object, text: &str) -> Result<String, Fault> {
    match ids::parse(text) {
        Parsed::Id(_) => records::find(account, object, text).map_err(|fault| {
            if &*fault.code == "NOT_FOUND" {
                return Fault::with_fields("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &[]);
            }
            fault
        }),
        Parsed::Malformed | Parsed::NoId => {
            let message = format!("{} ID: id value of incorrect type: {text}", object.name);
            Err(Fault::with_fields("MALFORMED_ID", message, &["Id"]))
        }
    }
}

/// Does each piece of work; with `all_or_none` one failure takes everything back.
fn run<T>(
    account: &mut Account,
    all_or_none: bool,
    cx: &mut Context<'_>,
    work: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut Account, &mut Context<'_>, T) -> Result<Value, Fault>,
) -> Outcome {
    let before = cx.changes.len();
    account.begin();
    let results: Vec<Result<Value, Fault>> = work.map(|item| each(account, cx, item)).collect();
    let undone = all_or_none && results.iter().any(Result::is_err);
    if undone {
        account.roll_back();
        cx.changes.truncate(before);
    } else {
        account.commit();
    }
    let shown: Vec<Value> = results
        .into_iter()
        .map(|result| match result {
            Err(fault) => fault.item(),
            Ok(_) if undone => {
                let message =
                    "Record rolled back because not all records were valid and the request was using AllOrNone header";
                Fault::with_fields("ALL_OR_NONE_OPERATION_ROLLED_BACK", message, &[]).item()
            }
            Ok(value) => value,
        })
        .collect();
    Ok(Reply::json(200, JSON, &Value::Array(shown)))
}

fn delete(account: &mut Account, request: &Request, _call: &Call<'_>, cx: &mut Context<'_>) -> Outcome {
    let list = request.query("ids").unwrap_or_default();
    let list: Vec<&str> = list.split(',').map(str::trim).filter(|i| !i.is_empty()).collect();
    count(list.len())?;
    let all_or_none = request.query("allOrNone").as_deref() == Some("true");
    run(
        account,
        all_or_none,
        cx,
        list.into_iter().enumerate(),
        |account, cx, (index, text)| {
            if let Some((code, message)) = cx.mods.partial(index) {
                return Err(Fault::with_fields(&code, message, &[]));
            }
            let malformed = || Fault::with_fields("MALFORMED_ID", format!("malformed id {text}"), &[]);
            let Parsed::Id(id) = ids::parse(text) else {
                return Err(malformed());
            };
            let Some(object) = account.object_of_id(&id).cloned() else {
                return Err(malformed());
            };
            let id = find(account, &object, &id)?;
            records::delete(account, &object, &id, cx)?;
            Ok(json!({"id": id, "success": true, "errors": []}))
        },
    )
}

/// Records by id, null for one that is missing or deleted.
fn retrieve(account: &Account, request: &Request, method: &str, name: &str, call: &Call<'_>) -> Outcome {
    let object = object_of(account, name)?;
    let split = |text: Option<String>| -> Vec<String> {
        let text = text.unwrap_or_default();
        text.split(',')
            .map(|w| w.trim().to_owned())
            .filter(|w| !w.is_empty())
            .collect()
    };
    let (list, fields) = if method == "GET" {
        (split(request.query("ids")), split(request.query("fields")))
    } else {
        let body = body_of(request)?;
        let unknown = body
            .as_object()
            .and_then(|b| b.keys().find(|k| !matches!(k.as_str(), "ids" | "fields")));
        if let Some(key) = unknown {
            let message =
                format!("'{key}' is not one of ids and fields, or the sandbox does not simulate it");
            return Err(Fault::new(400, "JSON_PARSER_ERROR", message));
        }
        let words = |key: &str| -> Vec<String> {
            let list = body.get(key).and_then(Value::as_array);
            list.into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        (words("ids"), words("fields"))
    };
    let most = if method == "GET" { 800 } else { 2000 };
    if list.len() > most {
        let message = format!("record limit reached. cannot submit more than {most} records into this call");
        return Err(Fault::new(400, "EXCEEDED_ID_LIMIT", message));
    }
    let mut found = Vec::with_capacity(list.len());
    for id in &list {
        let record = account
            .record(&object.name, &ids::canonical(id))
            .filter(|r| !r.deleted);
        found.push(match record {
            Some(record) => sobjects::shown(&object, record, Some(&fields), call)?,
            None => Value::Null,
        });
    }
    // The fields are checked even when no record is found.
    if let Some(unknown) = fields.iter().find(|f| object.field(f).is_none()) {
        return Err(Fault::no_column(unknown, &object.name));
    }
    Ok(Reply::json(200, JSON, &Value::Array(found)))
}
