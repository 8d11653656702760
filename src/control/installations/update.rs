//! Changing what a customer chose.

use serde_json::{Value, json};
use uuid::Uuid;

use super::config::check_limits;
use super::{not_found, touched};
use crate::control::{Actor, Control, Error, Kind, check_text};
use crate::manifest::{json_patch, mask};
use crate::store::{Installation, InstallationChange, Integration, NewConfig};

/// One object of a config, and what to change of it.
#[derive(Debug)]
pub struct ObjectPatch<'a> {
    /// The installation, by its id.
    pub installation: Option<&'a str>,
    /// Or by its customer.
    pub group_ref: Option<&'a str>,
    /// `read`, `write` or `subscribe`.
    pub action: &'a str,
    /// The object's name.
    pub object: &'a str,
    /// JSON Patch.
    pub changes: &'a [Value],
}

impl Control {
    /// Replaces what a mask names by what stands there in `new`; an empty mask changes nothing.
    ///
    /// # Errors
    /// When the mask or the config cannot be used, somebody else changed it meanwhile, or the store fails.
    pub async fn update_installation(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: &str,
        installation: &str,
        mask: &[String],
        new: &Value,
    ) -> Result<Installation, Error> {
        let integration = self.integration(project_id, integration).await?;
        let row = self
            .installation(actor, project_id, integration.id, installation)
            .await?;
        if mask.is_empty() {
            return Ok(row);
        }
        let current = state_of(&row);
        let changed = mask::apply(&current, mask, new)
            .map_err(|issues| Error::issues(Kind::Invalid, "the update mask cannot be applied", issues))?;
        check_limits(
            actor,
            &current["config"]["content"],
            &changed["config"]["content"],
        )?;
        self.store_change(actor, &integration, &row, &changed).await
    }

    /// Changes one object of a config.
    ///
    /// # Errors
    /// As [`Control::update_installation`].
    pub async fn patch_object(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: &str,
        patch: ObjectPatch<'_>,
    ) -> Result<Installation, Error> {
        let integration = self.integration(project_id, integration).await?;
        let action = patch.action;
        if !matches!(action, "read" | "write" | "subscribe") {
            return Err(Error::invalid("action", "must be read, write or subscribe"));
        }
        if patch.changes.is_empty() {
            return Err(Error::invalid("changes", "must hold at least one change"));
        }
        let row = match (patch.installation, patch.group_ref) {
            (Some(installation), _) => {
                self.installation(actor, project_id, integration.id, installation)
                    .await?
            }
            (None, Some(group)) => self
                .installations(actor, project_id, Some(integration.id), Some(group.to_owned()))
                .await?
                .pop()
                .ok_or_else(not_found)?,
            (None, None) => {
                let detail = "is required: name the group or the installation";
                return Err(Error::invalid("groupRef", detail));
            }
        };
        let mut state = state_of(&row);
        let objects = &mut state["config"]["content"][action]["objects"];
        let current = objects
            .get(patch.object)
            .cloned()
            .unwrap_or_else(|| json!({ "objectName": patch.object }));
        objects[patch.object] = json_patch::apply(&current, patch.changes)
            .map_err(|issues| Error::issues(Kind::Invalid, "the changes cannot be applied", issues))?;
        self.store_change(actor, &integration, &row, &state).await
    }

    /// Checks the new state and writes it as a new config.
    async fn store_change(
        &self,
        actor: &Actor,
        integration: &Integration,
        row: &Installation,
        changed: &Value,
    ) -> Result<Installation, Error> {
        let project_id = row.project_id;
        let content = &changed["config"]["content"];
        self.check_config(integration, content)?;
        let created_by = changed["config"]["createdBy"]
            .as_str()
            .unwrap_or(&row.config_created_by);
        let created_by = actor.author(created_by);
        check_text(&created_by, "config.createdBy")?;
        let asked = changed["connectionId"].as_str();
        let connection = self
            .connection_for(actor, project_id, integration, &row.group_ref, asked)
            .await?;
        let change = InstallationChange {
            expected_config_id: row.config_id,
            connection_id: connection.id,
            config: NewConfig {
                id: self.clock.new_id(),
                revision_id: integration.revision_id,
                content: content.to_string(),
                created_by,
            },
        };
        let updated = self
            .store
            .update_installation(project_id, row.id, &change)
            .await?;
        self.done
            .note(actor, &touched(row, &[row.connection_id, connection.id]));
        if let Some(updated) = updated {
            return Ok(updated);
        }
        let there = self
            .store
            .get_installation(project_id, integration.id, row.id)
            .await?;
        Err(match there {
            None => not_found(),
            Some(_) => Error::new(
                Kind::Overtaken,
                "the config was changed by another request at the same time",
            )
            .remedy("Read the installation again and repeat the change."),
        })
    }
}

/// The part of an installation that can be changed.
fn state_of(row: &Installation) -> Value {
    json!({
        "connectionId": row.connection_id.to_string(),
        "config": {
            "createdBy": row.config_created_by,
            "content": serde_json::from_str::<Value>(&row.config_content).unwrap_or_default(),
        }
    })
}
