//! Repeating operations, one or many.

use futures_util::StreamExt as _;
use uuid::Uuid;

use super::not_found;
use crate::action::Action;
use crate::clock::Time;
use crate::control::{Actor, Control, Error, Kind};
use crate::store::{EndState, NewIdempotencyKey, Operation, OperationFilter, StateFilter};
use crate::writes::replay::{Mapping, not_written};

/// Operations of one request when nothing is asked.
const DEFAULT_LIMIT: usize = 100;
/// Operations of one request at most.
pub const MAX_REPLAYS: usize = 1_000;
/// So many are accepted at a time: they share commits.
const AT_ONCE: usize = 50;

/// How to repeat.
#[derive(Debug, Clone, Copy)]
pub struct Replay {
    /// Under which rules.
    pub mapping: Mapping,
    /// Also when this may make a second record.
    pub force: bool,
}

/// Which operations to repeat.
#[derive(Debug)]
pub struct Filter {
    /// How they ended.
    pub state: EndState,
    /// The object's name in the manifest.
    pub object: Option<String>,
    /// The customer.
    pub group_ref: Option<String>,
    /// Accepted at this time or later.
    pub since: Option<Time>,
    /// Accepted before this time.
    pub until: Option<Time>,
    /// At most so many, the newest first; 100 when `None`.
    pub limit: Option<usize>,
    /// Only count.
    pub dry_run: bool,
}

/// The operation that repeats another.
#[derive(Debug, Clone, Copy)]
pub struct Replayed {
    /// The new operation.
    pub operation_id: Uuid,
    /// The one that it repeats.
    pub replay_of: Uuid,
}

/// An operation that was not repeated.
#[derive(Debug)]
pub struct Skipped {
    /// The operation.
    pub operation_id: Uuid,
    /// Why.
    pub why: Error,
}

/// What was repeated.
#[derive(Debug)]
pub struct ReplayedMany {
    /// Operations that match and have not been repeated before, up to the limit.
    pub matched: usize,
    /// The new operations; none on a dry run.
    pub replayed: Vec<Replayed>,
    /// What was not repeated, and why.
    pub skipped: Vec<Skipped>,
    /// Whether there are more than the limit.
    pub more: bool,
}

/// Why an operation is not repeated without force.
fn needs_force(operation: &Operation) -> Option<&'static str> {
    match (operation.state, operation.action) {
        // Of a batch only what was not written is repeated.
        (Some(EndState::Succeeded), _) if operation.records.is_some() => None,
        (Some(EndState::Succeeded), Action::Create) => {
            Some("the create succeeded: replaying it makes a second record")
        }
        (Some(EndState::NeedsReview), Action::Create) => {
            Some("the create may have been applied: replaying it may make a second record")
        }
        _ => None,
    }
}

impl Control {
    /// Accepts the stored request of an operation that has ended as a new, asynchronous one; of a batch, the records that were
    /// not written.
    ///
    /// # Errors
    /// When there is no such operation, it has not ended or needs force, or the new one cannot be accepted.
    pub async fn replay(
        &self,
        actor: &Actor,
        project_id: Uuid,
        operation_id: Uuid,
        how: Replay,
        key: Option<NewIdempotencyKey>,
    ) -> Result<Replayed, Error> {
        let (operation, accepting) = self
            .writes
            .find_to_replay(project_id, operation_id)
            .await?
            .ok_or_else(not_found)?;
        let Some(state) = operation.state else {
            return Err(Error::wrong_state("the operation has not ended", "queued")
                .remedy("Wait for its end, or cancel it first."));
        };
        if let Some(reason) = needs_force(&operation).filter(|_| !how.force) {
            return Err(Error::wrong_state(reason, state.as_str())
                .remedy("Send `\"force\": true` if that is what you want."));
        }
        let records = not_written(&operation, &accepting, true);
        let written = self
            .writes
            .replay(&operation, &accepting, how.mapping, &records, key)
            .await?;
        self.done.note(actor, &[]);
        Ok(Replayed {
            operation_id: written.operation_id,
            replay_of: operation_id,
        })
    }

    /// Repeats what matches and has not been repeated yet, so that asking again goes on where the last request ended.
    ///
    /// # Errors
    /// When there is no such integration, the limit cannot be one, or the store fails.
    pub async fn replay_many(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: &str,
        filter: Filter,
        how: Replay,
    ) -> Result<ReplayedMany, Error> {
        let limit = filter.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_REPLAYS).contains(&limit) {
            return Err(Error::invalid(
                "limit",
                format!("must be from 1 to {MAX_REPLAYS}"),
            ));
        }
        let integration = self.integration(project_id, integration).await?.id;
        let installations = match filter.group_ref.as_deref() {
            Some(group) => Some(
                self.installations_of(project_id, Some(integration), group)
                    .await?,
            ),
            None => None,
        };
        let matching = OperationFilter {
            installations,
            integration: Some(integration),
            object: filter.object,
            state: Some(StateFilter::Ended(vec![filter.state])),
            since: filter.since,
            until: filter.until,
            not_replayed: true,
            limit,
            ..OperationFilter::default()
        };
        let page = self.store.list_operations(project_id, &matching).await?;
        let mut answer = ReplayedMany {
            matched: page.rows.len(),
            replayed: Vec::new(),
            skipped: Vec::new(),
            more: page.next.is_some(),
        };
        if filter.dry_run {
            return Ok(answer);
        }
        let mut done = futures_util::stream::iter(page.rows)
            .map(|operation| self.one_of_many(actor, operation, how))
            .buffered(AT_ONCE);
        while let Some((operation_id, result)) = done.next().await {
            match result {
                Ok(replayed) => answer.replayed.push(replayed),
                Err(why) => answer.skipped.push(Skipped { operation_id, why }),
            }
        }
        Ok(answer)
    }

    async fn one_of_many(
        &self,
        actor: &Actor,
        operation: Operation,
        how: Replay,
    ) -> (Uuid, Result<Replayed, Error>) {
        let id = operation.id;
        if let Some(reason) = needs_force(&operation).filter(|_| !how.force) {
            let detail = format!("{reason}; send force if that is what you want");
            return (id, Err(Error::new(Kind::WrongState, detail)));
        }
        let forced = Replay { force: true, ..how };
        let replayed = self.replay(actor, operation.project_id, id, forced, None);
        let result = replayed.await.map_err(|error| match error {
            Error::Refused(refused) if refused.kind == Kind::NotFound => {
                Error::new(Kind::NotFound, "it is no longer kept")
            }
            error => error,
        });
        (id, result)
    }
}
