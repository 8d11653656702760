//! `POST /v1/projects/{project}/connections:generate`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Connection, CredentialBlocks};
use crate::api::auth::OpenScope;
use crate::api::extract::{Body, JsonBody};
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::control::connections::Connecting;

/// A connection to be made. The credentials stand beside these fields, in one of the blocks of `CredentialBlocks`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerateConnectionRequest {
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
    /// The workspace at the provider.
    pub provider_workspace_ref: Option<String>,
    /// Further variables of the connection.
    #[schema(value_type = Option<Object>)]
    pub provider_metadata: Option<Map<String, Value>>,
}

/// Make a connection
///
/// From an API key, a name and a password, OAuth2 tokens that the app has got already, or the provider's own inputs (`customAuth`). They are sealed before they are stored and never given out.
#[utoipa::path(post, path = "/v1/projects/{project}/connections:generate", tag = "Connection", operation_id = "generateConnection",
    params(("project" = String, Path, description = "The project's id or name.")),
    request_body(content = GenerateConnectionRequest, description = "The fields of GenerateConnectionRequest and one block of CredentialBlocks."),
    responses((status = 201, description = "The connection.", body = Connection), (status = 400, description = "Something is missing or wrong.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn generate_connection(
    State(app): State<AppState>,
    scope: OpenScope,
    Body(bytes): Body,
) -> Result<(StatusCode, Json<Connection>), Problem> {
    let request: GenerateConnectionRequest = JsonBody::from_bytes(&bytes)?;
    let blocks: CredentialBlocks = JsonBody::from_bytes(&bytes)?;
    let connecting = Connecting {
        provider: request.provider,
        group_ref: request.group_ref,
        group_name: request.group_name,
        consumer_ref: request.consumer_ref,
        consumer_name: request.consumer_name,
        provider_workspace_ref: request.provider_workspace_ref,
        provider_metadata: request.provider_metadata,
        credentials: blocks.read("")?,
    };
    let made = app
        .control
        .connect(scope.actor(), scope.project().id, connecting)
        .await?;
    Ok((StatusCode::CREATED, Json(Connection::from(&made))))
}
