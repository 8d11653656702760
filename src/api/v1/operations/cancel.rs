//! `POST /v1/projects/{project}/operations/{operation}:cancel`

use std::time::Duration;

use axum::Json;
use uuid::Uuid;

use super::{Operation, not_found, read, wrong_state};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::store::CancellationState;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time between two looks at its answer.
const LOOK: Duration = Duration::from_millis(500);

/// Cancel an operation
///
/// Ends an asynchronous write that has not been sent. One that may have been sent is refused: the answer says in which state it is.
#[utoipa::path(post, path = "/v1/projects/{project}/operations/{operation}:cancel", tag = "Operation", operation_id = "cancelOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    responses((status = 200, description = "It will not be sent.", body = Operation), (status = 404, description = "No such operation."),
              (status = 409, description = "It has ended, is being performed, or may have been applied; `context.state` says which."),
              (status = 503, description = "No worker answers; nothing was changed.")))]
#[expect(dead_code, reason = "the description of a verb that steer.rs serves")]
pub(crate) const fn cancel_operation() {}

pub(super) async fn cancel(
    app: &App,
    project_id: Uuid,
    operation_id: Uuid,
) -> Result<Json<Operation>, Problem> {
    let row = app
        .store
        .get_operation(project_id, operation_id)
        .await?
        .ok_or_else(not_found)?;
    if let Some(state) = row.state {
        return Err(wrong_state("the operation has ended", state.as_str()));
    }
    // Only the worker that has its lane knows whether it has begun. It is asked through the store, wherever it runs.
    let ended = app.writes.finished.wait_for(project_id, operation_id);
    app.store
        .ask_to_cancel(project_id, operation_id, row.connection_id)
        .await?;
    app.writes.cancel_asked.notify_one();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut wait = Duration::from_millis(10);
    let mut refusal = None;
    loop {
        match app.store.cancellation(project_id, operation_id).await? {
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
    app.store.withdraw_cancellation(project_id, operation_id).await?;
    let operation = read(app, project_id, operation_id).await?.ok_or_else(not_found)?;
    let state = operation.metadata.state.as_str();
    match refusal {
        _ if state == "cancelled" => Ok(Json(operation)),
        Some(reason) => Err(wrong_state(
            &format!("the operation cannot be cancelled: {reason}"),
            state,
        )),
        None if operation.status == "in_progress" => {
            let detail = "no worker answers; the operation was not cancelled";
            Err(Problem::new(Code::NoWorker, detail)
                .retry_after(Duration::from_secs(1))
                .remedy("See that a process with the role all or worker runs, and try again."))
        }
        None => Err(wrong_state("the operation has ended", state)),
    }
}
