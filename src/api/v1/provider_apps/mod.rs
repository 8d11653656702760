//! Provider apps: with what customers are asked. Their secrets are taken in and never given out.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::extract::id;
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::clock::Time;
use crate::control::provider_apps::ShownApp;
use crate::grants::apps::AppMetadata;

const NOT_FOUND: &str = "Provider app not found for the given provider app ID.";

/// Further parameters of a provider app.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderAppMetadata {
    /// Further parameters of the authorisation URL, each with its values, such as `optional_scope` for HubSpot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_query_params: Option<BTreeMap<String, Vec<String>>>,
    /// What else the provider's connector wants to know of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_params: Option<BTreeMap<String, String>>,
}

impl From<ProviderAppMetadata> for AppMetadata {
    fn from(given: ProviderAppMetadata) -> Self {
        Self {
            auth_query_params: given.auth_query_params.unwrap_or_default(),
            provider_params: given.provider_params.unwrap_or_default(),
        }
    }
}

impl From<AppMetadata> for ProviderAppMetadata {
    fn from(known: AppMetadata) -> Self {
        Self {
            auth_query_params: Some(known.auth_query_params).filter(|params| !params.is_empty()),
            provider_params: Some(known.provider_params).filter(|params| !params.is_empty()),
        }
    }
}

/// A provider app, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderApp {
    /// Its id.
    pub id: String,
    /// The project.
    pub project_id: String,
    /// The provider's own id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_ref: Option<String>,
    /// The provider.
    pub provider: String,
    /// The client id.
    pub client_id: String,
    /// What customers are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What they are asked for where their account has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional_scopes: Vec<String>,
    /// Further parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ProviderAppMetadata>,
    /// What has to be registered with the app at the provider, to the letter. Absent while `AMP_PUBLIC_URL` is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// What the provider says of the app while it does not accept it: what waits for its connections is held until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// When it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub update_time: Option<Time>,
}

impl ProviderApp {
    fn of(app: &AppState, known: ShownApp) -> Self {
        let row = known.row;
        let is_set = known.metadata != AppMetadata::default();
        Self {
            id: row.id.to_string(),
            project_id: row.project_id.to_string(),
            external_ref: row.external_ref,
            provider: row.provider,
            client_id: row.client_id,
            scopes: known.scopes,
            optional_scopes: known.optional_scopes,
            metadata: is_set.then(|| known.metadata.into()),
            redirect_url: app.control.callback_url(),
            fault: row.fault,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

fn app_id(segment: &str) -> Result<Uuid, Problem> {
    id(segment, NOT_FOUND)
}
