//! Shards and lanes: what differs.

use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use super::SqliteStore;
use super::queue::json_list;
use crate::clock::Time;
use crate::store::stragglers::{LeasedShard, leased};
use crate::store::{DueLane, LaneConfig, Leases, Result, SHARDS};

/// Renews leases and takes shards; times in microseconds.
pub(super) async fn lease(store: &SqliteStore, worker: Uuid, lease: i64, calls: i64) -> Result<Leases> {
    let mut transaction = store.begin().await?;
    // One process has the file, so whoever else is named as owner is dead: nothing needs to run out.
    sqlx::query("DELETE FROM workers WHERE id <> $1")
        .bind(worker)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(sql!("INSERT INTO workers (id, seen_at) VALUES ($1, " now!() ")
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at"))
    .bind(worker)
    .execute(&mut *transaction)
    .await?;
    let held: Vec<LeasedShard> = sqlx::query_as(
        sql!("UPDATE shards SET epoch = epoch + CASE WHEN owner IS $1 THEN 0 ELSE 1 END, owner = $1,
             lease_until = " now!() " + $2, calls = $3,
             -- Its owner did not give it back: what it had sent by the end of its lease may still take effect.
             unsettled_until = CASE WHEN owner IS NULL OR owner IS $1 THEN unsettled_until
                 ELSE max(COALESCE(unsettled_until, 0),
                          min(lease_until, " now!() ") + COALESCE(calls, $3)) END
         RETURNING id, epoch, unsettled_until, " now!() " AS store_now"),
    )
    .bind(worker)
    .bind(lease)
    .bind(calls)
    .fetch_all(&mut *transaction)
    .await?;
    sqlx::query(sql!("DELETE FROM stragglers WHERE until < " now!()))
        .execute(&mut *transaction)
        .await?;
    let store_now: Time = sqlx::query_scalar(sql!("SELECT " now!()))
        .fetch_one(&mut *transaction)
        .await?;
    crate::store::commit(transaction).await?;
    Ok(leased(held, usize::try_from(SHARDS).unwrap_or(1), store_now))
}

/// The lanes of these shards that have items.
pub(super) async fn due(readers: &SqlitePool, shards: &[i16]) -> Result<Vec<DueLane>> {
    // A loose index scan: one probe per lane, however many items each has.
    Ok(sqlx::query_as(
        sql!("WITH RECURSIVE lane (shard, lane_id) AS (
             SELECT s.value, (SELECT min(q.lane_id) FROM queue_items q WHERE q.shard = s.value)
             FROM json_each($1) AS s
             UNION ALL
             SELECT l.shard, (SELECT min(q.lane_id) FROM queue_items q WHERE q.shard = l.shard AND q.lane_id > l.lane_id)
             FROM lane l WHERE l.lane_id IS NOT NULL)
         SELECT lane.shard, lane.lane_id,
                (SELECT min(q.run_at) FROM queue_items q WHERE q.shard = lane.shard AND q.lane_id = lane.lane_id) AS run_at,
                lanes.hold_reason, lanes.paused_until, " now!() " AS store_now,
                (SELECT min(q.deadline) FROM queue_items q WHERE q.lane_id = lane.lane_id) AS deadline
         FROM lane LEFT JOIN lanes ON lanes.lane_id = lane.lane_id
         WHERE lane.lane_id IS NOT NULL"),
    )
    .bind(json_list(shards))
    .fetch_all(readers)
    .await?)
}

/// What the installations of these lanes may say of limits.
pub(super) async fn configs(readers: &SqlitePool, lanes: &[Uuid]) -> Result<Vec<LaneConfig>> {
    let mut connection = readers.acquire().await?;
    let mut found = Vec::new();
    for lane in lanes {
        // Most say nothing of limits, and need not be read.
        let configs: Vec<LaneConfig> = sqlx::query_as(
            "SELECT n.connection_id AS lane_id, c.content FROM installations n
             JOIN configs c ON c.project_id = n.project_id AND c.id = n.config_id
             WHERE n.connection_id = $1 AND c.content LIKE '%\"limits\"%'",
        )
        .bind(lane)
        .fetch_all(&mut *connection)
        .await?;
        found.extend(configs);
    }
    Ok(found)
}
