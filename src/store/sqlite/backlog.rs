//! What waits, and for how long.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::SqliteStore;
use super::gather::close;
use super::holds::note_end;
use super::operations::{free_records, insert_result};
use crate::clock::Time;
use crate::store::holds::LeftItem;
use crate::store::upkeep::first_id_of;
use crate::store::{BacklogStore, LaneBacklog, LongHeld, NewHold, NewResult, Result, StoreHealth, shard_of};

#[async_trait]
impl BacklogStore for SqliteStore {
    async fn backlog(&self) -> Result<Vec<LaneBacklog>> {
        Ok(sqlx::query_as(
            "SELECT q.*, l.hold_reason IS NOT NULL AS held,
                    CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS store_now
             FROM (SELECT i.project_id, i.lane_id, count(*) AS items,
                          -- What is held behind a failed write could not run.
                          COALESCE(min(i.run_at) FILTER (WHERE h.seq IS NULL OR h.seq >= i.seq),
                                   CAST(unixepoch('subsec') * 1000000 AS INTEGER)) AS run_at,
                          min(i.operation_id) AS oldest
                   FROM queue_items i
                   LEFT JOIN (SELECT lane_id, record_key, min(seq) AS seq FROM record_holds GROUP BY lane_id, record_key) AS h
                        ON h.lane_id = i.lane_id AND h.record_key = i.record_key
                   GROUP BY i.project_id, i.lane_id) AS q
             LEFT JOIN lanes l ON l.lane_id = q.lane_id",
        )
        .fetch_all(&self.readers)
        .await?)
    }

    async fn health(&self) -> Result<StoreHealth> {
        let (lanes_held, lanes_paused, records_held, shards_free) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM lanes WHERE hold_reason IS NOT NULL),
                    (SELECT count(*) FROM lanes WHERE paused_until > CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
                    (SELECT count(*) FROM (SELECT DISTINCT lane_id, record_key FROM record_holds)),
                    (SELECT count(*) FROM shards
                     WHERE owner IS NULL OR lease_until < CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
        )
        .fetch_one(&self.readers)
        .await?;
        Ok(StoreHealth {
            lanes_held,
            lanes_paused,
            records_held,
            shards_free,
            // Nobody else has the file, and no transaction of the service lasts.
            long_transactions: 0,
        })
    }

    async fn take_new_holds(&self) -> Result<Vec<NewHold>> {
        // The writer is asked for only when there is something to do.
        let any: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM lanes WHERE hold_reason IS NOT NULL AND hold_told IS NOT hold_began)",
        )
        .fetch_one(&self.readers)
        .await?;
        if !any {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let holds = sqlx::query_as(
            "UPDATE lanes SET hold_told = hold_began
             WHERE hold_reason IS NOT NULL AND hold_told IS NOT hold_began
             RETURNING project_id, lane_id, hold_reason AS reason, hold_began AS since",
        )
        .fetch_all(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(holds)
    }

    async fn long_held(&self, limit: Duration, most: i64) -> Result<Vec<LongHeld>> {
        let lanes: Vec<(Uuid, Uuid, Time)> = sqlx::query_as(
            "SELECT project_id, lane_id, CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $1 FROM lanes
             WHERE hold_reason = 'authorization'
               AND COALESCE(hold_began, held_from) < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $1",
        )
        .bind(i64::try_from(limit.as_micros()).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        let mut found: Vec<LongHeld> = Vec::new();
        for (project_id, lane_id, accepted_before) in lanes {
            let room = most.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
            if room <= 0 {
                break;
            }
            let items: Vec<LongHeld> = sqlx::query_as(
                "SELECT q.shard, q.lane_id, q.run_at, q.operation_id, q.project_id, q.attempt, o.object, o.action,
                        c.provider, COALESCE(l.hold_began, l.held_from) AS since,
                        EXISTS (SELECT 1 FROM attempts s
                                WHERE s.project_id = q.project_id AND s.operation_id = q.operation_id AND s.state IN ('sent', 'unanswered')
                                  AND NOT EXISTS (SELECT 1 FROM attempts a
                                                  WHERE a.project_id = s.project_id AND a.operation_id = s.operation_id
                                                    AND a.id = s.id AND a.state = 'answered'
                                                    AND (a.class IS NOT 'success' OR a.records IS NOT NULL))) AS in_doubt,
                        EXISTS (SELECT 1 FROM attempts s
                                WHERE s.project_id = q.project_id AND s.operation_id = q.operation_id
                                  AND s.records IS NOT NULL) AS has_records
                 FROM queue_items q
                 JOIN lanes l ON l.project_id = q.project_id AND l.lane_id = q.lane_id
                 JOIN operations o ON o.project_id = q.project_id AND o.id = q.operation_id
                 LEFT JOIN connections c ON c.project_id = q.project_id AND c.id = q.lane_id
                 WHERE q.project_id = $1 AND q.shard = $2 AND q.lane_id = $3 AND q.operation_id < $4
                 ORDER BY q.run_at, q.operation_id LIMIT $5",
            )
            .bind(project_id)
            .bind(shard_of(lane_id))
            .bind(lane_id)
            .bind(first_id_of(accepted_before))
            .bind(room)
            .fetch_all(&self.readers)
            .await?;
            found.extend(items);
        }
        Ok(found)
    }

    async fn end_long_held(&self, ends: &[(LongHeld, NewResult)]) -> Result<Vec<bool>> {
        let mut ended = Vec::with_capacity(ends.len());
        let mut transaction = self.begin().await?;
        for (item, result) in ends {
            let gone: Option<LeftItem> = sqlx::query_as(
                "DELETE FROM queue_items
                 WHERE project_id = $1 AND shard = $2 AND lane_id = $3 AND run_at = $4 AND operation_id = $5
                   AND EXISTS (SELECT 1 FROM lanes
                               WHERE project_id = $1 AND lane_id = $3 AND hold_reason = 'authorization')
                 RETURNING 1 AS position, project_id, lane_id, operation_id, record_key, seq, holds",
            )
            .bind(item.project_id)
            .bind(item.shard)
            .bind(item.lane_id)
            .bind(item.run_at)
            .bind(item.operation_id)
            .fetch_optional(&mut *transaction)
            .await?;
            if let Some(left) = &gone {
                // Nothing may be added to it any more, and what it has gathered is kept.
                close(&mut transaction, item.project_id, item.operation_id).await?;
                free_records(&mut transaction, item.project_id, item.operation_id).await?;
                insert_result(&mut transaction, item.project_id, item.operation_id, result).await?;
                note_end(&mut transaction, left, result.state).await?;
            }
            ended.push(gone.is_some());
        }
        crate::store::commit(transaction).await?;
        Ok(ended)
    }
}
