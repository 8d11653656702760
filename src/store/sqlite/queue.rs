//! Live work: what is claimed, and what happens to it.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::SqliteStore;
use super::gather::close;
use super::holds::note_ends;
use super::operations::{free_records, insert_attempts, insert_results};
use crate::store::claim::{Chosen, QueueRow, cut, expired, pick};
use crate::store::holds::LeftItem;
use crate::store::stragglers::stragglers;
use crate::store::time::micros;
use crate::store::{
    BeginAttempt, Claim, Claimed, CloseGathered, Ending, ExpireAsk, LaneAsk, Listener, QueueStore, Result,
    Settle,
};

/// A list as one parameter: SQLite has no arrays, but reads JSON.
pub(super) fn json_list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(","))
}

/// Reads the chosen items with their requests, as many as fit into `max_bytes`, but always the first.
async fn load(
    connection: &mut SqliteConnection,
    chosen: &[Chosen],
    max_bytes: usize,
) -> Result<Vec<Claimed>> {
    let mut items: Vec<Claimed> = Vec::with_capacity(chosen.len());
    let mut bytes = 0;
    for item in chosen {
        let found: Option<Claimed> = sqlx::query_as(
            sql!("SELECT q.*, c.provider, lanes.held_from, lanes.held_until,
                    (SELECT min(s.start_time) " in_doubt!() ") AS in_doubt_since,
                    " straggles_until!() " AS straggles_until, " now!() " AS store_now
             FROM (SELECT $1 AS shard, $2 AS lane_id, $3 AS run_at, o.id AS operation_id, o.project_id, $6 AS seq,
                          $7 AS record_key, $8 AS behind, $9 AS attempt, o.installation_id, o.config_id, o.revision_id,
                          o.object, o.action, o.request, o.accept_time, o.deadline
                   FROM operations o
                   -- The length is known without reading a long request.
                   WHERE o.project_id = $5 AND o.id = $4 AND (octet_length(o.request) <= $10 OR $11)) AS q
             LEFT JOIN lanes ON lanes.lane_id = q.lane_id
             LEFT JOIN connections c ON c.project_id = q.project_id AND c.id = q.lane_id"),
        )
        .bind(item.shard)
        .bind(item.lane_id)
        .bind(item.run_at)
        .bind(item.operation_id)
        .bind(item.project_id)
        .bind(item.seq)
        .bind(item.record_key)
        .bind(item.behind)
        .bind(item.attempt)
        .bind(i64::try_from(max_bytes.saturating_sub(bytes)).unwrap_or(i64::MAX))
        .bind(items.is_empty())
        .fetch_optional(&mut *connection)
        .await?;
        match found {
            Some(found) => {
                bytes += found.request.len();
                items.push(found);
            }
            // The first is read in any case: what is not found even so is not there.
            None if items.is_empty() => {}
            None => break,
        }
    }
    Ok(items)
}

#[async_trait]
impl QueueStore for SqliteStore {
    async fn claim(&self, asks: &[LaneAsk], max_bytes: usize) -> Result<Claim> {
        let mut connection = self.readers.acquire().await?;
        let (mut looked, mut next) = (Vec::new(), Vec::new());
        for (position, ask) in (1_i64..).zip(asks) {
            // Rows without requests first: narrow, and the first that is not due yet tells when the lane comes again.
            let rows: Vec<QueueRow> = sqlx::query_as(
                sql!("SELECT $1 AS position, lanes.hold_reason, lanes.paused_until, clock.now AS store_now,
                        q.run_at, q.operation_id, q.project_id, q.seq, q.record_key, q.attempt,
                        -- Writes to one record run singly, in the order they were accepted.
                        CASE WHEN q.record_key IS NULL OR q.run_at > clock.now THEN 0 ELSE " blocked!() " END AS blocked
                 FROM (SELECT " now!() " AS now) AS clock
                 LEFT JOIN lanes ON lanes.lane_id = $3
                 LEFT JOIN (SELECT i.* FROM queue_items i
                            WHERE i.shard = $2 AND i.lane_id = $3 AND (i.run_at, i.operation_id) > ($4, $5)
                            ORDER BY i.run_at, i.operation_id LIMIT $6) AS q ON true
                 ORDER BY q.run_at, q.operation_id"),
            )
            .bind(position)
            .bind(ask.shard)
            .bind(ask.lane_id)
            .bind(ask.after.run_at)
            .bind(ask.after.operation_id)
            .bind(ask.scan)
            .fetch_all(&mut *connection)
            .await?;
            looked.extend(rows);
            for (record_key, seq) in &ask.next_of {
                let row: Option<QueueRow> = sqlx::query_as(
                    sql!("SELECT $1 AS position, NULL AS hold_reason, NULL AS paused_until,
                            " now!() " AS store_now,
                            q.run_at, q.operation_id, q.project_id, q.seq, q.record_key, q.attempt,
                            " held!() " AS blocked
                     FROM (SELECT i.* FROM queue_items i
                           WHERE i.shard = $2 AND i.lane_id = $3 AND i.record_key = $4 AND i.seq > $5 - 100000
                           ORDER BY i.seq LIMIT 1) AS q
                     -- A batch that was accepted before it has its turn first.
                     WHERE NOT (" behind_batch!() ")"),
                )
                .bind(position)
                .bind(ask.shard)
                .bind(ask.lane_id)
                .bind(record_key)
                .bind(seq)
                .fetch_optional(&mut *connection)
                .await?;
                next.extend(row);
            }
        }
        let (chosen, mut lanes) = pick(asks, &looked, &next);
        let items = load(&mut connection, &chosen, max_bytes).await?;
        cut(&chosen, &items, &mut lanes);
        Ok(Claim { items, lanes })
    }

    async fn claim_expired(
        &self,
        asks: &[ExpireAsk],
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Claimed>> {
        let mut connection = self.readers.acquire().await?;
        let mut looked = Vec::new();
        for (position, ask) in (1_i64..).zip(asks) {
            let known: HashSet<Uuid> = ask.known.iter().copied().collect();
            let rows: Vec<QueueRow> = sqlx::query_as(
                sql!("SELECT $1 AS position, lanes.hold_reason, lanes.paused_until, clock.now AS store_now,
                        q.run_at, q.operation_id, q.project_id, q.seq, q.record_key, q.attempt,
                        CASE WHEN q.record_key IS NULL THEN 0 ELSE " blocked!() " END AS blocked
                 FROM (SELECT " now!() " AS now) AS clock
                 JOIN (SELECT i.* FROM queue_items i
                       WHERE i.shard = $2 AND i.lane_id = $3
                         AND i.deadline <= " now!() "
                       ORDER BY i.deadline LIMIT $4) AS q
                 LEFT JOIN lanes ON lanes.lane_id = q.lane_id
                 JOIN operations o ON o.project_id = q.project_id AND o.id = q.operation_id
                 WHERE lanes.hold_reason IS NULL
                   -- While the lane was held the clock stood still, for work that was accepted before.
                   AND q.deadline + COALESCE(max(lanes.held_until - max(lanes.held_from, o.accept_time), 0), 0) <= clock.now
                 ORDER BY q.deadline"),
            )
            .bind(position)
            .bind(ask.shard)
            .bind(ask.lane_id)
            .bind(i64::try_from(limit.saturating_add(known.len())).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
            let unknown = |row: &QueueRow| row.operation_id.is_some_and(|id| !known.contains(&id));
            looked.extend(rows.into_iter().filter(unknown).take(limit));
        }
        let chosen = expired(asks, &looked);
        load(&mut connection, &chosen, max_bytes).await
    }

    async fn waiting_records(&self, lane_id: Uuid, seq: i64, keys: &[i64]) -> Result<Vec<i64>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(sqlx::query_scalar(sql!("SELECT q.record_key
             FROM (SELECT $1 AS lane_id, $2 AS seq, k.value AS record_key FROM json_each($3) AS k) AS q
             WHERE " blocked!() " OR " straggles_until!() " IS NOT NULL"))
        .bind(lane_id)
        .bind(seq)
        .bind(json_list(keys))
        .fetch_all(&self.readers)
        .await?)
    }

    async fn notify(&self, _messages: &[String]) -> Result<()> {
        // One process has the file: there is nobody to tell.
        Ok(())
    }

    async fn listen(&self) -> Result<Option<Box<dyn Listener>>> {
        Ok(None)
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
                insert_attempts(&mut transaction, &[attempt]).await?;
            }
            valid.push(held.is_some());
        }
        crate::store::commit(transaction).await?;
        Ok(valid)
    }

    async fn close_gathered(&self, item: &CloseGathered) -> Result<bool> {
        let mut transaction = self.begin().await?;
        // The fence, and the item as it was claimed.
        let there: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM shards WHERE id = $1 AND epoch = $6 AND owner = $7)
                AND EXISTS (SELECT 1 FROM queue_items
                            WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4 AND project_id = $5)",
        )
        .bind(item.lease.shard)
        .bind(item.lane_id)
        .bind(item.run_at)
        .bind(item.operation_id)
        .bind(item.project_id)
        .bind(item.lease.epoch)
        .bind(item.worker)
        .fetch_one(&mut *transaction)
        .await?;
        if there {
            close(&mut transaction, &[(item.project_id, item.operation_id)]).await?;
            crate::store::commit(transaction).await?;
        }
        Ok(there)
    }

    async fn settle(&self, settles: &[Settle]) -> Result<Vec<bool>> {
        let mut transaction = self.begin().await?;
        let mut settled = Vec::with_capacity(settles.len());
        for settle in settles {
            // The fence: the shard must still be this worker's, under the epoch of the claim.
            let took_effect = match &settle.ending {
                Ending::Finish(result) => {
                    let gone: Option<LeftItem> = sqlx::query_as(
                        "DELETE FROM queue_items
                         WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4
                           AND EXISTS (SELECT 1 FROM shards WHERE id = $1 AND epoch = $5 AND owner = $6)
                         RETURNING 1 AS position, project_id, lane_id, operation_id, record_key, seq, holds",
                    )
                    .bind(settle.lease.shard)
                    .bind(settle.lane_id)
                    .bind(settle.run_at)
                    .bind(settle.operation_id)
                    .bind(settle.lease.epoch)
                    .bind(settle.worker)
                    .fetch_optional(&mut *transaction)
                    .await?;
                    if let Some(item) = &gone {
                        insert_results(
                            &mut transaction,
                            &[(settle.project_id, settle.operation_id, result)],
                        )
                        .await?;
                        note_ends(&mut transaction, &[(item, result.state)]).await?;
                    }
                    gone.is_some()
                }
                Ending::Retry { delay, attempt } => {
                    sqlx::query(sql!("UPDATE queue_items
                         SET run_at = " now!() " + $7, attempt = $8
                         WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4
                           AND EXISTS (SELECT 1 FROM shards WHERE id = $1 AND epoch = $5 AND owner = $6)"))
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
                    .rows_affected()
                        > 0
                }
            };
            match &settle.ending {
                _ if !took_effect => {}
                // Its result is there already.
                Ending::Finish(result) => {
                    if result.records.is_some() {
                        free_records(&mut transaction, &[(settle.project_id, settle.operation_id)]).await?;
                    }
                }
                Ending::Retry { .. } => {
                    for key in settle.freed.iter().flatten() {
                        sqlx::query(
                            "DELETE FROM queue_records
                             WHERE lane_id = $1 AND record_key = $2 AND project_id = $3 AND operation_id = $4",
                        )
                        .bind(settle.lane_id)
                        .bind(key)
                        .bind(settle.project_id)
                        .bind(settle.operation_id)
                        .execute(&mut *transaction)
                        .await?;
                    }
                }
            }
            if let Some(attempt) = &settle.attempt {
                insert_attempts(&mut transaction, &[attempt]).await?;
            }
            settled.push(took_effect);
        }
        // Later writes to these records wait: a request of this one may still take effect.
        for row in stragglers(settles, &settled) {
            sqlx::query(
                sql!("INSERT INTO stragglers (lane_id, record_key, seq, project_id, until)
                 VALUES ($1, $2, $3, $4, " now!() " + $5)
                 ON CONFLICT (lane_id, record_key) DO UPDATE
                     SET seq = min(stragglers.seq, excluded.seq), until = max(stragglers.until, excluded.until)"),
            )
            .bind(row.lane_id)
            .bind(row.record_key)
            .bind(row.seq)
            .bind(row.project_id)
            .bind(micros(row.left))
            .execute(&mut *transaction)
            .await?;
        }
        crate::store::commit(transaction).await?;
        Ok(settled)
    }
}
