//! The rules of a manifest and of a customer's config, held against the mapping and the catalogue: above all of these, so that
//! none of them has to know another.
//!
//! [`parse`] reads the source that a developer deploys and reports every problem at once, each with its path and line.
//! [`check_for`] says whether a config fits the integration it is for. Pure.

mod config;
mod inherit;
mod manifest;
mod reach;

use serde_json::Value;

pub use config::{check_against, check_for};

use crate::manifest::node::{Problem, Problems, Trail};
use crate::manifest::{Integration, Issue, Manifest, Providers, keys, locate, without_bom, yaml};

/// Reads the text of an `amp.yaml` and checks every rule.
///
/// # Errors
/// All problems at once, in document order, each with the line where it can be found. A source that is not
/// YAML, is over 1 MiB, nests too deeply or expands too far through aliases gives one issue at `$`.
pub fn parse(source_yaml: &str, providers: &dyn Providers) -> Result<Manifest, Vec<Issue>> {
    let source_yaml = without_bom(source_yaml);
    let document = yaml::read(source_yaml).map_err(|issue| vec![issue])?;
    let mut problems = Problems::default();
    let manifest = manifest::manifest(&document, providers, &mut problems);
    reach::check(&document, &mut problems);
    let mut unknown = Problems::default();
    keys::unknown_manifest_keys(&document, &mut unknown);
    let located = |found: Vec<Problem>| -> Vec<Issue> {
        let mut locator = locate::Locator::new(source_yaml);
        let mut issues: Vec<Issue> = found
            .into_iter()
            .map(|problem| Issue {
                line: locator.line(&problem.steps),
                path: problem.path(),
                detail: problem.detail,
            })
            .collect();
        // What has no line comes last, in the order it was found.
        issues.sort_by_key(|issue| issue.line.unwrap_or(usize::MAX));
        issues
    };
    match manifest {
        Some(mut manifest) if problems.is_empty() => {
            manifest.warnings = located(unknown.into_vec());
            manifest.warnings.extend(located(problems.take_warnings()));
            Ok(manifest)
        }
        _ => Err(located(problems.into_vec())),
    }
}

impl Integration {
    /// Reads one integration of a stored revision. Its keys match whatever their case, as in the source; the
    /// provider is not looked up again, so a catalogue change never makes a stored revision unreadable.
    ///
    /// # Errors
    /// Every problem at once; paths start at `$`, and there are no lines.
    pub fn from_content(content: &Value) -> Result<Self, Vec<Issue>> {
        let mut problems = Problems::default();
        let integration = manifest::integration(content, &Trail::root(), None, &mut problems);
        match integration {
            Some(integration) if problems.is_empty() => Ok(integration),
            _ => Err(problems.into_vec().into_iter().map(Problem::into_issue).collect()),
        }
    }
}
