//! What says whether the store takes writes, and whether a process has the right encryption key.

use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use super::SqliteStore;
use crate::store::{Result, StoreError};

pub(super) async fn check_writes(store: &SqliteStore, process: Uuid, bytes: usize) -> Result<()> {
    let id = Uuid::new_v4();
    let mut transaction = store.begin().await?;
    // The new row before the old one goes: it needs room of its own.
    sqlx::query(
        "INSERT INTO write_checks (id, process, time, filler)
         VALUES ($1, $2, CAST(unixepoch('subsec') * 1000000 AS INTEGER), $3)",
    )
    .bind(id)
    .bind(process)
    .bind(vec![0_u8; bytes])
    .execute(&mut *transaction)
    .await?;
    // One process at a time has the file.
    sqlx::query("DELETE FROM write_checks WHERE id <> $1")
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await.map_err(StoreError::Undecided)
}

pub(super) async fn latest_key(readers: &SqlitePool) -> Result<Option<(i64, Vec<u8>)>> {
    Ok(
        sqlx::query_as("SELECT number, sealed FROM key_checks ORDER BY number DESC LIMIT 1")
            .fetch_optional(readers)
            .await?,
    )
}

pub(super) async fn add_key(writer: &SqlitePool, number: i64, sealed: &[u8]) -> Result<()> {
    sqlx::query(
        "INSERT INTO key_checks (number, sealed, time)
         VALUES ($1, $2, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) ON CONFLICT DO NOTHING",
    )
    .bind(number)
    .bind(sealed)
    .execute(writer)
    .await?;
    Ok(())
}

pub(super) async fn last_sealed(readers: &SqlitePool) -> Result<Option<(Uuid, Uuid, Vec<u8>)>> {
    // Once in the life of a database: it may look at every connection.
    Ok(sqlx::query_as(
        "SELECT project_id, id, credentials FROM connections ORDER BY COALESCE(update_time, create_time) DESC LIMIT 1",
    )
    .fetch_optional(readers)
    .await?)
}
