//! The log of changes. Transactions become visible in another order than they began in, so who reads it says which ones it has
//! seen: the snapshot of its last look.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresStore;
use crate::store::changes::{CHANGES_KEPT, LOG_ROWS, news};
use crate::store::{Change, ChangeStore, LogPosition, News, Result};

/// $1: the snapshot of the last look. One row at least, also when nothing was touched.
const SINCE: &str = "
    SELECT pg_postmaster_start_time()::text AS server, pg_current_snapshot()::text AS mark, now() AS time,
           c.project_id, c.kind, c.thing_id
    FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (
        SELECT project_id, kind, thing_id FROM changes
        WHERE xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot)
        -- In the order of the index: the planner, who cannot know how little is new, must not read the whole log.
        ORDER BY xid LIMIT $2
    ) AS c ON true";

/// Writes down what a transaction touches. Part of each one that changes what a cache may hold.
pub(super) async fn note_changes(connection: &mut PgConnection, changes: &[Change]) -> Result<()> {
    for change in changes {
        sqlx::query("INSERT INTO changes (project_id, kind, thing_id) VALUES ($1, $2, $3)")
            .bind(change.project_id)
            .bind(change.kind.as_str())
            .bind(change.id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[async_trait]
impl ChangeStore for PostgresStore {
    async fn changes_since(&self, position: Option<&LogPosition>) -> Result<News> {
        let rows = sqlx::query_as(SINCE)
            .bind(position.map(|position| &position.mark))
            .bind(i64::try_from(LOG_ROWS).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        news(rows, position)
    }

    async fn forget_changes(&self) -> Result<()> {
        sqlx::query("DELETE FROM changes WHERE time < now() - make_interval(secs => $1)")
            .bind(CHANGES_KEPT.as_secs_f64())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
