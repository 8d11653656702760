//! From a `DATABASE_URL` to a migrated store.

use std::sync::Arc;

use super::{SharedStore, StoreError};
use crate::clock::SharedClock;

/// Why a store could not be opened. The texts are for the operator's terminal: they say what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is of no known kind.
    #[error("DATABASE_URL must begin with postgres://, postgresql:// or sqlite://, not `{0}`")]
    UnknownScheme(String),
    /// The URL cannot be read.
    #[error("DATABASE_URL cannot be read: {0}")]
    BadUrl(String),
    /// The server does not answer, or refuses.
    #[error(
        "cannot connect to {url}: {cause}. Check that the database runs, that the name and password are right, and that this machine may connect."
    )]
    Unreachable {
        /// The URL without its password.
        url: String,
        /// The driver's words.
        cause: String,
    },
    /// The server takes no writes.
    #[error(
        "{url} is read-only: it is a standby, or default_transaction_read_only is on. Nothing can be recorded there: use the URL of the primary."
    )]
    ReadOnly {
        /// The URL without its password.
        url: String,
    },
    /// The file cannot be used.
    #[error("cannot open the SQLite file {path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// The system's words.
        cause: String,
    },
    /// Another process has the file.
    #[error(
        "{path} is in use by another amp-write process. SQLite serves one process: stop the other one, or use Postgres to run several."
    )]
    InUse {
        /// The file.
        path: String,
    },
    /// A migration failed.
    #[error("the database could not be migrated: {0}")]
    Migration(String),
    /// The store failed right after opening.
    #[error("the database was opened but does not work: {0}")]
    Store(#[from] StoreError),
}

/// Opens the database of `url`, migrates it under a lock and makes it ready.
///
/// # Errors
/// [`ConnectError`] says what is wrong and what to do.
pub async fn connect(
    url: &str,
    max_connections: u32,
    clock: SharedClock,
) -> Result<SharedStore, ConnectError> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    match scheme {
        "postgres" | "postgresql" => Ok(Arc::new(
            super::postgres::PostgresStore::connect(url, max_connections, &clock).await?,
        )),
        "sqlite" => Ok(Arc::new(super::sqlite::SqliteStore::connect(url, clock).await?)),
        // The text before the first colon: never the rest, which may hold a password.
        other => Err(ConnectError::UnknownScheme(other.chars().take(20).collect())),
    }
}

/// The URL for logs: without password.
#[must_use]
pub fn describe_url(url: &str) -> String {
    url::Url::parse(url).map_or_else(
        |_| "the database".to_owned(),
        |mut parsed| {
            if parsed.password().is_some() {
                // Fails only for URLs that cannot have a password, and this one has one.
                let _ = parsed.set_password(Some("***"));
            }
            parsed.set_query(None);
            parsed.to_string()
        },
    )
}
