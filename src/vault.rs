//! Secrets at rest: sealed with an AEAD, bound to the place they belong to, never printed.
//!
//! A sealed value is `version (1 byte) | key id (4) | nonce (12) | ciphertext and tag`. The key id tells which of several
//! keys opens it, so that keys can be rotated: the first key seals, every key opens.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;
const KEY_LEN: usize = 32;

/// A text that must not be seen: its `Debug` hides it and it has no `Display`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// What can go wrong with keys and sealed values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The key text is not what it should be.
    #[error(
        "AMP_ENCRYPTION_KEY must be 32 random bytes in base64 (several, comma-separated, while rotating). Make one with: openssl rand -base64 32"
    )]
    BadKey,
    /// Sealed with a key that this process was not given.
    #[error(
        "a stored credential was sealed with another encryption key (id {0}). Start with the key that was in use before, or with both, comma-separated, the new one first."
    )]
    UnknownKey(String),
    /// The value was changed, or belongs to another row.
    #[error("a stored credential cannot be opened: it is damaged or belongs to another record")]
    Damaged,
    /// The system gives no randomness.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

struct Key {
    id: [u8; KEY_ID_LEN],
    key: LessSafeKey,
}

/// Seals and opens. Cheap to share behind an `Arc`.
pub struct Vault {
    keys: Vec<Key>,
    random: SystemRandom,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads one key, or several comma-separated: the first one seals, all of them open.
    ///
    /// # Errors
    /// [`VaultError::BadKey`] when a part is not 32 bytes in base64.
    pub fn from_keys(keys: &Secret) -> Result<Self, VaultError> {
        let keys = keys
            .expose()
            .split(',')
            .map(|text| {
                let bytes = STANDARD.decode(text.trim()).map_err(|_| VaultError::BadKey)?;
                if bytes.len() != KEY_LEN {
                    return Err(VaultError::BadKey);
                }
                let unbound = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| VaultError::BadKey)?;
                Ok(Key {
                    id: key_id(&bytes),
                    key: LessSafeKey::new(unbound),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            keys,
            random: SystemRandom::new(),
        })
    }

    /// Seals `plain` for `place`: only the same place can open it again.
    ///
    /// # Errors
    /// [`VaultError::NoRandomness`].
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let key = self.keys.first().ok_or(VaultError::BadKey)?;
        let mut nonce = [0_u8; NONCE_LEN];
        self.random
            .fill(&mut nonce)
            .map_err(|_| VaultError::NoRandomness)?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        let mut body = plain.to_vec();
        key.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.as_bytes()),
                &mut body,
            )
            .map_err(|_| VaultError::Damaged)?;
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Whether this is sealed with the key that seals now.
    #[must_use]
    pub fn is_sealed_with_first(&self, sealed: &[u8]) -> bool {
        let id = sealed.get(1..=KEY_ID_LEN);
        id.is_some() && id == self.keys.first().map(|key| key.id.as_slice())
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] or [`VaultError::Damaged`].
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (header, body) = sealed.split_at_checked(HEADER_LEN).ok_or(VaultError::Damaged)?;
        if header[0] != VERSION {
            return Err(VaultError::Damaged);
        }
        let (id, nonce) = header[1..].split_at(KEY_ID_LEN);
        let key =
            self.keys.iter().find(|key| key.id == id).ok_or_else(|| {
                VaultError::UnknownKey(id.iter().map(|byte| format!("{byte:02x}")).collect())
            })?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Damaged)?;
        let mut body = body.to_vec();
        let plain = key
            .key
            .open_in_place(nonce, Aad::from(place.as_bytes()), &mut body)
            .map_err(|_| VaultError::Damaged)?;
        Ok(plain.to_vec())
    }
}

fn key_id(key: &[u8]) -> [u8; KEY_ID_LEN] {
    let hash = digest::digest(&digest::SHA256, key);
    let mut id = [0; KEY_ID_LEN];
    id.copy_from_slice(&hash.as_ref()[..KEY_ID_LEN]);
    id
}

/// SHA-256, for API keys and request bodies.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// So many random bytes from the operating system.
///
/// # Errors
/// [`VaultError::NoRandomness`].
pub fn random_bytes<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| VaultError::NoRandomness)?;
    Ok(bytes)
}

/// A new encryption key in the form that [`Vault::from_keys`] reads.
///
/// # Errors
/// [`VaultError::NoRandomness`].
pub fn generate_key() -> Result<Secret, VaultError> {
    Ok(Secret::new(STANDARD.encode(random_bytes::<KEY_LEN>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_only_in_its_place_and_unchanged() {
        let vault = Vault::from_keys(&generate_key().expect("random")).expect("a good key");
        let sealed = vault.seal("connection/1", b"token").expect("sealed");
        assert_eq!(vault.open("connection/1", &sealed).expect("opened"), b"token");
        assert_eq!(vault.open("connection/2", &sealed), Err(VaultError::Damaged));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(
                vault.open("connection/1", &changed).is_err(),
                "byte {index} is not protected"
            );
        }
        assert!(!sealed.windows(5).any(|part| part == b"token"));
        assert!(vault.open("connection/1", &sealed[..10]).is_err());
    }

    #[test]
    fn a_new_key_seals_while_the_old_one_still_opens() {
        let (old, new) = (generate_key().expect("random"), generate_key().expect("random"));
        let before = Vault::from_keys(&old).expect("key");
        let both =
            Vault::from_keys(&Secret::new(format!("{}, {}", new.expose(), old.expose()))).expect("keys");
        let after = Vault::from_keys(&new).expect("key");
        let sealed = before.seal("p", b"x").expect("sealed");
        assert_eq!(both.open("p", &sealed).expect("opened"), b"x");
        assert!(matches!(after.open("p", &sealed), Err(VaultError::UnknownKey(_))));
        let resealed = both.seal("p", b"x").expect("sealed");
        assert_eq!(after.open("p", &resealed).expect("opened"), b"x");
    }

    #[test]
    fn bad_keys_are_refused_and_secrets_do_not_print() {
        for bad in ["", "short", "bm90IDMyIGJ5dGVz", "AAAA,,"] {
            assert!(matches!(
                Vault::from_keys(&Secret::new(bad.to_owned())),
                Err(VaultError::BadKey)
            ));
        }
        assert_eq!(format!("{:?}", Secret::new("hush".to_owned())), "***");
    }
}
