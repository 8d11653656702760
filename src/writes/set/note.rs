//! What became of the records that a call carried, as it is kept with the attempt and with the result.

use serde::{Deserialize, Serialize};

use crate::writes::IN_DOUBT;

/// What became of one record: an entry of the list that is kept with an attempt, and with the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// What became of it.
    pub state: NoteState,
    /// The provider's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same in the provider's own words, where these are known: the result of a single write tells both.
    #[serde(skip)]
    pub told: Option<String>,
    /// The fields that were left out because the provider had a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteState {
    /// It is about to leave.
    Sent,
    /// It did not leave after all.
    Unsent,
    /// The provider has it.
    Succeeded,
    /// It has not been applied, and will not be.
    Failed,
    /// It may have been applied, and nobody can find out but a person.
    NeedsReview,
    /// It was certainly not applied: it is tried again.
    Retry,
    /// It was refused together with others: it is tried again with fewer of them.
    Split,
    /// It left, and no usable answer came. Whether it is tried again or looked for is not said by this.
    Doubt,
}

impl NoteState {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::NeedsReview)
    }

    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Unsent => "unsent",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::NeedsReview => "needs_review",
            Self::Retry => "retry",
            Self::Split => "split",
            Self::Doubt => "doubt",
        }
    }
}

impl Note {
    /// A note without details.
    #[must_use]
    pub const fn new(index: usize, state: NoteState) -> Self {
        Self {
            index,
            state,
            record_id: None,
            error: None,
            told: None,
            skipped: Vec::new(),
        }
    }

    /// While an earlier request for its record is in doubt, "failed" would say more than is known.
    pub(super) fn doubt(&mut self) {
        if self.state != NoteState::Failed {
            return;
        }
        self.state = NoteState::NeedsReview;
        let text = self.error.take().unwrap_or_default();
        self.error = Some(format!("{text}; {IN_DOUBT}"));
        if let Some(told) = &mut self.told {
            *told = format!("{told}; {IN_DOUBT}");
        }
    }

    /// A note that says what went wrong.
    #[must_use]
    pub fn with_error(index: usize, state: NoteState, error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::new(index, state)
        }
    }
}

/// Notes as the store keeps them.
#[must_use]
pub fn notes_text(notes: &[Note]) -> String {
    // Made of numbers and strings alone: it cannot fail.
    serde_json::to_string(notes).expect("notes are JSON")
}

/// Notes as the store keeps them; none when there are none, or when they are not what this version writes.
#[must_use]
pub fn read_notes(text: Option<&str>) -> Vec<Note> {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}
