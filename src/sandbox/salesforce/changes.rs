//! `/sobjects/{X}/updated` and `/sobjects/{X}/deleted`: which records changed between two times.

use serde_json::{Value, json};

use super::account::{Account, Record};
use super::errors::{Fault, JSON};
use super::{Context, Outcome, asked, object_of};
use crate::sandbox::clock;
use crate::sandbox::message::{Reply, Request};

/// How far back it can be asked, in milliseconds: 30 days (Salesforce's REST guide, "Get Updated").
const MAX_AGE_MS: i64 = 30 * 86_400_000;

/// The records changed (or deleted) from `start` to before `end`.
pub(super) fn changes(
    account: &Account,
    request: &Request,
    name: &str,
    deleted: bool,
    cx: &Context<'_>,
) -> Outcome {
    asked::parameters(request, &["start", "end"])?;
    let object = object_of(account, name)?;
    let (start, end) = (time(request, "start")?, time(request, "end")?);
    if end <= start {
        return Err(invalid("end date must be after start date"));
    }
    if cx.now_ms - start > MAX_AGE_MS {
        return Err(invalid("startDate cannot be more than 30 days ago"));
    }
    let fits = |r: &&Record| r.deleted == deleted && (start..end).contains(&r.modified_ms);
    let records = account.table(&object.name).map(|t| &t.records);
    let found = records.into_iter().flat_map(|r| r.values()).filter(fits);
    let covered = clock::salesforce_time(end.min(cx.now_ms));
    let body = if deleted {
        let shown = |r: &Record| json!({"id": r.id, "deletedDate": clock::salesforce_time(r.modified_ms)});
        json!({
            "deletedRecords": found.map(shown).collect::<Vec<Value>>(),
            "earliestDateAvailable": clock::salesforce_time(start),
            "latestDateCovered": covered,
        })
    } else {
        json!({"ids": found.map(|r| json!(r.id)).collect::<Vec<Value>>(), "latestDateCovered": covered})
    };
    Ok(Reply::json(200, JSON, &body))
}

fn invalid(what: impl Into<String>) -> Fault {
    Fault::new(400, "INVALID_REPLICATION_DATE", what)
}

/// A time with a zone; a `+` that came undecoded is a blank by now.
fn time(request: &Request, name: &str) -> Result<i64, Fault> {
    let Some(text) = request.query(name) else {
        return Err(Fault::new(400, "MISSING_ARGUMENT", format!("{name} is missing")));
    };
    clock::parse_iso(&text.replace(' ', "+"))
        .ok_or_else(|| invalid(format!("{name} is no time with a zone: {text}")))
}
