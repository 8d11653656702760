//! What follows from a turn: pure functions of what is known of its records.

use std::collections::HashSet;
use std::time::Duration;

use super::conclude::{Follows, LaneEffect, MIN_PAUSE, Situation, again, conclude};
use super::item::Attempted;
use super::retry::Wait;
use crate::clock::Time;
use crate::connectors::{Outcome, RetryClass};
use crate::store::{Claimed, Ending};
use crate::writes::error_of;
use crate::writes::outcome::may_have_been_applied;
use crate::writes::set::{Note, NoteState, Progress, Shape, Standing, WriteSet, result_of};

/// The wait while earlier writes to all of its records are in the queue.
pub(super) const RECORDS_WAIT: Duration = Duration::from_secs(1);

/// The next attempt by the backoff, or this end.
pub(super) fn again_or(situation: &Situation, end: impl FnOnce() -> Ending) -> Ending {
    let over = || Follows::End {
        state: NoteState::Failed,
        text: String::new(),
    };
    match again(situation, over) {
        Follows::Again { delay, attempt } => Ending::Retry { delay, attempt },
        Follows::End { .. } => end(),
    }
}

/// What is known when a turn has ended.
pub(super) struct Known<'a> {
    /// The item.
    pub item: &'a Claimed,
    /// Attempts and times; the hint follows from the outcome that decides.
    pub situation: Situation,
    /// This process's clock.
    pub now: Time,
    /// The records.
    pub set: &'a WriteSet<'a>,
    /// Those that stand behind earlier writes.
    pub waiting: &'a HashSet<usize>,
    /// The provider could not be asked what became of some: until it can, nothing goes on.
    pub asked_in_vain: bool,
}

impl Known<'_> {
    /// What happens to the item and its lane, and whether the credentials are dead.
    pub fn follow(
        mut self,
        mut progress: Progress,
        outcomes: &[(usize, Outcome)],
        done_before: &[bool],
    ) -> Attempted {
        let (follows, effect) = self.next(&progress, outcomes);
        let dead_credential = !progress.is_done()
            && outcomes
                .iter()
                .any(|(_, outcome)| matches!(outcome, Outcome::Unauthorized(_)));
        let end = match follows {
            Some(Follows::Again { delay, attempt }) => Ok(Ending::Retry { delay, attempt }),
            Some(Follows::End { state, text }) => Err(Some((state, text))),
            None => Err(None),
        };
        let ending = end.unwrap_or_else(|decided| {
            progress.end_open(|index, record| self.end(index, record, outcomes, decided.as_ref()));
            let spent = self.situation.spent;
            Ending::Finish(result_of(self.set.shape, &self.item.object, &progress, spent))
        });
        Attempted {
            effect,
            dead_credential,
            freed: freed(self.set, &progress, done_before),
            ..Attempted::without_call(ending, "turn")
        }
    }

    /// What follows for the records that are open; `None` when there are none.
    fn next(&mut self, progress: &Progress, outcomes: &[(usize, Outcome)]) -> (Option<Follows>, LaneEffect) {
        let stay = |delay: Duration| {
            let attempt = self.item.attempt;
            (Some(Follows::Again { delay, attempt }), LaneEffect::None)
        };
        if progress.is_done() {
            return (None, LaneEffect::None);
        }
        let is_open = |index: usize| {
            progress
                .records
                .get(index)
                .is_some_and(|record| record.end.is_none())
        };
        let of_open = || {
            let open = outcomes.iter().filter(|(index, _)| is_open(*index));
            open.map(|(_, outcome)| outcome)
        };
        if outcomes
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Unauthorized(_)))
        {
            return stay(MIN_PAUSE);
        }
        let is_limit = |outcome: &&Outcome| {
            matches!(
                outcome,
                Outcome::Retry {
                    class: RetryClass::RateLimited | RetryClass::Quota,
                    ..
                }
            )
        };
        let goes_on = || {
            let next = progress.next_now(self.waiting, self.set.limit(), self.set.all_or_none);
            !self.asked_in_vain && !next.is_empty()
        };
        let decides = match of_open().find(is_limit) {
            Some(limited) => Some(limited),
            None if goes_on() => return stay(Duration::ZERO),
            None => of_open().find(|outcome| matches!(outcome, Outcome::Retry { .. } | Outcome::Unknown(_))),
        };
        if let Some(outcome) = decides {
            self.situation.hint = hint_of(outcome, self.now);
            if let Some((follows, effect)) = conclude(outcome, &self.situation) {
                // Only a limit is the lane's.
                return (Some(follows), effect);
            }
        }
        // What was put off before waits on; so does what stands behind others.
        if self.asked_in_vain || progress.open().any(|index| progress.is_put_off(index)) {
            let over = || Follows::End {
                state: NoteState::Failed,
                text: String::new(),
            };
            return (Some(again(&self.situation, over)), LaneEffect::None);
        }
        stay(RECORDS_WAIT)
    }

    /// How an open record ends when nothing follows for it any more. `decided` is the end of the record whose outcome decided.
    fn end(
        &self,
        index: usize,
        record: &Standing,
        outcomes: &[(usize, Outcome)],
        decided: Option<&(NoteState, String)>,
    ) -> Note {
        let outcome = outcomes
            .iter()
            .find_map(|(of, outcome)| (*of == index).then_some(outcome));
        if self.set.shape == Shape::Single {
            let mut note = match decided {
                Some((state, text)) if !text.is_empty() => Note::with_error(index, *state, text.clone()),
                // It collided, and what it collided with could not be looked at in time.
                _ if record.last_error.is_some() => Note {
                    error: record.last_error.clone(),
                    told: record.last_told.clone(),
                    ..Note::new(index, NoteState::Failed)
                },
                _ => {
                    let told = outcome.and_then(error_of).map(|error| error.told(usize::MAX));
                    let text = told.unwrap_or_else(|| "it was not sent".to_owned());
                    Note::with_error(index, NoteState::Failed, self.situation.gave_up_text(&text))
                }
            };
            record.doubt(&mut note);
            return note;
        }
        let message = || Some(error_of(outcome?)?.message.as_str());
        let last = record.last_error.as_deref().or_else(message);
        let text = self.situation.gave_up_text(last.unwrap_or("it was not sent"));
        if outcome.is_some_and(may_have_been_applied) {
            let text = format!("{text}; it may have been applied");
            Note::with_error(index, NoteState::NeedsReview, text)
        } else {
            record.failure(index, text)
        }
    }
}

/// Which records have ended.
pub(super) fn ended(progress: &Progress) -> Vec<bool> {
    let records = progress.records.iter();
    records.map(|record| record.end.is_some()).collect()
}

/// Of a batch: the keys of the records that have ended in this turn.
pub(super) fn freed(set: &WriteSet<'_>, progress: &Progress, done_before: &[bool]) -> Option<Vec<i64>> {
    if set.shape == Shape::Single {
        return None;
    }
    let now = ended(progress);
    let newly = (0..now.len()).filter(|index| now[*index] && !done_before[*index]);
    Some(newly.filter_map(|index| set.keys()[index]).collect())
}

/// When the next attempt may be worth it, seen from `now`.
fn hint_of(outcome: &Outcome, now: Time) -> Option<Wait> {
    match outcome {
        Outcome::Retry { after, .. } => after.map(|hint| Wait {
            time: hint.wait(now.to_timestamp()),
            named: hint.is_named(),
        }),
        _ => None,
    }
}
