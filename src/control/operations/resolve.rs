//! Saying what became of a write whose outcome was unknown.

use uuid::Uuid;

use super::{Seen, not_found};
use crate::action::Action;
use crate::control::{Actor, Control, Error};
use crate::store::{EndState, NewResult, Operation};
use crate::writes::replay::Mapping;
use crate::writes::request::text_fault;
use crate::writes::set::{Note, NoteState, Progress, Shape, read_notes, result_of};

/// The longest record id, in bytes.
const MAX_RECORD_ID: usize = 512;

/// What became of a write.
#[derive(Debug, Default)]
pub struct Resolution {
    /// `succeeded`: it was applied. `failed`: it was not. `retry`: it was not, and is sent again.
    pub outcome: Option<String>,
    /// The provider's id of the record: with `succeeded`, needed for a create.
    pub record_id: Option<String>,
    /// Of a batch with several records in need of review: each of them.
    pub records: Option<Vec<ResolvedRecord>>,
}

/// What became of one record of a batch.
#[derive(Debug)]
pub struct ResolvedRecord {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// As for a single write.
    pub outcome: Option<String>,
    /// As for a single write.
    pub record_id: Option<String>,
}

/// What became of one record, checked.
struct Resolved {
    index: usize,
    state: EndState,
    record_id: Option<String>,
    again: bool,
    text: &'static str,
}

impl Control {
    /// Says what became of a write that was sent and got no answer.
    ///
    /// # Errors
    /// When there is no such operation, it does not need review, what is said of it does not fit, or the store fails.
    pub async fn resolve(
        &self,
        actor: &Actor,
        project_id: Uuid,
        operation_id: Uuid,
        asked: Resolution,
    ) -> Result<Seen, Error> {
        let (operation, accepting) = self
            .writes
            .find_to_replay(project_id, operation_id)
            .await?
            .ok_or_else(not_found)?;
        let resolved = read_all(&operation, asked)?;
        let by = actor.attribution();
        let result = match &operation.records {
            Some(records) => of_batch(&operation, records, &resolved, &by),
            None => of_one(&operation, &resolved, &by),
        };
        // First: of two who resolve it at once, one sends it again.
        // What is sent again takes its place, and holds its record until it has succeeded.
        let release = !resolved.iter().any(|record| record.again);
        let done = self.store.resolve(project_id, operation_id, &result, release);
        if !done.await? {
            let state = operation.state.map_or("queued", EndState::as_str);
            return Err(Error::wrong_state("the operation does not need review", state));
        }
        self.writes.finished.ended([operation_id]);
        if release && operation.holds_record {
            self.steered(actor, operation.connection_id);
        } else {
            self.done.note(actor, &[]);
        }
        let again = resolved.iter().filter(|record| record.again);
        let again: Vec<usize> = again.map(|record| record.index).collect();
        if !again.is_empty() {
            self.writes
                .replay(&operation, &accepting, Mapping::Original, &again, None)
                .await?;
        }
        self.operation(project_id, operation_id).await
    }
}

/// Reads what became of each record in need of review.
fn read_all(operation: &Operation, asked: Resolution) -> Result<Vec<Resolved>, Error> {
    let Some(records) = &operation.records else {
        if asked.records.is_some() {
            let detail = "is for batches; say outcome and recordId of the operation";
            return Err(Error::invalid("records", detail));
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
            return Err(Error::invalid("records", detail));
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
        return Err(Error::invalid("records", detail));
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
    operation: &Operation,
    index: usize,
    path: &str,
    outcome: Option<&str>,
    record_id: Option<String>,
) -> Result<Resolved, Error> {
    let needs_id = outcome == Some("succeeded") && operation.action == Action::Create;
    let fault = match &record_id {
        Some(id) => text_fault(id, MAX_RECORD_ID),
        None => needs_id.then(|| "is required: the provider's id of the record".to_owned()),
    };
    if let Some(fault) = fault {
        return Err(Error::invalid(format!("{path}recordId"), fault));
    }
    let (state, text) = match outcome {
        Some("succeeded") => (EndState::Succeeded, "resolved as succeeded"),
        Some("failed") => (EndState::Failed, "resolved as failed"),
        Some("retry") => (EndState::Failed, "resolved as not applied, and sent again"),
        _ => {
            let detail = "must be succeeded, failed or retry";
            return Err(Error::invalid(format!("{path}outcome"), detail));
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

fn of_one(operation: &Operation, resolved: &[Resolved], by: &str) -> NewResult {
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

fn of_batch(operation: &Operation, records: &str, resolved: &[Resolved], by: &str) -> NewResult {
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
