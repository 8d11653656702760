//! JWTs: what the app's backend signs for a customer's browser, and the public keys that they are verified with.

mod public_key;
mod token;

use std::sync::Arc;

use uuid::Uuid;

use super::actor::Consumer;
use super::keys::NotHeld;
use super::{Actor, Error, Projects};
use crate::changes::{Dependency, DependsOn};
use crate::store::{Change, ChangeKind, JwtKey, JwtKeyChange, NewJwtKey, Project};
use token::Unverified;
pub use token::{Fault, MAX_TOKEN_BYTES};

/// The longest label, in characters.
const MAX_LABEL: usize = 255;

/// A public key that verifies, and the project that its tokens open.
#[derive(Debug)]
pub struct Verifier {
    /// Its id: the `kid`.
    key_id: Uuid,
    /// The project.
    pub project: Project,
    /// The key, as it is verified with.
    der: Vec<u8>,
}

impl DependsOn for Verifier {
    fn depends_on(&self) -> impl Iterator<Item = Dependency> {
        [
            (ChangeKind::JwtKey, self.key_id),
            (ChangeKind::Project, self.project.id),
        ]
        .into_iter()
    }
}

/// A key to be added, as it was given.
#[derive(Debug)]
pub struct AddingJwtKey {
    /// A name for people.
    pub label: String,
    /// `RS256`; or `RSA`, as answers call it.
    pub algorithm: String,
    /// The key.
    pub public_key_pem: String,
}

impl Projects {
    /// Whom a token was signed for, and the key that says so. The key finds the project; whether that is the one that is asked
    /// for is the caller's to compare.
    ///
    /// # Errors
    /// When it is no token of an active key, says what is not accepted, or the store fails.
    pub async fn consumer(&self, token: &str) -> Result<(Consumer, Arc<Verifier>), NotHeld> {
        let token = Unverified::read(token)?;
        let key_id = token.key_id;
        let verifier = match self.verifiers.get(&key_id) {
            Some(known) => known,
            None => {
                let before = self.changes.now();
                let (key, project) = self.store.find_jwt_key(key_id).await?.ok_or(Fault::NotSigned)?;
                // It was read when it was added: only another version's rules could make it unreadable.
                let der = public_key::read(&key.public_key_pem).map_err(|_| Fault::NotSigned)?;
                let found = Arc::new(Verifier { key_id, project, der });
                self.verifiers.keep(before, key_id, Arc::clone(&found));
                found
            }
        };
        let claims = token.verify(&verifier.der, self.clock.now())?;
        let consumer = Consumer {
            key_id,
            group_ref: claims.group_ref.into(),
            consumer_ref: claims.consumer_ref.into(),
        };
        Ok((consumer, verifier))
    }

    /// Adds a public key.
    ///
    /// # Errors
    /// When it cannot be verified with, the label cannot be one, or the store fails.
    pub async fn create_jwt_key(
        &self,
        actor: &Actor,
        project_id: Uuid,
        asked: AddingJwtKey,
    ) -> Result<JwtKey, Error> {
        check_label(&asked.label)?;
        if !matches!(asked.algorithm.as_str(), "RS256" | "RSA") {
            return Err(Error::invalid("algorithm", "must be RS256: no other is verified"));
        }
        public_key::read(&asked.public_key_pem).map_err(|fault| Error::invalid("publicKeyPem", fault))?;
        let new = NewJwtKey {
            id: self.clock.new_id(),
            label: asked.label,
            public_key_pem: asked.public_key_pem,
        };
        let made = self.store.create_jwt_key(project_id, &new).await?;
        self.done
            .note(actor, &[Change::of(project_id, ChangeKind::JwtKey, made.id)]);
        Ok(made)
    }

    /// One public key.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn get_jwt_key(&self, project_id: Uuid, key_id: Uuid) -> Result<JwtKey, Error> {
        let found = self.store.get_jwt_key(project_id, key_id).await?;
        found.ok_or_else(not_found)
    }

    /// Changes a public key.
    ///
    /// # Errors
    /// When a value cannot be one, there is no such key, or the store fails.
    pub async fn update_jwt_key(
        &self,
        actor: &Actor,
        project_id: Uuid,
        key_id: Uuid,
        change: &JwtKeyChange,
    ) -> Result<JwtKey, Error> {
        if let Some(label) = &change.label {
            check_label(label)?;
        }
        let changed = self.store.update_jwt_key(project_id, key_id, change).await?;
        self.done
            .note(actor, &[Change::of(project_id, ChangeKind::JwtKey, key_id)]);
        changed.ok_or_else(not_found)
    }

    /// Removes a public key: its tokens open nothing any more.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn delete_jwt_key(&self, actor: &Actor, project_id: Uuid, key_id: Uuid) -> Result<(), Error> {
        let gone = self.store.delete_jwt_key(project_id, key_id).await?;
        self.done
            .note(actor, &[Change::of(project_id, ChangeKind::JwtKey, key_id)]);
        if gone { Ok(()) } else { Err(not_found()) }
    }
}

fn check_label(label: &str) -> Result<(), Error> {
    let fault = if label.contains('\0') {
        "holds a NUL character".to_owned()
    } else if label.trim().is_empty() || label.chars().count() > MAX_LABEL {
        format!("must have 1 to {MAX_LABEL} characters")
    } else {
        return Ok(());
    };
    Err(Error::invalid("label", fault))
}

fn not_found() -> Error {
    Error::not_found("JWT key not found.")
}
