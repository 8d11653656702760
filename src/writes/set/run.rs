//! A write that is performed while the app waits.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::end::end_untried;
use super::{Note, NoteState, Progress, Shape, Turn, WriteSet, notes_text, read_notes, result_of};
use crate::clock::Time;
use crate::connectors::Outcome;
use crate::store::{NewAttempt, NewResult};
use crate::writes::Writes;
use crate::writes::outcome::{class_of, error_of};

/// How long calls of a batch are begun while the app waits, before the rest is left out.
const PATIENCE: Duration = Duration::from_secs(60);
/// The reads before a call, and the call, at most: how many times the provider's timeout one round may take.
const ROUND_CALLS: u32 = 6;

/// The longest that performing a write may take once its first call has left; `timeout` is that of a call.
pub(in crate::writes) fn longest(shape: Shape, timeout: Duration) -> Duration {
    match shape {
        Shape::Single => timeout,
        Shape::Batch => PATIENCE + timeout * ROUND_CALLS,
    }
}

/// What became of a synchronous write.
#[derive(Debug, Clone, PartialEq)]
pub struct Performed {
    /// How the app asked for it.
    pub shape: Shape,
    /// How each record of a batch ended, in its order.
    pub ends: Vec<Note>,
    /// What the provider said about each record of a batch.
    pub data: Vec<Option<Value>>,
    /// The outcome that says it all, and when it was known: of a single write always; of a batch when no record came through
    /// because the provider refused or did not answer at all.
    pub whole: Option<(Outcome, Time)>,
    /// The beginning of the provider's answer to a single write.
    pub raw: Option<String>,
    /// Whether anything left.
    pub sent: bool,
}

impl Performed {
    /// What a repeated single write is told.
    pub(in crate::writes) const fn replayed(outcome: Outcome, raw: Option<String>, now: Time) -> Self {
        Self {
            shape: Shape::Single,
            ends: Vec::new(),
            data: Vec::new(),
            whole: Some((outcome, now)),
            raw,
            sent: true,
        }
    }

    /// What a repeated batch is told.
    pub(in crate::writes) fn replayed_batch(ends: Vec<Note>, mut data: Vec<Option<Value>>) -> Self {
        data.resize(ends.len(), None);
        Self {
            shape: Shape::Batch,
            ends,
            data,
            whole: None,
            raw: None,
            sent: true,
        }
    }

    /// The class of the outcome in one word, for logs and metrics.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match (self.shape, &self.whole) {
            (Shape::Single, Some((outcome, _))) => class_of(outcome),
            (Shape::Batch, Some(_)) => "whole",
            (_, None) => "batch",
        }
    }
}

/// A synchronous write on its way.
pub(in crate::writes) struct Run {
    shape: Shape,
    pub progress: Progress,
    /// The rows of its calls.
    pub attempts: Vec<NewAttempt>,
    data: Vec<Option<Value>>,
    /// The outcome after which nothing more was sent.
    stopped: Option<Outcome>,
    out_of_time: bool,
    sent: bool,
    /// The last outcome of each record.
    last: Vec<Option<Outcome>>,
    /// What its calls say about the credentials, and of which version of them.
    pub of_credentials: Option<(Outcome, i64)>,
    answered_at: Time,
    raw: Option<String>,
}

impl Run {
    fn new(set: &WriteSet<'_>, now: Time) -> Self {
        let count = set.jobs.len();
        Self {
            shape: set.shape,
            progress: Progress::new(count),
            attempts: Vec::new(),
            data: vec![None; count],
            stopped: None,
            out_of_time: false,
            sent: false,
            last: vec![None; count],
            of_credentials: None,
            answered_at: now,
            raw: None,
        }
    }

    /// Takes note of a call. False when nothing more should be sent.
    fn take(&mut self, set: &WriteSet<'_>, mut turn: Turn) -> bool {
        if let Some((outcome, version)) = turn.of_credentials(set) {
            self.of_credentials = Some((outcome.clone(), version));
        }
        self.stopped = turn.stop().cloned();
        self.sent |= turn.sent.is_some();
        self.answered_at = turn.answered_at;
        self.raw = turn.raw.take();
        for (index, mut outcome) in turn.outcomes {
            if let (Shape::Batch, Outcome::Succeeded { data, .. }) = (self.shape, &mut outcome) {
                self.data[index] = data.take();
            }
            self.last[index] = Some(outcome);
        }
        self.stopped.is_none()
    }

    /// Whether it is not known of some record whether it was applied.
    pub fn is_in_doubt(&self) -> bool {
        self.progress
            .open()
            .any(|index| matches!(self.last[index], Some(Outcome::Unknown(_))))
    }

    /// Whether nothing had to be sent: every record has ended, and not all of them failed before they could leave.
    pub fn is_done_unsent(&self) -> bool {
        let (succeeded, ..) = self.progress.counts();
        !self.sent && self.progress.is_done() && succeeded > 0
    }

    /// The row that was written before the first call of a batch names all records: notes which that call did not carry, for
    /// whoever goes on with it.
    pub fn note_unsent(&mut self, operation_id: Uuid) {
        let Some(first) = self.attempts.iter_mut().find(|row| row.id == operation_id) else {
            return;
        };
        if self.shape == Shape::Single {
            return;
        }
        let mut notes = read_notes(first.records.as_deref());
        let carried: HashSet<usize> = notes.iter().map(|note| note.index).collect();
        let others = (0..self.last.len()).filter(|index| !carried.contains(index));
        notes.extend(others.map(|index| Note::new(index, NoteState::Unsent)));
        first.records = Some(notes_text(&notes));
    }

    /// Ends what is still open: nobody tries it again but the app. `object` as the app named it.
    pub fn end(&mut self, object: &str) -> (Performed, NewResult) {
        let nothing_ended = self.progress.open().count() == self.progress.records.len();
        let why = self.stopped.as_ref().and_then(error_of);
        let (last, late) = (&self.last, self.out_of_time);
        self.progress.end_open(|index, record| match &last[index] {
            Some(outcome) => end_untried(index, outcome, record),
            None if late => {
                let text = "it was not sent: the records before it took too long; send long batches with mode asynchronous";
                Note::with_error(index, NoteState::Failed, text.to_owned())
            }
            None => {
                let text = why.map_or_else(
                    || "it was not sent".to_owned(),
                    |error| format!("it was not sent, because of an earlier record of the batch: {}", error.message),
                );
                Note::with_error(index, NoteState::Failed, text)
            }
        });
        let attempts = match self.shape {
            Shape::Single => self.sent,
            Shape::Batch => !self.attempts.is_empty(),
        };
        let result = result_of(self.shape, object, &self.progress, i32::from(attempts));
        let whole = match self.shape {
            Shape::Single => self.last.first_mut().and_then(Option::take),
            Shape::Batch => self.stopped.take().filter(|_| nothing_ended),
        };
        let performed = Performed {
            shape: self.shape,
            ends: match self.shape {
                Shape::Single => Vec::new(),
                Shape::Batch => self.progress.ends(),
            },
            data: std::mem::take(&mut self.data),
            whole: whole.map(|outcome| (outcome, self.answered_at)),
            raw: self.raw.take(),
            sent: self.sent,
        };
        (performed, result)
    }
}

impl Writes {
    /// Performs a write call by call, until every record has ended or the provider refuses to go on. `before_first` runs
    /// before the first call leaves; when it fails nothing is sent.
    ///
    /// # Errors
    /// Only what `before_first` fails with.
    pub(in crate::writes) async fn run<F, E>(
        &self,
        set: &mut WriteSet<'_>,
        object: &str,
        (project_id, operation_id): (Uuid, Uuid),
        before_first: F,
    ) -> Result<Run, E>
    where
        F: AsyncFnOnce(Time) -> Result<(), E>,
    {
        let mut before_first = Some(before_first);
        let mut run = Run::new(set, self.clock.now());
        let limit = set.limit();
        let started = Instant::now();
        loop {
            if started.elapsed() > PATIENCE {
                run.out_of_time = true;
                return Ok(run);
            }
            let chunk = run.progress.next_now(&HashSet::new(), limit, set.all_or_none);
            if chunk.is_empty() {
                return Ok(run);
            }
            let turn = self
                .call(
                    set,
                    &chunk,
                    async |sent, _: &[usize]| match before_first.take() {
                        Some(before_first) => before_first(sent).await,
                        None => Ok(()),
                    },
                    || true,
                )
                .await?;
            let notes = turn.notes(set, object);
            run.progress.note(&notes);
            // The first call has the id of the row that was written before it, where there is one.
            let id = if turn.sent.is_some() && !run.sent {
                operation_id
            } else {
                self.clock.new_id()
            };
            let row = turn.row(set.shape, id, (project_id, operation_id), 1, &notes);
            run.attempts.extend(row);
            if !run.take(set, turn) {
                return Ok(run);
            }
        }
    }
}
