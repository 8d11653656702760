//! Every key and every type that is wrong in a file, by its schema: a file that cannot be read as a whole is told all at
//! once.

use serde_json::{Map, Value};

use crate::connectors::declarative::compile::Problem;

/// The problems of a document by `schema.json`; empty when it fits or the schema cannot be read.
pub(super) fn problems(schema: &str, document: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Ok(root) = serde_json::from_str::<Value>(schema) {
        Check { root: &root }.value(&root, document, "", &mut found);
    }
    found
}

struct Check<'s> {
    root: &'s Value,
}

impl Check<'_> {
    fn value(&self, schema: &Value, value: &Value, path: &str, found: &mut Vec<Problem>) {
        let mut problem = |message: String| {
            let path = path.to_owned();
            found.push(Problem { path, message });
        };
        if let Some(target) = schema["$ref"].as_str() {
            if let Some(target) = self.root.pointer(target.trim_start_matches('#')) {
                self.value(target, value, path, found);
            }
            return;
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            return self.choices(choices, value, path, found);
        }
        if let Some(only) = schema.get("const").filter(|only| *only != value) {
            return problem(format!("has to be {only}"));
        }
        if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
            let words: Vec<String> = words.iter().map(|word| format!("`{}`", text(word))).collect();
            return problem(format!("`{}` has to be one of {}", text(value), words.join(", ")));
        }
        if let Some(wanted) = schema["type"].as_str().filter(|wanted| !is_a(wanted, value)) {
            return problem(format!("has to be {}", in_words(wanted)));
        }
        match value {
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.value(&schema["items"], item, &format!("{path}.{i}"), found);
                }
            }
            Value::Object(map) => self.object(schema, map, path, found),
            _ => {}
        }
    }

    fn object(&self, schema: &Value, map: &Map<String, Value>, path: &str, found: &mut Vec<Problem>) {
        for key in schema["required"].as_array().into_iter().flatten() {
            if let Some(key) = key.as_str().filter(|key| !map.contains_key(*key)) {
                let (path, message) = (path.to_owned(), format!("`{key}` is missing"));
                found.push(Problem { path, message });
            }
        }
        for (key, item) in map {
            let here = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            match (schema["properties"].get(key), &schema["additionalProperties"]) {
                (Some(own), _) => self.value(own, item, &here, found),
                (None, Value::Bool(false)) => {
                    let known = schema["properties"].as_object().into_iter().flatten();
                    let known: Vec<String> = known.map(|(key, _)| format!("`{key}`")).collect();
                    found.push(Problem {
                        path: here,
                        message: format!("`{key}` is not a key here; there are {}", known.join(", ")),
                    });
                }
                (None, others) => self.value(others, item, &here, found),
            }
        }
    }

    /// A value that may have several forms: when it has none, what is wrong with the form that is closest.
    fn choices(&self, choices: &[Value], value: &Value, path: &str, found: &mut Vec<Problem>) {
        let mut closest: Option<Vec<Problem>> = None;
        for choice in choices {
            let mut wrong = Vec::new();
            self.value(choice, value, path, &mut wrong);
            if wrong.is_empty() {
                return;
            }
            // A problem further in means that the form itself is the right one.
            let further_in = wrong.iter().any(|problem| problem.path != path);
            if further_in || closest.is_none() {
                closest = Some(wrong);
            }
        }
        found.extend(closest.into_iter().flatten());
    }
}

fn is_a(wanted: &str, value: &Value) -> bool {
    match wanted {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_i64().is_some(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn in_words(wanted: &str) -> &str {
    match wanted {
        "string" => "a text; put it in quotes",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a list",
        "object" => "a mapping of keys",
        other => other,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
