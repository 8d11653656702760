//! Live work: shards, lanes and items.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::SqliteStore;
use super::operations::{insert_attempt, insert_result};
use crate::store::{
    BeginAttempt, Claimed, DueLane, Ending, LaneAsk, Lease, Leases, QueueStore, Result, SHARDS, Settle,
};

/// A duration as the microseconds that the file counts in.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A list as one parameter: SQLite has no arrays, but reads JSON.
fn json_list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(","))
}

#[async_trait]
impl QueueStore for SqliteStore {
    async fn lease_shards(&self, worker: Uuid, lease: Duration) -> Result<Leases> {
        let mut transaction = self.begin().await?;
        // One process has the file, so whoever else is named as owner is dead: nothing needs to run out.
        sqlx::query("DELETE FROM workers WHERE id <> $1")
            .bind(worker)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO workers (id, seen_at) VALUES ($1, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
             ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .bind(worker)
        .execute(&mut *transaction)
        .await?;
        let held: Vec<(i16, i64)> = sqlx::query_as(
            "UPDATE shards SET epoch = epoch + CASE WHEN owner IS $1 THEN 0 ELSE 1 END, owner = $1,
                 lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $2
             RETURNING id, epoch",
        )
        .bind(worker)
        .bind(micros(lease))
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Leases {
            held: held
                .into_iter()
                .map(|(shard, epoch)| Lease { shard, epoch })
                .collect(),
            fair_share: usize::try_from(SHARDS).unwrap_or(1),
        })
    }

    async fn release_shards(&self, worker: Uuid, shards: &[i16]) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "UPDATE shards SET owner = NULL, lease_until = NULL
             WHERE owner = $1 AND id IN (SELECT value FROM json_each($2))",
        )
        .bind(worker)
        .bind(json_list(shards))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn retire_worker(&self, worker: Uuid) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE shards SET owner = NULL, lease_until = NULL WHERE owner = $1")
            .bind(worker)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM workers WHERE id = $1")
            .bind(worker)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn due_lanes(&self, shards: &[i16]) -> Result<Vec<DueLane>> {
        // A loose index scan: one probe per lane, however many items each has.
        Ok(sqlx::query_as(
            "WITH RECURSIVE lane (shard, lane_id) AS (
                 SELECT s.value, (SELECT min(q.lane_id) FROM queue_items q WHERE q.shard = s.value)
                 FROM json_each($1) AS s
                 UNION ALL
                 SELECT l.shard, (SELECT min(q.lane_id) FROM queue_items q WHERE q.shard = l.shard AND q.lane_id > l.lane_id)
                 FROM lane l WHERE l.lane_id IS NOT NULL)
             SELECT lane.shard, lane.lane_id,
                    (SELECT min(q.run_at) FROM queue_items q WHERE q.shard = lane.shard AND q.lane_id = lane.lane_id) AS run_at,
                    lanes.hold_reason, lanes.paused_until, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS store_now
             FROM lane LEFT JOIN lanes ON lanes.lane_id = lane.lane_id
             WHERE lane.lane_id IS NOT NULL",
        )
        .bind(json_list(shards))
        .fetch_all(&self.readers)
        .await?)
    }

    async fn claim(&self, asks: &[LaneAsk], in_flight: &[Uuid]) -> Result<Vec<Claimed>> {
        let in_flight = json_list(in_flight.iter().map(|id| format!("\"{}\"", id.simple())));
        let mut connection = self.readers.acquire().await?;
        let mut claimed = Vec::new();
        for ask in asks {
            let items: Vec<Claimed> = sqlx::query_as(
                "SELECT i.shard, i.lane_id, i.run_at, i.operation_id, i.project_id, i.attempt,
                        o.installation_id, o.config_id, o.revision_id, o.object, o.action, o.request, o.accept_time,
                        o.deadline, lanes.held_from, lanes.held_until,
                        -- A request that left and whose answer was never stored.
                        (SELECT min(s.start_time) FROM attempts s
                         WHERE s.project_id = i.project_id AND s.operation_id = i.operation_id AND s.state = 'sent'
                           AND NOT EXISTS (SELECT 1 FROM attempts a
                                           WHERE a.project_id = s.project_id AND a.operation_id = s.operation_id
                                             AND a.id = s.id AND a.state = 'answered'
                                        -- A success that lies here beside its item came from a worker that had lost it.
                                        AND a.class IS NOT 'success')) AS in_doubt_since,
                        CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS store_now
                 FROM (SELECT q.* FROM queue_items q
                       WHERE q.shard = $1 AND q.lane_id = $2
                         AND q.run_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                         AND lower(hex(q.operation_id)) NOT IN (SELECT value FROM json_each($4))
                         -- Writes to one record run singly, in the order they were accepted.
                         AND (q.record_key IS NULL OR NOT EXISTS (
                              SELECT 1 FROM queue_items e
                              WHERE e.lane_id = q.lane_id AND e.record_key = q.record_key
                          AND (e.seq < q.seq OR lower(hex(e.operation_id)) IN (SELECT value FROM json_each($4)))))
                       ORDER BY q.run_at, q.operation_id LIMIT $3) AS i
                 JOIN operations o ON o.project_id = i.project_id AND o.id = i.operation_id
                 LEFT JOIN lanes ON lanes.lane_id = i.lane_id
                 ORDER BY i.run_at, i.operation_id",
            )
            .bind(ask.shard)
            .bind(ask.lane_id)
            .bind(ask.limit)
            .bind(&in_flight)
            .fetch_all(&mut *connection)
            .await?;
            claimed.extend(items);
        }
        Ok(claimed)
    }

    async fn begin_attempts(&self, begins: &[BeginAttempt]) -> Result<Vec<bool>> {
        let mut transaction = self.begin().await?;
        let mut valid = Vec::with_capacity(begins.len());
        for BeginAttempt {
            worker,
            lease,
            attempt,
        } in begins
        {
            // The fence: the shard must still be this worker's, under the epoch of the claim.
            let held: Option<i64> =
                sqlx::query_scalar("SELECT epoch FROM shards WHERE id = $1 AND epoch = $2 AND owner = $3")
                    .bind(lease.shard)
                    .bind(lease.epoch)
                    .bind(worker)
                    .fetch_optional(&mut *transaction)
                    .await?;
            if held.is_some() {
                insert_attempt(&mut transaction, attempt).await?;
            }
            valid.push(held.is_some());
        }
        transaction.commit().await?;
        Ok(valid)
    }

    async fn settle(&self, settles: &[Settle]) -> Result<Vec<bool>> {
        let mut transaction = self.begin().await?;
        let mut settled = Vec::with_capacity(settles.len());
        for settle in settles {
            // The fence: the shard must still be this worker's, under the epoch of the claim.
            let changed = match &settle.ending {
                Ending::Finish(_) => {
                    sqlx::query(
                        "DELETE FROM queue_items
                         WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4
                           AND EXISTS (SELECT 1 FROM shards WHERE id = $1 AND epoch = $5 AND owner = $6)",
                    )
                    .bind(settle.lease.shard)
                    .bind(settle.lane_id)
                    .bind(settle.run_at)
                    .bind(settle.operation_id)
                    .bind(settle.lease.epoch)
                    .bind(settle.worker)
                    .execute(&mut *transaction)
                    .await?
                }
                Ending::Retry { delay, attempt } => {
                    sqlx::query(
                        "UPDATE queue_items
                         SET run_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $7, attempt = $8
                         WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4
                           AND EXISTS (SELECT 1 FROM shards WHERE id = $1 AND epoch = $5 AND owner = $6)",
                    )
                    .bind(settle.lease.shard)
                    .bind(settle.lane_id)
                    .bind(settle.run_at)
                    .bind(settle.operation_id)
                    .bind(settle.lease.epoch)
                    .bind(settle.worker)
                    .bind(micros(*delay))
                    .bind(*attempt)
                    .execute(&mut *transaction)
                    .await?
                }
            };
            let took_effect = changed.rows_affected() > 0;
            if let (true, Ending::Finish(result)) = (took_effect, &settle.ending) {
                insert_result(&mut transaction, settle.project_id, settle.operation_id, result).await?;
            }
            if let Some(attempt) = &settle.attempt {
                insert_attempt(&mut transaction, attempt).await?;
            }
            settled.push(took_effect);
        }
        transaction.commit().await?;
        Ok(settled)
    }

    async fn pause_lane(&self, project_id: Uuid, lane_id: Uuid, pause: Duration) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO lanes (lane_id, project_id, paused_until)
             VALUES ($1, $2, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $3)
             ON CONFLICT (lane_id) DO UPDATE
                 SET paused_until = max(COALESCE(lanes.paused_until, 0), excluded.paused_until)",
        )
        .bind(lane_id)
        .bind(project_id)
        .bind(micros(pause))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn queue_depth(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM queue_items")
            .fetch_one(&self.readers)
            .await?)
    }
}
