//! Integrations.

pub mod batch_upsert;
pub mod create;
pub mod create_revision;
pub mod delete;
pub mod get;
pub mod hydrate;
pub mod list;
pub mod plan;

use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::notes;
use crate::clock::Time;
use crate::manifest::Issue;
use crate::store;

/// An integration with its latest revision.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Integration {
    /// Its id.
    pub id: String,
    /// The project.
    pub project_id: String,
    /// Unique in the project; paths take it in place of the id.
    pub name: String,
    /// The provider.
    pub provider: String,
    /// When it was first deployed.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub update_time: Option<Time>,
    /// What is in force.
    pub latest_revision: Revision,
}

/// One state of an integration, as it stood in the manifest.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its id.
    pub id: String,
    /// The manifest's specVersion.
    pub spec_version: String,
    /// When it was deployed.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// The integration as written in amp.yaml.
    #[schema(value_type = Object)]
    pub content: Value,
}

impl From<store::Integration> for Revision {
    fn from(row: store::Integration) -> Self {
        Self {
            id: row.revision_id.to_string(),
            spec_version: row.spec_version,
            create_time: row.revision_create_time,
            content: serde_json::from_str(&row.content).unwrap_or_default(),
        }
    }
}

impl From<store::Integration> for Integration {
    fn from(row: store::Integration) -> Self {
        Self {
            id: row.id.to_string(),
            project_id: row.project_id.to_string(),
            name: row.name.clone(),
            provider: row.provider.clone(),
            create_time: row.create_time,
            update_time: row.update_time,
            latest_revision: Revision::from(row),
        }
    }
}

/// What is probably a mistake and stopped nothing, as a header.
fn noted(warnings: &[Issue]) -> HeaderMap {
    let text = |warning: &Issue| format!("{}: {}", warning.path, warning.detail);
    notes::warnings(warnings.iter().map(text))
}
