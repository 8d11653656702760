//! One call for some records of a batch.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Batch, Note, NoteState};
use crate::clock::Time;
use crate::connectors::{
    BatchCommand, BatchOutcome, ErrorClass, Outcome, ProviderError, ProviderRequest, ProviderResponse,
    Refusal, RetryClass, Step, quota_exhausted,
};
use crate::store::{AttemptState, NewAttempt};
use crate::writes::perform::{
    Performed, RAW_RESPONSE_BYTES, class_of, clean, error, make_presentable, may_have_been_applied, of_read,
    refused,
};
use crate::writes::{MESSAGE_CHARS, Writes, error_of, excerpt, rejection_within};

/// What one call came to.
#[derive(Debug)]
pub struct Turn {
    /// What became of each record that it was for.
    pub outcomes: Vec<(usize, Outcome)>,
    /// The fields that were left out of each because the provider had a value.
    pub skipped: Vec<(usize, Vec<String>)>,
    /// Set when the provider took or refused the call as a whole: then all records that it carried have this outcome.
    pub is_whole: bool,
    /// How many records it carried; for others the rules left nothing to write.
    carried: usize,
    /// When the call left; absent when it never did.
    pub sent: Option<Time>,
    /// The provider's HTTP status.
    status: Option<u16>,
    latency_us: Option<i64>,
    /// When the outcome was known.
    pub answered_at: Time,
    raw: Option<String>,
    /// A limit of this class is used up by now: nothing more should be sent for so long.
    pub pause: Option<(Duration, RetryClass)>,
}

/// What is to be sent for some records.
pub(in crate::writes) struct Ready {
    /// Those for which the rules leave nothing to write.
    pub done: Vec<usize>,
    /// Those of the call.
    pub carried: Vec<usize>,
    /// The call; `None` when it is for one record, which goes like a single write, or for none.
    pub request: Option<ProviderRequest>,
}

impl Turn {
    fn unsent(chunk: &[usize], outcome: &Outcome, now: Time) -> Self {
        Self {
            outcomes: chunk.iter().map(|index| (*index, outcome.clone())).collect(),
            skipped: Vec::new(),
            is_whole: true,
            carried: chunk.len(),
            sent: None,
            status: None,
            latency_us: None,
            answered_at: now,
            raw: None,
            pause: None,
        }
    }

    fn of_single(index: usize, performed: Performed) -> Self {
        Self {
            outcomes: vec![(index, performed.outcome)],
            skipped: vec![(index, performed.skipped)],
            is_whole: true,
            carried: 1,
            sent: performed.sent,
            status: performed.status,
            latency_us: performed.latency_us,
            answered_at: performed.answered_at,
            raw: performed.raw,
            pause: performed.pause,
        }
    }

    /// The first outcome after which nothing more should be sent now: the provider refuses everything, or does not answer.
    #[must_use]
    pub fn stop(&self) -> Option<&Outcome> {
        let is_stop = |outcome: &&Outcome| match outcome {
            Outcome::Unauthorized(_) => true,
            Outcome::Retry {
                class: RetryClass::RateLimited | RetryClass::Quota,
                ..
            } => true,
            Outcome::Retry { .. } | Outcome::Unknown(_) => self.is_whole,
            Outcome::Succeeded { .. } | Outcome::Rejected(_) => false,
        };
        self.outcomes.iter().map(|(_, outcome)| outcome).find(is_stop)
    }

    /// What is kept of each record. A call that was refused as a whole is tried again with fewer records, unless it would be
    /// refused with any.
    #[must_use]
    pub fn notes(&self, object: &str, all_or_none: bool) -> Vec<Note> {
        let together = self.is_whole && self.carried > 1 && !all_or_none;
        self.outcomes
            .iter()
            .map(|(index, outcome)| {
                let skipped = self.skipped.iter().find(|(of, _)| of == index);
                Note {
                    skipped: skipped.map(|(_, fields)| fields.clone()).unwrap_or_default(),
                    ..note(*index, outcome, object, together)
                }
            })
            .collect()
    }

    /// The provider's HTTP status; absent when there was no answer.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether an attempt is kept of it: something left, or something was decided that must not be forgotten.
    #[must_use]
    pub fn is_to_be_kept(&self, notes: &[Note]) -> bool {
        let decided = |note: &Note| note.state.is_end() || note.state == NoteState::Split;
        self.sent.is_some() || notes.iter().any(decided)
    }

    /// One word for what it came to.
    #[must_use]
    pub fn class(&self) -> &'static str {
        let mut failed = self
            .outcomes
            .iter()
            .filter(|(_, outcome)| !matches!(outcome, Outcome::Succeeded { .. }));
        match failed.next() {
            None => "success",
            Some(_) if failed.count() + 1 < self.outcomes.len() => "partial",
            Some((_, outcome)) => class_of(outcome),
        }
    }

    /// The row of the attempt; `notes` are kept with it.
    #[must_use]
    pub fn row(
        &self,
        id: Uuid,
        operation_id: Uuid,
        project_id: Uuid,
        number: i32,
        notes: &[Note],
    ) -> NewAttempt {
        // Of one record is enough: then the operation is in doubt.
        let unanswered = self
            .outcomes
            .iter()
            .any(|(_, outcome)| may_have_been_applied(outcome));
        let failed = self.outcomes.iter().filter_map(|(_, outcome)| error_of(outcome));
        let count = failed.clone().count();
        let message = failed.map(|error| error.told(MESSAGE_CHARS)).next().map(|text| {
            if self.outcomes.len() > 1 && !self.is_whole {
                format!("{count} of {} records: {text}", self.outcomes.len())
            } else {
                text
            }
        });
        NewAttempt {
            state: if unanswered {
                AttemptState::Unanswered
            } else {
                AttemptState::Answered
            },
            status: self.status.map(i32::from),
            class: Some(self.class().to_owned()),
            message: message.map(|text| text.chars().take(MESSAGE_CHARS).collect()),
            latency_us: self.latency_us,
            excerpt: match count {
                0 => None,
                _ => self.raw.as_deref().and_then(excerpt::excerpt),
            },
            records: Some(super::notes_text(notes)),
            ..NewAttempt::sent(
                id,
                project_id,
                operation_id,
                number,
                self.sent.unwrap_or(self.answered_at),
            )
        }
    }
}

fn note(index: usize, outcome: &Outcome, object: &str, together: bool) -> Note {
    let with = |state, error: &ProviderError| {
        Note::with_error(index, state, rejection_within(object, error, MESSAGE_CHARS))
    };
    match outcome {
        Outcome::Succeeded { record_id, .. } => Note {
            record_id: record_id.clone(),
            ..Note::new(index, NoteState::Succeeded)
        },
        // Fewer records would change nothing.
        Outcome::Rejected(error) if matches!(error.class, ErrorClass::Forbidden | ErrorClass::Config) => {
            with(NoteState::Failed, error)
        }
        Outcome::Rejected(error) if together => with(NoteState::Split, error),
        Outcome::Rejected(error) => with(NoteState::Failed, error),
        Outcome::Retry { error, .. } | Outcome::Unknown(error) if may_have_been_applied(outcome) => {
            with(NoteState::Doubt, error)
        }
        Outcome::Retry { error, .. } | Outcome::Unauthorized(error) | Outcome::Unknown(error) => {
            with(NoteState::Retry, error)
        }
    }
}

/// How a record ends that is not tried again.
#[must_use]
pub fn end_untried(index: usize, outcome: Option<&Outcome>, last_error: Option<&str>) -> Note {
    let (state, text) = match outcome {
        None | Some(Outcome::Succeeded { .. }) => (NoteState::Failed, None),
        Some(other) if may_have_been_applied(other) => (NoteState::NeedsReview, None),
        Some(other) => (
            NoteState::Failed,
            error_of(other).map(|error| error.told(MESSAGE_CHARS)),
        ),
    };
    let text = last_error.map(str::to_owned).or(text);
    Note::with_error(index, state, text.unwrap_or_else(|| "it was not sent".to_owned()))
}

impl Batch<'_> {
    fn prepare(&self, carried: &[usize]) -> Result<ProviderRequest, Refusal> {
        let items: Vec<_> = carried.iter().map(|index| self.item(*index)).collect();
        self.route.connector.prepare_batch(&command(self, &items))
    }

    /// The request of a call for these records, as far as it can be told without asking the provider.
    pub(in crate::writes) fn request(&self, chunk: &[usize]) -> Option<ProviderRequest> {
        let carried: Vec<usize> = chunk
            .iter()
            .copied()
            .filter(|index| !self.jobs[*index].is_empty_update())
            .collect();
        match carried.as_slice() {
            [] => None,
            [index] => match self.route.connector.prepare(&self.jobs[*index].command(), &[]) {
                Ok(Step::Send(request)) => Some(request),
                _ => None,
            },
            carried => self.prepare(carried).ok(),
        }
    }
}

impl Writes {
    /// Everything that comes before a call for these records. `read` sees each request that is sent for it.
    ///
    /// # Errors
    /// What the call comes to without being sent.
    pub(in crate::writes) async fn ready_chunk(
        &self,
        batch: &mut Batch<'_>,
        chunk: &[usize],
        mut read: impl FnMut(&ProviderRequest),
    ) -> Result<Ready, Outcome> {
        self.decide_together(batch, chunk, &mut read).await?;
        let (done, carried): (Vec<usize>, Vec<usize>) = chunk
            .iter()
            .partition(|index| batch.jobs[**index].is_empty_update());
        if carried.len() < 2 {
            return Ok(Ready {
                done,
                carried,
                request: None,
            });
        }
        let request = batch
            .prepare(&carried)
            .map_err(|refusal| Outcome::Rejected(refused(&refusal)))?;
        Ok(Ready {
            done,
            carried,
            request: Some(request),
        })
    }

    /// Performs one call for these records: at most [`Batch::limit`] of them. `before_send` runs right before the call
    /// leaves, with the records that it carries; when it fails nothing is sent. `still` is asked before a call that was
    /// refused with an old token leaves once more.
    ///
    /// # Errors
    /// Only what `before_send` fails with.
    pub async fn perform_chunk<F, E>(
        &self,
        batch: &mut Batch<'_>,
        chunk: &[usize],
        before_send: F,
        still: impl Fn() -> bool,
    ) -> Result<Turn, E>
    where
        F: AsyncFnOnce(Time, Vec<usize>) -> Result<(), E>,
    {
        if let [index] = *chunk {
            let before_send = async |sent| before_send(sent, vec![index]).await;
            let performed = self.perform(&mut batch.jobs[index], before_send, still).await?;
            return Ok(Turn::of_single(index, performed));
        }
        let ready = match self.ready_chunk(batch, chunk, |_| {}).await {
            Ok(ready) => ready,
            Err(mut outcome) => {
                make_presentable(&mut outcome, &batch.route.secret_texts());
                return Ok(Turn::unsent(chunk, &outcome, self.clock.now()));
            }
        };
        let skipped: Vec<(usize, Vec<String>)> = chunk
            .iter()
            .map(|index| (*index, std::mem::take(&mut batch.jobs[*index].skipped)))
            .filter(|(_, fields)| !fields.is_empty())
            .collect();
        let mut turn = match (ready.request, ready.carried.as_slice()) {
            (Some(request), carried) => self.call(batch, carried, request, before_send, still).await?,
            (None, &[index]) => {
                let before_send = async |sent| before_send(sent, vec![index]).await;
                let performed = self.perform(&mut batch.jobs[index], before_send, still).await?;
                Turn::of_single(index, performed)
            }
            (None, _) => Turn {
                is_whole: false,
                ..Turn::unsent(
                    &[],
                    &Outcome::Unknown(error(ErrorClass::Unknown, "")),
                    self.clock.now(),
                )
            },
        };
        for index in ready.done {
            let record_id = batch.jobs[index].applied.record_id.clone();
            let done = Outcome::Succeeded {
                record_id,
                data: None,
            };
            turn.outcomes.push((index, done));
        }
        turn.skipped.extend(skipped);
        Ok(turn)
    }

    async fn call<F, E>(
        &self,
        batch: &Batch<'_>,
        carried: &[usize],
        request: ProviderRequest,
        before_send: F,
        still: impl Fn() -> bool,
    ) -> Result<Turn, E>
    where
        F: AsyncFnOnce(Time, Vec<usize>) -> Result<(), E>,
    {
        // A token is there before the write is noted as sent: without one it certainly is not.
        let mut access = match self.access(&batch.route.connector, &batch.route.connection).await {
            Ok(access) => access,
            Err(failure) => {
                let mut outcome = failure.before_write();
                make_presentable(&mut outcome, &batch.route.secret_texts());
                return Ok(Turn::unsent(carried, &outcome, self.clock.now()));
            }
        };
        let sent = self.clock.now();
        before_send(sent, carried.to_vec()).await?;
        let started = Instant::now();
        let items: Vec<_> = carried.iter().map(|index| batch.item(*index)).collect();
        let read = |response: &ProviderResponse| {
            let now = self.clock.now().to_timestamp();
            batch
                .route
                .connector
                .interpret_batch(&command(batch, &items), response, now)
        };
        let is_unauthorized = |response: &ProviderResponse| {
            matches!(read(response), BatchOutcome::Whole(Outcome::Unauthorized(_)))
        };
        let answer = access.send_write(request, is_unauthorized, still).await;
        let secrets = access.secret_texts();
        let latency_us = Some(i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX));
        let answered_at = self.clock.now();
        let turn = Turn {
            sent: Some(sent),
            latency_us,
            ..Turn::unsent(
                &[],
                &Outcome::Unknown(error(ErrorClass::Unknown, "")),
                answered_at,
            )
        };
        let whole = |mut outcome: Outcome, turn: Turn| {
            make_presentable(&mut outcome, &secrets);
            Turn {
                outcomes: carried.iter().map(|index| (*index, outcome.clone())).collect(),
                is_whole: true,
                carried: carried.len(),
                ..turn
            }
        };
        let response = match answer {
            Ok(response) => response,
            Err(failure) => {
                let outcome = failure.of_write(batch.is_unsafe_to_repeat());
                // What was refused on this side has not left.
                let sent = (!matches!(outcome, Outcome::Rejected(_))).then_some(sent);
                return Ok(whole(outcome, Turn { sent, ..turn }));
            }
        };
        let now = answered_at.to_timestamp();
        let raw = &response.body[..response.body.len().min(RAW_RESPONSE_BYTES)];
        let mut raw = (!raw.is_empty()).then(|| String::from_utf8_lossy(raw).into_owned());
        raw.iter_mut().for_each(|text| clean(text, &secrets));
        let turn = Turn {
            status: Some(response.status),
            raw,
            pause: quota_exhausted(&response, now).map(|(hint, class)| (hint.wait(now), class)),
            ..turn
        };
        let note = |index: usize, outcome: &Outcome| {
            if let Some(job) = batch.jobs.get(index) {
                self.note_description(job, outcome);
            }
        };
        match read(&response) {
            BatchOutcome::Whole(outcome) => {
                carried
                    .first()
                    .into_iter()
                    .for_each(|index| note(*index, &outcome));
                Ok(whole(outcome, turn))
            }
            BatchOutcome::Each(mut outcomes) => {
                carried
                    .iter()
                    .zip(&outcomes)
                    .for_each(|(index, outcome)| note(*index, outcome));
                outcomes
                    .iter_mut()
                    .for_each(|outcome| make_presentable(outcome, &secrets));
                Ok(Turn {
                    outcomes: carried.iter().copied().zip(outcomes).collect(),
                    is_whole: false,
                    carried: carried.len(),
                    ..turn
                })
            }
        }
    }

    /// Reads the fields that are written only when the provider has no value, of all these records in one call where the
    /// provider can, and decides. When a read fails nothing is written: a value that may be there is never overwritten.
    async fn decide_together(
        &self,
        batch: &mut Batch<'_>,
        chunk: &[usize],
        read: &mut impl FnMut(&ProviderRequest),
    ) -> Result<(), Outcome> {
        let asking: Vec<usize> = chunk
            .iter()
            .copied()
            .filter(|index| !batch.jobs[*index].applied.if_empty.is_empty())
            .collect();
        if asking.is_empty() {
            return Ok(());
        }
        let connector = &batch.route.connector;
        let vars = &batch.route.connection.vars;
        let object = batch.plan.provider_object();
        let mut fields: Vec<&str> = Vec::new();
        let mut ids: Vec<&str> = Vec::new();
        for index in &asking {
            let applied = &batch.jobs[*index].applied;
            ids.push(applied.record_id.as_deref().unwrap_or_default());
            for field in &applied.if_empty {
                if !fields.contains(&field.name()) {
                    fields.push(field.name());
                }
            }
        }
        let Some(request) = connector.read_current_batch(object, &ids, &fields, vars) else {
            for index in asking {
                self.decide_if_empty(&mut batch.jobs[index], read).await?;
            }
            return Ok(());
        };
        read(&request);
        let response = self
            .send(batch.route, request)
            .await
            .map_err(|failure| failure.before_write())?;
        let now = self.clock.now().to_timestamp();
        let current = connector
            .interpret_current_batch(object, &ids, &fields, vars, &response, now)
            .map_err(of_read)?;
        for index in asking {
            let job = &mut batch.jobs[index];
            // Of a record that is not there the write itself says so.
            let values = job.applied.record_id.as_ref().and_then(|id| current.get(id));
            let values = values.cloned().unwrap_or_default();
            job.skipped = job.applied.filled(&values);
            job.leave_out(&job.skipped.clone());
        }
        Ok(())
    }
}

fn command<'b>(batch: &'b Batch<'_>, items: &'b [crate::connectors::BatchItem<'b>]) -> BatchCommand<'b> {
    BatchCommand {
        action: batch.action,
        object: batch.plan.provider_object(),
        items,
        headers: batch.headers,
        vars: &batch.route.connection.vars,
        all_or_none: batch.all_or_none,
    }
}
