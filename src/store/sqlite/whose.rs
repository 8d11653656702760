//! What lies in an SQLite file; opens it for reading only, and changes nothing.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::store::ConnectError;
use crate::store::whose::{AppliedMigration, FoundTables};

/// What to do about a file of another program.
pub(super) const ADVICE: &str = "Name a file of its own in DATABASE_URL: it is made when it is not there.";

/// What is in the file; nothing when there is no file.
pub(super) async fn look(path: &Path) -> Result<FoundTables, ConnectError> {
    let file_error = |cause: String| ConnectError::File {
        path: path.display().to_string(),
        cause,
    };
    let has_log = super::beside(path, "-wal").exists();
    match std::fs::metadata(path).map(|metadata| metadata.len()) {
        Ok(_) if path.is_dir() => return Err(file_error("it is a folder".to_owned())),
        Ok(0) if !has_log => return Ok(FoundTables::default()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(FoundTables::default()),
        Err(error) => return Err(file_error(error.to_string())),
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        // Without a log beside it all is in the file. Then not even the files for locks are made beside it.
        .immutable(!has_log);
    let database_error = |error: sqlx::Error| match error.as_database_error() {
        Some(error) => file_error(error.message().to_owned()),
        None => file_error(error.to_string()),
    };
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(database_error)?;
    let found = tables(&mut connection).await;
    // It has only read.
    let _ = connection.close().await;
    found.map_err(database_error)
}

async fn tables(connection: &mut SqliteConnection) -> Result<FoundTables, sqlx::Error> {
    let mut found = FoundTables {
        tables: sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )
        .fetch_all(&mut *connection)
        .await?,
        applied: Vec::new(),
    };
    let Some(place) = found.tables.iter().position(|name| name == "_sqlx_migrations") else {
        return Ok(found);
    };
    let rows: Result<Vec<(i64, String, Vec<u8>)>, _> =
        sqlx::query_as("SELECT version, description, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await;
    match rows {
        Ok(rows) => {
            found.tables.remove(place);
            let applied = |(version, name, checksum)| AppliedMigration {
                version,
                name,
                checksum,
            };
            found.applied = rows.into_iter().map(applied).collect();
            Ok(found)
        }
        // Of another shape: not ours.
        Err(sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. }) => Ok(found),
        Err(error) => Err(error),
    }
}
