//! What a config must be, before it is stored.

use serde_json::Value;

use crate::control::{Actor, Control, Error, Kind};
use crate::manifest::{ConfigContent, ConfigLimits, Integration, Issue, Providers as _};
use crate::rules::check_for;
use crate::store;

impl Control {
    /// Checks a config against the integration.
    pub(super) fn check_config(
        &self,
        integration: &store::Integration,
        content: &Value,
    ) -> Result<(), Error> {
        let revision: Value = serde_json::from_str(&integration.content).unwrap_or_default();
        let parsed = Integration::from_content(&revision).map_err(broken)?;
        let config = ConfigContent::parse(content).map_err(broken)?;
        let rules = self
            .catalog
            .record_rules(&parsed.provider, parsed.module.as_deref());
        let mut issues = check_for(&rules, &config, &parsed);
        issues.extend(ConfigLimits::parse(content).err().unwrap_or_default());
        if issues.is_empty() {
            Ok(())
        } else {
            Err(broken(issues))
        }
    }
}

fn broken(issues: Vec<Issue>) -> Error {
    Error::issues(Kind::Invalid, "the config does not fit the integration", issues)
        .remedy("Mend what `issues` lists; nothing was changed.")
}

/// A customer's browser does not decide how fast its writes go: other limits than before need a full key.
pub(super) fn check_limits(actor: &Actor, before: &Value, after: &Value) -> Result<(), Error> {
    // What cannot be read is told as such.
    let limits = |content| ConfigLimits::parse(content).unwrap_or_default();
    if limits(before) == limits(after) {
        return Ok(());
    }
    actor.require_full()
}
