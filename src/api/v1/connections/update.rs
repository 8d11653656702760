//! `PATCH /v1/projects/{project}/connections/{connection}`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Connection, CredentialBlocks};
use crate::api::auth::OpenScope;
use crate::api::extract::{Body, JsonBody, Segments, id};
use crate::api::problem::{Code, Problem};
use crate::api::v1::oauth;
use crate::app::AppState;
use crate::control::connections::{self, AUTH_SCHEME};

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateConnectionRequest {
    /// Any of `providerWorkspaceRef`, `providerMetadata`, `apiKey`, `basicAuth`, `oauth2AuthorizationCode`, `oauth2ClientCredentials`,
    /// `customAuth`.
    pub update_mask: Vec<String>,
    /// The new values of what the mask names.
    pub connection: ConnectionPatch,
}

/// New values; the credentials stand in the blocks of `CredentialBlocks`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPatch {
    /// The workspace at the provider.
    pub provider_workspace_ref: Option<String>,
    /// Further variables of the connection.
    #[schema(value_type = Option<Object>)]
    pub provider_metadata: Option<Map<String, Value>>,
    /// A key.
    #[schema(value_type = Option<String>)]
    pub api_key: Option<crate::vault::Secret>,
    /// A name and a password.
    pub basic_auth: Option<super::BasicAuth>,
    /// Tokens of an OAuth2 grant.
    pub oauth2_authorization_code: Option<super::OAuth2Tokens>,
    /// The id and secret of the customer's own app.
    pub oauth2_client_credentials: Option<super::ClientCredentials>,
    /// The provider's own inputs, all of them.
    #[schema(value_type = Option<Object>)]
    pub custom_auth: Option<super::CustomAuth>,
}

const ALLOWED: &str = "providerWorkspaceRef, providerMetadata, apiKey, basicAuth, oauth2AuthorizationCode, oauth2ClientCredentials, customAuth";

/// Update a connection
///
/// New credentials must be of the connection's auth scheme. Writes that were held because the old ones were refused go on by themselves.
#[utoipa::path(patch, path = "/v1/projects/{project}/connections/{connection}", tag = "Connection", operation_id = "updateConnection",
    params(("project" = String, Path, description = "The project's id or name."), ("connection" = String, Path, description = "The connection's id.")),
    request_body = UpdateConnectionRequest,
    responses((status = 200, description = "The connection.", body = Connection), (status = 400, description = "The mask or a value is wrong."),
              (status = 404, description = "No such connection.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn update_connection(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String)>,
    Body(body): Body,
) -> Result<Response, Problem> {
    let Segments((_, connection)) = segments;
    // A verb behind an id is no route of its own.
    if let Some((connection, verb)) = connection.rsplit_once(':') {
        return match verb {
            "oauth-update" => oauth::update::update(&app, &scope, connection, &body).await,
            _ => Err(
                Problem::new(Code::NotServed, "this server does not serve this path")
                    .remedy("A connection takes :oauth-update."),
            ),
        };
    }
    let request: UpdateConnectionRequest = JsonBody::from_bytes(&body)?;
    let project_id = scope.project().id;
    let connection_id = id(&connection, "Connection not found for the given connection ID.")?;
    // What is not there is told before what is wrong with the request.
    app.control
        .connection(scope.actor(), project_id, connection_id)
        .await?;
    let mut new = connections::ConnectionPatch::default();
    let mut blocks = CredentialBlocks::default();
    let mut given = request.connection;
    for (index, mask) in request.update_mask.iter().enumerate() {
        let missing = || Problem::invalid(format!("connection.{mask}"), "is named in updateMask but missing");
        match mask.as_str() {
            "providerWorkspaceRef" => {
                new.provider_workspace_ref = Some(given.provider_workspace_ref.take().ok_or_else(missing)?);
            }
            "providerMetadata" => {
                new.provider_metadata = Some(given.provider_metadata.take().ok_or_else(missing)?);
            }
            "apiKey" => blocks.api_key = Some(given.api_key.take().ok_or_else(missing)?),
            "basicAuth" => blocks.basic_auth = Some(given.basic_auth.take().ok_or_else(missing)?),
            "oauth2AuthorizationCode" => {
                blocks.oauth2_authorization_code =
                    Some(given.oauth2_authorization_code.take().ok_or_else(missing)?);
            }
            "oauth2ClientCredentials" => {
                blocks.oauth2_client_credentials =
                    Some(given.oauth2_client_credentials.take().ok_or_else(missing)?);
            }
            "customAuth" => blocks.custom_auth = Some(given.custom_auth.take().ok_or_else(missing)?),
            _ => {
                return Err(
                    Problem::invalid(format!("updateMask[{index}]"), "is not an allowed mask")
                        .remedy(format!("Allowed masks: {ALLOWED}")),
                );
            }
        }
    }
    new.credentials = blocks.read("connection.")?;
    let changed = app
        .control
        .update_connection(scope.actor(), project_id, connection_id, new)
        .await
        .map_err(|error| {
            error.placed(|name| match name {
                // The mask says of which scheme the new ones are.
                AUTH_SCHEME => "updateMask".to_owned(),
                name => format!("connection.{name}"),
            })
        })?;
    Ok(Json(Connection::from(&changed)).into_response())
}
