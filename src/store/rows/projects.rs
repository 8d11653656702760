//! Projects and their API keys.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Time;
use crate::store::enums::words;
use crate::store::{MaybeKnown, Result};

/// Projects and their API keys.
#[async_trait]
pub trait ProjectStore: Send + Sync {
    /// Makes a project with its first key. `Conflict` when the name is taken.
    async fn create_project(&self, project: &NewProject, key: &NewApiKey) -> Result<Project>;
    /// Every project, by name.
    async fn list_projects(&self) -> Result<Vec<Project>>;
    /// One project by id, or by name without regard to case.
    async fn find_project(&self, id_or_name: &str) -> Result<Option<Project>>;
    /// The active key with this hash, also one that has expired, and its project.
    async fn find_key(&self, key_hash: &[u8]) -> Result<Option<(ApiKey, Project)>>;
    /// Adds a key to a project.
    async fn create_api_key(&self, project_id: Uuid, key: &NewApiKey) -> Result<ApiKey>;
    /// The keys of a project, oldest first.
    async fn list_api_keys(&self, project_id: Uuid, only_active: bool) -> Result<Vec<ApiKey>>;
    /// One key of a project.
    async fn get_api_key(&self, project_id: Uuid, key: KeyRef<'_>) -> Result<Option<ApiKey>>;
    /// Changes a key. `None` when there is none.
    async fn update_api_key(
        &self,
        project_id: Uuid,
        key: KeyRef<'_>,
        change: &ApiKeyChange,
    ) -> Result<Option<ApiKey>>;
    /// Removes a key; false when there was none.
    async fn delete_api_key(&self, project_id: Uuid, key: KeyRef<'_>) -> Result<bool>;
    /// Notes when keys were last used, each where no use is known that is at most `apart` older. Nobody is told: nothing that
    /// is cached depends on it.
    async fn note_api_keys_used(&self, uses: &[KeyUse], apart: Duration) -> Result<()>;
}

/// That an API key was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUse {
    /// The key.
    pub key_id: Uuid,
    /// Its project.
    pub project_id: Uuid,
    /// When.
    pub time: Time,
}

row! {
    /// A project: the boundary that no key and no query crosses.
    pub struct Project of "projects" {
        pub id: Uuid,
        /// Its unique name; compared without regard to case.
        pub name: String,
        /// The name of the app, for people.
        pub app_name: String,
        /// The organisation it belongs to; one per project here.
        pub org_id: Uuid,
        pub create_time: Time,
        /// When it was last changed.
        pub update_time: Option<Time>,
    }
}

row! {
    /// An API key as it is kept: a hash and a masked form, never the key.
    pub struct ApiKey of "api_keys" {
        /// Its id, which also names it in paths.
        pub id: Uuid,
        /// The project that it opens.
        pub project_id: Uuid,
        /// What lists show instead of the key.
        pub masked: String,
        /// A name for people.
        pub label: String,
        /// What it may do.
        pub scopes: KeyScopes,
        /// An inactive key opens nothing.
        pub active: bool,
        pub create_time: Time,
        /// From then on it opens nothing; never when `None`.
        pub expire_time: Option<Time>,
        /// When it was last used, to about a minute.
        pub last_used_time: Option<Time>,
    }
}

words! {
    /// What an API key may do.
    "api_keys.scopes",
    pub enum KeyScope {
        /// Everything.
        Full = "full",
        /// What a browser may: it sees and changes connections and installations, writes no record and changes nothing of the project.
        Frontend = "frontend",
    }
}

/// What an API key may do, as it was given; separated by commas in the store. A key is good for what this version knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyScopes(Vec<MaybeKnown<KeyScope>>);

impl KeyScopes {
    /// Whether this is among them.
    #[must_use]
    pub fn has(&self, scope: KeyScope) -> bool {
        self.words().any(|word| word == scope.as_str())
    }

    /// Their words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(MaybeKnown::as_str)
    }
}

impl From<KeyScope> for KeyScopes {
    fn from(scope: KeyScope) -> Self {
        Self(vec![scope.into()])
    }
}

impl FromIterator<KeyScope> for KeyScopes {
    fn from_iter<I: IntoIterator<Item = KeyScope>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(MaybeKnown::Known).collect())
    }
}

impl std::fmt::Display for KeyScopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.words().collect::<Vec<_>>().join(","))
    }
}

impl<DB: sqlx::Database> sqlx::Type<DB> for KeyScopes
where
    str: sqlx::Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <str as sqlx::Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <str as sqlx::Type<DB>>::compatible(ty)
    }
}

impl<'r, DB: sqlx::Database> sqlx::Decode<'r, DB> for KeyScopes
where
    &'r str: sqlx::Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> std::result::Result<Self, sqlx::error::BoxDynError> {
        let words = <&str as sqlx::Decode<'r, DB>>::decode(value)?;
        Ok(Self(words.split(',').map(MaybeKnown::of_word).collect()))
    }
}

/// A project to be made.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Its id.
    pub id: Uuid,
    /// Its name, validated.
    pub name: String,
    /// The app's name.
    pub app_name: String,
    /// The organisation's id.
    pub org_id: Uuid,
}

/// An API key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its id.
    pub id: Uuid,
    /// SHA-256 of the key.
    pub key_hash: Vec<u8>,
    /// What lists show.
    pub masked: String,
    /// A name for people.
    pub label: String,
    /// What it may do.
    pub scopes: KeyScopes,
    /// From then on it opens nothing.
    pub expire_time: Option<Time>,
}

/// Names one API key within a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRef<'a> {
    /// By id.
    Id(Uuid),
    /// By the SHA-256 of the key itself.
    Hash(&'a [u8]),
}

/// What may be changed of an API key; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyChange {
    /// New label.
    pub label: Option<String>,
    /// New scopes.
    pub scopes: Option<KeyScopes>,
    /// New state.
    pub active: Option<bool>,
    /// New end.
    pub expire_time: Option<Time>,
}
