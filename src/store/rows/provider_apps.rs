//! The apps at providers that ask customers on behalf of a project.

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Time;
use crate::store::Result;

/// Provider apps.
#[async_trait]
pub trait ProviderAppStore: Send + Sync {
    /// Makes an app.
    async fn create_provider_app(&self, project_id: Uuid, app: &NewProviderApp) -> Result<ProviderApp>;
    /// The apps of a project, oldest first; of one provider when it is named.
    async fn list_provider_apps(&self, project_id: Uuid, provider: Option<&str>) -> Result<Vec<ProviderApp>>;
    /// One app.
    async fn get_provider_app(&self, project_id: Uuid, app_id: Uuid) -> Result<Option<ProviderApp>>;
    /// Changes an app. With other secrets, or another client id, what was held because the provider did not accept the app goes
    /// on. Answers the app and the connections that go on; `None` when there is none.
    async fn update_provider_app(
        &self,
        project_id: Uuid,
        app_id: Uuid,
        change: &ProviderAppChange,
    ) -> Result<Option<(ProviderApp, Vec<Uuid>)>>;
    /// Removes an app; false when there was none. `Conflict` while connections have their grants from it.
    async fn delete_provider_app(&self, project_id: Uuid, app_id: Uuid) -> Result<bool>;
    /// Notes that the provider does not accept the app, in its words; `None` that it does.
    async fn set_provider_app_fault(&self, project_id: Uuid, app_id: Uuid, fault: Option<&str>)
    -> Result<()>;
}

row! {
    /// An app at a provider.
    pub struct ProviderApp of "provider_apps" {
        pub id: Uuid,
        pub project_id: Uuid,
        /// The provider.
        pub provider: String,
        /// The provider's own id of the app.
        pub external_ref: Option<String>,
        pub client_id: String,
        /// Sealed.
        pub secrets: Vec<u8>,
        /// What customers are asked for: a JSON list.
        pub scopes: String,
        /// What they are asked for where their account has it: a JSON list.
        pub optional_scopes: String,
        /// `authQueryParams` and `providerParams`: a JSON object.
        pub metadata: Option<String>,
        /// What the provider says of the app while it does not accept it.
        pub fault: Option<String>,
        pub fault_time: Option<Time>,
        pub create_time: Time,
        /// When it was last changed.
        pub update_time: Option<Time>,
    }
}

/// An app to be made.
#[derive(Debug, Clone)]
pub struct NewProviderApp {
    /// Its id.
    pub id: Uuid,
    /// The provider.
    pub provider: String,
    /// The provider's own id of it.
    pub external_ref: Option<String>,
    /// The client id.
    pub client_id: String,
    /// Sealed secrets.
    pub secrets: Vec<u8>,
    /// A JSON list.
    pub scopes: String,
    /// A JSON list.
    pub optional_scopes: String,
    /// A JSON object.
    pub metadata: Option<String>,
}

/// What may be changed of an app; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct ProviderAppChange {
    /// The provider's own id of it; an empty one removes it.
    pub external_ref: Option<String>,
    /// The client id.
    pub client_id: Option<String>,
    /// Sealed secrets.
    pub secrets: Option<Vec<u8>>,
    /// A JSON list.
    pub scopes: Option<String>,
    /// A JSON list.
    pub optional_scopes: Option<String>,
    /// A JSON object.
    pub metadata: Option<String>,
}
