//! `PATCH /v1/projects/{project}/integrations/{integration}/installations/{installation}`

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Installation, answer, with_connection};
use crate::api::auth::OpenScope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::control::Error;

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateInstallationRequest {
    /// Paths of what changes: `connectionId`, `config.createdBy`, `config.content.write.objects`,
    /// `config.content.write.objects.<name>`, `config.content.write.limits`, `config.content.read.objects.<name>`, and so on.
    /// Empty changes nothing.
    pub update_mask: Vec<String>,
    /// The new values of what the mask names; the rest of it is ignored.
    #[schema(value_type = Object)]
    pub installation: Value,
}

/// Update an installation
///
/// Replaces what the mask names; writes that were accepted before keep the config they were accepted with.
#[utoipa::path(patch, path = "/v1/projects/{project}/integrations/{integration}/installations/{installation}", tag = "Installation", operation_id = "updateInstallation",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("installation" = String, Path, description = "The installation's id.")),
    request_body = UpdateInstallationRequest,
    responses((status = 200, description = "The installation.", body = Installation),
              (status = 400, description = "The mask names something unknown, a masked value is missing, or the config does not fit.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn update_installation(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String, String)>,
    JsonBody(request): JsonBody<UpdateInstallationRequest>,
) -> Result<(HeaderMap, Json<Installation>), Problem> {
    let Segments((_, integration, installation)) = segments;
    let project_id = scope.project().id;
    let updated = app
        .control
        .update_installation(
            scope.actor(),
            project_id,
            &integration,
            &installation,
            &request.update_mask,
            &request.installation,
        )
        .await
        .map_err(placed)?;
    Ok(answer(
        with_connection(&app, scope.actor(), project_id, updated).await?,
    ))
}

/// Where the parts of an installation stand in the request.
pub(super) fn placed(error: Error) -> Error {
    error.placed(|name| match name {
        "connectionId" | "config.createdBy" => format!("installation.{name}"),
        name => name.to_owned(),
    })
}
