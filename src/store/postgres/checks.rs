//! Whether the store takes writes.

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
