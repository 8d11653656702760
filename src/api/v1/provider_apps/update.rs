//! `PATCH /v1/projects/{project}/provider-apps/{app}`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ProviderApp, ProviderAppMetadata, app_id};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::control::provider_apps::AppPatch;
use crate::vault::Secret;

/// What to change of an app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchProviderAppRequest {
    /// Any of `externalRef`, `clientId`, `clientSecret`, `provider`, `scopes`, `optionalScopes`, `metadata`.
    pub update_mask: Vec<String>,
    /// The new values of what the mask names.
    pub provider_app: ProviderAppPatch,
}

/// New values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderAppPatch {
    /// The provider's own id of the app; an empty one removes it.
    pub external_ref: Option<String>,
    /// The provider: it cannot change.
    pub provider: Option<String>,
    /// The client id.
    pub client_id: Option<String>,
    /// The client secret. The one before is tried for a day where the provider does not take the new one.
    #[schema(value_type = Option<String>)]
    pub client_secret: Option<Secret>,
    /// What customers are asked for.
    pub scopes: Option<Vec<String>>,
    /// What they are asked for where their account has it.
    pub optional_scopes: Option<Vec<String>>,
    /// Further parameters.
    pub metadata: Option<ProviderAppMetadata>,
}

/// Update a provider app
///
/// Changes what the mask names. With another secret, what was held because the provider did not accept the app goes on.
#[utoipa::path(patch, path = "/v1/projects/{project}/provider-apps/{app}", tag = "Provider App", operation_id = "updateProviderApp",
    params(("project" = String, Path, description = "The project's id or name."), ("app" = String, Path, description = "The app's id.")),
    request_body = PatchProviderAppRequest,
    responses((status = 200, description = "The app.", body = ProviderApp), (status = 400, description = "The mask or a value is wrong."),
              (status = 404, description = "No such app.")))]
pub async fn update_provider_app(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
    JsonBody(request): JsonBody<PatchProviderAppRequest>,
) -> Result<Json<ProviderApp>, Problem> {
    let Segments((_, segment)) = segments;
    let app_id = app_id(&segment)?;
    let mut given = request.provider_app;
    let mut patch = AppPatch::default();
    for (index, mask) in request.update_mask.iter().enumerate() {
        let missing = || {
            Problem::invalid(
                format!("providerApp.{mask}"),
                "is named in updateMask but missing",
            )
        };
        match mask.as_str() {
            "externalRef" => patch.external_ref = Some(given.external_ref.take().ok_or_else(missing)?),
            "provider" => patch.provider = Some(given.provider.take().ok_or_else(missing)?),
            "clientId" => patch.client_id = Some(given.client_id.take().ok_or_else(missing)?),
            "clientSecret" => patch.client_secret = Some(given.client_secret.take().ok_or_else(missing)?),
            "scopes" => patch.scopes = Some(given.scopes.take().ok_or_else(missing)?),
            "optionalScopes" => {
                patch.optional_scopes = Some(given.optional_scopes.take().ok_or_else(missing)?);
            }
            "metadata" => patch.metadata = Some(given.metadata.take().ok_or_else(missing)?.into()),
            _ => {
                return Err(Problem::invalid(
                    format!("updateMask[{index}]"),
                    "must be externalRef, provider, clientId, clientSecret, scopes, optionalScopes or metadata",
                ));
            }
        }
    }
    let changed = app
        .control
        .update_provider_app(scope.actor(), scope.project().id, app_id, patch)
        .await
        .map_err(|error| error.within("providerApp."))?;
    Ok(Json(ProviderApp::of(&app, changed)))
}
