//! Reading and checking the body of a write: everything that can be said without knowing the integration.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::body::{AutoBatchPolicy, BatchItem, Body, Header, RetryPolicy, read_body};
use super::{Invalid, Mode, OnFailure, OnUnknown, StoredItem, StoredRequest, WriteRequest, text_fault};
use crate::action::Action;
use crate::json::{Object, checked};
use crate::writes::record::read_record;

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

/// What is wrong so far.
#[derive(Default)]
struct Problems(Vec<Invalid>);

impl Problems {
    fn add(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Invalid::new(name, detail));
    }

    /// `None`, and a problem: the field holds no word that is known.
    fn unknown<T>(&mut self, name: &str, word: &str, known: &str) -> Option<T> {
        self.add(name, format!("is `{}`; it must be {known}", shorten(word)));
        None
    }
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
        let mut problems = Problems::default();
        let group_ref = group_ref(body.group_ref.as_deref(), &mut problems);
        let named = check_client_ref("clientRef", body.client_ref.as_deref());
        problems.0.extend(named);
        let action = action(body.r#type.as_deref(), &mut problems);
        let mode = mode(body.mode.as_deref(), action, &mut problems);
        check_shape(&body, action, &mut problems);
        let hours = deadline_hours(body.retry_policy.as_ref(), &mut problems);
        let (hours, gather) = match &body.auto_batch_policy {
            // With an auto-batch its own deadline counts and retryPolicy is ignored.
            Some(Object(policy)) => gathering(policy, mode, &mut problems),
            None => (hours, None),
        };
        let on_unknown = on_unknown(body.on_unknown.as_deref(), &mut problems);
        let on_failure = on_failure(&body, action, mode, &mut problems);
        let headers = headers(body.headers, &mut problems);
        let associations = links(body.associations);
        let is_batch = body.batch.is_some();
        if is_batch && !associations.is_empty() {
            let detail = "stands beside batch: give each item of the batch its own associations";
            problems.add("associations", detail);
        }
        let (batch, records) = read_records(body.record.as_deref(), body.batch, &mut problems);
        let asked_all_or_none = body.batch_policy.and_then(|policy| policy.0.all_or_none);
        match action {
            Some(action) if problems.0.is_empty() => Ok(Self {
                group_ref,
                action,
                mode,
                client_ref: body.client_ref,
                deadline: Duration::from_secs(3600 * hours.unwrap_or(1).unsigned_abs()),
                gather,
                strict: body.strict.unwrap_or(false),
                stored: StoredRequest {
                    all_or_none: is_batch && asked_all_or_none.unwrap_or(false),
                    batch,
                    record: body.record,
                    associations,
                    headers,
                    on_unknown,
                    on_failure,
                },
                records,
            }),
            _ => Err(problems.0),
        }
    }
}

fn group_ref(given: Option<&str>, problems: &mut Problems) -> String {
    match given.unwrap_or_default() {
        "" => problems.add("groupRef", "is required: the reference of the customer's group"),
        text => {
            if let Some(fault) = text_fault(text, MAX_REF_BYTES) {
                problems.add("groupRef", fault);
            }
        }
    }
    given.unwrap_or_default().to_owned()
}

fn action(given: Option<&str>, problems: &mut Problems) -> Option<Action> {
    let Some(word) = given else {
        problems.add("type", "is required: create, update or delete");
        return None;
    };
    Action::parse(word).or_else(|| problems.unknown("type", word, "create, update or delete"))
}

fn mode(given: Option<&str>, action: Option<Action>, problems: &mut Problems) -> Mode {
    match given {
        // A delete is always performed while the app waits.
        _ if action == Some(Action::Delete) => Mode::Synchronous,
        None | Some("synchronous") => Mode::Synchronous,
        Some("asynchronous") => Mode::Asynchronous,
        Some(other) => problems
            .unknown("mode", other, "synchronous or asynchronous")
            .unwrap_or(Mode::Synchronous),
    }
}

/// Either a record or a batch, and a batch that can be one.
fn check_shape(body: &Body, action: Option<Action>, problems: &mut Problems) {
    match (&body.record, &body.batch) {
        (Some(_), Some(_)) => problems.add("batch", "stands beside record: send one of the two"),
        (None, None) => problems.add("record", "is required: send record, or batch for several"),
        _ => {}
    }
    if let Some(batch) = &body.batch {
        let found = check_batch(batch, action, body.auto_batch_policy.is_some());
        problems.0.extend(found);
    }
}

fn deadline_hours(policy: Option<&Object<RetryPolicy>>, problems: &mut Problems) -> Option<i64> {
    let hours = policy.and_then(|policy| policy.0.deadline_hours);
    if hours.is_some_and(|hours| !DEADLINE_HOURS.contains(&hours)) {
        problems.add("retryPolicy.deadlineHours", "must be from 1 to 48");
    }
    hours
}

/// The deadline, in hours, and the longest wait of a write that shares an operation with others.
fn gathering(
    policy: &AutoBatchPolicy,
    mode: Mode,
    problems: &mut Problems,
) -> (Option<i64>, Option<Duration>) {
    if mode != Mode::Asynchronous {
        problems.add("autoBatchPolicy", "needs mode asynchronous");
    }
    let mut gather = None;
    match policy.max_delay_minutes {
        None => problems.add("autoBatchPolicy.maxDelayMinutes", "is required: 1 to 1440"),
        Some(minutes) if !BATCH_DELAY_MINUTES.contains(&minutes) => {
            problems.add("autoBatchPolicy.maxDelayMinutes", "must be from 1 to 1440");
        }
        Some(minutes) => gather = Some(Duration::from_secs(60 * minutes.unsigned_abs())),
    }
    let hours = policy.retry_deadline_hours;
    if hours.is_some_and(|hours| !DEADLINE_HOURS.contains(&hours)) {
        problems.add("autoBatchPolicy.retryDeadlineHours", "must be from 1 to 48");
    }
    (hours, gather)
}

fn on_unknown(given: Option<&str>, problems: &mut Problems) -> OnUnknown {
    match given {
        None | Some("review") => OnUnknown::Review,
        Some("retry") => OnUnknown::Retry,
        Some(other) => problems
            .unknown("onUnknown", other, "review or retry")
            .unwrap_or_default(),
    }
}

fn on_failure(body: &Body, action: Option<Action>, mode: Mode, problems: &mut Problems) -> OnFailure {
    match body.on_failure.as_deref() {
        None | Some("continue") => OnFailure::Continue,
        Some("hold") => {
            let has_name = action != Some(Action::Create) || body.client_ref.is_some();
            problems
                .0
                .extend(check_hold(mode, body.batch.is_some(), has_name));
            if body.auto_batch_policy.is_some() {
                let detail =
                    "is hold beside autoBatchPolicy: a record of a batch cannot hold what comes later";
                problems.add("onFailure", detail);
            }
            OnFailure::Hold
        }
        Some(other) => problems
            .unknown("onFailure", other, "continue or hold")
            .unwrap_or_default(),
    }
}

fn headers(given: Option<Vec<Object<Header>>>, problems: &mut Problems) -> Vec<(String, String)> {
    let given = given.unwrap_or_default();
    if given.len() > MAX_HEADERS {
        let detail = format!(
            "holds {} headers; at most {MAX_HEADERS} can be passed on",
            given.len()
        );
        problems.add("headers", detail);
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for (index, Object(header)) in given.into_iter().enumerate() {
        match (header.key, header.value) {
            (Some(key), Some(_)) if headers.iter().any(|(known, _)| key.eq_ignore_ascii_case(known)) => {
                let detail = format!("names the header `{}` again; send it once", shorten(&key));
                problems.add(format!("headers[{index}].key"), detail);
            }
            (Some(key), Some(value)) if !key.is_empty() => headers.push((key, value)),
            _ => problems.add(format!("headers[{index}]"), "needs a key and a value"),
        }
    }
    headers
}

/// The records, parsed, and those of a batch as they are stored.
fn read_records(
    record: Option<&RawValue>,
    batch: Option<Vec<Object<BatchItem>>>,
    problems: &mut Problems,
) -> (Vec<StoredItem>, Vec<Map<String, Value>>) {
    let (mut items, mut parsed) = (Vec::new(), Vec::new());
    if let Some(raw) = record {
        match read_record(raw) {
            Ok(map) => parsed.push(map),
            Err(problem) => problems.0.push(problem),
        }
    }
    for (index, Object(item)) in batch.into_iter().flatten().enumerate() {
        match read_item(index, item) {
            Ok((item, map)) => {
                parsed.push(map);
                items.push(item);
            }
            Err(found) => problems.0.extend(found),
        }
    }
    if problems.0.is_empty() {
        problems.0.extend(names_twice(&items));
    }
    (items, parsed)
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

/// What the app sent, short enough for a message.
fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}
