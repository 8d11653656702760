//! What leaves by age. A day of the history leaves whole: its partitions are dropped. A day whose payloads alone leave is
//! copied without them, and the copy takes its partition's place: no row is ever updated, and nothing is left to vacuum.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use super::PostgresStore;
use super::history::{DAY_MICROS, TABLES, bounds_of, name_of};
use crate::clock::Time;
use crate::store::time::before;
use crate::store::{Expired, Result, Retention, RetentionStore, first_id_of};

/// One number for all nodes: one of them at a time.
const ADVISORY_LOCK: i64 = 0x616d_702d_7265_7465;
/// Rows copied or deleted in one statement.
const BATCH: i64 = 5_000;
/// How often a lock on the history is asked for, each time for half a second at most: everybody else queues up behind it.
const LOCK_TRIES: usize = 5;
/// The end of the name of a partition without payloads.
const BARE: &str = "_bare";

/// A day of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partition {
    table: &'static str,
    day: i64,
    bare: bool,
}

impl Partition {
    fn name(&self) -> String {
        let end = if self.bare { BARE } else { "" };
        format!("{}_{}{end}", self.table, name_of(self.day))
    }
}

#[async_trait]
impl RetentionStore for PostgresStore {
    async fn expire_history(&self, retention: Retention) -> Result<Expired> {
        // A connection of its own: the lock lasts as long as it does, however this ends.
        let mut guard = self.pool.acquire().await?.detach();
        let (free, now): (bool, Time) = sqlx::query_as("SELECT pg_try_advisory_lock($1), now()")
            .bind(ADVISORY_LOCK)
            .fetch_one(&mut guard)
            .await?;
        if !free {
            return Ok(Expired::default());
        }
        let expired = expire(self, now, retention).await;
        // Given back before the farewell, which the server may take its time to notice. When either fails, the lock goes with
        // the connection.
        let _ = sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(ADVISORY_LOCK)
            .execute(&mut guard)
            .await;
        let _ = guard.close().await;
        expired
    }
}

async fn expire(store: &PostgresStore, now: Time, retention: Retention) -> Result<Expired> {
    let pool = &store.pool;
    let mut expired = Expired::default();
    let (history, payloads) = (
        before(now, retention.history),
        before(now, retention.payloads.min(retention.history)),
    );
    store.expire_holds(first_id_of(payloads)).await?;
    let is_over = |day: i64, limit: Time| (day + 1) * DAY_MICROS <= limit.as_micros();
    for table in TABLES {
        // After the operations, so that none is ever seen without its result.
        let operations = match table {
            "operations" => Vec::new(),
            _ => partitions(pool, "operations").await?,
        };
        for partition in partitions(pool, table).await? {
            let needed = operations.iter().any(|of| of.day == partition.day);
            if is_over(partition.day, history) && !needed && !has_live_work(pool, partition.day).await? {
                expired.partitions += u64::from(drop_partition(pool, &partition).await?);
            } else if table == "operations"
                && !partition.bare
                && is_over(partition.day, payloads)
                && !has_live_work(pool, partition.day).await?
            {
                expired.payloads += strip(pool, &partition).await?;
            }
        }
    }
    // The default partition holds ids of clocks that were far off, and days that found no partition.
    expired.payloads += in_batches(
        pool,
        "UPDATE operations_default SET request = '' WHERE (project_id, id) IN (
             SELECT o.project_id, o.id FROM operations_default o
             WHERE o.accept_time < $1 AND o.request <> '' AND EXISTS (
                 SELECT 1 FROM operation_results r WHERE r.project_id = o.project_id AND r.operation_id = o.id)
               AND NOT EXISTS (SELECT 1 FROM record_holds h WHERE h.project_id = o.project_id AND h.operation_id = o.id)
             LIMIT $2)",
        payloads,
    )
    .await?;
    expired.operations += in_batches(
        pool,
        "DELETE FROM operations_default WHERE (project_id, id) IN (
             SELECT o.project_id, o.id FROM operations_default o
             WHERE o.accept_time < $1 AND EXISTS (
                 SELECT 1 FROM operation_results r WHERE r.project_id = o.project_id AND r.operation_id = o.id)
               AND NOT EXISTS (SELECT 1 FROM record_holds h WHERE h.project_id = o.project_id AND h.operation_id = o.id)
             LIMIT $2)",
        history,
    )
    .await?;
    // After the operations, so that none is ever seen without its result.
    for statement in [
        "DELETE FROM operation_results_default WHERE (project_id, operation_id) IN (
             SELECT r.project_id, r.operation_id FROM operation_results_default r
             WHERE r.finish_time < $1 AND NOT EXISTS (
                 SELECT 1 FROM operations o WHERE o.project_id = r.project_id AND o.id = r.operation_id)
             LIMIT $2)",
        "DELETE FROM attempts_default WHERE (project_id, operation_id) IN (
             SELECT a.project_id, a.operation_id FROM attempts_default a
             WHERE a.start_time < $1 AND NOT EXISTS (
                 SELECT 1 FROM operations o WHERE o.project_id = a.project_id AND o.id = a.operation_id)
             LIMIT $2)",
    ] {
        in_batches(pool, statement, history).await?;
    }
    expired.definitions = store.expire_definitions(history).await?;
    Ok(expired)
}

/// The days of a table, oldest first.
async fn partitions(pool: &PgPool, table: &'static str) -> Result<Vec<Partition>> {
    let names: Vec<(String,)> = sqlx::query_as(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = $1::regclass ORDER BY c.relname",
    )
    .bind(table)
    .fetch_all(pool)
    .await?;
    Ok(names
        .iter()
        .filter_map(|(name,)| {
            let rest = name.strip_prefix(table)?.strip_prefix('_')?;
            let bare = rest.ends_with(BARE);
            let date: jiff::civil::Date = rest.trim_end_matches(BARE).parse().ok()?;
            let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            let day = start.as_microsecond().div_euclid(DAY_MICROS);
            Some(Partition { table, day, bare })
        })
        .collect())
}

/// Whether something of this day is still queued, or holds a record.
async fn has_live_work(pool: &PgPool, day: i64) -> Result<bool> {
    let (from, to) = bounds_of(day);
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM queue_items WHERE operation_id >= $1 AND operation_id < $2)
             OR EXISTS (SELECT 1 FROM record_holds WHERE operation_id >= $1 AND operation_id < $2)",
    )
    .bind(from)
    .bind(to)
    .fetch_one(pool)
    .await?)
}

/// Drops a day of a table; false when the lock was not to be had, and the next run tries again.
async fn drop_partition(pool: &PgPool, partition: &Partition) -> Result<bool> {
    // Names are made here from digits; nothing of a request is in them. A copy that was begun goes, too.
    let mut statements = vec![format!("DROP TABLE {}", partition.name())];
    if !partition.bare {
        statements.push(format!("DROP TABLE IF EXISTS {}{BARE}", partition.name()));
    }
    exclusively(pool, &PartitionChange::Run(statements))
        .await
        .map(|done| done.is_some())
}

/// Replaces a day of operations by a copy without payloads. Answers how many there were; none when the lock was not to be
/// had, and the next run goes on where this one ended.
async fn strip(pool: &PgPool, partition: &Partition) -> Result<u64> {
    let full = partition.name();
    let bare = format!("{full}{BARE}");
    let (from, to) = bounds_of(partition.day);
    let names = columns(pool, "operations").await?;
    let begun = columns(pool, &bare).await?;
    if !begun.is_empty() && begun != names {
        // The table has changed since the copy was begun.
        let drop = format!("DROP TABLE {bare}");
        sqlx::query(AssertSqlSafe(drop)).execute(pool).await?;
    }
    let values: Vec<&str> = names
        .iter()
        .map(|name| if name == "request" { "''" } else { name })
        .collect();
    sqlx::query(AssertSqlSafe(format!(
        "CREATE TABLE IF NOT EXISTS {bare} (LIKE {full} INCLUDING ALL,
             CONSTRAINT {bare}_day CHECK (id >= '{from}' AND id < '{to}'))"
    )))
    .execute(pool)
    .await?;
    let copy = format!(
        "INSERT INTO {bare} ({}) SELECT {} FROM {full}
         WHERE (project_id, id) > ($1, $2)
         ORDER BY project_id, id LIMIT $3",
        names.join(", "),
        values.join(", ")
    );
    let last = format!("SELECT project_id, id FROM {bare} ORDER BY project_id DESC, id DESC LIMIT 1");
    loop {
        // A run that was stopped half-way goes on behind the last row that it copied.
        let (project_id, id): (Uuid, Uuid) = sqlx::query_as(AssertSqlSafe(last.as_str()))
            .fetch_optional(pool)
            .await?
            .unwrap_or_default();
        let copied = sqlx::query(AssertSqlSafe(copy.as_str()))
            .bind(project_id)
            .bind(id)
            .bind(BATCH)
            .execute(pool)
            .await?;
        if copied.rows_affected() == 0 {
            break;
        }
    }
    let swapped = exclusively(pool, &PartitionChange::Swap { full, bare, from, to }).await?;
    Ok(swapped.unwrap_or(0))
}

/// The columns of a table, by name; none when there is no such table.
async fn columns(pool: &PgPool, table: &str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT quote_ident(attname) FROM pg_attribute
         WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attname",
    )
    .bind(table)
    .fetch_all(pool)
    .await?)
}

/// What needs the history for itself.
enum PartitionChange {
    /// These statements.
    Run(Vec<String>),
    /// Puts `bare` in the place of `full`.
    Swap {
        full: String,
        bare: String,
        from: Uuid,
        to: Uuid,
    },
}

impl PartitionChange {
    /// Answers how many rows were replaced.
    async fn make(&self, connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let (rows, statements) = match self {
            Self::Run(statements) => (0, statements.clone()),
            Self::Swap { full, bare, from, to } => {
                // Counting a large day takes a while; only writers to that day would wait, and there are none.
                sqlx::query("SET LOCAL statement_timeout = '10min'")
                    .execute(&mut *connection)
                    .await?;
                sqlx::query(AssertSqlSafe(format!("LOCK TABLE {full} IN SHARE MODE")))
                    .execute(&mut *connection)
                    .await?;
                let (of_full, of_bare): (i64, i64) = sqlx::query_as(AssertSqlSafe(format!(
                    "SELECT (SELECT count(*) FROM {full}), (SELECT count(*) FROM {bare})"
                )))
                .fetch_one(&mut *connection)
                .await?;
                if of_full == of_bare {
                    let range = format!("FOR VALUES FROM ('{from}') TO ('{to}')");
                    let statements = vec![
                        format!("ALTER TABLE operations DETACH PARTITION {full}"),
                        format!("ALTER TABLE operations ATTACH PARTITION {bare} {range}"),
                        format!("DROP TABLE {full}"),
                    ];
                    (of_full, statements)
                } else {
                    // A row arrived late, behind the copy: the next run begins anew.
                    (0, vec![format!("DROP TABLE {bare}")])
                }
            }
        };
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut *connection)
                .await?;
        }
        Ok(rows.unsigned_abs())
    }
}

/// Makes a change in a transaction that waits only shortly for its locks, a few times over. Nothing when they were not to
/// be had.
async fn exclusively(pool: &PgPool, change: &PartitionChange) -> Result<Option<u64>> {
    for attempt in 1..=LOCK_TRIES {
        let mut transaction = pool.begin().await?;
        sqlx::query("SET LOCAL lock_timeout = '500ms'")
            .execute(&mut *transaction)
            .await?;
        match change.make(&mut transaction).await {
            Ok(rows) => {
                crate::store::commit(transaction).await?;
                return Ok(Some(rows));
            }
            // 55P03: the lock was not to be had; 40P01: somebody else wanted ours.
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("55P03" | "40P01")) =>
            {
                transaction.rollback().await?;
                tracing::debug!(attempt, "the history is in use; trying again");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    tracing::warn!("the history was in use all the time: it is tidied up by the next run");
    Ok(None)
}

/// Repeats a statement with a limit until nothing is left to do.
async fn in_batches(pool: &PgPool, statement: &'static str, before: Time) -> Result<u64> {
    let mut total = 0;
    loop {
        let rows = sqlx::query(statement)
            .bind(before)
            .bind(BATCH)
            .execute(pool)
            .await?
            .rows_affected();
        total += rows;
        if rows == 0 {
            return Ok(total);
        }
    }
}
