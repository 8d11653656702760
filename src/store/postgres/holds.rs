//! What holds, and what is held.

use sqlx::PgConnection;

use crate::store::holds::{Effect, LeftItem};
use crate::store::{EndState, LongHeld, NewResult, Result};

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

/// Takes out of the queue those of these items whose lane is still held. `position` counts from 1.
pub(super) async fn leave_held(
    connection: &mut PgConnection,
    ends: &[(LongHeld, NewResult)],
) -> Result<Vec<LeftItem>> {
    // The lane's row is locked against a reconnect until the items have ended: then they run, or now they do not.
    Ok(sqlx::query_as(
        "WITH held AS MATERIALIZED (
             SELECT l.lane_id FROM lanes l
             WHERE (l.project_id, l.lane_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
               AND l.hold_reason = 'authorization'
             FOR SHARE)
         DELETE FROM queue_items q
         USING UNNEST($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[], $5::uuid[]) WITH ORDINALITY
               AS n (project_id, lane_id, shard, run_at, operation_id, position)
         WHERE q.project_id = n.project_id AND q.shard = n.shard AND q.lane_id = n.lane_id
           AND q.run_at = n.run_at AND q.operation_id = n.operation_id
           AND n.lane_id IN (SELECT lane_id FROM held)
         RETURNING n.position, q.project_id, q.lane_id, q.operation_id, q.record_key, q.seq, q.holds",
    )
    .bind(ends.iter().map(|(item, _)| item.project_id).collect::<Vec<_>>())
    .bind(ends.iter().map(|(item, _)| item.lane_id).collect::<Vec<_>>())
    .bind(ends.iter().map(|(item, _)| item.shard).collect::<Vec<_>>())
    .bind(ends.iter().map(|(item, _)| item.run_at).collect::<Vec<_>>())
    .bind(ends.iter().map(|(item, _)| item.operation_id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?)
}
