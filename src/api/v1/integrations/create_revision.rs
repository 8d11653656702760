//! `POST /v1/projects/{project}/integrations/{integration}/revisions`

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};

use super::batch_upsert::BatchUpsertRequest;
use super::{Revision, noted};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::Problem;
use crate::api::v1::uploads::source_of;
use crate::app::AppState;

/// Create a revision
///
/// Deploys one integration of a manifest; the others in it are checked and left as they are. When nothing changed, the revision in force is answered.
#[utoipa::path(post, path = "/v1/projects/{project}/integrations/{integration}/revisions", tag = "Revision", operation_id = "createRevision",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name.")),
    request_body = BatchUpsertRequest,
    responses((status = 201, description = "The revision in force.", body = Revision),
              (status = 422, description = "The manifest breaks rules, or does not have this integration.")))]
pub async fn create_revision(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
    JsonBody(request): JsonBody<BatchUpsertRequest>,
) -> Result<(StatusCode, HeaderMap, Json<Revision>), Problem> {
    let Segments((_, integration)) = segments;
    let project_id = scope.project().id;
    let integration = app.control.integration(project_id, &integration).await?;
    let source = source_of(&app, project_id, request.source_yaml, request.source_zip_url).await?;
    let made = app
        .control
        .deploy_one(scope.actor(), project_id, &source, &integration.name)
        .await?;
    let body = Json(Revision::from(made.integration));
    Ok((StatusCode::CREATED, noted(&made.warnings), body))
}
