//! `PATCH /v1/projects/{project}/api-keys/{key}`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ApiKey;
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::clock::Time;
use crate::control::keys::KeyPatch;

/// What to change of a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchApiKeyRequest {
    /// Any of `label`, `active`, `scopes`, `expiresAt`.
    pub update_mask: Vec<String>,
    /// The new values of what the mask names.
    pub api_key: ApiKeyPatch,
}

/// New values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyPatch {
    /// A name for people.
    pub label: Option<String>,
    /// An inactive key opens nothing.
    pub active: Option<bool>,
    /// `full`, `frontend`.
    pub scopes: Option<Vec<String>>,
    /// From then on it opens nothing.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
}

/// Update an API key
///
/// Changes what the mask names.
#[utoipa::path(patch, path = "/v1/projects/{project}/api-keys/{key}", tag = "API Key", operation_id = "updateApiKey",
    params(("project" = String, Path, description = "The project's id or name."), ("key" = String, Path, description = "The key's id, or the key.")),
    request_body = PatchApiKeyRequest,
    responses((status = 200, description = "The key, masked.", body = ApiKey), (status = 404, description = "No such key.")))]
pub async fn update_api_key(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
    JsonBody(request): JsonBody<PatchApiKeyRequest>,
) -> Result<Json<ApiKey>, Problem> {
    let Segments((_, key)) = segments;
    let mut patch = KeyPatch::default();
    for (index, mask) in request.update_mask.iter().enumerate() {
        let missing = || Problem::invalid(format!("apiKey.{mask}"), "is named in updateMask but missing");
        let given = &request.api_key;
        match mask.as_str() {
            "label" => patch.label = Some(given.label.clone().ok_or_else(missing)?),
            "active" => patch.active = Some(given.active.ok_or_else(missing)?),
            "scopes" => patch.scopes = Some(given.scopes.clone().ok_or_else(missing)?),
            "expiresAt" => patch.expire_time = Some(given.expires_at.ok_or_else(missing)?),
            _ => {
                return Err(Problem::invalid(
                    format!("updateMask[{index}]"),
                    "must be label, active, scopes or expiresAt",
                ));
            }
        }
    }
    let changed = app
        .control
        .projects
        .update_key(scope.actor(), scope.project().id, &key, patch)
        .await
        .map_err(|error| error.within("apiKey."))?;
    Ok(Json(ApiKey::from(changed)))
}
