//! `amp.yaml`: which integrations a project has, and what each may write.
//!
//! [`parse`] reads the source a developer deploys and reports every problem at once, each with its path and
//! line. [`Integration`] is the typed view of one integration: only what writes need (objects, inherited
//! mappings); everything else stays in [`Integration::content`], which is served back as it was deployed.
//! [`config`] is the other half: what one customer chose in an installation.
//!
//! Everything here is pure: text and values in, values or [`Issue`]s out.

pub mod config;
mod inherit;
mod keys;
mod locate;
mod model;
mod node;
mod render;
mod rules;
mod yaml;

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

pub use config::{
    ConfigContent, ConfigLimits, ConfigRate, check_against, check_for, json_patch, mask, misplaced,
};
pub use model::{Integration, Manifest, ReadField, ReadObject, WriteObject};
pub use render::{render, render_warnings};

use node::{Problem, Problems, Trail};

use crate::record_rules::RecordRules;

/// The only manifest version there is.
pub const SPEC_VERSION: &str = "1.0.0";

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// Where: `$.integrations[0].write.objects[1].objectName` in a manifest, `config.content.…` in a config,
    /// `updateMask[0]` or `changes[0].path` in a change request.
    pub path: String,
    /// The line in the YAML source, counted from 1. `None` when there is no source or no single line is at
    /// fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is wrong and what to do, one plain sentence or two.
    pub detail: String,
}

impl Issue {
    /// An issue without a line.
    pub(crate) fn new(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: None,
            detail: detail.into(),
        }
    }
}

/// What the catalogue of providers can tell the rules. The manifest module asks; it knows no provider itself.
pub trait Providers {
    /// Whether this provider name is in the catalogue.
    fn knows(&self, provider: &str) -> bool;
    /// Whether records can be written to this provider.
    fn can_write(&self, provider: &str) -> bool;
    /// Whether the provider has this module.
    fn knows_module(&self, provider: &str, module: &str) -> bool;
    /// Whether records of this object can be written. `module` is the integration's `module`, when it names
    /// one.
    fn supports_object(&self, provider: &str, module: Option<&str>, object: &str) -> bool;
    /// Which names and ids mean one thing to the provider.
    fn record_rules(&self, _provider: &str, _module: Option<&str>) -> Arc<RecordRules> {
        Arc::default()
    }
}

/// Reads the text of an `amp.yaml` and checks every rule.
///
/// # Errors
/// All problems at once, in document order, each with the line where it can be found. A source that is not
/// YAML, is over 1 MiB, nests too deeply or expands too far through aliases gives one issue at `$`.
pub fn parse(source_yaml: &str, providers: &dyn Providers) -> Result<Manifest, Vec<Issue>> {
    let document = yaml::read(source_yaml).map_err(|issue| vec![issue])?;
    let mut problems = Problems::default();
    let manifest = rules::manifest(&document, providers, &mut problems);
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
        let integration = rules::integration(content, &Trail::root(), None, &mut problems);
        match integration {
            Some(integration) if problems.is_empty() => Ok(integration),
            _ => Err(problems.into_vec().into_iter().map(Problem::into_issue).collect()),
        }
    }
}
