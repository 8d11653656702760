//! Live work: what is claimed, and what happens to it.

use async_trait::async_trait;
use sqlx::PgConnection;
use sqlx::postgres::{PgListener, PgPoolOptions};
use uuid::Uuid;

use super::gather::close;
use super::holds::note_ends;
use super::operations::{free_records, insert_attempts, insert_results};
use super::{ACQUIRE_TIMEOUT, PostgresStore};
use crate::store::claim::{Chosen, QueueRow, cut, expired, pick};
use crate::store::holds::LeftItem;
use crate::store::stragglers::stragglers;
use crate::store::time::micros;
use crate::store::{
    BeginAttempt, Claim, Claimed, CloseGathered, Ending, ExpireAsk, LaneAsk, Lease, Listener, NewAttempt,
    QueueStore, Result, Settle,
};

/// Where processes tell each other which lanes have new work.
const CHANNEL: &str = "amp_write_lanes";

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

/// Nothing waits any more for the records that have ended in batches that go on.
async fn free_ended(connection: &mut PgConnection, settles: &[Settle], settled: &[bool]) -> Result<()> {
    let freed: Vec<(&Settle, i64)> = settles
        .iter()
        .zip(settled)
        .filter(|(_, settled)| **settled)
        .flat_map(|(s, _)| s.freed.iter().flatten().map(move |key| (s, *key)))
        .collect();
    if freed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM queue_records r USING UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[])
             AS n (lane_id, record_key, project_id, operation_id)
         WHERE r.lane_id = n.lane_id AND r.record_key = n.record_key AND r.project_id = n.project_id
           AND r.operation_id = n.operation_id",
    )
    .bind(freed.iter().map(|(s, _)| s.lane_id).collect::<Vec<_>>())
    .bind(freed.iter().map(|(_, key)| *key).collect::<Vec<_>>())
    .bind(freed.iter().map(|(s, _)| s.project_id).collect::<Vec<_>>())
    .bind(freed.iter().map(|(s, _)| s.operation_id).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Later writes to these records wait: a request of this one may still take effect.
async fn note_stragglers(connection: &mut PgConnection, settles: &[Settle], settled: &[bool]) -> Result<()> {
    let rows = stragglers(settles, settled);
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO stragglers (lane_id, record_key, seq, project_id, until)
         SELECT n.lane_id, n.record_key, n.seq, n.project_id, now() + n.left_us * INTERVAL '1 microsecond'
         FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[])
              AS n (lane_id, record_key, seq, project_id, left_us)
         ON CONFLICT (lane_id, record_key) DO UPDATE
             SET seq = LEAST(stragglers.seq, excluded.seq), until = GREATEST(stragglers.until, excluded.until)",
    )
    .bind(rows.iter().map(|row| row.lane_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.record_key).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.seq).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.project_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| micros(row.left)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads the chosen items with their requests, as many as fit into `max_bytes`, but always the first.
async fn load(connection: &mut PgConnection, chosen: &[Chosen], max_bytes: usize) -> Result<Vec<Claimed>> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_as(
        sql!("SELECT * FROM (
             SELECT q.shard, q.lane_id, q.run_at, q.operation_id, q.project_id, q.seq, q.record_key, q.behind, q.attempt,
                    c.provider, o.installation_id, o.config_id, o.revision_id, o.object, o.action, o.request, o.accept_time,
                    o.deadline, lanes.held_from, lanes.held_until,
                    (SELECT min(s.start_time) " in_doubt!() ") AS in_doubt_since,
                    " straggles_until!() " AS straggles_until,
                    now() AS store_now, q.position,
                    -- The length is known without reading a long request.
                    sum(octet_length(o.request)) OVER (ORDER BY q.position) AS bytes
             FROM UNNEST($1::smallint[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::bigint[], $7::bigint[],
                         $8::boolean[], $9::int[]) WITH ORDINALITY
                  AS q (shard, lane_id, run_at, operation_id, project_id, seq, record_key, behind, attempt, position)
             JOIN operations o ON o.project_id = q.project_id AND o.id = q.operation_id
             LEFT JOIN LATERAL (SELECT l.* FROM lanes l WHERE l.lane_id = q.lane_id LIMIT 1) AS lanes ON true
             LEFT JOIN LATERAL (SELECT k.provider FROM connections k
                                WHERE k.project_id = q.project_id AND k.id = q.lane_id LIMIT 1) AS c ON true) AS found
         WHERE found.bytes <= $10 OR found.position = 1
         ORDER BY found.position"),
    )
    .bind(chosen.iter().map(|item| item.shard).collect::<Vec<_>>())
    .bind(chosen.iter().map(|item| item.lane_id).collect::<Vec<_>>())
    .bind(chosen.iter().map(|item| item.run_at).collect::<Vec<_>>())
    .bind(chosen.iter().map(|item| item.operation_id).collect::<Vec<_>>())
    .bind(chosen.iter().map(|item| item.project_id).collect::<Vec<_>>())
    .bind(chosen.iter().map(|item| item.seq).collect::<Vec<_>>())
    .bind(chosen.iter().map(|item| item.record_key).collect::<Vec<_>>())
    .bind(chosen.iter().map(|item| item.behind).collect::<Vec<_>>())
    .bind(chosen.iter().map(|item| item.attempt).collect::<Vec<_>>())
    .bind(i64::try_from(max_bytes).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?)
}

/// Listens on a connection of its own.
#[derive(Debug)]
struct PostgresListener(PgListener);

#[async_trait]
impl Listener for PostgresListener {
    async fn next(&mut self) -> Result<Option<String>> {
        Ok(self
            .0
            .try_recv()
            .await?
            .map(|notification| notification.payload().to_owned()))
    }
}

#[async_trait]
impl QueueStore for PostgresStore {
    async fn claim(&self, asks: &[LaneAsk], max_bytes: usize) -> Result<Claim> {
        if asks.is_empty() {
            return Ok(Claim::default());
        }
        let mut connection = self.pool.acquire().await?;
        // Rows without requests first: narrow, and the first that is not due yet tells when the lane comes again.
        let looked: Vec<QueueRow> = sqlx::query_as(
            sql!("SELECT ask.position, lanes.hold_reason, lanes.paused_until, now() AS store_now,
                    q.run_at, q.operation_id, q.project_id, q.seq, q.record_key, q.attempt,
                    -- Writes to one record run singly, in the order they were accepted.
                    q.record_key IS NOT NULL AND q.run_at <= now() AND " blocked!() " AS blocked
             FROM UNNEST($1::smallint[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::bigint[]) WITH ORDINALITY
                  AS ask (shard, lane_id, after_run_at, after_id, scan, position)
             LEFT JOIN LATERAL (SELECT l.* FROM lanes l WHERE l.lane_id = ask.lane_id LIMIT 1) AS lanes ON true
             LEFT JOIN LATERAL (
                 SELECT i.* FROM queue_items i
                 WHERE i.shard = ask.shard AND i.lane_id = ask.lane_id
                   AND (i.run_at, i.operation_id) > (ask.after_run_at, ask.after_id)
                 ORDER BY i.run_at, i.operation_id LIMIT ask.scan) AS q ON true
             ORDER BY ask.position, q.run_at, q.operation_id"),
        )
        .bind(asks.iter().map(|ask| ask.shard).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.lane_id).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.after.run_at).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.after.operation_id).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.scan).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        let ended: Vec<(i64, &LaneAsk, (i64, i64))> = (1_i64..)
            .zip(asks)
            .flat_map(|(position, ask)| ask.next_of.iter().map(move |ended| (position, ask, *ended)))
            .collect();
        let next: Vec<QueueRow> = if ended.is_empty() {
            Vec::new()
        } else {
            sqlx::query_as(
                sql!("SELECT ended.position, NULL::text AS hold_reason, NULL::timestamptz AS paused_until, now() AS store_now,
                        q.run_at, q.operation_id, q.project_id, q.seq, q.record_key, q.attempt,
                        " held!() " AS blocked
                 FROM UNNEST($1::bigint[], $2::smallint[], $3::uuid[], $4::bigint[], $5::bigint[])
                      AS ended (position, shard, lane_id, record_key, seq)
                 CROSS JOIN LATERAL (
                     SELECT i.* FROM queue_items i
                     WHERE i.shard = ended.shard AND i.lane_id = ended.lane_id AND i.record_key = ended.record_key
                       -- Not only what came after it: two commits can become visible in the other order. So far back
                       -- reaches; the bound spares the rows that a long flood of one record has left behind.
                       AND i.seq > ended.seq - 100000
                     ORDER BY i.seq LIMIT 1) AS q
                 -- A batch that was accepted before it has its turn first.
                 WHERE NOT (" behind_batch!() ")"),
            )
            .bind(ended.iter().map(|(position, ..)| *position).collect::<Vec<_>>())
            .bind(ended.iter().map(|(_, ask, _)| ask.shard).collect::<Vec<_>>())
            .bind(ended.iter().map(|(_, ask, _)| ask.lane_id).collect::<Vec<_>>())
            .bind(ended.iter().map(|(.., ended)| ended.0).collect::<Vec<_>>())
            .bind(ended.iter().map(|(.., ended)| ended.1).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await?
        };
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
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.pool.acquire().await?;
        let looked: Vec<QueueRow> = sqlx::query_as(
            sql!("SELECT ask.position, lanes.hold_reason, lanes.paused_until, now() AS store_now,
                    q.run_at, q.operation_id, q.project_id, q.seq, q.record_key, q.attempt,
                    q.record_key IS NOT NULL AND " blocked!() " AS blocked
             FROM UNNEST($1::smallint[], $2::uuid[]) WITH ORDINALITY AS ask (shard, lane_id, position)
             LEFT JOIN LATERAL (SELECT l.* FROM lanes l WHERE l.lane_id = ask.lane_id LIMIT 1) AS lanes ON true
             CROSS JOIN LATERAL (
                 SELECT i.* FROM queue_items i
                 WHERE i.shard = ask.shard AND i.lane_id = ask.lane_id AND i.deadline <= now()
                   AND i.operation_id <> ALL($3)
                 ORDER BY i.deadline LIMIT $4) AS q
             JOIN operations o ON o.project_id = q.project_id AND o.id = q.operation_id
             WHERE lanes.hold_reason IS NULL
               -- While the lane was held the clock stood still, for work that was accepted before.
               AND q.deadline + COALESCE(GREATEST(lanes.held_until - GREATEST(lanes.held_from, o.accept_time), INTERVAL '0'),
                                         INTERVAL '0') <= now()
             ORDER BY ask.position, q.deadline"),
        )
        .bind(asks.iter().map(|ask| ask.shard).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.lane_id).collect::<Vec<_>>())
        .bind(asks.iter().flat_map(|ask| ask.known.iter().copied()).collect::<Vec<_>>())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
        let chosen = expired(asks, &looked);
        load(&mut connection, &chosen, max_bytes).await
    }

    async fn waiting_records(&self, lane_id: Uuid, seq: i64, keys: &[i64]) -> Result<Vec<i64>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(sqlx::query_scalar(
            sql!("SELECT q.record_key
             FROM (SELECT $1::uuid AS lane_id, $2::bigint AS seq, k.key AS record_key FROM UNNEST($3::bigint[]) AS k (key)) AS q
             WHERE " blocked!() " OR " straggles_until!() " IS NOT NULL"),
        )
        .bind(lane_id)
        .bind(seq)
        .bind(keys)
        .fetch_all(&self.pool)
        .await?)
    }

    async fn notify(&self, messages: &[String]) -> Result<()> {
        sqlx::query("SELECT pg_notify($1, message) FROM UNNEST($2::text[]) AS message")
            .bind(CHANNEL)
            .bind(messages)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn listen(&self) -> Result<Option<Box<dyn Listener>>> {
        // A connection of its own: the pool is for statements, and this one waits for ever.
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with((*self.pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Box::new(PostgresListener(listener))))
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
        crate::store::commit(transaction).await?;
        Ok(valid)
    }

    async fn close_gathered(&self, item: &CloseGathered) -> Result<bool> {
        let mut transaction = self.pool.begin().await?;
        let valid = fence(&mut transaction, std::iter::once((item.lease, item.worker))).await?;
        if valid != [true] {
            return Ok(false);
        }
        close(&mut transaction, &[(item.project_id, item.operation_id)]).await?;
        // Looked at under the lock: whoever added a record may have moved it.
        let there: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM queue_items
                            WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4 AND project_id = $5)",
        )
        .bind(item.lease.shard)
        .bind(item.lane_id)
        .bind(item.run_at)
        .bind(item.operation_id)
        .bind(item.project_id)
        .fetch_one(&mut *transaction)
        .await?;
        if there {
            crate::store::commit(transaction).await?;
        }
        Ok(there)
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
            let gone: Vec<LeftItem> = sqlx::query_as(
                "DELETE FROM queue_items q
                 USING UNNEST($1::smallint[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::bigint[])
                       AS n (shard, lane_id, run_at, operation_id, position)
                 WHERE q.shard = n.shard AND q.lane_id = n.lane_id AND q.run_at = n.run_at
                   AND q.operation_id = n.operation_id
                 RETURNING n.position, q.project_id, q.lane_id, q.operation_id, q.record_key, q.seq, q.holds",
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
            let mut ends = Vec::with_capacity(gone.len());
            for item in &gone {
                if let Ok(index) = usize::try_from(item.position)
                    && let Some(Settle {
                        project_id,
                        operation_id,
                        ending: Ending::Finish(result),
                        ..
                    }) = settles.get(index)
                {
                    settled[index] = true;
                    results.push((*project_id, *operation_id, result));
                    ends.push((item, result.state));
                }
            }
            let batches = results.iter().filter(|(.., result)| result.records.is_some());
            let batches: Vec<(Uuid, Uuid)> = batches.map(|(project, id, _)| (*project, *id)).collect();
            free_records(&mut transaction, &batches).await?;
            insert_results(&mut transaction, &results).await?;
            note_ends(&mut transaction, &ends).await?;
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
            free_ended(&mut transaction, settles, &settled).await?;
        }
        note_stragglers(&mut transaction, settles, &settled).await?;
        let attempts: Vec<&NewAttempt> = settles.iter().filter_map(|s| s.attempt.as_ref()).collect();
        insert_attempts(&mut transaction, &attempts).await?;
        crate::store::commit(transaction).await?;
        Ok(settled)
    }
}
