//! API keys. The key itself is shown once, when it is made; afterwards only a masked form and its id are known.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod update;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::store::{self, KeyRef, NewApiKey};
use crate::vault::{VaultError, random_bytes, sha256};

/// What an API key may do.
pub const SCOPES: [&str; 2] = ["full", "frontend"];
/// The longest label, in characters.
pub const MAX_LABEL: usize = 128;

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its id; paths take it in place of the key.
    pub id: String,
    /// The key when it has just been made, else a masked form.
    #[schema(example = "amp_3yJ0…")]
    pub key: String,
    /// The project that it opens.
    pub project_id: String,
    /// A name for people.
    pub label: String,
    /// `full`, or `frontend` for keys that lie in browsers.
    pub scopes: Vec<String>,
    /// An inactive key opens nothing.
    pub active: bool,
}

impl From<store::ApiKey> for ApiKey {
    fn from(row: store::ApiKey) -> Self {
        Self {
            id: row.id.to_string(),
            key: row.masked,
            project_id: row.project_id.to_string(),
            label: row.label,
            scopes: row.scopes.split(',').map(str::to_owned).collect(),
            active: row.active,
        }
    }
}

/// A new key: what the client gets, and what is stored.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate(id: Uuid, label: String, scopes: String) -> Result<(String, NewApiKey), VaultError> {
    let key = format!("amp_{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()?));
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

/// Checks scopes and joins them for the store.
///
/// # Errors
/// 400 when one is unknown or there is none.
pub fn join_scopes(scopes: &[String], field: &str) -> Result<String, Problem> {
    if scopes.is_empty() {
        return Err(Problem::invalid(
            field,
            "must name at least one of full, frontend",
        ));
    }
    if let Some(unknown) = scopes.iter().position(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(Problem::invalid(
            format!("{field}[{unknown}]"),
            "must be full or frontend",
        ));
    }
    Ok(scopes.join(","))
}

/// Checks a label.
///
/// # Errors
/// 400 when it is empty or too long.
pub fn check_label(label: &str, field: &str) -> Result<(), Problem> {
    let fault = if label.contains('\0') {
        "holds a NUL character".to_owned()
    } else if label.trim().is_empty() || label.chars().count() > MAX_LABEL {
        format!("must have 1 to {MAX_LABEL} characters")
    } else {
        return Ok(());
    };
    Err(Problem::invalid(field, fault))
}

/// A key in a path: its id, or the key itself.
pub(super) struct KeyPath(Option<Uuid>, Vec<u8>);

impl KeyPath {
    pub(super) fn parse(text: &str) -> Self {
        Self(Uuid::try_parse(text).ok(), sha256(text.as_bytes()))
    }

    pub(super) fn as_ref(&self) -> KeyRef<'_> {
        self.0.map_or(KeyRef::Hash(&self.1), KeyRef::Id)
    }
}

pub(super) fn not_found() -> Problem {
    Problem::not_found("API key not found.")
}
