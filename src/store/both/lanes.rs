//! Shards and lanes.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::super::lanes;
use super::ThisStore;
use crate::store::time::micros;
use crate::store::{DueLane, LaneStore, Leases, PauseReason, Result};

/// Numbers as one parameter.
fn json_list(shards: &[i16]) -> String {
    serde_json::Value::from(shards).to_string()
}

#[async_trait]
impl LaneStore for ThisStore {
    async fn lease_shards(&self, worker: Uuid, lease: Duration, calls: Duration) -> Result<Leases> {
        lanes::lease(self, worker, micros(lease), micros(calls)).await
    }

    async fn release_shards(&self, worker: Uuid, shards: &[i16]) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            sql!("UPDATE shards SET owner = NULL, lease_until = NULL WHERE owner = $1 AND id IN (" json_numbers!("$2") ")"),
        )
        .bind(worker)
        .bind(json_list(shards))
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await
    }

    async fn abandon_shards(&self, worker: Uuid, shards: &[i16]) -> Result<()> {
        // Nobody's name and a lease that has run out: whoever takes it sees that it was not given back.
        let mut transaction = self.begin().await?;
        sqlx::query(
            sql!("UPDATE shards SET owner = $3, lease_until = " now!() " WHERE owner = $1 AND id IN (" json_numbers!("$2") ")"),
        )
        .bind(worker)
        .bind(json_list(shards))
        .bind(Uuid::nil())
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await
    }

    async fn retire_worker(&self, worker: Uuid) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE shards SET owner = NULL, lease_until = NULL WHERE owner = $1")
            .bind(worker)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM workers WHERE id = $1")
            .bind(worker)
            .execute(&mut *transaction)
            .await?;
        crate::store::commit(transaction).await
    }

    async fn due_lanes(&self, shards: &[i16]) -> Result<Vec<DueLane>> {
        lanes::due(self.readers(), shards).await
    }

    async fn pause_lane(
        &self,
        project_id: Uuid,
        lane_id: Uuid,
        pause: Duration,
        reason: PauseReason,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        // Of two pauses the longer one counts, and says why.
        sqlx::query(sql!("INSERT INTO lanes (lane_id, project_id, paused_until, pause_reason)
             VALUES ($1, $2, " now!() " + " micros!("$3") ", $4)
             ON CONFLICT (lane_id) DO UPDATE SET paused_until = excluded.paused_until, pause_reason = excluded.pause_reason
             WHERE lanes.paused_until IS NULL OR lanes.paused_until < excluded.paused_until"))
        .bind(lane_id)
        .bind(project_id)
        .bind(micros(pause))
        .bind(reason.as_str())
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await
    }
}
