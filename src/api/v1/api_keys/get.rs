//! `GET /v1/projects/{project}/api-keys/{key}`

use axum::Json;
use axum::extract::State;

use super::ApiKey;
use crate::api::auth::Scope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Get an API key
///
/// By its id, or by the key itself.
#[utoipa::path(get, path = "/v1/projects/{project}/api-keys/{key}", tag = "API Key", operation_id = "getApiKey",
    params(("project" = String, Path, description = "The project's id or name."), ("key" = String, Path, description = "The key's id, or the key.")),
    responses((status = 200, description = "The key, masked.", body = ApiKey), (status = 404, description = "No such key.")))]
pub async fn get_api_key(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<Json<ApiKey>, Problem> {
    let Segments((_, key)) = segments;
    let found = app.control.projects.get_key(scope.project().id, &key).await?;
    Ok(Json(ApiKey::from(found)))
}
