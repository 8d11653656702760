//! From a `DATABASE_URL` to an open store.

use std::sync::Arc;

use super::location::Location;
use super::whose::Opening;
use super::{SharedStore, StoreError};
use crate::clock::SharedClock;

/// Why a store could not be opened. The texts are for the operator's terminal: they say what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is of no known kind.
    #[error("DATABASE_URL (--database-url) must begin with postgres://, postgresql:// or sqlite://, not {0}")]
    UnknownScheme(String),
    /// The URL cannot be read.
    #[error("DATABASE_URL (--database-url) cannot be read: {0}")]
    BadUrl(String),
    /// It holds what another program has made.
    #[error("{place} holds what is not amp-write's: {names}. Nothing was changed. {advice}")]
    NotOurs {
        /// Where.
        place: String,
        /// A few of the things that were found.
        names: String,
        /// What to do.
        advice: String,
    },
    /// It is as it was made.
    #[error(
        "{place} is empty. Run `amp-write migrate` first, or start `amp-write serve`, which makes its tables by itself."
    )]
    Empty {
        /// Where.
        place: String,
    },
    /// Migrations are missing.
    #[error(
        "{place} is older than this program: it is at migration {at}, and the program is at {known}. Run `amp-write migrate` first, or start `amp-write serve`, which does it by itself. Nothing was changed."
    )]
    Older {
        /// Where.
        place: String,
        /// The last migration that was run.
        at: i64,
        /// The last one that this program knows.
        known: i64,
    },
    /// Migrations were run that this program does not know.
    #[error(
        "{place} is newer than this program: it is at migration {at}, and the program knows none past {known}. Use the amp-write that migrated it, or a newer one. Nothing was changed."
    )]
    Newer {
        /// Where.
        place: String,
        /// A migration that this program does not know.
        at: i64,
        /// The last one that it knows.
        known: i64,
    },
    /// A migration was another one when it was run.
    #[error(
        "{place} was made with another migration {version} than this program has. Use the amp-write that migrated it. Nothing was changed."
    )]
    Altered {
        /// Where.
        place: String,
        /// The migration.
        version: i64,
    },
    /// There is no schema to work in.
    #[error(
        "the search path of this connection to the database `{database}` names no schema that exists. Make the schema (CREATE SCHEMA …), or mend `options` in DATABASE_URL."
    )]
    NoSchema {
        /// The database.
        database: String,
    },
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

/// Opens the database of `url`, migrates it under a lock and makes it ready. One that belongs to another program is refused
/// and left as it is.
///
/// # Errors
/// [`ConnectError`] says what is wrong and what to do.
pub async fn connect(
    url: &str,
    max_connections: u32,
    clock: SharedClock,
) -> Result<SharedStore, ConnectError> {
    open(url, max_connections, clock, Opening::Migrate).await
}

/// As [`connect`], but what becomes of the database itself is the caller's choice.
///
/// # Errors
/// [`ConnectError`] says what is wrong and what to do.
pub async fn open(
    url: &str,
    max_connections: u32,
    clock: SharedClock,
    opening: Opening,
) -> Result<SharedStore, ConnectError> {
    match Location::parse(url)? {
        Location::Postgres(url) => Ok(Arc::new(
            super::postgres::PostgresStore::connect(url, max_connections, &clock, opening).await?,
        )),
        Location::Sqlite(url) => Ok(Arc::new(
            super::sqlite::SqliteStore::connect(url, clock, opening).await?,
        )),
    }
}

/// The words of a driver without what it adds: the line of the server's source, say.
pub(super) fn cause(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    }
}
