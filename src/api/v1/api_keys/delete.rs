//! `DELETE /v1/projects/{project}/api-keys/{key}`

use axum::extract::State;
use http::StatusCode;

use crate::api::auth::Scope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Delete an API key
///
/// It opens nothing any more: at once on this node, within a second on every other.
#[utoipa::path(delete, path = "/v1/projects/{project}/api-keys/{key}", tag = "API Key", operation_id = "deleteApiKey",
    params(("project" = String, Path, description = "The project's id or name."), ("key" = String, Path, description = "The key's id, or the key.")),
    responses((status = 204, description = "Gone."), (status = 404, description = "No such key.")))]
pub async fn delete_api_key(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    let Segments((_, key)) = segments;
    app.control
        .projects
        .delete_key(scope.actor(), scope.project().id, &key)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
