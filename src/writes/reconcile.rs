//! Finding out what became of a create that got no answer.
//!
//! Only where the provider itself keeps a field unique (an email of a contact, say) can this be done: the record is read by
//! that field. Found and ours: the create had gone through. Not there: the create may be sent again, and even if the first
//! one is still under way the provider's own uniqueness refuses the second. In every other case a person must look.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Writes;
use super::perform::Job;
use crate::clock::Time;
use crate::connectors;

/// How far a provider's clock may be behind ours for a record still to count as made by the attempt in doubt.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(120);

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The create had gone through: this is its record.
    Ours {
        /// The provider's id.
        record_id: String,
    },
    /// Something is there, but not certainly ours.
    Candidate {
        /// The provider's id.
        record_id: String,
    },
    /// Nothing is there; it may be sent again.
    Absent,
    /// The provider keeps no field of this record unique: nothing can be found out.
    NoUniqueField,
    /// The provider could not be asked for now.
    NotNow {
        /// Why.
        message: String,
    },
}

/// Looks for the record that an earlier attempt may have made since `sent_since`.
pub(super) async fn look(writes: &Writes, job: &Job<'_>, sent_since: Time) -> Found {
    let connector = &job.route.connector;
    let object = job.plan.provider_object();
    let vars = &job.route.connection.vars;
    for field in connector.unique_fields(object) {
        let Some(value) = job
            .applied
            .record
            .get(field)
            .and_then(Value::as_str)
            .filter(|value| !value.is_empty())
        else {
            continue;
        };
        let Some(request) = connector.find_by_unique(object, field, value, vars) else {
            continue;
        };
        let response = match writes.send(job.route, request).await {
            Ok(response) => response,
            Err(failure) => {
                return Found::NotNow {
                    message: failure.to_string(),
                };
            }
        };
        return match connector.interpret_found(object, vars, &response, writes.clock.now().to_timestamp()) {
            connectors::Found::One {
                id,
                created_at,
                properties,
            } => {
                if is_ours(created_at, &properties, &job.applied.record, sent_since) {
                    Found::Ours { record_id: id }
                } else {
                    Found::Candidate { record_id: id }
                }
            }
            connectors::Found::Several(ids) => Found::Candidate {
                record_id: ids.join(", "),
            },
            connectors::Found::Absent => Found::Absent,
            connectors::Found::Failed(error) => Found::NotNow {
                message: error.message,
            },
        };
    }
    Found::NoUniqueField
}

/// A record is ours when it was made no earlier than our attempt and holds what we sent, as far as it shows it.
fn is_ours(
    created_at: Option<jiff::Timestamp>,
    properties: &Map<String, Value>,
    sent: &Map<String, Value>,
    sent_since: Time,
) -> bool {
    let made_since =
        created_at.is_some_and(|created| Time::from(created).after(CLOCK_TOLERANCE) >= sent_since);
    made_since
        && sent.iter().all(
            |(field, value)| match (properties.get(field).and_then(Value::as_str), value) {
                (Some(there), Value::String(text)) => there.eq_ignore_ascii_case(text.trim()),
                (Some(there), Value::Number(_) | Value::Bool(_)) => *there == *value.to_string(),
                // Cleared, nested or not shown: says nothing either way.
                _ => true,
            },
        )
}
