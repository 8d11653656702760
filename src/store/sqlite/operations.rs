//! Operations: accepted, performed, looked up. A group commit is one transaction; its rows are inserted one by one, which
//! inside one transaction costs microseconds each.

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::SqliteStore;
use super::gather::gather;
use crate::clock::Time;
use crate::store::time::micros;
use crate::store::{
    AcceptOperation, Accepted, Finish, FinishOperation, KEY_LIFE, Mode, NewAnswer, NewAttempt,
    NewIdempotencyKey, NewOperation, NewResult, OperationStore, RecordOperation, Result, shard_of,
};

pub(super) async fn insert_operation(
    connection: &mut SqliteConnection,
    operation: &NewOperation,
    mode: Mode,
    deadline_us: Option<i64>,
) -> Result<Time> {
    Ok(sqlx::query_scalar(
        sql!("INSERT INTO operations (project_id, id, integration_id, installation_id, config_id, revision_id, connection_id,
             object, action, mode, request, accept_time, deadline, client_ref, replay_of)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, " now!() ",
                 " now!() " + $12, $13, $14)
         RETURNING accept_time"),
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
    .bind(mode.as_str())
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

pub(super) async fn insert_results(
    connection: &mut SqliteConnection,
    results: &[(Uuid, Uuid, &NewResult)],
) -> Result<()> {
    for (project_id, operation_id, result) in results {
        sqlx::query(sql!("INSERT INTO operation_results (project_id, operation_id, state, summary, record_id, errors, attempts, records, finish_time)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, " now!() ")"))
        .bind(project_id)
        .bind(operation_id)
        .bind(result.state.as_str())
        .bind(&result.summary)
        .bind(&result.record_id)
        .bind(&result.errors)
        .bind(result.attempts)
        .bind(&result.records)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn insert_attempts(
    connection: &mut SqliteConnection,
    attempts: &[&NewAttempt],
) -> Result<()> {
    for attempt in attempts {
        sqlx::query(
            "INSERT INTO attempts (project_id, operation_id, id, number, state, start_time, status, class, message, latency_us,
                 skipped, excerpt, records)
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
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Nothing waits any more for the records of batches that have left the queue.
pub(super) async fn free_records(connection: &mut SqliteConnection, batches: &[(Uuid, Uuid)]) -> Result<()> {
    for (project_id, operation_id) in batches {
        sqlx::query("DELETE FROM queue_records WHERE project_id = $1 AND operation_id = $2")
            .bind(project_id)
            .bind(operation_id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// "… is one of these".
pub(super) fn among(query: &mut QueryBuilder<Sqlite>, ids: &[Uuid]) {
    query.push("IN (");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(*id);
    }
    query.push(")");
}

/// Which of these have a result.
pub(super) async fn which_ended(readers: &SqlitePool, operations: &[(Uuid, Uuid)]) -> Result<Vec<Uuid>> {
    let mut connection = readers.acquire().await?;
    let mut ended = Vec::new();
    for (project_id, operation_id) in operations {
        let found: Option<Uuid> = sqlx::query_scalar(
            "SELECT operation_id FROM operation_results WHERE project_id = $1 AND operation_id = $2",
        )
        .bind(project_id)
        .bind(operation_id)
        .fetch_optional(&mut *connection)
        .await?;
        ended.extend(found);
    }
    Ok(ended)
}

/// Claims an idempotency key; false when it is taken.
async fn claim_key(
    connection: &mut SqliteConnection,
    operation: &NewOperation,
    key: &NewIdempotencyKey,
) -> Result<bool> {
    let claimed = sqlx::query(
        sql!("INSERT INTO idempotency_keys AS k (project_id, key, fingerprint, operation_id, create_time)
         VALUES ($1, $2, $3, $4, " now!() ")
         -- A key that has served its time, or was given back, is as good as a new one.
         ON CONFLICT (project_id, key) DO UPDATE
             SET fingerprint = excluded.fingerprint, operation_id = excluded.operation_id, create_time = excluded.create_time,
                 batch_index = NULL
             WHERE k.create_time < " now!() " - $5
                OR EXISTS (SELECT 1 FROM idempotency_answers a
                           WHERE a.project_id = k.project_id AND a.operation_id = k.operation_id AND a.released)"),
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
                Mode::Synchronous
            } else {
                Mode::Asynchronous
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
                insert_attempts(&mut transaction, &[sent]).await?;
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
                    sql!("UPDATE queue_items SET run_at = " now!() "
                     WHERE shard = $1 AND lane_id = $2 AND run_at = $3 AND operation_id = $4")
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
                insert_results(
                    &mut transaction,
                    &[(finish.project_id, finish.operation_id, result)],
                )
                .await?;
                sqlx::query(
                    sql!("INSERT INTO idempotency_answers (project_id, operation_id, released, answer, create_time)
                     VALUES ($1, $2, $3, $4, " now!() ")"),
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
                free_records(&mut transaction, &[(finish.project_id, finish.operation_id)]).await?;
            }
            insert_attempts(&mut transaction, &finish.attempts.iter().collect::<Vec<_>>()).await?;
            finished.push(took_effect);
        }
        crate::store::commit(transaction).await?;
        Ok(finished)
    }

    async fn record_operations(&self, operations: &[RecordOperation]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for RecordOperation {
            operation,
            result,
            attempts,
        } in operations
        {
            insert_operation(&mut transaction, operation, Mode::Synchronous, None).await?;
            insert_results(&mut transaction, &[(operation.project_id, operation.id, result)]).await?;
            insert_attempts(&mut transaction, &attempts.iter().collect::<Vec<_>>()).await?;
        }
        crate::store::commit(transaction).await?;
        Ok(())
    }
}
