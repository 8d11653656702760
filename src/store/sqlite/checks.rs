//! Whether the store takes writes.

use uuid::Uuid;

use super::SqliteStore;
use crate::store::{Result, StoreError};

pub(super) async fn check_writes(store: &SqliteStore, process: Uuid, bytes: usize) -> Result<()> {
    let id = Uuid::new_v4();
    let mut transaction = store.begin().await?;
    // The new row before the old one goes: it needs room of its own.
    sqlx::query(sql!("INSERT INTO write_checks (id, process, time, filler)
         VALUES ($1, $2, " now!() ", $3)"))
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
