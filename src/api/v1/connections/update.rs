//! `PATCH /v1/projects/{project}/connections/{connection}`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Connection, CredentialBlocks, check_credentials, check_metadata, check_ref, check_variables, not_found,
};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments, id};
use crate::api::problem::{Code, Problem};
use crate::app::AppState;
use crate::store::ConnectionChange;
use crate::writes::route::connection_vars;

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
              (status = 404, description = "No such connection.")))]
pub async fn update_connection(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
    JsonBody(request): JsonBody<UpdateConnectionRequest>,
) -> Result<Json<Connection>, Problem> {
    let Segments((_, connection)) = segments;
    let project_id = scope.project().id;
    let connection_id = id(&connection, "Connection not found for the given connection ID.")?;
    let current = app
        .store
        .get_connection(project_id, connection_id)
        .await?
        .ok_or_else(not_found)?;
    let mut change = ConnectionChange::default();
    let mut blocks = CredentialBlocks::default();
    let mut patch = request.connection;
    for (index, mask) in request.update_mask.iter().enumerate() {
        let missing = || Problem::invalid(format!("connection.{mask}"), "is named in updateMask but missing");
        match mask.as_str() {
            "providerWorkspaceRef" => {
                let workspace = patch.provider_workspace_ref.take().ok_or_else(missing)?;
                check_ref(&workspace, "connection.providerWorkspaceRef")?;
                change.provider_workspace_ref = Some(workspace);
            }
            "providerMetadata" => {
                let metadata = patch.provider_metadata.take().ok_or_else(missing)?;
                check_metadata(&metadata, "connection.providerMetadata")?;
                change.provider_metadata = Some(Value::Object(metadata).to_string());
            }
            "apiKey" => blocks.api_key = Some(patch.api_key.take().ok_or_else(missing)?),
            "basicAuth" => blocks.basic_auth = Some(patch.basic_auth.take().ok_or_else(missing)?),
            "oauth2AuthorizationCode" => {
                blocks.oauth2_authorization_code =
                    Some(patch.oauth2_authorization_code.take().ok_or_else(missing)?);
            }
            "oauth2ClientCredentials" => {
                blocks.oauth2_client_credentials =
                    Some(patch.oauth2_client_credentials.take().ok_or_else(missing)?);
            }
            "customAuth" => blocks.custom_auth = Some(patch.custom_auth.take().ok_or_else(missing)?),
            _ => {
                return Err(
                    Problem::invalid(format!("updateMask[{index}]"), "is not an allowed mask")
                        .remedy(format!("Allowed masks: {ALLOWED}")),
                );
            }
        }
    }
    let blocks = blocks.read("connection.")?;
    let changes_vars = change.provider_workspace_ref.is_some() || change.provider_metadata.is_some();
    if blocks.is_none() && changes_vars {
        // They say where requests go: a key that lies in browsers must not send somebody's credentials elsewhere.
        scope.require_full()?;
    }
    let connector = app.catalog.get(&current.provider);
    let workspace = change.provider_workspace_ref.as_ref();
    let metadata = change.provider_metadata.as_ref();
    let vars = connection_vars(
        workspace
            .or(current.provider_workspace_ref.as_ref())
            .map(String::as_str),
        metadata
            .or(current.provider_metadata.as_ref())
            .map(String::as_str),
    );
    if let Some(connector) = connector.as_ref().filter(|_| changes_vars) {
        check_variables(connector, &vars, "connection.")?;
    }
    if let Some((scheme, credentials)) = blocks {
        if scheme != current.auth_scheme {
            let detail = format!(
                "the connection's auth scheme is {}, and it cannot change to {scheme}",
                current.auth_scheme
            );
            return Err(Problem::invalid("updateMask", detail)
                .remedy("Make a new connection for another auth scheme."));
        }
        if let Some(connector) = &connector {
            check_credentials(connector, &credentials, &vars, scheme, "connection.")?;
        }
        let sealed = credentials
            .seal(&app.vault, project_id, connection_id)
            .map_err(|error| {
                Problem::new(
                    Code::Internal,
                    format!("the credentials could not be sealed: {error}"),
                )
            })?;
        change.credentials = Some(sealed);
    }
    let changed = app
        .store
        .update_connection(project_id, connection_id, &change)
        .await?
        .ok_or_else(not_found)?;
    app.changed();
    app.writes.bell.changed(connection_id);
    Ok(Json(Connection::from(&changed)))
}
