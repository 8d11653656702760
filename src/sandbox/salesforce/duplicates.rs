//! Duplicate rules and the header that lets a duplicate through.

use serde_json::{Map, Value, json};

use super::account::{Account, Record, key};
use super::errors::Fault;
use super::schema::Object;
use crate::sandbox::message::Request;

/// What `Sforce-Duplicate-Rule-Header` asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DuplicateHeader {
    pub allow_save: bool,
    pub details: bool,
}

impl DuplicateHeader {
    /// `allowSave=true; includeRecordDetails=true; runAsCurrentUser=true`.
    pub fn read(request: &Request) -> Self {
        let text = request
            .header("sforce-duplicate-rule-header")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let on = |name: &str| {
            text.split(';')
                .filter_map(|p| p.trim().split_once('='))
                .any(|(k, v)| k.trim() == name && v.trim() == "true")
        };
        Self {
            allow_save: on("allowsave"),
            details: on("includerecorddetails"),
        }
    }
}

/// Refuses a record that a duplicate rule finds a match for.
pub(super) fn check(
    account: &Account,
    object: &Object,
    whole: &Map<String, Value>,
    own: Option<&str>,
    header: DuplicateHeader,
    version: &str,
) -> Result<(), Fault> {
    for rule in account
        .settings
        .duplicate_rules
        .iter()
        .filter(|r| r.object.eq_ignore_ascii_case(&object.name))
    {
        if header.allow_save && !rule.block {
            continue;
        }
        let agrees = |record: &&Record| {
            !record.deleted
                && Some(record.id.as_str()) != own
                && rule
                    .match_on
                    .iter()
                    .all(|name| match (whole.get(name), record.fields.get(name)) {
                        (Some(a), Some(b)) => !a.is_null() && key(a) == key(b),
                        _ => false,
                    })
        };
        let records = account.table(&object.name).map(|t| &t.records);
        let found: Vec<&Record> = records
            .into_iter()
            .flat_map(|r| r.values())
            .filter(agrees)
            .collect();
        if found.is_empty() {
            continue;
        }
        let matches: Vec<Value> = found
            .iter()
            .map(|r| matched(object, r, &rule.match_on, header, version))
            .collect();
        let result = json!({
            "allowSave": !rule.block,
            "duplicateRule": rule.name,
            "duplicateRuleEntityType": object.name,
            "errorMessage": rule.message,
            "matchResults": [{
                "entityType": object.name,
                "errors": [],
                "matchEngine": "FuzzyMatchEngine",
                "matchRecords": matches,
                "rule": rule.match_rule,
                "size": found.len(),
                "success": true,
            }],
        });
        let mut fault = Fault::new(400, "DUPLICATES_DETECTED", &rule.message);
        fault.duplicates = Some(Box::new(result));
        return Err(fault);
    }
    Ok(())
}

fn matched(
    object: &Object,
    record: &Record,
    match_on: &[String],
    header: DuplicateHeader,
    version: &str,
) -> Value {
    let mut shown = Map::new();
    shown.insert("attributes".to_owned(), attributes(object, &record.id, version));
    shown.insert("Id".to_owned(), json!(record.id));
    if header.details {
        for name in std::iter::once("Name").chain(match_on.iter().map(String::as_str)) {
            if let Some(value) = record.fields.get(name) {
                shown.insert(name.to_owned(), value.clone());
            }
        }
    }
    json!({"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": shown})
}

/// `{"type": …, "url": …}` of a record.
pub(super) fn attributes(object: &Object, id: &str, version: &str) -> Value {
    json!({"type": object.name, "url": format!("/services/data/{version}/sobjects/{}/{id}", object.name)})
}
