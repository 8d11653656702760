//! A customer's credentials: how they are kept, and how they get onto a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::WireRequest;
use crate::clock::Time;
use crate::connectors::{Auth, Place, ProviderRequest, Scheme};
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
}

/// Sealed credentials as the store keeps them.
pub type SealedCredentials = Vec<u8>;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
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
        }
    }

    /// Every secret text in it that is long enough to be told from ordinary words.
    pub fn secret_texts(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::None => (None, None),
            Self::ApiKey { key } => (Some(key), None),
            Self::Basic { password, .. } => (Some(password), None),
            Self::OAuth2 {
                access_token,
                refresh_token,
                ..
            } => (Some(access_token), refresh_token.as_ref()),
        };
        first
            .into_iter()
            .chain(second)
            .map(Secret::expose)
            .filter(|text| text.len() >= 8)
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

impl Credentials {
    /// The same kind of credentials with [`HIDDEN`] in the place of everything that is not to be seen.
    fn hidden(&self) -> Self {
        let hidden = || Secret::new(HIDDEN.to_owned());
        match self {
            Self::None => Self::None,
            Self::ApiKey { .. } => Self::ApiKey { key: hidden() },
            Self::Basic { .. } => Self::Basic {
                username: HIDDEN.to_owned(),
                password: hidden(),
            },
            Self::OAuth2 { .. } => Self::OAuth2 {
                access_token: hidden(),
                access_token_expires: None,
                refresh_token: None,
                scopes: Vec::new(),
            },
        }
    }

    /// The secrets by the names that connector files use.
    fn secrets(&self, auth: &Auth) -> BTreeMap<String, String> {
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
            }
            Self::OAuth2 { access_token, .. } => {
                put("access_token", access_token.expose());
            }
        }
        secrets
    }
}

/// A request as it would leave, for people: every secret is `***`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRequest {
    /// The HTTP method.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The headers that connector and app set, in order. What HTTP itself adds (host, length) is not among them.
    pub headers: Vec<(String, String)>,
    /// The exact body.
    pub body: Option<String>,
}

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Shows a request as [`attach`] would make it. No secret can get into it: it is made with others in their place.
///
/// # Errors
/// As [`attach`].
pub fn show(
    provider: &str,
    auth: &Auth,
    credentials: &Credentials,
    request: ProviderRequest,
) -> Result<ShownRequest, CredentialError> {
    let wire = attach(provider, auth, &credentials.hidden(), request)?;
    let headers = wire.headers.iter().map(|(name, value)| {
        let text = String::from_utf8_lossy(value.as_bytes());
        // Name and password travel as one encoded text, in which no `***` would be seen.
        let hidden = value.is_sensitive() && text.starts_with("Basic ");
        let text = if hidden {
            format!("Basic {HIDDEN}")
        } else {
            text.into_owned()
        };
        (name.as_str().to_owned(), text)
    });
    Ok(ShownRequest {
        method: wire.method.as_str().to_owned(),
        headers: headers.collect(),
        url: wire.url,
        body: wire.body.map(|body| String::from_utf8_lossy(&body).into_owned()),
    })
}

/// Whether there are credentials that [`attach`] can put on a request of a connector like this.
#[must_use]
pub const fn serves(auth: &Auth) -> bool {
    match &auth.scheme {
        Scheme::OAuth2(_) | Scheme::ApiKey | Scheme::Basic(_) | Scheme::None => true,
        Scheme::Custom(_) | Scheme::Mint(_) | Scheme::AwsSigV4 { .. } => false,
    }
}

/// Puts credentials on a request as the connector says, and makes it ready for the wire.
///
/// # Errors
/// When the credentials are of another kind than the connector asks for, or cannot be carried.
pub fn attach(
    provider: &str,
    auth: &Auth,
    credentials: &Credentials,
    request: ProviderRequest,
) -> Result<WireRequest, CredentialError> {
    let wrong_kind = || CredentialError::WrongKind {
        provider: provider.to_owned(),
        wanted: match &auth.scheme {
            Scheme::OAuth2(_) => "an OAuth2 token",
            Scheme::ApiKey => "an API key",
            Scheme::Basic(_) => "a name and a password",
            _ => "a credential of its own kind, which this version does not serve",
        },
        held: credentials.kind(),
    };
    if auth.attach.is_empty() && !matches!(auth.scheme, Scheme::None) {
        return Err(wrong_kind());
    }
    let secrets = credentials.secrets(auth);
    let mut url = url::Url::parse(&request.url).map_err(|_| CredentialError::BadUrl)?;
    let mut headers = http::HeaderMap::new();
    let mut put = |name: &str, value: &str, secret: bool| -> Result<(), CredentialError> {
        let name = http::HeaderName::try_from(name).map_err(|_| CredentialError::NotAHeader)?;
        let mut value = http::HeaderValue::from_str(value).map_err(|_| CredentialError::NotAHeader)?;
        value.set_sensitive(secret);
        headers.insert(name, value);
        Ok(())
    };
    for (name, value) in &request.headers {
        put(name, value, false)?;
    }
    if let Some(content_type) = &request.content_type {
        put("content-type", content_type, false)?;
    }
    let mut body = request.body;
    let host = url.host_str().unwrap_or_default().to_owned();
    // A credential that is for one host of a provider goes to no other.
    for one in auth.attach.iter().filter(|one| one.applies_to(&host)) {
        let value = one.value(&secrets).ok_or_else(wrong_kind)?;
        match one.place {
            Place::Header => put(&one.name, &value, true)?,
            Place::Query => {
                url.query_pairs_mut().append_pair(&one.name, &value);
            }
            Place::Form => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.append_pair(&one.name, &value);
                let body = body.get_or_insert_default();
                if !body.is_empty() {
                    body.push(b'&');
                }
                body.extend_from_slice(form.finish().as_bytes());
            }
        }
    }
    Ok(WireRequest {
        method: request.method,
        url: url.into(),
        headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::generate_key;

    fn token(text: &str) -> Credentials {
        Credentials::OAuth2 {
            access_token: Secret::new(text.to_owned()),
            access_token_expires: None,
            refresh_token: None,
            scopes: Vec::new(),
        }
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

    #[test]
    fn a_token_goes_into_the_header_that_the_connector_names_and_a_bad_one_goes_nowhere() {
        let catalog = crate::connectors::Catalog::builtin();
        let hubspot = catalog.get("hubspot").expect("built in");
        let request = || ProviderRequest {
            method: http::Method::GET,
            url: "https://api.hubapi.com/crm/v3/objects/contacts/1%2F2".to_owned(),
            headers: Vec::new(),
            content_type: None,
            body: None,
        };
        let wire = attach("hubspot", hubspot.auth(), &token("abc"), request()).expect("attached");
        assert_eq!(wire.headers["authorization"], "Bearer abc");
        assert!(wire.headers["authorization"].is_sensitive());
        assert!(
            wire.url.ends_with("/1%2F2"),
            "the path stays as the connector escaped it: {}",
            wire.url
        );
        assert!(!format!("{wire:?}").contains("abc"));
        assert!(attach("hubspot", hubspot.auth(), &token("a\r\nX-Evil: 1"), request()).is_err());
        assert!(attach("hubspot", hubspot.auth(), &Credentials::None, request()).is_err());
    }

    #[test]
    fn a_shown_request_is_the_one_that_would_leave_without_its_secrets() {
        let catalog = crate::connectors::Catalog::builtin();
        let credentials = [
            token("s3cr3t-t0ken"),
            Credentials::ApiKey {
                key: Secret::new("s3cr3t-k3y".to_owned()),
            },
            Credentials::Basic {
                username: "s3cr3t-n4me".to_owned(),
                password: Secret::new("s3cr3t-w0rd".to_owned()),
            },
        ];
        let mut shown_some = 0;
        for provider in catalog.names() {
            let connector = catalog.get(provider).expect("built in");
            for credentials in &credentials {
                let request = || ProviderRequest {
                    method: http::Method::POST,
                    url: "https://api.example.com/things?a=b".to_owned(),
                    headers: vec![("X-A".to_owned(), "b".to_owned())],
                    content_type: Some("application/json".to_owned()),
                    body: Some(b"{}".to_vec()),
                };
                let wire = attach(provider, connector.auth(), credentials, request());
                let shown = show(provider, connector.auth(), credentials, request());
                assert_eq!(wire.is_ok(), shown.is_ok(), "{provider}");
                let (Ok(wire), Ok(shown)) = (wire, shown) else {
                    continue;
                };
                shown_some += 1;
                let text = format!("{shown:?}");
                let encoded = "czNjcjN0"; // `s3cr3t` as base64 writes it.
                assert!(
                    !text.contains("s3cr3t") && !text.contains(encoded),
                    "{provider}: {text}"
                );
                let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(
                    names(wire.headers.keys().map(http::HeaderName::as_str).collect()),
                    names(shown.headers.iter().map(|(name, _)| name.as_str()).collect())
                );
            }
        }
        assert!(shown_some > 130, "{shown_some}");
    }
}
