//! The newest key check, and what a key can be tried on.

use uuid::Uuid;

use super::ThisStore;
use crate::store::Result;

impl ThisStore {
    pub(in crate::store) async fn latest_key(&self) -> Result<Option<(i64, Vec<u8>)>> {
        Ok(
            sqlx::query_as("SELECT number, sealed FROM key_checks ORDER BY number DESC LIMIT 1")
                .fetch_optional(self.readers())
                .await?,
        )
    }

    pub(in crate::store) async fn add_key(&self, number: i64, sealed: &[u8]) -> Result<()> {
        sqlx::query(sql!("INSERT INTO key_checks (number, sealed, time) VALUES ($1, $2, " now!() ") ON CONFLICT DO NOTHING"))
        .bind(number)
        .bind(sealed)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn last_sealed_credentials(&self) -> Result<Option<(Uuid, Uuid, Vec<u8>)>> {
        // Once in the life of a database: it may look at every connection.
        Ok(sqlx::query_as(
            "SELECT project_id, id, credentials FROM connections ORDER BY COALESCE(update_time, create_time) DESC LIMIT 1",
        )
        .fetch_optional(self.readers())
        .await?)
    }
}
