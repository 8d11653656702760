//! `GET /v1/projects`

use axum::Json;

use super::Project;
use crate::api::auth::OpenCaller;

/// List projects
///
/// The project of the API key or the JWT.
#[utoipa::path(get, path = "/v1/projects", tag = "Project", operation_id = "listProjects",
    responses((status = 200, description = "The key's project.", body = Vec<Project>)),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn list_projects(caller: OpenCaller) -> Json<Vec<Project>> {
    Json(vec![Project::from(caller.project())])
}
