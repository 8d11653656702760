//! What was decided for each field, and why.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What was decided for one field. On the wire: `{"source": "phone", "target": "mobilephone", "decision":
/// "mapped"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceEntry {
    /// The field as the app wrote it. `None` when the request did not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The field as the provider knows it. `None` when it leads to no provider field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// What leaves in the place of `null`, at a provider where another value empties a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<String>,
}

/// The decisions. A field has one: the last that was made about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// In the mapping: written under the provider's name, which may be the same.
    Mapped,
    /// Not in the mapping: written as it came.
    PassedThrough,
    /// Missing from the request: the default is written.
    Defaulted,
    /// Mapped, and the app's value replaced by the provider's value for it.
    ValueMapped,
    /// Mapped, but the value has no counterpart in the value mapping: written as it came.
    ValueNotMapped,
    /// Not in the mapping, and unmapped fields are dropped here.
    DroppedUnmapped,
    /// The mapping is declared, but the customer chose no field for it.
    DroppedNotChosen,
    /// `writeOnCreate: never`.
    SkippedWriteOnCreate,
    /// `writeOnUpdate: never`.
    SkippedWriteOnUpdate,
    /// `writeOnUpdate: ifEmpty`, and the provider has a value.
    SkippedNotEmpty,
}

impl Decision {
    /// The word on the wire, such as `dropped_unmapped`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::PassedThrough => "passed_through",
            Self::Defaulted => "defaulted",
            Self::ValueMapped => "value_mapped",
            Self::ValueNotMapped => "value_not_mapped",
            Self::DroppedUnmapped => "dropped_unmapped",
            Self::DroppedNotChosen => "dropped_not_chosen",
            Self::SkippedWriteOnCreate => "skipped_write_on_create",
            Self::SkippedWriteOnUpdate => "skipped_write_on_update",
            Self::SkippedNotEmpty => "skipped_not_empty",
        }
    }

    /// Whether the field is not written because no mapping leads it anywhere. `strict` refuses these.
    #[must_use]
    pub const fn is_drop(self) -> bool {
        matches!(self, Self::DroppedUnmapped | Self::DroppedNotChosen)
    }

    /// Whether the field is not written because the customer's write rules say so.
    #[must_use]
    pub const fn is_skip(self) -> bool {
        matches!(
            self,
            Self::SkippedWriteOnCreate | Self::SkippedWriteOnUpdate | Self::SkippedNotEmpty
        )
    }
}

/// How many fields the warnings name: the header must fit where headers are limited to a few kilobytes.
const MOST_WARNINGS: usize = 20;

/// How many bytes of a field's name a warning shows.
const MOST_NAME_BYTES: usize = 80;

/// What happened to fields of the request that the app may not expect, one short text each:
/// `dropped_unmapped: notes`.
///
/// Fields that the request did not have are not named. The texts are printable ASCII without `,` and `%`
/// other than as percent-encoding, so that they can be joined with `, ` in one header; after 20 of them one
/// says how many more.
#[must_use]
pub fn warnings(trace: &[TraceEntry]) -> Vec<String> {
    let told = |entry: &&TraceEntry| {
        entry.decision.is_drop() || entry.decision.is_skip() || entry.decision == Decision::ValueNotMapped
    };
    let mut named = trace
        .iter()
        .filter(told)
        .filter_map(|entry| Some((entry.source.as_deref()?, entry.decision)));
    let mut warnings: Vec<String> = named
        .by_ref()
        .take(MOST_WARNINGS)
        .map(|(source, decision)| {
            let mut text = format!("{}: ", decision.as_str());
            push_ascii(&mut text, source);
            text
        })
        .collect();
    match named.count() {
        0 => {}
        more => warnings.push(format!("and {more} more")),
    }
    warnings
}

/// Adds a name, percent-encoding what a header cannot hold; a long name ends in `...`.
fn push_ascii(text: &mut String, name: &str) {
    let end = text.len() + MOST_NAME_BYTES;
    for byte in name.bytes() {
        if text.len() >= end {
            text.push_str("...");
            return;
        }
        match byte {
            b' '..=b'~' if !matches!(byte, b',' | b'%') => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
}
