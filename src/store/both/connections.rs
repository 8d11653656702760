//! Connections, with the groups and consumers they name.

use async_trait::async_trait;
use uuid::Uuid;

use super::changes::note_changes;
use super::grants::{begin_grant, drop_grant};
use super::{DbConnection, ThisStore};
use crate::store::{
    Change, ChangeKind, Connection, ConnectionChange, ConnectionFilter, ConnectionStatus, ConnectionStore,
    NewConnection, Result, StoreError,
};

const SELECT: &str = sql!("
    SELECT c.id, c.project_id, c.provider, c.group_ref, g.group_name, g.create_time AS group_create_time,
           c.consumer_ref, u.consumer_name, u.create_time AS consumer_create_time,
           c.provider_workspace_ref, c.provider_metadata, c.auth_scheme, c.status, c.credentials,
           c.credentials_version, c.create_time, c.update_time, " now!() " AS read_time
    FROM connections c
    JOIN groups g ON g.project_id = c.project_id AND g.group_ref = c.group_ref
    JOIN consumers u ON u.project_id = c.project_id AND u.consumer_ref = c.consumer_ref
    WHERE c.project_id = $1
      AND ($2 IS NULL OR c.id = $2)
      AND ($3 IS NULL OR c.provider = $3)
      AND ($4 IS NULL OR c.group_ref = $4)
      AND ($5 IS NULL OR c.consumer_ref = $5)
    ORDER BY c.id");

async fn get(connection: &mut DbConnection, project_id: Uuid, id: Uuid) -> Result<Option<Connection>> {
    Ok(sqlx::query_as(SELECT)
        .bind(project_id)
        .bind(id)
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind(None::<&str>)
        .fetch_optional(connection)
        .await?)
}

/// Makes the group, or renames it when a name is given. Without a name the reference stands in for it.
pub(super) async fn upsert_group(
    connection: &mut DbConnection,
    project_id: Uuid,
    group_ref: &str,
    name: Option<&str>,
) -> Result<()> {
    sqlx::query(
        sql!("INSERT INTO groups (project_id, group_ref, group_name, create_time) VALUES ($1, $2, COALESCE($3, $2), " now!() ")
         ON CONFLICT (project_id, group_ref) DO UPDATE SET group_name = $3, update_time = " now!() "
         WHERE $3 IS NOT NULL AND groups.group_name <> $3"),
    )
    .bind(project_id)
    .bind(group_ref)
    .bind(name)
    .execute(connection)
    .await?;
    Ok(())
}

/// The row stays: the clock of work accepted before stood still from held_from to held_until.
pub(super) async fn release_authorization_hold(
    connection: &mut DbConnection,
    project_id: Uuid,
    connection_id: Uuid,
) -> Result<()> {
    sqlx::query(sql!("UPDATE lanes SET hold_reason = NULL, held_until = " now!() "
         WHERE project_id = $1 AND lane_id = $2 AND hold_reason = 'authorization'"))
    .bind(project_id)
    .bind(connection_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// What waits for these credentials is held, with its clock standing still, until it can go on.
pub(super) async fn hold_for_authorization(
    connection: &mut DbConnection,
    project_id: Uuid,
    connection_id: Uuid,
) -> Result<()> {
    sqlx::query(
        sql!("INSERT INTO lanes (lane_id, project_id, hold_reason, held_from, hold_began) VALUES ($1, $2, 'authorization', " now!() ", " now!() ")
         ON CONFLICT (lane_id) DO UPDATE SET hold_reason = 'authorization', held_until = NULL,
             hold_began = excluded.hold_began,
             -- An earlier hold counts on: the clock stood still then, too.
             held_from = COALESCE(" now!() " - (lanes.held_until - lanes.held_from), " now!() ")
         WHERE lanes.hold_reason IS NULL"),
    )
    .bind(connection_id)
    .bind(project_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the holds of connections and installations that are gone, in the transaction that removes them.
pub(super) async fn drop_orphaned(connection: &mut DbConnection, project_id: Uuid) -> Result<()> {
    sqlx::query(
        "DELETE FROM record_holds AS h WHERE h.project_id = $1
           AND (NOT EXISTS (SELECT 1 FROM connections c WHERE c.project_id = h.project_id AND c.id = h.lane_id)
                OR NOT EXISTS (SELECT 1 FROM operations o
                               JOIN installations i ON i.project_id = o.project_id AND i.id = o.installation_id
                               WHERE o.project_id = h.project_id AND o.id = h.operation_id))",
    )
    .bind(project_id)
    .execute(connection)
    .await?;
    Ok(())
}

#[async_trait]
impl ConnectionStore for ThisStore {
    async fn create_connection(&self, project_id: Uuid, new: &NewConnection) -> Result<Connection> {
        let mut transaction = self.begin().await?;
        upsert_group(
            &mut transaction,
            project_id,
            &new.group_ref,
            new.group_name.as_deref(),
        )
        .await?;
        sqlx::query(
            sql!("INSERT INTO consumers (project_id, consumer_ref, consumer_name, create_time)
             VALUES ($1, $2, COALESCE($3, $2), " now!() ")
             ON CONFLICT (project_id, consumer_ref) DO UPDATE SET consumer_name = $3, update_time = " now!() "
             WHERE $3 IS NOT NULL AND consumers.consumer_name <> $3"),
        )
        .bind(project_id)
        .bind(&new.consumer_ref)
        .bind(&new.consumer_name)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            sql!("INSERT INTO connections (id, project_id, provider, group_ref, consumer_ref, provider_workspace_ref,
                 provider_metadata, auth_scheme, status, credentials, credentials_version, create_time)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'created', $9, 1, " now!() ")"),
        )
        .bind(new.id)
        .bind(project_id)
        .bind(&new.provider)
        .bind(&new.group_ref)
        .bind(&new.consumer_ref)
        .bind(&new.provider_workspace_ref)
        .bind(&new.provider_metadata)
        .bind(&new.auth_scheme)
        .bind(&new.credentials)
        .execute(&mut *transaction)
        .await?;
        if let Some(grant) = &new.grant {
            begin_grant(&mut transaction, project_id, new.id, grant).await?;
        }
        let made = get(&mut transaction, project_id, new.id).await?;
        crate::store::commit(transaction).await?;
        made.ok_or(StoreError::Defect(sqlx::Error::RowNotFound))
    }

    async fn list_connections(&self, project_id: Uuid, filter: &ConnectionFilter) -> Result<Vec<Connection>> {
        Ok(sqlx::query_as(SELECT)
            .bind(project_id)
            .bind(None::<Uuid>)
            .bind(&filter.provider)
            .bind(&filter.group_ref)
            .bind(&filter.consumer_ref)
            .fetch_all(self.readers())
            .await?)
    }

    async fn get_connection(&self, project_id: Uuid, connection_id: Uuid) -> Result<Option<Connection>> {
        let mut connection = self.readers().acquire().await?;
        get(&mut connection, project_id, connection_id).await
    }

    async fn update_connection(
        &self,
        project_id: Uuid,
        connection_id: Uuid,
        change: &ConnectionChange,
    ) -> Result<Option<Connection>> {
        let mut transaction = self.begin().await?;
        match &change.grant {
            Some(grant) => begin_grant(&mut transaction, project_id, connection_id, grant).await?,
            None if change.credentials.is_some() => {
                drop_grant(&mut transaction, project_id, connection_id).await?;
            }
            None => {}
        }
        sqlx::query(sql!("UPDATE connections SET
                 provider_workspace_ref = COALESCE($3, provider_workspace_ref),
                 provider_metadata = COALESCE($4, provider_metadata),
                 credentials = COALESCE($5, credentials),
                 credentials_version = credentials_version + CASE WHEN $5 IS NULL THEN 0 ELSE 1 END,
                 status = CASE WHEN $5 IS NULL THEN status ELSE 'created' END,
                 update_time = " now!() "
             WHERE project_id = $1 AND id = $2"))
        .bind(project_id)
        .bind(connection_id)
        .bind(&change.provider_workspace_ref)
        .bind(&change.provider_metadata)
        .bind(&change.credentials)
        .execute(&mut *transaction)
        .await?;
        if change.credentials.is_some() {
            release_authorization_hold(&mut transaction, project_id, connection_id).await?;
        }
        let changed = get(&mut transaction, project_id, connection_id).await?;
        let touched = Change::of(project_id, ChangeKind::Connection, connection_id);
        note_changes(&mut transaction, &[touched]).await?;
        crate::store::commit(transaction).await?;
        Ok(changed)
    }

    async fn set_connection_works(
        &self,
        project_id: Uuid,
        connection_id: Uuid,
        credentials_version: i64,
        works: bool,
    ) -> Result<bool> {
        let mut transaction = self.begin().await?;
        // A late answer to an older credential says nothing about the one in force.
        let current: Option<ConnectionStatus> = sqlx::query_scalar(
            sql!("SELECT status FROM connections WHERE project_id = $1 AND id = $2 AND credentials_version = $3" lock!(" FOR UPDATE")),
        )
        .bind(project_id)
        .bind(connection_id)
        .bind(credentials_version)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(current) = current else { return Ok(false) };
        let status = if works {
            ConnectionStatus::Working
        } else {
            ConnectionStatus::BadCredentials
        };
        if current == status {
            return Ok(true);
        }
        sqlx::query(sql!("UPDATE connections SET status = $3, update_time = " now!() " WHERE project_id = $1 AND id = $2"))
        .bind(project_id)
        .bind(connection_id)
        .bind(status.as_str())
        .execute(&mut *transaction)
        .await?;
        if works {
            release_authorization_hold(&mut transaction, project_id, connection_id).await?;
        } else {
            hold_for_authorization(&mut transaction, project_id, connection_id).await?;
        }
        let touched = Change::of(project_id, ChangeKind::Connection, connection_id);
        note_changes(&mut transaction, &[touched]).await?;
        crate::store::commit(transaction).await?;
        Ok(true)
    }

    async fn delete_connection(&self, project_id: Uuid, connection_id: Uuid) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let user: Option<Uuid> = sqlx::query_scalar(
            "SELECT id FROM installations WHERE project_id = $1 AND connection_id = $2 LIMIT 1",
        )
        .bind(project_id)
        .bind(connection_id)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(installation) = user {
            return Err(StoreError::Conflict(format!(
                "installation {installation} uses this connection"
            )));
        }
        // What waits for these credentials can end now: it says that they were deleted.
        release_authorization_hold(&mut transaction, project_id, connection_id).await?;
        let gone = sqlx::query("DELETE FROM connections WHERE project_id = $1 AND id = $2")
            .bind(project_id)
            .bind(connection_id)
            .execute(&mut *transaction)
            .await?;
        drop_orphaned(&mut transaction, project_id).await?;
        let touched = Change::of(project_id, ChangeKind::Connection, connection_id);
        note_changes(&mut transaction, &[touched]).await?;
        crate::store::commit(transaction).await?;
        Ok(gone.rows_affected() > 0)
    }
}
