//! The manifest and the installation's config.

mod config;
mod hostile;
mod rules;
mod update;

use amp_write::manifest::{Issue, Providers};

/// A catalogue for tests: HubSpot and Salesforce write everything but `readonly`, `reader` writes nothing.
struct Catalogue;

impl Providers for Catalogue {
    fn knows(&self, provider: &str) -> bool {
        ["hubspot", "salesforce", "reader"].contains(&provider)
    }

    fn knows_module(&self, _: &str, module: &str) -> bool {
        module != "nowhere"
    }

    fn can_write(&self, provider: &str) -> bool {
        ["hubspot", "salesforce"].contains(&provider)
    }

    fn supports_object(&self, _: &str, _: Option<&str>, object: &str) -> bool {
        object != "readonly"
    }
}

/// Path and line of each issue.
fn places(issues: &[Issue]) -> Vec<(&str, Option<usize>)> {
    issues
        .iter()
        .map(|issue| (issue.path.as_str(), issue.line))
        .collect()
}

/// The paths alone.
fn paths(issues: &[Issue]) -> Vec<&str> {
    issues.iter().map(|issue| issue.path.as_str()).collect()
}
