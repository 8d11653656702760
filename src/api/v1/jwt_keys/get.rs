//! `GET /v1/projects/{project}/jwt-keys/{key}`

use axum::Json;
use axum::extract::State;

use super::{JwtKey, NOT_FOUND};
use crate::api::auth::Scope;
use crate::api::extract::{Segments, id};
use crate::api::problem::Problem;
use crate::app::AppState;

/// Get a JWT key
#[utoipa::path(get, path = "/v1/projects/{project}/jwt-keys/{key}", tag = "JWT Key", operation_id = "getJWTKey",
    params(("project" = String, Path, description = "The project's id or name."), ("key" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key.", body = JwtKey), (status = 404, description = "No such key.")))]
pub async fn get_jwt_key(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<Json<JwtKey>, Problem> {
    let Segments((_, key)) = segments;
    let key = id(&key, NOT_FOUND)?;
    let found = app.control.projects.get_jwt_key(scope.project().id, key).await?;
    Ok(Json(JwtKey::from(found)))
}
