//! `POST /v1/projects/{project}/api-keys`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ApiKey;
use crate::api::auth::Scope;
use crate::api::extract::JsonBody;
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::clock::Time;

/// What a new key shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyRequest {
    /// A name for people.
    pub label: String,
    /// `full` when absent.
    pub scopes: Option<Vec<String>>,
    /// From then on it opens nothing; never when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
}

/// Create an API key
///
/// The answer is the only one that shows the key itself.
#[utoipa::path(post, path = "/v1/projects/{project}/api-keys", tag = "API Key", operation_id = "createApiKey",
    params(("project" = String, Path, description = "The project's id or name.")), request_body = ApiKeyRequest,
    responses((status = 201, description = "The new key.", body = ApiKey)))]
pub async fn create_api_key(
    State(app): State<AppState>,
    scope: Scope,
    JsonBody(request): JsonBody<ApiKeyRequest>,
) -> Result<(StatusCode, Json<ApiKey>), Problem> {
    let (key, made) = app
        .control
        .projects
        .create_key(
            scope.actor(),
            scope.project().id,
            request.label,
            request.scopes.as_deref(),
            request.expires_at,
        )
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(ApiKey {
            key,
            ..ApiKey::from(made)
        }),
    ))
}
