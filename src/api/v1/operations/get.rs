//! `GET /v1/projects/{project}/operations/{operation}`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::{NOT_FOUND, Operation};
use crate::api::auth::Scope;
use crate::api::extract::{Params, Segments, id};
use crate::api::problem::Problem;
use crate::api::v1::writes::preview::{OutboundRequest, cut};
use crate::app::{App, AppState};
use crate::control;
use crate::control::operations::Seen;

/// The longest wait, in seconds.
const MAX_WAIT: u64 = 60;

/// How long to wait.
#[derive(Debug, Deserialize)]
pub struct Wait {
    wait: Option<String>,
}

/// Get an operation
///
/// Poll it after an asynchronous write until its status is `success` or `failure`, or let `wait` do that: the answer then comes when the operation has ended, or after so many seconds.
#[utoipa::path(get, path = "/v1/projects/{project}/operations/{operation}", tag = "Operation", operation_id = "getOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id."),
           ("wait" = Option<u64>, Query, description = "Seconds to wait for its end, 0 to 60. A server with too many waiting answers at once.")),
    responses((status = 200, description = "The operation, with its attempts, its trace and the request that was sent.", body = Operation), (status = 400, description = "The wait is not 0 to 60."),
              (status = 404, description = "No such operation.")))]
pub async fn get_operation(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
    Params(Wait { wait }): Params<Wait>,
) -> Result<Json<Operation>, Problem> {
    let Segments((_, operation)) = segments;
    let project_id = scope.project().id;
    let operation = id(&operation, NOT_FOUND)?;
    let wait = match wait.as_deref().map(str::parse::<u64>) {
        None => 0,
        Some(Ok(wait)) if wait <= MAX_WAIT => wait,
        Some(_) => {
            let detail = format!("must be a number of seconds from 0 to {MAX_WAIT}");
            return Err(Problem::query("wait", detail));
        }
    };
    // Registered before the first look, so that an end between the two is not missed.
    let waiting = (wait > 0)
        .then(|| app.writes.finished.wait_for(project_id, operation))
        .flatten();
    let seen = app.control.operation(project_id, operation).await?;
    let Some(waiting) = waiting.filter(|_| seen.row.state.is_none()) else {
        return explained(&app, &seen).await;
    };
    // Nothing is held meanwhile but a place in the list of those who wait.
    tokio::select! {
        () = waiting.ended() => {}
        () = tokio::time::sleep(Duration::from_secs(wait)) => {}
        // A stop does not wait for those who wait.
        () = app.stopping.cancelled() => {}
    }
    drop(waiting);
    let again = app.control.operation(project_id, operation).await;
    match again {
        Err(control::Error::Refused(_)) => explained(&app, &seen).await,
        again => explained(&app, &again?).await,
    }
}

/// Adds what was decided for each field, and the request.
async fn explained(app: &App, seen: &Seen) -> Result<Json<Operation>, Problem> {
    let (row, mut operation) = (&seen.row, Operation::from(seen));
    let derived = app.writes.derive(row, &seen.attempts).await?;
    // Only where something is missing is it asked what.
    let expired = derived.is_none() && app.store.get_request(row.project_id, row.id).await?.is_none();
    operation.metadata.payload_expired = expired.then_some(true);
    if let Some(derived) = derived {
        operation.metadata.name_records(derived.named);
        (operation.metadata.trace, operation.metadata.trace_left_out) = cut(derived.trace);
        operation.metadata.request = derived.request.map(OutboundRequest::from);
    }
    Ok(Json(operation))
}
