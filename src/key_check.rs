//! Whether a process has the encryption key of its database.
//!
//! The database holds a known text that was sealed with the key in use. Who cannot open the newest one has another key: it could
//! neither use the credentials that are stored, nor store any that others can use, so it does not start. Who can, and seals
//! with another key, which is how keys are rotated, leaves a newer one.

use crate::outbound::{CredentialError, Credentials};
use crate::store::{SharedStore, StoreError};
use crate::vault::{Vault, VaultError};

const PLACE: &str = "key_check";
const TEXT: &[u8] = b"amp-write";
/// Several processes that start at once may leave one each; every one of them has been opened by the next.
const TRIES: usize = 8;

/// Why a process may not use a database. The texts are for the operator's terminal: they say what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It has another key.
    #[error(
        "AMP_ENCRYPTION_KEY is not the key of this database: what is stored there cannot be opened with it. Start this process with the key that the others have and that was in use before; while rotating with both, comma-separated (see docs/operating.md). Nothing was changed."
    )]
    Other(#[source] VaultError),
    /// No check could be sealed.
    #[error("the encryption key could not be checked: {0}")]
    Vault(VaultError),
    /// The store does not answer.
    #[error("the encryption key could not be checked: {0}")]
    Store(#[from] StoreError),
}

/// Checks the key against the database. The first process of a database leaves the check, after it has opened what is stored
/// there, if anything is.
///
/// # Errors
/// See [`KeyError`].
pub async fn check(store: &SharedStore, vault: &Vault) -> Result<(), KeyError> {
    for _ in 0..TRIES {
        let number = match store.latest_key_check().await? {
            Some((number, sealed)) => {
                vault.open(PLACE, &sealed).map_err(KeyError::Other)?;
                if vault.is_sealed_with_first(&sealed) {
                    return Ok(());
                }
                number + 1
            }
            None => {
                if let Some((project_id, connection_id, sealed)) = store.last_sealed().await? {
                    let opened = Credentials::open(vault, project_id, connection_id, &sealed);
                    // What is damaged says nothing of the key.
                    if let Err(CredentialError::Vault(error @ VaultError::UnknownKey(_))) = opened {
                        return Err(KeyError::Other(error));
                    }
                }
                1
            }
        };
        let sealed = vault.seal(PLACE, TEXT).map_err(KeyError::Vault)?;
        store.add_key_check(number, &sealed).await?;
    }
    Ok(())
}
