//! `GET /v1/projects/{project}/integrations/{integration}/installations/{installation}`

use axum::Json;
use axum::extract::State;

use super::{Installation, with_connection};
use crate::api::auth::OpenScope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Get an installation
///
/// With its connection and the config in force.
#[utoipa::path(get, path = "/v1/projects/{project}/integrations/{integration}/installations/{installation}", tag = "Installation", operation_id = "getInstallation",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("installation" = String, Path, description = "The installation's id.")),
    responses((status = 200, description = "The installation.", body = Installation), (status = 404, description = "No such installation.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn get_installation(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String, String)>,
) -> Result<Json<Installation>, Problem> {
    let Segments((_, integration, installation)) = segments;
    let project_id = scope.project().id;
    let integration = app.control.integration(project_id, &integration).await?;
    let row = app
        .control
        .installation(scope.actor(), project_id, integration.id, &installation)
        .await?;
    Ok(Json(with_connection(&app, scope.actor(), project_id, row).await?))
}
