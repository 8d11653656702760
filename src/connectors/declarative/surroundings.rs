//! What a connector knows beside the plan.

use std::collections::BTreeMap;

use super::compile::Compiled;

/// What a connector knows beside the plan.
pub struct Surroundings<'a> {
    /// The module.
    pub module: &'a Compiled,
    /// The provider's name, for messages.
    pub provider: &'a str,
    /// Replaces scheme and host of every URL.
    pub rebase: Option<&'a str>,
    /// Default values of variables.
    pub var_defaults: &'a BTreeMap<String, String>,
    /// Names of headers that carry credentials.
    pub credential_headers: &'a [String],
}
