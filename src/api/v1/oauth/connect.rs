//! `POST /v1/oauth-connect`

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::auth::OpenCaller;
use crate::api::extract::{JsonBody, id};
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::control::authorize::Asking;

/// Who is to be asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuthConnectRequest {
    /// The project's id or name.
    pub project_id_or_name: Option<String>,
    /// The project's id: what some clients send instead.
    pub project_id: Option<String>,
    /// The provider.
    pub provider: String,
    /// The customer.
    pub group_ref: String,
    /// The customer's name.
    pub group_name: Option<String>,
    /// The person who connects.
    pub consumer_ref: String,
    /// The person's name.
    pub consumer_name: Option<String>,
    /// The workspace at the provider, such as a Salesforce subdomain.
    pub provider_workspace_ref: Option<String>,
    /// Further variables of the connection.
    #[schema(value_type = Option<Object>)]
    pub provider_metadata: Option<Map<String, Value>>,
    /// The app that asks; the project's first one of the provider when absent.
    pub provider_app_id: Option<String>,
}

/// Generate OAuth authorization URL
///
/// A URL of this server that a browser of the customer opens. It is good once, for ten minutes, and a secret: who opens it is asked to connect. The page at the end tells its opener.
#[utoipa::path(post, path = "/v1/oauth-connect", tag = "OAuth", operation_id = "oauthConnect",
    request_body = OAuthConnectRequest,
    responses((status = 200, description = "The URL.", body = String, content_type = "text/plain"), (status = 400, description = "Something is missing or wrong, or there is no app to ask with."),
              (status = 503, description = "`AMP_PUBLIC_URL` is not set.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn oauth_connect(
    State(app): State<AppState>,
    caller: OpenCaller,
    JsonBody(request): JsonBody<OAuthConnectRequest>,
) -> Result<String, Problem> {
    let named = request.project_id_or_name.or(request.project_id);
    let named = named.ok_or_else(|| Problem::invalid("projectIdOrName", "is missing"))?;
    let scope = caller.inside(&app, &named).await?;
    let provider_app_id = match request.provider_app_id.filter(|text| !text.is_empty()) {
        Some(text) => Some(
            id(&text, "")
                .map_err(|_| Problem::invalid("providerAppId", "is not the id of a provider app"))?,
        ),
        None => None,
    };
    let asking = Asking {
        provider: request.provider,
        group_ref: request.group_ref,
        group_name: request.group_name,
        consumer_ref: request.consumer_ref,
        consumer_name: request.consumer_name,
        provider_workspace_ref: request.provider_workspace_ref,
        provider_metadata: request.provider_metadata,
        provider_app_id,
    };
    let link = app
        .control
        .authorize(scope.actor(), scope.project().id, asking)
        .await?;
    Ok(link.expose().to_owned())
}
