//! `GET /v1/projects/{project}`

use axum::Json;
use serde::Deserialize;

use super::{Entitlement, Entitlements, Project};
use crate::api::auth::OpenScope;
use crate::api::extract::Params;

/// What is asked for beside the project.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    include_entitlements: Option<String>,
}

/// Get a project
///
/// By id or name.
#[utoipa::path(get, path = "/v1/projects/{project}", tag = "Project", operation_id = "getProject",
    params(("project" = String, Path, description = "The project's id or name."),
           ("includeEntitlements" = Option<bool>, Query, description = "Also tell what the project may do.")),
    responses((status = 200, description = "The project.", body = Project), (status = 404, description = "No such project.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn get_project(scope: OpenScope, Params(options): Params<Options>) -> Json<Project> {
    let mut project = Project::from(scope.project());
    project.entitlements =
        (options.include_entitlements.as_deref() == Some("true")).then_some(Entitlements {
            branding_removal: Entitlement { value: true },
        });
    Json(project)
}
