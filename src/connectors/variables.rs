//! The variables of a connection.

use std::collections::BTreeMap;

use serde_json::Value;

/// `workspace` and whatever else the provider's metadata holds (`{"name": {"value": "…"}}` or plain texts).
#[must_use]
pub fn connection_vars(workspace: Option<&str>, metadata: Option<&str>) -> BTreeMap<String, String> {
    let mut vars = BTreeMap::new();
    if let Some(Value::Object(metadata)) = metadata.and_then(|text| serde_json::from_str(text).ok()) {
        for (name, value) in metadata {
            if let Some(text) = value.get("value").unwrap_or(&value).as_str() {
                vars.insert(name, text.to_owned());
            }
        }
    }
    if let Some(workspace) = workspace {
        vars.insert("workspace".to_owned(), workspace.to_owned());
    }
    vars
}
