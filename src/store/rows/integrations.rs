//! Integrations and their revisions.

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Time;
use crate::store::Result;

/// Integrations and their revisions.
#[async_trait]
pub trait IntegrationStore: Send + Sync {
    /// Deploys a manifest: new integrations are made, changed ones get a revision, unchanged ones stay as they are.
    /// With `remove_others` those that are not named go, with their installations. Answers those named, in their order.
    async fn deploy(
        &self,
        project_id: Uuid,
        integrations: &[NewIntegration],
        remove_others: bool,
    ) -> Result<Vec<Integration>>;
    /// The integrations of a project, oldest first.
    async fn list_integrations(&self, project_id: Uuid) -> Result<Vec<Integration>>;
    /// How much the integrations of a project are used; those that are not installed may be absent. Reads the project's queue:
    /// for people who are about to change something.
    async fn integration_uses(&self, project_id: Uuid) -> Result<Vec<IntegrationUse>>;
    /// One integration.
    async fn find_integration(
        &self,
        project_id: Uuid,
        integration: IntegrationRef<'_>,
    ) -> Result<Option<Integration>>;
    /// One revision of an integration.
    async fn get_revision(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        revision_id: Uuid,
    ) -> Result<Option<Revision>>;
    /// Keeps an uploaded file for an hour; older ones go.
    async fn put_upload(&self, project_id: Uuid, id: Uuid, content: &[u8]) -> Result<()>;
    /// An uploaded file, as long as it is kept.
    async fn get_upload(&self, project_id: Uuid, id: Uuid) -> Result<Option<Vec<u8>>>;
    /// Removes an integration with its installations; false when there was none.
    async fn delete_integration(&self, project_id: Uuid, integration_id: Uuid) -> Result<bool>;
}

row! {
    /// An integration together with its latest revision.
    pub struct Integration of "integrations" {
        pub id: Uuid,
        pub project_id: Uuid,
        /// Unique in the project, without regard to case.
        pub name: String,
        /// The provider's name in the catalogue.
        pub provider: String,
        /// When it was first deployed.
        pub create_time: Time,
        /// When it was last deployed with a change.
        pub update_time: Option<Time>,
        /// The latest revision.
        pub revision_id: Uuid,
        /// The manifest's specVersion of that revision.
        pub spec_version: String,
        /// The integration as it stands in the manifest: JSON text.
        pub content: String,
        /// When that revision was made.
        pub revision_create_time: Time,
    }
}

row! {
    /// How much an integration is used.
    pub struct IntegrationUse of "installations" {
        pub integration_id: Uuid,
        /// Its installations.
        pub installations: i64,
        /// Their operations in the queue.
        pub queued: i64,
    }
}

row! {
    /// One state of an integration.
    pub struct Revision of "revisions" {
        pub id: Uuid,
        pub spec_version: String,
        /// The integration as it stands in the manifest: JSON text.
        pub content: String,
        /// When it was deployed.
        pub create_time: Time,
    }
}

/// Names one integration within a project: the id when the text is one, else the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegrationRef<'a> {
    /// By id.
    Id(Uuid),
    /// By name, without regard to case.
    Name(&'a str),
}

impl<'a> IntegrationRef<'a> {
    /// Reads a path segment.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        Uuid::try_parse(text).map_or(Self::Name(text), Self::Id)
    }
}

/// One integration of a deploy.
#[derive(Debug, Clone)]
pub struct NewIntegration {
    /// The id it gets when it is new.
    pub id: Uuid,
    /// The id of the revision that is made when something changed.
    pub revision_id: Uuid,
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// The manifest's specVersion.
    pub spec_version: String,
    /// Its content: JSON text.
    pub content: String,
}

impl NewIntegration {
    /// Whether a deploy of this makes a new revision of what is there.
    #[must_use]
    pub fn changes(&self, old: &Integration) -> bool {
        old.content != self.content || old.spec_version != self.spec_version
    }
}
