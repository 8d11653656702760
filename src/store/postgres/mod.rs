//! The store on Postgres: production, any number of processes.

/// What differs in the middle of a statement that is otherwise the same on both databases.
macro_rules! now {
    () => {
        "now()"
    };
}
/// So many microseconds, given as a number or a parameter.
macro_rules! micros {
    ($number:literal) => {
        concat!($number, " * INTERVAL '1 microsecond'")
    };
}
/// A lock on what is read.
macro_rules! lock {
    ($clause:literal) => {
        $clause
    };
}
/// The numbers of a JSON list, as a subquery.
macro_rules! json_numbers {
    ($parameter:literal) => {
        concat!(
            "SELECT value::bigint FROM json_array_elements_text(",
            $parameter,
            "::json)"
        )
    };
}
/// The texts of a JSON list, as a subquery.
macro_rules! json_texts {
    ($parameter:literal) => {
        concat!(
            "SELECT value FROM json_array_elements_text(",
            $parameter,
            "::json)"
        )
    };
}
/// The smallest of some ids.
macro_rules! min_id {
    ($column:literal) => {
        concat!("min(", $column, "::text COLLATE \"C\")::uuid")
    };
}
/// All that carries an earlier time than this can be seen. A row carries the time at which its transaction began, and is seen
/// once that has ended: what began before the oldest transaction that is still open is complete. The margin covers a
/// transaction that has just begun and is not listed yet.
macro_rules! complete_until {
    () => {
        "LEAST(now() - INTERVAL '200 milliseconds',
               (SELECT min(a.xact_start) FROM pg_stat_activity a
                WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                  AND a.backend_type = 'client backend' AND a.application_name = 'amp-write'))"
    };
}
/// How many transactions have been open for more than a minute.
macro_rules! long_transactions {
    () => {
        "(SELECT count(*) FROM pg_stat_activity
          WHERE datname = current_database() AND backend_type <> 'autovacuum worker'
            AND xact_start < now() - INTERVAL '60 seconds')"
    };
}
/// Whether who has a grant may still be alive, given who asks.
macro_rules! owner_lives {
    ($asks:literal) => {
        concat!($asks, "::uuid IS NOT NULL")
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
mod history;
mod holds;
mod lanes;
mod operations;
mod queue;
mod retention;
mod whose;

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::connect::cause;
use super::location::{Location, for_driver};
use super::whose::{Opening, to_migrate};
use super::{ConnectError, Result, Store, migrations};
use crate::clock::{SharedClock, Time};

/// How long a request waits for a connection before the store counts as down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

type Db = Postgres;
type DbConnection = PgConnection;
type ThisStore = PostgresStore;

/// See the module.
#[derive(Debug)]
pub struct PostgresStore {
    pool: PgPool,
}

impl PostgresStore {
    /// For a statement that only reads.
    const fn readers(&self) -> &PgPool {
        &self.pool
    }

    /// For a single statement that writes.
    const fn writer(&self) -> &PgPool {
        &self.pool
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin().await?)
    }

    /// Connects; then, as the opening allows, migrates under Postgres's own advisory lock, and makes room for the history of
    /// the coming days.
    ///
    /// # Errors
    /// When the URL is wrong, the server cannot be reached, the database is not ours, or a migration fails.
    pub async fn connect(
        url: &str,
        max_connections: u32,
        clock: &SharedClock,
        opening: Opening,
    ) -> Result<Self, ConnectError> {
        let location = Location::Postgres(url).to_string();
        let (url, ignored) = for_driver(url);
        if !ignored.is_empty() {
            tracing::warn!(
                parameters = ignored.join(", "),
                "DATABASE_URL has parameters that mean nothing here"
            );
        }
        // The driver's words may repeat what it could not read.
        let options = PgConnectOptions::from_str(&url).map_err(|_| {
            ConnectError::BadUrl(
                "one of its parameters (behind the ?) has a value that cannot be used".to_owned(),
            )
        })?;
        let options = options
            .application_name("amp-write")
            // No statement of the service may hang on: a stuck one must never look like a slow one.
            .options([
                ("statement_timeout", "20s"),
                ("lock_timeout", "15s"),
                ("idle_in_transaction_session_timeout", "30s"),
                // Every statement goes by an index, in its order. Before the first ANALYZE of a table that has grown the
                // planner would think otherwise, and read a million rows to sort them.
                ("enable_seqscan", "off"),
                ("enable_bitmapscan", "off"),
                // It compiles by estimates, and a lane that holds a million rows makes a read of fifty look dear.
                ("jit", "off"),
            ]);
        let options = match opening {
            Opening::Look => options.options([("default_transaction_read_only", "on")]),
            Opening::Migrate | Opening::Use => options,
        };
        let unreachable = |cause: String| ConnectError::Unreachable {
            url: location.clone(),
            cause,
        };
        // The pool would only say that it timed out; a single connection says why.
        let first = sqlx::PgConnection::connect_with(&options);
        let mut first = match tokio::time::timeout(ACQUIRE_TIMEOUT, first).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(unreachable(cause(&error))),
            Err(_) => return Err(unreachable("it did not answer in time".to_owned())),
        };
        if opening != Opening::Look && checks::is_read_only(&mut first).await.unwrap_or(false) {
            return Err(ConnectError::ReadOnly {
                url: location.clone(),
            });
        }
        let (schema, found) = whose::look(&mut first).await?;
        drop(first.close().await);
        let place = format!("{location} ({schema})");
        let migrate = to_migrate(&found, &migrations::postgres(), opening, &place, whose::ADVICE)?;
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A ping before every use costs a round trip; a broken connection is replaced when it fails instead.
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(|error| unreachable(cause(&error)))?;
        if migrate {
            migrations::postgres()
                .run(&pool)
                .await
                .map_err(|error| ConnectError::Migration(error.to_string()))?;
        }
        let store = Self { pool };
        if (migrate || opening == Opening::Migrate)
            && let Err(error) = store.prepare_history(clock.now()).await
        {
            // The default partition serves meanwhile, and the service tries again every hour.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the partitions of the coming days could not be made"
            );
        }
        Ok(store)
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    async fn check_writes(&self, process: Uuid, bytes: usize) -> Result<()> {
        checks::check_writes(&self.pool, process, bytes).await
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
        self.pool.close().await;
    }

    async fn prepare_history(&self, now: Time) -> Result<()> {
        history::prepare(&self.pool, now).await
    }
}

/// A long read that runs beside the requests: one core is enough.
async fn in_background(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("SET LOCAL max_parallel_workers_per_gather = 0")
        .execute(connection)
        .await?;
    Ok(())
}
