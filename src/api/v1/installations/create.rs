//! `POST /v1/projects/{project}/integrations/{integration}/installations`

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Installation, answer, with_connection};
use crate::api::auth::OpenScope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::control::installations::Installing;

/// Who wrote a config that does not say so.
const CREATED_BY: &str = "api:create-installation";

/// What to install.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateInstallationRequest {
    /// The customer.
    pub group_ref: String,
    /// The credential; the group's newest connection to the provider when absent.
    pub connection_id: Option<String>,
    /// What the customer chose.
    pub config: NewConfigRequest,
}

/// A new config. Its `revisionId` is ignored: the latest revision counts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewConfigRequest {
    /// `consumer:…`, `builder:…` or `api:…`.
    pub created_by: Option<String>,
    /// The config itself.
    #[schema(value_type = Object)]
    pub content: Value,
}

/// Create an installation
///
/// Installs an integration for a customer's group. A group has one installation of an integration at most.
#[utoipa::path(post, path = "/v1/projects/{project}/integrations/{integration}/installations", tag = "Installation", operation_id = "createInstallation",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name.")),
    request_body = CreateInstallationRequest,
    responses((status = 201, description = "The installation.", body = Installation),
              (status = 400, description = "The config does not fit the integration; all issues are listed."),
              (status = 409, description = "The group has an installation already.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn create_installation(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String)>,
    JsonBody(request): JsonBody<CreateInstallationRequest>,
) -> Result<(StatusCode, HeaderMap, Json<Installation>), Problem> {
    let Segments((_, integration)) = segments;
    let project_id = scope.project().id;
    let installing = Installing {
        group_ref: request.group_ref,
        connection_id: request.connection_id,
        content: request.config.content,
        created_by: request.config.created_by.unwrap_or_else(|| CREATED_BY.to_owned()),
    };
    let made = app
        .control
        .install(scope.actor(), project_id, &integration, installing)
        .await?;
    let (headers, body) = answer(with_connection(&app, scope.actor(), project_id, made).await?);
    Ok((StatusCode::CREATED, headers, body))
}
