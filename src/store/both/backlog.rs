//! What waits, and for how long.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::gather::close;
use super::holds::{leave_held, note_ends};
use super::operations::{free_records, insert_results};
use super::{ThisStore, in_background};
use crate::clock::Time;
use crate::store::time::micros;
use crate::store::{
    BacklogStore, LaneBacklog, LaneStatus, LongHeld, NewHold, NewResult, Result, StoreHealth, first_id_of,
    shard_of,
};

#[async_trait]
impl BacklogStore for ThisStore {
    async fn backlog(&self) -> Result<Vec<LaneBacklog>> {
        let mut transaction = self.readers().begin().await?;
        in_background(&mut transaction).await?;
        let lanes = sqlx::query_as(sql!("SELECT q.*, l.hold_reason IS NOT NULL AS held, " now!() " AS store_now
             FROM (SELECT i.project_id, i.lane_id, count(*) AS items,
                          -- What is held behind a failed write could not run.
                          COALESCE(min(i.run_at) FILTER (WHERE h.seq IS NULL OR h.seq >= i.seq), " now!() ") AS run_at,
                          " min_id!("i.operation_id") " AS oldest
                   FROM queue_items i
                   LEFT JOIN (SELECT lane_id, record_key, min(seq) AS seq FROM record_holds GROUP BY lane_id, record_key) AS h
                        ON h.lane_id = i.lane_id AND h.record_key = i.record_key
                   GROUP BY i.project_id, i.lane_id) AS q
             LEFT JOIN lanes l ON l.lane_id = q.lane_id"))
        .fetch_all(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(lanes)
    }

    async fn list_lanes(&self, project_id: Option<Uuid>) -> Result<Vec<LaneStatus>> {
        Ok(sqlx::query_as(
            sql!("SELECT q.shard, q.lane_id, p.name AS project, c.provider, c.group_ref, q.depth, q.run_at,
                    lanes.hold_reason, lanes.held_from, lanes.paused_until,
                    (SELECT count(DISTINCT h.record_key) FROM record_holds h WHERE h.lane_id = q.lane_id) AS held_records,
                    COALESCE(s.owner IS NOT NULL AND s.lease_until > " now!() ", false) AS has_worker, " now!() " AS store_now
             FROM (SELECT shard, lane_id, project_id, count(*) AS depth, min(run_at) AS run_at FROM queue_items
                   WHERE $1 IS NULL OR project_id = $1 GROUP BY shard, lane_id, project_id) AS q
             LEFT JOIN projects p ON p.id = q.project_id
             LEFT JOIN connections c ON c.project_id = q.project_id AND c.id = q.lane_id
             LEFT JOIN lanes ON lanes.lane_id = q.lane_id
             LEFT JOIN shards s ON s.id = q.shard
             ORDER BY q.depth DESC, q.lane_id"),
        )
        .bind(project_id)
        .fetch_all(self.readers())
        .await?)
    }

    async fn queue_depth(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM queue_items")
            .fetch_one(self.readers())
            .await?)
    }

    async fn health(&self) -> Result<StoreHealth> {
        let (lanes_held, lanes_paused, records_held, shards_free, long_transactions) = sqlx::query_as(
            sql!("SELECT (SELECT count(*) FROM lanes WHERE hold_reason IS NOT NULL),
                    (SELECT count(*) FROM lanes WHERE paused_until > " now!() "),
                    (SELECT count(*) FROM (SELECT DISTINCT lane_id, record_key FROM record_holds) AS h),
                    (SELECT count(*) FROM shards WHERE owner IS NULL OR lease_until < " now!() "),
                    " long_transactions!()),
        )
        .fetch_one(self.readers())
        .await?;
        Ok(StoreHealth {
            lanes_held,
            lanes_paused,
            records_held,
            shards_free,
            long_transactions,
        })
    }

    async fn take_new_holds(&self) -> Result<Vec<NewHold>> {
        // The writer is asked for only when there is something to do.
        let any: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM lanes WHERE hold_reason IS NOT NULL AND hold_told IS DISTINCT FROM hold_began)",
        )
        .fetch_one(self.readers())
        .await?;
        if !any {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let holds = sqlx::query_as(
            "UPDATE lanes SET hold_told = hold_began
             WHERE hold_reason IS NOT NULL AND hold_told IS DISTINCT FROM hold_began
             RETURNING project_id, lane_id, hold_reason AS reason, hold_began AS since",
        )
        .fetch_all(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(holds)
    }

    async fn long_held(&self, limit: Duration, most: i64) -> Result<Vec<LongHeld>> {
        let lanes: Vec<(Uuid, Uuid, Time)> = sqlx::query_as(sql!("SELECT project_id, lane_id, " now!() " - " micros!("$1") " FROM lanes
             WHERE hold_reason = 'authorization' AND COALESCE(hold_began, held_from) < " now!() " - " micros!("$1")))
        .bind(micros(limit))
        .fetch_all(self.readers())
        .await?;
        let mut found: Vec<LongHeld> = Vec::new();
        for (project_id, lane_id, accepted_before) in lanes {
            let room = most.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
            if room <= 0 {
                break;
            }
            let items: Vec<LongHeld> = sqlx::query_as(
                sql!("SELECT q.shard, q.lane_id, q.run_at, q.operation_id, q.project_id, q.attempt, o.object, o.action,
                        c.provider, COALESCE(l.hold_began, l.held_from) AS since,
                        EXISTS (SELECT 1 " in_doubt!() ") AS in_doubt,
                        EXISTS (SELECT 1 FROM attempts s
                                WHERE s.project_id = q.project_id AND s.operation_id = q.operation_id
                                  AND s.records IS NOT NULL) AS has_records
                 FROM queue_items q
                 JOIN lanes l ON l.project_id = q.project_id AND l.lane_id = q.lane_id
                 JOIN operations o ON o.project_id = q.project_id AND o.id = q.operation_id
                 LEFT JOIN connections c ON c.project_id = q.project_id AND c.id = q.lane_id
                 WHERE q.project_id = $1 AND q.shard = $2 AND q.lane_id = $3 AND q.operation_id < $4
                 ORDER BY q.run_at, q.operation_id LIMIT $5"),
            )
            .bind(project_id)
            .bind(shard_of(lane_id))
            .bind(lane_id)
            .bind(first_id_of(accepted_before))
            .bind(room)
            .fetch_all(self.readers())
            .await?;
            found.extend(items);
        }
        Ok(found)
    }

    async fn end_long_held(&self, ends: &[(LongHeld, NewResult)]) -> Result<Vec<bool>> {
        let mut ended = vec![false; ends.len()];
        let mut transaction = self.begin().await?;
        // Nothing may be added to them any more, and what they have gathered is kept.
        let operations: Vec<(Uuid, Uuid)> = ends
            .iter()
            .map(|(item, _)| (item.project_id, item.operation_id))
            .collect();
        close(&mut transaction, &operations).await?;
        let gone = leave_held(&mut transaction, ends).await?;
        let mut results = Vec::with_capacity(gone.len());
        let mut left = Vec::with_capacity(gone.len());
        for gone in &gone {
            if let Ok(index) = usize::try_from(gone.position - 1)
                && let (Some(slot), Some((item, result))) = (ended.get_mut(index), ends.get(index))
            {
                *slot = true;
                results.push((item.project_id, item.operation_id, result));
                left.push((gone, result.state));
            }
        }
        let batches: Vec<(Uuid, Uuid)> = results.iter().map(|(project, id, _)| (*project, *id)).collect();
        free_records(&mut transaction, &batches).await?;
        insert_results(&mut transaction, &results).await?;
        note_ends(&mut transaction, &left).await?;
        crate::store::commit(transaction).await?;
        Ok(ended)
    }
}
