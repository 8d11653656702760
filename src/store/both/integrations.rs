//! Integrations and their revisions.

use async_trait::async_trait;
use uuid::Uuid;

use super::changes::note_changes;
use super::connections::drop_orphaned;
use super::{DbConnection, ThisStore};
use crate::store::{
    Change, ChangeKind, Integration, IntegrationRef, IntegrationStore, IntegrationUse, NewIntegration,
    Result, Revision,
};

const SELECT: &str = "
    SELECT i.id, i.project_id, i.name, i.provider, i.create_time, i.update_time,
           r.id AS revision_id, r.spec_version, r.content, r.create_time AS revision_create_time
    FROM integrations i JOIN revisions r ON r.project_id = i.project_id AND r.id = i.latest_revision_id
    WHERE i.project_id = $1 AND (i.id = $2 OR i.name_key = $3 OR ($2 IS NULL AND $3 IS NULL))
    ORDER BY i.id";

const USES: &str = "
    SELECT i.id AS integration_id,
           (SELECT count(*) FROM installations n WHERE n.project_id = i.project_id AND n.integration_id = i.id) AS installations,
           COALESCE(q.queued, 0) AS queued
    FROM integrations i
    LEFT JOIN (SELECT o.integration_id, count(*) AS queued
               FROM queue_items q JOIN operations o ON o.project_id = q.project_id AND o.id = q.operation_id
               WHERE q.project_id = $1 GROUP BY o.integration_id) AS q ON q.integration_id = i.id
    WHERE i.project_id = $1
    ORDER BY i.id";

async fn find(
    connection: &mut DbConnection,
    project_id: Uuid,
    integration: IntegrationRef<'_>,
) -> Result<Option<Integration>> {
    let (id, name) = match integration {
        IntegrationRef::Id(id) => (Some(id), None),
        IntegrationRef::Name(name) => (None, Some(name.to_lowercase())),
    };
    Ok(sqlx::query_as(SELECT)
        .bind(project_id)
        .bind(id)
        .bind(name)
        .fetch_optional(connection)
        .await?)
}

async fn insert_revision(
    connection: &mut DbConnection,
    project_id: Uuid,
    integration_id: Uuid,
    new: &NewIntegration,
) -> Result<()> {
    sqlx::query(
        sql!("INSERT INTO revisions (id, project_id, integration_id, spec_version, content, create_time)
         VALUES ($1, $2, $3, $4, $5, " now!() ")"),
    )
    .bind(new.revision_id)
    .bind(project_id)
    .bind(integration_id)
    .bind(&new.spec_version)
    .bind(&new.content)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes an integration with its installations, whose connections may have other limits then.
async fn remove(connection: &mut DbConnection, project_id: Uuid, integration_id: Uuid) -> Result<bool> {
    let lanes: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT connection_id FROM installations WHERE project_id = $1 AND integration_id = $2",
    )
    .bind(project_id)
    .bind(integration_id)
    .fetch_all(&mut *connection)
    .await?;
    let gone = sqlx::query("DELETE FROM integrations WHERE project_id = $1 AND id = $2")
        .bind(project_id)
        .bind(integration_id)
        .execute(&mut *connection)
        .await?;
    let lanes = lanes
        .into_iter()
        .map(|lane| Change::of(project_id, ChangeKind::Lane, lane));
    let itself = Change::of(project_id, ChangeKind::Integration, integration_id);
    note_changes(connection, &lanes.chain([itself]).collect::<Vec<_>>()).await?;
    Ok(gone.rows_affected() > 0)
}

#[async_trait]
impl IntegrationStore for ThisStore {
    async fn deploy(
        &self,
        project_id: Uuid,
        integrations: &[NewIntegration],
        remove_others: bool,
    ) -> Result<Vec<Integration>> {
        let mut transaction = self.begin().await?;
        // Two deploys of one project take turns, so that neither works on what the other is replacing.
        sqlx::query(sql!("SELECT id FROM projects WHERE id = $1" lock!(" FOR UPDATE")))
            .bind(project_id)
            .execute(&mut *transaction)
            .await?;
        for new in integrations {
            match find(&mut transaction, project_id, IntegrationRef::Name(&new.name)).await? {
                None => {
                    sqlx::query(
                        sql!("INSERT INTO integrations (id, project_id, name, name_key, provider, latest_revision_id, create_time)
                         VALUES ($1, $2, $3, $6, $4, $5, " now!() ")"),
                    )
                    .bind(new.id)
                    .bind(project_id)
                    .bind(&new.name)
                    .bind(&new.provider)
                    .bind(new.revision_id)
                    .bind(new.name.to_lowercase())
                    .execute(&mut *transaction)
                    .await?;
                    insert_revision(&mut transaction, project_id, new.id, new).await?;
                }
                Some(old) if new.changes(&old) => {
                    sqlx::query(
                        sql!("UPDATE integrations SET name = $3, provider = $4, latest_revision_id = $5, update_time = " now!() "
                         WHERE project_id = $1 AND id = $2"),
                    )
                    .bind(project_id)
                    .bind(old.id)
                    .bind(&new.name)
                    .bind(&new.provider)
                    .bind(new.revision_id)
                    .execute(&mut *transaction)
                    .await?;
                    insert_revision(&mut transaction, project_id, old.id, new).await?;
                    let touched = Change::of(project_id, ChangeKind::Integration, old.id);
                    note_changes(&mut transaction, &[touched]).await?;
                }
                Some(_) => {}
            }
        }
        if remove_others {
            let named = |other: &String| integrations.iter().any(|new| new.name.to_lowercase() == *other);
            let all: Vec<(Uuid, String)> =
                sqlx::query_as("SELECT id, name_key FROM integrations WHERE project_id = $1")
                    .bind(project_id)
                    .fetch_all(&mut *transaction)
                    .await?;
            for (other, _) in all.into_iter().filter(|(_, name)| !named(name)) {
                remove(&mut transaction, project_id, other).await?;
            }
            drop_orphaned(&mut transaction, project_id).await?;
        }
        let mut deployed = Vec::with_capacity(integrations.len());
        for new in integrations {
            deployed.extend(find(&mut transaction, project_id, IntegrationRef::Name(&new.name)).await?);
        }
        crate::store::commit(transaction).await?;
        Ok(deployed)
    }

    async fn list_integrations(&self, project_id: Uuid) -> Result<Vec<Integration>> {
        Ok(sqlx::query_as(SELECT)
            .bind(project_id)
            .bind(None::<Uuid>)
            .bind(None::<&str>)
            .fetch_all(self.readers())
            .await?)
    }

    async fn integration_uses(&self, project_id: Uuid) -> Result<Vec<IntegrationUse>> {
        Ok(sqlx::query_as(USES)
            .bind(project_id)
            .fetch_all(self.readers())
            .await?)
    }

    async fn find_integration(
        &self,
        project_id: Uuid,
        integration: IntegrationRef<'_>,
    ) -> Result<Option<Integration>> {
        let mut connection = self.readers().acquire().await?;
        find(&mut connection, project_id, integration).await
    }

    async fn get_revision(
        &self,
        project_id: Uuid,
        integration_id: Uuid,
        revision_id: Uuid,
    ) -> Result<Option<Revision>> {
        Ok(sqlx::query_as(
            "SELECT id, spec_version, content, create_time FROM revisions
             WHERE project_id = $1 AND integration_id = $2 AND id = $3",
        )
        .bind(project_id)
        .bind(integration_id)
        .bind(revision_id)
        .fetch_optional(self.readers())
        .await?)
    }

    async fn put_upload(&self, project_id: Uuid, id: Uuid, content: &[u8]) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(sql!("DELETE FROM uploads WHERE project_id = $1 AND create_time < " now!() " - " micros!("3600000000")))
        .bind(project_id)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            sql!("INSERT INTO uploads (project_id, id, content, create_time) VALUES ($1, $2, $3, " now!() ")
             ON CONFLICT (project_id, id) DO UPDATE SET content = excluded.content"),
        )
        .bind(project_id)
        .bind(id)
        .bind(content)
        .execute(&mut *transaction)
        .await?;
        crate::store::commit(transaction).await?;
        Ok(())
    }

    async fn get_upload(&self, project_id: Uuid, id: Uuid) -> Result<Option<Vec<u8>>> {
        Ok(sqlx::query_scalar(sql!("SELECT content FROM uploads
             WHERE project_id = $1 AND id = $2 AND create_time >= " now!() " - " micros!("3600000000")))
        .bind(project_id)
        .bind(id)
        .fetch_optional(self.readers())
        .await?)
    }

    async fn delete_integration(&self, project_id: Uuid, integration_id: Uuid) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let gone = remove(&mut transaction, project_id, integration_id).await?;
        drop_orphaned(&mut transaction, project_id).await?;
        crate::store::commit(transaction).await?;
        Ok(gone)
    }
}
