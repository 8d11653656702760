//! Operations: accepted, performed, looked up. A group commit is one transaction; its rows are inserted one by one, which
//! inside one transaction costs microseconds each.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::SqliteStore;
use super::gather::{REST, gather};
use crate::clock::Time;
use crate::store::{
    AcceptOperation, Accepted, Attempt, Finish, FinishOperation, IdempotencyUse, KEY_LIFE, NewAnswer,
    NewAttempt, NewIdempotencyKey, NewOperation, NewResult, Operation, OperationFilter, OperationPage,
    OperationStore, RecordOperation, Result, SCAN, StateFilter, filter_needs_scan, first_id_near, shard_of,
};

/// The columns of an operation, and what follows.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.project_id, o.integration_id, o.installation_id, o.config_id, o.revision_id, o.connection_id, o.object, o.action,
                 o.mode, o.client_ref, o.replay_of, o.accept_time, o.deadline, r.state, r.summary, r.record_id, r.errors, r.attempts, r.finish_time, r.records,
                 COALESCE(r.state <> 'succeeded' AND EXISTS (SELECT 1 FROM record_holds h
                           WHERE h.project_id = o.project_id AND h.operation_id = o.id), 0) AS holds_record
             FROM operations o
             LEFT JOIN operation_results r ON r.project_id = o.project_id AND r.operation_id = o.id ",
            $rest
        )
    };
}

pub(super) use select;

/// A duration as the microseconds that the file counts in.
pub(super) fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

const SYNCHRONOUS: &str = "synchronous";
pub(super) const ASYNCHRONOUS: &str = "asynchronous";

pub(super) async fn insert_operation(
    connection: &mut SqliteConnection,
    operation: &NewOperation,
    mode: &str,
    deadline_us: Option<i64>,
) -> Result<Time> {
    Ok(sqlx::query_scalar(
        "INSERT INTO operations (project_id, id, integration_id, installation_id, config_id, revision_id, connection_id,
             object, action, mode, request, accept_time, deadline, client_ref, replay_of)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CAST(unixepoch('subsec') * 1000000 AS INTEGER),
                 CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $12, $13, $14)
         RETURNING accept_time",
    )
    .bind(operation.project_id)
    .bind(operation.id)
    .bind(operation.integration_id)
    .bind(operation.installation_id)
    .bind(operation.config_id)
    .bind(operation.revision_id)
    .bind(operation.connection_id)
    .bind(&operation.object)
    .bind(operation.action.as_str())
    .bind(mode)
    .bind(&operation.request)
    .bind(deadline_us)
    .bind(&operation.client_ref)
    .bind(operation.replay_of)
    .fetch_one(connection)
    .await?)
}

/// What is new about a queue item.
pub(super) struct QueueItem {
    pub run_at: Time,
    pub record_key: Option<i64>,
    pub attempt: i32,
    pub deadline: Time,
    /// It holds its record when it fails.
    pub holds: bool,
}

/// Puts an operation into the queue. Answers its place in the order of acceptance.
pub(super) async fn insert_queue_item(
    connection: &mut SqliteConnection,
    operation: &NewOperation,
    item: QueueItem,
) -> Result<i64> {
    let seq = next_seq(connection, operation, item.record_key).await?;
    sqlx::query(
        "INSERT INTO queue_items (shard, lane_id, run_at, operation_id, project_id, seq, record_key, attempt, deadline, holds)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(shard_of(operation.connection_id))
    .bind(operation.connection_id)
    .bind(item.run_at)
    .bind(operation.id)
    .bind(operation.project_id)
    .bind(seq)
    .bind(item.record_key)
    .bind(item.attempt)
    .bind(item.deadline)
    .bind(item.holds)
    .execute(connection)
    .await?;
    Ok(seq)
}

/// Notes which records a batch is going to write. `operation` is of its lane.
pub(super) async fn insert_records(
    connection: &mut SqliteConnection,
    operation: &NewOperation,
    batch_id: Uuid,
    record_keys: &[i64],
    seq: i64,
) -> Result<()> {
    for key in record_keys {
        sqlx::query(
            "INSERT INTO queue_records (lane_id, record_key, seq, project_id, operation_id) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(operation.connection_id)
        .bind(key)
        .bind(seq)
        .bind(operation.project_id)
        .bind(batch_id)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn insert_result(
    connection: &mut SqliteConnection,
    project_id: Uuid,
    operation_id: Uuid,
    result: &NewResult,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO operation_results (project_id, operation_id, state, summary, record_id, errors, attempts, records, finish_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
    )
    .bind(project_id)
    .bind(operation_id)
    .bind(result.state.as_str())
    .bind(&result.summary)
    .bind(&result.record_id)
    .bind(&result.errors)
    .bind(result.attempts)
    .bind(&result.records)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_attempt(connection: &mut SqliteConnection, attempt: &NewAttempt) -> Result<()> {
    sqlx::query(
        "INSERT INTO attempts (project_id, operation_id, id, number, state, start_time, status, class, message, latency_us, skipped,
             excerpt, records)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT DO NOTHING",
    )
    .bind(attempt.project_id)
    .bind(attempt.operation_id)
    .bind(attempt.id)
    .bind(attempt.number)
    .bind(attempt.state.as_str())
    .bind(attempt.start_time)
    .bind(attempt.status)
    .bind(&attempt.class)
    .bind(&attempt.message)
    .bind(attempt.latency_us)
    .bind(&attempt.skipped)
    .bind(&attempt.excerpt)
    .bind(&attempt.records)
    .execute(connection)
    .await?;
    Ok(())
}

/// Nothing waits any more for the records of a batch that has left the queue.
pub(super) async fn free_records(
    connection: &mut SqliteConnection,
    project_id: Uuid,
    operation_id: Uuid,
) -> Result<()> {
    sqlx::query("DELETE FROM queue_records WHERE project_id = $1 AND operation_id = $2")
        .bind(project_id)
        .bind(operation_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Claims an idempotency key; false when it is taken.
async fn claim_key(
    connection: &mut SqliteConnection,
    operation: &NewOperation,
    key: &NewIdempotencyKey,
) -> Result<bool> {
    let claimed = sqlx::query(
        "INSERT INTO idempotency_keys AS k (project_id, key, fingerprint, operation_id, create_time)
         VALUES ($1, $2, $3, $4, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
         -- A key that has served its time, or was given back, is as good as a new one.
         ON CONFLICT (project_id, key) DO UPDATE
             SET fingerprint = excluded.fingerprint, operation_id = excluded.operation_id, create_time = excluded.create_time,
                 batch_index = NULL
             WHERE k.create_time < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $5
                OR EXISTS (SELECT 1 FROM idempotency_answers a
                           WHERE a.project_id = k.project_id AND a.operation_id = k.operation_id AND a.released)",
    )
    .bind(operation.project_id)
    .bind(&key.key)
    .bind(&key.fingerprint)
    .bind(operation.id)
    .bind(micros(KEY_LIFE))
    .execute(connection)
    .await?;
    Ok(claimed.rows_affected() > 0)
}

/// The place in the order of acceptance. What repeats a write that holds its record takes that write's place.
async fn next_seq(
    connection: &mut SqliteConnection,
    operation: &NewOperation,
    record_key: Option<i64>,
) -> Result<i64> {
    if let (Some(replay_of), Some(record_key)) = (operation.replay_of, record_key) {
        let place: Option<i64> = sqlx::query_scalar(
            "SELECT seq FROM record_holds
             WHERE project_id = $1 AND operation_id = $2 AND lane_id = $3 AND record_key = $4",
        )
        .bind(operation.project_id)
        .bind(replay_of)
        .bind(operation.connection_id)
        .bind(record_key)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(place) = place {
            return Ok(place);
        }
    }
    Ok(
        sqlx::query_scalar("UPDATE queue_seq SET value = value + 1 WHERE id = 1 RETURNING value")
            .fetch_one(connection)
            .await?,
    )
}

#[async_trait]
impl OperationStore for SqliteStore {
    async fn accept_operations(&self, operations: &[AcceptOperation]) -> Result<Vec<Accepted>> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let mut accepted = Vec::with_capacity(operations.len());
        for member in operations {
            let AcceptOperation {
                operation,
                record_key,
                record_keys,
                holds,
                deadline,
                key,
                performing,
                gather: shared,
            } = member;
            if let Some(key) = key
                && !claim_key(&mut transaction, operation, key).await?
            {
                accepted.push(Accepted::KeyTaken);
                continue;
            }
            if let Some(shared) = shared {
                let place = gather(&mut transaction, member, shared).await?;
                accepted.push(Accepted::Gathered(place));
                continue;
            }
            let mode = if performing.is_some() {
                SYNCHRONOUS
            } else {
                ASYNCHRONOUS
            };
            let time = insert_operation(&mut transaction, operation, mode, Some(micros(*deadline))).await?;
            accepted.push(Accepted::At(time));
            let item = QueueItem {
                run_at: time.after(performing.as_ref().map_or(std::time::Duration::ZERO, |p| p.hold)),
                record_key: *record_key,
                attempt: i32::from(performing.is_some()),
                deadline: time.after(*deadline),
                holds: *holds,
            };
            let seq = insert_queue_item(&mut transaction, operation, item).await?;
            insert_records(&mut transaction, operation, operation.id, record_keys, seq).await?;
            if let Some(sent) = performing.as_ref().and_then(|p| p.sent.as_ref()) {
                insert_attempt(&mut transaction, sent).await?;
            }
        }
        crate::store::commit(transaction).await?;
        Ok(accepted)
    }

    async fn finish_operations(&self, finishes: &[FinishOperation]) -> Result<Vec<bool>> {
        let mut transaction = self.begin().await?;
        let mut finished = Vec::with_capacity(finishes.len());
        for finish in finishes {
            let statement = match finish.ending {
                Finish::Result(..) => {
                    "DELETE FROM queue_items WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4"
                }
                Finish::HandOver => {
                    "UPDATE queue_items SET run_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                     WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4"
                }
            };
            let changed = sqlx::query(statement)
                .bind(shard_of(finish.lane_id))
                .bind(finish.lane_id)
                .bind(finish.run_at)
                .bind(finish.operation_id)
                .execute(&mut *transaction)
                .await?;
            let took_effect = changed.rows_affected() > 0;
            if let (true, Finish::Result(result, answer)) = (took_effect, &finish.ending) {
                insert_result(&mut transaction, finish.project_id, finish.operation_id, result).await?;
                sqlx::query(
                    "INSERT INTO idempotency_answers (project_id, operation_id, released, answer, create_time)
                     VALUES ($1, $2, $3, $4, CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
                )
                .bind(finish.project_id)
                .bind(finish.operation_id)
                .bind(*answer == NewAnswer::Release)
                .bind(match answer {
                    NewAnswer::Keep(text) => Some(text.as_str()),
                    NewAnswer::Release => None,
                })
                .execute(&mut *transaction)
                .await?;
            }
            if took_effect && matches!(&finish.ending, Finish::Result(result, _) if result.records.is_some())
            {
                free_records(&mut transaction, finish.project_id, finish.operation_id).await?;
            }
            for attempt in &finish.attempts {
                insert_attempt(&mut transaction, attempt).await?;
            }
            finished.push(took_effect);
        }
        crate::store::commit(transaction).await?;
        Ok(finished)
    }

    async fn find_idempotency_key(&self, project_id: Uuid, key: &str) -> Result<Option<IdempotencyUse>> {
        Ok(sqlx::query_as(
            "SELECT k.fingerprint, k.operation_id, k.batch_index, COALESCE(o.mode, 'asynchronous') AS mode, a.released, a.answer, r.state, r.record_id, r.errors, r.records
             FROM idempotency_keys k
             -- A short retention may have removed the operation before its key.
             LEFT JOIN operations o ON o.project_id = k.project_id AND o.id = k.operation_id
             LEFT JOIN operation_results r ON r.project_id = k.project_id AND r.operation_id = k.operation_id
             LEFT JOIN idempotency_answers a ON a.project_id = k.project_id AND a.operation_id = k.operation_id
             WHERE k.project_id = $1 AND k.key = $2
               AND k.create_time >= CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $3",
        )
        .bind(project_id)
        .bind(key)
        .bind(micros(KEY_LIFE))
        .fetch_optional(&self.readers)
        .await?)
    }

    async fn forget_idempotency_keys(&self, limit: i64) -> Result<u64> {
        let mut transaction = self.begin().await?;
        let keys = sqlx::query(
            "DELETE FROM idempotency_keys WHERE (project_id, key) IN (
                 SELECT project_id, key FROM idempotency_keys
                 WHERE create_time < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $1 ORDER BY create_time LIMIT $2)",
        )
        .bind(micros(KEY_LIFE))
        .bind(limit)
        .execute(&mut *transaction)
        .await?;
        let answers = sqlx::query(
            "DELETE FROM idempotency_answers WHERE (project_id, operation_id) IN (
                 SELECT project_id, operation_id FROM idempotency_answers
                 WHERE create_time < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $1
                 ORDER BY create_time LIMIT $2)",
        )
        .bind(micros(KEY_LIFE))
        .bind(limit)
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(keys.rows_affected() + answers.rows_affected())
    }

    async fn record_operations(&self, operations: &[RecordOperation]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for RecordOperation {
            operation,
            result,
            attempts,
        } in operations
        {
            insert_operation(&mut transaction, operation, SYNCHRONOUS, None).await?;
            insert_result(&mut transaction, operation.project_id, operation.id, result).await?;
            for attempt in attempts {
                insert_attempt(&mut transaction, attempt).await?;
            }
        }
        crate::store::commit(transaction).await?;
        Ok(())
    }

    async fn get_operation(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Operation>> {
        Ok(sqlx::query_as(select!("WHERE o.project_id = $1 AND o.id = $2"))
            .bind(project_id)
            .bind(operation_id)
            .fetch_optional(&self.readers)
            .await?)
    }

    async fn get_request(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM auto_batches a WHERE a.project_id = o.project_id AND a.operation_id = o.id)
                    THEN '{\"batch\":[' || COALESCE((SELECT group_concat(i.item, ',' ORDER BY i.position) FROM batch_items i
                                                   WHERE i.project_id = o.project_id AND i.operation_id = o.id), '')
                         || ']' || substr(o.request, $3)
                    ELSE o.request END
             FROM operations o WHERE o.project_id = $1 AND o.id = $2 AND o.request <> ''",
        )
        .bind(project_id)
        .bind(operation_id)
        .bind(REST)
        .fetch_optional(&self.readers)
        .await?)
    }

    async fn list_attempts(&self, project_id: Uuid, operation_id: Uuid) -> Result<Vec<Attempt>> {
        Ok(sqlx::query_as(
            "SELECT * FROM attempts WHERE project_id = $1 AND operation_id = $2 ORDER BY id, state DESC",
        )
        .bind(project_id)
        .bind(operation_id)
        .fetch_all(&self.readers)
        .await?)
    }

    async fn list_operations(&self, project_id: Uuid, filter: &OperationFilter) -> Result<OperationPage> {
        let scanned = match filter_needs_scan(filter) {
            false => None,
            // So far back this page looks.
            true => sqlx::query_scalar(
                "SELECT id FROM operations WHERE project_id = $1 AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT 1 OFFSET $3",
            )
            .bind(project_id)
            .bind(filter.before)
            .bind(SCAN)
            .fetch_optional(&self.readers)
            .await?,
        };
        let mut query = list_query(project_id, filter, scanned);
        let mut rows: Vec<Operation> = query.build_query_as().fetch_all(&self.readers).await?;
        let next = if rows.len() > filter.limit {
            rows.truncate(filter.limit);
            rows.last().map(|row| row.id)
        } else {
            scanned
        };
        Ok(OperationPage { rows, next })
    }
}

/// One more than asked tells whether there is another page.
fn list_query(project_id: Uuid, filter: &OperationFilter, scanned: Option<Uuid>) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(select!(""));
    if filter.state == Some(StateFilter::InProgress) {
        query.push("JOIN queue_items q ON q.project_id = o.project_id AND q.operation_id = o.id ");
    }
    query.push("WHERE o.project_id = ").push_bind(project_id);
    if let Some(installations) = &filter.installations {
        query.push(" AND o.installation_id IN (");
        let mut list = query.separated(", ");
        for installation in installations {
            list.push_bind(*installation);
        }
        query.push(")");
    }
    if let Some(integration) = filter.integration {
        query.push(" AND o.integration_id = ").push_bind(integration);
    }
    if let Some(object) = &filter.object {
        query.push(" AND o.object = ").push_bind(object.clone());
    }
    if let Some(client_ref) = &filter.client_ref {
        query.push(" AND o.client_ref = ").push_bind(client_ref.clone());
    }
    match &filter.state {
        Some(StateFilter::InProgress) => {
            query
                .push(" AND r.operation_id IS NULL AND q.project_id = ")
                .push_bind(project_id);
        }
        Some(StateFilter::Succeeded) => {
            query.push(" AND r.state = 'succeeded'");
        }
        Some(StateFilter::Ended(states)) => {
            // The second condition names the partial index.
            query
                .push(" AND r.state <> 'succeeded' AND r.project_id = ")
                .push_bind(project_id)
                .push(" AND r.state IN (");
            let mut list = query.separated(", ");
            for state in states {
                list.push_bind(state.as_str());
            }
            query.push(")");
        }
        None => {}
    }
    if let Some(since) = filter.since {
        query
            .push(" AND o.accept_time >= ")
            .push_bind(since)
            .push(" AND o.id >= ")
            .push_bind(first_id_near(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND o.accept_time < ").push_bind(until);
    }
    if filter.not_replayed {
        query.push(
            " AND NOT EXISTS (SELECT 1 FROM operations n WHERE n.project_id = o.project_id AND n.replay_of = o.id)",
        );
    }
    if filter.holds_record {
        query
            .push(" AND o.id IN (SELECT h.operation_id FROM record_holds h WHERE h.project_id = ")
            .push_bind(project_id)
            .push(")");
    }
    if let Some(before) = filter.before {
        query.push(" AND o.id < ").push_bind(before);
    }
    if let Some(scanned) = scanned {
        query.push(" AND o.id >= ").push_bind(scanned);
    }
    query
        .push(" ORDER BY o.id DESC LIMIT ")
        .push_bind(i64::try_from(filter.limit + 1).unwrap_or(i64::MAX));
    query
}
