//! `PATCH /v1/projects/{project}/integrations/{integration}/objects/{object}/config-content`

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::update::{state_of, store_change};
use super::{Installation, answer, find, not_found, with_connection};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::{Code, Problem};
use crate::api::v1::integrations;
use crate::app::AppState;
use crate::manifest::json_patch;

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
              (status = 400, description = "A change cannot be applied, or the config would not fit.")))]
pub async fn patch_object_config_content(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String, String)>,
    JsonBody(request): JsonBody<PatchObjectRequest>,
) -> Result<(HeaderMap, Json<Installation>), Problem> {
    let Segments((_, integration, object)) = segments;
    let project_id = scope.project().id;
    let integration = integrations::find(&app, project_id, &integration).await?;
    let action = request.action.as_str();
    if !matches!(action, "read" | "write" | "subscribe") {
        return Err(Problem::invalid("action", "must be read, write or subscribe"));
    }
    if request.changes.is_empty() {
        return Err(Problem::invalid("changes", "must hold at least one change"));
    }
    let row = match (&request.installation_id, &request.group_ref) {
        (Some(installation), _) => find(&app, project_id, integration.id, installation).await?,
        (None, Some(group)) => app
            .store
            .list_installations(project_id, Some(integration.id), Some(group))
            .await?
            .pop()
            .ok_or_else(not_found)?,
        (None, None) => {
            return Err(Problem::invalid(
                "groupRef",
                "is required: name the group or the installation",
            ));
        }
    };
    let mut state = state_of(&row);
    let objects = &mut state["config"]["content"][action]["objects"];
    let current = objects
        .get(&object)
        .cloned()
        .unwrap_or_else(|| json!({ "objectName": object }));
    let patched = json_patch::apply(&current, &request.changes)
        .map_err(|issues| Problem::issues(Code::InvalidRequest, "the changes cannot be applied", issues))?;
    objects[&object] = patched;
    let updated = store_change(&app, project_id, &integration, &row, &state).await?;
    Ok(answer(with_connection(&app, project_id, updated).await?))
}
