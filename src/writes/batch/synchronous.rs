//! A batch that is performed while the app waits.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::chunk::end_untried;
use super::{Batch, Note, NoteState, Progress, Turn, result_of};
use crate::clock::Time;
use crate::connectors::Outcome;
use crate::store::{NewAttempt, NewResult};
use crate::writes::Writes;

/// How long calls of a batch are begun while the app waits, before the rest is left out.
const PATIENCE: Duration = Duration::from_secs(60);
/// The reads before a call, and the call, at most: how many times the provider's timeout one round may take.
const ROUND_CALLS: u32 = 6;

/// The longest that performing a batch may take once its first call has left.
pub(in crate::writes) fn longest(timeout: Duration) -> Duration {
    PATIENCE + timeout * ROUND_CALLS
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct PerformedBatch {
    /// How each record ended, in the order of the batch.
    pub ends: Vec<Note>,
    /// What the provider said about each record.
    pub data: Vec<Option<Value>>,
    /// Set when no record came through and one outcome says why: the provider refused or did not answer at all.
    pub whole: Option<(Outcome, Time)>,
}

/// A synchronous batch on its way.
#[derive(Clone)]
pub(in crate::writes) struct Run {
    pub progress: Progress,
    /// The rows of its calls.
    pub attempts: Vec<NewAttempt>,
    data: Vec<Option<Value>>,
    stopped: Option<(Outcome, Time)>,
    out_of_time: bool,
    /// The last outcome of each record that has not ended.
    last: Vec<Option<Outcome>>,
}

impl Run {
    /// Whether it is not known of some record whether it was applied.
    pub fn is_in_doubt(&self) -> bool {
        self.progress
            .open()
            .any(|index| matches!(self.last[index], Some(Outcome::Unknown(_))))
    }

    /// The answer after which nothing more was sent.
    pub fn stopped_by(&self) -> Option<&Outcome> {
        self.stopped.as_ref().map(|(outcome, _)| outcome)
    }

    /// The row that was written before the first call names all records: notes which that call did not carry, for whoever
    /// goes on with it.
    pub fn note_unsent(&mut self, operation_id: Uuid) {
        let Some(first) = self.attempts.iter_mut().find(|row| row.id == operation_id) else {
            return;
        };
        let mut notes = super::read_notes(first.records.as_deref());
        let carried: HashSet<usize> = notes.iter().map(|note| note.index).collect();
        let others = (0..self.last.len()).filter(|index| !carried.contains(index));
        notes.extend(others.map(|index| Note::new(index, NoteState::Unsent)));
        first.records = Some(super::notes_text(&notes));
    }

    /// Ends what is still open: nobody tries it again but the app.
    pub fn end(mut self, object: &str) -> (PerformedBatch, NewResult, Vec<NewAttempt>) {
        let nothing_ended = self.progress.open().count().eq(&self.progress.records.len());
        let why = self.stopped_by().cloned();
        let (last, late) = (&self.last, self.out_of_time);
        self.progress.end_open(|index, record| match &last[index] {
            Some(outcome) => end_untried(index, Some(outcome), record.last_error.as_deref()),
            None if late => {
                let text = "it was not sent: the records before it took too long; send long batches with mode asynchronous";
                Note::with_error(index, NoteState::Failed, text.to_owned())
            }
            None => {
                let why = why.as_ref().and_then(crate::writes::error_of);
                let text = why.map_or_else(
                    || "it was not sent".to_owned(),
                    |error| format!("it was not sent, because of an earlier record of the batch: {}", error.message),
                );
                Note::with_error(index, NoteState::Failed, text)
            }
        });
        let result = result_of(object, &self.progress, i32::from(!self.attempts.is_empty()));
        let performed = PerformedBatch {
            ends: self.progress.ends(),
            data: self.data,
            whole: self.stopped.filter(|_| nothing_ended),
        };
        (performed, result, self.attempts)
    }
}

impl Writes {
    /// Performs a batch call by call, until every record has ended or the provider refuses to go on. `before_first` runs
    /// before the first call leaves; when it fails nothing is sent.
    ///
    /// # Errors
    /// Only what `before_first` fails with.
    pub(in crate::writes) async fn perform_batch<F, E>(
        &self,
        batch: &mut Batch<'_>,
        object: &str,
        operation_id: Uuid,
        project_id: Uuid,
        before_first: F,
    ) -> Result<Run, E>
    where
        F: AsyncFnOnce(Time) -> Result<(), E>,
    {
        let mut before_first = Some(before_first);
        let count = batch.jobs.len();
        let mut run = Run {
            progress: Progress::new(count),
            attempts: Vec::new(),
            data: vec![None; count],
            stopped: None,
            out_of_time: false,
            last: vec![None; count],
        };
        let mut has_sent = false;
        let limit = batch.limit();
        let started = Instant::now();
        loop {
            if started.elapsed() > PATIENCE {
                run.out_of_time = true;
                return Ok(run);
            }
            let chunk = run.progress.next_now(&HashSet::new(), limit, batch.all_or_none);
            if chunk.is_empty() {
                return Ok(run);
            }
            let turn: Turn = self
                .perform_chunk(
                    batch,
                    &chunk,
                    async |sent, _: Vec<usize>| match before_first.take() {
                        Some(before_first) => before_first(sent).await,
                        None => Ok(()),
                    },
                    || true,
                )
                .await?;
            let notes = turn.notes(object, batch.all_or_none);
            run.progress.note(&notes);
            if turn.is_to_be_kept(&notes) {
                // The first call has the id of the row that was written before it, where there is one.
                let id = if turn.sent.is_some() && !std::mem::replace(&mut has_sent, true) {
                    operation_id
                } else {
                    self.clock.new_id()
                };
                run.attempts
                    .push(turn.row(id, operation_id, project_id, 1, &notes));
            }
            let stop = turn.stop().cloned();
            for (index, outcome) in turn.outcomes {
                if let Outcome::Succeeded { data, .. } = &outcome {
                    run.data[index].clone_from(data);
                }
                run.last[index] = Some(outcome);
            }
            if let Some(outcome) = stop {
                run.stopped = Some((outcome, turn.answered_at));
                return Ok(run);
            }
        }
    }
}
