//! Where a value lies in a JSON document: `data.id`, `items[0].id`, `errors[].message`, `[-1]`, `*`, `$`, `['a.b']`.

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Seg>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seg {
    Key(String),
    Index(i64),
    Each,
    First,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut segs = Vec::new();
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        if text.is_empty() {
            return Err("an empty path; write `$` for the whole document".into());
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("['") {
                let Some((key, after)) = after.split_once("']") else {
                    return Err(format!("`{text}`: `['` is not closed"));
                };
                segs.push(Seg::Key(key.to_owned()));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('[') {
                let Some((inside, after)) = after.split_once(']') else {
                    return Err(format!("`{text}`: `[` is not closed"));
                };
                segs.push(if inside.is_empty() {
                    Seg::Each
                } else {
                    Seg::Index(
                        inside
                            .parse()
                            .map_err(|_| format!("`{text}`: `[{inside}]` is no index"))?,
                    )
                });
                rest = after;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let key = &rest[..end];
                if key.is_empty() {
                    return Err(format!("`{text}`: a key is empty"));
                }
                segs.push(if key == "*" {
                    Seg::First
                } else {
                    Seg::Key(key.to_owned())
                });
                rest = &rest[end..];
            }
            if let Some(after) = rest.strip_prefix('.') {
                if after.is_empty() {
                    return Err(format!("`{text}` ends with a dot"));
                }
                rest = after;
            }
        }
        Ok(Self(segs))
    }

    /// The first value at the path that is not null.
    #[must_use]
    pub fn first<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        let mut found = None;
        walk(root, &self.0, &mut |v| {
            found = Some(v);
            false
        });
        found
    }

    /// All values at the path that are not null.
    #[must_use]
    pub fn all<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        let mut found = Vec::new();
        walk(root, &self.0, &mut |v| {
            found.push(v);
            true
        });
        found
    }
}

/// Calls `take` for each value; it answers whether to go on.
fn walk<'v>(value: &'v Value, segs: &[Seg], take: &mut dyn FnMut(&'v Value) -> bool) -> bool {
    let Some((seg, rest)) = segs.split_first() else {
        return value.is_null() || take(value);
    };
    match (seg, value) {
        (Seg::Key(key), Value::Object(map)) => map.get(key).is_none_or(|v| walk(v, rest, take)),
        (Seg::Index(index), Value::Array(items)) => {
            let at = if *index < 0 {
                items.len() as i64 + index
            } else {
                *index
            };
            usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at))
                .is_none_or(|v| walk(v, rest, take))
        }
        (Seg::Each, Value::Array(items)) => items.iter().all(|v| walk(v, rest, take)),
        (Seg::First, Value::Object(map)) => map.values().next().is_none_or(|v| walk(v, rest, take)),
        (Seg::First, Value::Array(items)) => items.first().is_none_or(|v| walk(v, rest, take)),
        _ => true,
    }
}

/// A scalar as text: strings as they are, numbers digit for digit (an integer written `5.0` loses its fraction).
#[must_use]
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => {
            let digits = n.to_string();
            Some(match digits.split_once('.') {
                Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b == b'0') => {
                    whole.to_owned()
                }
                _ => digits,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(path: &str, doc: &Value) -> Vec<String> {
        JsonPath::parse(path)
            .unwrap()
            .all(doc)
            .into_iter()
            .filter_map(scalar)
            .collect()
    }

    #[test]
    fn paths_find_keys_indexes_lists_and_first_members() {
        let doc = json!({"a": {"b.c": 1}, "l": [{"x": 1}, {"y": 0}, {"x": 3}], "m": {"first": {"x": "z"}}, "n": null});
        assert_eq!(ids("a['b.c']", &doc), ["1"]);
        assert_eq!(ids("l[].x", &doc), ["1", "3"]);
        assert_eq!(ids("l[0].x", &doc), ["1"]);
        assert_eq!(ids("l[-1].x", &doc), ["3"]);
        assert_eq!(ids("m.*.x", &doc), ["z"]);
        assert_eq!(ids("n", &doc), [""; 0]);
        assert_eq!(ids("l[9].x", &doc), [""; 0]);
        assert_eq!(ids("$", &json!("bare")), ["bare"]);
        assert_eq!(ids("$[0]", &json!([7])), ["7"]);
        assert_eq!(ids("[0]", &json!([7])), ["7"]);
    }

    #[test]
    fn malformed_paths_are_refused() {
        for bad in ["", "a..b", "a[", "a[x]", "a.", "['a"] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn integers_written_with_a_fraction_become_plain_text() {
        let value: Value = serde_json::from_str("[12345678901234567890, 5.0, 5.5, true]").unwrap();
        let texts: Vec<_> = value.as_array().unwrap().iter().filter_map(scalar).collect();
        assert_eq!(texts, ["12345678901234567890", "5", "5.5", "true"]);
    }
}
