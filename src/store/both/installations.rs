//! Installations, their configs, and the routes that writes take.

use async_trait::async_trait;
use uuid::Uuid;

use super::super::lanes;
use super::changes::note_changes;
use super::connections::{drop_orphaned, release_authorization_hold, upsert_group};
use super::{DbConnection, ThisStore};
use crate::store::{
    Change, ChangeKind, Installation, InstallationChange, InstallationStore, LaneConfig, NewConfig,
    NewInstallation, Result, RouteRow, StoreError,
};

const SELECT: &str = "
    SELECT n.id, n.project_id, n.integration_id, n.connection_id, n.group_ref, n.created_by, n.create_time, n.update_time,
           c.id AS config_id, c.revision_id, c.content AS config_content, c.created_by AS config_created_by,
           c.create_time AS config_create_time,
           (SELECT COALESCE(r.state, 'in_progress')
            FROM operations o
            LEFT JOIN operation_results r ON r.project_id = o.project_id AND r.operation_id = o.id
            WHERE o.project_id = n.project_id AND o.installation_id = n.id
            ORDER BY o.id DESC LIMIT 1) AS last_operation_state
    FROM installations n
    JOIN configs c ON c.project_id = n.project_id AND c.id = n.config_id
    WHERE n.project_id = $1
      AND ($2 IS NULL OR n.id = $2)
      AND ($3 IS NULL OR n.integration_id = $3)
      AND ($4 IS NULL OR n.group_ref = $4)
    ORDER BY n.id";

const ROUTE: &str = sql!("
    SELECT i.id AS integration_id, i.name AS integration_name, n.id AS installation_id,
           c.id AS config_id, c.content AS config_content, r.id AS revision_id, r.content AS revision_content,
           k.id AS connection_id, k.provider, k.provider_workspace_ref, k.provider_metadata, k.auth_scheme,
           k.status AS connection_status, k.credentials, k.credentials_version, " now!() " AS read_time
    FROM installations n
    JOIN integrations i ON i.project_id = n.project_id AND i.id = n.integration_id
    JOIN revisions r ON r.project_id = i.project_id AND r.id = i.latest_revision_id
    JOIN configs c ON c.project_id = n.project_id AND c.id = n.config_id
    JOIN connections k ON k.project_id = n.project_id AND k.id = n.connection_id
    WHERE n.project_id = $1 AND n.integration_id = $2 AND n.group_ref = $3");

/// The config and the revision outlive their installation, so that accepted work can still say why it cannot be done.
const PINNED_ROUTE: &str = sql!("
    SELECT i.id AS integration_id, i.name AS integration_name, c.installation_id,
           c.id AS config_id, c.content AS config_content, r.id AS revision_id, r.content AS revision_content,
           k.id AS connection_id, k.provider, k.provider_workspace_ref, k.provider_metadata, k.auth_scheme,
           k.status AS connection_status, k.credentials, k.credentials_version, " now!() " AS read_time
    FROM configs c
    JOIN revisions r ON r.project_id = c.project_id AND r.id = $3
    JOIN integrations i ON i.project_id = c.project_id AND i.id = r.integration_id
    JOIN installations n ON n.project_id = c.project_id AND n.id = c.installation_id
    JOIN connections k ON k.project_id = c.project_id AND k.id = $4
    WHERE c.project_id = $1 AND c.id = $2");

async fn get(connection: &mut DbConnection, project_id: Uuid, id: Uuid) -> Result<Option<Installation>> {
    Ok(sqlx::query_as(SELECT)
        .bind(project_id)
        .bind(id)
        .bind(None::<Uuid>)
        .bind(None::<&str>)
        .fetch_optional(connection)
        .await?)
}

async fn insert_config(
    connection: &mut DbConnection,
    project_id: Uuid,
    installation_id: Uuid,
    config: &NewConfig,
) -> Result<()> {
    sqlx::query(sql!("INSERT INTO configs (id, project_id, installation_id, revision_id, content, created_by, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, " now!() ")"))
    .bind(config.id)
    .bind(project_id)
    .bind(installation_id)
    .bind(config.revision_id)
    .bind(&config.content)
    .bind(&config.created_by)
    .execute(connection)
    .await?;
    Ok(())
}

/// What waits for credentials that are about to be deleted can end: it says that they were deleted.
async fn release_unless_used(
    connection: &mut DbConnection,
    project_id: Uuid,
    connection_id: Uuid,
) -> Result<()> {
    let used: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM installations WHERE project_id = $1 AND connection_id = $2 LIMIT 1",
    )
    .bind(project_id)
    .bind(connection_id)
    .fetch_optional(&mut *connection)
    .await?;
    if used.is_none() {
        release_authorization_hold(connection, project_id, connection_id).await?;
    }
    Ok(())
}

/// What a change of an installation touches: its connection's lane has other limits, perhaps.
fn touched(project_id: Uuid, installation_id: Uuid, connection_id: Uuid) -> [Change; 2] {
    [
        Change::of(project_id, ChangeKind::Installation, installation_id),
        Change::of(project_id, ChangeKind::Lane, connection_id),
    ]
}

#[async_trait]
impl InstallationStore for ThisStore {
    async fn create_installation(&self, project_id: Uuid, new: &NewInstallation) -> Result<Installation> {
        let mut transaction = self.begin().await?;
        upsert_group(&mut transaction, project_id, &new.group_ref, None).await?;
        let made = sqlx::query(
            sql!("INSERT INTO installations (id, project_id, integration_id, connection_id, group_ref, config_id, created_by,
                 create_time)
             VALUES ($1, $2, $3, $4, $5, $6, $7, " now!() ") ON CONFLICT DO NOTHING"),
        )
        .bind(new.id)
        .bind(project_id)
        .bind(new.integration_id)
        .bind(new.connection_id)
        .bind(&new.group_ref)
        .bind(new.config.id)
        .bind(&new.created_by)
        .execute(&mut *transaction)
        .await?;
        if made.rows_affected() == 0 {
            return Err(StoreError::Conflict(format!(
                "group `{}` has an installation of this integration already",
                new.group_ref
            )));
        }
        insert_config(&mut transaction, project_id, new.id, &new.config).await?;
        let made = get(&mut transaction, project_id, new.id).await?;
        note_changes(&mut transaction, &touched(project_id, new.id, new.connection_id)).await?;
        crate::store::commit(transaction).await?;
        made.ok_or(StoreError::Defect(sqlx::Error::RowNotFound))
    }

    async fn list_installations(
        &self,
        project_id: Uuid,
        integration_id: Option<Uuid>,
        group_ref: Option<&str>,
    ) -> Result<Vec<Installation>> {
        Ok(sqlx::query_as(SELECT)
            .bind(project_id)
            .bind(None::<Uuid>)
            .bind(integration_id)
            .bind(group_ref)
            .fetch_all(self.readers())
            .await?)
    }

    async fn get_installation(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        installation_id: Uuid,
    ) -> Result<Option<Installation>> {
        Ok(sqlx::query_as(SELECT)
            .bind(project_id)
            .bind(installation_id)
            .bind(integration_id)
            .bind(None::<&str>)
            .fetch_optional(self.readers())
            .await?)
    }

    async fn update_installation(
        &self,
        project_id: Uuid,
        installation_id: Uuid,
        change: &InstallationChange,
    ) -> Result<Option<Installation>> {
        let mut transaction = self.begin().await?;
        let before: Option<Uuid> = sqlx::query_scalar(
            "SELECT connection_id FROM installations WHERE project_id = $1 AND id = $2 AND config_id = $3",
        )
        .bind(project_id)
        .bind(installation_id)
        .bind(change.expected_config_id)
        .fetch_optional(&mut *transaction)
        .await?;
        let changed = sqlx::query(
            sql!("UPDATE installations SET connection_id = $4, config_id = $5, update_time = " now!() "
             WHERE project_id = $1 AND id = $2 AND config_id = $3"),
        )
        .bind(project_id)
        .bind(installation_id)
        .bind(change.expected_config_id)
        .bind(change.connection_id)
        .bind(change.config.id)
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(None);
        }
        insert_config(&mut transaction, project_id, installation_id, &change.config).await?;
        let installation = get(&mut transaction, project_id, installation_id).await?;
        let mut touched = touched(project_id, installation_id, change.connection_id).to_vec();
        touched.extend(before.map(|before| Change::of(project_id, ChangeKind::Lane, before)));
        note_changes(&mut transaction, &touched).await?;
        crate::store::commit(transaction).await?;
        Ok(installation)
    }

    async fn delete_installation(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        installation_id: Uuid,
    ) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let connection: Option<Uuid> = sqlx::query_scalar(
            "DELETE FROM installations WHERE project_id = $1 AND integration_id = $2 AND id = $3 RETURNING connection_id",
        )
        .bind(project_id)
        .bind(integration_id)
        .bind(installation_id)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(connection) = connection {
            release_unless_used(&mut transaction, project_id, connection).await?;
            sqlx::query(
                "DELETE FROM connections WHERE project_id = $1 AND id = $2
                   AND NOT EXISTS (SELECT 1 FROM installations WHERE project_id = $1 AND connection_id = $2)",
            )
            .bind(project_id)
            .bind(connection)
            .execute(&mut *transaction)
            .await?;
            drop_orphaned(&mut transaction, project_id).await?;
            let itself = Change::of(project_id, ChangeKind::Connection, connection);
            let [installation, lane] = touched(project_id, installation_id, connection);
            note_changes(&mut transaction, &[installation, lane, itself]).await?;
        }
        crate::store::commit(transaction).await?;
        Ok(connection.is_some())
    }

    async fn find_route(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        group_ref: &str,
    ) -> Result<Option<RouteRow>> {
        Ok(sqlx::query_as(ROUTE)
            .bind(project_id)
            .bind(integration_id)
            .bind(group_ref)
            .fetch_optional(self.readers())
            .await?)
    }

    async fn list_lane_configs(&self, ids: &[Uuid]) -> Result<Vec<LaneConfig>> {
        lanes::configs(self.readers(), ids).await
    }

    async fn find_pinned_route(
        &self,
        project_id: Uuid,
        config_id: Uuid,
        revision_id: Uuid,
        connection_id: Uuid,
    ) -> Result<Option<RouteRow>> {
        Ok(sqlx::query_as(PINNED_ROUTE)
            .bind(project_id)
            .bind(config_id)
            .bind(revision_id)
            .bind(connection_id)
            .fetch_optional(self.readers())
            .await?)
    }
}
