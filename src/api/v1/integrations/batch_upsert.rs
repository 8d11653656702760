//! `PUT /v1/projects/{project}/integrations:batch`

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Integration, noted};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Params};
use crate::api::problem::Problem;
use crate::api::v1::uploads::source_of;
use crate::app::AppState;

/// Where the manifest is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchUpsertRequest {
    /// The text of amp.yaml.
    pub source_yaml: Option<String>,
    /// A zip of it, uploaded before: `gs://{bucket}/{path}` as `generate-upload-url` named them.
    pub source_zip_url: Option<String>,
}

/// Options of a deploy.
#[derive(Debug, Deserialize)]
pub struct Options {
    destructive: Option<bool>,
}

/// Deploy a manifest
///
/// Integrations are made or get a new revision when something changed; unchanged ones stay as they are. Those that the manifest does not name stay too, unless `destructive=true`. What is probably a mistake, such as a key that is unknown, stands in the header `Amp-Warnings`.
#[utoipa::path(put, path = "/v1/projects/{project}/integrations:batch", tag = "Integration", operation_id = "batchUpsertIntegrations",
    params(("project" = String, Path, description = "The project's id or name."),
           ("destructive" = Option<bool>, Query, description = "Delete the integrations that the manifest does not name, with their installations.")),
    request_body = BatchUpsertRequest,
    responses((status = 200, description = "The manifest's integrations, in its order.", body = Vec<Integration>),
              (status = 422, description = "The manifest breaks rules; all of them are listed.")))]
pub async fn batch_upsert_integrations(
    State(app): State<AppState>,
    scope: Scope,
    Params(options): Params<Options>,
    JsonBody(request): JsonBody<BatchUpsertRequest>,
) -> Result<(HeaderMap, Json<Vec<Integration>>), Problem> {
    let project_id = scope.project().id;
    let source = source_of(&app, project_id, request.source_yaml, request.source_zip_url).await?;
    let destructive = options.destructive.unwrap_or(false);
    let deployed = app
        .control
        .deploy(scope.actor(), project_id, &source, destructive)
        .await?;
    let integrations = deployed.integrations.into_iter().map(Integration::from);
    Ok((noted(&deployed.warnings), Json(integrations.collect())))
}
