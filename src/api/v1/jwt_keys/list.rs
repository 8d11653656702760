//! `GET /v1/projects/{project}/jwt-keys`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::JwtKey;
use crate::api::auth::Scope;
use crate::api::extract::Params;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Which keys to list.
#[derive(Debug, Deserialize)]
pub struct Filter {
    active: Option<bool>,
}

/// List JWT keys
///
/// Oldest first.
#[utoipa::path(get, path = "/v1/projects/{project}/jwt-keys", tag = "JWT Key", operation_id = "listJWTKeys",
    params(("project" = String, Path, description = "The project's id or name."),
           ("active" = Option<bool>, Query, description = "Only active keys.")),
    responses((status = 200, description = "The keys.", body = Vec<JwtKey>)))]
pub async fn list_jwt_keys(
    State(app): State<AppState>,
    scope: Scope,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<JwtKey>>, Problem> {
    let keys = app
        .store
        .list_jwt_keys(scope.project().id, filter.active.unwrap_or(false))
        .await?;
    Ok(Json(keys.into_iter().map(JwtKey::from).collect()))
}
