//! Live work: shards, lanes and items.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;
use uuid::Uuid;

use super::PostgresStore;
use super::operations::{insert_attempts, insert_results};
use crate::store::{
    BeginAttempt, Claimed, DueLane, Ending, LaneAsk, Lease, Leases, NewAttempt, QueueStore, Result, SHARDS,
    Settle,
};

/// A duration as the microseconds that SQL multiplies an interval with.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Whether each shard is still its worker's, under the epoch of the claim. KEY SHARE keeps a taker (FOR UPDATE) out until
/// the transaction ends, and does not wait for a renewal.
async fn fence(
    connection: &mut PgConnection,
    holders: impl Iterator<Item = (Lease, Uuid)> + Clone,
) -> Result<Vec<bool>> {
    let fenced: Vec<(i64,)> = sqlx::query_as(
        "SELECT n.position FROM UNNEST($1::smallint[], $2::bigint[], $3::uuid[]) WITH ORDINALITY
             AS n (shard, epoch, worker, position)
         JOIN shards s ON s.id = n.shard AND s.epoch = n.epoch AND s.owner = n.worker
         FOR KEY SHARE OF s",
    )
    .bind(holders.clone().map(|(lease, _)| lease.shard).collect::<Vec<_>>())
    .bind(holders.clone().map(|(lease, _)| lease.epoch).collect::<Vec<_>>())
    .bind(holders.clone().map(|(_, worker)| worker).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut valid = vec![false; holders.count()];
    for (position,) in fenced {
        if let Some(slot) = usize::try_from(position - 1)
            .ok()
            .and_then(|index| valid.get_mut(index))
        {
            *slot = true;
        }
    }
    Ok(valid)
}

#[async_trait]
impl QueueStore for PostgresStore {
    async fn lease_shards(&self, worker: Uuid, lease: Duration) -> Result<Leases> {
        let lease = micros(lease);
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO workers (id, seen_at) VALUES ($1, now()) ON CONFLICT (id) DO UPDATE SET seen_at = now()",
        )
        .bind(worker)
        .execute(&mut *transaction)
        .await?;
        // A worker that has not been seen for a lease holds nothing any more; its row is only litter.
        sqlx::query(
            "DELETE FROM workers WHERE id IN (SELECT id FROM workers
                 WHERE seen_at < now() - $1 * INTERVAL '1 microsecond' FOR UPDATE SKIP LOCKED)",
        )
        .bind(lease)
        .execute(&mut *transaction)
        .await?;
        let live: i64 = sqlx::query_scalar("SELECT count(*) FROM workers")
            .fetch_one(&mut *transaction)
            .await?;
        let fair_share = usize::try_from(
            i64::from(SHARDS).div_euclid(live.max(1)) + i64::from(i64::from(SHARDS) % live.max(1) != 0),
        )
        .unwrap_or(1);
        // An expired lease that nobody took is still the worker's own: the epoch has not moved.
        let mut held: Vec<(i16, i64)> = sqlx::query_as(
            "UPDATE shards SET lease_until = now() + $2 * INTERVAL '1 microsecond' WHERE owner = $1 RETURNING id, epoch",
        )
        .bind(worker)
        .bind(lease)
        .fetch_all(&mut *transaction)
        .await?;
        let wanted = i64::try_from(fair_share.saturating_sub(held.len())).unwrap_or(0);
        if wanted > 0 {
            // FOR UPDATE waits out a finish that checks the old epoch (it holds FOR KEY SHARE); SKIP LOCKED lets two
            // workers take different shards at once.
            let taken: Vec<(i16, i64)> = sqlx::query_as(
                "UPDATE shards SET owner = $1, epoch = epoch + 1, lease_until = now() + $2 * INTERVAL '1 microsecond'
                 WHERE id IN (SELECT id FROM shards WHERE owner IS NULL OR lease_until < now()
                              ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)
                 RETURNING id, epoch",
            )
            .bind(worker)
            .bind(lease)
            .bind(wanted)
            .fetch_all(&mut *transaction)
            .await?;
            held.extend(taken);
        }
        transaction.commit().await?;
        held.sort_unstable();
        Ok(Leases {
            held: held
                .into_iter()
                .map(|(shard, epoch)| Lease { shard, epoch })
                .collect(),
            fair_share,
        })
    }

    async fn release_shards(&self, worker: Uuid, shards: &[i16]) -> Result<()> {
        sqlx::query("UPDATE shards SET owner = NULL, lease_until = NULL WHERE owner = $1 AND id = ANY($2)")
            .bind(worker)
            .bind(shards)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn retire_worker(&self, worker: Uuid) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
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
            "WITH RECURSIVE lane (shard, lane_id, run_at) AS (
                 SELECT s.id, f.lane_id, f.run_at
                 FROM UNNEST($1::smallint[]) AS s (id)
                 CROSS JOIN LATERAL (SELECT q.lane_id, q.run_at FROM queue_items q WHERE q.shard = s.id
                                     ORDER BY q.lane_id, q.run_at LIMIT 1) AS f
                 UNION ALL
                 SELECT l.shard, n.lane_id, n.run_at
                 FROM lane l
                 CROSS JOIN LATERAL (SELECT q.lane_id, q.run_at FROM queue_items q
                                     WHERE q.shard = l.shard AND q.lane_id > l.lane_id
                                     ORDER BY q.lane_id, q.run_at LIMIT 1) AS n)
             SELECT lane.shard, lane.lane_id, lane.run_at, lanes.hold_reason, lanes.paused_until, now() AS store_now
             FROM lane LEFT JOIN lanes ON lanes.lane_id = lane.lane_id",
        )
        .bind(shards)
        .fetch_all(&self.pool)
        .await?)
    }

    async fn claim(&self, asks: &[LaneAsk], in_flight: &[Uuid]) -> Result<Vec<Claimed>> {
        Ok(sqlx::query_as(
            "SELECT i.shard, i.lane_id, i.run_at, i.operation_id, i.project_id, i.attempt,
                    o.installation_id, o.config_id, o.revision_id, o.object, o.action, o.request, o.accept_time, o.deadline,
                    lanes.held_from, lanes.held_until,
                    -- A request that left and whose answer was never stored.
                    (SELECT min(s.start_time) FROM attempts s
                     WHERE s.project_id = i.project_id AND s.operation_id = i.operation_id AND s.state = 'sent'
                       AND NOT EXISTS (SELECT 1 FROM attempts a
                                       WHERE a.project_id = s.project_id AND a.operation_id = s.operation_id
                                         AND a.id = s.id AND a.state = 'answered'
                                        -- A success that lies here beside its item came from a worker that had lost it.
                                        AND a.class IS DISTINCT FROM 'success')) AS in_doubt_since,
                    now() AS store_now
             FROM UNNEST($1::smallint[], $2::uuid[], $3::bigint[]) AS ask (shard, lane_id, wanted)
             CROSS JOIN LATERAL (
                 SELECT q.* FROM queue_items q
                 WHERE q.shard = ask.shard AND q.lane_id = ask.lane_id AND q.run_at <= now()
                   AND q.operation_id <> ALL($4)
                   -- Writes to one record run singly, in the order they were accepted.
                   AND (q.record_key IS NULL OR NOT EXISTS (
                        SELECT 1 FROM queue_items e
                        WHERE e.lane_id = q.lane_id AND e.record_key = q.record_key
                          AND (e.seq < q.seq OR e.operation_id = ANY($4))))
                 ORDER BY q.run_at, q.operation_id LIMIT ask.wanted) AS i
             JOIN operations o ON o.project_id = i.project_id AND o.id = i.operation_id
             LEFT JOIN lanes ON lanes.lane_id = i.lane_id",
        )
        .bind(asks.iter().map(|ask| ask.shard).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.lane_id).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.limit).collect::<Vec<_>>())
        .bind(in_flight)
        .fetch_all(&self.pool)
        .await?)
    }

    async fn begin_attempts(&self, begins: &[BeginAttempt]) -> Result<Vec<bool>> {
        let mut transaction = self.pool.begin().await?;
        let valid = fence(
            &mut transaction,
            begins.iter().map(|begin| (begin.lease, begin.worker)),
        )
        .await?;
        let attempts: Vec<&NewAttempt> = begins
            .iter()
            .zip(&valid)
            .filter(|(_, valid)| **valid)
            .map(|(begin, _)| &begin.attempt)
            .collect();
        insert_attempts(&mut transaction, &attempts).await?;
        transaction.commit().await?;
        Ok(valid)
    }

    async fn settle(&self, settles: &[Settle]) -> Result<Vec<bool>> {
        let mut transaction = self.pool.begin().await?;
        let valid = fence(&mut transaction, settles.iter().map(|s| (s.lease, s.worker))).await?;
        let chosen = |finish: bool| -> Vec<(usize, &Settle)> {
            settles
                .iter()
                .enumerate()
                .filter(|(index, s)| valid[*index] && matches!(s.ending, Ending::Finish(_)) == finish)
                .collect()
        };

        let finishing = chosen(true);
        let mut settled = vec![false; settles.len()];
        if !finishing.is_empty() {
            let gone: Vec<(i64,)> = sqlx::query_as(
                "DELETE FROM queue_items q
                 USING UNNEST($1::smallint[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::bigint[])
                       AS n (shard, lane_id, run_at, operation_id, position)
                 WHERE q.shard = n.shard AND q.lane_id = n.lane_id AND q.run_at = n.run_at
                   AND q.operation_id = n.operation_id
                 RETURNING n.position",
            )
            .bind(finishing.iter().map(|(_, s)| s.lease.shard).collect::<Vec<_>>())
            .bind(finishing.iter().map(|(_, s)| s.lane_id).collect::<Vec<_>>())
            .bind(finishing.iter().map(|(_, s)| s.run_at).collect::<Vec<_>>())
            .bind(finishing.iter().map(|(_, s)| s.operation_id).collect::<Vec<_>>())
            .bind(
                finishing
                    .iter()
                    .map(|(index, _)| i64::try_from(*index).unwrap_or(-1))
                    .collect::<Vec<_>>(),
            )
            .fetch_all(&mut *transaction)
            .await?;
            let mut results = Vec::with_capacity(gone.len());
            for index in gone
                .iter()
                .filter_map(|(position,)| usize::try_from(*position).ok())
            {
                if let Some(Settle {
                    project_id,
                    operation_id,
                    ending: Ending::Finish(result),
                    ..
                }) = settles.get(index)
                {
                    settled[index] = true;
                    results.push((*project_id, *operation_id, result));
                }
            }
            insert_results(&mut transaction, &results).await?;
        }

        let retrying = chosen(false);
        if !retrying.is_empty() {
            let ending = |s: &Settle| match s.ending {
                Ending::Retry { delay, attempt } => (micros(delay), attempt),
                Ending::Finish(_) => (0, 0),
            };
            let moved: Vec<(i64,)> = sqlx::query_as(
                "UPDATE queue_items q SET run_at = now() + n.delay_us * INTERVAL '1 microsecond', attempt = n.attempt
                 FROM UNNEST($1::smallint[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::bigint[], $6::bigint[], $7::int[])
                      AS n (shard, lane_id, run_at, operation_id, position, delay_us, attempt)
                 WHERE q.shard = n.shard AND q.lane_id = n.lane_id AND q.run_at = n.run_at
                   AND q.operation_id = n.operation_id
                 RETURNING n.position",
            )
            .bind(retrying.iter().map(|(_, s)| s.lease.shard).collect::<Vec<_>>())
            .bind(retrying.iter().map(|(_, s)| s.lane_id).collect::<Vec<_>>())
            .bind(retrying.iter().map(|(_, s)| s.run_at).collect::<Vec<_>>())
            .bind(retrying.iter().map(|(_, s)| s.operation_id).collect::<Vec<_>>())
            .bind(retrying.iter().map(|(index, _)| i64::try_from(*index).unwrap_or(-1)).collect::<Vec<_>>())
            .bind(retrying.iter().map(|(_, s)| ending(s).0).collect::<Vec<_>>())
            .bind(retrying.iter().map(|(_, s)| ending(s).1).collect::<Vec<_>>())
            .fetch_all(&mut *transaction)
            .await?;
            for index in moved
                .iter()
                .filter_map(|(position,)| usize::try_from(*position).ok())
            {
                if let Some(slot) = settled.get_mut(index) {
                    *slot = true;
                }
            }
        }
        let attempts: Vec<&NewAttempt> = settles.iter().filter_map(|s| s.attempt.as_ref()).collect();
        insert_attempts(&mut transaction, &attempts).await?;
        transaction.commit().await?;
        Ok(settled)
    }

    async fn pause_lane(&self, project_id: Uuid, lane_id: Uuid, pause: Duration) -> Result<()> {
        sqlx::query(
            "INSERT INTO lanes (lane_id, project_id, paused_until) VALUES ($1, $2, now() + $3 * INTERVAL '1 microsecond')
             ON CONFLICT (lane_id) DO UPDATE SET paused_until = GREATEST(lanes.paused_until, excluded.paused_until)",
        )
        .bind(lane_id)
        .bind(project_id)
        .bind(micros(pause))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn queue_depth(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM queue_items")
            .fetch_one(&self.pool)
            .await?)
    }
}
