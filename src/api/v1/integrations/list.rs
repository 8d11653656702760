//! `GET /v1/projects/{project}/integrations`

use axum::Json;
use axum::extract::State;

use super::Integration;
use crate::api::auth::OpenScope;
use crate::api::problem::Problem;
use crate::app::AppState;

/// List integrations
///
/// Oldest first, each with its latest revision.
#[utoipa::path(get, path = "/v1/projects/{project}/integrations", tag = "Integration", operation_id = "listIntegrations",
    params(("project" = String, Path, description = "The project's id or name.")),
    responses((status = 200, description = "The integrations.", body = Vec<Integration>)),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn list_integrations(
    State(app): State<AppState>,
    scope: OpenScope,
) -> Result<Json<Vec<Integration>>, Problem> {
    let found = app.store.list_integrations(scope.project().id).await?;
    Ok(Json(found.into_iter().map(Integration::from).collect()))
}
