//! The public keys that JWTs are verified with.

use async_trait::async_trait;
use uuid::Uuid;

use super::Project;
use crate::clock::Time;
use crate::store::Result;

/// The public keys that JWTs are verified with.
#[async_trait]
pub trait JwtKeyStore: Send + Sync {
    /// Adds a key to a project.
    async fn create_jwt_key(&self, project_id: Uuid, key: &NewJwtKey) -> Result<JwtKey>;
    /// The keys of a project, oldest first.
    async fn list_jwt_keys(&self, project_id: Uuid, only_active: bool) -> Result<Vec<JwtKey>>;
    /// One key of a project.
    async fn get_jwt_key(&self, project_id: Uuid, key_id: Uuid) -> Result<Option<JwtKey>>;
    /// Changes a key. `None` when there is none.
    async fn update_jwt_key(
        &self,
        project_id: Uuid,
        key_id: Uuid,
        change: &JwtKeyChange,
    ) -> Result<Option<JwtKey>>;
    /// Removes a key; false when there was none.
    async fn delete_jwt_key(&self, project_id: Uuid, key_id: Uuid) -> Result<bool>;
    /// The active key of this id, in whatever project, and its project: a token names the key before anybody knows the project.
    async fn find_jwt_key(&self, key_id: Uuid) -> Result<Option<(JwtKey, Project)>>;
}

row! {
    /// A public RSA key of the app's backend.
    pub struct JwtKey of "jwt_keys" {
        /// Its id: the `kid` of the tokens, unique in all projects.
        pub id: Uuid,
        /// The project that its tokens open, within a group.
        pub project_id: Uuid,
        /// A name for people.
        pub label: String,
        /// The key, as it was given.
        pub public_key_pem: String,
        /// The tokens of an inactive key open nothing.
        pub active: bool,
        pub create_time: Time,
        /// When it was last changed.
        pub update_time: Option<Time>,
    }
}

/// A key to be added.
#[derive(Debug, Clone)]
pub struct NewJwtKey {
    /// Its id.
    pub id: Uuid,
    /// A name for people.
    pub label: String,
    /// The key, checked.
    pub public_key_pem: String,
}

/// What may be changed of a key; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct JwtKeyChange {
    /// New label.
    pub label: Option<String>,
    /// New state.
    pub active: Option<bool>,
}
