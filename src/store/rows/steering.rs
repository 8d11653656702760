//! What it takes to follow operations and to steer them.

use async_trait::async_trait;
use uuid::Uuid;

use super::{HoldReason, NewResult, Operation, PauseReason};
use crate::clock::Time;
use crate::store::{MaybeKnown, Result};

/// What it takes to follow operations and to steer them.
#[async_trait]
pub trait SteeringStore: Send + Sync {
    /// What an operation waits for; `None` when it is not in the queue.
    async fn get_live(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Live>>;
    /// Which of these operations have ended; one statement for all who wait, whatever their project.
    async fn which_ended(&self, operations: &[(Uuid, Uuid)]) -> Result<Vec<Uuid>>;
    /// Operations in the order in which they ended, after the given one; complete up to the last one answered.
    async fn list_finished(
        &self,
        project_id: Uuid,
        after: (Time, Uuid),
        limit: i64,
    ) -> Result<Vec<Operation>>;
    /// The store's clock.
    async fn store_now(&self) -> Result<Time>;
    /// What repeating an operation takes; `None` when there is no such operation.
    async fn get_accepting(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Accepting>>;
    /// The operations that repeat this one, oldest first.
    async fn list_replays(&self, project_id: Uuid, operation_id: Uuid) -> Result<Vec<Uuid>>;
    /// Ends a doubt: false unless the operation is in the state needs_review. With `release` it holds its record no longer.
    async fn resolve(
        &self,
        project_id: Uuid,
        operation_id: Uuid,
        result: &NewResult,
        release: bool,
    ) -> Result<bool>;
    /// Ends all holds of a record: the one that this operation holds, or for which it waits. Answers the lane; `None` when
    /// nothing was held.
    async fn release_record(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Uuid>>;
    /// Asks the worker that has the lane's shard to cancel. Asking again is harmless.
    async fn ask_to_cancel(&self, project_id: Uuid, operation_id: Uuid, lane_id: Uuid) -> Result<()>;
    /// Where such a request stands.
    async fn cancellation(&self, project_id: Uuid, operation_id: Uuid) -> Result<CancellationState>;
    /// Takes a request back, whatever it has come to.
    async fn withdraw_cancellation(&self, project_id: Uuid, operation_id: Uuid) -> Result<()>;
    /// The requests that this worker is to answer.
    async fn cancellations_for(&self, worker: Uuid) -> Result<Vec<Cancellation>>;
    /// Refuses a request.
    async fn refuse_cancellation(&self, project_id: Uuid, operation_id: Uuid, reason: &str) -> Result<()>;
    /// Takes an operation out of the queue with the result `cancelled`, unless it may have been sent. The worker must have
    /// the shard, and must not have started it.
    async fn cancel(
        &self,
        worker: Uuid,
        project_id: Uuid,
        operation_id: Uuid,
        result: &NewResult,
    ) -> Result<Cancelled>;
}

row! {
    /// What a waiting operation waits for.
    pub struct Live of "queue_items" {
        /// When it may run.
        pub run_at: Time,
        /// How many attempts have been spent.
        pub attempt: i32,
        /// Set while the lane is held.
        pub hold_reason: Option<MaybeKnown<HoldReason>>,
        /// The lane's last hold: from.
        pub held_from: Option<Time>,
        /// The lane's last hold: until.
        pub held_until: Option<Time>,
        /// Set while a limit pauses the lane.
        pub paused_until: Option<Time>,
        /// Why it was paused last.
        pub pause_reason: Option<MaybeKnown<PauseReason>>,
        /// True when nothing of it can go because of earlier writes to the same records: they wait, hold it, or may still take
        /// effect.
        pub behind: bool,
        /// The write that failed and holds it then: the first one that stands before this one.
        pub held_by: Option<Uuid>,
        /// True while single writes are gathered in it.
        pub gathering: bool,
        /// The store's clock at the time of the read.
        pub store_now: Time,
    }
}

row! {
    /// What repeating an operation takes.
    pub struct Accepting of "operations" {
        /// The request as accepted: JSON text; empty when it is no longer kept.
        pub request: String,
        /// The customer, when the installation is still there.
        pub group_ref: Option<String>,
    }
}

row! {
    /// A request to cancel an operation.
    pub struct Cancellation of "cancellations" {
        pub lane_id: Uuid,
        pub project_id: Uuid,
        pub operation_id: Uuid,
    }
}

/// What came of cancelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be sent: it has its result.
    Yes,
    /// It is in the queue no more, or the worker has lost the shard.
    Gone,
    /// A synchronous write: whoever accepted it performs it.
    Synchronous,
    /// An earlier attempt may have been applied.
    MaybeApplied,
}

/// Where a request to cancel stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancellationState {
    /// No worker has looked at it yet.
    Asked,
    /// A worker has refused, for this reason.
    Refused(String),
    /// It is there no more: it was done, or withdrawn.
    Gone,
}
