//! What lies in a Postgres database; asks and changes nothing.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::store::ConnectError;
use crate::store::whose::{AppliedMigration, FoundTables};

/// What to do about a database of another program.
pub(super) const ADVICE: &str = "Give amp-write a database of its own (CREATE DATABASE amp_write) and name it in DATABASE_URL; or a \
    schema of its own in this one: CREATE SCHEMA amp_write, and put options=-csearch_path%3Damp_write behind a ? (or &) at the \
    end of the URL.";

/// The database and the schema that this connection works in, and what is there.
///
/// In the schema `public` the whole database has to be ours, whatever schemas it has: nobody chose `public` for us. A schema
/// with another name was chosen, and what lies beside it does not matter.
pub(super) async fn look(connection: &mut PgConnection) -> Result<(String, FoundTables), ConnectError> {
    let failed = |error: sqlx::Error| ConnectError::Store(error.into());
    let (database, schema): (String, Option<String>) =
        sqlx::query_as("SELECT current_database()::text, current_schema()::text")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
    let Some(schema) = schema else {
        return Err(ConnectError::NoSchema { database });
    };
    let mut found = FoundTables::default();
    let tables = sqlx::query(
        "SELECT CASE WHEN n.nspname = $1 THEN c.relname::text ELSE n.nspname || '.' || c.relname END AS name
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
           AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
           AND (n.nspname = $1 OR $1 = 'public')
           AND NOT (n.nspname = $1 AND c.relname = '_sqlx_migrations')
           -- What an extension brought along is no program's data.
           AND NOT EXISTS (SELECT 1 FROM pg_depend d
                           WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
         ORDER BY n.nspname <> $1, n.nspname, c.relname",
    )
    .bind(&schema)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    for row in tables {
        found.tables.push(row.try_get("name").map_err(failed)?);
    }
    let listed: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = $1 AND c.relname = '_sqlx_migrations')",
    )
    .bind(&schema)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if listed {
        let list = format!(
            "SELECT version, description, checksum FROM \"{}\"._sqlx_migrations ORDER BY version",
            schema.replace('"', "\"\"")
        );
        match sqlx::query_as(AssertSqlSafe(list))
            .fetch_all(&mut *connection)
            .await
        {
            Ok(rows) => {
                let rows: Vec<(i64, String, Vec<u8>)> = rows;
                let applied = |(version, name, checksum)| AppliedMigration {
                    version,
                    name,
                    checksum,
                };
                found.applied = rows.into_iter().map(applied).collect();
            }
            // Of another shape, or not for us to read: not ours.
            Err(sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. }) => {
                found.tables.push("_sqlx_migrations".to_owned());
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok((format!("database `{database}`, schema `{schema}`"), found))
}
