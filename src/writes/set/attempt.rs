//! What is kept of a call: the row of the attempt, and what became of each record.

use uuid::Uuid;

use super::{Note, NoteState, Shape, Turn, WriteSet, notes_text};
use crate::connectors::{ErrorClass, Outcome, ProviderError};
use crate::store::{AttemptState, NewAttempt};
use crate::writes::messages::rejection_within;
use crate::writes::outcome::{class_of, error_of, may_have_been_applied};
use crate::writes::{MESSAGE_CHARS, error_list, excerpt};

impl Turn {
    /// What is kept of each record; `object` as the app named it. A call that was refused as a whole is tried again with fewer
    /// records, unless it would be refused with any.
    #[must_use]
    pub fn notes(&self, set: &WriteSet<'_>, object: &str) -> Vec<Note> {
        let together = self.is_whole && self.carried > 1 && !set.all_or_none;
        // The result of a single write has its error whole.
        let limit = match set.shape {
            Shape::Single => usize::MAX,
            Shape::Batch => MESSAGE_CHARS,
        };
        self.outcomes
            .iter()
            .map(|(index, outcome)| {
                let skipped = self.skipped.iter().find(|(of, _)| of == index);
                let said = |error: &ProviderError| {
                    let told = (set.shape == Shape::Single).then(|| error.told(usize::MAX));
                    (Some(rejection_within(object, error, limit)), told)
                };
                let (error, told) = error_of(outcome).map_or((None, None), said);
                Note {
                    record_id: match outcome {
                        Outcome::Succeeded { record_id, .. } => record_id.clone(),
                        _ => None,
                    },
                    error,
                    told,
                    skipped: skipped.map(|(_, fields)| fields.clone()).unwrap_or_default(),
                    ..Note::new(*index, state_of(outcome, together))
                }
            })
            .collect()
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

    /// The row of the attempt; `None` when nothing needs to be kept of it: nothing left, and nothing was decided that must not
    /// be forgotten. The `notes` are kept with that of a batch; how a single write ended, its result says.
    #[must_use]
    pub fn row(
        &self,
        shape: Shape,
        id: Uuid,
        (project_id, operation_id): (Uuid, Uuid),
        number: i32,
        notes: &[Note],
    ) -> Option<NewAttempt> {
        let decided = match shape {
            // Left out for a reason that only the provider knows.
            Shape::Single => !self.skipped.is_empty(),
            Shape::Batch => notes
                .iter()
                .any(|note| note.state.is_end() || note.state == NoteState::Split),
        };
        if self.sent.is_none() && !decided {
            return None;
        }
        // Of one record is enough: then the operation is in doubt.
        let unanswered = self
            .outcomes
            .iter()
            .any(|(_, outcome)| may_have_been_applied(outcome));
        let failed = self.outcomes.iter().filter_map(|(_, outcome)| error_of(outcome));
        let count = failed.clone().count();
        let message = match (failed.clone().next(), shape) {
            (None, Shape::Single) if self.sent.is_none() => {
                Some("the provider has a value for every field: nothing was sent".to_owned())
            }
            (None, _) => None,
            (Some(error), _) => {
                let text = error.told(MESSAGE_CHARS);
                Some(if self.outcomes.len() > 1 && !self.is_whole {
                    format!("{count} of {} records: {text}", self.outcomes.len())
                } else {
                    text
                })
            }
        };
        let skipped = |(_, fields): &(usize, Vec<String>)| error_list(fields);
        Some(NewAttempt {
            state: if unanswered {
                AttemptState::Unanswered
            } else {
                AttemptState::Answered
            },
            status: self.status.map(i32::from),
            class: Some(self.class().to_owned()),
            message: message.map(|text| text.chars().take(MESSAGE_CHARS).collect()),
            latency_us: self.latency_us,
            skipped: match shape {
                Shape::Single => self.skipped.first().map(skipped),
                Shape::Batch => None,
            },
            excerpt: match count {
                0 => None,
                _ => self.raw.as_deref().and_then(excerpt::excerpt),
            },
            records: match shape {
                Shape::Single => None,
                Shape::Batch => Some(notes_text(notes)),
            },
            ..NewAttempt::sent(
                id,
                project_id,
                operation_id,
                number,
                self.sent.unwrap_or(self.answered_at),
            )
        })
    }
}

fn state_of(outcome: &Outcome, together: bool) -> NoteState {
    match outcome {
        Outcome::Succeeded { .. } => NoteState::Succeeded,
        // Fewer records would change nothing.
        Outcome::Rejected(error) if matches!(error.class, ErrorClass::Forbidden | ErrorClass::Config) => {
            NoteState::Failed
        }
        Outcome::Rejected(_) if together => NoteState::Split,
        Outcome::Rejected(_) => NoteState::Failed,
        other if may_have_been_applied(other) => NoteState::Doubt,
        Outcome::Retry { .. } | Outcome::Unauthorized(_) | Outcome::Unknown(_) => NoteState::Retry,
    }
}
