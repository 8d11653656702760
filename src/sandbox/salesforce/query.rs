//! `/query`, `/queryAll` and the pages that follow.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::account::{Account, Cursor, Record, key};
use super::duplicates::attributes;
use super::errors::{Fault, JSON};
use super::ids;
use super::schema::{Field, Object};
use super::sobjects;
use super::soql::{self, Condition, Is, Literal, Order, Query, malformed};
use super::{Call, Context, Outcome, asked, object_of};
use crate::sandbox::clock;
use crate::sandbox::message::{Reply, Request};

/// How many rows a page has (Salesforce's REST guide, "Query Options Header").
const BATCH: usize = 2_000;
const SMALLEST_BATCH: usize = 200;

/// `/query?q=…`; deleted records only with `queryAll`.
pub(super) fn query(
    account: &mut Account,
    request: &Request,
    all: bool,
    call: &Call<'_>,
    cx: &Context<'_>,
) -> Outcome {
    asked::parameters(request, &["q"])?;
    let batch = batch_size(request)?;
    let query = soql::parse(&request.query("q").unwrap_or_default())?;
    let object = object_of(account, &query.object).map_err(|_| {
        let message = format!("sObject type '{}' is not supported.", query.object);
        Fault::new(400, "INVALID_TYPE", message)
    })?;
    check(&object, &query)?;
    let visible_until = cx.now_ms.saturating_sub(cx.mods.lag_ms());
    let fits = |r: &&Record| {
        (all || !r.deleted)
            && (cx.mods.lag_ms() == 0 || r.created_ms <= visible_until)
            && query.conditions.iter().all(|c| holds(&object, r, c))
    };
    let mut found: Vec<&Record> = candidates(account, &object, &query, all)
        .into_iter()
        .filter(fits)
        .collect();
    if !query.order.is_empty() {
        found.sort_by(|a, b| sorted(&object, &query.order, a, b));
    }
    let rows = found.iter().skip(query.offset).take(query.limit);
    if query.fields.is_empty() {
        return Ok(Reply::json(
            200,
            JSON,
            &json!({"totalSize": rows.count(), "done": true, "records": []}),
        ));
    }
    let cursor = Cursor {
        object: object.name.clone(),
        fields: query.fields,
        rows: rows.map(|r| r.number).collect(),
        batch,
    };
    if cursor.rows.len() <= batch {
        return page(account, &cursor, None, 0, call);
    }
    let locator = account.keep_cursor(cursor.clone());
    page(account, &cursor, Some(&locator), 0, call)
}

/// `/query/{locator}-{offset}`: the rows from there on, as they are now.
pub(super) fn more(account: &Account, request: &Request, word: &str, call: &Call<'_>) -> Outcome {
    asked::parameters(request, &[])?;
    let invalid = || Fault::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
    let (locator, offset) = word.rsplit_once('-').ok_or_else(invalid)?;
    let offset: usize = offset.parse().map_err(|_| invalid())?;
    let mut cursor = account.cursor(locator).cloned().ok_or_else(invalid)?;
    if offset >= cursor.rows.len() {
        return Err(invalid());
    }
    if request.header(OPTIONS).is_some() {
        cursor.batch = batch_size(request)?;
    }
    page(account, &cursor, Some(locator), offset, call)
}

const OPTIONS: &str = "sforce-query-options";

/// The page size of `Sforce-Query-Options: batchSize=…`, brought into Salesforce's bounds as it does itself.
fn batch_size(request: &Request) -> Result<usize, Fault> {
    let Some(text) = request.header(OPTIONS) else {
        return Ok(BATCH);
    };
    let mut size = BATCH;
    for part in text.split([',', ';']).filter(|p| !p.trim().is_empty()) {
        let named = part
            .split_once('=')
            .filter(|(k, _)| k.trim().eq_ignore_ascii_case("batchSize"));
        let given = named.and_then(|(_, v)| v.trim().parse::<usize>().ok());
        size = given.ok_or_else(|| {
            malformed(format!(
                "Sforce-Query-Options: only batchSize=<number>, not '{part}'"
            ))
        })?;
    }
    Ok(size.clamp(SMALLEST_BATCH, BATCH))
}

fn page(
    account: &Account,
    cursor: &Cursor,
    locator: Option<&str>,
    offset: usize,
    call: &Call<'_>,
) -> Outcome {
    let object = object_of(account, &cursor.object)?;
    let end = (offset + cursor.batch).min(cursor.rows.len());
    let table = account.table(&object.name).map(|t| &t.records);
    let records: Vec<Value> = cursor.rows[offset..end]
        .iter()
        .filter_map(|number| table?.get(number))
        .map(|record| {
            let mut shown = Map::new();
            shown.insert(
                "attributes".to_owned(),
                attributes(&object, &record.id, call.version),
            );
            for field in cursor.fields.iter().filter_map(|f| object.field(f)) {
                shown.insert(field.name.clone(), sobjects::value(&object, record, field));
            }
            Value::Object(shown)
        })
        .collect();
    let mut body = Map::new();
    body.insert("totalSize".to_owned(), json!(cursor.rows.len()));
    let next = locator.filter(|_| end < cursor.rows.len());
    body.insert("done".to_owned(), json!(next.is_none()));
    if let Some(locator) = next {
        let url = format!("/services/data/{}/query/{locator}-{end}", call.version);
        body.insert("nextRecordsUrl".to_owned(), json!(url));
    }
    body.insert("records".to_owned(), Value::Array(records));
    Ok(Reply::json(200, JSON, &Value::Object(body)))
}

/// Checks the names of a query, and that each value is one of its field's type.
fn check(object: &Object, query: &Query) -> Result<(), Fault> {
    let named = query
        .fields
        .iter()
        .chain(query.conditions.iter().map(|c| &c.field))
        .chain(query.order.iter().map(|o| &o.field));
    if let Some(unknown) = named.into_iter().find(|f| object.field(f).is_none()) {
        let message = format!("No such column '{unknown}' on entity '{}'.", object.name);
        return Err(Fault::new(400, "INVALID_FIELD", message));
    }
    let is_long = |f: &Field| f.kind == "textarea" && f.length > 255;
    for field in query.order.iter().filter_map(|o| object.field(&o.field)) {
        if is_long(field) {
            return Err(malformed(format!(
                "field '{}' can not be sorted in a query call",
                field.name
            )));
        }
    }
    for condition in &query.conditions {
        let Some(field) = object.field(&condition.field) else {
            continue;
        };
        for literal in &condition.values {
            let (fits, wanted) = typed(field, literal);
            if !fits {
                let message = format!(
                    "value of filter criterion for field '{}' must be of type {wanted}",
                    field.name
                );
                return Err(Fault::new(400, "INVALID_FIELD", message));
            }
        }
    }
    Ok(())
}

/// Whether a literal can be a value of that field, and what it should be.
fn typed(field: &Field, literal: &Literal) -> (bool, String) {
    let bare = match literal {
        Literal::Null => return (true, String::new()),
        Literal::Text(_) => None,
        Literal::Bare(word) => Some(word.as_str()),
    };
    let unquoted = |fits: bool, kind: &str| (fits, format!("{kind} and should not be enclosed in quotes"));
    match field.kind.as_str() {
        kind @ ("int" | "double" | "currency" | "percent") => {
            unquoted(bare.is_some_and(|w| w.parse::<f64>().is_ok()), kind)
        }
        "boolean" => {
            let is = |w: &str| w.eq_ignore_ascii_case("true") || w.eq_ignore_ascii_case("false");
            unquoted(bare.is_some_and(is), "boolean")
        }
        "date" => unquoted(bare.is_some_and(|w| w.len() == 10 && moment(w).is_some()), "date"),
        "datetime" => unquoted(
            bare.is_some_and(|w| w.len() > 10 && moment(w).is_some()),
            "dateTime",
        ),
        _ => (
            bare.is_none(),
            "string and should be enclosed in quotes".to_owned(),
        ),
    }
}

/// The time a date or a datetime stands for, in milliseconds since 1970.
fn moment(text: &str) -> Option<i64> {
    if text.len() == 10 {
        return clock::parse_iso(&format!("{text}T00:00:00Z"));
    }
    // Salesforce itself writes its zones as +0000.
    let with_colon = match text.len().checked_sub(5).and_then(|at| text.split_at_checked(at)) {
        Some((start, zone)) if zone.is_ascii() && zone.starts_with(['+', '-']) => {
            format!("{start}{}:{}", &zone[..3], &zone[3..])
        }
        _ => text.to_owned(),
    };
    clock::parse_iso(&with_colon)
}

/// The records to look at: by index when a condition allows, else all.
fn candidates<'a>(account: &'a Account, object: &Object, query: &Query, all: bool) -> Vec<&'a Record> {
    let Some(table) = account.table(&object.name) else {
        return Vec::new();
    };
    for condition in query.conditions.iter().filter(|c| c.is == Is::Any) {
        let [Literal::Text(value)] = condition.values.as_slice() else {
            continue;
        };
        let Some(field) = object.field(&condition.field) else {
            continue;
        };
        if field.name == "Id" {
            return table.get(&ids::canonical(value)).into_iter().collect();
        }
        // Deleted records are not in the index, so it serves only for the live ones.
        if !all && (field.unique || field.external_id) {
            return table.holders(&field.name, &json!(value));
        }
    }
    table.records.values().collect()
}

/// What a value is compared by.
#[derive(Debug, PartialEq)]
enum Measure {
    Time(i64),
    Number(f64),
    Text(String),
}

fn measure(field: &Field, value: &Value) -> Measure {
    let text = key(value);
    let known = match field.kind.as_str() {
        "int" | "double" | "currency" | "percent" => text.parse().ok().map(Measure::Number),
        "date" | "datetime" => value.as_str().and_then(moment).map(Measure::Time),
        "id" | "reference" => value.as_str().map(|id| Measure::Text(ids::canonical(id))),
        _ => None,
    };
    known.unwrap_or(Measure::Text(text))
}

fn order(a: &Measure, b: &Measure) -> Ordering {
    let rank = |m: &Measure| match m {
        Measure::Time(_) => 0,
        Measure::Number(_) => 1,
        Measure::Text(_) => 2,
    };
    match (a, b) {
        (Measure::Time(a), Measure::Time(b)) => a.cmp(b),
        (Measure::Number(a), Measure::Number(b)) => a.total_cmp(b),
        (Measure::Text(a), Measure::Text(b)) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn holds(object: &Object, record: &Record, condition: &Condition) -> bool {
    let Some(field) = object.field(&condition.field) else {
        return false;
    };
    let have = sobjects::value(object, record, field);
    let compared = |literal: &Literal| {
        let wanted = match literal {
            Literal::Null => return have.is_null().then_some(Ordering::Equal),
            Literal::Text(text) | Literal::Bare(text) => measure(field, &json!(text)),
        };
        (!have.is_null()).then(|| order(&measure(field, &have), &wanted))
    };
    let mut orders = condition.values.iter().filter_map(compared);
    match condition.is {
        Is::Any => orders.any(Ordering::is_eq),
        Is::None => !orders.any(Ordering::is_eq),
        Is::Less => orders.all(Ordering::is_lt) && !have.is_null(),
        Is::AtMost => orders.all(Ordering::is_le) && !have.is_null(),
        Is::More => orders.all(Ordering::is_gt) && !have.is_null(),
        Is::AtLeast => orders.all(Ordering::is_ge) && !have.is_null(),
    }
}

/// By the first field that differs; those of one value keep their order. Nulls come first unless told otherwise.
fn sorted(object: &Object, by: &[Order], a: &Record, b: &Record) -> Ordering {
    for rule in by {
        let Some(field) = object.field(&rule.field) else {
            continue;
        };
        let (a, b) = (
            sobjects::value(object, a, field),
            sobjects::value(object, b, field),
        );
        let found = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (false, false) => {
                let order = order(&measure(field, &a), &measure(field, &b));
                if rule.descending { order.reverse() } else { order }
            }
            (null, _) if null != rule.nulls_last => Ordering::Less,
            _ => Ordering::Greater,
        };
        if found.is_ne() {
            return found;
        }
    }
    Ordering::Equal
}
