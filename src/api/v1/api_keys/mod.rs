//! API keys.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod update;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Time;
use crate::store;

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its id; paths take it in place of the key.
    pub id: String,
    /// The key when it has just been made, else a masked form.
    #[schema(example = "amp_3yJ0…")]
    pub key: String,
    /// The project that it opens.
    pub project_id: String,
    /// A name for people.
    pub label: String,
    /// `full`, or `frontend` for keys that lie in browsers.
    pub scopes: Vec<String>,
    /// An inactive key opens nothing.
    pub active: bool,
    /// From then on it opens nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
    /// When it was last used, to about a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_time: Option<Time>,
}

impl From<store::ApiKey> for ApiKey {
    fn from(row: store::ApiKey) -> Self {
        Self {
            id: row.id.to_string(),
            key: row.masked,
            project_id: row.project_id.to_string(),
            label: row.label,
            scopes: row.scopes.words().map(str::to_owned).collect(),
            active: row.active,
            expires_at: row.expire_time,
            last_used_time: row.last_used_time,
        }
    }
}
