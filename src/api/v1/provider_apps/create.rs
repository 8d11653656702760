//! `POST /v1/projects/{project}/provider-apps`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ProviderApp, ProviderAppMetadata};
use crate::api::auth::Scope;
use crate::api::extract::JsonBody;
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::control::provider_apps::NewApp;
use crate::vault::Secret;

/// What a new app shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderAppRequest {
    /// The provider's own id of the app.
    pub external_ref: Option<String>,
    /// The provider.
    pub provider: String,
    /// The client id.
    pub client_id: String,
    /// The client secret; an empty one for an app that has none.
    #[schema(value_type = String)]
    pub client_secret: Secret,
    /// What customers are asked for; what the provider's connector asks for when absent.
    pub scopes: Option<Vec<String>>,
    /// What they are asked for where their account has it.
    pub optional_scopes: Option<Vec<String>>,
    /// Further parameters.
    pub metadata: Option<ProviderAppMetadata>,
}

/// Create a provider app
///
/// With it customers are asked to connect. Its secret is never shown again. `redirectUrl` of the answer is what has to be registered at the provider.
#[utoipa::path(post, path = "/v1/projects/{project}/provider-apps", tag = "Provider App", operation_id = "createProviderApp",
    params(("project" = String, Path, description = "The project's id or name.")), request_body = ProviderAppRequest,
    responses((status = 201, description = "The new app.", body = ProviderApp), (status = 400, description = "A value is wrong.")))]
pub async fn create_provider_app(
    State(app): State<AppState>,
    scope: Scope,
    JsonBody(request): JsonBody<ProviderAppRequest>,
) -> Result<(StatusCode, Json<ProviderApp>), Problem> {
    let new = NewApp {
        provider: request.provider,
        external_ref: request.external_ref,
        client_id: request.client_id,
        client_secret: request.client_secret,
        scopes: request.scopes.unwrap_or_default(),
        optional_scopes: request.optional_scopes.unwrap_or_default(),
        metadata: request.metadata.map(Into::into),
    };
    let made = app
        .control
        .create_provider_app(scope.actor(), scope.project().id, new)
        .await?;
    Ok((StatusCode::CREATED, Json(ProviderApp::of(&app, made))))
}
