//! `PUT /v1/projects/{project}/integrations:batch`

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Integration;
use super::checked::{Checked, Deployed, broken_at, check};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Params};
use crate::api::problem::Problem;
use crate::api::v1::uploads::source_of;
use crate::app::{App, AppState};

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
    scope.require_full()?;
    let project_id = scope.project().id;
    let source = source_of(&app, project_id, request.source_yaml, request.source_zip_url).await?;
    let deployed = deploy(&app, project_id, &source, options.destructive.unwrap_or(false)).await?;
    let headers = deployed.headers();
    let integrations = deployed.integrations.into_iter().map(Integration::from);
    Ok((headers, Json(integrations.collect())))
}

/// Checks a manifest and deploys it.
///
/// # Errors
/// 422 with every rule that it breaks.
pub async fn deploy(
    app: &App,
    project_id: Uuid,
    source: &str,
    remove_others: bool,
) -> Result<Deployed, Problem> {
    deploy_checked(app, project_id, check(app, project_id, source)?, remove_others).await
}

/// Deploys a manifest that has been checked.
pub(super) async fn deploy_checked(
    app: &App,
    project_id: Uuid,
    checked: Checked,
    remove_others: bool,
) -> Result<Deployed, Problem> {
    let integrations = app
        .store
        .deploy(project_id, &checked.integrations, remove_others)
        .await?;
    app.changed();
    Ok(Deployed {
        integrations,
        warnings: checked.warnings,
    })
}

/// Checks a manifest and deploys one integration of it.
///
/// # Errors
/// 422 with every rule that it breaks, or when it does not have the integration.
pub(super) async fn deploy_one(
    app: &App,
    project_id: Uuid,
    source: &str,
    name: &str,
) -> Result<Deployed, Problem> {
    let mut checked = check(app, project_id, source)?;
    checked
        .integrations
        .retain(|integration| integration.name.to_lowercase() == name.to_lowercase());
    if checked.integrations.is_empty() {
        let detail = format!("The manifest has no integration `{name}`.");
        return Err(broken_at("$.integrations".to_owned(), detail));
    }
    deploy_checked(app, project_id, checked, false).await
}
