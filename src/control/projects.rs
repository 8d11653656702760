//! Projects.

use std::sync::Arc;

use uuid::Uuid;

use super::jwt::Verifier;
use super::keys::{self, KeyHolder};
use super::uses::Uses;
use super::{Actor, Done, Error, Kind};
use crate::changes::{Changes, Remembered};
use crate::clock::SharedClock;
use crate::redact;
use crate::store::{Change, KeyScope, NewProject, Project, SharedStore, StoreError};

/// Keys kept in memory, of each kind.
const KEY_CAPACITY: usize = 10_000;

/// Projects and their API keys.
#[derive(Debug)]
pub struct Projects {
    pub(super) store: SharedStore,
    pub(super) clock: SharedClock,
    pub(super) changes: Arc<Changes>,
    pub(super) done: Done,
    pub(super) known: Remembered<Vec<u8>, KeyHolder>,
    pub(super) verifiers: Remembered<Uuid, Verifier>,
    pub(super) uses: Uses,
}

impl Projects {
    /// Over a store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock, changes: Arc<Changes>) -> Self {
        Self {
            known: Remembered::new(Arc::clone(&changes), "api_keys", KEY_CAPACITY),
            verifiers: Remembered::new(Arc::clone(&changes), "jwt_keys", KEY_CAPACITY),
            uses: Uses::default(),
            done: Done(Arc::clone(&changes)),
            store,
            clock,
            changes,
        }
    }

    /// Over a store alone, for a program that serves nothing.
    #[must_use]
    pub fn alone(store: SharedStore, clock: SharedClock) -> Self {
        let changes = Arc::new(Changes::new(store.clone(), Arc::default()));
        Self::new(store, clock, changes)
    }

    /// Makes a project with its first key, and answers both.
    ///
    /// # Errors
    /// When the name cannot be one or is taken, or the store fails.
    pub async fn create(
        &self,
        actor: &Actor,
        name: &str,
        app_name: Option<&str>,
    ) -> Result<(Project, String), Error> {
        let name = check_name(name)?;
        let (key, first) = keys::generate(
            self.clock.new_id(),
            "first key".to_owned(),
            KeyScope::Full.into(),
            None,
        )?;
        let project = NewProject {
            id: self.clock.new_id(),
            app_name: app_name.unwrap_or(&name).to_owned(),
            name,
            org_id: self.clock.new_id(),
        };
        let made = match self.store.create_project(&project, &first).await {
            Err(StoreError::Conflict(detail)) => {
                return Err(Error::new(
                    Kind::Conflict,
                    format!("{detail}; choose another name"),
                ));
            }
            made => made?,
        };
        self.done.note(actor, &[Change::project(made.id)]);
        Ok((made, key))
    }
}

/// Checks the name of a project, and answers it as it is stored.
///
/// # Errors
/// When it cannot be one.
pub fn check_name(name: &str) -> Result<String, Error> {
    let name = name.to_lowercase();
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if (2..=128).contains(&name.len())
        && name.chars().all(inner)
        && edge(name.chars().next())
        && edge(name.chars().last())
        // A name that reads like an id would hide the project of that id.
        && Uuid::try_parse(&name).is_err()
    {
        Ok(name)
    } else {
        let detail = format!(
            "{} cannot be a project's name: use 2 to 128 letters, digits and hyphens, with a letter or digit at both ends",
            redact::word(&name)
        );
        Err(Error::about("name", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_are_lower_case_letters_digits_and_hyphens() {
        assert_eq!(check_name("MailMonkey-2").ok().as_deref(), Some("mailmonkey-2"));
        for bad in [
            "",
            "a",
            "-a",
            "a-",
            "a b",
            "a/b",
            "ä-b",
            "0192f3c4-8a50-7d2e-9c1b-6b1f0c9d2e11",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
