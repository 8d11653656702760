//! Projects.

pub mod get;
pub mod list;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Time;
use crate::store;

/// A project.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// Its id.
    #[schema(example = "0192f3c4-8a50-7d2e-9c1b-6b1f0c9d2e11")]
    pub id: String,
    /// Its unique name.
    #[schema(example = "demo")]
    pub name: String,
    /// The app's name, for people.
    pub app_name: String,
    /// The organisation.
    pub org_id: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// When it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub update_time: Option<Time>,
    /// What the project may do, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entitlements: Option<Entitlements>,
}

/// What a project may do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entitlements {
    /// Whether the UI may leave out whose it is: always, this server is your own.
    pub branding_removal: Entitlement,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entitlement {
    /// Whether it may.
    pub value: bool,
}

impl From<&store::Project> for Project {
    fn from(row: &store::Project) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            app_name: row.app_name.clone(),
            org_id: row.org_id.to_string(),
            create_time: row.create_time,
            update_time: row.update_time,
            entitlements: None,
        }
    }
}
