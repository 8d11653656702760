//! What says whether the store takes writes, and whether a process has the right encryption key.

use sqlx::postgres::PgPool;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::store::{Result, StoreError};

/// Whether what this connection begins is read-only: on a standby, or by a setting.
pub(super) async fn is_read_only(connection: &mut PgConnection) -> Result<bool> {
    let text: String = sqlx::query_scalar("SHOW transaction_read_only")
        .fetch_one(connection)
        .await?;
    Ok(text == "on")
}

pub(super) async fn check_writes(pool: &PgPool, process: Uuid, bytes: usize) -> Result<()> {
    let written = write(pool, process, bytes).await;
    if let Err(StoreError::Unavailable(sqlx::Error::Database(error))) = &written
        && error.code().as_deref() == Some("25006")
    {
        // A session keeps the setting that it began with: new ones may be able to write.
        while let Some(idle) = pool.try_acquire() {
            drop(idle.detach().close().await);
        }
    }
    written
}

async fn write(pool: &PgPool, process: Uuid, bytes: usize) -> Result<()> {
    let id = Uuid::new_v4();
    let mut transaction = pool.begin().await?;
    sqlx::query("INSERT INTO write_checks (id, process, time, filler) VALUES ($1, $2, now(), $3)")
        .bind(id)
        .bind(process)
        .bind(vec![0_u8; bytes])
        .execute(&mut *transaction)
        .await?;
    // Processes that are gone leave theirs behind.
    sqlx::query(
        "DELETE FROM write_checks WHERE id <> $1 AND (process = $2 OR time < now() - INTERVAL '1 hour')",
    )
    .bind(id)
    .bind(process)
    .execute(&mut *transaction)
    .await?;
    // Without a limit of its own: the one who asks waits as long as it likes, and does not ask twice meanwhile.
    transaction.commit().await.map_err(StoreError::Undecided)
}

pub(super) async fn latest_key(pool: &PgPool) -> Result<Option<(i64, Vec<u8>)>> {
    Ok(
        sqlx::query_as("SELECT number, sealed FROM key_checks ORDER BY number DESC LIMIT 1")
            .fetch_optional(pool)
            .await?,
    )
}

pub(super) async fn add_key(pool: &PgPool, number: i64, sealed: &[u8]) -> Result<()> {
    sqlx::query(
        "INSERT INTO key_checks (number, sealed, time) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING",
    )
    .bind(number)
    .bind(sealed)
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn last_sealed(pool: &PgPool) -> Result<Option<(Uuid, Uuid, Vec<u8>)>> {
    // Once in the life of a database: it may look at every connection.
    Ok(sqlx::query_as(
        "SELECT project_id, id, credentials FROM connections ORDER BY COALESCE(update_time, create_time) DESC LIMIT 1",
    )
    .fetch_optional(pool)
    .await?)
}
