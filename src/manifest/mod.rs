//! `amp.yaml`: which integrations a project has, and what each may write.
//!
//! What a developer deploys is read, and held against mapping and catalogue, by [`crate::rules`]; here are the models, and how
//! a place in them is named. [`Integration`] is the typed view of one integration: only what writes need (objects, inherited
//! mappings); everything else stays in [`Integration::content`], which is served back as it was deployed.
//! [`config`] is the other half: what one customer chose in an installation.
//!
//! Everything here is pure: text and values in, values or [`Issue`]s out.

pub mod config;
pub(crate) mod keys;
pub(crate) mod locate;
mod model;
pub(crate) mod node;
mod render;
pub(crate) mod yaml;

use std::sync::Arc;

use serde::Serialize;

pub use config::{ConfigContent, ConfigLimits, ConfigRate, json_patch, mask, misplaced};
pub use model::{Integration, Manifest, ReadField, ReadObject, WriteObject};
pub use render::{render, render_warnings};

use crate::record_rules::RecordRules;
pub(crate) use keys::nearest;

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

/// What the catalogue of providers can tell the rules. They ask; they know no provider themselves.
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

/// A text without the byte order mark that some editors put first; YAML allows it there (1.2, 5.2).
#[must_use]
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
