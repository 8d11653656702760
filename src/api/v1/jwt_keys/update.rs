//! `PATCH /v1/projects/{project}/jwt-keys/{key}`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{JwtKey, NOT_FOUND};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments, id};
use crate::api::problem::{Code, Problem};
use crate::app::AppState;
use crate::store::JwtKeyChange;

/// What to change of a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchJwtKeyRequest {
    /// Any of `active`, `label`; `name` is the label, too.
    pub update_mask: Vec<String>,
    /// The new values of what the mask names.
    pub jwt_key: JwtKeyPatch,
}

/// New values.
#[derive(Debug, Deserialize, ToSchema)]
pub struct JwtKeyPatch {
    /// The tokens of an inactive key open nothing.
    pub active: Option<bool>,
    /// A name for people.
    pub label: Option<String>,
    /// The same, as some clients call it.
    pub name: Option<String>,
}

/// Update a JWT key
///
/// Changes what the mask names. The key itself cannot change: add another one.
#[utoipa::path(patch, path = "/v1/projects/{project}/jwt-keys/{key}", tag = "JWT Key", operation_id = "updateJWTKey",
    params(("project" = String, Path, description = "The project's id or name."), ("key" = String, Path, description = "The key's id.")),
    request_body = PatchJwtKeyRequest,
    responses((status = 200, description = "The key.", body = JwtKey), (status = 400, description = "The mask names something else, or nothing."),
              (status = 404, description = "No such key."), (status = 422, description = "What the mask names is missing.")))]
pub async fn update_jwt_key(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
    JsonBody(request): JsonBody<PatchJwtKeyRequest>,
) -> Result<Json<JwtKey>, Problem> {
    let Segments((_, key)) = segments;
    let key = id(&key, NOT_FOUND)?;
    if request.update_mask.is_empty() {
        return Err(Problem::invalid("updateMask", "must name active, label or both"));
    }
    let mut change = JwtKeyChange::default();
    let given = request.jwt_key;
    for (index, mask) in request.update_mask.iter().enumerate() {
        let missing = || {
            let problem = Problem::invalid(format!("jwtKey.{mask}"), "is named in updateMask but missing");
            problem.of_kind(Code::ValueMissing)
        };
        match mask.as_str() {
            "active" => change.active = Some(given.active.ok_or_else(missing)?),
            "label" => change.label = Some(given.label.clone().ok_or_else(missing)?),
            "name" => change.label = Some(given.name.clone().ok_or_else(missing)?),
            _ => {
                return Err(Problem::invalid(
                    format!("updateMask[{index}]"),
                    "must be active or label",
                ));
            }
        }
    }
    let projects = &app.control.projects;
    let changed = projects.update_jwt_key(scope.actor(), scope.project().id, key, &change);
    Ok(Json(JwtKey::from(
        changed.await.map_err(|error| error.within("jwtKey."))?,
    )))
}
