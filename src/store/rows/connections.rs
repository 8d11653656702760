//! Customers' credentials.

use async_trait::async_trait;
use uuid::Uuid;

use super::NewGrant;
use crate::clock::Time;
use crate::store::Result;
use crate::store::enums::words;

/// Customers' credentials.
#[async_trait]
pub trait ConnectionStore: Send + Sync {
    /// Makes a connection, and its group and consumer when they are new.
    async fn create_connection(&self, project_id: Uuid, connection: &NewConnection) -> Result<Connection>;
    /// The connections of a project that match, oldest first.
    async fn list_connections(&self, project_id: Uuid, filter: &ConnectionFilter) -> Result<Vec<Connection>>;
    /// One connection.
    async fn get_connection(&self, project_id: Uuid, connection_id: Uuid) -> Result<Option<Connection>>;
    /// Changes a connection. New credentials end the lane's authorization hold. `None` when there is none.
    async fn update_connection(
        &self,
        project_id: Uuid,
        connection_id: Uuid,
        change: &ConnectionChange,
    ) -> Result<Option<Connection>>;
    /// Notes whether the credentials of this version work; false when newer ones are in force, and nothing changes.
    /// Dead credentials hold the lane (its clock stands still); working ones end such a hold.
    async fn set_connection_works(
        &self,
        project_id: Uuid,
        connection_id: Uuid,
        credentials_version: i64,
        works: bool,
    ) -> Result<bool>;
    /// Removes a connection; false when there was none. `Conflict` while an installation uses it.
    async fn delete_connection(&self, project_id: Uuid, connection_id: Uuid) -> Result<bool>;
}

row! {
    /// A customer's credential for one provider, with the group and the consumer it belongs to.
    pub struct Connection of "connections" {
        /// Its id; also the id of its lane.
        pub id: Uuid,
        pub project_id: Uuid,
        /// The provider's name in the catalogue.
        pub provider: String,
        pub group_ref: String,
        pub group_name: String,
        /// When the group was first seen.
        pub group_create_time: Time,
        /// The person who connected.
        pub consumer_ref: String,
        pub consumer_name: String,
        /// When the consumer was first seen.
        pub consumer_create_time: Time,
        /// The customer's workspace at the provider, such as a Salesforce subdomain.
        pub provider_workspace_ref: Option<String>,
        /// Further connection variables: a JSON object as text.
        pub provider_metadata: Option<String>,
        /// `apiKey`, `basic`, `oauth2/authorizationCode`, …
        pub auth_scheme: String,
        /// What is known of its credentials.
        pub status: ConnectionStatus,
        pub credentials: Vec<u8>,
        /// Grows with each change of the credentials.
        pub credentials_version: i64,
        pub create_time: Time,
        /// When it was last changed.
        pub update_time: Option<Time>,
        /// When it was read, by the store's clock.
        pub read_time: Time,
    }
}

words! {
    /// What is known of the credentials of a connection.
    "connections.status",
    pub enum ConnectionStatus {
        /// Nothing yet.
        Created = "created",
        /// The provider has accepted them.
        Working = "working",
        /// The provider has refused them.
        BadCredentials = "bad_credentials",
    }
}

/// A connection to be made. The group and the consumer are made, or renamed when a name is given.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// Its id.
    pub id: Uuid,
    /// The provider.
    pub provider: String,
    /// The customer.
    pub group_ref: String,
    /// The customer's name, when given.
    pub group_name: Option<String>,
    /// The person.
    pub consumer_ref: String,
    /// That person's name, when given.
    pub consumer_name: Option<String>,
    /// The workspace at the provider.
    pub provider_workspace_ref: Option<String>,
    /// Further variables: JSON text.
    pub provider_metadata: Option<String>,
    /// The auth scheme.
    pub auth_scheme: String,
    /// Sealed credentials.
    pub credentials: Vec<u8>,
    /// The grant behind them, if they are tokens of one.
    pub grant: Option<NewGrant>,
}

/// What may be changed of a connection; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct ConnectionChange {
    /// New workspace.
    pub provider_workspace_ref: Option<String>,
    /// New variables: JSON text.
    pub provider_metadata: Option<String>,
    /// New sealed credentials. The status becomes `created` and the lane's authorization hold ends.
    pub credentials: Option<Vec<u8>>,
    /// The grant behind new credentials, if they are tokens of one.
    pub grant: Option<NewGrant>,
}

/// Which connections to list; `None` means any.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFilter {
    /// Of this provider.
    pub provider: Option<String>,
    /// Of this group.
    pub group_ref: Option<String>,
    /// Of this consumer.
    pub consumer_ref: Option<String>,
}
