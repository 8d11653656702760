//! Following operations, and steering them.

use async_trait::async_trait;
use uuid::Uuid;

use super::ThisStore;
use super::gather::close;
use super::lookups::select;
use super::operations::{free_records, insert_results, which_ended};
use crate::clock::Time;
use crate::store::{
    Accepting, Cancellation, CancellationState, Cancelled, Live, Mode, NewResult, Operation, Result,
    SteeringStore, shard_of,
};

/// The hold of operation $2 of project $1 ends, with those of all that repeat it or that it repeats.
const END_HOLD: &str = "DELETE FROM record_holds WHERE (lane_id, record_key, seq) IN (
         SELECT f.lane_id, f.record_key, f.seq FROM record_holds f WHERE f.project_id = $1 AND f.operation_id = $2)";

/// The records of an item `i` that have a key and have not ended: that of a single write, or those of a batch.
macro_rules! own_records {
    () => {
        "(SELECT i.lane_id, i.seq, i.record_key WHERE i.record_key IS NOT NULL
          UNION ALL
          SELECT i.lane_id, i.seq, r.record_key FROM queue_records r
          WHERE r.project_id = i.project_id AND r.operation_id = i.operation_id)"
    };
}

/// All holds of a record end: the record of operation $2 of project $1, which holds it or waits.
const RELEASE_RECORD: &str = "DELETE FROM record_holds WHERE (lane_id, record_key) IN (
         SELECT f.lane_id, f.record_key FROM record_holds f WHERE f.project_id = $1 AND f.operation_id = $2
         UNION
         SELECT q.lane_id, q.record_key FROM queue_items q WHERE q.project_id = $1 AND q.operation_id = $2
         UNION
         SELECT r.lane_id, r.record_key FROM queue_records r WHERE r.project_id = $1 AND r.operation_id = $2)
     RETURNING lane_id";

#[async_trait]
impl SteeringStore for ThisStore {
    async fn get_live(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Live>> {
        Ok(sqlx::query_as(
            sql!("SELECT w.run_at, w.attempt, w.hold_reason, w.held_from, w.held_until, w.paused_until, w.pause_reason,
                    w.behind, CASE WHEN w.behind THEN w.held_by END AS held_by, w.gathering, " now!() " AS store_now
             FROM (SELECT i.run_at, i.attempt, l.hold_reason, l.held_from, l.held_until, l.paused_until, l.pause_reason,
                          -- While one of its records may go, it is not held up.
                          EXISTS (SELECT 1 FROM " own_records!() " AS q)
                          AND NOT EXISTS (SELECT 1 FROM " own_records!() " AS q
                                          WHERE NOT (" blocked!() " OR " straggles_until!() " IS NOT NULL)) AS behind,
                          -- Of several tries of one write the last.
                          (SELECT h.operation_id FROM " own_records!() " AS q JOIN record_holds h ON " earlier!("h") "
                           ORDER BY h.seq, h.operation_id DESC LIMIT 1) AS held_by,
                          EXISTS (SELECT 1 FROM auto_batches a
                                  WHERE a.project_id = i.project_id AND a.operation_id = i.operation_id) AS gathering
                   FROM queue_items i LEFT JOIN lanes l ON l.lane_id = i.lane_id
                   WHERE i.project_id = $1 AND i.operation_id = $2) AS w"),
        )
        .bind(project_id)
        .bind(operation_id)
        .fetch_optional(self.readers())
        .await?)
    }

    async fn which_ended(&self, operations: &[(Uuid, Uuid)]) -> Result<Vec<Uuid>> {
        which_ended(self.readers(), operations).await
    }

    async fn list_finished(
        &self,
        project_id: Uuid,
        after: (Time, Uuid),
        limit: i64,
    ) -> Result<Vec<Operation>> {
        // By the connection that writes: none of its own transactions is open meanwhile.
        Ok(sqlx::query_as(select!(
            "WHERE r.project_id = $1 AND (r.finish_time, r.operation_id) > ($2, $3)
               AND r.finish_time < " complete_until!() "
             ORDER BY r.finish_time, r.operation_id LIMIT $4"
        ))
        .bind(project_id)
        .bind(after.0)
        .bind(after.1)
        .bind(limit)
        .fetch_all(self.writer())
        .await?)
    }

    async fn store_now(&self) -> Result<Time> {
        Ok(sqlx::query_scalar(sql!("SELECT " now!()))
            .fetch_one(self.readers())
            .await?)
    }

    async fn get_accepting(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Accepting>> {
        Ok(sqlx::query_as(
            "SELECT o.request, i.group_ref FROM operations o
             LEFT JOIN installations i ON i.project_id = o.project_id AND i.id = o.installation_id
             WHERE o.project_id = $1 AND o.id = $2",
        )
        .bind(project_id)
        .bind(operation_id)
        .fetch_optional(self.readers())
        .await?)
    }

    async fn list_replays(&self, project_id: Uuid, operation_id: Uuid) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar(
            "SELECT id FROM operations WHERE project_id = $1 AND replay_of = $2 ORDER BY id",
        )
        .bind(project_id)
        .bind(operation_id)
        .fetch_all(self.readers())
        .await?)
    }

    async fn resolve(
        &self,
        project_id: Uuid,
        operation_id: Uuid,
        result: &NewResult,
        release: bool,
    ) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let resolved = sqlx::query(sql!("UPDATE operation_results
             SET state = $3, summary = $4, record_id = $5, errors = $6, records = $7, finish_time = " now!() "
             WHERE project_id = $1 AND operation_id = $2 AND state = 'needs_review'"))
        .bind(project_id)
        .bind(operation_id)
        .bind(result.state.as_str())
        .bind(&result.summary)
        .bind(&result.record_id)
        .bind(&result.errors)
        .bind(&result.records)
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            > 0;
        if resolved && release {
            sqlx::query(END_HOLD)
                .bind(project_id)
                .bind(operation_id)
                .execute(&mut *transaction)
                .await?;
        }
        crate::store::commit(transaction).await?;
        Ok(resolved)
    }

    async fn release_record(&self, project_id: Uuid, operation_id: Uuid) -> Result<Option<Uuid>> {
        let mut transaction = self.begin().await?;
        let released: Vec<Uuid> = sqlx::query_scalar(RELEASE_RECORD)
            .bind(project_id)
            .bind(operation_id)
            .fetch_all(&mut *transaction)
            .await?;
        crate::store::commit(transaction).await?;
        Ok(released.into_iter().next())
    }

    async fn ask_to_cancel(&self, project_id: Uuid, operation_id: Uuid, lane_id: Uuid) -> Result<()> {
        sqlx::query(
            sql!("INSERT INTO cancellations (project_id, operation_id, shard, lane_id, create_time) VALUES ($1, $2, $3, $4, " now!() ")
             ON CONFLICT (project_id, operation_id) DO UPDATE SET refusal = NULL, create_time = excluded.create_time"),
        )
        .bind(project_id)
        .bind(operation_id)
        .bind(shard_of(lane_id))
        .bind(lane_id)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    async fn cancellation(&self, project_id: Uuid, operation_id: Uuid) -> Result<CancellationState> {
        let found: Option<Option<String>> = sqlx::query_scalar(
            "SELECT refusal FROM cancellations WHERE project_id = $1 AND operation_id = $2",
        )
        .bind(project_id)
        .bind(operation_id)
        .fetch_optional(self.readers())
        .await?;
        Ok(match found {
            None => CancellationState::Gone,
            Some(None) => CancellationState::Asked,
            Some(Some(reason)) => CancellationState::Refused(reason),
        })
    }

    async fn withdraw_cancellation(&self, project_id: Uuid, operation_id: Uuid) -> Result<()> {
        sqlx::query("DELETE FROM cancellations WHERE project_id = $1 AND operation_id = $2")
            .bind(project_id)
            .bind(operation_id)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    async fn cancellations_for(&self, worker: Uuid) -> Result<Vec<Cancellation>> {
        Ok(sqlx::query_as(
            "SELECT c.lane_id, c.project_id, c.operation_id FROM cancellations c JOIN shards s ON s.id = c.shard
             WHERE s.owner = $1 AND c.refusal IS NULL ORDER BY c.create_time LIMIT 100",
        )
        .bind(worker)
        .fetch_all(self.readers())
        .await?)
    }

    async fn refuse_cancellation(&self, project_id: Uuid, operation_id: Uuid, reason: &str) -> Result<()> {
        sqlx::query("UPDATE cancellations SET refusal = $3 WHERE project_id = $1 AND operation_id = $2")
            .bind(project_id)
            .bind(operation_id)
            .bind(reason)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    async fn cancel(
        &self,
        worker: Uuid,
        project_id: Uuid,
        operation_id: Uuid,
        result: &NewResult,
    ) -> Result<Cancelled> {
        let mut transaction = self.begin().await?;
        // Nothing may be added to it any more, and what it has gathered is kept. Undone when it is not cancelled.
        close(&mut transaction, &[(project_id, operation_id)]).await?;
        // The request must still stand, the shard must be the worker's until the end of this, and the item must be there.
        let found: Option<(Mode, bool)> = sqlx::query_as(
            sql!("SELECT o.mode, EXISTS (
                 SELECT 1 FROM attempts s WHERE s.project_id = q.project_id AND s.operation_id = q.operation_id
                   AND (s.state = 'unanswered'
                        OR (s.state = 'answered' AND s.class IN ('success', 'partial', 'server', 'unknown', 'outcome_unknown'))
                        OR (s.state = 'sent' AND NOT EXISTS (
                            SELECT 1 FROM attempts a WHERE a.project_id = s.project_id AND a.operation_id = s.operation_id
                              AND a.id = s.id AND a.state <> 'sent'))))
             FROM cancellations c
             JOIN shards s ON s.id = c.shard AND s.owner = $3
             JOIN queue_items q ON q.project_id = c.project_id AND q.operation_id = c.operation_id
             JOIN operations o ON o.project_id = c.project_id AND o.id = c.operation_id
             WHERE c.project_id = $1 AND c.operation_id = $2" lock!(" FOR KEY SHARE OF s FOR UPDATE OF c, q")),
        )
        .bind(project_id)
        .bind(operation_id)
        .bind(worker)
        .fetch_optional(&mut *transaction)
        .await?;
        match found {
            None => return Ok(Cancelled::Gone),
            Some((Mode::Synchronous, _)) => return Ok(Cancelled::Synchronous),
            Some((_, true)) => return Ok(Cancelled::MaybeApplied),
            Some(_) => {}
        }
        sqlx::query("DELETE FROM queue_items WHERE project_id = $1 AND operation_id = $2")
            .bind(project_id)
            .bind(operation_id)
            .execute(&mut *transaction)
            .await?;
        free_records(&mut transaction, &[(project_id, operation_id)]).await?;
        insert_results(&mut transaction, &[(project_id, operation_id, result)]).await?;
        sqlx::query("DELETE FROM cancellations WHERE project_id = $1 AND operation_id = $2")
            .bind(project_id)
            .bind(operation_id)
            .execute(&mut *transaction)
            .await?;
        crate::store::commit(transaction).await?;
        Ok(Cancelled::Yes)
    }
}
