//! Customers who are being asked to connect.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::ThisStore;
use crate::store::time::micros;
use crate::store::{Flow, FlowStore, NewFlow, OpenedFlow, Result};

/// The columns of a flow.
macro_rules! flow {
    () => {
        sql!("id, project_id, provider_app_id, connection_id, cookie_hash, verifier, request,
              expire_time <= " now!() " AS expired, end_time, " now!() " AS store_now")
    };
}

#[async_trait]
impl FlowStore for ThisStore {
    async fn create_flow(&self, flow: &NewFlow, life: Duration) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            sql!("INSERT INTO oauth_flows (id, project_id, provider_app_id, connection_id, link_hash, request,
                 expire_time, create_time)
             VALUES ($1, $2, $3, $4, $5, $6, " now!() " + " micros!("$7") ", " now!() ")"),
        )
        .bind(flow.id)
        .bind(flow.project_id)
        .bind(flow.provider_app_id)
        .bind(flow.connection_id)
        .bind(&flow.link_hash)
        .bind(&flow.request)
        .bind(micros(life))
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await
    }

    async fn find_flow(&self, link_hash: &[u8]) -> Result<Option<Flow>> {
        Ok(
            sqlx::query_as(sql!("SELECT " flow!() " FROM oauth_flows WHERE link_hash = $1"))
                .bind(link_hash)
                .fetch_optional(self.readers())
                .await?,
        )
    }

    async fn open_flow(&self, flow_id: Uuid, opened: &OpenedFlow) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let set_out = sqlx::query(
            sql!("UPDATE oauth_flows SET state_hash = $2, cookie_hash = $3, verifier = $4
             WHERE id = $1 AND end_time IS NULL AND expire_time > " now!()),
        )
        .bind(flow_id)
        .bind(&opened.state_hash)
        .bind(&opened.cookie_hash)
        .bind(&opened.verifier)
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(set_out.rows_affected() > 0)
    }

    async fn find_flow_of_state(&self, state_hash: &[u8]) -> Result<Option<Flow>> {
        Ok(
            sqlx::query_as(sql!("SELECT " flow!() " FROM oauth_flows WHERE state_hash = $1"))
                .bind(state_hash)
                .fetch_optional(self.readers())
                .await?,
        )
    }

    async fn end_flow(&self, state_hash: &[u8], cookie_hash: &[u8]) -> Result<Option<Flow>> {
        let mut transaction = self.begin().await?;
        let ended: Option<Flow> = sqlx::query_as(sql!("UPDATE oauth_flows SET end_time = " now!() "
             WHERE state_hash = $1 AND cookie_hash = $2 AND end_time IS NULL AND expire_time > " now!() "
             RETURNING " flow!()))
        .bind(state_hash)
        .bind(cookie_hash)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(flow) = &ended {
            // It has served: nothing of it is kept longer than it has to be.
            sqlx::query("UPDATE oauth_flows SET verifier = NULL WHERE id = $1")
                .bind(flow.id)
                .execute(&mut *transaction)
                .await?;
        }
        crate::store::commit(transaction).await?;
        Ok(ended)
    }

    async fn forget_flows(&self, over_for: Duration) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(sql!("DELETE FROM oauth_flows WHERE expire_time < " now!() " - " micros!("$1")))
            .bind(micros(over_for))
            .execute(&mut *transaction)
            .await?;
        crate::store::commit(transaction).await
    }
}
