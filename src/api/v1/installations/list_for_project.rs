//! `GET /v1/projects/{project}/installations`

use axum::Json;
use axum::extract::State;

use super::list::Filter;
use super::{Installation, with_connections};
use crate::api::auth::Scope;
use crate::api::extract::Params;
use crate::api::problem::Problem;
use crate::app::AppState;

/// List installations of a project
///
/// Of all integrations, oldest first.
#[utoipa::path(get, path = "/v1/projects/{project}/installations", tag = "Installation", operation_id = "listInstallationsForProject",
    params(("project" = String, Path, description = "The project's id or name."),
           ("groupRef" = Option<String>, Query, description = "Only this customer's.")),
    responses((status = 200, description = "The installations.", body = Vec<Installation>)))]
pub async fn list_installations_for_project(
    State(app): State<AppState>,
    scope: Scope,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<Installation>>, Problem> {
    let project_id = scope.project().id;
    let rows = app
        .store
        .list_installations(project_id, None, filter.group_ref.as_deref())
        .await?;
    Ok(Json(with_connections(&app, project_id, rows).await?))
}
