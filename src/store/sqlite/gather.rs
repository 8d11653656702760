//! Single writes that share an operation: gathered, and closed. Nobody else writes meanwhile: there is one writer.

use std::time::Duration;

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::operations::{QueueItem, insert_operation, insert_queue_item, insert_records};
use crate::store::time::micros;
use crate::store::{
    AcceptOperation, GATHER_BYTES, GATHER_RECORDS, Gather, Gathered, Mode, OPEN_BATCH, Result,
};

/// An open operation.
struct OpenBatch {
    project_id: Uuid,
    operation_id: Uuid,
    seq: i64,
    count: usize,
    bytes: usize,
}

/// Adds a record to the open operation with its batch key.
pub(super) async fn gather(
    connection: &mut SqliteConnection,
    member: &AcceptOperation,
    gather: &Gather,
) -> Result<Gathered> {
    let found = find(connection, member, gather).await?;
    let takes = match &found {
        Some(open) => takes(connection, open, member, gather).await?,
        None => false,
    };
    let (open, opened) = match found {
        Some(open) if takes => (open, false),
        found => {
            if let Some(full) = found {
                close_now(connection, &full).await?;
            }
            (insert_master(connection, member, gather).await?, true)
        }
    };
    insert_records(
        connection,
        &member.operation,
        open.operation_id,
        &member.record_keys,
        open.seq,
    )
    .await?;
    sqlx::query("INSERT INTO batch_items (project_id, operation_id, position, item) VALUES ($1, $2, $3, $4)")
        .bind(open.project_id)
        .bind(open.operation_id)
        .bind(i64::try_from(open.count).unwrap_or(i64::MAX))
        .bind(&gather.item)
        .execute(&mut *connection)
        .await?;
    let place = Gathered {
        operation_id: open.operation_id,
        index: open.count,
        opened,
    };
    let (count, bytes) = (open.count + 1, open.bytes + gather.item.len() + 1);
    if count >= GATHER_RECORDS || bytes >= GATHER_BYTES {
        close_now(connection, &open).await?;
    } else {
        run_in(connection, &open, gather.delay).await?;
        sqlx::query(
            "UPDATE auto_batches SET count = $3, bytes = $4 WHERE project_id = $1 AND operation_id = $2",
        )
        .bind(open.project_id)
        .bind(open.operation_id)
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .execute(&mut *connection)
        .await?;
    }
    if let Some(key) = &member.key {
        // It names what the write became part of.
        sqlx::query(
            "UPDATE idempotency_keys SET operation_id = $3, batch_index = $4 WHERE project_id = $1 AND key = $2",
        )
        .bind(open.project_id)
        .bind(&key.key)
        .bind(place.operation_id)
        .bind(i64::try_from(place.index).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    }
    Ok(place)
}

/// The open operation; `None` when there is none.
async fn find(
    connection: &mut SqliteConnection,
    member: &AcceptOperation,
    gather: &Gather,
) -> Result<Option<OpenBatch>> {
    let project_id = member.operation.project_id;
    let found: Option<(Uuid, i64, i64, Option<i64>)> = sqlx::query_as(
        "SELECT a.operation_id, a.count, a.bytes, q.seq FROM auto_batches a
         LEFT JOIN queue_items q ON q.project_id = a.project_id AND q.operation_id = a.operation_id
         WHERE a.project_id = $1 AND a.batch_key = $2",
    )
    .bind(project_id)
    .bind(&gather.batch_key)
    .fetch_optional(&mut *connection)
    .await?;
    match found {
        None => Ok(None),
        Some((operation_id, count, bytes, Some(seq))) => Ok(Some(OpenBatch {
            project_id,
            operation_id,
            seq,
            count: usize::try_from(count).unwrap_or(0),
            bytes: usize::try_from(bytes).unwrap_or(0),
        })),
        // It has left the queue without being closed, as by a defect: nothing may be added to it.
        Some((operation_id, _, _, None)) => {
            close(connection, &[(project_id, operation_id)]).await?;
            Ok(None)
        }
    }
}

/// The operation and its queue item.
async fn insert_master(
    connection: &mut SqliteConnection,
    member: &AcceptOperation,
    gather: &Gather,
) -> Result<OpenBatch> {
    let operation = &member.operation;
    let deadline = gather.delay.saturating_add(member.deadline);
    let time = insert_operation(connection, operation, Mode::Asynchronous, Some(micros(deadline))).await?;
    let run_at = time.after(gather.delay);
    let seq = insert_queue_item(
        connection,
        operation,
        QueueItem {
            run_at,
            record_key: None,
            attempt: 0,
            deadline: time.after(deadline),
            holds: false,
        },
    )
    .await?;
    sqlx::query(
        "INSERT INTO auto_batches (project_id, batch_key, operation_id, count, bytes) VALUES ($1, $2, $3, 0, 0)",
    )
    .bind(operation.project_id)
    .bind(&gather.batch_key)
    .bind(operation.id)
    .execute(connection)
    .await?;
    Ok(OpenBatch {
        project_id: operation.project_id,
        operation_id: operation.id,
        seq,
        count: 0,
        bytes: 0,
    })
}

/// Whether there is room for the record, and no write to it has been accepted since the operation was: such a one goes first.
async fn takes(
    connection: &mut SqliteConnection,
    open: &OpenBatch,
    member: &AcceptOperation,
    gather: &Gather,
) -> Result<bool> {
    if open.bytes + gather.item.len() > GATHER_BYTES {
        return Ok(false);
    }
    for key in &member.record_keys {
        let later: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM queue_items e WHERE e.lane_id = $1 AND e.record_key = $2 AND e.seq > $3)
                 OR EXISTS (SELECT 1 FROM queue_records e WHERE e.lane_id = $1 AND e.record_key = $2 AND e.seq >= $3)",
        )
        .bind(member.operation.connection_id)
        .bind(key)
        .bind(open.seq)
        .fetch_one(&mut *connection)
        .await?;
        if later {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Closes it: it is due at once.
async fn close_now(connection: &mut SqliteConnection, open: &OpenBatch) -> Result<()> {
    run_in(connection, open, Duration::ZERO).await?;
    close(connection, &[(open.project_id, open.operation_id)]).await
}

/// Moves the operation's time forward, and its deadline by as much; never back. What is due already may be in the hands of
/// its worker and stays as it is.
async fn run_in(connection: &mut SqliteConnection, open: &OpenBatch, delay: Duration) -> Result<()> {
    sqlx::query(
        sql!("UPDATE queue_items AS q SET run_at = n.run_at, deadline = q.deadline - (q.run_at - n.run_at)
         FROM (SELECT " now!() " + $3 AS run_at) AS n
         WHERE q.project_id = $1 AND q.operation_id = $2 AND q.run_at > n.run_at"),
    )
    .bind(open.project_id)
    .bind(open.operation_id)
    .bind(micros(delay))
    .execute(connection)
    .await?;
    Ok(())
}

/// Closes those of these operations that are open: their records move into their requests.
pub(super) async fn close(connection: &mut SqliteConnection, operations: &[(Uuid, Uuid)]) -> Result<()> {
    for (project_id, operation_id) in operations {
        let open = sqlx::query("DELETE FROM auto_batches WHERE project_id = $1 AND operation_id = $2")
            .bind(project_id)
            .bind(operation_id)
            .execute(&mut *connection)
            .await?;
        if open.rows_affected() == 0 {
            continue;
        }
        sqlx::query(
            "UPDATE operations AS o
             SET request = '{\"batch\":[' || COALESCE((SELECT string_agg(i.item, ',' ORDER BY i.position) FROM batch_items i
                                                     WHERE i.project_id = $1 AND i.operation_id = $2), '')
                           || ']' || substr(o.request, $3),
                 deadline = COALESCE((SELECT q.deadline FROM queue_items q WHERE q.project_id = $1 AND q.operation_id = $2),
                                     o.deadline)
             WHERE o.project_id = $1 AND o.id = $2",
        )
        .bind(project_id)
        .bind(operation_id)
        .bind(REST)
        .execute(&mut *connection)
        .await?;
        sqlx::query("DELETE FROM batch_items WHERE project_id = $1 AND operation_id = $2")
            .bind(project_id)
            .bind(operation_id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Where the rest of an open request begins, as SQL counts.
pub(super) const REST: i32 = OPEN_BATCH.len() as i32 + 1;
