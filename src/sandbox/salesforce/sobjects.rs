//! `/sobjects`: single records and descriptions.

use serde_json::{Map, Value, json};

use super::account::{Account, Record};
use super::check;
use super::duplicates::attributes;
use super::errors::{Fault, JSON};
use super::ids;
use super::records;
use super::schema::{Field, Object};
use super::{Call, Context, Outcome, asked, changes, object_of, record_body};
use crate::sandbox::clock;
use crate::sandbox::message::{Reply, Request};

pub(super) fn route(
    account: &mut Account,
    request: &Request,
    method: &str,
    rest: &[&str],
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Outcome {
    let reads = matches!(method, "GET" | "HEAD");
    let known: &[&str] = match rest {
        [_, "updated" | "deleted"] if reads => &["start", "end"],
        [_, "describe"] => &[],
        [_, _] | [_, _, _] if reads => &["fields"],
        _ => &[],
    };
    asked::parameters(request, known)?;
    match (method, rest) {
        ("GET" | "HEAD", []) => Ok(list(account, call)),
        ("POST", [name]) => create(account, request, name, call, cx),
        ("GET" | "HEAD", [name]) => {
            let object = object_of(account, name)?;
            Ok(json_reply(
                200,
                &json!({"objectDescribe": brief(&object, call), "recentItems": []}),
            ))
        }
        (_, [_]) => Err(not_allowed(method, "HEAD,GET,POST")),
        ("GET" | "HEAD", [name, "describe"]) => describe(account, request, name, call),
        ("GET" | "HEAD", [name, "updated"]) => changes::changes(account, request, name, false, cx),
        ("GET" | "HEAD", [name, "deleted"]) => changes::changes(account, request, name, true, cx),
        // Resources of Salesforce beside records, which would be taken for names of external ids.
        (_, [name, word, ..]) if is_absent(word, rest.len()) => {
            object_of(account, name)?;
            Err(Fault::not_found())
        }
        ("PATCH", [name, id]) => update(account, request, name, id, call, cx),
        ("DELETE", [name, id]) => {
            let object = object_of(account, name)?;
            let id = records::find(account, &object, id)?;
            records::delete(account, &object, &id, cx)?;
            Ok(Reply::empty(204))
        }
        ("GET" | "HEAD", [name, id]) => {
            let object = object_of(account, name)?;
            let id = records::find(account, &object, id)?;
            read(account, request, &object, &id, call)
        }
        (_, [_, _]) => Err(not_allowed(method, "DELETE,GET,HEAD,PATCH")),
        ("PATCH" | "POST", [name, field, value]) => upsert(account, request, name, field, value, call, cx),
        ("GET" | "DELETE", [name, field, value]) => {
            let object = object_of(account, name)?;
            let found = object
                .field(field)
                .filter(|f| f.external_id)
                .ok_or_else(|| records::no_external_id(field))?;
            let holders = account
                .table(&object.name)
                .map(|t| t.holders(&found.name, &json!(value)))
                .unwrap_or_default();
            let id = holders
                .first()
                .map(|r| r.id.clone())
                .ok_or_else(Fault::not_found)?;
            if method == "GET" {
                return read(account, request, &object, &id, call);
            }
            records::delete(account, &object, &id, cx)?;
            Ok(Reply::empty(204))
        }
        (_, [_, _, _]) => Err(not_allowed(method, "DELETE,GET,HEAD,PATCH,POST")),
        _ => Err(Fault::not_found()),
    }
}

/// Whether the word after an object names something that is not simulated.
fn is_absent(word: &str, depth: usize) -> bool {
    match word {
        "describe" | "updated" | "deleted" => depth > 2,
        "listviews" | "quickActions" | "defaultValues" | "relevantItems" | "namedLayouts"
        | "approvalLayouts" | "compactLayouts" | "layouts" => true,
        // `/{id}/{relationship}` and `/{id}/{blob field}`.
        word => depth > 2 && !matches!(ids::parse(word), ids::Parsed::NoId),
    }
}

fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::json(status, JSON, body)
}

pub(super) fn not_allowed(method: &str, allowed: &str) -> Fault {
    let message = format!("HTTP Method '{method}' not allowed. Allowed are {allowed}");
    Fault::new(405, "METHOD_NOT_ALLOWED", message).header("Allow", allowed)
}

fn create(
    account: &mut Account,
    request: &Request,
    name: &str,
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Outcome {
    let record = record_body(request)?;
    if account.settings.lenient {
        account.make_lenient(name, &record);
    }
    let object = object_of(account, name)?;
    check::kinds(&object, &record, &String::from_utf8_lossy(&request.body), &[])?;
    let id = records::create(account, &object, &record, call, cx)?;
    let location = format!("/services/data/{}/sobjects/{}/{id}", call.version, object.name);
    Ok(json_reply(201, &json!({"id": id, "success": true, "errors": []})).with_header("Location", location))
}

/// Refuses keys that the URL already gives.
fn not_in_body(record: &Map<String, Value>, field: &str) -> Result<(), Fault> {
    if record.keys().any(|k| k.eq_ignore_ascii_case(field)) {
        let message = format!("The {field} field should not be specified in the sobject data.");
        return Err(Fault::new(400, "INVALID_FIELD", message));
    }
    Ok(())
}

fn update(
    account: &mut Account,
    request: &Request,
    name: &str,
    id: &str,
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Outcome {
    let record = record_body(request)?;
    if account.settings.lenient && account.object(name).is_some() {
        account.make_lenient(name, &record);
    }
    let object = object_of(account, name)?;
    let id = records::find(account, &object, id)?;
    not_in_body(&record, "Id")?;
    check::kinds(&object, &record, &String::from_utf8_lossy(&request.body), &[])?;
    let since = request
        .header("if-unmodified-since")
        .and_then(clock::parse_http_date);
    let changed = account.record(&object.name, &id).map_or(0, |r| r.modified_ms);
    // HTTP dates have no milliseconds.
    if since.is_some_and(|since| changed - changed.rem_euclid(1000) > since) {
        return Err(Fault::bare(412));
    }
    records::update(account, &object, &id, &record, call, cx)?;
    Ok(Reply::empty(204))
}

fn upsert(
    account: &mut Account,
    request: &Request,
    name: &str,
    field: &str,
    value: &str,
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Outcome {
    let record = record_body(request)?;
    if account.settings.lenient {
        account.make_lenient(name, &record);
        account.make_external_id(name, field);
    }
    let object = object_of(account, name)?;
    not_in_body(&record, "Id")?;
    if let Some(by) = object.field(field) {
        not_in_body(&record, &by.name)?;
    }
    check::kinds(&object, &record, &String::from_utf8_lossy(&request.body), &[])?;
    let done = match records::upsert(account, &object, field, &json!(value), &record, call, cx) {
        Ok(done) => done,
        Err(fault) if fault.status == 300 => {
            return Ok(json_reply(300, &fault.duplicates.map(|d| *d).unwrap_or_default()));
        }
        Err(fault) => return Err(fault),
    };
    if !done.created && call.number < 46 {
        return Ok(Reply::empty(204));
    }
    let body = json!({"id": done.id, "success": true, "errors": [], "created": done.created});
    Ok(json_reply(if done.created { 201 } else { 200 }, &body))
}

fn read(account: &Account, request: &Request, object: &Object, id: &str, call: &Call<'_>) -> Outcome {
    let Some(record) = account.record(&object.name, id) else {
        return Err(Fault::not_found());
    };
    let asked: Option<Vec<String>> = request.query("fields").map(|f| {
        f.split(',')
            .map(|n| n.trim().to_owned())
            .filter(|n| !n.is_empty())
            .collect()
    });
    Ok(json_reply(200, &shown(object, record, asked.as_deref(), call)?))
}

/// A record with the fields asked for (all when `None`), null where empty.
pub(super) fn shown(
    object: &Object,
    record: &Record,
    asked: Option<&[String]>,
    call: &Call<'_>,
) -> Result<Value, Fault> {
    let mut body = Map::new();
    body.insert(
        "attributes".to_owned(),
        attributes(object, &record.id, call.version),
    );
    match asked {
        Some(names) => {
            for name in names {
                let field = object
                    .field(name)
                    .ok_or_else(|| Fault::no_column(name, &object.name))?;
                body.insert(field.name.clone(), value(object, record, field));
            }
        }
        None => {
            for field in &object.fields {
                body.insert(field.name.clone(), value(object, record, field));
            }
        }
    }
    body.entry("Id").or_insert_with(|| json!(record.id));
    Ok(Value::Object(body))
}

/// The value of one field.
pub(super) fn value(_object: &Object, record: &Record, field: &Field) -> Value {
    match field.name.as_str() {
        "Id" => json!(record.id),
        "IsDeleted" => json!(record.deleted),
        "CreatedDate" => json!(clock::salesforce_time(record.created_ms)),
        "LastModifiedDate" | "SystemModstamp" => json!(clock::salesforce_time(record.modified_ms)),
        _ => match record.fields.get(&field.name) {
            Some(Value::String(id)) if field.kind == "reference" => json!(ids::canonical(id)),
            Some(value) => value.clone(),
            None if field.kind == "boolean" => json!(false),
            None => Value::Null,
        },
    }
}

fn brief(object: &Object, call: &Call<'_>) -> Value {
    json!({
        "name": object.name,
        "label": object.name,
        "labelPlural": object.name,
        "keyPrefix": object.key_prefix,
        "custom": object.name.ends_with("__c"),
        "createable": true,
        "updateable": true,
        "deletable": true,
        "queryable": true,
        "retrieveable": true,
        "searchable": true,
        "urls": {
            "sobject": format!("/services/data/{}/sobjects/{}", call.version, object.name),
            "describe": format!("/services/data/{}/sobjects/{}/describe", call.version, object.name),
            "rowTemplate": format!("/services/data/{}/sobjects/{}/{{ID}}", call.version, object.name),
        },
    })
}

fn list(account: &Account, call: &Call<'_>) -> Reply {
    let objects: Vec<Value> = account.objects.values().map(|o| brief(o, call)).collect();
    json_reply(
        200,
        &json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}),
    )
}

fn describe(account: &Account, request: &Request, name: &str, call: &Call<'_>) -> Outcome {
    let object = object_of(account, name)?;
    let mut body = brief(&object, call);
    body["fields"] = object.fields.iter().map(describe_field).collect();
    let text = body.to_string();
    let mark = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let tag = format!("\"{mark:x}-gzip\"");
    if request.header("if-none-match") == Some(tag.as_str()) {
        return Ok(Reply::empty(304));
    }
    Ok(json_reply(200, &body)
        .with_header("ETag", tag)
        .with_header("Last-Modified", clock::http_date(account.schema_ms)))
}

fn describe_field(field: &Field) -> Value {
    let values: Vec<Value> = field
        .picklist_values
        .iter()
        .map(|v| json!({"active": true, "defaultValue": false, "label": v, "value": v}))
        .collect();
    json!({
        "name": field.name,
        "label": field.label,
        "type": field.kind,
        "length": field.length,
        "nillable": field.nillable,
        "createable": field.createable,
        "updateable": field.updateable,
        "defaultedOnCreate": field.defaulted_on_create,
        "unique": field.unique,
        "externalId": field.external_id,
        "idLookup": field.external_id || field.kind == "id",
        "custom": field.name.ends_with("__c"),
        "restrictedPicklist": field.restricted_picklist,
        "picklistValues": values,
        "referenceTo": field.reference_to,
        "relationshipName": field.relationship(),
    })
}
