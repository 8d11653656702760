//! `GET /v1/projects/{project}/api-keys`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::ApiKey;
use crate::api::auth::Scope;
use crate::api::extract::Params;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Which keys to list.
#[derive(Debug, Deserialize)]
pub struct Filter {
    active: Option<bool>,
}

/// List API keys
///
/// Oldest first, masked.
#[utoipa::path(get, path = "/v1/projects/{project}/api-keys", tag = "API Key", operation_id = "listApiKeys",
    params(("project" = String, Path, description = "The project's id or name."),
           ("active" = Option<bool>, Query, description = "Only active keys.")),
    responses((status = 200, description = "The keys.", body = Vec<ApiKey>)))]
pub async fn list_api_keys(
    State(app): State<AppState>,
    scope: Scope,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<ApiKey>>, Problem> {
    let keys = app
        .store
        .list_api_keys(scope.project().id, filter.active.unwrap_or(false))
        .await?;
    Ok(Json(keys.into_iter().map(ApiKey::from).collect()))
}
