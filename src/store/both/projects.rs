//! Projects and API keys.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::changes::note_changes;
use super::{DbConnection, ThisStore};
use crate::store::{
    ApiKey, ApiKeyChange, Change, ChangeKind, KeyRef, KeyScopes, KeyUse, NewApiKey, NewProject, Project,
    ProjectStore, Result, StoreError,
};

async fn insert_key(connection: &mut DbConnection, project_id: Uuid, key: &NewApiKey) -> Result<ApiKey> {
    Ok(sqlx::query_as(
        sql!("INSERT INTO api_keys (id, project_id, key_hash, masked, label, scopes, active, create_time, expire_time)
         VALUES ($1, $2, $3, $4, $5, $6, TRUE, " now!() ", $7) RETURNING *"),
    )
    .bind(key.id)
    .bind(project_id)
    .bind(&key.key_hash)
    .bind(&key.masked)
    .bind(&key.label)
    .bind(key.scopes.to_string())
    .bind(key.expire_time)
    .fetch_one(connection)
    .await?)
}

/// A key reference as two parameters, of which one is NULL.
const fn parts(key: KeyRef<'_>) -> (Option<Uuid>, Option<&[u8]>) {
    match key {
        KeyRef::Id(id) => (Some(id), None),
        KeyRef::Hash(hash) => (None, Some(hash)),
    }
}

#[async_trait]
impl ProjectStore for ThisStore {
    async fn create_project(&self, project: &NewProject, key: &NewApiKey) -> Result<Project> {
        let mut transaction = self.begin().await?;
        let made: Option<Project> = sqlx::query_as(
            sql!("INSERT INTO projects (id, name, name_key, app_name, org_id, create_time)
             VALUES ($1, $2, $5, $3, $4, " now!() ") ON CONFLICT DO NOTHING RETURNING *"),
        )
        .bind(project.id)
        .bind(&project.name)
        .bind(&project.app_name)
        .bind(project.org_id)
        .bind(project.name.to_lowercase())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(made) = made else {
            return Err(StoreError::Conflict(format!(
                "a project named `{}` exists already",
                project.name
            )));
        };
        insert_key(&mut transaction, made.id, key).await?;
        crate::store::commit(transaction).await?;
        Ok(made)
    }

    async fn list_projects(&self) -> Result<Vec<Project>> {
        Ok(sqlx::query_as("SELECT * FROM projects ORDER BY name_key")
            .fetch_all(self.readers())
            .await?)
    }

    async fn find_project(&self, id_or_name: &str) -> Result<Option<Project>> {
        let id = Uuid::try_parse(id_or_name).ok();
        Ok(
            sqlx::query_as("SELECT * FROM projects WHERE id = $1 OR name_key = $2")
                .bind(id)
                .bind(id_or_name.to_lowercase())
                .fetch_optional(self.readers())
                .await?,
        )
    }

    async fn find_key(&self, key_hash: &[u8]) -> Result<Option<(ApiKey, Project)>> {
        let key: Option<ApiKey> = sqlx::query_as("SELECT * FROM api_keys WHERE key_hash = $1 AND active")
            .bind(key_hash)
            .fetch_optional(self.readers())
            .await?;
        let Some(key) = key else { return Ok(None) };
        let project: Option<Project> = sqlx::query_as("SELECT * FROM projects WHERE id = $1")
            .bind(key.project_id)
            .fetch_optional(self.readers())
            .await?;
        Ok(project.map(|project| (key, project)))
    }

    async fn create_api_key(&self, project_id: Uuid, key: &NewApiKey) -> Result<ApiKey> {
        let mut transaction = self.begin().await?;
        let made = insert_key(&mut transaction, project_id, key).await?;
        crate::store::commit(transaction).await?;
        Ok(made)
    }

    async fn list_api_keys(&self, project_id: Uuid, only_active: bool) -> Result<Vec<ApiKey>> {
        Ok(
            sqlx::query_as("SELECT * FROM api_keys WHERE project_id = $1 AND (active OR NOT $2) ORDER BY id")
                .bind(project_id)
                .bind(only_active)
                .fetch_all(self.readers())
                .await?,
        )
    }

    async fn get_api_key(&self, project_id: Uuid, key: KeyRef<'_>) -> Result<Option<ApiKey>> {
        let (id, hash) = parts(key);
        Ok(
            sqlx::query_as("SELECT * FROM api_keys WHERE project_id = $1 AND (id = $2 OR key_hash = $3)")
                .bind(project_id)
                .bind(id)
                .bind(hash)
                .fetch_optional(self.readers())
                .await?,
        )
    }

    async fn update_api_key(
        &self,
        project_id: Uuid,
        key: KeyRef<'_>,
        change: &ApiKeyChange,
    ) -> Result<Option<ApiKey>> {
        let (id, hash) = parts(key);
        let mut transaction = self.begin().await?;
        let changed: Option<ApiKey> = sqlx::query_as(
            "UPDATE api_keys SET label = COALESCE($4, label), scopes = COALESCE($5, scopes), active = COALESCE($6, active),
             expire_time = COALESCE($7, expire_time) WHERE project_id = $1 AND (id = $2 OR key_hash = $3) RETURNING *",
        )
        .bind(project_id)
        .bind(id)
        .bind(hash)
        .bind(&change.label)
        .bind(change.scopes.as_ref().map(KeyScopes::to_string))
        .bind(change.active)
        .bind(change.expire_time)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(key) = &changed {
            let touched = Change::of(project_id, ChangeKind::ApiKey, key.id);
            note_changes(&mut transaction, &[touched]).await?;
        }
        crate::store::commit(transaction).await?;
        Ok(changed)
    }

    async fn delete_api_key(&self, project_id: Uuid, key: KeyRef<'_>) -> Result<bool> {
        let (id, hash) = parts(key);
        let mut transaction = self.begin().await?;
        let gone: Option<Uuid> = sqlx::query_scalar(
            "DELETE FROM api_keys WHERE project_id = $1 AND (id = $2 OR key_hash = $3) RETURNING id",
        )
        .bind(project_id)
        .bind(id)
        .bind(hash)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(key) = gone {
            let touched = Change::of(project_id, ChangeKind::ApiKey, key);
            note_changes(&mut transaction, &[touched]).await?;
        }
        crate::store::commit(transaction).await?;
        Ok(gone.is_some())
    }

    async fn note_api_keys_used(&self, uses: &[KeyUse], apart: Duration) -> Result<()> {
        // In one order, so that nodes which note the same keys do not wait for each other in a ring.
        let mut uses = uses.to_vec();
        uses.sort_unstable();
        let mut transaction = self.begin().await?;
        for used in uses {
            sqlx::query(
                "UPDATE api_keys SET last_used_time = $3 WHERE project_id = $1 AND id = $2
                 AND (last_used_time IS NULL OR last_used_time < $4)",
            )
            .bind(used.project_id)
            .bind(used.key_id)
            .bind(used.time)
            .bind(used.time.before(apart))
            .execute(&mut *transaction)
            .await?;
        }
        crate::store::commit(transaction).await
    }
}
