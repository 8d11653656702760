//! Cancelling: the worker that has an operation's shard answers, because only it knows what it has started.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{Cancellation, Cancelled, EndState, NewResult, StoreError};
use crate::writes::{Writes, error_list};

/// How often requests of other processes are looked for.
const POLL: Duration = Duration::from_millis(500);

/// Answers requests to cancel for as long as the worker lives.
pub(super) async fn serve(writes: Arc<Writes>, worker: Uuid, stop: CancellationToken) {
    // Barred, and the store did not say whether they are cancelled.
    let mut in_doubt: Vec<Cancellation> = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = writes.cancel_asked.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        if let Err(error) = answer_all(&writes, worker, &mut in_doubt).await
            && writes.health.is_worth_a_line(&error)
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "requests to cancel could not be answered; trying again"
            );
        }
    }
}

async fn answer_all(
    writes: &Writes,
    worker: Uuid,
    in_doubt: &mut Vec<Cancellation>,
) -> Result<(), StoreError> {
    let store = writes.store();
    while let Some(asked) = in_doubt.last() {
        // What is still in the queue was not cancelled.
        if store
            .get_live(asked.project_id, asked.operation_id)
            .await?
            .is_some()
        {
            writes.running.unbar(asked.operation_id);
        }
        in_doubt.pop();
    }
    for asked in store.cancellations_for(worker).await? {
        let (project_id, id) = (asked.project_id, asked.operation_id);
        if !writes.running.bar(id) {
            let reason = "it is being performed";
            store.refuse_cancellation(project_id, id, reason).await?;
            continue;
        }
        let text = "cancelled before it was sent";
        let result = NewResult {
            state: EndState::Cancelled,
            summary: text.to_owned(),
            record_id: None,
            errors: error_list(&[text.to_owned()]),
            attempts: 0,
            records: None,
        };
        let refusal = match store.cancel(worker, project_id, id, &result).await {
            Ok(Cancelled::Yes) => {
                tracing::info!(operation.id = %id, "write cancelled");
                writes.backlog.add(project_id, asked.lane_id, -1);
                writes.finished.ended([id]);
                // Writes to the same record may have waited for this one.
                writes.new_work.changed(asked.lane_id);
                continue;
            }
            Ok(Cancelled::Gone) if store.get_live(project_id, id).await?.is_some() => {
                // The shard is another worker's by now: it will answer.
                writes.running.unbar(id);
                continue;
            }
            Ok(Cancelled::Gone) => "it is no longer in the queue",
            Ok(Cancelled::Synchronous) => "it is a synchronous write, which is being performed",
            Ok(Cancelled::MaybeApplied) => "it was sent before, and may have been applied",
            Err(error) => {
                in_doubt.push(asked);
                return Err(error);
            }
        };
        writes.running.unbar(id);
        store.refuse_cancellation(project_id, id, refusal).await?;
    }
    Ok(())
}
