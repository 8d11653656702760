//! `GET /v1/projects/{project}`

use axum::Json;

use super::Project;
use crate::api::auth::Scope;

/// Get a project
///
/// By id or name.
#[utoipa::path(get, path = "/v1/projects/{project}", tag = "Project", operation_id = "getProject",
    params(("project" = String, Path, description = "The project's id or name.")),
    responses((status = 200, description = "The project.", body = Project), (status = 404, description = "No such project.")))]
pub async fn get_project(scope: Scope) -> Json<Project> {
    Json(Project::from(scope.project()))
}
