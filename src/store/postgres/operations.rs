//! Operations: accepted, performed, looked up. Rows are appended with UNNEST: one statement for a whole group commit.

use async_trait::async_trait;
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::PostgresStore;
use super::gather::gather;
use crate::clock::Time;
use crate::store::time::micros;
use crate::store::{
    AcceptOperation, Accepted, Finish, FinishOperation, KEY_LIFE, Mode, NewAnswer, NewAttempt, NewOperation,
    NewResult, OperationStore, RecordOperation, Result, shard_of,
};

/// One column of a multi-row insert.
fn column<'a, S, T>(rows: &'a [S], value: impl Fn(&'a S) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

pub(super) async fn insert_operations(
    connection: &mut PgConnection,
    operations: &[&NewOperation],
    modes: &[Mode],
    deadlines_us: &[Option<i64>],
) -> Result<Time> {
    let accepted: Option<Time> = sqlx::query_scalar(
        "INSERT INTO operations (project_id, id, integration_id, installation_id, config_id, revision_id, connection_id,
             object, action, mode, request, accept_time, deadline, client_ref, replay_of)
         SELECT n.project_id, n.id, n.integration_id, n.installation_id, n.config_id, n.revision_id, n.connection_id,
                n.object, n.action, n.mode, n.request, now(), now() + n.deadline_us * INTERVAL '1 microsecond',
                n.client_ref, n.replay_of
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[],
                     $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::uuid[])
              AS n (project_id, id, integration_id, installation_id, config_id, revision_id, connection_id,
                    object, action, request, mode, deadline_us, client_ref, replay_of)
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
    .bind(column(modes, |mode| mode.as_str()))
    .bind(deadlines_us)
    .bind(column(operations, |o| o.client_ref.as_deref()))
    .bind(column(operations, |o| o.replay_of))
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
        "INSERT INTO operation_results (project_id, operation_id, state, summary, record_id, errors, attempts, records, finish_time)
         SELECT n.*, now()
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[]) AS n",
    )
    .bind(column(results, |r| r.0))
    .bind(column(results, |r| r.1))
    .bind(column(results, |r| r.2.state.as_str()))
    .bind(column(results, |r| r.2.summary.as_str()))
    .bind(column(results, |r| r.2.record_id.as_deref()))
    .bind(column(results, |r| r.2.errors.as_str()))
    .bind(column(results, |r| r.2.attempts))
    .bind(column(results, |r| r.2.records.as_deref()))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_attempts(connection: &mut PgConnection, attempts: &[&NewAttempt]) -> Result<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempts (project_id, operation_id, id, number, state, start_time, status, class, message, latency_us, skipped,
             excerpt, records)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::timestamptz[], $7::int[],
                              $8::text[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::text[])
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
    .bind(column(attempts, |a| a.excerpt.as_deref()))
    .bind(column(attempts, |a| a.records.as_deref()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes which records the batches among these are going to write. Their items are there already and have their place.
async fn insert_records(connection: &mut PgConnection, operations: &[&AcceptOperation]) -> Result<()> {
    let records: Vec<(&NewOperation, i64)> = operations
        .iter()
        .flat_map(|o| o.record_keys.iter().map(|key| (&o.operation, *key)))
        .collect();
    if records.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO queue_records (lane_id, record_key, seq, project_id, operation_id)
         SELECT q.lane_id, n.record_key, q.seq, q.project_id, q.operation_id
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[]) AS n (project_id, operation_id, record_key)
         JOIN queue_items q ON q.project_id = n.project_id AND q.operation_id = n.operation_id",
    )
    .bind(column(&records, |(o, _)| o.project_id))
    .bind(column(&records, |(o, _)| o.id))
    .bind(column(&records, |(_, key)| *key))
    .execute(connection)
    .await?;
    Ok(())
}

/// "… is one of these".
pub(super) fn among(query: &mut QueryBuilder<Postgres>, ids: &[Uuid]) {
    query.push("= ANY(").push_bind(ids.to_vec()).push(")");
}

/// Which of these have a result.
pub(super) async fn which_ended(pool: &PgPool, operations: &[(Uuid, Uuid)]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "SELECT r.operation_id FROM UNNEST($1::uuid[], $2::uuid[]) AS n (project_id, operation_id)
         JOIN operation_results r ON r.project_id = n.project_id AND r.operation_id = n.operation_id",
    )
    .bind(column(operations, |o| o.0))
    .bind(column(operations, |o| o.1))
    .fetch_all(pool)
    .await?)
}

/// Nothing waits any more for the records of batches that have left the queue.
pub(super) async fn free_records(connection: &mut PgConnection, batches: &[(Uuid, Uuid)]) -> Result<()> {
    if batches.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM queue_records WHERE (project_id, operation_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
    )
    .bind(column(batches, |batch| batch.0))
    .bind(column(batches, |batch| batch.1))
    .execute(connection)
    .await?;
    Ok(())
}

/// Claims the idempotency keys of a group commit. True for each whose key is taken.
async fn claim_keys(connection: &mut PgConnection, operations: &[AcceptOperation]) -> Result<Vec<bool>> {
    let mut taken = vec![false; operations.len()];
    // Every transaction claims in the order of the keys, so that two of them can wait for each other but never deadlock.
    let mut keyed: Vec<(Uuid, &str, usize)> = operations
        .iter()
        .enumerate()
        .filter_map(|(index, o)| Some((o.operation.project_id, o.key.as_ref()?.key.as_str(), index)))
        .collect();
    if keyed.is_empty() {
        return Ok(taken);
    }
    keyed.sort_unstable();
    // The same key twice in one commit: the earlier one has it.
    keyed.dedup_by(|later, earlier| {
        let same = (later.0, later.1) == (earlier.0, earlier.1);
        taken[later.2] |= same;
        same
    });
    let claimed: Vec<(Uuid,)> = sqlx::query_as(
        "INSERT INTO idempotency_keys AS k (project_id, key, fingerprint, operation_id, create_time)
         SELECT n.project_id, n.key, n.fingerprint, n.operation_id, now()
         FROM UNNEST($1::uuid[], $2::text[], $3::bytea[], $4::uuid[]) WITH ORDINALITY
              AS n (project_id, key, fingerprint, operation_id, position)
         ORDER BY n.position
         -- A key that has served its time, or was given back, is as good as a new one.
         ON CONFLICT (project_id, key) DO UPDATE
             SET fingerprint = excluded.fingerprint, operation_id = excluded.operation_id, create_time = excluded.create_time,
                 batch_index = NULL
             WHERE k.create_time < now() - $5 * INTERVAL '1 microsecond'
                OR EXISTS (SELECT 1 FROM idempotency_answers a
                           WHERE a.project_id = k.project_id AND a.operation_id = k.operation_id AND a.released)
         RETURNING operation_id",
    )
    .bind(column(&keyed, |(project_id, ..)| *project_id))
    .bind(column(&keyed, |(_, key, _)| *key))
    .bind(column(&keyed, |(.., index)| {
        operations[*index]
            .key
            .as_ref()
            .map_or(&[][..], |key| &key.fingerprint)
    }))
    .bind(column(&keyed, |(.., index)| operations[*index].operation.id))
    .bind(micros(KEY_LIFE))
    .fetch_all(connection)
    .await?;
    for (.., index) in keyed {
        let id = operations[index].operation.id;
        taken[index] |= !claimed.iter().any(|(claimed,)| *claimed == id);
    }
    Ok(taken)
}

/// Deletes or moves queue items by their whole key. Answers the positions of those that were there.
async fn take_items(
    connection: &mut PgConnection,
    finishes: &[(usize, &FinishOperation)],
    statement: &'static str,
) -> Result<Vec<usize>> {
    if finishes.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<(i64,)> = sqlx::query_as(statement)
        .bind(column(finishes, |(_, f)| shard_of(f.lane_id)))
        .bind(column(finishes, |(_, f)| f.lane_id))
        .bind(column(finishes, |(_, f)| f.run_at))
        .bind(column(finishes, |(_, f)| f.operation_id))
        .bind(column(finishes, |(index, _)| i64::try_from(*index).unwrap_or(-1)))
        .fetch_all(connection)
        .await?;
    Ok(found
        .into_iter()
        .filter_map(|(position,)| usize::try_from(position).ok())
        .collect())
}

/// Accepts writes that have an operation of their own: one statement for each table. Answers when.
async fn accept(connection: &mut PgConnection, fresh: &[&AcceptOperation]) -> Result<Time> {
    let rows = column(fresh, |o| &o.operation);
    let modes = column(fresh, |o| {
        if o.performing.is_some() {
            Mode::Synchronous
        } else {
            Mode::Asynchronous
        }
    });
    let deadlines = column(fresh, |o| Some(micros(o.deadline)));
    let accepted = insert_operations(connection, &rows, &modes, &deadlines).await?;
    // The sequence is read row by row in the order of the arrays: earlier in the batch, earlier in the order.
    sqlx::query(
        "INSERT INTO queue_items (shard, lane_id, run_at, operation_id, project_id, seq, record_key, attempt, deadline, holds)
         SELECT o.shard, o.lane_id, now() + o.hold_us * INTERVAL '1 microsecond', o.operation_id, o.project_id,
                -- What repeats a write that holds its record takes that write's place.
                COALESCE((SELECT h.seq FROM record_holds h
                          WHERE h.project_id = o.project_id AND h.operation_id = o.replay_of
                            AND h.lane_id = o.lane_id AND h.record_key = o.record_key),
                         nextval('queue_seq')),
                o.record_key, o.attempt, now() + o.deadline_us * INTERVAL '1 microsecond', o.holds
         FROM (SELECT n.* FROM UNNEST($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::int[],
                                      $8::bigint[], $9::boolean[], $10::uuid[])
               WITH ORDINALITY AS n (shard, lane_id, operation_id, project_id, record_key, hold_us, attempt, deadline_us, holds,
                                     replay_of, position)
               ORDER BY n.position) AS o",
    )
    .bind(column(fresh, |o| shard_of(o.operation.connection_id)))
    .bind(column(fresh, |o| o.operation.connection_id))
    .bind(column(fresh, |o| o.operation.id))
    .bind(column(fresh, |o| o.operation.project_id))
    .bind(column(fresh, |o| o.record_key))
    .bind(column(fresh, |o| o.performing.as_ref().map_or(0, |p| micros(p.hold))))
    .bind(column(fresh, |o| i32::from(o.performing.is_some())))
    .bind(&deadlines)
    .bind(column(fresh, |o| o.holds))
    .bind(column(fresh, |o| o.operation.replay_of))
    .execute(&mut *connection)
    .await?;
    insert_records(connection, fresh).await?;
    let sent: Vec<&NewAttempt> = fresh
        .iter()
        .filter_map(|o| o.performing.as_ref()?.sent.as_ref())
        .collect();
    insert_attempts(connection, &sent).await?;
    Ok(accepted)
}

#[async_trait]
impl OperationStore for PostgresStore {
    async fn accept_operations(&self, operations: &[AcceptOperation]) -> Result<Vec<Accepted>> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.pool.begin().await?;
        let taken = claim_keys(&mut transaction, operations).await?;
        let mut answers = vec![Accepted::KeyTaken; operations.len()];
        let (shared, fresh): (Vec<_>, Vec<_>) = operations
            .iter()
            .enumerate()
            .filter(|(index, _)| !taken[*index])
            .partition(|(_, operation)| operation.gather.is_some());
        if !fresh.is_empty() {
            let time = accept(&mut transaction, &column(&fresh, |(_, operation)| *operation)).await?;
            for (index, _) in &fresh {
                answers[*index] = Accepted::At(time);
            }
        }
        if !shared.is_empty() {
            for (index, place) in gather(&mut transaction, &shared).await? {
                answers[index] = Accepted::Gathered(place);
            }
        }
        crate::store::commit(transaction).await?;
        Ok(answers)
    }

    async fn finish_operations(&self, finishes: &[FinishOperation]) -> Result<Vec<bool>> {
        let mut transaction = self.pool.begin().await?;
        let mut finished = vec![false; finishes.len()];
        let chosen = |results: bool| -> Vec<(usize, &FinishOperation)> {
            finishes
                .iter()
                .enumerate()
                .filter(|(_, f)| matches!(f.ending, Finish::Result(..)) == results)
                .collect()
        };
        let gone = take_items(
            &mut transaction,
            &chosen(true),
            "DELETE FROM queue_items q
             USING UNNEST($1::smallint[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::bigint[])
                   AS n (shard, lane_id, run_at, operation_id, position)
             WHERE q.shard = n.shard AND q.lane_id = n.lane_id AND q.run_at = n.run_at AND q.operation_id = n.operation_id
             RETURNING n.position",
        )
        .await?;
        let moved = take_items(
            &mut transaction,
            &chosen(false),
            "UPDATE queue_items q SET run_at = now()
             FROM UNNEST($1::smallint[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::bigint[])
                  AS n (shard, lane_id, run_at, operation_id, position)
             WHERE q.shard = n.shard AND q.lane_id = n.lane_id AND q.run_at = n.run_at AND q.operation_id = n.operation_id
             RETURNING n.position",
        )
        .await?;
        for index in gone.iter().chain(&moved) {
            finished[*index] = true;
        }
        let ended: Vec<(&FinishOperation, &NewResult, &NewAnswer)> = gone
            .iter()
            .filter_map(|index| match &finishes[*index].ending {
                Finish::Result(result, answer) => Some((&finishes[*index], result, answer)),
                Finish::HandOver => None,
            })
            .collect();
        let results = column(&ended, |(f, result, _)| (f.project_id, f.operation_id, *result));
        insert_results(&mut transaction, &results).await?;
        sqlx::query(
            "INSERT INTO idempotency_answers (project_id, operation_id, released, answer, create_time)
             SELECT n.*, now() FROM UNNEST($1::uuid[], $2::uuid[], $3::boolean[], $4::text[]) AS n",
        )
        .bind(column(&ended, |(f, ..)| f.project_id))
        .bind(column(&ended, |(f, ..)| f.operation_id))
        .bind(column(&ended, |(_, _, answer)| **answer == NewAnswer::Release))
        .bind(column(&ended, |(_, _, answer)| match answer {
            NewAnswer::Keep(text) => Some(text.as_str()),
            NewAnswer::Release => None,
        }))
        .execute(&mut *transaction)
        .await?;
        let batches = ended.iter().filter(|(_, result, _)| result.records.is_some());
        let batches: Vec<(Uuid, Uuid)> = batches.map(|(f, ..)| (f.project_id, f.operation_id)).collect();
        free_records(&mut transaction, &batches).await?;
        let attempts: Vec<&NewAttempt> = finishes.iter().flat_map(|f| &f.attempts).collect();
        insert_attempts(&mut transaction, &attempts).await?;
        crate::store::commit(transaction).await?;
        Ok(finished)
    }

    async fn record_operations(&self, operations: &[RecordOperation]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        let rows = column(operations, |o| &o.operation);
        let (modes, deadlines) = (vec![Mode::Synchronous; rows.len()], vec![None; rows.len()]);
        insert_operations(&mut transaction, &rows, &modes, &deadlines).await?;
        let results = column(operations, |o| {
            (o.operation.project_id, o.operation.id, &o.result)
        });
        insert_results(&mut transaction, &results).await?;
        let attempts: Vec<&NewAttempt> = operations.iter().flat_map(|o| &o.attempts).collect();
        insert_attempts(&mut transaction, &attempts).await?;
        crate::store::commit(transaction).await?;
        Ok(())
    }
}
