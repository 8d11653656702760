//! The public keys that JWTs are verified with.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod update;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Time;
use crate::store;

/// What the contract calls the algorithm of a key; its tokens are signed with RS256.
const ALGORITHM: &str = "RSA";
const NOT_FOUND: &str = "JWT key not found.";

/// A public key that JWTs are verified with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtKey {
    /// Its id: the `kid` in the header of its tokens.
    pub id: String,
    /// The project that its tokens open, within the group that they name.
    pub project_id: String,
    /// A name for people.
    pub label: String,
    /// Always `RSA`.
    pub algorithm: &'static str,
    /// The key, as it was given.
    pub public_key_pem: String,
    /// The tokens of an inactive key open nothing.
    pub active: bool,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub update_time: Time,
}

impl From<store::JwtKey> for JwtKey {
    fn from(row: store::JwtKey) -> Self {
        Self {
            id: row.id.to_string(),
            project_id: row.project_id.to_string(),
            label: row.label,
            algorithm: ALGORITHM,
            public_key_pem: row.public_key_pem,
            active: row.active,
            create_time: row.create_time,
            update_time: row.update_time.unwrap_or(row.create_time),
        }
    }
}
