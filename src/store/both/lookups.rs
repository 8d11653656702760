//! Operations, looked up: by id, by idempotency key, in pages.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::gather::REST;
use super::operations::among;
use super::{Db, ThisStore};
use crate::clock::Time;
use crate::store::time::{before, micros};
use crate::store::{
    Attempt, IdempotencyUse, KEY_LIFE, LookupStore, Operation, OperationFilter, OperationPage, Result,
    StateFilter, first_id_of,
};

/// So many operations are looked at for one page of a list whose filter no index serves.
const SCAN: i64 = 20_000;
/// How far the clocks of nodes may differ from the store's: ids carry the time of the one, rows that of the other.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// An id that none of an operation accepted since then is below.
fn first_id_near(time: Time) -> Uuid {
    first_id_of(before(time, CLOCKS_DIFFER))
}

/// The columns of an operation, and what follows.
macro_rules! select {
    ($($rest:tt)*) => {
        concat!(
            "SELECT o.id, o.project_id, o.integration_id, o.installation_id, o.config_id, o.revision_id, o.connection_id, o.object, o.action,
                        o.mode, o.client_ref, o.replay_of, o.accept_time, o.deadline, r.state, r.summary, r.record_id, r.errors, r.attempts, r.finish_time, r.records,
                 COALESCE(r.state <> 'succeeded' AND EXISTS (SELECT 1 FROM record_holds h
                           WHERE h.project_id = o.project_id AND h.operation_id = o.id), false) AS holds_record
                 FROM operations o
                 LEFT JOIN operation_results r ON r.project_id = o.project_id AND r.operation_id = o.id ",
            sql!($($rest)*)
        )
    };
}

pub(super) use select;

#[async_trait]
impl LookupStore for ThisStore {
    async fn find_idempotency_key(&self, project_id: Uuid, key: &str) -> Result<Option<IdempotencyUse>> {
        Ok(sqlx::query_as(
            sql!("SELECT k.fingerprint, k.operation_id, k.batch_index, COALESCE(o.mode, 'asynchronous') AS mode, a.released, a.answer, r.state, r.record_id, r.errors, r.records
             FROM idempotency_keys k
             -- A short retention may have removed the operation before its key.
             LEFT JOIN operations o ON o.project_id = k.project_id AND o.id = k.operation_id
             LEFT JOIN operation_results r ON r.project_id = k.project_id AND r.operation_id = k.operation_id
             LEFT JOIN idempotency_answers a ON a.project_id = k.project_id AND a.operation_id = k.operation_id
             WHERE k.project_id = $1 AND k.key = $2 AND k.create_time >= " now!() " - " micros!("$3")),
        )
        .bind(project_id)
        .bind(key)
        .bind(micros(KEY_LIFE))
        .fetch_optional(self.readers())
        .await?)
    }

    async fn forget_idempotency_keys(&self, limit: i64) -> Result<u64> {
        let keys = sqlx::query(sql!("DELETE FROM idempotency_keys WHERE (project_id, key) IN (
                 SELECT project_id, key FROM idempotency_keys WHERE create_time < " now!() " - " micros!("$1") "
                 ORDER BY create_time LIMIT $2" lock!(" FOR UPDATE SKIP LOCKED") ")"))
        .bind(micros(KEY_LIFE))
        .bind(limit)
        .execute(self.writer())
        .await?;
        let answers = sqlx::query(
            sql!("DELETE FROM idempotency_answers WHERE (project_id, operation_id) IN (
                 SELECT project_id, operation_id FROM idempotency_answers
                 WHERE create_time < " now!() " - " micros!("$1") " ORDER BY create_time LIMIT $2)"),
        )
        .bind(micros(KEY_LIFE))
        .bind(limit)
        .execute(self.writer())
        .await?;
        Ok(keys.rows_affected() + answers.rows_affected())
    }

    async fn get_operation(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Operation>> {
        Ok(sqlx::query_as(select!("WHERE o.project_id = $1 AND o.id = $2"))
            .bind(project_id)
            .bind(operation_id)
            .fetch_optional(self.readers())
            .await?)
    }

    async fn get_request(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM auto_batches a WHERE a.project_id = o.project_id AND a.operation_id = o.id)
                    THEN '{\"batch\":[' || COALESCE((SELECT string_agg(i.item, ',' ORDER BY i.position) FROM batch_items i
                                                   WHERE i.project_id = o.project_id AND i.operation_id = o.id), '')
                         || ']' || substr(o.request, $3)
                    ELSE o.request END
             FROM operations o WHERE o.project_id = $1 AND o.id = $2 AND o.request <> ''",
        )
        .bind(project_id)
        .bind(operation_id)
        .bind(REST)
        .fetch_optional(self.readers())
        .await?)
    }

    async fn list_attempts(&self, project_id: Uuid, operation_id: Uuid) -> Result<Vec<Attempt>> {
        Ok(sqlx::query_as(
            "SELECT * FROM attempts WHERE project_id = $1 AND operation_id = $2 ORDER BY id, state DESC",
        )
        .bind(project_id)
        .bind(operation_id)
        .fetch_all(self.readers())
        .await?)
    }

    async fn list_operations(&self, project_id: Uuid, filter: &OperationFilter) -> Result<OperationPage> {
        let scanned = match filter.needs_scan() {
            false => None,
            // So far back this page looks.
            true => sqlx::query_scalar(
                "SELECT id FROM operations WHERE project_id = $1 AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT 1 OFFSET $3",
            )
            .bind(project_id)
            .bind(filter.before)
            .bind(SCAN)
            .fetch_optional(self.readers())
            .await?,
        };
        let mut query = list_query(project_id, filter, scanned);
        let mut rows: Vec<Operation> = query.build_query_as().fetch_all(self.readers()).await?;
        let next = if rows.len() > filter.limit {
            rows.truncate(filter.limit);
            rows.last().map(|row| row.id)
        } else {
            scanned
        };
        Ok(OperationPage { rows, next })
    }
}

/// One more than asked tells whether there is another page.
fn list_query(project_id: Uuid, filter: &OperationFilter, scanned: Option<Uuid>) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new(select!(""));
    if filter.state == Some(StateFilter::InProgress) {
        query.push("JOIN queue_items q ON q.project_id = o.project_id AND q.operation_id = o.id ");
    }
    query.push("WHERE o.project_id = ").push_bind(project_id);
    if let Some(installations) = &filter.installations {
        query.push(" AND o.installation_id ");
        among(&mut query, installations);
    }
    if let Some(integration) = filter.integration {
        query.push(" AND o.integration_id = ").push_bind(integration);
    }
    if let Some(object) = &filter.object {
        query.push(" AND o.object = ").push_bind(object.clone());
    }
    if let Some(client_ref) = &filter.client_ref {
        query.push(" AND o.client_ref = ").push_bind(client_ref.clone());
    }
    match &filter.state {
        Some(StateFilter::InProgress) => {
            query
                .push(" AND r.operation_id IS NULL AND q.project_id = ")
                .push_bind(project_id);
        }
        Some(StateFilter::Succeeded) => {
            query.push(" AND r.state = 'succeeded'");
        }
        Some(StateFilter::Ended(states)) => {
            // The second condition names the partial index.
            query
                .push(" AND r.state <> 'succeeded' AND r.project_id = ")
                .push_bind(project_id)
                .push(" AND r.state IN (");
            let mut list = query.separated(", ");
            for state in states {
                list.push_bind(state.as_str());
            }
            query.push(")");
        }
        None => {}
    }
    if let Some(since) = filter.since {
        query
            .push(" AND o.accept_time >= ")
            .push_bind(since)
            .push(" AND o.id >= ")
            .push_bind(first_id_near(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND o.accept_time < ").push_bind(until);
    }
    if filter.not_replayed {
        query.push(
            " AND NOT EXISTS (SELECT 1 FROM operations n WHERE n.project_id = o.project_id AND n.replay_of = o.id)",
        );
    }
    if filter.holds_record {
        query
            .push(" AND o.id IN (SELECT h.operation_id FROM record_holds h WHERE h.project_id = ")
            .push_bind(project_id)
            .push(")");
    }
    if let Some(before) = filter.before {
        query.push(" AND o.id < ").push_bind(before);
    }
    if let Some(scanned) = scanned {
        query.push(" AND o.id >= ").push_bind(scanned);
    }
    query
        .push(" ORDER BY o.id DESC LIMIT ")
        .push_bind(i64::try_from(filter.limit + 1).unwrap_or(i64::MAX));
    query
}
