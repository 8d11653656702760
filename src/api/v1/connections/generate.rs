//! `POST /v1/projects/{project}/connections:generate`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Connection, CredentialBlocks, check_credentials, check_metadata, check_ref, check_variables};
use crate::api::auth::Scope;
use crate::api::extract::{Body, JsonBody};
use crate::api::problem::{Code, Problem};
use crate::app::AppState;
use crate::outbound::Credentials;
use crate::store::NewConnection;
use crate::writes::route::connection_vars;

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
    responses((status = 201, description = "The connection.", body = Connection), (status = 400, description = "Something is missing or wrong.")))]
pub async fn generate_connection(
    State(app): State<AppState>,
    scope: Scope,
    Body(bytes): Body,
) -> Result<(StatusCode, Json<Connection>), Problem> {
    let request: GenerateConnectionRequest = JsonBody::from_bytes(&bytes)?;
    let blocks: CredentialBlocks = JsonBody::from_bytes(&bytes)?;
    for (text, field) in [
        (Some(&request.group_ref), "groupRef"),
        (Some(&request.consumer_ref), "consumerRef"),
        (request.group_name.as_ref(), "groupName"),
        (request.consumer_name.as_ref(), "consumerName"),
        (request.provider_workspace_ref.as_ref(), "providerWorkspaceRef"),
    ] {
        // An SDK may send an empty text for "none"; what is required may not be empty.
        let required = matches!(field, "groupRef" | "consumerRef");
        if let Some(text) = text
            && (required || !text.is_empty())
        {
            check_ref(text, field)?;
        }
    }
    if let Some(metadata) = &request.provider_metadata {
        check_metadata(metadata, "providerMetadata")?;
    }
    let Some(connector) = app.catalog.get(&request.provider) else {
        return Err(Problem::invalid(
            "provider",
            "is not a provider of this server's catalogue",
        ));
    };
    let (auth_scheme, credentials) = blocks.read("")?.unwrap_or(("none", Credentials::None));
    if auth_scheme == "none" {
        return Err(Problem::invalid(
            "apiKey",
            "is missing: send one of apiKey, basicAuth, oauth2AuthorizationCode, oauth2ClientCredentials and customAuth",
        ));
    }
    let metadata = request
        .provider_metadata
        .map(|metadata| Value::Object(metadata).to_string());
    let workspace = request
        .provider_workspace_ref
        .filter(|workspace| !workspace.is_empty());
    let vars = connection_vars(workspace.as_deref(), metadata.as_deref());
    check_variables(&connector, &vars, "")?;
    check_credentials(&connector, &credentials, &vars, auth_scheme, "")?;
    let project_id = scope.project().id;
    let id = app.clock.new_id();
    let sealed = credentials.seal(&app.vault, project_id, id).map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("the credentials could not be sealed: {error}"),
        )
    })?;
    let new = NewConnection {
        id,
        provider: request.provider,
        group_ref: request.group_ref,
        group_name: request.group_name.filter(|name| !name.is_empty()),
        consumer_ref: request.consumer_ref,
        consumer_name: request.consumer_name.filter(|name| !name.is_empty()),
        provider_workspace_ref: workspace,
        provider_metadata: metadata,
        auth_scheme: auth_scheme.to_owned(),
        credentials: sealed,
    };
    let made = app.store.create_connection(project_id, &new).await?;
    Ok((StatusCode::CREATED, Json(Connection::from(&made))))
}
