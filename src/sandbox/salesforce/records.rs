//! Making, changing and deleting one record; single calls and collections both come here.

use serde_json::{Map, Value, json};

use super::account::{Account, Record};
use super::check::{self, Mode};
use super::duplicates::{self, DuplicateHeader};
use super::errors::Fault;
use super::ids::{self, Parsed};
use super::schema::Object;
use super::{Call, Context};
use crate::sandbox::ledger::ChangeKind;

/// Refuses every write while the org cannot take any.
fn gate(account: &Account, create: bool) -> Result<(), Fault> {
    if account.settings.read_only {
        let text = "Updates can\u{2019}t be made during maintenance. Try again when maintenance is complete";
        return Err(Fault::with_fields(
            "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
            text,
            &[],
        ));
    }
    if create && account.settings.storage_full {
        return Err(Fault::with_fields(
            "STORAGE_LIMIT_EXCEEDED",
            "storage limit exceeded",
            &[],
        ));
    }
    Ok(())
}

/// Refuses a write that touches a locked record: the record itself, or one that it refers to.
fn locked(object: &Object, id: &str, values: &Map<String, Value>, cx: &Context<'_>) -> Result<(), Fault> {
    let references: Vec<String> = object
        .fields
        .iter()
        .filter(|f| f.kind == "reference")
        .filter_map(|f| values.get(&f.name)?.as_str())
        .map(ids::canonical)
        .collect();
    let mut touched: Vec<&str> = references.iter().map(String::as_str).collect();
    touched.push(id);
    let Some(held) = cx.mods.locked(&touched) else {
        return Ok(());
    };
    let message = match held {
        "" => "unable to obtain exclusive access to this record".to_owned(),
        held => format!("unable to obtain exclusive access to this record or 1 records: {held}"),
    };
    let fault = Fault::with_fields("UNABLE_TO_LOCK_ROW", message, &[]);
    Err(if id.is_empty() { fault } else { fault.id(id) })
}

/// Checks a new record and makes it; its id.
pub(super) fn create(
    account: &mut Account,
    object: &Object,
    record: &Map<String, Value>,
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Result<String, Fault> {
    gate(account, true)?;
    if record.keys().any(|k| k.eq_ignore_ascii_case("id")) {
        let message = "cannot specify Id in an insert call";
        return Err(Fault::with_fields(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            message,
            &["Id"],
        ));
    }
    let mut values = check::names(account, object, record, Mode::Create)?;
    check::required(object, &values, Mode::Create)?;
    check::values(account, object, &values)?;
    check::triggers(account, object, Mode::Create)?;
    check::rules(account, object, &values)?;
    let written = values.clone();
    computed(object, &mut values);
    duplicates::check(account, object, &values, None, call.duplicates, call.version)?;
    check::unique(account, object, &values, None)?;
    locked(object, "", &values, cx)?;
    let owner = account
        .settings
        .assignment
        .get(&object.name)
        .filter(|_| call.auto_assign);
    let owner = owner.unwrap_or(&account.settings.user_id).clone();
    values.entry("OwnerId").or_insert_with(|| json!(owner));
    let (number, id) = account.take_id(object);
    if object.name.ends_with("__c") {
        values
            .entry("Name")
            .or_insert_with(|| json!(format!("{number:08}")));
    }
    values.retain(|_, v| !v.is_null());
    let made = Record {
        id: id.clone(),
        number,
        fields: values,
        created_ms: cx.now_ms,
        modified_ms: cx.now_ms,
        deleted: false,
        read_only: false,
    };
    account.put_record(&object.name, made);
    cx.changed(ChangeKind::Created, &object.name, &id, written);
    Ok(id)
}

/// Fields that Salesforce works out itself.
pub(super) fn computed(object: &Object, fields: &mut Map<String, Value>) {
    let text = |fields: &Map<String, Value>, name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match object.name.as_str() {
        "Contact" | "Lead" => {
            let name = format!("{} {}", text(fields, "FirstName"), text(fields, "LastName"));
            fields.insert("Name".to_owned(), json!(name.trim()));
        }
        "Opportunity" => {
            let stage = text(fields, "StageName");
            fields.insert("IsClosed".to_owned(), json!(stage.starts_with("Closed")));
            fields.insert("IsWon".to_owned(), json!(stage == "Closed Won"));
        }
        _ => {}
    }
}

/// The live record of a path or record id; the id in 18 characters.
pub(super) fn find(account: &Account, object: &Object, text: &str) -> Result<String, Fault> {
    match ids::parse(text) {
        Parsed::Id(id) => match account.record(&object.name, &id) {
            Some(record) if record.deleted => Err(Fault::deleted().id(id)),
            Some(_) => Ok(id),
            None => Err(Fault::not_found()),
        },
        Parsed::Malformed => Err(Fault::with_fields(
            "MALFORMED_ID",
            format!("malformed id {text}"),
            &[],
        )),
        // Salesforce takes the segment for the name of an external id field.
        Parsed::NoId => Err(no_external_id(text)),
    }
}

pub(super) fn no_external_id(name: &str) -> Fault {
    Fault::new(
        404,
        "NOT_FOUND",
        format!("Provided external ID field does not exist or is not accessible: {name}"),
    )
}

/// Checks and applies a change.
pub(super) fn update(
    account: &mut Account,
    object: &Object,
    id: &str,
    record: &Map<String, Value>,
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Result<(), Fault> {
    gate(account, false)?;
    let Some(old) = account.record(&object.name, id).cloned() else {
        return Err(Fault::not_found());
    };
    if old.read_only {
        let message = "insufficient access rights on object id";
        return Err(
            Fault::with_fields("INSUFFICIENT_ACCESS_OR_READONLY", message, &[])
                .status(403)
                .id(id),
        );
    }
    let values = check::names(account, object, record, Mode::Update).map_err(|f| f.id(id))?;
    locked(object, id, &values, cx)?;
    if old.fields.get("IsConverted") == Some(&Value::Bool(true)) {
        let message = "cannot reference converted lead";
        return Err(Fault::with_fields("CANNOT_UPDATE_CONVERTED_LEAD", message, &[]).id(id));
    }
    let mut changed = old;
    let checked = check::required(object, &values, Mode::Update)
        .and_then(|()| check::values(account, object, &values))
        .and_then(|()| check::triggers(account, object, Mode::Update));
    checked.map_err(|f| f.id(id))?;
    for (name, value) in &values {
        if value.is_null() {
            changed.fields.shift_remove(name);
        } else {
            changed.fields.insert(name.clone(), value.clone());
        }
    }
    computed(object, &mut changed.fields);
    let checked = check::rules(account, object, &changed.fields)
        .and_then(|()| {
            duplicates::check(
                account,
                object,
                &changed.fields,
                Some(id),
                call.duplicates,
                call.version,
            )
        })
        .and_then(|()| check::unique(account, object, &values, Some(id)));
    checked.map_err(|f| f.id(id))?;
    changed.modified_ms = cx.now_ms;
    account.put_record(&object.name, changed);
    cx.changed(ChangeKind::Updated, &object.name, id, values);
    Ok(())
}

/// Deletes a record, unless others forbid it.
pub(super) fn delete(
    account: &mut Account,
    object: &Object,
    id: &str,
    cx: &mut Context<'_>,
) -> Result<(), Fault> {
    gate(account, false)?;
    locked(object, id, &Map::new(), cx)?;
    let Some(old) = account.record(&object.name, id).cloned() else {
        return Err(Fault::not_found());
    };
    if old.read_only {
        let message = "insufficient access rights on object id";
        return Err(
            Fault::with_fields("INSUFFICIENT_ACCESS_OR_READONLY", message, &[])
                .status(403)
                .id(id),
        );
    }
    if object.name == "Account" && has_closed_opportunities(account, id) {
        let name = old.fields.get("Name").and_then(Value::as_str).unwrap_or(id);
        let message = format!(
            "Your attempt to delete {name} could not be completed because it is associated with the following \
             entitled cases or closed opportunities."
        );
        return Err(Fault::with_fields("DELETE_FAILED", message, &[]).id(id));
    }
    account.put_record(
        &object.name,
        Record {
            deleted: true,
            modified_ms: cx.now_ms,
            ..old
        },
    );
    cx.changed(ChangeKind::Archived, &object.name, id, Map::new());
    Ok(())
}

fn has_closed_opportunities(account: &Account, id: &str) -> bool {
    let records = account.table("Opportunity").map(|t| &t.records);
    records.into_iter().flat_map(|r| r.values()).any(|r| {
        !r.deleted
            && r.fields
                .get("AccountId")
                .and_then(Value::as_str)
                .is_some_and(|a| ids::canonical(a) == id)
            && r.fields.get("IsClosed") == Some(&Value::Bool(true))
    })
}

/// What an upsert did.
#[derive(Debug)]
pub(super) struct Upserted {
    pub id: String,
    pub created: bool,
}

/// Makes the record that holds this external id, or changes it. More than one holder is status 300.
pub(super) fn upsert(
    account: &mut Account,
    object: &Object,
    field: &str,
    value: &Value,
    record: &Map<String, Value>,
    call: &Call<'_>,
    cx: &mut Context<'_>,
) -> Result<Upserted, Fault> {
    let Some(by) = object.field(field).filter(|f| f.external_id) else {
        return Err(no_external_id(field));
    };
    let holders: Vec<String> = account
        .table(&object.name)
        .map(|t| {
            t.holders(&by.name, value)
                .into_iter()
                .map(|r| r.id.clone())
                .collect()
        })
        .unwrap_or_default();
    match holders.as_slice() {
        [] => {
            if cx.mods.upsert_race() {
                // The other client's insert lands between our look and our insert.
                let mut theirs = record.clone();
                theirs.insert(by.name.clone(), value.clone());
                create(account, object, &theirs, call, cx)?;
            }
            let mut ours = record.clone();
            ours.insert(by.name.clone(), value.clone());
            let id = create(account, object, &ours, call, cx)?;
            Ok(Upserted { id, created: true })
        }
        [id] => {
            update(account, object, id, record, call, cx)?;
            Ok(Upserted {
                id: id.clone(),
                created: false,
            })
        }
        several => {
            let urls = several
                .iter()
                .map(|id| format!("/services/data/{}/sobjects/{}/{id}", call.version, object.name));
            let mut fault = Fault::new(
                300,
                "MULTIPLE_CHOICES",
                "the external id is held by several records",
            );
            fault.duplicates = Some(Box::new(urls.map(Value::String).collect()));
            Err(fault)
        }
    }
}

/// The request's header for duplicate rules, for callers outside.
pub(super) type Duplicates = DuplicateHeader;
