//! Tokens that are minted with what a customer gave: asking for them, reading the answers, keeping them.

mod answer;
mod ask;
mod assertion;
mod tokens;

use std::collections::BTreeMap;

pub(super) use ask::request;
pub(super) use tokens::Tokens;
pub use tokens::{Account, Token};

use super::client::SendError;
use super::credentials::{CredentialError, Credentials};
use crate::clock::Time;
use crate::connectors::{RetryClass, RetryHint};

/// A minted token.
#[derive(Debug)]
pub(super) struct Minted {
    /// The token, as it is attached.
    pub credentials: Credentials,
    /// What else the answer told: variables of the connection, such as the address of the account.
    pub found: BTreeMap<String, String>,
    /// From when on it is not used any more.
    pub until: Time,
}

/// Why there is no token. Whatever it was wanted for was not sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MintError {
    /// It could not be asked for.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The token endpoint could not be reached, or did not answer.
    #[error("no token could be fetched: {0}")]
    Send(#[from] SendError),
    /// The token endpoint does not accept the credentials.
    #[error("no token could be fetched: the provider refused the credentials: {said}")]
    Refused {
        /// What it said.
        said: String,
        /// The HTTP status.
        status: u16,
    },
    /// It may answer later.
    #[error("no token could be fetched: {said}")]
    Later {
        /// What it said.
        said: String,
        /// The HTTP status.
        status: u16,
        /// Why a later attempt may succeed.
        class: RetryClass,
        /// When to ask again, if it says so.
        after: Option<RetryHint>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::{Connector, Mint, Scheme};
    use crate::vault::Secret;

    pub fn mint_of(connector: &Connector) -> &Mint {
        match &connector.auth().scheme {
            Scheme::Mint(mint) => mint,
            other => panic!("{other:?}"),
        }
    }

    pub fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    pub fn custom(values: &[(&str, &str)]) -> Credentials {
        let values = vars(values).into_iter();
        Credentials::Custom {
            values: values.map(|(name, value)| (name, Secret::new(value))).collect(),
        }
    }
}
