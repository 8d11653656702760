//! Writes that failed and hold the later writes to their record.

use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::store::holds::{DROP_ORPHANED, Effect, LeftItem};
use crate::store::{EndState, Result};

/// Takes note of an item that has ended, in the transaction that ends it.
pub(super) async fn note_end(
    connection: &mut SqliteConnection,
    item: &LeftItem,
    state: EndState,
) -> Result<()> {
    match item.effect(state) {
        None => {}
        Some(Effect::Holds { record_key }) => {
            sqlx::query(
                "INSERT INTO record_holds (lane_id, record_key, seq, operation_id, project_id)
                 SELECT $1, $2, $3, $4, $5 FROM operations o
                 -- What waits for an installation that is gone must end, and is not held.
                 JOIN installations i ON i.project_id = o.project_id AND i.id = o.installation_id
                 JOIN connections c ON c.project_id = o.project_id AND c.id = $1
                 WHERE o.project_id = $5 AND o.id = $4
                 ON CONFLICT DO NOTHING",
            )
            .bind(item.lane_id)
            .bind(record_key)
            .bind(item.seq)
            .bind(item.operation_id)
            .bind(item.project_id)
            .execute(connection)
            .await?;
        }
        Some(Effect::Ends) => {
            sqlx::query(
                "DELETE FROM record_holds WHERE (lane_id, record_key, seq) IN (
                     SELECT f.lane_id, f.record_key, f.seq FROM operations o
                     JOIN record_holds f ON f.project_id = o.project_id AND f.operation_id = o.replay_of
                     WHERE o.project_id = $1 AND o.id = $2)",
            )
            .bind(item.project_id)
            .bind(item.operation_id)
            .execute(connection)
            .await?;
        }
    }
    Ok(())
}

/// Ends the holds of connections and installations that are gone, in the transaction that removes them.
pub(super) async fn drop_orphaned(connection: &mut SqliteConnection, project_id: Uuid) -> Result<()> {
    sqlx::query(DROP_ORPHANED)
        .bind(project_id)
        .execute(connection)
        .await?;
    Ok(())
}
