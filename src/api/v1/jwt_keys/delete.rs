//! `DELETE /v1/projects/{project}/jwt-keys/{key}`

use axum::extract::State;
use http::StatusCode;

use super::NOT_FOUND;
use crate::api::auth::Scope;
use crate::api::extract::{Segments, id};
use crate::api::problem::Problem;
use crate::app::AppState;

/// Delete a JWT key
///
/// Its tokens open nothing any more: at once on this node, within a second on every other.
#[utoipa::path(delete, path = "/v1/projects/{project}/jwt-keys/{key}", tag = "JWT Key", operation_id = "deleteJWTKey",
    params(("project" = String, Path, description = "The project's id or name."), ("key" = String, Path, description = "The key's id.")),
    responses((status = 204, description = "Gone."), (status = 404, description = "No such key.")))]
pub async fn delete_jwt_key(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    let Segments((_, key)) = segments;
    let key = id(&key, NOT_FOUND)?;
    let projects = &app.control.projects;
    projects
        .delete_jwt_key(scope.actor(), scope.project().id, key)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
