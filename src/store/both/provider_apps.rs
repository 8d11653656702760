//! Provider apps.

use async_trait::async_trait;
use uuid::Uuid;

use super::ThisStore;
use super::changes::note_changes;
use super::connections::release_authorization_hold;
use crate::store::{
    Change, ChangeKind, ConnectionStatus, NewProviderApp, ProviderApp, ProviderAppChange, ProviderAppStore,
    Result, StoreError,
};

#[async_trait]
impl ProviderAppStore for ThisStore {
    async fn create_provider_app(&self, project_id: Uuid, app: &NewProviderApp) -> Result<ProviderApp> {
        let mut transaction = self.begin().await?;
        let made = sqlx::query_as(
            sql!("INSERT INTO provider_apps (id, project_id, provider, external_ref, client_id, secrets, scopes,
                 optional_scopes, metadata, create_time)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, " now!() ") RETURNING *"),
        )
        .bind(app.id)
        .bind(project_id)
        .bind(&app.provider)
        .bind(&app.external_ref)
        .bind(&app.client_id)
        .bind(&app.secrets)
        .bind(&app.scopes)
        .bind(&app.optional_scopes)
        .bind(&app.metadata)
        .fetch_one(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(made)
    }

    async fn list_provider_apps(&self, project_id: Uuid, provider: Option<&str>) -> Result<Vec<ProviderApp>> {
        Ok(sqlx::query_as(
            "SELECT * FROM provider_apps WHERE project_id = $1 AND ($2 IS NULL OR provider = $2) ORDER BY id",
        )
        .bind(project_id)
        .bind(provider)
        .fetch_all(self.readers())
        .await?)
    }

    async fn get_provider_app(&self, project_id: Uuid, app_id: Uuid) -> Result<Option<ProviderApp>> {
        Ok(
            sqlx::query_as("SELECT * FROM provider_apps WHERE project_id = $1 AND id = $2")
                .bind(project_id)
                .bind(app_id)
                .fetch_optional(self.readers())
                .await?,
        )
    }

    async fn update_provider_app(
        &self,
        project_id: Uuid,
        app_id: Uuid,
        change: &ProviderAppChange,
    ) -> Result<Option<(ProviderApp, Vec<Uuid>)>> {
        let mended = change.client_id.is_some() || change.secrets.is_some();
        let mut transaction = self.begin().await?;
        let changed: Option<ProviderApp> = sqlx::query_as(sql!("UPDATE provider_apps SET
                 external_ref = CASE WHEN $3 = '' THEN NULL ELSE COALESCE($3, external_ref) END,
                 client_id = COALESCE($4, client_id), secrets = COALESCE($5, secrets), scopes = COALESCE($6, scopes),
                 optional_scopes = COALESCE($7, optional_scopes), metadata = COALESCE($8, metadata),
                 fault = CASE WHEN $9 THEN NULL ELSE fault END, fault_time = CASE WHEN $9 THEN NULL ELSE fault_time END,
                 update_time = " now!() "
             WHERE project_id = $1 AND id = $2 RETURNING *"))
        .bind(project_id)
        .bind(app_id)
        .bind(&change.external_ref)
        .bind(&change.client_id)
        .bind(&change.secrets)
        .bind(&change.scopes)
        .bind(&change.optional_scopes)
        .bind(&change.metadata)
        .bind(mended)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(changed) = changed else { return Ok(None) };
        let mut go_on: Vec<Uuid> = Vec::new();
        if mended {
            // They have failed with the old ones: all are tried at their next use, and what waits for them goes on.
            go_on = sqlx::query_scalar(
                sql!("UPDATE grants SET retry_time = NULL, failures = 0
                 WHERE project_id = $1 AND provider_app_id = $2 AND retry_time IS NOT NULL RETURNING connection_id"),
            )
            .bind(project_id)
            .bind(app_id)
            .fetch_all(&mut *transaction)
            .await?;
        }
        let mut touched = Vec::new();
        for connection_id in &go_on {
            let dead: bool =
                sqlx::query_scalar("SELECT status = $3 FROM connections WHERE project_id = $1 AND id = $2")
                    .bind(project_id)
                    .bind(connection_id)
                    .bind(ConnectionStatus::BadCredentials.as_str())
                    .fetch_one(&mut *transaction)
                    .await?;
            if !dead {
                release_authorization_hold(&mut transaction, project_id, *connection_id).await?;
            }
            touched.push(Change::of(project_id, ChangeKind::Connection, *connection_id));
        }
        note_changes(&mut transaction, &touched).await?;
        crate::store::commit(transaction).await?;
        Ok(Some((changed, go_on)))
    }

    async fn delete_provider_app(&self, project_id: Uuid, app_id: Uuid) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let used: i64 =
            sqlx::query_scalar("SELECT count(*) FROM grants WHERE project_id = $1 AND provider_app_id = $2")
                .bind(project_id)
                .bind(app_id)
                .fetch_one(&mut *transaction)
                .await?;
        if used > 0 {
            return Err(StoreError::Conflict(format!(
                "{used} connections have their grants from this app, and could not be refreshed without it"
            )));
        }
        let gone = sqlx::query("DELETE FROM provider_apps WHERE project_id = $1 AND id = $2")
            .bind(project_id)
            .bind(app_id)
            .execute(&mut *transaction)
            .await?;
        crate::store::commit(transaction).await?;
        Ok(gone.rows_affected() > 0)
    }

    async fn set_provider_app_fault(
        &self,
        project_id: Uuid,
        app_id: Uuid,
        fault: Option<&str>,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            sql!("UPDATE provider_apps SET fault = $3, fault_time = CASE WHEN $3 IS NULL THEN NULL ELSE " now!() " END
             WHERE project_id = $1 AND id = $2 AND (fault IS NOT NULL OR $3 IS NOT NULL)"),
        )
        .bind(project_id)
        .bind(app_id)
        .bind(fault)
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await
    }
}
