//! Operations: accepted, performed, looked up. A group commit is one transaction; its rows are inserted one by one, which
//! inside one transaction costs microseconds each.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::SqliteStore;
use crate::clock::Time;
use crate::store::{
    AcceptOperation, Attempt, NewAttempt, NewOperation, NewResult, Operation, OperationStore,
    RecordOperation, Result, shard_of,
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.project_id, o.integration_id, o.installation_id, o.config_id, o.revision_id, o.connection_id, o.object, o.action,
                 o.mode, o.accept_time, o.deadline, r.state, r.summary, r.record_id, r.errors, r.attempts, r.finish_time
             FROM operations o
             LEFT JOIN operation_results r ON r.project_id = o.project_id AND r.operation_id = o.id ",
            $rest
        )
    };
}

async fn insert_operation(
    connection: &mut SqliteConnection,
    operation: &NewOperation,
    mode: &str,
    deadline_us: Option<i64>,
) -> Result<Time> {
    Ok(sqlx::query_scalar(
        "INSERT INTO operations (project_id, id, integration_id, installation_id, config_id, revision_id, connection_id,
             object, action, mode, request, accept_time, deadline)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CAST(unixepoch('subsec') * 1000000 AS INTEGER),
                 CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $12)
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
    .fetch_one(connection)
    .await?)
}

pub(super) async fn insert_result(
    connection: &mut SqliteConnection,
    project_id: Uuid,
    operation_id: Uuid,
    result: &NewResult,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO operation_results (project_id, operation_id, state, summary, record_id, errors, attempts, finish_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
    )
    .bind(project_id)
    .bind(operation_id)
    .bind(result.state.as_str())
    .bind(&result.summary)
    .bind(&result.record_id)
    .bind(&result.errors)
    .bind(result.attempts)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_attempt(connection: &mut SqliteConnection, attempt: &NewAttempt) -> Result<()> {
    sqlx::query(
        "INSERT INTO attempts (project_id, operation_id, id, number, state, start_time, status, class, message, latency_us, skipped)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
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
    .execute(connection)
    .await?;
    Ok(())
}

#[async_trait]
impl OperationStore for SqliteStore {
    async fn accept_operations(&self, operations: &[AcceptOperation]) -> Result<Vec<Time>> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let mut accepted = Vec::with_capacity(operations.len());
        for AcceptOperation {
            operation,
            record_key,
            deadline,
        } in operations
        {
            let deadline = i64::try_from(deadline.as_micros()).ok();
            accepted.push(insert_operation(&mut transaction, operation, "asynchronous", deadline).await?);
            let seq: i64 =
                sqlx::query_scalar("UPDATE queue_seq SET value = value + 1 WHERE id = 1 RETURNING value")
                    .fetch_one(&mut *transaction)
                    .await?;
            sqlx::query(
                "INSERT INTO queue_items (shard, lane_id, run_at, operation_id, project_id, seq, record_key, attempt)
                 VALUES ($1, $2, CAST(unixepoch('subsec') * 1000000 AS INTEGER), $3, $4, $5, $6, 0)",
            )
            .bind(shard_of(operation.connection_id))
            .bind(operation.connection_id)
            .bind(operation.id)
            .bind(operation.project_id)
            .bind(seq)
            .bind(record_key)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(accepted)
    }

    async fn record_operations(&self, operations: &[RecordOperation]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for RecordOperation {
            operation,
            result,
            attempt,
        } in operations
        {
            insert_operation(&mut transaction, operation, "synchronous", None).await?;
            insert_result(&mut transaction, operation.project_id, operation.id, result).await?;
            if let Some(attempt) = attempt {
                insert_attempt(&mut transaction, attempt).await?;
            }
        }
        transaction.commit().await?;
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
        Ok(
            sqlx::query_scalar("SELECT request FROM operations WHERE project_id = $1 AND id = $2")
                .bind(project_id)
                .bind(operation_id)
                .fetch_optional(&self.readers)
                .await?,
        )
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

    async fn list_operations(
        &self,
        project_id: Uuid,
        installation_id: Uuid,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Operation>> {
        Ok(sqlx::query_as(select!(
            "WHERE o.project_id = $1 AND o.installation_id = $2 AND ($3 IS NULL OR o.id < $3) ORDER BY o.id DESC LIMIT $4"
        ))
        .bind(project_id)
        .bind(installation_id)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?)
    }
}
