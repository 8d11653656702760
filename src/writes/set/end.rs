//! How a write ends, from how its records did.

use super::{Note, NoteState, Progress, Shape, Standing, notes_text};
use crate::connectors::Outcome;
use crate::store::{EndState, NewResult};
use crate::writes::outcome::{error_of, may_have_been_applied};
use crate::writes::{IN_DOUBT, MESSAGE_CHARS, error_list, summary};

/// Errors of a batch's records that its result lists, at most.
const MAX_ERRORS: usize = 100;

/// How a write ended, from how its records did: all of them have.
#[must_use]
pub fn result_of(shape: Shape, object: &str, progress: &Progress, attempts: i32) -> NewResult {
    match (shape, progress.records.as_slice()) {
        (Shape::Single, [record]) => {
            let untold = || Note::new(0, NoteState::Failed);
            of_single(object, &record.end.clone().unwrap_or_else(untold), attempts)
        }
        _ => of_batch(object, progress, attempts),
    }
}

fn of_single(object: &str, end: &Note, attempts: i32) -> NewResult {
    let state = match end.state {
        NoteState::Succeeded => EndState::Succeeded,
        NoteState::NeedsReview => EndState::NeedsReview,
        _ => EndState::Failed,
    };
    let told = end.told.as_deref().or(end.error.as_deref());
    // That it is in doubt is an error of its own.
    let error = end.error.clone().unwrap_or_default();
    let errors = match (
        state,
        error
            .strip_suffix(IN_DOUBT)
            .and_then(|text| text.strip_suffix("; ")),
    ) {
        (EndState::Succeeded, _) => Vec::new(),
        (_, Some(text)) => vec![text.to_owned(), IN_DOUBT.to_owned()],
        (_, None) => vec![error],
    };
    NewResult {
        state,
        summary: summary(object, told.filter(|_| state != EndState::Succeeded)),
        record_id: end.record_id.clone(),
        errors: error_list(&errors),
        attempts,
        records: None,
    }
}

fn of_batch(object: &str, progress: &Progress, attempts: i32) -> NewResult {
    let ends = progress.ends();
    let (succeeded, failed, unknown) = progress.counts();
    let unknown_too = if unknown > 0 {
        format!(", {unknown} unknown")
    } else {
        String::new()
    };
    let errors: Vec<String> = ends.iter().filter_map(error_of_note).take(MAX_ERRORS).collect();
    NewResult {
        state: match (succeeded, unknown) {
            (_, 1..) => EndState::NeedsReview,
            (1.., _) => EndState::Succeeded,
            _ => EndState::Failed,
        },
        summary: format!(
            "[{object}] Batch write completed ({succeeded} succeeded, {failed} failed{unknown_too})"
        ),
        record_id: None,
        errors: error_list(&errors),
        attempts,
        records: Some(notes_text(&ends)),
    }
}

/// The error of a record, with its place in the batch.
#[must_use]
pub fn error_of_note(note: &Note) -> Option<String> {
    let error = note.error.as_deref()?;
    (note.state != NoteState::Succeeded).then(|| format!("batch[{}]: {error}", note.index))
}

/// How a record ends that is not tried again after this outcome.
pub(super) fn end_untried(index: usize, outcome: &Outcome, record: &Standing) -> Note {
    // Also when it is safe to repeat: whether it was applied is not known.
    let state = if may_have_been_applied(outcome) {
        NoteState::NeedsReview
    } else {
        NoteState::Failed
    };
    let told = || error_of(outcome).map(|error| error.told(MESSAGE_CHARS));
    let text = record.last_error.clone().or_else(told);
    Note {
        told: record.last_told.clone(),
        ..Note::with_error(index, state, text.unwrap_or_else(|| "it was not sent".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;

    fn ended(note: &Note) -> NewResult {
        let mut progress = Progress::new(1);
        progress.note(std::slice::from_ref(note));
        result_of(Shape::Single, "companies", &progress, 2)
    }

    #[test]
    fn a_failure_while_a_request_is_in_doubt_says_so() {
        let mut progress = Progress::of_single(Some(Time::from_micros(1)));
        progress.end_open(|index, record| record.failure(index, "no".to_owned()));
        let result = result_of(Shape::Single, "companies", &progress, 2);
        assert_eq!(result.state, EndState::NeedsReview);
        assert!(
            result.summary.contains("no; an earlier request"),
            "{}",
            result.summary
        );
        let errors: Vec<String> = serde_json::from_str(&result.errors).expect("a list");
        assert_eq!(errors, ["no".to_owned(), IN_DOUBT.to_owned()]);
        let mut done = Note::new(0, NoteState::Succeeded);
        done.doubt();
        assert_eq!(done.state, NoteState::Succeeded);
    }

    #[test]
    fn a_single_write_tells_the_providers_words_and_a_sentence_with_its_object() {
        let result = ended(&Note {
            told: Some("No such column".to_owned()),
            ..Note::with_error(0, NoteState::Failed, "error writing x: No such column".to_owned())
        });
        assert_eq!(
            (result.state, result.attempts, result.records),
            (EndState::Failed, 2, None)
        );
        assert_eq!(
            result.summary,
            "[companies] Error writing to provider: No such column"
        );
        assert_eq!(result.errors, r#"["error writing x: No such column"]"#);
        let made = Note {
            record_id: Some("7".to_owned()),
            ..Note::new(0, NoteState::Succeeded)
        };
        let result = ended(&made);
        assert_eq!(
            (result.record_id.as_deref(), result.errors.as_str()),
            (Some("7"), "[]")
        );
    }
}
