//! A database for one test, gone when the test ends.

use std::sync::Arc;

use amp_write::clock::SystemClock;
use amp_write::store::{SharedStore, connect};
use sqlx::{AssertSqlSafe, Connection as _};

use super::template;

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A database that nobody else uses.
pub struct Database {
    pub url: String,
    _folder: Option<tempfile::TempDir>,
    name: Option<String>,
}

fn server() -> String {
    std::env::var("TEST_DATABASE_URL").expect(
        "TEST_DATABASE_URL is not set, so the Postgres half of the tests cannot run: use ./scripts/test, which starts a server",
    )
}

impl Database {
    /// A database that is migrated, and empty but for that.
    pub async fn create(kind: Kind) -> Self {
        Self::new(kind, true).await
    }

    /// A database with nothing in it at all.
    pub async fn empty(kind: Kind) -> Self {
        Self::new(kind, false).await
    }

    async fn new(kind: Kind, migrated: bool) -> Self {
        match kind {
            Kind::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let path = folder.path().join("test.db");
                if migrated {
                    template::copy_to(&path).await;
                }
                Self {
                    url: format!("sqlite://{}", path.display()),
                    _folder: Some(folder),
                    name: None,
                }
            }
            Kind::Postgres => {
                let name = format!("t{}", uuid::Uuid::new_v4().simple());
                let mut url = url::Url::parse(&server()).expect("a URL");
                let mut admin = sqlx::PgConnection::connect(&server())
                    .await
                    .expect("TEST_DATABASE_URL can be reached");
                if migrated {
                    template::copy_on(&mut admin, &url, &name).await;
                } else {
                    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
                        .execute(&mut admin)
                        .await
                        .expect("a database can be made");
                }
                url.set_path(&name);
                Self {
                    url: url.into(),
                    _folder: None,
                    name: Some(name),
                }
            }
        }
    }

    /// A database that somebody else made and takes away.
    pub fn at(url: String) -> Self {
        Self {
            url,
            _folder: None,
            name: None,
        }
    }

    /// A connection of the test's own to a Postgres database.
    pub async fn look(&self) -> sqlx::PgConnection {
        sqlx::PgConnection::connect(&self.url).await.expect("connected")
    }

    /// Runs a statement of the test's own.
    pub async fn execute(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        if self.url.starts_with("sqlite:") {
            let mut connection = sqlx::SqliteConnection::connect(&self.url)
                .await
                .expect("connected");
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .expect("done");
        } else {
            sqlx::query(statement)
                .execute(&mut self.look().await)
                .await
                .expect("done");
        }
    }

    /// Lets the time of an operation in the queue come.
    pub async fn make_due(&self, operation: &str) {
        let operation: uuid::Uuid = operation.parse().expect("an id");
        let moved = if self.url.starts_with("sqlite:") {
            let mut connection = sqlx::SqliteConnection::connect(&self.url)
                .await
                .expect("connected");
            sqlx::query(
                "UPDATE queue_items SET run_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) WHERE operation_id = $1",
            )
            .bind(operation)
            .execute(&mut connection)
            .await
            .expect("moved")
            .rows_affected()
        } else {
            sqlx::query("UPDATE queue_items SET run_at = now() WHERE operation_id = $1")
                .bind(operation)
                .execute(&mut self.look().await)
                .await
                .expect("moved")
                .rows_affected()
        };
        assert_eq!(moved, 1, "it is in the queue");
    }

    /// Lets the deadline of an operation in the queue pass.
    pub async fn expire(&self, operation: &str) {
        let operation: uuid::Uuid = operation.parse().expect("an id");
        for (table, key) in [("operations", "id"), ("queue_items", "operation_id")] {
            let moved = if self.url.starts_with("sqlite:") {
                let statement = format!("UPDATE {table} SET deadline = 1 WHERE {key} = $1");
                let mut connection = sqlx::SqliteConnection::connect(&self.url)
                    .await
                    .expect("connected");
                let moved = sqlx::query(AssertSqlSafe(statement))
                    .bind(operation)
                    .execute(&mut connection);
                moved.await.expect("moved").rows_affected()
            } else {
                let statement =
                    format!("UPDATE {table} SET deadline = now() - INTERVAL '1 second' WHERE {key} = $1");
                let mut connection = self.look().await;
                let moved = sqlx::query(AssertSqlSafe(statement))
                    .bind(operation)
                    .execute(&mut connection);
                moved.await.expect("moved").rows_affected()
            };
            assert_eq!(moved, 1, "it is in the queue");
        }
    }

    pub async fn store(&self) -> SharedStore {
        connect(&self.url, 8, Arc::new(SystemClock))
            .await
            .expect("the store opens")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        // A thread of its own: a test may end inside a runtime, where blocking is not allowed.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                if let Ok(mut admin) = sqlx::PgConnection::connect(&server()).await {
                    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    let _ = sqlx::query(AssertSqlSafe(drop)).execute(&mut admin).await;
                }
            });
        })
        .join();
    }
}
