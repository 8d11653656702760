//! Single writes that share an operation: gathered, and closed. Whoever adds a record, or closes, holds the row of
//! `auto_batches` until the end of the transaction.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::operations::insert_operations;
use crate::store::time::micros;
use crate::store::{
    AcceptOperation, GATHER_BYTES, GATHER_RECORDS, Gather, Gathered, Mode, OPEN_BATCH, Result, shard_of,
};

/// An open operation, locked by this transaction.
struct OpenBatch<'a> {
    project_id: Uuid,
    operation_id: Uuid,
    seq: i64,
    count: usize,
    bytes: usize,
    /// Records that this transaction has gathered, and not stored yet: the last ones.
    fresh: Vec<&'a str>,
    /// The shortest time that one of these wants to wait.
    delay: Duration,
}

/// Adds each member to the open operation with its batch key. Answers with the members' own numbers.
pub(super) async fn gather(
    connection: &mut PgConnection,
    members: &[(usize, &AcceptOperation)],
) -> Result<Vec<(usize, Gathered)>> {
    let mut sorted: Vec<(usize, &AcceptOperation, &Gather)> = members
        .iter()
        .filter_map(|(index, member)| Some((*index, *member, member.gather.as_ref()?)))
        .collect();
    // Every transaction locks in the order of the keys, so that two of them can wait for each other but never deadlock.
    sorted.sort_by(|a, b| key_of(a).cmp(&key_of(b)));
    let mut gathered = Vec::with_capacity(sorted.len());
    for group in sorted.chunk_by(|a, b| key_of(a) == key_of(b)) {
        let mut waiting: Option<OpenBatch<'_>> = None;
        for (index, member, gather) in group {
            let mut opened = false;
            let mut open = match waiting.take() {
                Some(open) => open,
                None => {
                    let found = find_or_open(connection, member, gather).await?;
                    opened = found.count == 0;
                    found
                }
            };
            if open.count > 0 && !takes(connection, &open, member, gather).await? {
                close_now(connection, open).await?;
                open = find_or_open(connection, member, gather).await?;
                opened = true;
            }
            insert_keys(connection, &open, member).await?;
            gathered.push((
                *index,
                Gathered {
                    operation_id: open.operation_id,
                    index: open.count,
                    opened,
                },
            ));
            open.count += 1;
            open.bytes += gather.item.len() + 1;
            open.fresh.push(&gather.item);
            open.delay = open.delay.min(gather.delay);
            if open.count >= GATHER_RECORDS || open.bytes >= GATHER_BYTES {
                close_now(connection, open).await?;
            } else {
                waiting = Some(open);
            }
        }
        if let Some(open) = waiting {
            keep(connection, open).await?;
        }
    }
    keep_places(connection, members, &gathered).await?;
    Ok(gathered)
}

fn key_of<'a>((_, member, gather): &(usize, &'a AcceptOperation, &'a Gather)) -> (Uuid, &'a [u8]) {
    (member.operation.project_id, &gather.batch_key)
}

/// Locks the open operation; makes one when there is none.
async fn find_or_open<'a>(
    connection: &mut PgConnection,
    member: &AcceptOperation,
    gather: &Gather,
) -> Result<OpenBatch<'a>> {
    let operation = &member.operation;
    loop {
        let (operation_id, count, bytes): (Uuid, i32, i64) = sqlx::query_as(
            "INSERT INTO auto_batches AS a (project_id, batch_key, operation_id, count, bytes) VALUES ($1, $2, $3, 0, 0)
             ON CONFLICT (project_id, batch_key) DO UPDATE SET count = a.count
             RETURNING operation_id, count, bytes",
        )
        .bind(operation.project_id)
        .bind(&gather.batch_key)
        .bind(operation.id)
        .fetch_one(&mut *connection)
        .await?;
        let seq = if operation_id == operation.id {
            Some(insert_master(connection, member, gather).await?)
        } else {
            sqlx::query_scalar("SELECT seq FROM queue_items WHERE project_id = $1 AND operation_id = $2")
                .bind(operation.project_id)
                .bind(operation_id)
                .fetch_optional(&mut *connection)
                .await?
        };
        if let Some(seq) = seq {
            return Ok(OpenBatch {
                project_id: operation.project_id,
                operation_id,
                seq,
                count: usize::try_from(count).unwrap_or(0),
                bytes: usize::try_from(bytes).unwrap_or(0),
                fresh: Vec::new(),
                delay: gather.delay,
            });
        }
        // It has left the queue without being closed, as by a defect: nothing may be added to it.
        close(connection, &[(operation.project_id, operation_id)]).await?;
    }
}

/// The operation and its queue item. Answers its place in the order of acceptance.
async fn insert_master(
    connection: &mut PgConnection,
    member: &AcceptOperation,
    gather: &Gather,
) -> Result<i64> {
    let operation = &member.operation;
    let deadline = micros(gather.delay.saturating_add(member.deadline));
    insert_operations(connection, &[operation], &[Mode::Asynchronous], &[Some(deadline)]).await?;
    Ok(sqlx::query_scalar(
        "INSERT INTO queue_items (shard, lane_id, run_at, operation_id, project_id, seq, record_key, attempt, deadline)
         VALUES ($1, $2, now() + $3 * INTERVAL '1 microsecond', $4, $5, nextval('queue_seq'), NULL, 0,
                 now() + $6 * INTERVAL '1 microsecond')
         RETURNING seq",
    )
    .bind(shard_of(operation.connection_id))
    .bind(operation.connection_id)
    .bind(micros(gather.delay))
    .bind(operation.id)
    .bind(operation.project_id)
    .bind(deadline)
    .fetch_one(connection)
    .await?)
}

/// Whether there is room for the record, and no write to it has been accepted since the operation was: such a one goes first.
async fn takes(
    connection: &mut PgConnection,
    open: &OpenBatch<'_>,
    member: &AcceptOperation,
    gather: &Gather,
) -> Result<bool> {
    if open.bytes + gather.item.len() > GATHER_BYTES {
        return Ok(false);
    }
    if member.record_keys.is_empty() {
        return Ok(true);
    }
    Ok(sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1 FROM queue_items e
                            WHERE e.lane_id = $1 AND e.record_key = ANY($2) AND e.seq > $3)
            AND NOT EXISTS (SELECT 1 FROM queue_records e
                            WHERE e.lane_id = $1 AND e.record_key = ANY($2) AND e.seq >= $3)",
    )
    .bind(member.operation.connection_id)
    .bind(&member.record_keys)
    .bind(open.seq)
    .fetch_one(connection)
    .await?)
}

async fn insert_keys(
    connection: &mut PgConnection,
    open: &OpenBatch<'_>,
    member: &AcceptOperation,
) -> Result<()> {
    if member.record_keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO queue_records (lane_id, record_key, seq, project_id, operation_id)
         SELECT $1, n.key, $3, $4, $5 FROM UNNEST($2::bigint[]) AS n (key)",
    )
    .bind(member.operation.connection_id)
    .bind(&member.record_keys)
    .bind(open.seq)
    .bind(open.project_id)
    .bind(open.operation_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores what has been gathered, and lets it wait for more.
async fn keep(connection: &mut PgConnection, open: OpenBatch<'_>) -> Result<()> {
    insert_items(connection, &open).await?;
    run_in(connection, &open, open.delay).await?;
    sqlx::query("UPDATE auto_batches SET count = $3, bytes = $4 WHERE project_id = $1 AND operation_id = $2")
        .bind(open.project_id)
        .bind(open.operation_id)
        .bind(i32::try_from(open.count).unwrap_or(i32::MAX))
        .bind(i64::try_from(open.bytes).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores what has been gathered, and closes it: it is due at once.
async fn close_now(connection: &mut PgConnection, open: OpenBatch<'_>) -> Result<()> {
    insert_items(connection, &open).await?;
    run_in(connection, &open, Duration::ZERO).await?;
    close(connection, &[(open.project_id, open.operation_id)]).await
}

async fn insert_items(connection: &mut PgConnection, open: &OpenBatch<'_>) -> Result<()> {
    if open.fresh.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO batch_items (project_id, operation_id, position, item)
         SELECT $1, $2, $3 + n.position - 1, n.item FROM UNNEST($4::text[]) WITH ORDINALITY AS n (item, position)",
    )
    .bind(open.project_id)
    .bind(open.operation_id)
    .bind(i64::try_from(open.count - open.fresh.len()).unwrap_or(i64::MAX))
    .bind(&open.fresh)
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves the operation's time forward, and its deadline by as much; never back. What is due already may be in the hands of
/// its worker and stays as it is.
async fn run_in(connection: &mut PgConnection, open: &OpenBatch<'_>, delay: Duration) -> Result<()> {
    sqlx::query(
        "UPDATE queue_items
         SET run_at = now() + $3 * INTERVAL '1 microsecond',
             deadline = deadline - (run_at - (now() + $3 * INTERVAL '1 microsecond'))
         WHERE project_id = $1 AND operation_id = $2 AND run_at > now() + $3 * INTERVAL '1 microsecond'",
    )
    .bind(open.project_id)
    .bind(open.operation_id)
    .bind(micros(delay))
    .execute(connection)
    .await?;
    Ok(())
}

/// Closes those of these operations that are open: their records move into their requests.
pub(super) async fn close(connection: &mut PgConnection, operations: &[(Uuid, Uuid)]) -> Result<()> {
    if operations.is_empty() {
        return Ok(());
    }
    // In the order in which records are added.
    let open: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT a.project_id, a.operation_id FROM auto_batches a
         WHERE (a.project_id, a.operation_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
         ORDER BY a.project_id, a.batch_key FOR UPDATE",
    )
    .bind(operations.iter().map(|o| o.0).collect::<Vec<_>>())
    .bind(operations.iter().map(|o| o.1).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    if open.is_empty() {
        return Ok(());
    }
    let projects: Vec<Uuid> = open.iter().map(|o| o.0).collect();
    let ids: Vec<Uuid> = open.iter().map(|o| o.1).collect();
    // The one update of the history: one for each batch, of a row that is as young as the batch.
    sqlx::query(
        "UPDATE operations o
         SET request = '{\"batch\":[' || COALESCE((SELECT string_agg(i.item, ',' ORDER BY i.position) FROM batch_items i
                                                 WHERE i.project_id = n.project_id AND i.operation_id = n.operation_id), '')
                       || ']' || substr(o.request, $3),
             deadline = COALESCE((SELECT q.deadline FROM queue_items q
                                  WHERE q.project_id = n.project_id AND q.operation_id = n.operation_id), o.deadline)
         FROM UNNEST($1::uuid[], $2::uuid[]) AS n (project_id, operation_id)
         WHERE o.project_id = n.project_id AND o.id = n.operation_id",
    )
    .bind(&projects)
    .bind(&ids)
    .bind(REST)
    .execute(&mut *connection)
    .await?;
    for statement in [
        "DELETE FROM batch_items WHERE (project_id, operation_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
        "DELETE FROM auto_batches WHERE (project_id, operation_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
    ] {
        sqlx::query(statement)
            .bind(&projects)
            .bind(&ids)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Where the rest of an open request begins, as SQL counts.
pub(super) const REST: i32 = OPEN_BATCH.len() as i32 + 1;

/// The idempotency keys name what the writes became part of.
async fn keep_places(
    connection: &mut PgConnection,
    members: &[(usize, &AcceptOperation)],
    gathered: &[(usize, Gathered)],
) -> Result<()> {
    let keyed: Vec<(Uuid, &str, &Gathered)> = gathered
        .iter()
        .filter_map(|(index, place)| {
            let (_, member) = members.iter().find(|(of, _)| of == index)?;
            Some((
                member.operation.project_id,
                member.key.as_ref()?.key.as_str(),
                place,
            ))
        })
        .collect();
    if keyed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE idempotency_keys k SET operation_id = n.operation_id, batch_index = n.batch_index
         FROM UNNEST($1::uuid[], $2::text[], $3::uuid[], $4::int[]) AS n (project_id, key, operation_id, batch_index)
         WHERE k.project_id = n.project_id AND k.key = n.key",
    )
    .bind(keyed.iter().map(|(project_id, ..)| *project_id).collect::<Vec<_>>())
    .bind(keyed.iter().map(|(_, key, _)| *key).collect::<Vec<_>>())
    .bind(keyed.iter().map(|(.., place)| place.operation_id).collect::<Vec<_>>())
    .bind(
        keyed
            .iter()
            .map(|(.., place)| i32::try_from(place.index).unwrap_or(i32::MAX))
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
