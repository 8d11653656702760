//! `GET /v1/projects/{project}/installations`

use axum::Json;
use axum::extract::State;

use super::list::Filter;
use super::{Installation, with_connections};
use crate::api::auth::OpenScope;
use crate::api::extract::Params;
use crate::api::problem::Problem;
use crate::app::AppState;

/// List installations of a project
///
/// Of all integrations, oldest first.
#[utoipa::path(get, path = "/v1/projects/{project}/installations", tag = "Installation", operation_id = "listInstallationsForProject",
    params(("project" = String, Path, description = "The project's id or name."),
           ("groupRef" = Option<String>, Query, description = "Only this customer's.")),
    responses((status = 200, description = "The installations.", body = Vec<Installation>)),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn list_installations_for_project(
    State(app): State<AppState>,
    scope: OpenScope,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<Installation>>, Problem> {
    let project_id = scope.project().id;
    let rows = app
        .control
        .installations(scope.actor(), project_id, None, filter.group_ref)
        .await?;
    Ok(Json(
        with_connections(&app, scope.actor(), project_id, rows).await?,
    ))
}
