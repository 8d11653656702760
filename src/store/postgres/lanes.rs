//! Shards and lanes: what differs.

use sqlx::PgPool;
use uuid::Uuid;

use super::PostgresStore;
use crate::clock::Time;
use crate::store::stragglers::{LeasedShard, leased};
use crate::store::{DueLane, LaneConfig, Leases, Result, SHARDS};

/// Renews leases and takes shards; times in microseconds.
pub(super) async fn lease(store: &PostgresStore, worker: Uuid, lease: i64, calls: i64) -> Result<Leases> {
    let mut transaction = store.pool.begin().await?;
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
    let mut held: Vec<LeasedShard> = sqlx::query_as(
        "UPDATE shards SET lease_until = now() + $2 * INTERVAL '1 microsecond', calls = $3 * INTERVAL '1 microsecond'
         WHERE owner = $1 RETURNING id, epoch, unsettled_until, now() AS store_now",
    )
    .bind(worker)
    .bind(lease)
    .bind(calls)
    .fetch_all(&mut *transaction)
    .await?;
    let wanted = i64::try_from(fair_share.saturating_sub(held.len())).unwrap_or(0);
    if wanted > 0 {
        // FOR UPDATE waits out a finish that checks the old epoch (it holds FOR KEY SHARE); SKIP LOCKED lets two
        // workers take different shards at once.
        let taken: Vec<LeasedShard> = sqlx::query_as(
            "UPDATE shards SET owner = $1, epoch = epoch + 1, lease_until = now() + $2 * INTERVAL '1 microsecond',
                 calls = $4 * INTERVAL '1 microsecond',
                 -- Its owner did not give it back: what it had sent by the end of its lease may still take effect.
                 unsettled_until = CASE WHEN owner IS NULL THEN unsettled_until
                     ELSE GREATEST(unsettled_until,
                                   LEAST(lease_until, now()) + COALESCE(calls, $4 * INTERVAL '1 microsecond')) END
             WHERE id IN (SELECT id FROM shards WHERE owner IS NULL OR lease_until < now()
                          ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)
             RETURNING id, epoch, unsettled_until, now() AS store_now",
        )
        .bind(worker)
        .bind(lease)
        .bind(wanted)
        .bind(calls)
        .fetch_all(&mut *transaction)
        .await?;
        held.extend(taken);
    }
    sqlx::query(
        "DELETE FROM stragglers WHERE (lane_id, record_key) IN (
             SELECT lane_id, record_key FROM stragglers WHERE until < now() FOR UPDATE SKIP LOCKED)",
    )
    .execute(&mut *transaction)
    .await?;
    let store_now: Time = sqlx::query_scalar("SELECT now()")
        .fetch_one(&mut *transaction)
        .await?;
    crate::store::commit(transaction).await?;
    Ok(leased(held, fair_share, store_now))
}

/// The lanes of these shards that have items.
pub(super) async fn due(pool: &PgPool, shards: &[i16]) -> Result<Vec<DueLane>> {
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
         SELECT lane.shard, lane.lane_id, lane.run_at, lanes.hold_reason, lanes.paused_until, now() AS store_now,
                (SELECT q.deadline FROM queue_items q WHERE q.lane_id = lane.lane_id
                 ORDER BY q.deadline LIMIT 1) AS deadline
         FROM lane
         -- LIMIT keeps this one probe per lane, also by a plan that was made while the table was empty.
         LEFT JOIN LATERAL (SELECT l.* FROM lanes l WHERE l.lane_id = lane.lane_id LIMIT 1) AS lanes ON true",
    )
    .bind(shards)
    .fetch_all(pool)
    .await?)
}

/// What the installations of these lanes may say of limits.
pub(super) async fn configs(pool: &PgPool, lanes: &[Uuid]) -> Result<Vec<LaneConfig>> {
    // Most say nothing of limits, and need not travel.
    Ok(sqlx::query_as(
        "SELECT n.connection_id AS lane_id, c.content FROM installations n
         JOIN configs c ON c.project_id = n.project_id AND c.id = n.config_id
         WHERE n.connection_id = ANY($1) AND c.content ILIKE '%\"limits\"%'",
    )
    .bind(lanes)
    .fetch_all(pool)
    .await?)
}
