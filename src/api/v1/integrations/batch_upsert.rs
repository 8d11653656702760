//! `PUT /v1/projects/{project}/integrations:batch`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Integration;
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Params};
use crate::api::problem::{Code, Problem};
use crate::api::v1::uploads::source_of;
use crate::app::{App, AppState};
use crate::manifest::{self, Issue, Manifest};
use crate::store::NewIntegration;

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
/// Integrations are made or get a new revision when something changed; unchanged ones stay as they are. Those that the manifest does not name stay too, unless `destructive=true`.
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
) -> Result<Json<Vec<Integration>>, Problem> {
    scope.require_full()?;
    let project_id = scope.project().id;
    let source = source_of(&app, project_id, request.source_yaml, request.source_zip_url).await?;
    let deployed = deploy(&app, project_id, &source, options.destructive.unwrap_or(false)).await?;
    Ok(Json(deployed.into_iter().map(Integration::from).collect()))
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
) -> Result<Vec<crate::store::Integration>, Problem> {
    let manifest = check(app, project_id, source)?;
    let integrations: Vec<NewIntegration> = manifest
        .integrations
        .iter()
        .map(|integration| to_be_stored(app, &manifest, integration))
        .collect();
    let deployed = app.store.deploy(project_id, &integrations, remove_others).await?;
    app.changed();
    Ok(deployed)
}

/// Checks a manifest and deploys one integration of it.
///
/// # Errors
/// 422 with every rule that it breaks, or when it does not have the integration.
pub async fn deploy_one(
    app: &App,
    project_id: Uuid,
    source: &str,
    name: &str,
) -> Result<crate::store::Integration, Problem> {
    let manifest = check(app, project_id, source)?;
    let same = |integration: &&manifest::Integration| integration.name.to_lowercase() == name.to_lowercase();
    let Some(integration) = manifest.integrations.iter().find(same) else {
        let detail = format!("The manifest has no integration `{name}`.");
        return Err(broken(vec![Issue {
            path: "$.integrations".to_owned(),
            line: None,
            detail,
        }]));
    };
    let new = to_be_stored(app, &manifest, integration);
    let deployed = app.store.deploy(project_id, &[new], false).await?.pop();
    app.changed();
    deployed.ok_or_else(|| Problem::new(Code::Internal, "the revision was not made"))
}

fn broken(issues: Vec<Issue>) -> Problem {
    let count = issues.len();
    let detail = if count == 1 {
        "the manifest breaks a rule".to_owned()
    } else {
        format!("the manifest breaks {count} rules")
    };
    Problem::issues(Code::InvalidManifest, detail, issues)
        .remedy("Mend what `issues` lists and deploy again; nothing was changed.")
}

fn to_be_stored(app: &App, manifest: &Manifest, integration: &manifest::Integration) -> NewIntegration {
    NewIntegration {
        id: app.clock.new_id(),
        revision_id: app.clock.new_id(),
        name: integration.name.clone(),
        provider: integration.provider.clone(),
        spec_version: manifest.spec_version.clone(),
        content: integration.content.to_string(),
    }
}

/// Every rule that a manifest must keep, those of the store too.
fn check(app: &App, project_id: Uuid, source: &str) -> Result<Manifest, Problem> {
    let manifest = manifest::parse(source, app.catalog.as_ref()).map_err(broken)?;
    for (index, integration) in manifest.integrations.iter().enumerate() {
        if crate::json::uses_reserved_key(integration.content.to_string().as_bytes()) {
            let detail = "A key that begins with `$serde_json::private::` cannot be used.".to_owned();
            return Err(broken(vec![Issue {
                path: format!("$.integrations[{index}]"),
                line: None,
                detail,
            }]));
        }
    }
    // The store knows names without regard to case, as paths do.
    let mut names = std::collections::HashMap::new();
    for (index, integration) in manifest.integrations.iter().enumerate() {
        if let Some(first) = names.insert(integration.name.to_lowercase(), integration.name.as_str()) {
            let detail = format!(
                "`{}` and `{first}` are the same name: names are compared without regard to case.",
                integration.name
            );
            return Err(broken(vec![Issue {
                path: format!("$.integrations[{index}].name"),
                line: None,
                detail,
            }]));
        }
    }
    for warning in &manifest.warnings {
        tracing::info!(project.id = %project_id, path = warning.path, "manifest: {}", warning.detail);
    }
    Ok(manifest)
}
