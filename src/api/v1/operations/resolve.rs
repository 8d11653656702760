//! `POST /v1/projects/{project}/operations/{operation}:resolve`

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Operation, not_found, read, wrong_state};
use crate::action::Action;
use crate::api::extract::JsonBody;
use crate::api::problem::Problem;
use crate::api::v1::writes::answer;
use crate::app::App;
use crate::store::{self, EndState, NewResult};
use crate::writes::replay::Mapping;
use crate::writes::request::text_fault;
use crate::writes::set::{Note, NoteState, Progress, Shape, read_notes, result_of};

/// The longest record id, in bytes.
const MAX_RECORD_ID: usize = 512;

/// What became of a write whose outcome was unknown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveRequest {
    /// `succeeded`: it was applied. `failed`: it was not. `retry`: it was not, and is sent again.
    outcome: Option<String>,
    /// The provider's id of the record: with `succeeded`, needed for a create.
    record_id: Option<String>,
    /// Of a batch with several records in need of review: each of them.
    records: Option<Vec<ResolveRecord>>,
}

/// What became of one record of a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveRecord {
    /// Its place in the batch, from 0.
    index: usize,
    /// As for a single write.
    outcome: Option<String>,
    /// As for a single write.
    record_id: Option<String>,
}

/// What became of one record, checked.
struct Resolved {
    index: usize,
    state: EndState,
    record_id: Option<String>,
    again: bool,
    text: &'static str,
}

/// Resolve an operation that needs review
///
/// Says what became of a write that was sent and got no answer, once somebody has looked at the provider. With `succeeded` and `failed` it holds its record no longer; with `retry` it does until the new operation has succeeded.
#[utoipa::path(post, path = "/v1/projects/{project}/operations/{operation}:resolve", tag = "Operation", operation_id = "resolveOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    request_body = ResolveRequest,
    responses((status = 200, description = "Resolved; with `retry`, `metadata.replayedAs` names the new operation.", body = Operation), (status = 400, description = "The outcome cannot be read."),
              (status = 404, description = "No such operation."), (status = 409, description = "It does not need review.")))]
#[expect(dead_code, reason = "the description of a verb that steer.rs serves")]
pub(crate) const fn resolve_operation() {}

pub(super) async fn resolve(
    app: &App,
    project_id: Uuid,
    operation_id: Uuid,
    by: &str,
    body: &[u8],
) -> Result<Json<Operation>, Problem> {
    let asked: ResolveRequest = JsonBody::from_bytes(body)?;
    let (operation, accepting) = app
        .writes
        .find_to_replay(project_id, operation_id)
        .await?
        .ok_or_else(not_found)?;
    let resolved = read_all(&operation, asked)?;
    let result = match &operation.records {
        Some(records) => of_batch(&operation, records, &resolved, by),
        None => of_one(&operation, &resolved, by),
    };
    // First: of two who resolve it at once, one sends it again.
    // What is sent again takes its place, and holds its record until it has succeeded.
    let release = !resolved.iter().any(|record| record.again);
    if !app
        .store
        .resolve(project_id, operation_id, &result, release)
        .await?
    {
        let state = operation.state.map_or("queued", EndState::as_str);
        return Err(wrong_state("the operation does not need review", state));
    }
    app.writes.finished.ended([operation_id]);
    let again: Vec<usize> = resolved
        .iter()
        .filter(|record| record.again)
        .map(|record| record.index)
        .collect();
    if release && operation.holds_record {
        app.writes.bell.changed(operation.connection_id);
    }
    if !again.is_empty() {
        app.writes
            .replay(&operation, &accepting, Mapping::Original, &again, None)
            .await
            .map_err(answer::of_error)?;
    }
    let resolved = read(app, project_id, operation_id).await?.ok_or_else(not_found)?;
    Ok(Json(resolved))
}

/// Reads what became of each record in need of review.
fn read_all(operation: &store::Operation, asked: ResolveRequest) -> Result<Vec<Resolved>, Problem> {
    let Some(records) = &operation.records else {
        if asked.records.is_some() {
            let detail = "is for batches; say outcome and recordId of the operation";
            return Err(Problem::invalid("records", detail));
        }
        return Ok(vec![read_one(
            operation,
            0,
            "",
            asked.outcome.as_deref(),
            asked.record_id,
        )?]);
    };
    let review: Vec<usize> = read_notes(Some(records))
        .iter()
        .filter(|note| note.state == NoteState::NeedsReview)
        .map(|note| note.index)
        .collect();
    if let Some(records) = asked.records {
        let mut named: Vec<usize> = records.iter().map(|record| record.index).collect();
        named.sort_unstable();
        if named != review {
            let detail = format!("must name each record that needs review once: {review:?}");
            return Err(Problem::invalid("records", detail));
        }
        return records
            .into_iter()
            .enumerate()
            .map(|(place, record)| {
                let path = format!("records[{place}].");
                read_one(
                    operation,
                    record.index,
                    &path,
                    record.outcome.as_deref(),
                    record.record_id,
                )
            })
            .collect();
    }
    if asked.outcome.as_deref() == Some("succeeded") && review.len() > 1 {
        let detail = format!("is required: the outcome, and the id, of each of the records {review:?}");
        return Err(Problem::invalid("records", detail));
    }
    review
        .into_iter()
        .map(|index| {
            read_one(
                operation,
                index,
                "",
                asked.outcome.as_deref(),
                asked.record_id.clone(),
            )
        })
        .collect()
}

fn read_one(
    operation: &store::Operation,
    index: usize,
    path: &str,
    outcome: Option<&str>,
    record_id: Option<String>,
) -> Result<Resolved, Problem> {
    let needs_id = outcome == Some("succeeded") && operation.action == Action::Create;
    let fault = match &record_id {
        Some(id) => text_fault(id, MAX_RECORD_ID),
        None => needs_id.then(|| "is required: the provider's id of the record".to_owned()),
    };
    if let Some(fault) = fault {
        return Err(Problem::invalid(format!("{path}recordId"), fault));
    }
    let (state, text) = match outcome {
        Some("succeeded") => (EndState::Succeeded, "resolved as succeeded"),
        Some("failed") => (EndState::Failed, "resolved as failed"),
        Some("retry") => (EndState::Failed, "resolved as not applied, and sent again"),
        _ => {
            let detail = "must be succeeded, failed or retry";
            return Err(Problem::invalid(format!("{path}outcome"), detail));
        }
    };
    Ok(Resolved {
        index,
        state,
        record_id: record_id.filter(|_| state == EndState::Succeeded),
        again: outcome == Some("retry"),
        text,
    })
}

fn of_one(operation: &store::Operation, resolved: &[Resolved], by: &str) -> NewResult {
    let object = &operation.object;
    let one = resolved.first();
    let succeeded = one.is_some_and(|one| one.state == EndState::Succeeded);
    let errors = operation.errors.clone().unwrap_or_else(|| "[]".to_owned());
    NewResult {
        state: one.map_or(EndState::Failed, |one| one.state),
        summary: format!("[{object}] {} by {by}", one.map_or("resolved", |one| one.text)),
        record_id: one.and_then(|one| one.record_id.clone()),
        errors: if succeeded { "[]".to_owned() } else { errors },
        attempts: operation.attempts.unwrap_or(0),
        records: None,
    }
}

fn of_batch(operation: &store::Operation, records: &str, resolved: &[Resolved], by: &str) -> NewResult {
    let notes = read_notes(Some(records));
    let count = notes.iter().map(|note| note.index + 1).max().unwrap_or(0);
    let ends: Vec<Note> = notes
        .into_iter()
        .map(|note| {
            let Some(record) = resolved.iter().find(|record| record.index == note.index) else {
                return note;
            };
            match record.state {
                EndState::Succeeded => Note {
                    record_id: record.record_id.clone(),
                    ..Note::new(note.index, NoteState::Succeeded)
                },
                _ => Note::with_error(note.index, NoteState::Failed, record.text.to_owned()),
            }
        })
        .collect();
    let mut progress = Progress::new(count);
    progress.note(&ends);
    let result = result_of(
        Shape::Batch,
        &operation.object,
        &progress,
        operation.attempts.unwrap_or(0),
    );
    NewResult {
        summary: format!("{}, resolved by {by}", result.summary),
        ..result
    }
}
