//! Ending an asynchronous write that has not been sent.

use std::time::Duration;

use uuid::Uuid;

use super::Seen;
use crate::control::{Actor, Control, Error, Kind};
use crate::store::CancellationState;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time between two looks at its answer.
const LOOK: Duration = Duration::from_millis(500);

impl Control {
    /// Ends an asynchronous write that has not been sent.
    ///
    /// # Errors
    /// When there is no such operation, it has ended or may have been sent, no worker answers, or the store fails.
    pub async fn cancel(&self, actor: &Actor, project_id: Uuid, operation_id: Uuid) -> Result<Seen, Error> {
        let row = self.operation_row(project_id, operation_id).await?;
        if let Some(state) = row.state {
            return Err(Error::wrong_state("the operation has ended", state.as_str()));
        }
        // Only the worker that has its lane knows whether it has begun. It is asked through the store, wherever it runs.
        let ended = self.writes.finished.wait_for(project_id, operation_id);
        self.store
            .ask_to_cancel(project_id, operation_id, row.connection_id)
            .await?;
        self.writes.cancel_asked.notify_one();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut wait = Duration::from_millis(10);
        let mut refusal = None;
        loop {
            match self.store.cancellation(project_id, operation_id).await? {
                CancellationState::Gone => break,
                CancellationState::Refused(reason) => {
                    refusal = Some(reason);
                    break;
                }
                CancellationState::Asked if tokio::time::Instant::now() >= deadline => break,
                CancellationState::Asked => {}
            }
            match &ended {
                Some(ended) => drop(tokio::time::timeout(wait, ended.ended()).await),
                None => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(LOOK);
        }
        // From here on nobody cancels it any more, so what is read next is final.
        self.store.withdraw_cancellation(project_id, operation_id).await?;
        let seen = self.operation(project_id, operation_id).await?;
        let state = seen.state();
        match refusal {
            _ if state == "cancelled" => {
                self.done.note(actor, &[]);
                Ok(seen)
            }
            Some(reason) => {
                let detail = format!("the operation cannot be cancelled: {reason}");
                Err(Error::wrong_state(detail, state))
            }
            None if seen.row.state.is_none() => {
                let detail = "no worker answers; the operation was not cancelled";
                Err(Error::new(Kind::NoWorker, detail)
                    .remedy("See that a process with the role all or worker runs, and try again."))
            }
            None => Err(Error::wrong_state("the operation has ended", state)),
        }
    }
}
