//! Installations, their configs, and the routes that writes take.

use async_trait::async_trait;
use uuid::Uuid;

use super::{ConnectionStatus, SoFar};
use crate::clock::Time;
use crate::store::Result;

/// Installations, their configs, and the routes that writes take.
#[async_trait]
pub trait InstallationStore: Send + Sync {
    /// Makes an installation. `Conflict` when the group has one for this integration.
    async fn create_installation(
        &self,
        project_id: Uuid,
        installation: &NewInstallation,
    ) -> Result<Installation>;
    /// The installations of a project, oldest first, of one integration or group when given.
    async fn list_installations(
        &self,
        project_id: Uuid,
        integration_id: Option<Uuid>,
        group_ref: Option<&str>,
    ) -> Result<Vec<Installation>>;
    /// One installation of an integration.
    async fn get_installation(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        installation_id: Uuid,
    ) -> Result<Option<Installation>>;
    /// Writes a new config. `None` when the installation is gone or another config is in force by now.
    async fn update_installation(
        &self,
        project_id: Uuid,
        installation_id: Uuid,
        change: &InstallationChange,
    ) -> Result<Option<Installation>>;
    /// Removes an installation, and its connection when no other uses it; false when there was none.
    async fn delete_installation(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        installation_id: Uuid,
    ) -> Result<bool>;

    /// What a write of this group through this integration needs; `None` without an installation.
    async fn find_route(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        group_ref: &str,
    ) -> Result<Option<RouteRow>>;
    /// The configs in force of the installations that use these connections, of those that may say something of limits. (One
    /// statement for all lanes of a worker, whatever their project.)
    async fn list_lane_configs(&self, lanes: &[Uuid]) -> Result<Vec<LaneConfig>>;
    /// What a write needs for an operation: the config and revision that it was accepted with, the connection as it is now.
    /// `None` when the installation's config or the connection is gone.
    async fn find_pinned_route(
        &self,
        project_id: Uuid,
        config_id: Uuid,
        revision_id: Uuid,
        connection_id: Uuid,
    ) -> Result<Option<RouteRow>>;
}

row! {
    /// An installation together with the config in force.
    pub struct Installation of "installations" {
        pub id: Uuid,
        pub project_id: Uuid,
        /// The integration that is installed.
        pub integration_id: Uuid,
        /// The credential it writes with.
        pub connection_id: Uuid,
        pub group_ref: String,
        /// `consumer:…`, `builder:…` or `api:…`.
        pub created_by: String,
        pub create_time: Time,
        /// When its config or connection was last changed.
        pub update_time: Option<Time>,
        /// The config in force.
        pub config_id: Uuid,
        /// The revision that was the latest when the config was written.
        pub revision_id: Uuid,
        /// The config: JSON text.
        pub config_content: String,
        /// Who wrote the config.
        pub config_created_by: String,
        /// When the config was written.
        pub config_create_time: Time,
        /// How far the latest operation has come, when there is one.
        pub last_operation_state: Option<SoFar>,
    }
}

row! {
    /// Everything that a write needs to know, from one read.
    pub struct RouteRow of "installations" {
        pub integration_id: Uuid,
        pub integration_name: String,
        pub installation_id: Uuid,
        /// The config in force.
        pub config_id: Uuid,
        /// The config: JSON text.
        pub config_content: String,
        /// The revision: the latest, or the pinned one.
        pub revision_id: Uuid,
        /// The integration's content in that revision: JSON text.
        pub revision_content: String,
        pub connection_id: Uuid,
        /// The provider of the connection.
        pub provider: String,
        /// The customer's workspace at the provider.
        pub provider_workspace_ref: Option<String>,
        /// Further connection variables: JSON text.
        pub provider_metadata: Option<String>,
        /// The auth scheme of the connection.
        pub auth_scheme: String,
        /// The status of the connection.
        pub connection_status: ConnectionStatus,
        pub credentials: Vec<u8>,
        pub credentials_version: i64,
        /// When it was read, by the store's clock.
        pub read_time: Time,
    }
}

row! {
    /// The config of an installation, for the lane of its connection.
    pub struct LaneConfig of "configs" {
        /// The lane: the connection's id.
        pub lane_id: Uuid,
        /// The config: JSON text.
        pub content: String,
    }
}

/// An installation to be made, with its first config.
#[derive(Debug, Clone)]
pub struct NewInstallation {
    /// Its id.
    pub id: Uuid,
    /// The integration.
    pub integration_id: Uuid,
    /// The connection.
    pub connection_id: Uuid,
    /// The customer.
    pub group_ref: String,
    /// Who made it.
    pub created_by: String,
    /// The config.
    pub config: NewConfig,
}

/// A config to be written.
#[derive(Debug, Clone)]
pub struct NewConfig {
    /// Its id.
    pub id: Uuid,
    /// The latest revision.
    pub revision_id: Uuid,
    /// JSON text.
    pub content: String,
    /// Who wrote it.
    pub created_by: String,
}

/// A change of an installation. It holds only while the config that it was computed from is still in force.
#[derive(Debug, Clone)]
pub struct InstallationChange {
    /// The config that the change was computed from.
    pub expected_config_id: Uuid,
    /// The connection from now on.
    pub connection_id: Uuid,
    /// The config from now on.
    pub config: NewConfig,
}
