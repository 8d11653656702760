//! Why a write was neither accepted nor performed.

use uuid::Uuid;

use super::Written;
use super::backlog::QueueFull;
use super::request::Invalid;
use super::route::RouteError;
use crate::action::Action;
use crate::connectors::Refusal;
use crate::mapping::{ApplyError, PlanError};
use crate::store::StoreError;

/// Why a write was neither accepted nor performed. Nothing was stored and nothing was sent, except for `NotRecorded`; with
/// `Undecided` it is not known whether it was stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No way to the provider.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The manifest has no such object, or its rules contradict each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The record cannot be written as it is.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The connector cannot make a request of it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The installation does not allow deletes of this object.
    #[error("deletes of `{0}` are not enabled for this installation")]
    DeleteNotEnabled(String),
    /// Records of a batch cannot be written as they are.
    #[error("records of the batch cannot be written")]
    Items(Vec<Invalid>),
    /// The connector cannot do this.
    #[error("{provider} does not support {action} for `{object}`")]
    Unsupported {
        /// The provider.
        provider: String,
        /// What was asked.
        action: Action,
        /// Of what.
        object: String,
    },
    /// Headers for a provider that takes none.
    #[error("{0} takes no headers from the app")]
    HeadersNotTaken(String),
    /// Associations for a provider, or an action, without them.
    #[error("{0}")]
    AssociationsNotTaken(String),
    /// The credentials are known to be dead.
    #[error("the provider no longer accepts the credentials of this connection")]
    DeadCredential,
    /// So many writes wait that no more are taken.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// The store failed before anything was sent.
    #[error(transparent)]
    Store(StoreError),
    /// It was to be accepted, and the store does not say whether it has committed: it may be performed.
    #[error("the database does not say whether the write was accepted: it may be performed, or may not")]
    Undecided {
        /// Its operation, should it be there; unknown for one that shares an operation with others.
        operation_id: Option<Uuid>,
        /// Whether the request carried an idempotency key, which makes it safe to repeat.
        keyed: bool,
    },
    /// The operation cannot be repeated.
    #[error("it cannot be replayed: {0}")]
    NotReplayable(String),
    /// The idempotency key was used for another request.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused {
        /// The operation of that request.
        operation_id: Uuid,
    },
    /// The first request with this idempotency key is still being performed.
    #[error("the first request with this Idempotency-Key is still being performed")]
    KeyInUse {
        /// Its operation.
        operation_id: Option<Uuid>,
    },
    /// The first request with this idempotency key was sent, and nobody knows whether it was applied.
    #[error(
        "the first request with this Idempotency-Key was sent, and it is not known whether it was applied"
    )]
    OutcomeUnknown {
        /// Its operation.
        operation_id: Uuid,
        /// What is known.
        errors: Vec<String>,
    },
    /// The first request with this idempotency key outlived its process, and has failed since.
    #[error("the first request with this Idempotency-Key has failed")]
    Ended {
        /// Its operation.
        operation_id: Uuid,
        /// Why.
        errors: Vec<String>,
    },
    /// The provider has answered, but its answer could not be stored.
    #[error("the provider has answered, but the outcome could not be stored")]
    NotRecorded {
        /// What the provider said.
        written: Box<Written>,
    },
}
