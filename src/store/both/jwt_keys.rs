//! The public keys that JWTs are verified with.

use async_trait::async_trait;
use uuid::Uuid;

use super::ThisStore;
use super::changes::note_changes;
use crate::store::{Change, ChangeKind, JwtKey, JwtKeyChange, JwtKeyStore, NewJwtKey, Project, Result};

#[async_trait]
impl JwtKeyStore for ThisStore {
    async fn create_jwt_key(&self, project_id: Uuid, key: &NewJwtKey) -> Result<JwtKey> {
        let mut transaction = self.begin().await?;
        let made = sqlx::query_as(
            sql!("INSERT INTO jwt_keys (id, project_id, label, public_key_pem, active, create_time)
             VALUES ($1, $2, $3, $4, TRUE, " now!() ") RETURNING *"),
        )
        .bind(key.id)
        .bind(project_id)
        .bind(&key.label)
        .bind(&key.public_key_pem)
        .fetch_one(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(made)
    }

    async fn list_jwt_keys(&self, project_id: Uuid, only_active: bool) -> Result<Vec<JwtKey>> {
        Ok(
            sqlx::query_as("SELECT * FROM jwt_keys WHERE project_id = $1 AND (active OR NOT $2) ORDER BY id")
                .bind(project_id)
                .bind(only_active)
                .fetch_all(self.readers())
                .await?,
        )
    }

    async fn get_jwt_key(&self, project_id: Uuid, key_id: Uuid) -> Result<Option<JwtKey>> {
        Ok(
            sqlx::query_as("SELECT * FROM jwt_keys WHERE project_id = $1 AND id = $2")
                .bind(project_id)
                .bind(key_id)
                .fetch_optional(self.readers())
                .await?,
        )
    }

    async fn update_jwt_key(
        &self,
        project_id: Uuid,
        key_id: Uuid,
        change: &JwtKeyChange,
    ) -> Result<Option<JwtKey>> {
        let mut transaction = self.begin().await?;
        let changed: Option<JwtKey> = sqlx::query_as(
            sql!("UPDATE jwt_keys SET label = COALESCE($3, label), active = COALESCE($4, active), update_time = " now!() "
             WHERE project_id = $1 AND id = $2 RETURNING *"),
        )
        .bind(project_id)
        .bind(key_id)
        .bind(&change.label)
        .bind(change.active)
        .fetch_optional(&mut *transaction)
        .await?;
        if changed.is_some() {
            let touched = Change::of(project_id, ChangeKind::JwtKey, key_id);
            note_changes(&mut transaction, &[touched]).await?;
        }
        crate::store::commit(transaction).await?;
        Ok(changed)
    }

    async fn delete_jwt_key(&self, project_id: Uuid, key_id: Uuid) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let gone = sqlx::query("DELETE FROM jwt_keys WHERE project_id = $1 AND id = $2")
            .bind(project_id)
            .bind(key_id)
            .execute(&mut *transaction)
            .await?
            .rows_affected()
            > 0;
        if gone {
            let touched = Change::of(project_id, ChangeKind::JwtKey, key_id);
            note_changes(&mut transaction, &[touched]).await?;
        }
        crate::store::commit(transaction).await?;
        Ok(gone)
    }

    async fn find_jwt_key(&self, key_id: Uuid) -> Result<Option<(JwtKey, Project)>> {
        let key: Option<JwtKey> = sqlx::query_as("SELECT * FROM jwt_keys WHERE id = $1 AND active")
            .bind(key_id)
            .fetch_optional(self.readers())
            .await?;
        let Some(key) = key else { return Ok(None) };
        let project: Option<Project> = sqlx::query_as("SELECT * FROM projects WHERE id = $1")
            .bind(key.project_id)
            .fetch_optional(self.readers())
            .await?;
        Ok(project.map(|project| (key, project)))
    }
}
