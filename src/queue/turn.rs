//! One turn of an item: one call for some of its records, from the stored request to what follows ([`super::follow`]). A
//! batch goes back to its lane after each call, so it holds a slot no longer than a single write does, and the lane's limits
//! count each call.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::conclude::{LaneEffect, Situation, finish, gave_up_text, not_sent_again, with_quota};
use super::follow::{self, Known, ended, freed};
use super::item::{Attempted, CutOff, Holder, UNUSABLE_WAIT, Unsent, left};
use super::retry::Wait;
use crate::action::Action;
use crate::clock::Time;
use crate::connectors::{ErrorClass, Outcome};
use crate::store::{
    Attempt, AttemptState, Claimed, CloseGathered, EndState, Ending, NewAttempt, PauseReason, StoreError,
};
use crate::writes::route::RouteError;
use crate::writes::set::{Note, NoteState, Progress, Shape, Turn, WriteSet, notes_text, result_of};
use crate::writes::{Found, WriteError, Writes, may_repeat_blindly, read_stored};

/// Performs one turn. `base` is the first wait of the backoff.
///
/// # Errors
/// [`Unsent`]: nothing was sent, the item stays as it is and comes again.
pub(super) async fn perform(
    writes: &Writes,
    item: &Claimed,
    claimed_at: Instant,
    base: Duration,
    holder: &Holder<'_>,
) -> Result<Attempted, Unsent> {
    let hand = Hand {
        writes,
        item,
        claimed_at,
        base,
        holder,
    };
    hand.open().await
}

/// What a turn is about, and who takes it.
struct Hand<'a> {
    writes: &'a Writes,
    item: &'a Claimed,
    claimed_at: Instant,
    base: Duration,
    holder: &'a Holder<'a>,
}

/// Where the records of a set stand in this turn.
struct Stand {
    progress: Progress,
    /// Which of them had ended before.
    done_before: Vec<bool>,
    /// Those that stand behind earlier writes.
    waiting: HashSet<usize>,
}

impl Hand<'_> {
    fn situation(&self, spent: i32) -> Situation {
        Situation {
            spent,
            left: left(self.item, self.claimed_at),
            base: self.base,
            jitter: fastrand::f64(),
            hint: None,
            can_resolve: true,
        }
    }

    /// What this process cannot use, another one or a later version may: it waits, until its deadline. `known` is what is known
    /// of its records.
    fn unusable(&self, message: &str, known: Option<(Shape, Progress)>) -> Attempted {
        let item = self.item;
        tracing::error!(operation.id = %item.operation_id, "a write cannot be performed by this process: {message}");
        let situation = Situation {
            hint: Some(Wait::guess(UNUSABLE_WAIT)),
            can_resolve: false,
            ..self.situation(item.attempt.max(1))
        };
        let ending = follow::again_or(&situation, || match known {
            Some((shape, progress)) => end_all(item, shape, progress, message).ending,
            None => finish(EndState::Failed, &item.object, message, item.attempt),
        });
        Attempted {
            effect: LaneEffect::Pause(UNUSABLE_WAIT, PauseReason::Backoff),
            ..Attempted::without_call(ending, "unusable")
        }
    }

    /// From the stored request to records that can be sent.
    async fn open(&self) -> Result<Attempted, Unsent> {
        let (writes, item) = (self.writes, self.item);
        let (stored, records) = match read_stored(&item.request) {
            Ok(read) => read,
            Err(message) => return Ok(self.unusable(&message, None)),
        };
        if records.is_empty() {
            return close(writes, item, self.holder).await;
        }
        let Some(action) = item.action.known() else {
            let action = item.action.as_str();
            let message = format!("the stored action `{action}` is unknown to this version");
            return Ok(self.unusable(&message, None));
        };
        let shape = stored.shape();
        let progress = match shape {
            // All that matters of a single write stands with its item.
            Shape::Single => Progress::of_single(item.in_doubt_since),
            Shape::Batch => Progress::of(records.len(), &attempts_of(writes, item).await?),
        };
        let found = writes
            .routes
            .find_pinned(item.project_id, item.config_id, item.revision_id, item.lane_id)
            .await;
        let route = match found {
            Ok(route) => route,
            Err(RouteError::Store(error)) => return Err(error.into()),
            Err(error @ RouteError::Gone) => return Ok(end_all(item, shape, progress, &error.to_string())),
            Err(error) => return Ok(self.unusable(&error.to_string(), Some((shape, progress)))),
        };
        let plan = match route.plan(&item.object) {
            Ok(plan) => plan,
            Err(error) => return Ok(end_all(item, shape, progress, &error.to_string())),
        };
        let id = item.operation_id;
        let set = WriteSet::new(&route, &plan, action, records, false, &stored, None, id);
        let mut set = match (set, shape) {
            (Ok(set), Shape::Single) => set.with_keys(vec![item.record_key]),
            (Ok(set), Shape::Batch) => set,
            (Err(error), _) => return Ok(end_all(item, shape, progress, &first_of(&error))),
        };
        for (job, record) in set.jobs.iter_mut().zip(&progress.records) {
            job.repeated = item.attempt > 0 || record.doubt_since.is_some();
        }
        let done_before = ended(&progress);
        if progress.is_done() {
            // Its last answer came from a worker that had lost it.
            return Ok(settled(item, &set, &progress, &done_before, "reconciled"));
        }
        let stand = Stand {
            waiting: waiting(writes, item, &set, &progress).await?,
            progress,
            done_before,
        };
        self.take(&mut set, stand, may_repeat_blindly(&stored)).await
    }

    /// Which records go now, and what became of those in doubt. `blind` says that the app lets them be repeated.
    async fn take(&self, set: &mut WriteSet<'_>, mut stand: Stand, blind: bool) -> Result<Attempted, Unsent> {
        let (writes, item) = (self.writes, self.item);
        let must_look = set.is_unsafe_to_repeat() && !blind;
        let is_over = left(item, self.claimed_at).is_zero();
        let chunk: Vec<usize> = if is_over {
            // The last look at what may have been made after all.
            let in_doubt = |index: &usize| stand.progress.records[*index].doubt_since.is_some();
            stand.progress.open().filter(in_doubt).collect()
        } else {
            stand.progress.next(&stand.waiting, set.limit(), set.all_or_none)
        };
        let looked = look(writes, set, &stand.progress, &chunk, must_look).await;
        stand.progress.note(&looked.notes);
        if is_over && looked.later.is_none() {
            end_expired(writes, item, set.shape, &mut stand.progress, &stand.waiting).await?;
            return Ok(settled(
                item,
                set,
                &stand.progress,
                &stand.done_before,
                "deadline",
            ));
        }
        if chunk.is_empty() {
            let ending = Ending::Retry {
                delay: follow::RECORDS_WAIT,
                attempt: item.attempt,
            };
            return Ok(Attempted::without_call(ending, "waiting"));
        }
        if looked.later.is_some() || looked.absent.is_empty() {
            Ok(self.without_call(set, stand, &chunk, looked).await)
        } else {
            self.call(set, stand, looked, blind).await
        }
    }

    /// Nothing is sent: what was looked for has ended, or could not be looked for.
    async fn without_call(
        &self,
        set: &WriteSet<'_>,
        stand: Stand,
        chunk: &[usize],
        looked: Looked,
    ) -> Attempted {
        let item = self.item;
        let Looked { notes, later, .. } = looked;
        let spent = match (set.shape, &later) {
            // It has ended without another attempt.
            (Shape::Single, None) => item.attempt,
            _ => item.attempt + 1,
        };
        let current = match &later {
            Some(outcome) => self.writes.note_credentials(set.route, outcome).await,
            None => true,
        };
        // Where the provider could not be asked its answer is treated like one to a write, and the doubt remains.
        let answered = chunk.iter().filter_map(|index| Some((*index, later.clone()?)));
        let outcomes: Vec<(usize, Outcome)> = answered.collect();
        let kept = (set.shape == Shape::Batch && !notes.is_empty()).then(|| NewAttempt {
            state: AttemptState::Answered,
            class: Some("reconciled".to_owned()),
            records: Some(notes_text(&notes)),
            ..new_row(item, self.holder, item.store_now.after(self.claimed_at.elapsed()))
        });
        let followed = self.follow(set, stand, spent, &outcomes, later.is_some());
        Attempted {
            dead_credential: followed.dead_credential && current,
            attempt: kept,
            class: if later.is_none() {
                "reconciled"
            } else {
                "reconciling"
            },
            ..followed
        }
    }

    /// One call, and what it came to.
    async fn call(
        &self,
        set: &mut WriteSet<'_>,
        mut stand: Stand,
        looked: Looked,
        blind: bool,
    ) -> Result<Attempted, Unsent> {
        let (writes, item) = (self.writes, self.item);
        let turn = send(writes, item, self.claimed_at, self.holder, set, &looked.absent).await?;
        let set = &*set;
        let called = turn.outcomes.iter().filter_map(|(index, _)| set.keys()[*index]);
        let cut_off = CutOff::of(writes.still_out(&turn), called);
        let mut told = turn.notes(set, &item.object);
        settle_doubts(writes, set, &stand.progress, &turn, &mut told, blind).await;
        stand.progress.note(&told);
        let number = item.attempt + 1;
        let ids = (item.project_id, item.operation_id);
        let notes = [looked.notes, told].concat();
        let kept = turn.row(set.shape, self.holder.attempt_id, ids, number, &notes);
        let current = writes.note_call(set, &turn).await;
        let followed = self.follow(set, stand, number, &turn.outcomes, false);
        Ok(Attempted {
            effect: with_quota(followed.effect, turn.pause),
            dead_credential: followed.dead_credential && current,
            attempt: kept.map(|row| self.holder.departed.dated(row)),
            cut_off,
            class: turn.class(),
            ..followed
        })
    }

    fn follow(
        &self,
        set: &WriteSet<'_>,
        stand: Stand,
        spent: i32,
        outcomes: &[(usize, Outcome)],
        asked_in_vain: bool,
    ) -> Attempted {
        let known = Known {
            item: self.item,
            situation: self.situation(spent),
            now: self.writes.now(),
            set,
            waiting: &stand.waiting,
            asked_in_vain,
        };
        known.follow(stand.progress, outcomes, &stand.done_before)
    }
}

/// The rows of all its attempts.
async fn attempts_of(writes: &Writes, item: &Claimed) -> Result<Vec<Attempt>, StoreError> {
    writes
        .store()
        .list_attempts(item.project_id, item.operation_id)
        .await
}

/// It has gathered long enough. Its records were not read with it: it comes again at once, with them.
async fn close(writes: &Writes, item: &Claimed, holder: &Holder<'_>) -> Result<Attempted, Unsent> {
    let close = CloseGathered {
        worker: holder.shards.worker,
        lease: holder.lease,
        lane_id: item.lane_id,
        run_at: item.run_at,
        project_id: item.project_id,
        operation_id: item.operation_id,
    };
    if !writes.store().close_gathered(&close).await? {
        return Err(Unsent::Lost);
    }
    let ending = Ending::Retry {
        delay: Duration::ZERO,
        attempt: item.attempt,
    };
    Ok(Attempted {
        freed: Some(Vec::new()),
        ..Attempted::without_call(ending, "gathered")
    })
}

/// The records of a batch for which an earlier write is still in the queue. A single write is not claimed while that is so.
async fn waiting(
    writes: &Writes,
    item: &Claimed,
    set: &WriteSet<'_>,
    progress: &Progress,
) -> Result<HashSet<usize>, Unsent> {
    if set.shape == Shape::Single {
        return Ok(HashSet::new());
    }
    let keyed: Vec<(usize, i64)> = progress
        .open()
        .filter_map(|index| Some((index, set.keys()[index]?)))
        .collect();
    let keys: Vec<i64> = keyed.iter().map(|(_, key)| *key).collect();
    let found = writes
        .store()
        .waiting_records(item.lane_id, item.seq, &keys)
        .await?;
    Ok(keyed
        .into_iter()
        .filter(|(_, key)| found.contains(key))
        .map(|(index, _)| index)
        .collect())
}

/// What was found out about records whose creates got no answer.
struct Looked {
    /// Those that have ended.
    notes: Vec<Note>,
    /// Those that may be sent.
    absent: Vec<usize>,
    /// The provider could not be asked; this is what it answered.
    later: Option<Outcome>,
}

async fn look(
    writes: &Writes,
    set: &WriteSet<'_>,
    progress: &Progress,
    chunk: &[usize],
    must_look: bool,
) -> Looked {
    let mut looked = Looked {
        notes: Vec::new(),
        absent: Vec::new(),
        later: None,
    };
    for &index in chunk {
        let Some(since) = progress.records[index].doubt_since.filter(|_| must_look) else {
            looked.absent.push(index);
            continue;
        };
        match writes.look_for(&set.jobs[index], since).await {
            Found::Absent => looked.absent.push(index),
            Found::NotNow { outcome } => {
                looked.later = Some(*outcome);
                return looked;
            }
            found => looked.notes.extend(note_of(index, set.action, found)),
        }
    }
    looked
}

/// How a record ends after looking for it; `None` when it does not.
fn note_of(index: usize, action: Action, found: Found) -> Option<Note> {
    let review = |text: String| Note::with_error(index, NoteState::NeedsReview, text);
    match found {
        Found::Ours { record_id } => Some(Note {
            record_id: Some(record_id),
            ..Note::new(index, NoteState::Succeeded)
        }),
        Found::Candidate { record_id } => Some(review(format!(
            "the create was sent and got no answer; record {record_id} has the same unique value, but may be somebody else's"
        ))),
        Found::NoUniqueField => Some(review(not_sent_again(&format!(
            "the {action} was sent and got no answer"
        )))),
        Found::Absent | Found::NotNow { .. } => None,
    }
}

/// Sends one call, with a durable row before it where it must not be repeated blindly.
async fn send(
    writes: &Writes,
    item: &Claimed,
    claimed_at: Instant,
    holder: &Holder<'_>,
    set: &mut WriteSet<'_>,
    chunk: &[usize],
) -> Result<Turn, Unsent> {
    let (unsafe_to_repeat, shape) = (set.is_unsafe_to_repeat(), set.shape);
    let may_send = || holder.shards.may_send(holder.lease);
    let before_send = async |_, carried: &[usize]| {
        // By the store's clock, not by this node's: a record that the provider made is ours only when it is not older.
        let time = item.store_now.after(claimed_at.elapsed());
        let row = |state: NoteState| {
            let notes = || {
                carried
                    .iter()
                    .map(|index| Note::new(*index, state))
                    .collect::<Vec<_>>()
            };
            NewAttempt {
                records: (shape == Shape::Batch).then(|| notes_text(&notes())),
                ..new_row(item, holder, time)
            }
        };
        let sent = unsafe_to_repeat.then(|| row(NoteState::Sent));
        holder.leave(writes, row(NoteState::Doubt), sent).await
    };
    writes.call(set, chunk, before_send, may_send).await
}

fn new_row(item: &Claimed, holder: &Holder<'_>, time: Time) -> NewAttempt {
    NewAttempt::sent(
        holder.attempt_id,
        item.project_id,
        item.operation_id,
        item.attempt + 1,
        time,
    )
}

/// A record that got no answer ends where nobody can find out what became of it; one that collides with what may be its own
/// first request is looked for; one that is refused while an earlier request is in doubt has not certainly failed.
async fn settle_doubts(
    writes: &Writes,
    set: &WriteSet<'_>,
    progress: &Progress,
    turn: &Turn,
    notes: &mut [Note],
    blind: bool,
) {
    for note in notes {
        let index = note.index;
        match (turn.outcome_of(index), progress.records[index].doubt_since) {
            (Some(Outcome::Unknown(error)), _) if !blind && !set.jobs[index].has_unique_value() => {
                let text = not_sent_again(&error.message);
                *note = Note::with_error(index, NoteState::NeedsReview, text);
            }
            (Some(Outcome::Rejected(error)), Some(since))
                if error.class == ErrorClass::Conflict && set.action == Action::Create =>
            {
                match writes.look_for(&set.jobs[index], since).await {
                    Found::NotNow { .. } => note.state = NoteState::Retry,
                    Found::Absent => {}
                    found => {
                        if let Some(found) = note_of(index, set.action, found) {
                            *note = found;
                        }
                    }
                }
            }
            _ => {}
        }
        progress.records[index].doubt(note);
    }
}

/// The item leaves the queue: every record has ended.
fn settled(
    item: &Claimed,
    set: &WriteSet<'_>,
    progress: &Progress,
    done_before: &[bool],
    class: &'static str,
) -> Attempted {
    let result = result_of(set.shape, &item.object, progress, item.attempt);
    Attempted {
        freed: freed(set, progress, done_before),
        ..Attempted::without_call(Ending::Finish(result), class)
    }
}

/// Every open record fails for the same reason.
fn end_all(item: &Claimed, shape: Shape, mut progress: Progress, text: &str) -> Attempted {
    progress.end_open(|index, record| record.failure(index, text.to_owned()));
    let result = result_of(shape, &item.object, &progress, item.attempt);
    Attempted::without_call(Ending::Finish(result), "config")
}

/// Ends every open record at the deadline, each with its reason.
async fn end_expired(
    writes: &Writes,
    item: &Claimed,
    shape: Shape,
    progress: &mut Progress,
    waiting: &HashSet<usize>,
) -> Result<(), StoreError> {
    let behind = match shape {
        Shape::Single => item.behind,
        Shape::Batch => !waiting.is_empty(),
    };
    let behind = if behind {
        Some(behind_text(writes, item).await?)
    } else {
        None
    };
    let said = match shape {
        Shape::Single => last_said(&attempts_of(writes, item).await?),
        Shape::Batch => None,
    };
    progress.end_open(|index, record| {
        let waits = shape == Shape::Single || waiting.contains(&index);
        let of_record = || Some((item.attempt.max(1), record.last_error.clone()?));
        let text = match (
            said.clone().or_else(of_record),
            behind.as_deref().filter(|_| waits),
        ) {
            (Some((tries, last)), None) => gave_up_text(tries, &last),
            (_, Some(behind)) => behind.to_owned(),
            (None, None) => "the deadline passed before it could be tried".to_owned(),
        };
        record.failure(index, text)
    });
    Ok(())
}

/// What the last attempt of a single write came to, and how many there were. Those that a limit refused are not counted by the
/// item, and were tried all the same.
fn last_said(attempts: &[Attempt]) -> Option<(i32, String)> {
    let last = attempts.iter().max_by_key(|attempt| attempt.start_time)?;
    let tried: HashSet<Uuid> = attempts.iter().map(|attempt| attempt.id).collect();
    let said = attempts
        .iter()
        .filter(|attempt| attempt.id == last.id)
        .find_map(|attempt| attempt.message.as_deref().or(attempt.class.as_deref()));
    let tried = i32::try_from(tried.len()).unwrap_or(i32::MAX);
    Some((tried, said.unwrap_or("no answer is known").to_owned()))
}

/// Why a record has ended at its deadline that stood behind an earlier write.
async fn behind_text(writes: &Writes, item: &Claimed) -> Result<String, StoreError> {
    let live = writes
        .store()
        .get_live(item.project_id, item.operation_id)
        .await?;
    Ok(match live.and_then(|live| live.held_by) {
        Some(holder) => format!(
            "the deadline passed while it was held behind operation {holder}, an earlier write to the same record that failed; \
             replay, resolve or release that one, then replay this one"
        ),
        None => {
            "the deadline passed while an earlier write to the same record was still being tried".to_owned()
        }
    })
}

/// What is wrong with a stored request, in one line.
fn first_of(error: &WriteError) -> String {
    match error {
        WriteError::Items(problems) => problems
            .first()
            .map(|problem| format!("{}: {}", problem.name, problem.detail))
            .unwrap_or_default(),
        error => error.to_string(),
    }
}
