//! Operations: what became of each write.

pub mod cancel;
pub mod get;
pub mod list;
pub mod list_for_project;
pub mod logs;
pub mod release;
pub mod replay;
pub mod replay_many;
pub mod resolve;
pub mod steer;
pub mod watch;

use serde::Serialize;
use utoipa::ToSchema;

use super::writes::preview::{OutboundRequest, TraceEntry};
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock::Time;
use crate::control::operations::{Seen, Standing};
use crate::store;
use crate::store::EndState;
use crate::writes::explain::Named;
use crate::writes::set::{Note, NoteState, Progress, read_notes};

/// What an operation that is not there is answered with.
const NOT_FOUND: &str = "Operation not found for the given operation ID.";

/// An operation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// The project.
    pub project_id: String,
    /// The integration.
    pub integration_id: String,
    /// The installation.
    pub installation_id: String,
    /// The config that was in force.
    pub config_id: String,
    /// Always `write`.
    pub action_type: &'static str,
    /// `in_progress`, `success` or `failure`.
    pub status: &'static str,
    /// One line for people, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// When it ended; before that, when it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub update_time: Time,
    /// The object that was written.
    pub resource: String,
    /// More about it.
    pub metadata: Metadata,
}

/// More about an operation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The objects that were written.
    pub objects: Vec<String>,
    /// The provider's ids of what was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub successful_record_ids: Vec<String>,
    /// How often it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// `accumulating` (single writes are gathered in it), `queued`, `waiting`, `held`, `running`, `succeeded`, `failed`, `cancelled`, or `needs_review`: sent, but the outcome is not known. In lists, what has not ended is `queued`.
    pub state: String,
    /// What it waits for: `batch_window` (more records), `turn`, `earlier_write` (to the same record), `backoff`, `rate_limit`, `quota`, `authorization` or `failure` (of an earlier write to the same record, see `heldBy`); only where one operation is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<&'static str>,
    /// The write to the same record that failed and holds this one; only where one operation is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// True while later writes to its record are held because it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds_record: Option<bool>,
    /// When it may be sent next; only where one operation is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_time: Option<Time>,
    /// `unknown` when a request was sent and it is not known whether it was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// `create`, `update` or `delete`.
    pub action: String,
    /// `synchronous` or `asynchronous`.
    pub mode: String,
    /// When retrying ends. While the lane is held this moves on with the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Time>,
    /// True when the stored request is so old that it was removed: the operation can be neither traced nor replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_expired: Option<bool>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Each record of the write.
    pub records: Vec<Record>,
    /// The operation that this one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// The operations that repeat this one, oldest first; only where one operation is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replayed_as: Vec<String>,
    /// Each attempt, oldest first; only where one operation is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What was decided for each field; only where one operation is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TraceEntry>,
    /// How many more decisions there are than `trace` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_left_out: Option<usize>,
    /// The request to the provider, its secrets hidden; only where one operation is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<OutboundRequest>,
}

/// One record of a write.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its place in the request, from 0.
    pub index: usize,
    /// The app's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ref: Option<String>,
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// As the operation's.
    pub state: String,
    /// What went wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Record {
    fn of_note(note: &Note) -> Self {
        Self {
            index: note.index,
            client_ref: None,
            record_id: note.record_id.clone(),
            state: note.state.as_str().to_owned(),
            errors: note.error.clone().into_iter().collect(),
        }
    }
}

/// How often an operation was tried.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts so far.
    pub attempts: i32,
    /// When the last one began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_attempt: Option<Time>,
}

/// One request to the provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counts from 1; a wait for a rate limit does not count.
    pub number: i32,
    /// When the request left.
    #[schema(value_type = String, format = DateTime)]
    pub time: Time,
    /// `sent` (no answer yet), `answered`, or `unanswered`.
    pub state: String,
    /// The provider's HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// How the answer was classified: `success`, `validation`, `rate_limited`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The provider's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Milliseconds until the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<i64>,
    /// The beginning of the provider's answer when the attempt failed, without what looks like a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// A state of the store as the wire knows it.
#[must_use]
pub fn wire_status(state: &str) -> &'static str {
    match state {
        "succeeded" => "success",
        "failed" | "cancelled" | "needs_review" => "failure",
        _ => "in_progress",
    }
}

/// The rows of an attempt, one entry for each request: what came last says most.
fn merge(rows: Vec<store::Attempt>) -> Vec<Attempt> {
    let mut merged: Vec<(uuid::Uuid, Attempt)> = Vec::new();
    for row in rows {
        let attempt = Attempt {
            number: row.number,
            time: row.start_time,
            state: row.state.as_str().to_owned(),
            status: row.status,
            class: row.class,
            message: row.message,
            latency_ms: row.latency_us.map(|micros| micros / 1_000),
            excerpt: row.excerpt,
        };
        match merged.iter_mut().find(|(id, _)| *id == row.id) {
            Some((_, known)) if attempt.state == "sent" => known.time = attempt.time,
            Some((_, known)) => *known = attempt,
            None => merged.push((row.id, attempt)),
        }
    }
    merged.into_iter().map(|(_, attempt)| attempt).collect()
}

impl Operation {
    /// Without a look at where it stands: what has not ended is `queued`.
    #[must_use]
    pub fn listed(row: store::Operation) -> Self {
        Self::new(row, Vec::new(), Standing::default())
    }

    fn new(row: store::Operation, attempts: Vec<Attempt>, standing: Standing) -> Self {
        let state = row.state.map_or(standing.state, EndState::as_str).to_owned();
        let counted = row
            .attempts
            .or_else(|| attempts.iter().map(|attempt| attempt.number).max());
        let succeeded = state == "succeeded";
        let errors: Vec<String> = row
            .errors
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let ends = read_notes(row.records.as_deref());
        let records = if row.records.is_some() {
            ends.iter().map(Record::of_note).collect()
        } else {
            vec![Record {
                index: 0,
                client_ref: row.client_ref,
                record_id: row.record_id.clone(),
                state: state.clone(),
                errors: errors.clone(),
            }]
        };
        let written = ends
            .into_iter()
            .filter(|note| note.state == NoteState::Succeeded)
            .filter_map(|note| note.record_id);
        Self {
            id: row.id.to_string(),
            project_id: row.project_id.to_string(),
            integration_id: row.integration_id.to_string(),
            installation_id: row.installation_id.to_string(),
            config_id: row.config_id.to_string(),
            action_type: "write",
            status: wire_status(&state),
            result: row.summary,
            create_time: row.accept_time,
            update_time: row.finish_time.unwrap_or(row.accept_time),
            metadata: Metadata {
                objects: vec![row.object.clone()],
                successful_record_ids: row
                    .record_id
                    .filter(|_| succeeded)
                    .into_iter()
                    .chain(written)
                    .collect(),
                retry: counted.filter(|count| *count > 0).map(|count| Retry {
                    attempts: count,
                    last_attempt: attempts.last().map(|attempt| attempt.time),
                }),
                payload_expired: None,
                outcome: (state == "needs_review").then_some("unknown"),
                state,
                waiting_on: standing.waiting_on,
                held_by: standing.held_by.map(|id| id.to_string()),
                holds_record: row.holds_record.then_some(true),
                next_attempt_time: standing.next_attempt_time,
                action: row.action.as_str().to_owned(),
                mode: row.mode.as_str().to_owned(),
                deadline: standing.deadline.or(row.deadline),
                errors,
                records,
                replay_of: row.replay_of.map(|id| id.to_string()),
                replayed_as: Vec::new(),
                attempts,
                trace: Vec::new(),
                trace_left_out: None,
                request: None,
            },
            resource: row.object,
        }
    }
}

impl From<&Seen> for Operation {
    fn from(seen: &Seen) -> Self {
        let attempts = merge(seen.attempts.clone());
        let mut operation = Self::new(seen.row.clone(), attempts, seen.standing);
        operation.metadata.fold(&seen.attempts);
        operation.metadata.replayed_as = seen.replayed_as.iter().map(uuid::Uuid::to_string).collect();
        operation
    }
}

impl Metadata {
    /// Completes the records of a batch with what its attempts say: while it is in progress, or when it was ended from
    /// outside, its result does not have them all.
    fn fold(&mut self, attempts: &[store::Attempt]) {
        let notes = attempts.iter().flat_map(|row| read_notes(row.records.as_deref()));
        let Some(last) = notes.map(|note| note.index).max() else {
            return;
        };
        let progress = Progress::of(last + 1, attempts);
        if self.mode == "asynchronous" && self.records.len() == 1 && progress.records.len() > 1 {
            // It has no result yet: what stands there is a single write's.
            self.records.retain(|record| record.record_id.is_some());
        }
        for (index, record) in progress.records.iter().enumerate() {
            if self.records.iter().any(|known| known.index == index) {
                continue;
            }
            self.records.push(match &record.end {
                Some(end) => Record::of_note(end),
                None => Record {
                    index,
                    client_ref: None,
                    record_id: None,
                    state: self.state.clone(),
                    errors: record.last_error.clone().into_iter().collect(),
                },
            });
        }
        self.records.sort_by_key(|record| record.index);
        self.successful_record_ids = self
            .records
            .iter()
            .filter(|record| record.state == "succeeded")
            .filter_map(|record| record.record_id.clone())
            .collect();
    }

    /// Completes the records of a batch with what the request says of them.
    fn name_records(&mut self, named: Vec<Named>) {
        for (
            index,
            Named {
                client_ref,
                record_id,
            },
        ) in named.into_iter().enumerate()
        {
            match self.records.iter_mut().find(|record| record.index == index) {
                Some(record) => {
                    record.client_ref = client_ref.or_else(|| record.client_ref.take());
                    record.record_id = record.record_id.take().or(record_id);
                }
                None => self.records.push(Record {
                    index,
                    client_ref,
                    record_id,
                    state: self.state.clone(),
                    errors: Vec::new(),
                }),
            }
        }
        self.records.sort_by_key(|record| record.index);
    }
}

/// An operation of a list, in the state that it has when it is asked for alone.
async fn listed(app: &App, row: store::Operation) -> Result<Operation, Problem> {
    if row.state.is_some() {
        return Ok(Operation::listed(row));
    }
    // Without one it has ended between the two looks: the next list tells.
    let standing = app.control.standing(&row).await?.unwrap_or_default();
    Ok(Operation::new(row, Vec::new(), standing))
}
