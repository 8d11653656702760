//! Finding out what became of a create that got no answer.
//!
//! Only where the provider itself keeps a field unique (an email of a contact, say) can this be done: the record is read by
//! that field. Found and ours: the create had gone through. Not there: the create may be sent again, and even if the first
//! one is still under way the provider's own uniqueness refuses the second. In every other case a person must look.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Writes;
use super::job::Job;
use crate::clock::Time;
use crate::connectors::{self, ErrorClass, Outcome, ProviderError, RetryClass};
use crate::record_rules::find_key;

/// How far a provider's clock may be behind ours for a record still to count as made by the attempt in doubt.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(120);

/// What was found out.
#[derive(Debug, Clone, PartialEq)]
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
        /// What it answered: never a success.
        outcome: Box<Outcome>,
    },
}

/// Looks for the record that an earlier attempt may have made since `sent_since`.
pub(super) async fn look(writes: &Writes, job: &Job<'_>, sent_since: Time) -> Found {
    let connector = &job.route.connector;
    let object = job.plan.provider_object();
    let vars = &job.route.connection.vars;
    for (field, value) in job.unique_values() {
        let Some(request) = connector.find_by_unique(object, field, value, vars) else {
            continue;
        };
        let response = match writes.send(job.route, request).await {
            Ok(response) => response,
            Err(failure) => return not_now(failure.before_write()),
        };
        return match connector.interpret_found(object, vars, &response, writes.clock.now().to_timestamp()) {
            connectors::Found::One { id, created_at, .. } => {
                let made_since = created_at
                    .is_some_and(|created| Time::from(created).after(CLOCK_TOLERANCE) >= sent_since);
                if made_since {
                    compare(writes, job, id, field, value).await
                } else {
                    Found::Candidate { record_id: id }
                }
            }
            connectors::Found::Several(ids) => Found::Candidate {
                record_id: ids.join(", "),
            },
            connectors::Found::Absent => Found::Absent,
            connectors::Found::Failed(error) => not_now(of_error(error)),
        };
    }
    Found::NoUniqueField
}

/// A record that was made since our attempt is ours when it has the unique value, and holds what we sent, as far as it
/// shows it.
async fn compare(writes: &Writes, job: &Job<'_>, record_id: String, field: &str, value: &str) -> Found {
    let connector = &job.route.connector;
    let (object, vars, sent) = (
        job.plan.provider_object(),
        &job.route.connection.vars,
        &job.applied.record,
    );
    let fields: Vec<&str> = sent.keys().map(String::as_str).collect();
    let Some(request) = connector.read_current(object, &record_id, &fields, vars) else {
        return Found::Candidate { record_id };
    };
    let response = match writes.send(job.route, request).await {
        Ok(response) => response,
        Err(failure) => return not_now(failure.before_write()),
    };
    let now = writes.clock.now().to_timestamp();
    match connector.interpret_current(object, &record_id, &fields, vars, &response, now) {
        Ok(current)
            if shows(&current, field, value)
                && holds(&current, sent, connector.record_rules().names.any_case()) =>
        {
            Found::Ours { record_id }
        }
        Ok(_) | Err(Outcome::Rejected(_)) => Found::Candidate { record_id },
        Err(outcome) => not_now(outcome),
    }
}

fn not_now(outcome: Outcome) -> Found {
    Found::NotNow {
        outcome: Box::new(outcome),
    }
}

/// The error of a search as the outcome it would be for a write that was not sent.
fn of_error(error: ProviderError) -> Outcome {
    match error.class {
        ErrorClass::Auth => Outcome::Unauthorized(error),
        ErrorClass::RateLimited => Outcome::Retry {
            error,
            class: RetryClass::RateLimited,
            after: None,
        },
        ErrorClass::Quota => Outcome::Retry {
            error,
            class: RetryClass::Quota,
            after: None,
        },
        _ => Outcome::Retry {
            error,
            class: RetryClass::Transient,
            after: None,
        },
    }
}

/// Whether a record shows this value, as providers keep values of unique fields: without blanks around them, in any case.
fn shows(current: &Map<String, Value>, field: &str, value: &str) -> bool {
    let plain = |text: &str| text.trim().to_lowercase();
    current
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(field))
        .filter_map(|(_, shown)| shown.as_str())
        .any(|shown| plain(shown) == plain(value))
}

/// Whether a record holds what was sent. What was cleared, is nested or is not shown says nothing either way.
fn holds(current: &Map<String, Value>, sent: &Map<String, Value>, any_case: bool) -> bool {
    sent.iter().all(|(field, value)| {
        let there = match find_key(current, field, any_case).and_then(|key| current.get(key)) {
            Some(Value::String(text)) => text.clone(),
            Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar.to_string(),
            _ => return true,
        };
        match value {
            Value::String(text) => there.trim().eq_ignore_ascii_case(text.trim()),
            Value::Number(_) | Value::Bool(_) => there == *value.to_string(),
            _ => true,
        }
    })
}
