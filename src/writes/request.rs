//! A write request as the app sends it: read, checked and kept as received.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::record::read_record;
use super::set::Shape;
use crate::action::Action;
use crate::json::{Fault, Object, checked};
use crate::store::OPEN_BATCH;

/// The records that one batch may hold.
const MAX_BATCH: usize = 100;
/// Deadlines that may be asked for, in hours.
const DEADLINE_HOURS: std::ops::RangeInclusive<i64> = 1..=48;
/// Delays of an auto-batch that may be asked for, in minutes.
const BATCH_DELAY_MINUTES: std::ops::RangeInclusive<i64> = 1..=1440;
/// Headers that one write may pass on.
const MAX_HEADERS: usize = 50;
/// The longest reference of a group, in bytes.
const MAX_REF_BYTES: usize = 512;

/// The longest name that an app may give a record, in bytes.
const MAX_CLIENT_REF_BYTES: usize = 255;

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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    group_ref: Option<String>,
    r#type: Option<String>,
    mode: Option<String>,
    record: Option<Box<RawValue>>,
    batch: Option<Vec<Object<BatchItem>>>,
    associations: Option<Vec<Map<String, Value>>>,
    headers: Option<Vec<Object<Header>>>,
    batch_policy: Option<Object<BatchPolicy>>,
    retry_policy: Option<Object<RetryPolicy>>,
    auto_batch_policy: Option<Object<AutoBatchPolicy>>,
    strict: Option<bool>,
    on_unknown: Option<String>,
    on_failure: Option<String>,
    client_ref: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchItem {
    record: Option<Box<RawValue>>,
    associations: Option<Vec<Map<String, Value>>>,
    client_ref: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    key: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchPolicy {
    /// Means nothing for a single record.
    all_or_none: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetryPolicy {
    deadline_hours: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AutoBatchPolicy {
    max_delay_minutes: Option<i64>,
    retry_deadline_hours: Option<i64>,
}

impl WriteRequest {
    /// Reads and checks a body: everything that can be said without knowing the integration.
    ///
    /// # Errors
    /// All problems found, each with the path of its field.
    pub fn parse(body: &[u8]) -> Result<Self, Vec<Invalid>> {
        let body = checked(body)
            .map_err(|faults| faults.into_iter().map(Invalid::from).collect::<Vec<_>>())
            .and_then(read_body)?;
        let mut problems = Vec::new();

        let group_ref = body.group_ref.unwrap_or_default();
        if group_ref.is_empty() {
            problems.push(Invalid::new(
                "groupRef",
                "is required: the reference of the customer's group",
            ));
        } else if let Some(fault) = text_fault(&group_ref, MAX_REF_BYTES) {
            problems.push(Invalid::new("groupRef", fault));
        }
        problems.extend(check_client_ref("clientRef", body.client_ref.as_deref()));
        let action = match body.r#type.as_deref() {
            Some("create") => Some(Action::Create),
            Some("update") => Some(Action::Update),
            Some("delete") => Some(Action::Delete),
            Some(other) => {
                problems.push(Invalid::new(
                    "type",
                    format!("is `{}`; it must be create, update or delete", shorten(other)),
                ));
                None
            }
            None => {
                problems.push(Invalid::new("type", "is required: create, update or delete"));
                None
            }
        };
        let mode = match body.mode.as_deref() {
            // A delete is always performed while the app waits.
            _ if action == Some(Action::Delete) => Mode::Synchronous,
            None | Some("synchronous") => Mode::Synchronous,
            Some("asynchronous") => Mode::Asynchronous,
            Some(other) => {
                let detail = format!("is `{}`; it must be synchronous or asynchronous", shorten(other));
                problems.push(Invalid::new("mode", detail));
                Mode::Synchronous
            }
        };
        match (&body.record, &body.batch) {
            (Some(_), Some(_)) => {
                problems.push(Invalid::new("batch", "stands beside record: send one of the two"))
            }
            (None, None) => problems.push(Invalid::new(
                "record",
                "is required: send record, or batch for several",
            )),
            _ => {}
        }
        if let Some(batch) = &body.batch {
            problems.extend(check_batch(batch, action, body.auto_batch_policy.is_some()));
        }
        let mut hours = body.retry_policy.and_then(|policy| policy.0.deadline_hours);
        if hours.is_some_and(|hours| !DEADLINE_HOURS.contains(&hours)) {
            problems.push(Invalid::new("retryPolicy.deadlineHours", "must be from 1 to 48"));
        }
        let mut gather = None;
        if let Some(Object(policy)) = &body.auto_batch_policy {
            if mode != Mode::Asynchronous {
                problems.push(Invalid::new("autoBatchPolicy", "needs mode asynchronous"));
            }
            match policy.max_delay_minutes {
                None => problems.push(Invalid::new(
                    "autoBatchPolicy.maxDelayMinutes",
                    "is required: 1 to 1440",
                )),
                Some(minutes) if !BATCH_DELAY_MINUTES.contains(&minutes) => {
                    problems.push(Invalid::new(
                        "autoBatchPolicy.maxDelayMinutes",
                        "must be from 1 to 1440",
                    ));
                }
                Some(minutes) => gather = Some(Duration::from_secs(60 * minutes.unsigned_abs())),
            }
            if policy
                .retry_deadline_hours
                .is_some_and(|hours| !DEADLINE_HOURS.contains(&hours))
            {
                problems.push(Invalid::new(
                    "autoBatchPolicy.retryDeadlineHours",
                    "must be from 1 to 48",
                ));
            }
            // With an auto-batch its own deadline counts and retryPolicy is ignored.
            hours = policy.retry_deadline_hours;
        }
        let on_unknown = match body.on_unknown.as_deref() {
            None | Some("review") => OnUnknown::Review,
            Some("retry") => OnUnknown::Retry,
            Some(other) => {
                problems.push(Invalid::new(
                    "onUnknown",
                    format!("is `{}`; it must be review or retry", shorten(other)),
                ));
                OnUnknown::Review
            }
        };
        let has_name = action != Some(Action::Create) || body.client_ref.is_some();
        let on_failure = match body.on_failure.as_deref() {
            None | Some("continue") => OnFailure::Continue,
            Some("hold") => {
                problems.extend(check_hold(mode, body.batch.is_some(), has_name));
                if body.auto_batch_policy.is_some() {
                    let detail =
                        "is hold beside autoBatchPolicy: a record of a batch cannot hold what comes later";
                    problems.push(Invalid::new("onFailure", detail));
                }
                OnFailure::Hold
            }
            Some(other) => {
                let detail = format!("is `{}`; it must be continue or hold", shorten(other));
                problems.push(Invalid::new("onFailure", detail));
                OnFailure::Continue
            }
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        let given = body.headers.unwrap_or_default();
        if given.len() > MAX_HEADERS {
            problems.push(Invalid::new(
                "headers",
                format!(
                    "holds {} headers; at most {MAX_HEADERS} can be passed on",
                    given.len()
                ),
            ));
        }
        for (index, Object(header)) in given.into_iter().enumerate() {
            match (header.key, header.value) {
                (Some(key), Some(_)) if headers.iter().any(|(known, _)| key.eq_ignore_ascii_case(known)) => {
                    let detail = format!("names the header `{}` again; send it once", shorten(&key));
                    problems.push(Invalid::new(format!("headers[{index}].key"), detail));
                }
                (Some(key), Some(value)) if !key.is_empty() => headers.push((key, value)),
                _ => problems.push(Invalid::new(
                    format!("headers[{index}]"),
                    "needs a key and a value",
                )),
            }
        }
        let associations = links(body.associations);
        if body.batch.is_some() && !associations.is_empty() {
            let detail = "stands beside batch: give each item of the batch its own associations";
            problems.push(Invalid::new("associations", detail));
        }
        let mut record = None;
        let mut batch = Vec::new();
        let mut parsed = Vec::new();
        if let Some(raw) = body.record {
            match read_record(&raw) {
                Ok(map) => parsed.push(map),
                Err(problem) => problems.push(problem),
            }
            record = Some(raw);
        }
        let is_batch = body.batch.is_some();
        for (index, Object(item)) in body.batch.into_iter().flatten().enumerate() {
            match read_item(index, item) {
                Ok((item, map)) => {
                    parsed.push(map);
                    batch.push(item);
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            problems.extend(names_twice(&batch));
        }
        match action {
            Some(action) if problems.is_empty() => Ok(Self {
                group_ref,
                action,
                mode,
                client_ref: body.client_ref,
                deadline: Duration::from_secs(3600 * hours.unwrap_or(1).unsigned_abs()),
                gather,
                strict: body.strict.unwrap_or(false),
                stored: StoredRequest {
                    all_or_none: is_batch
                        && body
                            .batch_policy
                            .and_then(|policy| policy.0.all_or_none)
                            .unwrap_or(false),
                    batch,
                    record,
                    associations,
                    headers,
                    on_unknown,
                    on_failure,
                },
                records: parsed,
            }),
            _ => Err(problems),
        }
    }
}

/// To hold later writes makes sense only where some can wait behind this one.
fn check_hold(mode: Mode, is_batch: bool, has_name: bool) -> Option<Invalid> {
    let detail = if mode == Mode::Synchronous {
        "is `hold`, but nothing waits behind a synchronous write (a delete always is one): send mode asynchronous, or continue"
    } else if is_batch {
        "is `hold`, which is about one record: send record instead of batch, or continue"
    } else if !has_name {
        "is `hold`, but nothing can wait behind a create without a name: send a clientRef, or continue"
    } else {
        return None;
    };
    Some(Invalid::new("onFailure", detail))
}

fn check_batch(batch: &[Object<BatchItem>], action: Option<Action>, auto_batch: bool) -> Vec<Invalid> {
    let mut problems = Vec::new();
    if action == Some(Action::Delete) {
        problems.push(Invalid::new(
            "batch",
            "cannot be deleted: send one delete for each record",
        ));
    }
    if auto_batch {
        problems.push(Invalid::new(
            "autoBatchPolicy",
            "collects single records: send record instead of batch",
        ));
    }
    if batch.is_empty() || batch.len() > MAX_BATCH {
        let detail = format!("holds {} records; it must hold 1 to {MAX_BATCH}", batch.len());
        problems.push(Invalid::new("batch", detail));
    }
    problems
}

fn check_client_ref(path: &str, name: Option<&str>) -> Option<Invalid> {
    text_fault(name?, MAX_CLIENT_REF_BYTES).map(|fault| Invalid::new(path, fault))
}

/// Associations. An SDK sends `[{}]` for "none"; it is accepted and means nothing.
fn links(given: Option<Vec<Map<String, Value>>>) -> Vec<Value> {
    given
        .unwrap_or_default()
        .into_iter()
        .filter(|association| !association.is_empty())
        .map(Value::Object)
        .collect()
}

/// Reads one item of a batch; problems name their place in it.
fn read_item(index: usize, item: BatchItem) -> Result<(StoredItem, Map<String, Value>), Vec<Invalid>> {
    let place = format!("batch[{index}]");
    let mut problems = Vec::new();
    problems.extend(check_client_ref(
        &format!("{place}.clientRef"),
        item.client_ref.as_deref(),
    ));
    let read = match &item.record {
        Some(raw) => read_record(raw).map_err(|problem| Invalid {
            name: format!("{place}.{}", problem.name),
            ..problem
        }),
        None => Err(Invalid::new(format!("{place}.record"), "is required")),
    };
    match (read, item.record) {
        (Ok(map), Some(record)) if problems.is_empty() => {
            let item = StoredItem {
                record,
                associations: links(item.associations),
                client_ref: item.client_ref,
            };
            Ok((item, map))
        }
        (read, _) => {
            problems.extend(read.err());
            Err(problems)
        }
    }
}

/// Two records of one batch must not have the same name.
fn names_twice(batch: &[StoredItem]) -> Vec<Invalid> {
    let mut seen = std::collections::HashMap::new();
    let mut problems = Vec::new();
    for (index, item) in batch.iter().enumerate() {
        let Some(name) = item.client_ref.as_deref() else {
            continue;
        };
        if let Some(first) = seen.insert(name, index) {
            let detail = format!("is also the name of batch[{first}]; give each record its own");
            problems.push(Invalid::new(format!("batch[{index}].clientRef"), detail));
        }
    }
    problems
}

/// Reads JSON; an error names the path of the field and never repeats a value.
fn read_body(body: &[u8]) -> Result<Body, Vec<Invalid>> {
    // Paths cost time and are for errors alone.
    if let Ok(Object(body)) = serde_json::from_slice(body) {
        return Ok(body);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read: Result<Object<Body>, _> = serde_path_to_error::deserialize(&mut deserializer);
    let broken = |error: &serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        vec![Invalid::new("", format!("the body is not valid JSON at {place}"))]
    };
    match read {
        Ok(Object(body)) => match deserializer.end() {
            Ok(()) => Ok(body),
            Err(error) => Err(broken(&error)),
        },
        Err(error) if error.inner().classify() == serde_json::error::Category::Data => {
            let path = error.path().to_string();
            let name = if path == "." { String::new() } else { path };
            Err(vec![Invalid::new(name, type_problem(error.inner()))])
        }
        Err(error) => Err(broken(error.inner())),
    }
}

/// The expected type out of serde's message, without the value that was sent.
fn type_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match (text.split_once("expected "), text.strip_prefix("missing field ")) {
        (Some((_, expected)), _) => format!("has the wrong type: expected {expected}"),
        (None, Some(field)) => format!("lacks the field {field}"),
        _ if text.starts_with("duplicate field") => "appears twice; send it once".to_owned(),
        _ => "has the wrong type".to_owned(),
    }
}

/// What the app sent, short enough for a message.
fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
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
