//! Changing an installation by update mask.

use serde_json::{Map, Value};

use super::parse::push_key;
use crate::manifest::Issue;
use crate::manifest::node::kind;

/// What a mask may name, as an error tells it.
const ALLOWED: &str = "connectionId, config.createdBy, config.content.read.objects.<objectName>, \
     config.content.read.objects.<objectName>.disabled, \
     config.content.write.objects, config.content.write.objects.<objectName>, config.content.write.limits, \
     config.content.subscribe.objects, \
     config.content.subscribe.objects.<objectName>, config.content.proxy.enabled";

/// Replaces what the masks name by what `patch` has there; everything else stays.
///
/// `current` and `patch` have the shape `{connectionId, config: {createdBy, content}}`. A mask is a row of
/// keys joined by `.`; inside a key `.`, `:` and `\` may be escaped by `\`. Object names need no escapes,
/// since nothing deeper than an object can be named, except for `disabled` of a read object. No mask changes nothing. `{}` for a whole map clears it.
///
/// # Errors
/// Every mask that names nothing allowed, or whose value is missing in `patch` or has the wrong type; paths
/// are `updateMask[0]` and so on. Then nothing is changed.
pub fn apply(current: &Value, mask: &[String], patch: &Value) -> Result<Value, Vec<Issue>> {
    let mut changed = current.clone();
    let mut issues = Vec::new();
    for (index, path) in mask.iter().enumerate() {
        if let Err(detail) = apply_one(&mut changed, path, patch) {
            issues.push(Issue::new(format!("updateMask[{index}]"), detail));
        }
    }
    if issues.is_empty() {
        Ok(changed)
    } else {
        Err(issues)
    }
}

/// What a masked value must be.
#[derive(Clone, Copy)]
enum Wanted {
    Text,
    Flag,
    Object,
}

fn apply_one(changed: &mut Value, path: &str, patch: &Value) -> Result<(), String> {
    let keys = split(path);
    let words: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (keys, wanted) = match words.as_slice() {
        ["connectionId"] | ["config", "createdBy"] => (keys, Wanted::Text),
        ["config", "content", "proxy", "enabled"] => (keys, Wanted::Flag),
        ["config", "content", "write" | "subscribe", "objects"]
        | ["config", "content", "write", "limits"] => (keys, Wanted::Object),
        [
            "config",
            "content",
            "read" | "write" | "subscribe",
            "objects",
            name @ ..,
        ] if name.iter().any(|part| !part.is_empty()) => {
            // An object's name may itself hold dots: everything after `objects.` is the name.
            let action = words[2];
            let (whole, stem) = (name.join("."), name.split_last());
            let object = |name: &str| {
                patch
                    .pointer("/config/content")?
                    .get(action)?
                    .get("objects")?
                    .get(name)
            };
            // But a client that stops and starts the reading of an object names the flag alone.
            let flag = match stem {
                Some((&"disabled", stem)) if action == "read" && object(&whole).is_none() => {
                    Some(stem.join("."))
                }
                _ => None,
            }
            .filter(|name| object(name).is_some_and(|object| object.get("disabled").is_some()));
            let mut keys = keys[..4].to_vec();
            match flag {
                Some(name) => {
                    keys.extend([name, "disabled".to_owned()]);
                    (keys, Wanted::Flag)
                }
                None => {
                    keys.push(whole);
                    (keys, Wanted::Object)
                }
            }
        }
        _ => return Err(format!("`{path}` cannot be updated. Masks may name: {ALLOWED}.")),
    };
    let value = keys
        .iter()
        .try_fold(patch, |value, key| value.get(key))
        .filter(|value| !value.is_null());
    let Some(value) = value else {
        return Err(format!(
            "The mask names `{path}`, but installation.{} has no value.",
            join(&keys)
        ));
    };
    let fits = match wanted {
        Wanted::Text => value.as_str().is_some_and(|text| !text.is_empty()),
        Wanted::Flag => value.is_boolean(),
        Wanted::Object => value.is_object(),
    };
    if !fits {
        let wanted = match wanted {
            Wanted::Text => "text that is not empty",
            Wanted::Flag => "true or false",
            Wanted::Object => "an object",
        };
        return Err(format!(
            "installation.{} must be {wanted}; it is {}.",
            join(&keys),
            kind(value)
        ));
    }
    put(changed, &keys, value.clone());
    Ok(())
}

/// Writes a value, making the objects on the way; whatever else stands in the way is replaced.
fn put(place: &mut Value, keys: &[String], value: Value) {
    let Some((key, inner)) = keys.split_first() else {
        *place = value;
        return;
    };
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    if let Value::Object(map) = place {
        put(map.entry(key.clone()).or_insert(Value::Null), inner, value);
    }
}

/// Splits a mask at its unescaped dots and takes the escapes out.
fn split(path: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        let c = match c {
            '.' => {
                keys.push(String::new());
                continue;
            }
            '\\' => chars
                .next_if(|next| matches!(next, '.' | ':' | '\\'))
                .unwrap_or('\\'),
            other => other,
        };
        if let Some(key) = keys.last_mut() {
            key.push(c);
        }
    }
    keys
}

fn join(keys: &[String]) -> String {
    let mut path = String::new();
    for key in keys {
        push_key(&mut path, key);
    }
    path.split_off(1)
}
