//! The one place where a manifest that is sent is checked, before anything of it is stored.

use uuid::Uuid;

use crate::control::{Control, Error, Kind};
use crate::manifest::{Issue, Manifest};
use crate::rules;
use crate::store::NewIntegration;

/// A manifest that keeps every rule, those of the store too.
#[derive(Debug)]
pub(super) struct Checked {
    /// As it would be stored, in its order.
    pub integrations: Vec<NewIntegration>,
    /// What is probably a mistake and stops nothing.
    pub warnings: Vec<Issue>,
}

impl Control {
    /// Checks the text of a manifest.
    pub(super) fn check_manifest(&self, project_id: Uuid, source: &str) -> Result<Checked, Error> {
        let manifest = rules::parse(source, self.catalog.as_ref()).map_err(broken)?;
        store_rules(&manifest)?;
        for warning in &manifest.warnings {
            tracing::info!(project.id = %project_id, path = warning.path, "manifest: {}", warning.detail);
        }
        let integrations = manifest.integrations.iter();
        Ok(Checked {
            integrations: integrations
                .map(|integration| NewIntegration {
                    id: self.clock.new_id(),
                    revision_id: self.clock.new_id(),
                    name: integration.name.clone(),
                    provider: integration.provider.clone(),
                    spec_version: manifest.spec_version.clone(),
                    content: integration.content.to_string(),
                })
                .collect(),
            warnings: manifest.warnings,
        })
    }
}

/// A manifest that breaks rules.
fn broken(issues: Vec<Issue>) -> Error {
    let count = issues.len();
    let detail = if count == 1 {
        "the manifest breaks a rule".to_owned()
    } else {
        format!("the manifest breaks {count} rules")
    };
    Error::issues(Kind::InvalidManifest, detail, issues)
        .remedy("Mend what `issues` lists and deploy again; nothing was changed.")
}

/// One rule that is broken at one place.
pub(super) fn broken_at(path: String, detail: String) -> Error {
    broken(vec![Issue {
        path,
        line: None,
        detail,
    }])
}

fn store_rules(manifest: &Manifest) -> Result<(), Error> {
    for (index, integration) in manifest.integrations.iter().enumerate() {
        if crate::json::uses_reserved_key(integration.content.to_string().as_bytes()) {
            let detail = "A key that begins with `$serde_json::private::` cannot be used.".to_owned();
            return Err(broken_at(format!("$.integrations[{index}]"), detail));
        }
    }
    // The store knows names without regard to case, as paths do.
    let mut names = std::collections::HashMap::new();
    for (index, integration) in manifest.integrations.iter().enumerate() {
        if let Some(first) = names.insert(integration.name.to_lowercase(), integration.name.as_str()) {
            let detail = format!(
                "`{}` and `{first}` are the same name: names are compared without regard to case.",
                integration.name
            );
            return Err(broken_at(format!("$.integrations[{index}].name"), detail));
        }
    }
    Ok(())
}
