//! API keys. The key itself is shown once, when it is made; afterwards only a masked form and its id are known.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::{Actor, Error, Kind, Projects};
use crate::changes::{Dependency, DependsOn};
use crate::store::{
    ApiKey, ApiKeyChange, Change, ChangeKind, KeyRef, KeyScope, KeyScopes, NewApiKey, Project, StoreError,
    StoredWord,
};
use crate::vault::{random_bytes, sha256};

/// The longest label, in characters.
const MAX_LABEL: usize = 128;

/// A valid key and the project that it opens.
#[derive(Debug)]
pub struct KeyHolder {
    /// The key, without its secret.
    pub key: ApiKey,
    /// The project.
    pub project: Project,
}

impl KeyHolder {
    /// Whether the key has a scope.
    #[must_use]
    pub fn has_scope(&self, scope: KeyScope) -> bool {
        self.key.scopes.has(scope)
    }
}

impl DependsOn for KeyHolder {
    fn depends_on(&self) -> impl Iterator<Item = Dependency> {
        [
            (ChangeKind::ApiKey, self.key.id),
            (ChangeKind::Project, self.project.id),
        ]
        .into_iter()
    }
}

/// New values of a key; what is `None` stays.
#[derive(Debug, Default)]
pub struct KeyPatch {
    /// A name for people.
    pub label: Option<String>,
    /// An inactive key opens nothing.
    pub active: Option<bool>,
    /// What it may do.
    pub scopes: Option<Vec<String>>,
}

impl Projects {
    /// Who holds a key: `None` when nobody does, or it is inactive.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn holder(&self, key: &[u8]) -> Result<Option<Arc<KeyHolder>>, StoreError> {
        let hash = sha256(key);
        if let Some(known) = self.known.get(&hash) {
            return Ok(Some(known));
        }
        let before = self.changes.now();
        let Some((key, project)) = self.store.find_key(&hash).await? else {
            return Ok(None);
        };
        let found = Arc::new(KeyHolder { key, project });
        self.known.keep(before, hash, Arc::clone(&found));
        Ok(Some(found))
    }

    /// Drops what is old of the keys in memory.
    pub fn sweep(&self) {
        self.known.sweep();
    }

    /// Makes a key, `full` unless scopes are given; answers it, and what is stored of it.
    ///
    /// # Errors
    /// When the label or a scope cannot be one, or the store fails.
    pub async fn create_key(
        &self,
        actor: &Actor,
        project_id: Uuid,
        label: String,
        scopes: Option<&[String]>,
    ) -> Result<(String, ApiKey), Error> {
        check_label(&label)?;
        let scopes = scopes.map_or_else(|| Ok(KeyScope::Full.into()), read_scopes)?;
        let (key, new) = generate(self.clock.new_id(), label, scopes)?;
        let made = self.store.create_api_key(project_id, &new).await?;
        self.done
            .note(actor, &[Change::of(project_id, ChangeKind::ApiKey, made.id)]);
        Ok((key, made))
    }

    /// One key, by its id or the key itself.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn get_key(&self, project_id: Uuid, key: &str) -> Result<ApiKey, Error> {
        let path = KeyPath::parse(key);
        let found = self.store.get_api_key(project_id, path.as_ref()).await?;
        found.ok_or_else(not_found)
    }

    /// Changes a key, by its id or the key itself.
    ///
    /// # Errors
    /// When a value cannot be one, there is no such key, or the store fails.
    pub async fn update_key(
        &self,
        actor: &Actor,
        project_id: Uuid,
        key: &str,
        patch: KeyPatch,
    ) -> Result<ApiKey, Error> {
        if let Some(label) = &patch.label {
            check_label(label)?;
        }
        let change = ApiKeyChange {
            label: patch.label,
            scopes: patch.scopes.as_deref().map(read_scopes).transpose()?,
            active: patch.active,
        };
        let path = KeyPath::parse(key);
        let changed = self
            .store
            .update_api_key(project_id, path.as_ref(), &change)
            .await?
            .ok_or_else(not_found)?;
        self.done
            .note(actor, &[Change::of(project_id, ChangeKind::ApiKey, changed.id)]);
        Ok(changed)
    }

    /// Removes a key, by its id or the key itself: it opens nothing any more.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn delete_key(&self, actor: &Actor, project_id: Uuid, key: &str) -> Result<(), Error> {
        let id = self.get_key(project_id, key).await?.id;
        let gone = self.store.delete_api_key(project_id, KeyRef::Id(id)).await?;
        self.done
            .note(actor, &[Change::of(project_id, ChangeKind::ApiKey, id)]);
        if gone { Ok(()) } else { Err(not_found()) }
    }
}

/// A new key: what its holder gets, and what is stored.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate(id: Uuid, label: String, scopes: KeyScopes) -> Result<(String, NewApiKey), Error> {
    let random = random_bytes::<32>().map_err(|error| Error::new(Kind::Defect, error.to_string()))?;
    let key = format!("amp_{}", URL_SAFE_NO_PAD.encode(random));
    let masked = format!("{}…", key.chars().take(8).collect::<String>());
    let stored = NewApiKey {
        id,
        key_hash: sha256(key.as_bytes()),
        masked,
        label,
        scopes,
    };
    Ok((key, stored))
}

/// Checks scopes.
fn read_scopes(scopes: &[String]) -> Result<KeyScopes, Error> {
    if scopes.is_empty() {
        return Err(Error::invalid(
            "scopes",
            "must name at least one of full, frontend",
        ));
    }
    let known = scopes.iter().enumerate().map(|(index, word)| {
        KeyScope::of_word(word)
            .ok_or_else(|| Error::invalid(format!("scopes[{index}]"), "must be full or frontend"))
    });
    known.collect()
}

/// Checks the label of a key.
///
/// # Errors
/// When it cannot be one.
pub fn check_label(label: &str) -> Result<(), Error> {
    let fault = if label.contains('\0') {
        "holds a NUL character".to_owned()
    } else if label.trim().is_empty() || label.chars().count() > MAX_LABEL {
        format!("must have 1 to {MAX_LABEL} characters")
    } else {
        return Ok(());
    };
    Err(Error::invalid("label", fault))
}

/// A key as it is named: its id, or the key itself.
struct KeyPath(Option<Uuid>, Vec<u8>);

impl KeyPath {
    fn parse(text: &str) -> Self {
        Self(Uuid::try_parse(text).ok(), sha256(text.as_bytes()))
    }

    fn as_ref(&self) -> KeyRef<'_> {
        self.0.map_or(KeyRef::Hash(&self.1), KeyRef::Id)
    }
}

fn not_found() -> Error {
    Error::not_found("API key not found.")
}
