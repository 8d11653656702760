//! The apps at providers, opened: their secrets, and what they ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Time;
use crate::outbound::oauth::ClientApp;
use crate::store::ProviderApp;
use crate::vault::{Secret, Vault, VaultError};

/// How long the secret before is tried when the provider does not take the new one.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// The secrets of an app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppSecrets {
    /// The one in force.
    pub current: Secret,
    /// The one before, while the provider may know that one only.
    #[serde(default)]
    pub previous: Option<Previous>,
}

/// A secret that was replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// The secret.
    pub secret: Secret,
    /// Until when it is tried.
    pub until: Time,
}

/// Why an app cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Its secrets cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What is stored of it makes no sense.
    #[error("the stored provider app cannot be read")]
    Unreadable,
}

fn place(project_id: Uuid, app_id: Uuid) -> String {
    format!("provider_app/{project_id}/{app_id}")
}

impl AppSecrets {
    /// Another secret takes the place of the one in force, which is tried for a while yet.
    #[must_use]
    pub fn replaced(self, new: Secret, now: Time) -> Self {
        let same = self.current.expose() == new.expose();
        Self {
            previous: if same {
                self.previous
            } else {
                Some(Previous {
                    secret: self.current,
                    until: now.after(OVERLAP),
                })
            },
            current: new,
        }
    }

    /// Those that may be tried, the one in force first.
    #[must_use]
    pub fn usable(&self, now: Time) -> Vec<Secret> {
        let previous = self.previous.iter().filter(|previous| previous.until > now);
        std::iter::once(self.current.clone())
            .chain(previous.map(|previous| previous.secret.clone()))
            .collect()
    }

    /// Seals them for one app.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn seal(&self, vault: &Vault, project_id: Uuid, app_id: Uuid) -> Result<Vec<u8>, AppError> {
        let plain = serde_json::to_vec(self).map_err(|_| AppError::Unreadable)?;
        Ok(vault.seal(&place(project_id, app_id), &plain)?)
    }

    /// Opens those of an app.
    ///
    /// # Errors
    /// When the key is another one, or what is stored is damaged.
    pub fn open(vault: &Vault, app: &ProviderApp) -> Result<Self, AppError> {
        let plain = vault.open(&place(app.project_id, app.id), &app.secrets)?;
        serde_json::from_slice(&plain).map_err(|_| AppError::Unreadable)
    }
}

/// `metadata` of an app, as the contract has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppMetadata {
    /// Further parameters of the authorisation URL, each with its values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub auth_query_params: BTreeMap<String, Vec<String>>,
    /// What else the provider's connector wants to know.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub provider_params: BTreeMap<String, String>,
}

impl AppMetadata {
    /// What is stored of an app.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn of(app: &ProviderApp) -> Result<Self, AppError> {
        match &app.metadata {
            Some(text) => serde_json::from_str(text).map_err(|_| AppError::Unreadable),
            None => Ok(Self::default()),
        }
    }
}

/// A list as it is stored.
///
/// # Errors
/// When it makes no sense.
pub fn list(text: &str) -> Result<Vec<String>, AppError> {
    serde_json::from_str(text).map_err(|_| AppError::Unreadable)
}

/// An app as it asks, once for each secret that may be tried, the one in force first.
///
/// # Errors
/// See [`AppError`].
pub fn clients(vault: &Vault, app: &ProviderApp, now: Time) -> Result<Vec<ClientApp>, AppError> {
    let metadata = AppMetadata::of(app)?;
    let (scopes, optional_scopes) = (list(&app.scopes)?, list(&app.optional_scopes)?);
    let secrets = AppSecrets::open(vault, app)?;
    let client = |secret: Secret| ClientApp {
        client_id: app.client_id.clone(),
        client_secret: (!secret.expose().is_empty()).then_some(secret),
        scopes: scopes.clone(),
        optional_scopes: optional_scopes.clone(),
        params: metadata.provider_params.clone(),
        auth_params: metadata
            .auth_query_params
            .iter()
            .map(|(name, values)| (name.clone(), values.join(" ")))
            .collect(),
    };
    Ok(secrets.usable(now).into_iter().map(client).collect())
}
