//! `GET /v1/projects/{project}/operations/{operation}`

use axum::Json;
use axum::extract::State;

use super::Operation;
use crate::api::auth::Scope;
use crate::api::extract::{Segments, id};
use crate::api::problem::Problem;
use crate::app::AppState;

const NOT_FOUND: &str = "Operation not found for the given operation ID.";

/// Get an operation
///
/// Poll it after an asynchronous write until its status is `success` or `failure`.
#[utoipa::path(get, path = "/v1/projects/{project}/operations/{operation}", tag = "Operation", operation_id = "getOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    responses((status = 200, description = "The operation, with its attempts.", body = Operation), (status = 404, description = "No such operation.")))]
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
    Ok(Json(Operation::new(row, attempts)))
}
