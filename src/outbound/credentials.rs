//! A customer's credentials, and how they are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Time;
use crate::connectors::{ACCESS_KEY_ID, Auth, Refusal, SECRET_ACCESS_KEY, Scheme};
use crate::vault::{Secret, Vault, VaultError};

/// What a customer gave us to act with. Every secret in it hides itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Credentials {
    /// The provider needs none.
    None,
    /// One key.
    #[serde(rename_all = "camelCase")]
    ApiKey {
        /// The key.
        key: Secret,
    },
    /// A name and a password.
    #[serde(rename_all = "camelCase")]
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// Tokens of an OAuth2 grant.
    #[serde(rename_all = "camelCase")]
    OAuth2 {
        /// What is sent.
        access_token: Secret,
        /// When it ends, if the provider said so.
        access_token_expires: Option<Time>,
        /// What a new one is asked for with.
        refresh_token: Option<Secret>,
        /// The scopes of the grant.
        scopes: Vec<String>,
    },
    /// What the connector's inputs ask for: named secrets, AWS keys, or what tokens are minted with.
    #[serde(rename_all = "camelCase")]
    Custom {
        /// The values by the names of the inputs. A list is one text, joined with blanks.
        values: BTreeMap<String, Secret>,
    },
}

/// Sealed credentials as the store keeps them.
pub type SealedCredentials = Vec<u8>;

/// Why credentials cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// They cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// They were opened and make no sense.
    #[error("a stored credential cannot be read")]
    Unreadable,
    /// The connector wants another kind.
    #[error("{provider} is reached with {wanted}, but the connection holds {held}")]
    WrongKind {
        /// The provider.
        provider: String,
        /// What the connector asks for.
        wanted: &'static str,
        /// What there is.
        held: &'static str,
    },
    /// An input of the connector has no value.
    #[error("the input `{input}` is missing: {provider} needs {needs}")]
    MissingInput {
        /// The provider.
        provider: String,
        /// The input.
        input: String,
        /// All inputs that have to be there.
        needs: String,
    },
    /// An input of the connector has a value that cannot be used.
    #[error("the input `{input}` {why}")]
    BadInput {
        /// The input.
        input: String,
        /// What is wrong with it, without the value.
        why: String,
    },
    /// A variable that the credential needs is missing or not acceptable.
    #[error(transparent)]
    Variable(#[from] Refusal),
    /// A part cannot be put into a header.
    #[error("the credential holds characters that a header cannot carry")]
    NotAHeader,
    /// The URL cannot take the key.
    #[error("the request's URL cannot be read")]
    BadUrl,
}

impl Credentials {
    /// What a person calls this kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "no credential",
            Self::ApiKey { .. } => "an API key",
            Self::Basic { .. } => "a name and a password",
            Self::OAuth2 { .. } => "an OAuth2 token",
            Self::Custom { .. } => "named inputs",
        }
    }

    /// Every secret text in it that is long enough to be told from ordinary words.
    #[must_use]
    pub fn secret_texts(&self, auth: &Auth) -> Vec<&str> {
        let public = |name: &str| auth.inputs().iter().any(|i| i.public && i.name == name);
        let secrets: Vec<&Secret> = match self {
            Self::None => Vec::new(),
            Self::ApiKey { key } => vec![key],
            Self::Basic { password, .. } => vec![password],
            Self::OAuth2 {
                access_token,
                refresh_token,
                ..
            } => std::iter::once(access_token).chain(refresh_token).collect(),
            Self::Custom { values } => {
                let secret = values.iter().filter(|(name, _)| !public(name));
                secret.map(|(_, value)| value).collect()
            }
        };
        secrets
            .into_iter()
            .map(Secret::expose)
            .filter(|text| text.len() >= 8)
            .collect()
    }

    fn place(project_id: Uuid, connection_id: Uuid) -> String {
        format!("connection/{project_id}/{connection_id}")
    }

    /// Seals them for one connection.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn seal(
        &self,
        vault: &Vault,
        project_id: Uuid,
        connection_id: Uuid,
    ) -> Result<SealedCredentials, CredentialError> {
        let plain = serde_json::to_vec(self).map_err(|_| CredentialError::Unreadable)?;
        Ok(vault.seal(&Self::place(project_id, connection_id), &plain)?)
    }

    /// Opens what was sealed for this connection.
    ///
    /// # Errors
    /// When the key is another one, or the value is damaged.
    pub fn open(
        vault: &Vault,
        project_id: Uuid,
        connection_id: Uuid,
        sealed: &[u8],
    ) -> Result<Self, CredentialError> {
        let plain = vault.open(&Self::place(project_id, connection_id), sealed)?;
        serde_json::from_slice(&plain).map_err(|_| CredentialError::Unreadable)
    }
}

/// What stands in the place of a secret.
pub(super) const HIDDEN: &str = "***";

impl Credentials {
    /// A token of a grant that has just been given, as it is attached.
    #[must_use]
    pub const fn of_access_token(access_token: Secret) -> Self {
        Self::of_token(access_token)
    }

    /// A token as it is attached.
    pub(super) const fn of_token(access_token: Secret) -> Self {
        Self::OAuth2 {
            access_token,
            access_token_expires: None,
            refresh_token: None,
            scopes: Vec::new(),
        }
    }

    /// What these become on a request, with [`HIDDEN`] in the place of everything that is not to be seen.
    pub(super) fn hidden(&self, auth: &Auth) -> Self {
        let hidden = || Secret::new(HIDDEN.to_owned());
        match self {
            Self::None => Self::None,
            Self::ApiKey { .. } => Self::ApiKey { key: hidden() },
            Self::Basic { .. } => Self::Basic {
                username: HIDDEN.to_owned(),
                password: hidden(),
            },
            Self::OAuth2 { .. } => Self::of_token(hidden()),
            // What is minted with them is attached.
            Self::Custom { .. } if auth.mint().is_some() => Self::of_token(hidden()),
            Self::Custom { values } => Self::Custom {
                values: values.keys().map(|name| (name.clone(), hidden())).collect(),
            },
        }
    }

    /// The secrets by the names that connector files use.
    pub(super) fn secrets(&self, auth: &Auth) -> BTreeMap<String, String> {
        let mut secrets = BTreeMap::new();
        let mut put = |name: &str, value: &str| secrets.insert(name.to_owned(), value.to_owned());
        match self {
            Self::None => {}
            Self::ApiKey { key } => {
                put("api_key", key.expose());
                // A provider's long-lived token (a HubSpot private app's, say) is sent like an OAuth2 token.
                put("access_token", key.expose());
                if let Scheme::Basic(basic) = &auth.scheme {
                    let other = basic.other.as_deref().unwrap_or_default();
                    let key_is_password = basic.api_key_as.as_deref() == Some("password");
                    put("username", if key_is_password { other } else { key.expose() });
                    put("password", if key_is_password { key.expose() } else { other });
                }
            }
            Self::Basic { username, password } => {
                put("username", username);
                put("password", password.expose());
                if matches!(auth.scheme, Scheme::AwsSigV4(_)) {
                    put(ACCESS_KEY_ID, username);
                    put(SECRET_ACCESS_KEY, password.expose());
                }
            }
            Self::OAuth2 { access_token, .. } => {
                put("access_token", access_token.expose());
            }
            Self::Custom { values } => {
                for (name, value) in values {
                    put(name, value.expose());
                }
            }
        }
        secrets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::generate_key;

    fn token(text: &str) -> Credentials {
        Credentials::of_token(Secret::new(text.to_owned()))
    }

    #[test]
    fn credentials_survive_the_vault_only_in_their_own_row_and_never_print() {
        let vault = Vault::from_keys(&generate_key().expect("random")).expect("key");
        let (project, connection) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = token("t0p-s3cr3t")
            .seal(&vault, project, connection)
            .expect("sealed");
        assert_eq!(
            Credentials::open(&vault, project, connection, &sealed).expect("opened"),
            token("t0p-s3cr3t")
        );
        assert!(Credentials::open(&vault, project, Uuid::from_u128(3), &sealed).is_err());
        assert!(Credentials::open(&vault, Uuid::from_u128(3), connection, &sealed).is_err());
        assert!(!format!("{:?}", token("t0p-s3cr3t")).contains("t0p"));
    }
}
