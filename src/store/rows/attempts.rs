//! Attempts: a row before a request leaves, and one when it is known what came of it.

use uuid::Uuid;

use crate::clock::Time;
use crate::store::enums::words;

row! {
    /// One row of an attempt: its sending, or its answer.
    pub struct Attempt of "attempts" {
        /// One id for the sending and the answer of the same request.
        pub id: Uuid,
        pub operation_id: Uuid,
        pub project_id: Uuid,
        /// Counts from 1.
        pub number: i32,
        /// Whether it is the sending or the answer.
        pub state: AttemptState,
        /// When the request left.
        pub start_time: Time,
        /// The provider's HTTP status, absent when none arrived.
        pub status: Option<i32>,
        /// How the answer was classified.
        pub class: Option<String>,
        /// The provider's message, shortened.
        pub message: Option<String>,
        /// Microseconds until the answer.
        pub latency_us: Option<i64>,
        /// The fields that were left out because the provider had a value: a JSON list of names.
        pub skipped: Option<String>,
        /// The beginning of the provider's answer to an attempt that failed, without secrets.
        pub excerpt: Option<String>,
        /// Of a batch: the records that it carried and what became of each, a JSON list.
        pub records: Option<String>,
    }
}

/// One row of an attempt to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// One id for the sending and the answer of the same request.
    pub id: Uuid,
    /// The project.
    pub project_id: Uuid,
    /// The operation.
    pub operation_id: Uuid,
    /// Counts from 1.
    pub number: i32,
    /// Sent, or answered.
    pub state: AttemptState,
    /// When the request left.
    pub start_time: Time,
    /// The provider's HTTP status.
    pub status: Option<i32>,
    /// How the answer was classified.
    pub class: Option<String>,
    /// The provider's message, shortened.
    pub message: Option<String>,
    /// Microseconds until the answer.
    pub latency_us: Option<i64>,
    /// The fields that were left out because the provider had a value: a JSON list of names.
    pub skipped: Option<String>,
    /// The beginning of the provider's answer to an attempt that failed, without secrets.
    pub excerpt: Option<String>,
    /// Of a batch: the records that it carries and what became of each, a JSON list.
    pub records: Option<String>,
}

impl NewAttempt {
    /// The row that says "a request is about to leave".
    #[must_use]
    pub const fn sent(id: Uuid, project_id: Uuid, operation_id: Uuid, number: i32, start_time: Time) -> Self {
        Self {
            id,
            project_id,
            operation_id,
            number,
            state: AttemptState::Sent,
            start_time,
            status: None,
            class: None,
            message: None,
            latency_us: None,
            skipped: None,
            excerpt: None,
            records: None,
        }
    }
}

words! {
    /// Which row of an attempt this is.
    "attempts.state",
    pub enum AttemptState {
        /// Written before the request leaves.
        Sent = "sent",
        /// Written when its outcome is known.
        Answered = "answered",
        /// Written when no usable answer came: the outcome stays in doubt.
        Unanswered = "unanswered",
    }
}
