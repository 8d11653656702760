//! Installations: an integration, installed by a customer, with a connection and a config.

mod config;
mod update;

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::{Actor, Control, Error, check_text};
use crate::store::{Change, ChangeKind, Connection, Installation, Integration, NewConfig, NewInstallation};
use crate::writes::WriteError;
use crate::writes::route::Route;
use config::check_limits;
pub use update::ObjectPatch;

/// What to install, for whom.
#[derive(Debug)]
pub struct Installing {
    /// The customer.
    pub group_ref: String,
    /// The credential; the group's newest connection to the provider when `None`.
    pub connection_id: Option<String>,
    /// What the customer chose.
    pub content: Value,
    /// Who wrote the config.
    pub created_by: String,
}

impl Control {
    /// One installation of an integration.
    ///
    /// # Errors
    /// When there is none, it is not for who asks, or the store fails.
    pub async fn installation(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration_id: Uuid,
        text: &str,
    ) -> Result<Installation, Error> {
        let id = Uuid::try_parse(text).map_err(|_| not_found())?;
        let found = self
            .store
            .get_installation(project_id, integration_id, id)
            .await?;
        let found = found.ok_or_else(not_found)?;
        actor.confine(&found.group_ref)?;
        Ok(found)
    }

    /// The installations of a project, of one integration and one group when given, oldest first, as far as they are for who
    /// asks.
    ///
    /// # Errors
    /// When another's are asked for, or the store fails.
    pub async fn installations(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: Option<Uuid>,
        group_ref: Option<String>,
    ) -> Result<Vec<Installation>, Error> {
        let group_ref = actor.group(group_ref)?;
        let found = self
            .store
            .list_installations(project_id, integration, group_ref.as_deref())
            .await?;
        Ok(found)
    }

    /// How a group's records of an integration are written: its connector, its connection and its plan.
    ///
    /// # Errors
    /// When the group is not for who asks, has no installation, or the store fails.
    pub async fn route(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: &str,
        group_ref: &str,
    ) -> Result<Arc<Route>, Error> {
        actor.confine(group_ref)?;
        let found = self.writes.routes.find(project_id, integration, group_ref).await;
        Ok(found.map_err(WriteError::Route)?)
    }

    /// Installs an integration for a customer's group.
    ///
    /// # Errors
    /// When the config does not fit, there is no connection that does, the group has an installation, or the store fails.
    pub async fn install(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: &str,
        asked: Installing,
    ) -> Result<Installation, Error> {
        actor.confine(&asked.group_ref)?;
        let integration = self.integration(project_id, integration).await?;
        check_text(&asked.group_ref, "groupRef")?;
        self.check_config(&integration, &asked.content)?;
        check_limits(actor, &Value::Null, &asked.content)?;
        let connection_id = asked.connection_id.as_deref().filter(|id| !id.is_empty());
        let connection = self
            .connection_for(actor, project_id, &integration, &asked.group_ref, connection_id)
            .await?;
        let created_by = actor.author(&asked.created_by);
        check_text(&created_by, "config.createdBy")?;
        let new = NewInstallation {
            id: self.clock.new_id(),
            integration_id: integration.id,
            connection_id: connection.id,
            group_ref: asked.group_ref,
            created_by: created_by.clone(),
            config: NewConfig {
                id: self.clock.new_id(),
                revision_id: integration.revision_id,
                content: asked.content.to_string(),
                created_by,
            },
        };
        let made = self.store.create_installation(project_id, &new).await?;
        self.done.note(actor, &touched(&made, &[made.connection_id]));
        Ok(made)
    }

    /// Removes an installation, and its connection when no other uses it.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn delete_installation(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: &str,
        installation: &str,
    ) -> Result<(), Error> {
        let integration = self.integration(project_id, integration).await?;
        let row = self
            .installation(actor, project_id, integration.id, installation)
            .await?;
        let gone = self
            .store
            .delete_installation(project_id, integration.id, row.id)
            .await?;
        let mut touched = touched(&row, &[row.connection_id]);
        // It may have gone, too.
        touched.push(Change::of(project_id, ChangeKind::Connection, row.connection_id));
        self.done.note(actor, &touched);
        // What was held can end.
        self.writes.new_work.changed(row.connection_id);
        if gone { Ok(()) } else { Err(not_found()) }
    }

    /// The installations of a group, of one integration when given.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn installations_of(
        &self,
        project_id: Uuid,
        integration: Option<Uuid>,
        group_ref: &str,
    ) -> Result<Vec<Uuid>, Error> {
        let found = self
            .store
            .list_installations(project_id, integration, Some(group_ref))
            .await?;
        Ok(found.into_iter().map(|installation| installation.id).collect())
    }

    /// Finds the connection that is named, or the group's default one for the provider: the newest.
    async fn connection_for(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: &Integration,
        group_ref: &str,
        connection_id: Option<&str>,
    ) -> Result<Connection, Error> {
        let field = "connectionId";
        let Some(text) = connection_id else {
            let provider = &integration.provider;
            let newest = self
                .newest_connection(actor, project_id, provider, group_ref)
                .await?;
            return newest.ok_or_else(|| {
                let detail = format!("is absent and group `{group_ref}` has no connection to {provider}");
                Error::invalid(field, detail)
                    .remedy("Make a connection for this group first (connections:generate).")
            });
        };
        let found = match Uuid::try_parse(text) {
            Ok(id) => self.store.get_connection(project_id, id).await?,
            Err(_) => None,
        };
        let found = found.ok_or_else(|| Error::invalid(field, "names no connection of this project"))?;
        if found.provider != integration.provider {
            let detail = format!(
                "is a connection to {}, but the integration is for {}",
                found.provider, integration.provider
            );
            return Err(Error::invalid(field, detail));
        }
        if found.group_ref != group_ref {
            return Err(Error::invalid(field, "belongs to another group"));
        }
        Ok(found)
    }
}

/// What a change of an installation touches: the connections that it used or uses have other limits then, perhaps.
fn touched(row: &Installation, connections: &[Uuid]) -> Vec<Change> {
    let lane = |id: &Uuid| Change::of(row.project_id, ChangeKind::Lane, *id);
    let installation = Change::of(row.project_id, ChangeKind::Installation, row.id);
    connections.iter().map(lane).chain([installation]).collect()
}

fn not_found() -> Error {
    Error::not_found("Installation not found for the given installation ID.")
}
