//! Form bodies.

use serde_json::Value;

use super::escape::push_form;

/// Writes members as a form. Nested values become `a[b]` and `list[0]`, or, when `flat`, a list repeats its key and
/// other nested values are JSON texts.
#[must_use]
pub fn form<'v>(members: impl Iterator<Item = (&'v String, &'v Value)>, flat: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for (key, value) in members {
        pair(&mut out, key, value, flat);
    }
    out
}

fn pair(out: &mut Vec<u8>, name: &str, value: &Value, flat: bool) {
    match value {
        Value::Array(items) if flat => items.iter().for_each(|item| leaf(out, name, item)),
        Value::Object(_) if flat => leaf(out, name, value),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, item)| pair(out, &format!("{name}[{i}]"), item, flat));
        }
        Value::Object(map) => {
            map.iter()
                .for_each(|(key, item)| pair(out, &format!("{name}[{key}]"), item, flat));
        }
        _ => leaf(out, name, value),
    }
}

/// One name and its value; what is no text, number or truth value is written as JSON.
fn leaf(out: &mut Vec<u8>, name: &str, value: &Value) {
    if !out.is_empty() {
        out.push(b'&');
    }
    push_form(out, name);
    out.push(b'=');
    match value {
        Value::String(text) => push_form(out, text),
        Value::Null => {}
        other => push_form(out, &other.to_string()),
    }
}
