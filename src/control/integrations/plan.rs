//! What a deploy would do.

use std::collections::HashMap;

use uuid::Uuid;

use crate::control::{Control, Error};
use crate::manifest::Issue;
use crate::store::IntegrationUse;

/// What a deploy would do.
#[derive(Debug)]
pub struct DeployPlan {
    /// The manifest's integrations in its order, then those that it does not name.
    pub integrations: Vec<Planned>,
    /// What is probably a mistake and would stop nothing.
    pub warnings: Vec<Issue>,
}

/// What would become of an integration.
#[derive(Debug)]
pub struct Planned {
    /// Its id; `None` when it is new.
    pub id: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// `create`, `update`, `unchanged`, `delete` or `keep`.
    pub change: &'static str,
    /// Customers who have installed it.
    pub installations: i64,
    /// Their asynchronous writes that wait.
    pub queued_writes: i64,
}

impl Control {
    /// What [`Control::deploy`] would do with the same arguments, and whom it would concern. Changes nothing.
    ///
    /// # Errors
    /// With every rule that the manifest breaks.
    pub async fn plan_deploy(
        &self,
        project_id: Uuid,
        source: &str,
        remove_others: bool,
    ) -> Result<DeployPlan, Error> {
        let checked = self.check_manifest(project_id, source)?;
        let known = self.store.list_integrations(project_id).await?;
        let used: HashMap<_, IntegrationUse> = self
            .store
            .integration_uses(project_id)
            .await?
            .into_iter()
            .map(|used| (used.integration_id, used))
            .collect();
        let planned = |id: Option<Uuid>, name: &str, provider: &str, change: &'static str| {
            let used = id.and_then(|id| used.get(&id));
            Planned {
                id,
                name: name.to_owned(),
                provider: provider.to_owned(),
                change,
                installations: used.map_or(0, |used| used.installations),
                queued_writes: used.map_or(0, |used| used.queued),
            }
        };
        let same_name = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        let news = &checked.integrations;
        let named = news.iter().map(|new| {
            let old = known.iter().find(|old| same_name(&old.name, &new.name));
            let change = match old {
                None => "create",
                Some(old) if new.changes(old) => "update",
                Some(_) => "unchanged",
            };
            planned(old.map(|old| old.id), &new.name, &new.provider, change)
        });
        let change = if remove_others { "delete" } else { "keep" };
        let others = known
            .iter()
            .filter(|old| !news.iter().any(|new| same_name(&old.name, &new.name)))
            .map(|old| planned(Some(old.id), &old.name, &old.provider, change));
        Ok(DeployPlan {
            integrations: named.chain(others).collect(),
            warnings: checked.warnings,
        })
    }
}
