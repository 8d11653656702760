//! One turn of a batch: one call for some of its records, and what follows. The batch goes back to its lane after each
//! call, so it holds a slot no longer than a single write does, and the lane's limits count each call.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::conclude::{LaneEffect, MIN_PAUSE, Situation, again, conclude, finish, gave_up_text, with_quota};
use super::item::{Attempted, CutOff, Holder, UNUSABLE_WAIT, Unsent, has_unique_value, hint_of, left};
use super::retry::Wait;
use crate::action::Action;
use crate::connectors::{ErrorClass, Outcome, RetryClass};
use crate::store::{AttemptState, Claimed, CloseGathered, EndState, Ending, NewAttempt, PauseReason};
use crate::writes::batch::{Batch, Note, NoteState, Progress, Turn, notes_text, result_of};
use crate::writes::perform::may_have_been_applied;
use crate::writes::route::RouteError;
use crate::writes::{Found, Writes, error_of, may_repeat_blindly, read_stored_batch};

/// The wait while earlier writes to all of its records are in the queue.
const RECORDS_WAIT: Duration = Duration::from_secs(1);
/// How a record ends whose request got no answer, and that nobody can look for.
const NOT_SENT_AGAIN: &str = "it may have been applied, and it is not sent again";

/// Performs one turn.
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
    let object = item.object.as_str();
    // With what is known of its records, once that is known.
    let unusable = |message: String, progress: Option<Progress>| {
        tracing::error!(operation.id = %item.operation_id, "a write cannot be performed by this process: {message}");
        let situation = Situation {
            object,
            spent: item.attempt.max(1),
            left: left(item, claimed_at),
            base,
            jitter: fastrand::f64(),
            hint: Some(Wait::guess(UNUSABLE_WAIT)),
            can_resolve: false,
        };
        let ending = again(&situation, || match progress {
            Some(progress) => end_all(item, progress, &message).ending,
            None => finish(EndState::Failed, object, None, Some(message), item.attempt),
        });
        Attempted {
            effect: LaneEffect::Pause(UNUSABLE_WAIT, PauseReason::Backoff),
            ..Attempted::without_call(ending, "unusable")
        }
    };
    let (stored, records) = match read_stored_batch(&item.request) {
        Ok(read) => read,
        Err(message) => return Ok(unusable(message, None)),
    };
    if records.is_empty() {
        return close(writes, item, holder).await;
    }
    let Some(action) = Action::parse(&item.action) else {
        let message = format!("the stored action `{}` is unknown to this version", item.action);
        return Ok(unusable(message, None));
    };
    let attempts = writes
        .store()
        .list_attempts(item.project_id, item.operation_id)
        .await?;
    let mut progress = Progress::of(records.len(), &attempts);
    let route = match writes
        .routes
        .find_pinned(item.project_id, item.config_id, item.revision_id, item.lane_id)
        .await
    {
        Ok(route) => route,
        Err(RouteError::Store(error)) => return Err(error.into()),
        Err(error @ RouteError::Gone) => return Ok(end_all(item, progress, &error.to_string())),
        Err(error) => return Ok(unusable(error.to_string(), Some(progress))),
    };
    let plan = match route.plan(object) {
        Ok(plan) => plan,
        Err(error) => return Ok(end_all(item, progress, &error.to_string())),
    };
    let batch = Batch::new(&route, &plan, action, records, false, &stored, item.operation_id);
    let mut batch = match batch {
        Ok(batch) => batch,
        Err(problems) => {
            let text = problems
                .first()
                .map(|problem| format!("{}: {}", problem.name, problem.detail));
            return Ok(end_all(item, progress, &text.unwrap_or_default()));
        }
    };
    for (job, record) in batch.jobs.iter_mut().zip(&progress.records) {
        job.repeated = item.attempt > 0 || record.doubt_since.is_some();
    }
    let done_before: HashSet<usize> = ended(&progress);
    if progress.is_done() {
        // Its last answer came from a worker that had lost it.
        return Ok(settled(item, &batch, &progress, &done_before, "reconciled"));
    }
    let waiting = waiting(writes, item, &batch, &progress).await?;
    let blind = may_repeat_blindly(&stored);
    let must_look = batch.is_unsafe_to_repeat() && !blind;
    if left(item, claimed_at).is_zero() {
        // The last look at what may have been made after all.
        let doubtful: Vec<usize> = progress
            .open()
            .filter(|index| progress.records[*index].doubt_since.is_some())
            .collect();
        let looked = look(writes, &batch, &progress, &doubtful, must_look).await;
        progress.note(&looked.notes);
        progress.end_open(|index, record| {
            let waits = waiting.contains(&index).then_some(
                "the deadline passed while an earlier write to the same record was still being tried",
            );
            let text = match (waits, record.last_error.as_deref()) {
                (Some(text), _) => text.to_owned(),
                (None, Some(last)) => gave_up_text(item.attempt.max(1), last),
                (None, None) => "the deadline passed before it could be tried".to_owned(),
            };
            record.failure(index, text)
        });
        return Ok(settled(item, &batch, &progress, &done_before, "deadline"));
    }
    let chunk = progress.next(&waiting, batch.limit(), batch.all_or_none);
    if chunk.is_empty() {
        let ending = Ending::Retry {
            delay: RECORDS_WAIT,
            attempt: item.attempt,
        };
        return Ok(Attempted::without_call(ending, "waiting"));
    }

    let looked = look(writes, &batch, &progress, &chunk, must_look).await;
    let mut notes = looked.notes;
    progress.note(&notes);
    let turn = match (looked.later, looked.absent.as_slice()) {
        // The provider could not be asked: its answer is treated like one to a write, and the doubt remains.
        (Some(outcome), _) => Err(outcome),
        (None, []) => Err(Outcome::Succeeded {
            record_id: None,
            data: None,
        }),
        (None, absent) => Ok(send(writes, item, claimed_at, holder, &mut batch, absent).await?),
    };
    let mut cut_off = None;
    let (outcomes, attempt, class, quota) = match turn {
        Ok(turn) => {
            let called = turn.outcomes.iter().filter_map(|(index, _)| batch.keys[*index]);
            cut_off = CutOff::of(writes.call_still_out(&turn), called);
            let mut told = turn.notes(object, batch.all_or_none);
            settle_doubts(writes, &batch, &progress, &turn, &mut told, blind).await;
            progress.note(&told);
            notes.extend(told);
            let attempt = turn
                .is_to_be_kept(&notes)
                .then(|| row(item, holder, &turn, &notes));
            let outcomes: HashMap<usize, Outcome> = turn.outcomes.iter().cloned().collect();
            (outcomes, attempt, turn.class(), turn.pause)
        }
        Err(outcome) => {
            let attempt = (!notes.is_empty()).then(|| NewAttempt {
                state: AttemptState::Answered,
                class: Some("reconciled".to_owned()),
                records: Some(notes_text(&notes)),
                ..new_row(item, holder, item.store_now.after(claimed_at.elapsed()))
            });
            let outcomes = match outcome {
                Outcome::Succeeded { .. } => HashMap::new(),
                outcome => chunk.iter().map(|index| (*index, outcome.clone())).collect(),
            };
            (outcomes, attempt, "reconciling", None)
        }
    };
    let mut current = true;
    if let Some(outcome) = outcomes
        .values()
        .find(|outcome| matches!(outcome, Outcome::Unauthorized(_)))
        .or_else(|| {
            let sent = |index: &usize| batch.jobs.get(*index).is_some_and(|job| !job.is_empty_update());
            let accepted = outcomes
                .iter()
                .find(|(index, outcome)| matches!(outcome, Outcome::Succeeded { .. }) && sent(index));
            accepted.map(|(_, outcome)| outcome)
        })
    {
        current = writes.note_credentials(&route, outcome).await;
    }
    let next = Next {
        item,
        situation: Situation {
            object,
            spent: item.attempt + 1,
            left: left(item, claimed_at),
            base,
            jitter: fastrand::f64(),
            hint: None,
            can_resolve: true,
        },
        now: writes.now(),
        waiting: &waiting,
    };
    let (mut attempted, dead) = next.follow(&batch, progress, &outcomes, &done_before);
    attempted.effect = with_quota(attempted.effect, quota);
    attempted.dead_credential = dead && current;
    attempted.attempt = attempt;
    attempted.cut_off = cut_off;
    attempted.class = class;
    Ok(attempted)
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

/// The records for which an earlier write is still in the queue.
async fn waiting(
    writes: &Writes,
    item: &Claimed,
    batch: &Batch<'_>,
    progress: &Progress,
) -> Result<HashSet<usize>, Unsent> {
    let keyed: Vec<(usize, i64)> = progress
        .open()
        .filter_map(|index| Some((index, batch.keys[index]?)))
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
    batch: &Batch<'_>,
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
        match writes.look_for(&batch.jobs[index], since).await {
            Found::Absent => looked.absent.push(index),
            Found::NotNow { outcome } => {
                looked.later = Some(*outcome);
                return looked;
            }
            found => looked.notes.extend(note_of(index, found)),
        }
    }
    looked
}

/// How a record ends after looking for it; `None` when it does not.
fn note_of(index: usize, found: Found) -> Option<Note> {
    let review = |text: String| Note::with_error(index, NoteState::NeedsReview, text);
    match found {
        Found::Ours { record_id } => Some(Note {
            record_id: Some(record_id),
            ..Note::new(index, NoteState::Succeeded)
        }),
        Found::Candidate { record_id } => Some(review(format!(
            "the create was sent and got no answer; record {record_id} has the same unique value, but may be somebody else's"
        ))),
        Found::NoUniqueField => Some(review(format!(
            "the create was sent and got no answer; {NOT_SENT_AGAIN}"
        ))),
        Found::Absent | Found::NotNow { .. } => None,
    }
}

/// Sends one call, with a durable row before it where it must not be repeated blindly.
async fn send(
    writes: &Writes,
    item: &Claimed,
    claimed_at: Instant,
    holder: &Holder<'_>,
    batch: &mut Batch<'_>,
    chunk: &[usize],
) -> Result<Turn, Unsent> {
    let unsafe_to_repeat = batch.is_unsafe_to_repeat();
    let may_send = || holder.shards.may_send(holder.lease);
    let before_send = async |_, carried: Vec<usize>| {
        // By the store's clock, not by this node's: a record that the provider made is ours only when it is not older.
        let row = |state: NoteState| {
            let notes: Vec<Note> = carried.iter().map(|index| Note::new(*index, state)).collect();
            NewAttempt {
                records: Some(notes_text(&notes)),
                ..new_row(item, holder, item.store_now.after(claimed_at.elapsed()))
            }
        };
        let sent = unsafe_to_repeat.then(|| row(NoteState::Sent));
        holder.leave(writes, row(NoteState::Doubt), sent).await
    };
    writes.perform_chunk(batch, chunk, before_send, may_send).await
}

fn new_row(item: &Claimed, holder: &Holder<'_>, time: crate::clock::Time) -> NewAttempt {
    NewAttempt::sent(
        holder.attempt_id,
        item.project_id,
        item.operation_id,
        item.attempt + 1,
        time,
    )
}

fn row(item: &Claimed, holder: &Holder<'_>, turn: &Turn, notes: &[Note]) -> NewAttempt {
    let (id, number) = (holder.attempt_id, item.attempt + 1);
    let row = turn.row(id, item.operation_id, item.project_id, number, notes);
    holder.departed.dated(row)
}

/// A record that got no answer ends where nobody can find out what became of it; one that collides with what may be its own
/// first request is looked for; one that is refused while an earlier request is in doubt has not certainly failed.
async fn settle_doubts(
    writes: &Writes,
    batch: &Batch<'_>,
    progress: &Progress,
    turn: &Turn,
    notes: &mut [Note],
    blind: bool,
) {
    for note in notes {
        let index = note.index;
        let outcome = turn
            .outcomes
            .iter()
            .find(|(of, _)| *of == index)
            .map(|(_, outcome)| outcome);
        match (outcome, progress.records[index].doubt_since) {
            (Some(Outcome::Unknown(error)), _) if !blind && !has_unique_value(&batch.jobs[index]) => {
                let text = format!("{}; {NOT_SENT_AGAIN}", error.message);
                *note = Note::with_error(index, NoteState::NeedsReview, text);
            }
            (Some(Outcome::Rejected(error)), Some(since))
                if error.class == ErrorClass::Conflict && batch.action == Action::Create =>
            {
                match writes.look_for(&batch.jobs[index], since).await {
                    Found::NotNow { .. } => note.state = NoteState::Retry,
                    Found::Absent => {}
                    found => {
                        if let Some(found) = note_of(index, found) {
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

fn ended(progress: &Progress) -> HashSet<usize> {
    let open: HashSet<usize> = progress.open().collect();
    (0..progress.records.len())
        .filter(|index| !open.contains(index))
        .collect()
}

/// The batch leaves the queue: every record has ended.
fn settled(
    item: &Claimed,
    batch: &Batch<'_>,
    progress: &Progress,
    done_before: &HashSet<usize>,
    class: &'static str,
) -> Attempted {
    let result = result_of(&item.object, progress, item.attempt);
    Attempted {
        freed: Some(freed(batch, progress, done_before)),
        ..Attempted::without_call(Ending::Finish(result), class)
    }
}

/// Every open record fails for the same reason.
fn end_all(item: &Claimed, mut progress: Progress, text: &str) -> Attempted {
    progress.end_open(|index, record| record.failure(index, text.to_owned()));
    let result = result_of(&item.object, &progress, item.attempt);
    Attempted::without_call(Ending::Finish(result), "config")
}

/// The keys of the records that have ended in this turn.
fn freed(batch: &Batch<'_>, progress: &Progress, done_before: &HashSet<usize>) -> Vec<i64> {
    ended(progress)
        .difference(done_before)
        .filter_map(|index| batch.keys[*index])
        .collect()
}

/// What follows from a turn.
struct Next<'a> {
    item: &'a Claimed,
    situation: Situation<'a>,
    now: crate::clock::Time,
    waiting: &'a HashSet<usize>,
}

impl Next<'_> {
    /// What happens to the item and its lane, and whether the credentials are dead. Pure.
    fn follow(
        mut self,
        batch: &Batch<'_>,
        mut progress: Progress,
        outcomes: &HashMap<usize, Outcome>,
        done_before: &HashSet<usize>,
    ) -> (Attempted, bool) {
        let mut effect = LaneEffect::None;
        let mut dead = false;
        let stay = |delay: Duration| Ending::Retry {
            delay,
            attempt: self.item.attempt,
        };
        let ending = if progress.is_done() {
            None
        } else if outcomes.values().any(|o| matches!(o, Outcome::Unauthorized(_))) {
            dead = true;
            Some(stay(MIN_PAUSE))
        } else {
            let limit = |outcome: &&Outcome| {
                matches!(
                    outcome,
                    Outcome::Retry {
                        class: RetryClass::RateLimited | RetryClass::Quota,
                        ..
                    }
                )
            };
            let open: HashSet<usize> = progress.open().collect();
            let of_open = || {
                let open = &open;
                outcomes
                    .iter()
                    .filter(move |(index, _)| open.contains(index))
                    .map(|(_, outcome)| outcome)
            };
            let limited = of_open().find(limit);
            let goes_on = !progress
                .next_now(self.waiting, batch.limit(), batch.all_or_none)
                .is_empty();
            let failed =
                of_open().find(|outcome| matches!(outcome, Outcome::Retry { .. } | Outcome::Unknown(_)));
            let put_off = open.iter().any(|index| progress.is_put_off(*index));
            match (limited, goes_on, failed) {
                (Some(outcome), ..) => {
                    self.situation.hint = hint_of(outcome, self.now);
                    let (ending, pause) = conclude(outcome, &self.situation);
                    effect = pause;
                    Some(ending)
                }
                (None, true, _) => Some(stay(Duration::ZERO)),
                (None, false, Some(outcome)) => {
                    self.situation.hint = hint_of(outcome, self.now);
                    let (ending, _) = conclude(outcome, &self.situation);
                    Some(ending)
                }
                // What was put off before waits on; so does what stands behind others.
                (None, false, None) if put_off => {
                    let never = || finish(EndState::Failed, "", None, None, 0);
                    Some(again(&self.situation, never))
                }
                (None, false, None) => Some(stay(RECORDS_WAIT)),
            }
        };
        let ending = match ending {
            Some(ending @ Ending::Retry { .. }) => ending,
            // Done, or given up.
            _ => {
                let situation = &self.situation;
                progress.end_open(|index, record| {
                    let outcome = outcomes.get(&index);
                    let last = record
                        .last_error
                        .as_deref()
                        .or_else(|| Some(error_of(outcome?)?.message.as_str()));
                    let text = situation.gave_up_text(last.unwrap_or("it was not sent"));
                    if outcome.is_some_and(may_have_been_applied) {
                        let text = format!("{text}; it may have been applied");
                        Note::with_error(index, NoteState::NeedsReview, text)
                    } else {
                        record.failure(index, text)
                    }
                });
                Ending::Finish(result_of(&self.item.object, &progress, situation.spent))
            }
        };
        let attempted = Attempted {
            effect,
            freed: Some(freed(batch, &progress, done_before)),
            ..Attempted::without_call(ending, "batch")
        };
        (attempted, dead)
    }
}
