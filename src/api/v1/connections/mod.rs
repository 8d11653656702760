//! Connections: customers' credentials. What is secret is taken in and never given out.

mod custom;
pub mod delete;
pub mod generate;
pub mod get;
pub mod list;
pub mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::api::problem::Problem;
use crate::clock::Time;
use crate::connectors::{CLIENT_ID, CLIENT_SECRET, SCOPES};
use crate::control::connections::{CLIENT_CREDENTIALS, Given};
use crate::outbound::Credentials;
use crate::store;
use crate::vault::Secret;
pub use custom::CustomAuth;

/// A customer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The app's reference of the customer.
    pub group_ref: String,
    /// The customer's name; the reference when none was given.
    pub group_name: String,
    /// The project.
    pub project_id: String,
    /// When the group was first seen.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
}

impl Group {
    /// The group of a connection.
    #[must_use]
    pub fn of(row: &store::Connection) -> Self {
        Self {
            group_ref: row.group_ref.clone(),
            group_name: row.group_name.clone(),
            project_id: row.project_id.to_string(),
            create_time: row.group_create_time,
        }
    }
}

/// The person who connected.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Consumer {
    /// The app's reference of the person.
    pub consumer_ref: String,
    /// The person's name; the reference when none was given.
    pub consumer_name: String,
    /// The project.
    pub project_id: String,
    /// When the consumer was first seen.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
}

/// A connection, without its secrets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// The project.
    pub project_id: String,
    /// The provider.
    pub provider: String,
    /// The customer.
    pub group: Group,
    /// The person.
    pub consumer: Consumer,
    /// The workspace at the provider, such as a Salesforce subdomain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_workspace_ref: Option<String>,
    /// Further variables of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub provider_metadata: Option<Value>,
    /// `apiKey`, `basic`, `oauth2/authorizationCode`, `oauth2/clientCredentials`, `custom` or `none`.
    pub auth_scheme: String,
    /// `created`, `working`, or `bad_credentials` once the provider has refused them.
    pub status: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub update_time: Option<Time>,
}

impl From<&store::Connection> for Connection {
    fn from(row: &store::Connection) -> Self {
        Self {
            id: row.id.to_string(),
            project_id: row.project_id.to_string(),
            provider: row.provider.clone(),
            group: Group::of(row),
            consumer: Consumer {
                consumer_ref: row.consumer_ref.clone(),
                consumer_name: row.consumer_name.clone(),
                project_id: row.project_id.to_string(),
                create_time: row.consumer_create_time,
            },
            provider_workspace_ref: row.provider_workspace_ref.clone(),
            provider_metadata: row
                .provider_metadata
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
                .map(spec_metadata),
            auth_scheme: row.auth_scheme.clone(),
            status: row.status.as_str().to_owned(),
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

/// `providerMetadata` as the contract has it: each value with its source. A plain text is one that was put in.
fn spec_metadata(metadata: Value) -> Value {
    let Value::Object(metadata) = metadata else {
        return metadata;
    };
    let whole = |(name, value): (String, Value)| {
        let value = match value {
            Value::Object(mut known) => {
                known.entry("source").or_insert_with(|| "input".into());
                Value::Object(known)
            }
            plain => json!({ "value": plain, "source": "input" }),
        };
        (name, value)
    };
    Value::Object(metadata.into_iter().map(whole).collect())
}

/// The part of a request that holds credentials: one block, by auth scheme.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialBlocks {
    /// A key.
    #[schema(value_type = Option<String>)]
    pub api_key: Option<Secret>,
    /// A name and a password.
    pub basic_auth: Option<BasicAuth>,
    /// Tokens of an OAuth2 grant.
    pub oauth2_authorization_code: Option<OAuth2Tokens>,
    /// The id and secret of the customer's own app at the provider; this server fetches tokens with them.
    pub oauth2_client_credentials: Option<ClientCredentials>,
    /// Not served by this version.
    #[schema(value_type = Option<Object>)]
    pub oauth2_password_credentials: Option<Map<String, Value>>,
    /// The provider's own inputs, by the names that `GET /v1/providers/{provider}` tells in `customOpts.inputs`.
    #[schema(value_type = Option<Object>)]
    pub custom_auth: Option<CustomAuth>,
}

/// A name and a password.
#[derive(Debug, Deserialize, ToSchema)]
pub struct BasicAuth {
    /// The name.
    pub username: String,
    /// The password.
    #[schema(value_type = String)]
    pub password: Secret,
}

/// The id and secret of an app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCredentials {
    /// The id.
    pub client_id: String,
    /// The secret.
    #[schema(value_type = String)]
    pub client_secret: Secret,
    /// The scopes of the tokens; those of the provider's connector when absent.
    pub scopes: Option<Vec<String>>,
}

/// Tokens of an OAuth2 grant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2Tokens {
    /// What is sent to the provider.
    pub access_token: Option<Token>,
    /// What a new one is asked for with.
    pub refresh_token: Option<Token>,
    /// The scopes of the grant.
    pub scopes: Option<Vec<String>>,
}

/// A token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The token itself.
    #[schema(value_type = String)]
    pub token: Secret,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
}

impl CredentialBlocks {
    /// The blocks that are there, each with its auth scheme; one is wanted.
    ///
    /// # Errors
    /// 400 when one is not served, or lacks what it is about.
    pub fn read(self, prefix: &str) -> Result<Vec<Given>, Problem> {
        let field = |name: &str| format!("{prefix}{name}");
        if self.oauth2_password_credentials.is_some() {
            let detail = "is not served by this version: it takes apiKey, basicAuth, oauth2AuthorizationCode, oauth2ClientCredentials and customAuth";
            return Err(Problem::invalid(field("oauth2PasswordCredentials"), detail));
        }
        let mut found = Vec::new();
        if let Some(key) = self.api_key {
            found.push(("apiKey", Credentials::ApiKey { key }));
        }
        if let Some(BasicAuth { username, password }) = self.basic_auth {
            found.push(("basic", Credentials::Basic { username, password }));
        }
        if let Some(tokens) = self.oauth2_authorization_code {
            let access = tokens.access_token.ok_or_else(|| {
                Problem::invalid(
                    field("oauth2AuthorizationCode.accessToken"),
                    "is required by this version",
                )
            })?;
            let credentials = Credentials::OAuth2 {
                access_token: access.token,
                access_token_expires: access.expires_at,
                refresh_token: tokens.refresh_token.map(|token| token.token),
                scopes: tokens.scopes.unwrap_or_default(),
            };
            found.push(("oauth2/authorizationCode", credentials));
        }
        if let Some(client) = self.oauth2_client_credentials {
            let scopes = client.scopes.unwrap_or_default().join(" ");
            let mut values = BTreeMap::from([
                (CLIENT_ID.to_owned(), Secret::new(client.client_id)),
                (CLIENT_SECRET.to_owned(), client.client_secret),
            ]);
            if !scopes.is_empty() {
                values.insert(SCOPES.to_owned(), Secret::new(scopes));
            }
            found.push((CLIENT_CREDENTIALS, Credentials::Custom { values }));
        }
        if let Some(custom) = self.custom_auth {
            found.push(("custom", custom.read(&field("customAuth"))?));
        }
        let given = |(scheme, credentials)| Given { scheme, credentials };
        Ok(found.into_iter().map(given).collect())
    }
}
