//! `POST /v1/projects/{project}/integrations`

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Integration, noted};
use crate::api::auth::Scope;
use crate::api::extract::JsonBody;
use crate::api::problem::Problem;
use crate::app::AppState;

/// An integration to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateIntegrationRequest {
    /// Its name.
    pub name: String,
    /// The provider.
    pub provider: String,
    /// What it does.
    pub latest_revision: NewRevision,
}

/// The first revision of an integration.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewRevision {
    /// `1.0.0`.
    pub spec_version: String,
    /// The integration as it would stand in amp.yaml.
    #[schema(value_type = Object)]
    pub content: serde_json::Map<String, Value>,
}

/// Create an integration
///
/// From JSON instead of amp.yaml; the rules are the same.
#[utoipa::path(post, path = "/v1/projects/{project}/integrations", tag = "Integration", operation_id = "createIntegration",
    params(("project" = String, Path, description = "The project's id or name.")),
    request_body = CreateIntegrationRequest,
    responses((status = 201, description = "The integration.", body = Integration),
              (status = 409, description = "An integration of this name exists."),
              (status = 422, description = "It breaks rules; all of them are listed.")))]
pub async fn create_integration(
    State(app): State<AppState>,
    scope: Scope,
    JsonBody(request): JsonBody<CreateIntegrationRequest>,
) -> Result<(StatusCode, HeaderMap, Json<Integration>), Problem> {
    let mut content = request.latest_revision.content;
    // The names outside and inside must not contradict each other; what is missing inside is taken from outside.
    for (key, outside) in [("name", &request.name), ("provider", &request.provider)] {
        match content.get(key) {
            Some(inside) if inside.as_str() != Some(outside) => {
                return Err(Problem::invalid(
                    format!("latestRevision.content.{key}"),
                    format!("is another than `{key}`"),
                ));
            }
            Some(_) => {}
            None => drop(content.insert(key.to_owned(), Value::from(outside.as_str()))),
        }
    }
    // JSON is YAML: one way for both.
    let source =
        json!({"specVersion": request.latest_revision.spec_version, "integrations": [content]}).to_string();
    let made = app
        .control
        .create_integration(scope.actor(), scope.project().id, &source, &request.name)
        .await?;
    let body = Json(Integration::from(made.integration));
    Ok((StatusCode::CREATED, noted(&made.warnings), body))
}
