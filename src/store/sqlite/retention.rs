//! What leaves by age, in short transactions: between two of them everybody else has their turn. The space is used again;
//! the file does not shrink.

use async_trait::async_trait;
use uuid::Uuid;

use super::SqliteStore;
use crate::clock::Time;
use crate::store::time::before;
use crate::store::{Expired, Result, Retention, RetentionStore, first_id_of};

/// Operations looked at in one transaction.
const BATCH: i64 = 500;

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn expire_history(&self, retention: Retention) -> Result<Expired> {
        let now: Time = sqlx::query_scalar(sql!("SELECT " now!()))
            .fetch_one(&self.readers)
            .await?;
        let history = before(now, retention.history);
        let payloads = first_id_of(before(now, retention.payloads.min(retention.history)));
        self.expire_holds(payloads).await?;
        let projects: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM projects")
            .fetch_all(&self.readers)
            .await?;
        let mut expired = Expired::default();
        for project_id in projects {
            expired.operations += self.expire_operations(project_id, first_id_of(history)).await?;
            expired.payloads += self.expire_payloads(project_id, payloads).await?;
        }
        expired.definitions = self.expire_definitions(history).await?;
        Ok(expired)
    }
}

impl SqliteStore {
    /// The last id of the next batch after `from`, before `to`.
    async fn batch_end(&self, project_id: Uuid, from: Uuid, to: Uuid) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar(
            "SELECT max(id) FROM (SELECT id FROM operations WHERE project_id = $1 AND id > $2 AND id < $3
                                  ORDER BY id LIMIT $4)",
        )
        .bind(project_id)
        .bind(from)
        .bind(to)
        .bind(BATCH)
        .fetch_one(&self.readers)
        .await?)
    }

    async fn expire_operations(&self, project_id: Uuid, before: Uuid) -> Result<u64> {
        let (mut from, mut total) = (Uuid::nil(), 0);
        while let Some(end) = self.batch_end(project_id, from, before).await? {
            let started = std::time::Instant::now();
            let mut transaction = self.begin().await?;
            // What has no result is still queued, and stays.
            let gone = sqlx::query(
                "DELETE FROM operations AS o WHERE o.project_id = $1 AND o.id > $2 AND o.id <= $3
                   AND EXISTS (SELECT 1 FROM operation_results r
                               WHERE r.project_id = o.project_id AND r.operation_id = o.id)
                   AND NOT EXISTS (SELECT 1 FROM record_holds h WHERE h.project_id = o.project_id AND h.operation_id = o.id)",
            )
            .bind(project_id)
            .bind(from)
            .bind(end)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            for statement in [
                "DELETE FROM operation_results AS r WHERE r.project_id = $1 AND r.operation_id > $2 AND r.operation_id <= $3
                   AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.project_id = r.project_id AND o.id = r.operation_id)",
                "DELETE FROM attempts AS a WHERE a.project_id = $1 AND a.operation_id > $2 AND a.operation_id <= $3
                   AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.project_id = a.project_id AND o.id = a.operation_id)",
            ] {
                sqlx::query(statement)
                    .bind(project_id)
                    .bind(from)
                    .bind(end)
                    .execute(&mut *transaction)
                    .await?;
            }
            crate::store::commit(transaction).await?;
            total += gone;
            from = end;
            // As long as it took, others have the writer for themselves.
            tokio::time::sleep(started.elapsed()).await;
        }
        Ok(total)
    }

    async fn expire_payloads(&self, project_id: Uuid, before: Uuid) -> Result<u64> {
        let marked: Option<Uuid> =
            sqlx::query_scalar("SELECT up_to FROM payload_marks WHERE project_id = $1")
                .bind(project_id)
                .fetch_optional(&self.readers)
                .await?;
        let (mut from, mut total) = (marked.unwrap_or(Uuid::nil()), 0);
        // The mark stops before the first operation that is still queued: its payload is looked at again.
        let mut passed_live_work = false;
        while let Some(end) = self.batch_end(project_id, from, before).await? {
            let started = std::time::Instant::now();
            let mut transaction = self.begin().await?;
            let stripped = sqlx::query(
                "UPDATE operations AS o SET request = '' WHERE o.project_id = $1 AND o.id > $2 AND o.id <= $3
                   AND o.request <> ''
                   AND EXISTS (SELECT 1 FROM operation_results r
                               WHERE r.project_id = o.project_id AND r.operation_id = o.id)
                   AND NOT EXISTS (SELECT 1 FROM record_holds h WHERE h.project_id = o.project_id AND h.operation_id = o.id)",
            )
            .bind(project_id)
            .bind(from)
            .bind(end)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            passed_live_work = passed_live_work
                || sqlx::query_scalar(
                    "SELECT EXISTS (SELECT 1 FROM operations WHERE project_id = $1 AND id > $2 AND id <= $3 AND request <> '')",
                )
                .bind(project_id)
                .bind(from)
                .bind(end)
                .fetch_one(&mut *transaction)
                .await?;
            if !passed_live_work {
                sqlx::query(
                    "INSERT INTO payload_marks (project_id, up_to) VALUES ($1, $2)
                     ON CONFLICT (project_id) DO UPDATE SET up_to = excluded.up_to",
                )
                .bind(project_id)
                .bind(end)
                .execute(&mut *transaction)
                .await?;
            }
            crate::store::commit(transaction).await?;
            total += stripped;
            from = end;
            tokio::time::sleep(started.elapsed()).await;
        }
        Ok(total)
    }
}
