//! A write request as the app sends it: read, checked and kept as received.

mod body;
mod parse;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::set::Shape;
use crate::action::Action;
use crate::json::Fault;
use crate::store::OPEN_BATCH;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The path of the field, such as `retryPolicy.deadlineHours`; empty for the body as a whole.
    pub name: String,
    /// What is wrong and what to do.
    pub detail: String,
}

impl Invalid {
    /// One problem.
    pub fn new(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            detail: detail.into(),
        }
    }
}

impl From<Fault> for Invalid {
    fn from(fault: Fault) -> Self {
        Self::new(fault.path, fault.detail)
    }
}

/// What is wrong with a reference or a name that an app gives, each rule in words of its own. `most` is in bytes.
#[must_use]
pub fn text_fault(text: &str, most: usize) -> Option<String> {
    if text.is_empty() {
        Some("is empty; give it a text or leave it out".to_owned())
    } else if text.contains('\0') {
        Some("holds a NUL character".to_owned())
    } else if text.len() > most {
        Some(format!("is longer than {most} bytes"))
    } else {
        None
    }
}

pub use crate::store::Mode;

/// What to do with a create whose outcome is unknown and cannot be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// A person decides.
    #[default]
    Review,
    /// It is sent again; the app accepts that it may be doubled.
    Retry,
}

/// What happens to later writes of a record when an asynchronous one to it has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// They run.
    #[default]
    Continue,
    /// They wait until somebody has dealt with it.
    Hold,
}

impl OnFailure {
    /// Whether later writes wait.
    #[must_use]
    pub const fn holds(self) -> bool {
        matches!(self, Self::Hold)
    }

    const fn is_default(&self) -> bool {
        !self.holds()
    }
}

/// The part of a request that is stored with the operation: what the provider will get is made from it. It holds either a
/// record or a batch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredRequest {
    /// The records of a batch. The first field: see [`StoredRequest::shape_of`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batch: Vec<StoredItem>,
    /// The record of a single write, letter for letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
    /// One record of the batch that fails takes all others back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_or_none: bool,
    /// Links to other records, of a single write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<Value>,
    /// Headers to pass through, as name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// See [`OnUnknown`].
    #[serde(default)]
    pub on_unknown: OnUnknown,
    /// See [`OnFailure`].
    #[serde(default, skip_serializing_if = "OnFailure::is_default")]
    pub on_failure: OnFailure,
}

/// One record of a batch, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredItem {
    /// The record, letter for letter.
    pub record: Box<RawValue>,
    /// Links to other records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<Value>,
    /// The app's own name for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ref: Option<String>,
}

/// What is stored of one record beside its letters.
#[derive(Debug, Clone, Copy)]
pub struct ItemParts<'a> {
    /// Links to other records.
    pub associations: &'a [Value],
    /// The app's own name for a record of a batch. That of a single write stands with the operation.
    pub client_ref: Option<&'a str>,
}

impl StoredRequest {
    /// The shape of a stored text, told without reading it: it may be long.
    #[must_use]
    pub fn shape_of(text: &str) -> Shape {
        if text.starts_with("{\"batch\":") {
            Shape::Batch
        } else {
            Shape::Single
        }
    }

    /// How the app asked for it.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        match self.record {
            Some(_) => Shape::Single,
            None => Shape::Batch,
        }
    }

    /// What is stored of each record beside its letters, in the order of the request.
    pub fn items(&self) -> impl Iterator<Item = ItemParts<'_>> {
        let single = self.record.iter().map(|_| ItemParts {
            associations: &self.associations,
            client_ref: None,
        });
        single.chain(self.batch.iter().map(|item| ItemParts {
            associations: &item.associations,
            client_ref: item.client_ref.as_deref(),
        }))
    }

    /// Whether any record of it has links to others.
    #[must_use]
    pub fn has_associations(&self) -> bool {
        self.items().any(|item| !item.associations.is_empty())
    }

    /// What is stored of an operation in which this record is gathered with others: all but the records.
    #[must_use]
    pub fn open_batch(&self) -> String {
        let common = Self {
            batch: Vec::new(),
            record: None,
            all_or_none: false,
            associations: Vec::new(),
            headers: self.headers.clone(),
            on_unknown: self.on_unknown,
            on_failure: OnFailure::Continue,
        };
        // Made of strings alone: it cannot fail.
        let text = serde_json::to_string(&common).expect("a stored request is JSON");
        // Its first field: a batch is told by it also while it is empty.
        format!("{OPEN_BATCH},{}", text.strip_prefix('{').unwrap_or_default())
    }

    /// The record of a single write as a batch keeps it.
    #[must_use]
    pub fn as_item(&self, client_ref: Option<&str>) -> Option<String> {
        let item = StoredItem {
            record: self.record.clone()?,
            associations: self.associations.clone(),
            client_ref: client_ref.map(str::to_owned),
        };
        // Made of strings and of JSON that was parsed before: it cannot fail.
        Some(serde_json::to_string(&item).expect("a stored item is JSON"))
    }
}

/// A checked write request.
#[derive(Debug)]
pub struct WriteRequest {
    /// The customer.
    pub group_ref: String,
    /// What to do.
    pub action: Action,
    /// Who waits.
    pub mode: Mode,
    /// The app's own name for the record.
    pub client_ref: Option<String>,
    /// How long an asynchronous write may be retried.
    pub deadline: Duration,
    /// Set for a write that waits for others like it, to share an operation with them: how long.
    pub gather: Option<Duration>,
    /// Reject what would otherwise be dropped.
    pub strict: bool,
    /// What is stored.
    pub stored: StoredRequest,
    /// The record, or the records of a batch in its order.
    pub records: Vec<Map<String, Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(body: &str) -> Vec<String> {
        match WriteRequest::parse(body.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.name).collect(),
        }
    }

    #[test]
    fn a_plain_create_is_read_and_kept_letter_for_letter() {
        let body = r#"{"groupRef":"g","type":"create","record":{"b": 0.10, "a":12345678901234567890}}"#;
        let request = WriteRequest::parse(body.as_bytes()).expect("valid");
        assert_eq!(request.mode, Mode::Synchronous);
        assert_eq!(
            request.stored.record.as_ref().expect("a record").get(),
            r#"{"b": 0.10, "a":12345678901234567890}"#
        );
        let [record] = request.records.as_slice() else {
            panic!("one record")
        };
        assert_eq!(
            serde_json::to_string(record).expect("json"),
            r#"{"b":0.10,"a":12345678901234567890}"#
        );
    }

    #[test]
    fn each_rule_names_its_field() {
        for (body, name) in [
            (r#"{"type":"create","record":{}}"#, "groupRef"),
            (r#"{"groupRef":"g","record":{}}"#, "type"),
            (r#"{"groupRef":"g","type":"destroy","record":{}}"#, "type"),
            (
                r#"{"groupRef":"g","type":"create","mode":"later","record":{}}"#,
                "mode",
            ),
            (r#"{"groupRef":"g","type":"create"}"#, "record"),
            (
                r#"{"groupRef":"g","type":"create","record":{},"batch":[{"record":{}}]}"#,
                "batch",
            ),
            (r#"{"groupRef":"g","type":"create","batch":[]}"#, "batch"),
            (
                r#"{"groupRef":"g","type":"delete","batch":[{"record":{}}]}"#,
                "batch",
            ),
            (
                r#"{"groupRef":"g","type":"create","record":{},"retryPolicy":{"deadlineHours":0}}"#,
                "retryPolicy.deadlineHours",
            ),
            (
                r#"{"groupRef":"g","type":"create","record":{},"retryPolicy":{"deadlineHours":49}}"#,
                "retryPolicy.deadlineHours",
            ),
            (
                r#"{"groupRef":"g","type":"create","record":{},"autoBatchPolicy":{"maxDelayMinutes":5}}"#,
                "autoBatchPolicy",
            ),
            (
                r#"{"groupRef":"g","type":"create","mode":"asynchronous","record":{},"autoBatchPolicy":{}}"#,
                "autoBatchPolicy.maxDelayMinutes",
            ),
            (r#"{"groupRef":"g","type":"create","record":[]}"#, "record"),
            (
                r#"{"groupRef":"g","type":"create","record":{"a":1,"a":2}}"#,
                "record.a",
            ),
            (r#"{"groupRef":7,"type":"create","record":{}}"#, "groupRef"),
            (
                r#"{"groupRef":"g","type":"create","record":{},"retryPolicy":{"deadlineHours":"x"}}"#,
                "retryPolicy.deadlineHours",
            ),
            (
                r#"{"groupRef":"g","type":"create","record":{},"headers":[{"key":"a"}]}"#,
                "headers[0]",
            ),
            (
                r#"{"groupRef":"g","type":"create","record":{},"clientRef":""}"#,
                "clientRef",
            ),
            (
                r#"{"groupRef":"g","type":"update","mode":"asynchronous","record":{"id":"1"},"onFailure":"stop"}"#,
                "onFailure",
            ),
            (
                r#"{"groupRef":"g","type":"update","record":{"id":"1"},"onFailure":"hold"}"#,
                "onFailure",
            ),
            (
                r#"{"groupRef":"g","type":"delete","mode":"asynchronous","record":{"id":"1"},"onFailure":"hold"}"#,
                "onFailure",
            ),
            (
                r#"{"groupRef":"g","type":"create","mode":"asynchronous","record":{},"onFailure":"hold"}"#,
                "onFailure",
            ),
            (
                r#"{"groupRef":"g","type":"update","mode":"asynchronous","batch":[{"record":{}}],"onFailure":"hold"}"#,
                "onFailure",
            ),
            (
                r#"{"groupRef":"g","type":"update","mode":"asynchronous","record":{"id":"1"},"autoBatchPolicy":{"maxDelayMinutes":1},"onFailure":"hold"}"#,
                "onFailure",
            ),
            ("[]", ""),
            ("{", ""),
            ("", ""),
            (r#"{"groupRef":"g","type":"create","record":{}} x"#, ""),
        ] {
            assert!(
                names(body).iter().any(|found| found == name),
                "{body}: {:?}",
                names(body)
            );
        }
    }

    #[test]
    fn unknown_fields_and_empty_associations_are_ignored_and_null_means_absent() {
        let body =
            r#"{"groupRef":"g","type":"create","record":{},"batch":null,"associations":[{}],"x":{"y":[1]}}"#;
        let request = WriteRequest::parse(body.as_bytes()).expect("valid");
        assert!(request.stored.associations.is_empty());
    }

    #[test]
    fn what_fails_may_hold_what_comes_later_and_only_that_is_stored() {
        for (body, holds) in [
            (
                r#"{"groupRef":"g","type":"update","mode":"asynchronous","record":{"id":"1"},"onFailure":"hold"}"#,
                true,
            ),
            (
                r#"{"groupRef":"g","type":"create","mode":"asynchronous","record":{},"clientRef":"a","onFailure":"hold"}"#,
                true,
            ),
            (
                r#"{"groupRef":"g","type":"create","record":{},"onFailure":"continue"}"#,
                false,
            ),
            (
                r#"{"groupRef":"g","type":"create","record":{},"onFailure":null}"#,
                false,
            ),
        ] {
            let request = WriteRequest::parse(body.as_bytes()).expect("valid");
            assert_eq!(request.stored.on_failure.holds(), holds, "{body}");
            let stored = serde_json::to_string(&request.stored).expect("JSON");
            assert_eq!(stored.contains(r#""onFailure":"hold""#), holds, "{stored}");
            assert_eq!(stored.contains("onFailure"), holds, "{stored}");
        }
    }

    #[test]
    fn an_open_batch_is_told_from_a_single_write_and_keeps_what_its_records_share() {
        let body = r#"{"groupRef":"g","type":"create","mode":"asynchronous","autoBatchPolicy":{"maxDelayMinutes":5},
            "headers":[{"key":"A","value":"1"}],"onUnknown":"retry","record":{"b": 0.10}}"#;
        let request = WriteRequest::parse(body.as_bytes()).expect("valid");
        assert_eq!(request.gather, Some(Duration::from_secs(300)));
        let open = request.stored.open_batch();
        assert_eq!(StoredRequest::shape_of(&open), Shape::Batch);
        let single = serde_json::to_string(&request.stored).expect("json");
        assert_eq!(StoredRequest::shape_of(&single), Shape::Single);
        let read: StoredRequest = serde_json::from_str(&open).expect("json");
        assert!(read.batch.is_empty() && read.record.is_none());
        assert_eq!(read.headers, request.stored.headers);
        assert_eq!(read.on_unknown, OnUnknown::Retry);
        let item = request.stored.as_item(Some("n")).expect("a record");
        assert_eq!(item, r#"{"record":{"b": 0.10},"clientRef":"n"}"#);
    }

    #[test]
    fn a_delete_ignores_its_mode() {
        let body = r#"{"groupRef":"g","type":"delete","mode":"asynchronous","record":{"id":"1"}}"#;
        assert_eq!(
            WriteRequest::parse(body.as_bytes()).expect("valid").mode,
            Mode::Synchronous
        );
    }

    #[test]
    fn values_are_not_repeated_in_errors() {
        let body = r#"{"groupRef":{"secret":"s3cr3t"},"type":"create","record":{}}"#;
        let problems = WriteRequest::parse(body.as_bytes()).expect_err("wrong type");
        assert!(!format!("{problems:?}").contains("s3cr3t"));
    }
}
