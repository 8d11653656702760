//! API keys. The key itself is shown once, when it is made; afterwards only a masked form and its id are known.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::jwt::Fault;
use super::uses::Noted;
use super::{Actor, Error, Kind, Projects};
use crate::changes::{Dependency, DependsOn};
use crate::clock::Time;
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
    noted: Noted,
}

/// Why a credential opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum NotHeld {
    /// Nobody's key, or an inactive one.
    #[error("the API key is unknown or inactive")]
    Unknown,
    /// A key whose time is over.
    #[error("the API key has expired on {0}")]
    Expired(Time),
    /// A JWT that is not accepted.
    #[error(transparent)]
    Token(#[from] Fault),
    /// The store does not say.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    /// From then on it opens nothing.
    pub expire_time: Option<Time>,
}

impl Projects {
    /// Who holds a key, which counts as used then.
    ///
    /// # Errors
    /// When nobody does, it is inactive or has expired, or the store fails.
    pub async fn holder(&self, key: &[u8]) -> Result<Arc<KeyHolder>, NotHeld> {
        let hash = sha256(key);
        let holder = match self.known.get(&hash) {
            Some(known) => known,
            None => {
                let before = self.changes.now();
                let (key, project) = self.store.find_key(&hash).await?.ok_or(NotHeld::Unknown)?;
                let noted = Noted::of(&key);
                let found = Arc::new(KeyHolder { key, project, noted });
                self.known.keep(before, hash, Arc::clone(&found));
                found
            }
        };
        let now = self.clock.now();
        // Each time: nothing changes when the time comes.
        match holder.key.expire_time {
            Some(end) if end <= now => Err(NotHeld::Expired(end)),
            _ => {
                self.uses.note(&holder.key, &holder.noted, now);
                Ok(holder)
            }
        }
    }

    /// Drops what is old of the keys in memory.
    pub fn sweep(&self) {
        self.known.sweep();
        self.verifiers.sweep();
    }

    /// Makes a key, `full` unless scopes are given, and good for ever unless its end is; answers it, and what is stored of it.
    ///
    /// # Errors
    /// When the label, a scope or the end cannot be one, or the store fails.
    pub async fn create_key(
        &self,
        actor: &Actor,
        project_id: Uuid,
        label: String,
        scopes: Option<&[String]>,
        expire_time: Option<Time>,
    ) -> Result<(String, ApiKey), Error> {
        check_label(&label)?;
        self.check_end(expire_time)?;
        let scopes = scopes.map_or_else(|| Ok(KeyScope::Full.into()), read_scopes)?;
        let (key, new) = generate(self.clock.new_id(), label, scopes, expire_time)?;
        let made = self.store.create_api_key(project_id, &new).await?;
        self.done
            .note(actor, &[Change::of(project_id, ChangeKind::ApiKey, made.id)]);
        Ok((key, made))
    }

    /// A key that has ended already would be a mistake.
    fn check_end(&self, end: Option<Time>) -> Result<(), Error> {
        if end.is_some_and(|end| end <= self.clock.now()) {
            return Err(Error::invalid(
                "expiresAt",
                "must lie in the future; to end a key now, make it inactive or delete it",
            ));
        }
        Ok(())
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
        self.check_end(patch.expire_time)?;
        let change = ApiKeyChange {
            label: patch.label,
            scopes: patch.scopes.as_deref().map(read_scopes).transpose()?,
            active: patch.active,
            expire_time: patch.expire_time,
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
pub fn generate(
    id: Uuid,
    label: String,
    scopes: KeyScopes,
    expire_time: Option<Time>,
) -> Result<(String, NewApiKey), Error> {
    let random = random_bytes::<32>().map_err(|error| Error::new(Kind::Defect, error.to_string()))?;
    let key = format!("amp_{}", URL_SAFE_NO_PAD.encode(random));
    let masked = format!("{}…", key.chars().take(8).collect::<String>());
    let stored = NewApiKey {
        id,
        key_hash: sha256(key.as_bytes()),
        masked,
        label,
        scopes,
        expire_time,
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
