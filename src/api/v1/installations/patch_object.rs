//! `PATCH /v1/projects/{project}/integrations/{integration}/objects/{object}/config-content`

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::update::placed;
use super::{Installation, answer, with_connection};
use crate::api::auth::OpenScope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::control::installations::ObjectPatch;

/// What to change of one object's config.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchObjectRequest {
    /// The customer; or name the installation.
    pub group_ref: Option<String>,
    /// The installation; or name the group.
    pub installation_id: Option<String>,
    /// `read`, `write` or `subscribe`.
    pub action: String,
    /// JSON Patch: `add`, `remove` and `replace`.
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<Value>,
}

/// Change one object of a config
///
/// JSON Patch (RFC 6902) with `add`, `remove` and `replace` on the config of one object.
#[utoipa::path(patch, path = "/v1/projects/{project}/integrations/{integration}/objects/{object}/config-content", tag = "Installation", operation_id = "patchObjectConfigContent",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("object" = String, Path, description = "The object's name.")),
    request_body = PatchObjectRequest,
    responses((status = 200, description = "The installation.", body = Installation),
              (status = 400, description = "A change cannot be applied, or the config would not fit.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn patch_object_config_content(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String, String)>,
    JsonBody(request): JsonBody<PatchObjectRequest>,
) -> Result<(HeaderMap, Json<Installation>), Problem> {
    let Segments((_, integration, object)) = segments;
    let project_id = scope.project().id;
    let patch = ObjectPatch {
        installation: request.installation_id.as_deref(),
        group_ref: request.group_ref.as_deref(),
        action: &request.action,
        object: &object,
        changes: &request.changes,
    };
    let updated = app
        .control
        .patch_object(scope.actor(), project_id, &integration, patch)
        .await
        .map_err(placed)?;
    Ok(answer(
        with_connection(&app, scope.actor(), project_id, updated).await?,
    ))
}
