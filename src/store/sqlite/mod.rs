//! The store on SQLite: embedded, one file, one process, every write on one connection.

/// What differs in the middle of a statement that is otherwise the same on both databases.
macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    };
}
/// So many microseconds, given as a number or a parameter.
macro_rules! micros {
    ($number:literal) => {
        $number
    };
}
/// A lock on what is read: a transaction that writes has the whole file.
macro_rules! lock {
    ($clause:literal) => {
        ""
    };
}
/// The numbers of a JSON list, as a subquery.
macro_rules! json_numbers {
    ($parameter:literal) => {
        concat!("SELECT value FROM json_each(", $parameter, ")")
    };
}
/// The texts of a JSON list, as a subquery.
macro_rules! json_texts {
    ($parameter:literal) => {
        concat!("SELECT value FROM json_each(", $parameter, ")")
    };
}
/// The smallest of some ids.
macro_rules! min_id {
    ($column:literal) => {
        concat!("min(", $column, ")")
    };
}
/// All that carries an earlier time than this can be seen, on the one connection that writes: no transaction is open
/// meanwhile. The clock counts milliseconds, so what ends within this one is left for the next time.
macro_rules! complete_until {
    () => {
        now!()
    };
}
/// How many transactions have been open for more than a minute. Nobody else has the file, and none of the service lasts.
macro_rules! long_transactions {
    () => {
        "0"
    };
}
/// Whether who has a grant may still be alive, given who asks: nobody else has the file.
macro_rules! owner_lives {
    ($asks:literal) => {
        concat!("g.owner = ", $asks)
    };
}

#[path = "../both/mod.rs"]
#[expect(
    clippy::duplicate_mod,
    reason = "compiled for each database, with its own types"
)]
mod both;
mod changes;
mod checks;
mod gather;
mod holds;
mod lanes;
mod lock;
mod operations;
mod queue;
mod retention;
mod whose;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, SqliteConnection, Transaction};
use uuid::Uuid;

use super::whose::{Opening, to_migrate};
use super::{ConnectError, Result, Store, migrations};
use crate::clock::{SharedClock, Time};
use lock::Lock;

/// Readers beside the one writer.
const READERS: u32 = 4;
/// How long a request waits for the writer before the store counts as down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

type Db = Sqlite;
type DbConnection = SqliteConnection;
type ThisStore = SqliteStore;

/// See the module.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Who only looks needs none.
    _lock: Option<Lock>,
}

impl SqliteStore {
    /// Opens or makes the file, refuses a second process, and migrates, as the opening allows. Who only looks may do so
    /// beside the process that has the file.
    ///
    /// # Errors
    /// When the URL is wrong, the file cannot be used, is not ours or is in use, or a migration fails.
    pub async fn connect(url: &str, _clock: SharedClock, opening: Opening) -> Result<Self, ConnectError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| {
                let why = "one of its parameters (behind the ?) cannot be used; mode, cache, immutable and vfs are known";
                ConnectError::BadUrl(why.to_owned())
            })?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: an acknowledged write survives a power cut, not only a killed process.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("wal_autocheckpoint", "4000");
        let path = options.get_filename().to_path_buf();
        check_folder(&path)?;
        let found = whose::look(&path).await?;
        let place = path.display().to_string();
        let migrate = to_migrate(&found, &migrations::sqlite(), opening, &place, whose::ADVICE)?;
        let (options, lock) = match opening {
            Opening::Look => (options.create_if_missing(false).read_only(true), None),
            Opening::Migrate | Opening::Use => (options, Some(Lock::take(&path)?)),
        };
        let file_error = |error: sqlx::Error| ConnectError::File {
            path: path.display().to_string(),
            cause: super::connect::cause(&error),
        };
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                // A commit that failed, on a full disk say, leaves its transaction open: such a connection would
                // refuse every later one. It is replaced.
                .before_acquire(|connection, _| {
                    let clean = !connection.is_in_transaction();
                    Box::pin(async move { Ok(clean) })
                })
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1).connect_with(options.clone()).await.map_err(file_error)?;
        if migrate {
            migrations::sqlite()
                .run(&writer)
                .await
                .map_err(|error| ConnectError::Migration(error.to_string()))?;
        }
        let readers = pool(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(file_error)?;
        Ok(Self {
            writer,
            readers,
            _lock: lock,
        })
    }

    /// For a statement that only reads.
    const fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// For a single statement that writes.
    const fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// A transaction that has the write lock from its first moment: no upgrade can fail half-way.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// The folder of a database is not made: a mistyped path would make an empty database in an empty folder.
fn check_folder(database: &Path) -> Result<(), ConnectError> {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(ConnectError::File {
            path: database.display().to_string(),
            cause: format!(
                "there is no folder {}. Make it, or mend the path",
                folder.display()
            ),
        }),
        _ => Ok(()),
    }
}

/// A file beside the database: its name with something behind it.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    async fn check_writes(&self, process: Uuid, bytes: usize) -> Result<()> {
        checks::check_writes(self, process, bytes).await
    }

    async fn latest_key_check(&self) -> Result<Option<(i64, Vec<u8>)>> {
        self.latest_key().await
    }

    async fn add_key_check(&self, number: i64, sealed: &[u8]) -> Result<()> {
        self.add_key(number, sealed).await
    }

    async fn last_sealed(&self) -> Result<Option<(Uuid, Uuid, Vec<u8>)>> {
        self.last_sealed_credentials().await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn prepare_history(&self, _now: Time) -> Result<()> {
        // One file has no partitions.
        Ok(())
    }
}

/// A long read that runs beside the requests: nothing to do, it has one thread.
async fn in_background(_connection: &mut SqliteConnection) -> Result<()> {
    Ok(())
}
