//! Changing one object's config by JSON Patch (RFC 6902): `add`, `remove` and `replace`.
//!
//! Operations are read key by key: a tagged enum, as a ready-made type would have it, loses the digits of
//! numbers.

use serde_json::Value;

use crate::manifest::Issue;
use crate::manifest::node::kind;

/// Applies operations in order to the config of one object.
///
/// # Errors
/// Every operation that is not one; else the first that cannot be applied, since what follows builds on it.
/// Paths are `changes[0].path` and so on. Then nothing is changed.
pub fn apply(object_config: &Value, ops: &[Value]) -> Result<Value, Vec<Issue>> {
    let mut parsed = Vec::with_capacity(ops.len());
    let mut issues = Vec::new();
    for (index, op) in ops.iter().enumerate() {
        match parse(op) {
            Ok(operation) => parsed.push(operation),
            Err((member, detail)) => issues.push(Issue::new(format!("changes[{index}]{member}"), detail)),
        }
    }
    if !issues.is_empty() {
        return Err(issues);
    }
    let mut changed = object_config.clone();
    for (index, operation) in parsed.iter().enumerate() {
        if let Err(detail) = operation.apply(&mut changed) {
            return Err(vec![Issue::new(format!("changes[{index}].path"), detail)]);
        }
    }
    if !changed.is_object() {
        let detail = format!(
            "The config of an object must stay an object; it would be {}.",
            kind(&changed)
        );
        return Err(vec![Issue::new("changes", detail)]);
    }
    Ok(changed)
}

enum Kind<'o> {
    Add(&'o Value),
    Remove,
    Replace(&'o Value),
}

struct Operation<'o> {
    path: &'o str,
    /// The unescaped parts of the path.
    parts: Vec<String>,
    kind: Kind<'o>,
}

/// Reads one operation; an error names the member at fault, such as `.op`.
fn parse(op: &Value) -> Result<Operation<'_>, (&'static str, String)> {
    let Some(members) = op.as_object() else {
        return Err((
            "",
            format!(
                "An operation must be an object {{op, path, value}}; it is {}.",
                kind(op)
            ),
        ));
    };
    let name = members.get("op").and_then(Value::as_str);
    let value = || {
        members
            .get("value")
            .ok_or((".value", "value is missing; add and replace need one.".to_owned()))
    };
    let kind = match name {
        Some("add") => Kind::Add(value()?),
        Some("remove") => Kind::Remove,
        Some("replace") => Kind::Replace(value()?),
        Some(other) => {
            return Err((
                ".op",
                format!("op must be add, remove or replace; it is {other}."),
            ));
        }
        None => {
            return Err((
                ".op",
                "op is missing. It must be add, remove or replace.".to_owned(),
            ));
        }
    };
    let Some(path) = members.get("path").and_then(Value::as_str) else {
        return Err((
            ".path",
            "path is missing. It is a JSON Pointer such as /selectedFields/phone.".to_owned(),
        ));
    };
    let Some(parts) = parts(path) else {
        let detail = format!(
            "`{path}` is not a JSON Pointer; those look like /selectedFields/phone (~1 for /, ~0 for ~)."
        );
        return Err((".path", detail));
    };
    Ok(Operation { path, parts, kind })
}

/// The parts of a JSON Pointer (RFC 6901). `None` when it does not start with `/` or has a wrong escape.
fn parts(path: &str) -> Option<Vec<String>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    path.strip_prefix('/')?
        .split('/')
        .map(|part| {
            let mut text = String::with_capacity(part.len());
            let mut chars = part.chars();
            while let Some(c) = chars.next() {
                text.push(match c {
                    '~' => match chars.next()? {
                        '0' => '~',
                        '1' => '/',
                        _ => return None,
                    },
                    other => other,
                });
            }
            Some(text)
        })
        .collect()
}

impl Operation<'_> {
    fn apply(&self, document: &mut Value) -> Result<(), String> {
        let Some((last, outer)) = self.parts.split_last() else {
            return match self.kind {
                Kind::Add(value) | Kind::Replace(value) => {
                    *document = value.clone();
                    Ok(())
                }
                Kind::Remove => Err("The whole config of an object cannot be removed.".to_owned()),
            };
        };
        let mut holder = document;
        for part in outer {
            let inner = match holder {
                Value::Object(map) => map.get_mut(part),
                Value::Array(list) => index(part, list.len()).and_then(|index| list.get_mut(index)),
                _ => None,
            };
            holder = inner.ok_or_else(|| format!("`{}`: there is no `{part}` to go into.", self.path))?;
        }
        match holder {
            Value::Object(map) => match self.kind {
                Kind::Add(value) => {
                    map.insert(last.clone(), value.clone());
                    Ok(())
                }
                Kind::Replace(value) => {
                    let there = map.get_mut(last);
                    there
                        .map(|there| *there = value.clone())
                        .ok_or_else(|| self.nothing_there())
                }
                // Not `remove`: that would change the order of the keys.
                Kind::Remove => map
                    .shift_remove(last)
                    .map(drop)
                    .ok_or_else(|| self.nothing_there()),
            },
            Value::Array(list) => match self.kind {
                Kind::Add(value) => {
                    let at = if last == "-" {
                        Some(list.len())
                    } else {
                        index(last, list.len() + 1)
                    };
                    list.insert(at.ok_or_else(|| self.nothing_there())?, value.clone());
                    Ok(())
                }
                Kind::Replace(value) => {
                    let there = index(last, list.len()).and_then(|index| list.get_mut(index));
                    there
                        .map(|there| *there = value.clone())
                        .ok_or_else(|| self.nothing_there())
                }
                Kind::Remove => {
                    let at = index(last, list.len()).ok_or_else(|| self.nothing_there())?;
                    list.remove(at);
                    Ok(())
                }
            },
            other => Err(format!(
                "`{}`: what should hold `{last}` is {}.",
                self.path,
                kind(other)
            )),
        }
    }

    fn nothing_there(&self) -> String {
        format!("`{}`: there is nothing at this path.", self.path)
    }
}

/// A list index as RFC 6901 writes it: digits, no leading zero, below `len`.
fn index(part: &str, len: usize) -> Option<usize> {
    let plain = part == "0" || (!part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit()));
    part.parse().ok().filter(|index| plain && *index < len)
}
