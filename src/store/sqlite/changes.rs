//! The log of changes. There is one writer: what was read up to a number has been read.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::store::changes::{CHANGES_KEPT, LOG_ROWS, news};
use crate::store::{Change, ChangeStore, LogPosition, News, Result};

/// $1: the number of the last row that was read. One row at least, also when nothing was touched.
const SINCE: &str = "
    SELECT 'file' AS server, CAST(COALESCE(c.id, $1, (SELECT MAX(id) FROM changes), 0) AS TEXT) AS mark,
           CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS time, c.project_id, c.kind, c.thing_id
    FROM (SELECT 1) AS one
    LEFT JOIN (SELECT id, project_id, kind, thing_id FROM changes WHERE id > $1 ORDER BY id LIMIT $2) AS c ON true
    ORDER BY c.id";

/// Writes down what a transaction touches. Part of each one that changes what a cache may hold.
pub(super) async fn note_changes(connection: &mut SqliteConnection, changes: &[Change]) -> Result<()> {
    for change in changes {
        sqlx::query(
            "INSERT INTO changes (project_id, kind, thing_id, time)
             VALUES ($1, $2, $3, CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
        )
        .bind(change.project_id)
        .bind(change.kind.as_str())
        .bind(change.id)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

#[async_trait]
impl ChangeStore for SqliteStore {
    async fn changes_since(&self, position: Option<&LogPosition>) -> Result<News> {
        let read = position.and_then(|position| position.mark.parse::<i64>().ok());
        let rows = sqlx::query_as(SINCE)
            .bind(read)
            .bind(i64::try_from(LOG_ROWS).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await?;
        news(rows, position)
    }

    async fn forget_changes(&self) -> Result<()> {
        sqlx::query("DELETE FROM changes WHERE time < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $1")
            .bind(i64::try_from(CHANGES_KEPT.as_micros()).unwrap_or(i64::MAX))
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}
