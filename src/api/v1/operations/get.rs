//! `GET /v1/projects/{project}/operations/{operation}`

use axum::Json;
use axum::extract::State;

use super::Operation;
use crate::api::auth::Scope;
use crate::api::extract::{Segments, id};
use crate::api::problem::Problem;
use crate::api::v1::writes::preview::{OutboundRequest, TraceEntry};
use crate::app::AppState;

const NOT_FOUND: &str = "Operation not found for the given operation ID.";

/// Get an operation
///
/// Poll it after an asynchronous write until its status is `success` or `failure`.
#[utoipa::path(get, path = "/v1/projects/{project}/operations/{operation}", tag = "Operation", operation_id = "getOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    responses((status = 200, description = "The operation, with its attempts, its trace and the request that was sent.", body = Operation), (status = 404, description = "No such operation.")))]
pub async fn get_operation(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<Json<Operation>, Problem> {
    let Segments((_, operation)) = segments;
    let project_id = scope.project().id;
    let operation = id(&operation, NOT_FOUND)?;
    let row = app
        .store
        .get_operation(project_id, operation)
        .await?
        .ok_or_else(|| {
            Problem::not_found(NOT_FOUND).remedy(
                "Verify the operation ID and project are correct, or list operations to find a valid ID.",
            )
        })?;
    let attempts = app.store.list_attempts(project_id, operation).await?;
    // What was left out is decided when a request leaves: the last one counts.
    let skipped = attempts
        .iter()
        .rev()
        .find_map(|attempt| attempt.skipped.as_deref());
    let skipped: Vec<String> = skipped
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let derived = app.writes.derive(&row, &skipped).await?;
    // Only where something is missing is it asked what.
    let expired = derived.is_none() && app.store.get_request(project_id, row.id).await?.is_none();
    let mut operation = Operation::new(row, attempts);
    operation.metadata.payload_expired = expired.then_some(true);
    if let Some(derived) = derived {
        operation.metadata.trace = derived.trace.into_iter().map(TraceEntry::from).collect();
        // The request holds the record, which is for the app's backend alone.
        if scope.caller.has_scope("full") {
            operation.metadata.request = derived.request.map(OutboundRequest::from);
        }
    }
    Ok(Json(operation))
}
