//! The one place where a manifest that is sent is checked, before anything of it is stored.

use http::HeaderMap;
use uuid::Uuid;

use crate::api::notes;
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::manifest::{self, Issue, Manifest};
use crate::store::{Integration, NewIntegration};

/// A manifest that keeps every rule, those of the store too.
#[derive(Debug)]
pub struct Checked {
    /// As it would be stored, in its order.
    pub(super) integrations: Vec<NewIntegration>,
    /// What is probably a mistake and stops nothing.
    pub(super) warnings: Vec<Issue>,
}

/// What a deploy did.
#[derive(Debug)]
pub struct Deployed {
    /// The manifest's integrations, in its order.
    pub integrations: Vec<Integration>,
    /// What is probably a mistake and stopped nothing.
    pub warnings: Vec<Issue>,
}

impl Deployed {
    /// The warnings as a header.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let text = |warning: &Issue| format!("{}: {}", warning.path, warning.detail);
        notes::warnings(self.warnings.iter().map(text))
    }
}

/// Checks the text of a manifest.
///
/// # Errors
/// 422 with every rule that it breaks.
pub fn check(app: &App, project_id: Uuid, source: &str) -> Result<Checked, Problem> {
    let manifest = manifest::parse(source, app.catalog.as_ref()).map_err(broken)?;
    store_rules(&manifest)?;
    for warning in &manifest.warnings {
        tracing::info!(project.id = %project_id, path = warning.path, "manifest: {}", warning.detail);
    }
    let integrations = manifest.integrations.iter();
    Ok(Checked {
        integrations: integrations
            .map(|integration| NewIntegration {
                id: app.clock.new_id(),
                revision_id: app.clock.new_id(),
                name: integration.name.clone(),
                provider: integration.provider.clone(),
                spec_version: manifest.spec_version.clone(),
                content: integration.content.to_string(),
            })
            .collect(),
        warnings: manifest.warnings,
    })
}

/// A manifest that breaks rules.
pub(super) fn broken(issues: Vec<Issue>) -> Problem {
    let count = issues.len();
    let detail = if count == 1 {
        "the manifest breaks a rule".to_owned()
    } else {
        format!("the manifest breaks {count} rules")
    };
    Problem::issues(Code::InvalidManifest, detail, issues)
        .remedy("Mend what `issues` lists and deploy again; nothing was changed.")
}

/// One rule that is broken at one place.
pub(super) fn broken_at(path: String, detail: String) -> Problem {
    broken(vec![Issue {
        path,
        line: None,
        detail,
    }])
}

fn store_rules(manifest: &Manifest) -> Result<(), Problem> {
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
