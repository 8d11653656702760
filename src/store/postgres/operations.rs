//! Operations: accepted, performed, looked up. Rows are appended with UNNEST: one statement for a whole group commit.

use async_trait::async_trait;
use sqlx::PgConnection;
use uuid::Uuid;

use super::PostgresStore;
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

/// One column of a multi-row insert.
fn column<'a, S, T>(rows: &'a [S], value: impl Fn(&'a S) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn insert_operations(
    connection: &mut PgConnection,
    operations: &[&NewOperation],
    mode: &str,
    deadlines_us: &[Option<i64>],
) -> Result<Time> {
    let accepted: Option<Time> = sqlx::query_scalar(
        "INSERT INTO operations (project_id, id, integration_id, installation_id, config_id, revision_id, connection_id,
             object, action, mode, request, accept_time, deadline)
         SELECT n.project_id, n.id, n.integration_id, n.installation_id, n.config_id, n.revision_id, n.connection_id,
                n.object, n.action, $11, n.request, now(), now() + n.deadline_us * INTERVAL '1 microsecond'
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[],
                     $8::text[], $9::text[], $10::text[], $12::bigint[])
              AS n (project_id, id, integration_id, installation_id, config_id, revision_id, connection_id,
                    object, action, request, deadline_us)
         RETURNING accept_time",
    )
    .bind(column(operations, |o| o.project_id))
    .bind(column(operations, |o| o.id))
    .bind(column(operations, |o| o.integration_id))
    .bind(column(operations, |o| o.installation_id))
    .bind(column(operations, |o| o.config_id))
    .bind(column(operations, |o| o.revision_id))
    .bind(column(operations, |o| o.connection_id))
    .bind(column(operations, |o| o.object.as_str()))
    .bind(column(operations, |o| o.action.as_str()))
    .bind(column(operations, |o| o.request.as_str()))
    .bind(mode)
    .bind(deadlines_us)
    .fetch_optional(connection)
    .await?;
    // now() is the same for the whole transaction, so one row tells for all.
    Ok(accepted.unwrap_or(Time::from_micros(0)))
}

pub(super) async fn insert_results(
    connection: &mut PgConnection,
    results: &[(Uuid, Uuid, &NewResult)],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO operation_results (project_id, operation_id, state, summary, record_id, errors, attempts, finish_time)
         SELECT n.*, now()
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[]) AS n",
    )
    .bind(column(results, |r| r.0))
    .bind(column(results, |r| r.1))
    .bind(column(results, |r| r.2.state.as_str()))
    .bind(column(results, |r| r.2.summary.as_str()))
    .bind(column(results, |r| r.2.record_id.as_deref()))
    .bind(column(results, |r| r.2.errors.as_str()))
    .bind(column(results, |r| r.2.attempts))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_attempts(connection: &mut PgConnection, attempts: &[&NewAttempt]) -> Result<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempts (project_id, operation_id, id, number, state, start_time, status, class, message, latency_us, skipped)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::timestamptz[], $7::int[],
                              $8::text[], $9::text[], $10::bigint[], $11::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(column(attempts, |a| a.project_id))
    .bind(column(attempts, |a| a.operation_id))
    .bind(column(attempts, |a| a.id))
    .bind(column(attempts, |a| a.number))
    .bind(column(attempts, |a| a.state.as_str()))
    .bind(column(attempts, |a| a.start_time))
    .bind(column(attempts, |a| a.status))
    .bind(column(attempts, |a| a.class.as_deref()))
    .bind(column(attempts, |a| a.message.as_deref()))
    .bind(column(attempts, |a| a.latency_us))
    .bind(column(attempts, |a| a.skipped.as_deref()))
    .execute(connection)
    .await?;
    Ok(())
}

#[async_trait]
impl OperationStore for PostgresStore {
    async fn accept_operations(&self, operations: &[AcceptOperation]) -> Result<Vec<Time>> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.pool.begin().await?;
        let rows = column(operations, |o| &o.operation);
        let deadlines = column(operations, |o| i64::try_from(o.deadline.as_micros()).ok());
        let accepted = insert_operations(&mut transaction, &rows, "asynchronous", &deadlines).await?;
        // The sequence is read row by row in the order of the arrays: earlier in the batch, earlier in the order.
        sqlx::query(
            "INSERT INTO queue_items (shard, lane_id, run_at, operation_id, project_id, seq, record_key, attempt)
             SELECT o.shard, o.lane_id, now(), o.operation_id, o.project_id, nextval('queue_seq'), o.record_key, 0
             FROM (SELECT n.* FROM UNNEST($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[]) WITH ORDINALITY
                   AS n (shard, lane_id, operation_id, project_id, record_key, position) ORDER BY n.position) AS o",
        )
        .bind(column(operations, |o| shard_of(o.operation.connection_id)))
        .bind(column(operations, |o| o.operation.connection_id))
        .bind(column(operations, |o| o.operation.id))
        .bind(column(operations, |o| o.operation.project_id))
        .bind(column(operations, |o| o.record_key))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(vec![accepted; operations.len()])
    }

    async fn record_operations(&self, operations: &[RecordOperation]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        let rows = column(operations, |o| &o.operation);
        insert_operations(
            &mut transaction,
            &rows,
            "synchronous",
            &vec![None; operations.len()],
        )
        .await?;
        let results = column(operations, |o| {
            (o.operation.project_id, o.operation.id, &o.result)
        });
        insert_results(&mut transaction, &results).await?;
        let attempts: Vec<&NewAttempt> = operations.iter().filter_map(|o| o.attempt.as_ref()).collect();
        insert_attempts(&mut transaction, &attempts).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn get_operation(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Operation>> {
        Ok(sqlx::query_as(select!("WHERE o.project_id = $1 AND o.id = $2"))
            .bind(project_id)
            .bind(operation_id)
            .fetch_optional(&self.pool)
            .await?)
    }

    async fn get_request(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<String>> {
        Ok(
            sqlx::query_scalar("SELECT request FROM operations WHERE project_id = $1 AND id = $2")
                .bind(project_id)
                .bind(operation_id)
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    async fn list_attempts(&self, project_id: Uuid, operation_id: Uuid) -> Result<Vec<Attempt>> {
        Ok(sqlx::query_as(
            "SELECT * FROM attempts WHERE project_id = $1 AND operation_id = $2 ORDER BY id, state DESC",
        )
        .bind(project_id)
        .bind(operation_id)
        .fetch_all(&self.pool)
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
        .fetch_all(&self.pool)
        .await?)
    }
}
