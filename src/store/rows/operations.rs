//! Operations: accepted and performed.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Gather, Gathered, NewAttempt};
use crate::action::Action;
use crate::clock::Time;
use crate::store::Result;
use crate::store::enums::{StoredWord, decode_word, words};

/// Operations: accepted and performed.
#[async_trait]
pub trait OperationStore: Send + Sync {
    /// Accepts writes: each operation with its queue item and its idempotency key, all or none. Answers for each, in order,
    /// when it was accepted, or that its key is taken: of such a one nothing is stored, and its neighbours do not mind. What
    /// repeats a write that holds its record takes that write's place in the order. One with [`Gather`] becomes a record of
    /// the open operation with its batch key, and is told which one.
    async fn accept_operations(&self, operations: &[AcceptOperation]) -> Result<Vec<Accepted>>;
    /// Ends synchronous writes that were accepted before they were sent. True for each that took effect; false when its
    /// queue item has been taken over. Attempts are kept in any case.
    async fn finish_operations(&self, finishes: &[FinishOperation]) -> Result<Vec<bool>>;
    /// Records synchronous writes that have been performed, all or none.
    async fn record_operations(&self, operations: &[RecordOperation]) -> Result<()>;
}

/// What both kinds of operation have in common.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// Its id.
    pub id: Uuid,
    /// The project.
    pub project_id: Uuid,
    /// The integration.
    pub integration_id: Uuid,
    /// The installation.
    pub installation_id: Uuid,
    /// The config in force.
    pub config_id: Uuid,
    /// The latest revision.
    pub revision_id: Uuid,
    /// The connection, and lane.
    pub connection_id: Uuid,
    /// The object as the app named it.
    pub object: String,
    /// What it does.
    pub action: Action,
    /// The request as received: JSON text.
    pub request: String,
    /// The app's own name for the record.
    pub client_ref: Option<String>,
    /// The operation that this one repeats.
    pub replay_of: Option<Uuid>,
}

/// A write to be accepted: it is in the queue from then on.
#[derive(Debug, Clone)]
pub struct AcceptOperation {
    /// The operation.
    pub operation: NewOperation,
    /// Items with the same key in a lane run singly, in the order they were accepted.
    pub record_key: Option<i64>,
    /// Of a batch: the keys of its records, each once.
    pub record_keys: Vec<i64>,
    /// True when later writes to its record are held if it fails.
    pub holds: bool,
    /// How long it may be retried.
    pub deadline: Duration,
    /// The idempotency key that it claims.
    pub key: Option<NewIdempotencyKey>,
    /// Set for a synchronous write: whoever accepts it performs it.
    pub performing: Option<Performing>,
    /// Set for a write that shares an operation with others like it: then this operation is only made when none is open.
    pub gather: Option<Gather>,
}

/// A write that its acceptor is about to perform, while the app waits.
#[derive(Debug, Clone)]
pub struct Performing {
    /// The queue leaves it alone for this long: afterwards its performer is gone for good.
    pub hold: Duration,
    /// Set when it must not be repeated blindly: its first row.
    pub sent: Option<NewAttempt>,
}

/// An idempotency key to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIdempotencyKey {
    /// The key, as the app sent it.
    pub key: String,
    /// SHA-256 of what the app asked for.
    pub fingerprint: Vec<u8>,
}

/// What became of a write to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was accepted at this time.
    At(Time),
    /// It shares an operation with others.
    Gathered(Gathered),
    /// Its idempotency key is taken: nothing of it was stored.
    KeyTaken,
}

/// The end of a write that its acceptor performed. It takes effect only while nobody else has taken the item over.
#[derive(Debug, Clone)]
pub struct FinishOperation {
    /// The project.
    pub project_id: Uuid,
    /// The lane.
    pub lane_id: Uuid,
    /// The operation.
    pub operation_id: Uuid,
    /// The item's time, as accepted.
    pub run_at: Time,
    /// The attempts; they are kept in any case.
    pub attempts: Vec<NewAttempt>,
    /// What happens to the item.
    pub ending: Finish,
}

/// How an acceptor ends what it performed.
#[derive(Debug, Clone)]
pub enum Finish {
    /// With this result, and this answer for whoever repeats the request.
    Result(NewResult, NewAnswer),
    /// It is not known whether it was applied: the queue finds out.
    HandOver,
}

/// What a repeated request is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewAnswer {
    /// This: JSON text.
    Keep(String),
    /// Nothing: it was not applied, and the key is free again.
    Release,
}

/// A synchronous write that has been performed.
#[derive(Debug, Clone)]
pub struct RecordOperation {
    /// The operation.
    pub operation: NewOperation,
    /// How it ended.
    pub result: NewResult,
    /// The attempts: one when a request left, several for a batch that took several calls.
    pub attempts: Vec<NewAttempt>,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewResult {
    /// The end state.
    pub state: EndState,
    /// One line for people.
    pub summary: String,
    /// The provider's record id.
    pub record_id: Option<String>,
    /// The errors: a JSON list of texts.
    pub errors: String,
    /// How many attempts it took.
    pub attempts: i32,
    /// Of a batch: how each record ended, a JSON list.
    pub records: Option<String>,
}

words! {
    /// The states in which an operation can end.
    "operation_results.state",
    pub enum EndState {
        /// The provider has it.
        Succeeded = "succeeded",
        /// It has not been applied, and will not be.
        Failed = "failed",
        /// It may have been applied; a person must look.
        NeedsReview = "needs_review",
        /// It was stopped before it was sent.
        Cancelled = "cancelled",
    }
}

words! {
    /// Who waits for the provider.
    "operations.mode",
    pub enum Mode {
        /// The app.
        Synchronous = "synchronous",
        /// The queue.
        Asynchronous = "asynchronous",
    }
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoFar {
    /// It has not ended.
    InProgress,
    /// It has.
    Ended(EndState),
}

impl StoredWord for SoFar {
    const COLUMN: &'static str = EndState::COLUMN;
    fn of_word(word: &str) -> Option<Self> {
        match word {
            "in_progress" => Some(Self::InProgress),
            _ => EndState::of_word(word).map(Self::Ended),
        }
    }
    fn word(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Ended(state) => state.word(),
        }
    }
}

decode_word!(SoFar);
