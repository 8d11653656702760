//! What holds, and what is held.

use sqlx::SqliteConnection;

use crate::store::holds::{Effect, LeftItem};
use crate::store::{EndState, LongHeld, NewResult, Result};

/// Takes note of items that have ended, in the transaction that ends them.
pub(super) async fn note_ends(
    connection: &mut SqliteConnection,
    ends: &[(&LeftItem, EndState)],
) -> Result<()> {
    for (item, state) in ends {
        match item.effect(*state) {
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
                .execute(&mut *connection)
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
                .execute(&mut *connection)
                .await?;
            }
        }
    }
    Ok(())
}

/// Takes out of the queue those of these items whose lane is still held. `position` counts from 1.
pub(super) async fn leave_held(
    connection: &mut SqliteConnection,
    ends: &[(LongHeld, NewResult)],
) -> Result<Vec<LeftItem>> {
    let mut left = Vec::new();
    for (position, (item, _)) in (1_i64..).zip(ends) {
        let gone: Option<LeftItem> = sqlx::query_as(
            "DELETE FROM queue_items
             WHERE project_id = $1 AND shard = $2 AND lane_id = $3 AND run_at = $4 AND operation_id = $5
               AND EXISTS (SELECT 1 FROM lanes
                           WHERE project_id = $1 AND lane_id = $3 AND hold_reason = 'authorization')
             RETURNING $6 AS position, project_id, lane_id, operation_id, record_key, seq, holds",
        )
        .bind(item.project_id)
        .bind(item.shard)
        .bind(item.lane_id)
        .bind(item.run_at)
        .bind(item.operation_id)
        .bind(position)
        .fetch_optional(&mut *connection)
        .await?;
        left.extend(gone);
    }
    Ok(left)
}
