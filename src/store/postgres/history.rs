//! Partitions of the history, one per day, made ahead.

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::clock::Time;
use crate::store::{Result, first_id_of};

/// So many days are made ahead; the default partition catches what is still beyond.
const DAYS_AHEAD: i64 = 3;
pub(super) const DAY_MICROS: i64 = 86_400_000_000;
/// The tables of the history, in the order in which readers lock them.
pub(super) const TABLES: [&str; 3] = ["operations", "operation_results", "attempts"];
/// One number for all nodes: only one of them makes partitions at a time.
const ADVISORY_LOCK: i64 = 0x616d_702d_6869_7374;

/// The ids of a day: from the first, to before the second.
pub(super) fn bounds_of(day: i64) -> (Uuid, Uuid) {
    (
        first_id_of(Time::from_micros(day * DAY_MICROS)),
        first_id_of(Time::from_micros((day + 1) * DAY_MICROS)),
    )
}

/// A day in the name of a partition: `20260131`.
pub(super) fn name_of(day: i64) -> String {
    let time = Time::from_micros(day * DAY_MICROS).to_string();
    time.chars().take(10).filter(|c| *c != '-').collect()
}

/// Makes the partitions from today on. A day whose rows already lie in the default partition is left there.
pub(super) async fn prepare(pool: &PgPool, now: Time) -> Result<()> {
    let today = now.as_micros().div_euclid(DAY_MICROS);
    for day in today..=today + DAYS_AHEAD {
        let (from, to) = bounds_of(day);
        let name = name_of(day);
        for table in TABLES {
            let mut transaction = pool.begin().await?;
            // Making a partition locks the table for a moment: it must not queue up everybody behind a long reader.
            sqlx::query("SET LOCAL lock_timeout = '1s'")
                .execute(&mut *transaction)
                .await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(ADVISORY_LOCK)
                .execute(&mut *transaction)
                .await?;
            let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(format!("{table}_{name}"))
                .fetch_one(&mut *transaction)
                .await?;
            if exists {
                continue;
            }
            // Names and bounds are made here from digits; nothing of a request is in them.
            let made = sqlx::query(AssertSqlSafe(format!(
                "CREATE TABLE {table}_{name} PARTITION OF {table} FOR VALUES FROM ('{}') TO ('{}')",
                from, to
            )))
            .execute(&mut *transaction)
            .await;
            match made {
                Ok(_) => crate::store::commit(transaction).await?,
                // 23514: the default partition holds rows of that day; they stay where they are.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("23514") => {
                    tracing::warn!(
                        table,
                        day = name,
                        "the history of this day stays in the default partition"
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
