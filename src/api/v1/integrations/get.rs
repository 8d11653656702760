//! `GET /v1/projects/{project}/integrations/{integration}`

use axum::Json;
use axum::extract::State;

use super::Integration;
use crate::api::auth::OpenScope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Get an integration
///
/// By id or name.
#[utoipa::path(get, path = "/v1/projects/{project}/integrations/{integration}", tag = "Integration", operation_id = "getIntegration",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name.")),
    responses((status = 200, description = "The integration.", body = Integration), (status = 404, description = "No such integration.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn get_integration(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String)>,
) -> Result<Json<Integration>, Problem> {
    let Segments((_, integration)) = segments;
    let found = app.control.integration(scope.project().id, &integration).await?;
    Ok(Json(Integration::from(found)))
}
