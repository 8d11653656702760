//! `POST /v1/projects/{project}/integrations:plan`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::batch_upsert::BatchUpsertRequest;
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Params};
use crate::api::problem::Problem;
use crate::api::v1::uploads::source_of;
use crate::app::AppState;
use crate::control::integrations::Planned;
use crate::manifest::Issue;

/// Options of a plan: those of the deploy.
#[derive(Debug, Deserialize)]
pub struct PlanOptions {
    destructive: Option<bool>,
}

/// What a deploy would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeployPlan {
    /// The manifest's integrations in its order, then those that it does not name.
    pub integrations: Vec<PlannedIntegration>,
    /// What is probably a mistake and would stop nothing.
    pub warnings: Vec<PlanWarning>,
}

/// What would become of an integration.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedIntegration {
    /// Its id; absent when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// `create`, `update` (a new revision), `unchanged`, `delete`, or `keep`: not in the manifest and left as it is.
    pub change: &'static str,
    /// Customers who have installed it.
    pub installations: i64,
    /// Their asynchronous writes that wait. With a delete they end as failures that say so.
    pub queued_writes: i64,
}

/// Something that is probably a mistake.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanWarning {
    /// Where: `$.integrations[0].write.objects[1].inheritMaping`.
    pub path: String,
    /// The line of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What, and what to do.
    pub detail: String,
}

impl From<Planned> for PlannedIntegration {
    fn from(planned: Planned) -> Self {
        Self {
            id: planned.id.map(|id| id.to_string()),
            name: planned.name,
            provider: planned.provider,
            change: planned.change,
            installations: planned.installations,
            queued_writes: planned.queued_writes,
        }
    }
}

impl From<Issue> for PlanWarning {
    fn from(issue: Issue) -> Self {
        Self {
            path: issue.path,
            line: issue.line,
            detail: issue.detail,
        }
    }
}

/// Plan a deploy
///
/// What `integrations:batch` would do with the same body and options, and whom it would concern. Changes nothing.
#[utoipa::path(post, path = "/v1/projects/{project}/integrations:plan", tag = "Integration", operation_id = "planIntegrations",
    params(("project" = String, Path, description = "The project's id or name."),
           ("destructive" = Option<bool>, Query, description = "As for `integrations:batch`.")),
    request_body = BatchUpsertRequest,
    responses((status = 200, description = "The plan.", body = DeployPlan),
              (status = 422, description = "The manifest breaks rules; all of them are listed.")))]
pub async fn plan_integrations(
    State(app): State<AppState>,
    scope: Scope,
    Params(options): Params<PlanOptions>,
    JsonBody(request): JsonBody<BatchUpsertRequest>,
) -> Result<Json<DeployPlan>, Problem> {
    let project_id = scope.project().id;
    let source = source_of(&app, project_id, request.source_yaml, request.source_zip_url).await?;
    let destructive = options.destructive.unwrap_or(false);
    let plan = app.control.plan_deploy(project_id, &source, destructive).await?;
    Ok(Json(DeployPlan {
        integrations: plan
            .integrations
            .into_iter()
            .map(PlannedIntegration::from)
            .collect(),
        warnings: plan.warnings.into_iter().map(PlanWarning::from).collect(),
    }))
}
