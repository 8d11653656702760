//! `DELETE /v1/projects/{project}/integrations/{integration}`

use axum::extract::State;
use http::StatusCode;

use crate::api::auth::Scope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Delete an integration
///
/// With all its installations. Writes that wait in the queue end as failures that say so.
#[utoipa::path(delete, path = "/v1/projects/{project}/integrations/{integration}", tag = "Integration", operation_id = "deleteIntegration",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name.")),
    responses((status = 204, description = "Gone."), (status = 404, description = "No such integration.")))]
pub async fn delete_integration(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    let Segments((_, integration)) = segments;
    app.control
        .delete_integration(scope.actor(), scope.project().id, &integration)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
