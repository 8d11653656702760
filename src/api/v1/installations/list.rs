//! `GET /v1/projects/{project}/integrations/{integration}/installations`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::{Installation, with_connections};
use crate::api::auth::OpenScope;
use crate::api::extract::{Params, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;

/// Which installations to list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    pub(super) group_ref: Option<String>,
}

/// List installations of an integration
///
/// Oldest first.
#[utoipa::path(get, path = "/v1/projects/{project}/integrations/{integration}/installations", tag = "Installation", operation_id = "listInstallations",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("groupRef" = Option<String>, Query, description = "Only this customer's.")),
    responses((status = 200, description = "The installations.", body = Vec<Installation>)),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn list_installations(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String)>,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<Installation>>, Problem> {
    let Segments((_, integration)) = segments;
    let project_id = scope.project().id;
    let integration = app.control.integration(project_id, &integration).await?;
    let rows = app
        .control
        .installations(scope.actor(), project_id, Some(integration.id), filter.group_ref)
        .await?;
    Ok(Json(
        with_connections(&app, scope.actor(), project_id, rows).await?,
    ))
}
