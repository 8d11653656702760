//! Integrations: deployed from a manifest, planned, deleted.

mod checked;
mod plan;

use uuid::Uuid;

use super::{Actor, Control, Error, Kind};
use crate::manifest::Issue;
use crate::store::{Change, ChangeKind, Integration, IntegrationRef};
use checked::{Checked, broken_at};
pub use plan::{DeployPlan, Planned};

/// What a deploy did.
#[derive(Debug)]
pub struct Deployed {
    /// The manifest's integrations, in its order.
    pub integrations: Vec<Integration>,
    /// What is probably a mistake and stopped nothing.
    pub warnings: Vec<Issue>,
}

/// The one integration of a deploy.
#[derive(Debug)]
pub struct DeployedOne {
    /// The integration.
    pub integration: Integration,
    /// What is probably a mistake and stopped nothing.
    pub warnings: Vec<Issue>,
}

impl Control {
    /// An integration by id or name.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn integration(&self, project_id: Uuid, text: &str) -> Result<Integration, Error> {
        let found = self
            .store
            .find_integration(project_id, IntegrationRef::parse(text))
            .await?;
        found.ok_or_else(|| {
            Error::not_found("Integration not found for the given integration ID or name.")
                .remedy("List the project's integrations, or deploy the manifest that defines it.")
        })
    }

    /// Deploys a manifest. With `remove_others` those that it does not name go, with their installations.
    ///
    /// # Errors
    /// With every rule that it breaks; then nothing was changed.
    pub async fn deploy(
        &self,
        actor: &Actor,
        project_id: Uuid,
        source: &str,
        remove_others: bool,
    ) -> Result<Deployed, Error> {
        let checked = self.check_manifest(project_id, source)?;
        self.deploy_checked(actor, project_id, checked, remove_others)
            .await
    }

    /// Checks a manifest and deploys one integration of it; the others are left as they are.
    ///
    /// # Errors
    /// With every rule that it breaks, or when it does not have the integration.
    pub async fn deploy_one(
        &self,
        actor: &Actor,
        project_id: Uuid,
        source: &str,
        name: &str,
    ) -> Result<DeployedOne, Error> {
        let mut checked = self.check_manifest(project_id, source)?;
        checked
            .integrations
            .retain(|integration| integration.name.to_lowercase() == name.to_lowercase());
        if checked.integrations.is_empty() {
            let detail = format!("The manifest has no integration `{name}`.");
            return Err(broken_at("$.integrations".to_owned(), detail));
        }
        let deployed = self.deploy_checked(actor, project_id, checked, false).await?;
        deployed.only("the revision was not made")
    }

    /// Deploys a manifest whose one integration is new.
    ///
    /// # Errors
    /// With every rule that it breaks, or when the project has an integration of this name.
    pub async fn create_integration(
        &self,
        actor: &Actor,
        project_id: Uuid,
        source: &str,
        name: &str,
    ) -> Result<DeployedOne, Error> {
        // Checked first: only a good name can be looked for.
        let checked = self.check_manifest(project_id, source)?;
        let by_name = IntegrationRef::Name(name);
        if self.store.find_integration(project_id, by_name).await?.is_some() {
            let detail = format!("the project has an integration `{name}` already");
            return Err(Error::new(Kind::Conflict, detail).remedy("Deploy a new revision of it instead."));
        }
        let deployed = self.deploy_checked(actor, project_id, checked, false).await?;
        deployed.only("the integration was not made")
    }

    async fn deploy_checked(
        &self,
        actor: &Actor,
        project_id: Uuid,
        checked: Checked,
        remove_others: bool,
    ) -> Result<Deployed, Error> {
        let integrations = self
            .store
            .deploy(project_id, &checked.integrations, remove_others)
            .await?;
        let touched = integrations
            .iter()
            .map(|deployed| Change::of(project_id, ChangeKind::Integration, deployed.id));
        // Which others have gone, the store knows.
        let whole = remove_others.then(|| Change::project(project_id));
        self.done.note(actor, &touched.chain(whole).collect::<Vec<_>>());
        Ok(Deployed {
            integrations,
            warnings: checked.warnings,
        })
    }

    /// Removes an integration, by id or name, with its installations.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn delete_integration(
        &self,
        actor: &Actor,
        project_id: Uuid,
        integration: &str,
    ) -> Result<(), Error> {
        let found = self.integration(project_id, integration).await?;
        self.store.delete_integration(project_id, found.id).await?;
        let gone = Change::of(project_id, ChangeKind::Integration, found.id);
        self.done.note(actor, &[gone]);
        Ok(())
    }
}

impl Deployed {
    fn only(self, missing: &str) -> Result<DeployedOne, Error> {
        let integration = self.integrations.into_iter().next();
        Ok(DeployedOne {
            integration: integration.ok_or_else(|| Error::new(Kind::Defect, missing))?,
            warnings: self.warnings,
        })
    }
}
