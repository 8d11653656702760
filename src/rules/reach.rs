//! Names that no request can reach, and text that no store can keep.

use serde_json::Value;
use uuid::Uuid;

use crate::manifest::node::{Problems, Trail, member};

/// Adds a problem for each. Only for a manifest that is deployed now: what is stored stays readable.
pub(super) fn check(document: &Value, problems: &mut Problems) {
    no_nul(document, &Trail::root(), problems);
    let root = Trail::root();
    let Some((key, Value::Array(integrations))) =
        document.as_object().and_then(|map| member(map, "integrations"))
    else {
        return;
    };
    let at = root.key(key);
    for (index, integration) in integrations.iter().enumerate() {
        let at = at.index(index);
        let Some(map) = integration.as_object() else {
            continue;
        };
        name(integration, "name", &at, true, problems);
        for (action, keys) in [
            ("write", &["objectName"][..]),
            ("read", &["objectName", "mapToName"][..]),
        ] {
            let Some((key, found)) = member(map, action) else {
                continue;
            };
            let at = at.key(key);
            let objects = found.as_object().and_then(|map| member(map, "objects"));
            let Some((key, Value::Array(objects))) = objects else {
                continue;
            };
            let at = at.key(key);
            for (index, object) in objects.iter().enumerate() {
                for key in keys {
                    name(object, key, &at.index(index), false, problems);
                }
            }
        }
    }
}

/// A name that stands in paths.
fn name(of: &Value, key: &str, at: &Trail<'_>, by_id_too: bool, problems: &mut Problems) {
    let Some((key, Value::String(name))) = of.as_object().and_then(|map| member(map, key)) else {
        return;
    };
    let detail = if matches!(name.as_str(), "." | "..") {
        "`.` and `..` are steps of a path, so that no request would reach this name. Choose another one."
    } else if by_id_too && Uuid::try_parse(name).is_ok() {
        "This name reads like an id, so that requests which name it would look for that id. Choose another one."
    } else {
        return;
    };
    problems.error(&at.key(key), detail);
}

/// NUL cannot be stored on every database, nor stand in a path.
fn no_nul(value: &Value, at: &Trail<'_>, problems: &mut Problems) {
    let detail = "This holds a NUL character (\\0), which cannot be stored. Leave it out.";
    match value {
        Value::String(text) if text.contains('\0') => problems.error(at, detail),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                no_nul(value, &at.index(index), problems);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let at = at.key(key);
                if key.contains('\0') {
                    problems.error(&at, detail);
                }
                no_nul(value, &at, problems);
            }
        }
        _ => {}
    }
}
