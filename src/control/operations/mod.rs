//! Operations: looked at, cancelled, released, resolved, repeated.

mod cancel;
mod replay;
mod resolve;
mod standing;

use uuid::Uuid;

use super::{Control, Error};
use crate::store::{Attempt, EndState, Operation, StoreError};
pub use replay::{Filter, MAX_REPLAYS, Replay, Replayed, ReplayedMany, Skipped};
pub use resolve::{Resolution, ResolvedRecord};
pub use standing::Standing;

/// An operation, and where it stands.
#[derive(Debug)]
pub struct Seen {
    /// The operation.
    pub row: Operation,
    /// Its attempts, oldest first: a row for the sending and one for the answer.
    pub attempts: Vec<Attempt>,
    /// Where it stands, unless it has ended.
    pub standing: Standing,
    /// The operations that repeat it, oldest first.
    pub replayed_as: Vec<Uuid>,
}

impl Seen {
    /// How it ended, or where it stands.
    #[must_use]
    pub fn state(&self) -> &str {
        self.row.state.map_or(self.standing.state, EndState::as_str)
    }
}

impl Control {
    /// One operation with all that is known of it.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn operation(&self, project_id: Uuid, operation_id: Uuid) -> Result<Seen, Error> {
        let mut row = self.operation_row(project_id, operation_id).await?;
        let mut live = None;
        if row.state.is_none() {
            live = self.store.get_live(project_id, operation_id).await?;
            if live.is_none() {
                // It has ended between the two looks.
                row = self.operation_row(project_id, operation_id).await?;
            }
        }
        let attempts = self.store.list_attempts(project_id, operation_id).await?;
        let standing = live.map_or_else(Standing::default, |live| standing::of(&row, &live, &attempts));
        let replayed_as = self.store.list_replays(project_id, operation_id).await?;
        Ok(Seen {
            row,
            attempts,
            standing,
            replayed_as,
        })
    }

    async fn operation_row(&self, project_id: Uuid, operation_id: Uuid) -> Result<Operation, Error> {
        let found = self.store.get_operation(project_id, operation_id).await?;
        found.ok_or_else(not_found)
    }

    /// Where an operation stands that has not ended; `None` when it has meanwhile.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn standing(&self, row: &Operation) -> Result<Option<Standing>, StoreError> {
        let Some(live) = self.store.get_live(row.project_id, row.id).await? else {
            return Ok(None);
        };
        let attempts = self.store.list_attempts(row.project_id, row.id).await?;
        Ok(Some(standing::of(row, &live, &attempts)))
    }

    /// Lets the later writes to a record run although an earlier one has failed: all holds of the record end.
    ///
    /// # Errors
    /// When there is no such operation, it neither holds its record nor is held, or the store fails.
    pub async fn release(
        &self,
        actor: &super::Actor,
        project_id: Uuid,
        operation_id: Uuid,
    ) -> Result<Seen, Error> {
        let released = self.store.release_record(project_id, operation_id).await?;
        let seen = self.operation(project_id, operation_id).await?;
        let Some(lane_id) = released else {
            let detail = "the operation neither holds later writes to its record nor is held itself";
            return Err(Error::wrong_state(detail, seen.state()));
        };
        self.steered(actor, lane_id);
        tracing::info!(operation.id = %operation_id, "the later writes to a record are held no longer");
        Ok(seen)
    }

    /// The end of a change that lets a lane go on. Nothing that is cached depends on it.
    fn steered(&self, actor: &super::Actor, lane_id: Uuid) {
        self.done.note(actor, &[]);
        self.writes.new_work.changed(lane_id);
    }
}

fn not_found() -> Error {
    Error::not_found("Operation not found for the given operation ID.")
        .remedy("Verify the operation ID and project are correct, or list operations to find a valid ID.")
}
