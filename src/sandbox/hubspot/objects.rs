//! Single records: create, read, update, archive, list and merge.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::account::{Account, Record};
use super::clash::clash;
use super::errors::Failure;
use super::links::{self, Wanted};
use super::render::{self, Show};
use super::{Context, Outcome, body_object, json_reply};
use super::{ObjectType, asked, validate};
use crate::sandbox::json_place::{self, Step};
use crate::sandbox::ledger::ChangeKind;
use crate::sandbox::message::{Reply, Request};

/// The properties of an input, as text. `place` is the input's path in the body, for the error's column.
///
/// A property of value null is as if it were not there: HubSpot keeps what it has (hubspot-api-nodejs#324), and only
/// the empty text clears.
pub(super) fn properties(
    request: &Request,
    input: &Value,
    place: &[Step<'_>],
) -> Result<Vec<(String, String)>, Failure> {
    let given = match input.get("properties") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(_) => {
            return Err(Failure::bad_json(
                1,
                1,
                "Cannot deserialize `properties`: an object is expected",
            ));
        }
    };
    let mut values = Vec::with_capacity(given.len());
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let text = validate::text(value).map_err(|kind| {
            let body = String::from_utf8_lossy(&request.body);
            let mut path = place.to_vec();
            path.extend([Step::Key("properties"), Step::Key(name)]);
            let start = json_place::span(&body, &path).map_or(0, |(start, _)| start);
            let (line, column) = json_place::line_column(&body, start);
            let what = format!("Cannot deserialize value of type `java.lang.String` from {kind} value");
            Failure::bad_json(line, column, &what)
        })?;
        values.push((name.clone(), text));
    }
    Ok(values)
}

/// The names of the properties that an input gives, those of value null too.
pub(super) fn names(input: &Value) -> Vec<String> {
    let given = input.get("properties").and_then(Value::as_object);
    given.into_iter().flat_map(|map| map.keys().cloned()).collect()
}

/// Whether this API version enforces administrators' rules.
pub(super) fn enforces_rules(version: &str) -> bool {
    version != "v3" && version >= "2026-09"
}

/// Checks a new record as far as it can be checked alone.
pub(super) fn check_new(
    account: &mut Account,
    name: &str,
    version: &str,
    values: &[(String, String)],
    in_batch: bool,
) -> Result<(), Failure> {
    if account.settings.lenient {
        let names: Vec<String> = values.iter().map(|(n, _)| n.clone()).collect();
        account.make_lenient(name, &names);
    }
    let Some(object) = account.types.get(name) else {
        return Err(Failure::not_found());
    };
    let unset = validate::unset(object, values);
    if !unset.is_empty() {
        let kind = object.legacy_name();
        let message = format!("Error creating {kind}. Some required properties were not set.");
        return Err(Failure::validation(message).context(json!({"properties": unset})));
    }
    let mut problems = validate::check(object, values);
    if enforces_rules(version) {
        problems.extend(validate::missing(object, values));
    }
    if !problems.is_empty() {
        return Err(Failure::properties(&problems, account.settings.hub_id, in_batch));
    }
    let own = account.peek_id(name);
    clash(account, name, values, own).map_or(Ok(()), |c| Err(c.failure(account, name, in_batch)))
}

/// Makes the record; everything was checked. Its id.
pub(super) fn insert(
    account: &mut Account,
    name: &str,
    values: &[(String, String)],
    links: &[Wanted],
    cx: &mut Context<'_>,
) -> u64 {
    let id = account.take_id(name);
    let mut properties = BTreeMap::new();
    if let Some(object) = account.types.get(name) {
        let kept = |(n, v): &(String, String)| (n.clone(), validate::kept(object, n, v));
        properties.extend(values.iter().map(kept));
    }
    computed(account, name, id, &mut properties);
    let record = Record {
        id,
        properties,
        created_ms: cx.now_ms,
        updated_ms: cx.now_ms,
        archived_ms: None,
        merged_into: None,
    };
    account.put_record(name, record);
    cx.changed(ChangeKind::Created, name, &id.to_string(), as_map(values));
    links::apply(account, name, id, links, cx);
    id
}

/// Fills in what HubSpot computes for a new contact.
fn computed(account: &Account, name: &str, id: u64, properties: &mut BTreeMap<String, String>) {
    if account.types.get(name).is_none_or(|t| t.type_id != "0-1") {
        return;
    }
    let mut put = |key: &str, value: String| {
        properties.entry(key.to_owned()).or_insert(value);
    };
    put("lifecyclestage", "lead".to_owned());
    put("hs_all_contact_vids", id.to_string());
    put("hs_is_contact", "true".to_owned());
    put("hs_is_unworked", "true".to_owned());
    put("hs_object_source", "INTEGRATION".to_owned());
    put("hs_object_source_id", "4711002".to_owned());
    put("hs_object_source_label", "INTEGRATION".to_owned());
    put("hs_pipeline", "contacts-lifecycle-pipeline".to_owned());
    if let Some(domain) = properties
        .get("email")
        .and_then(|e| e.rsplit_once('@'))
        .map(|(_, d)| d.to_owned())
    {
        properties.entry("hs_email_domain".to_owned()).or_insert(domain);
    }
}

pub(super) fn as_map(values: &[(String, String)]) -> Map<String, Value> {
    values.iter().map(|(k, v)| (k.clone(), json!(v))).collect()
}

pub(super) fn create(
    account: &mut Account,
    request: &Request,
    name: &str,
    version: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    asked::parameters(request, &[])?;
    let body = body_object(request)?;
    let values = properties(request, &body, &[])?;
    let links = links::wanted(account, request, name, &body, &[])?;
    check_new(account, name, version, &values, false)?;
    links::check_targets(account, &links)?;
    free(&link_ids(&links), cx)?;
    let id = insert(account, name, &values, &links, cx);
    let (Some(object), Some(record)) = (account.types.get(name), account.record(name, id)) else {
        return Err(Failure::not_found());
    };
    let shown = Value::Object(render::record(account, object, record, Show::All));
    let prefix = if version == "v3" {
        "crm/v3/objects".to_owned()
    } else {
        format!("crm/objects/{version}")
    };
    let location = format!("https://api.hubapi.com/{prefix}/{name}/{id}");
    Ok(json_reply(201, &shown).with_header("Location", location))
}

/// The records a create touches: those it is associated with, and the new one, which has no id yet.
pub(super) fn link_ids(links: &[Wanted]) -> Vec<&str> {
    links.iter().map(|l| l.to.as_str()).chain([""]).collect()
}

/// The answer while another write holds the record (about two seconds at HubSpot).
pub(super) fn locked() -> Failure {
    Failure::new(423, "Locked")
}

/// Refuses a call that touches a record which another write holds.
pub(super) fn free(ids: &[&str], cx: &Context<'_>) -> Result<(), Failure> {
    cx.mods.locked(ids).map_or(Ok(()), |_| Err(locked()))
}

/// The record a path segment names, by id or by `idProperty`.
pub(super) fn find(
    account: &Account,
    name: &str,
    id: &str,
    id_property: Option<&str>,
) -> Result<u64, Failure> {
    if let Some(property) = id_property.filter(|p| *p != "hs_object_id") {
        let object = account.types.get(name).ok_or_else(Failure::not_found)?;
        if !object.properties.get(property).is_some_and(|p| p.unique) {
            return Err(not_unique(property));
        }
        return account
            .table(name)
            .and_then(|t| t.holder(property, id))
            .ok_or_else(Failure::not_found);
    }
    id.parse::<u64>().map_err(|_| {
        Failure::new(404, "Object not found.  objectId are usually numeric.")
            .category("OBJECT_NOT_FOUND")
            .context(json!({"id": [id]}))
    })
}

pub(super) fn not_unique(property: &str) -> Failure {
    Failure::validation(format!(
        "Property '{property}' is not a unique identifier property"
    ))
}

pub(super) fn read(account: &Account, request: &Request, name: &str, id: &str) -> Outcome {
    asked::parameters(request, &["properties", "archived", "idProperty", "associations"])?;
    let found = find(account, name, id, request.query("idProperty").as_deref())?;
    let record = if asked::flag(request, "archived")? {
        account.record(name, found).filter(|r| r.archived_ms.is_some())
    } else {
        account.live(name, found)
    };
    let (Some(object), Some(record)) = (account.types.get(name), record) else {
        return Err(Failure::not_found());
    };
    let names = wanted(asked::properties(request), object);
    let mut shown = render::record(account, object, record, Show::Asked(&names));
    associations(account, request, name, record.id, &mut shown)?;
    Ok(json_reply(200, &Value::Object(shown)))
}

/// Adds the records associated with one that is read: `?associations=companies,deals`.
fn associations(
    account: &Account,
    request: &Request,
    name: &str,
    id: u64,
    shown: &mut Map<String, Value>,
) -> Result<(), Failure> {
    let lists = request.query_all("associations");
    let mut all = Map::new();
    for word in lists.iter().flat_map(|l| l.split(',')).filter(|w| !w.is_empty()) {
        let to = account
            .resolve(word)
            .ok_or_else(|| Failure::new(400, format!("Unable to infer object type from: {word}")))?;
        let ends = account
            .links
            .iter()
            .filter(|l| l.from_type == name && l.from == id && l.to_type == to.name);
        let kind = |l: &super::account::Link| {
            format!("{}_to_{}", singular(account, name), singular(account, &l.to_type))
        };
        let results: Vec<Value> = ends
            .map(|l| json!({"id": l.to.to_string(), "type": kind(l)}))
            .collect();
        if !results.is_empty() {
            all.insert(to.name.clone(), json!({"results": results}));
        }
    }
    if !all.is_empty() {
        shown.insert("associations".to_owned(), Value::Object(all));
    }
    Ok(())
}

fn singular<'a>(account: &'a Account, name: &'a str) -> &'a str {
    account.types.get(name).map_or(name, |t| t.singular.as_str())
}

/// The properties that a read shows: those asked for, else those the object shows of itself.
pub(super) fn wanted(asked: Option<Vec<String>>, object: &ObjectType) -> Vec<String> {
    asked.unwrap_or_else(|| {
        object
            .default_properties()
            .iter()
            .map(|&n| n.to_owned())
            .collect()
    })
}

/// Checks and applies an update; the id of the record that took it (the winner of a merge).
pub(super) fn change(
    account: &mut Account,
    name: &str,
    id: u64,
    values: &[(String, String)],
    in_batch: bool,
    cx: &mut Context<'_>,
) -> Result<u64, Failure> {
    if account.settings.lenient {
        let names: Vec<String> = values.iter().map(|(n, _)| n.clone()).collect();
        account.make_lenient(name, &names);
    }
    let Some(mut record) = account.live(name, id).cloned() else {
        return Err(Failure::not_found());
    };
    let id_text = record.id.to_string();
    free(&[&id_text], cx)?;
    let object = account.types.get(name).ok_or_else(Failure::not_found)?;
    let problems = validate::check(object, values);
    if !problems.is_empty() {
        return Err(Failure::properties(&problems, account.settings.hub_id, in_batch));
    }
    if let Some(clash) = clash(account, name, values, record.id) {
        return Err(clash.failure(account, name, in_batch));
    }
    for (property, value) in values {
        let kept = validate::kept(object, property, value);
        record.properties.insert(property.clone(), kept);
    }
    record.updated_ms = cx.now_ms;
    let id = record.id;
    account.put_record(name, record);
    cx.changed(ChangeKind::Updated, name, &id_text, as_map(values));
    Ok(id)
}

pub(super) fn update(
    account: &mut Account,
    request: &Request,
    name: &str,
    id: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    asked::parameters(request, &["idProperty"])?;
    let found = find(account, name, id, request.query("idProperty").as_deref())?;
    let body = body_object(request)?;
    let values = properties(request, &body, &[])?;
    let id = change(account, name, found, &values, false, cx)?;
    let (Some(object), Some(record)) = (account.types.get(name), account.record(name, id)) else {
        return Err(Failure::not_found());
    };
    Ok(json_reply(
        200,
        &Value::Object(render::record(
            account,
            object,
            record,
            Show::Written(&names(&body)),
        )),
    ))
}

/// Archives a record if it is there and live.
pub(crate) fn archive(account: &mut Account, name: &str, id: u64, cx: &mut Context<'_>) {
    let Some(mut record) = account.live(name, id).cloned() else {
        return;
    };
    record.archived_ms = Some(cx.now_ms);
    let id = record.id.to_string();
    account.put_record(name, record);
    cx.changed(ChangeKind::Archived, name, &id, Map::new());
}

/// Archiving is idempotent: unknown and archived ids answer 204 too.
pub(super) fn delete(
    account: &mut Account,
    request: &Request,
    name: &str,
    id: &str,
    cx: &mut Context<'_>,
) -> Outcome {
    asked::parameters(request, &[])?;
    let found = find(account, name, id, None)?;
    free(&[id], cx)?;
    archive(account, name, found, cx);
    Ok(Reply::empty(204))
}

pub(super) fn list(account: &Account, request: &Request, name: &str) -> Outcome {
    let object = account.types.get(name).ok_or_else(Failure::not_found)?;
    asked::parameters(
        request,
        &["limit", "after", "properties", "archived", "associations"],
    )?;
    let limit = asked::limit(request, 10, 100)?;
    let after = asked::after(request.query("after").as_deref())?.unwrap_or(0);
    let archived = asked::flag(request, "archived")?;
    let names = wanted(asked::properties(request), object);
    let fits = |r: &&Record| r.id > after && r.archived_ms.is_some() == archived && r.merged_into.is_none();
    let records = account.table(name).map(|t| &t.records);
    let mut found: Vec<&Record> = records
        .into_iter()
        .flat_map(|r| r.values())
        .filter(fits)
        .take(limit + 1)
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let mut results = Vec::with_capacity(found.len());
    for record in &found {
        let mut shown = render::record(account, object, record, Show::Asked(&names));
        associations(account, request, name, record.id, &mut shown)?;
        results.push(Value::Object(shown));
    }
    let mut body = json!({"results": results});
    if let Some(last) = found.last().filter(|_| more) {
        body["paging"] = json!({"next": {"after": last.id.to_string()}});
    }
    Ok(json_reply(200, &body))
}

/// Merges one record into another: `{"primaryObjectId": "1", "objectIdToMerge": "2"}`.
pub(super) fn merge(account: &mut Account, request: &Request, name: &str, cx: &mut Context<'_>) -> Outcome {
    asked::parameters(request, &[])?;
    let body = body_object(request)?;
    let id = |key: &str| {
        body.get(key)
            .and_then(|v| v.as_str().map(str::to_owned).or_else(|| Some(v.to_string())))
            .and_then(|v| v.parse::<u64>().ok())
            .ok_or_else(|| Failure::validation(format!("Some required fields were not set: [{key}]")))
    };
    let (winner, loser) = (id("primaryObjectId")?, id("objectIdToMerge")?);
    if winner == loser || account.live(name, winner).is_none() {
        return Err(Failure::not_found());
    }
    let Some(mut gone) = account.live(name, loser).cloned() else {
        return Err(Failure::not_found());
    };
    free(&[&winner.to_string(), &loser.to_string()], cx)?;
    gone.merged_into = Some(winner);
    account.put_record(name, gone);
    let mut values = Map::new();
    values.insert("into".to_owned(), json!(winner.to_string()));
    cx.changed(ChangeKind::Merged, name, &loser.to_string(), values);
    let (Some(object), Some(record)) = (account.types.get(name), account.live(name, winner)) else {
        return Err(Failure::not_found());
    };
    Ok(json_reply(
        200,
        &Value::Object(render::record(account, object, record, Show::All)),
    ))
}
