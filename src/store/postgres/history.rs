//! Partitions of the history, one per day, made ahead.

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::clock::Time;
use crate::store::Result;

/// So many days are made ahead; the default partition catches what is still beyond.
const DAYS_AHEAD: i64 = 3;
const DAY_MICROS: i64 = 86_400_000_000;
/// One number for all nodes: only one of them makes partitions at a time.
const ADVISORY_LOCK: i64 = 0x616d_702d_6869_7374;

/// The smallest UUIDv7 of a moment.
fn first_id_of(time: Time) -> Uuid {
    let millis = time.as_micros().max(0).unsigned_abs() / 1_000;
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// Makes the partitions from today on. A day whose rows already lie in the default partition is left there.
pub(super) async fn prepare(pool: &PgPool, now: Time) -> Result<()> {
    let today = now.as_micros().div_euclid(DAY_MICROS);
    for day in today..=today + DAYS_AHEAD {
        let (from, to) = (
            Time::from_micros(day * DAY_MICROS),
            Time::from_micros((day + 1) * DAY_MICROS),
        );
        let name: String = from.to_string().chars().take(10).filter(|c| *c != '-').collect();
        for table in ["operations", "operation_results", "attempts"] {
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
                first_id_of(from),
                first_id_of(to)
            )))
            .execute(&mut *transaction)
            .await;
            match made {
                Ok(_) => transaction.commit().await?,
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
