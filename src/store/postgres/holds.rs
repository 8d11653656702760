//! Writes that failed and hold the later writes to their record.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::holds::{DROP_ORPHANED, Effect, LeftItem};
use crate::store::{EndState, Result};

/// Takes note of items that have ended, in the transaction that ends them.
pub(super) async fn note_ends(connection: &mut PgConnection, ends: &[(&LeftItem, EndState)]) -> Result<()> {
    let (mut holding, mut ending) = (Vec::new(), Vec::new());
    for (item, state) in ends {
        match item.effect(*state) {
            Some(Effect::Holds { record_key }) => holding.push((*item, record_key)),
            Some(Effect::Ends) => ending.push(*item),
            None => {}
        }
    }
    if !holding.is_empty() {
        sqlx::query(
            "INSERT INTO record_holds (lane_id, record_key, seq, operation_id, project_id)
             SELECT n.* FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::uuid[])
                  AS n (lane_id, record_key, seq, operation_id, project_id)
             JOIN connections c ON c.project_id = n.project_id AND c.id = n.lane_id
             JOIN operations o ON o.project_id = n.project_id AND o.id = n.operation_id
             -- What waits for an installation that is gone must end, and is not held. The lock lets a deletion that has begun
             -- go first, and one that begins now see this hold.
             JOIN installations i ON i.project_id = o.project_id AND i.id = o.installation_id
             FOR KEY SHARE OF i
             ON CONFLICT DO NOTHING",
        )
        .bind(holding.iter().map(|(item, _)| item.lane_id).collect::<Vec<_>>())
        .bind(holding.iter().map(|(_, key)| *key).collect::<Vec<_>>())
        .bind(holding.iter().map(|(item, _)| item.seq).collect::<Vec<_>>())
        .bind(holding.iter().map(|(item, _)| item.operation_id).collect::<Vec<_>>())
        .bind(holding.iter().map(|(item, _)| item.project_id).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    if !ending.is_empty() {
        sqlx::query(
            "DELETE FROM record_holds WHERE (lane_id, record_key, seq) IN (
                 SELECT f.lane_id, f.record_key, f.seq
                 FROM UNNEST($1::uuid[], $2::uuid[]) AS n (project_id, operation_id)
                 JOIN operations o ON o.project_id = n.project_id AND o.id = n.operation_id
                 JOIN record_holds f ON f.project_id = o.project_id AND f.operation_id = o.replay_of)",
        )
        .bind(ending.iter().map(|item| item.project_id).collect::<Vec<_>>())
        .bind(ending.iter().map(|item| item.operation_id).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Ends the holds of connections and installations that are gone, in the transaction that removes them.
pub(super) async fn drop_orphaned(connection: &mut PgConnection, project_id: Uuid) -> Result<()> {
    sqlx::query(DROP_ORPHANED)
        .bind(project_id)
        .execute(connection)
        .await?;
    Ok(())
}
