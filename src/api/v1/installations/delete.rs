//! `DELETE /v1/projects/{project}/integrations/{integration}/installations/{installation}`

use axum::extract::State;
use http::StatusCode;

use crate::api::auth::OpenScope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Delete an installation
///
/// With its connection, when no other installation uses that. Writes that wait in the queue end as failures that say so.
#[utoipa::path(delete, path = "/v1/projects/{project}/integrations/{integration}/installations/{installation}", tag = "Installation", operation_id = "deleteInstallation",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("installation" = String, Path, description = "The installation's id.")),
    responses((status = 204, description = "Gone."), (status = 404, description = "No such installation.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn delete_installation(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String, String)>,
) -> Result<StatusCode, Problem> {
    let Segments((_, integration, installation)) = segments;
    app.control
        .delete_installation(scope.actor(), scope.project().id, &integration, &installation)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
