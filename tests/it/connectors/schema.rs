//! `connectors/schema.json`, which editors use, says the same as the engine about every file.

use amp_write::connectors::{Catalog, parse};
use serde_json::Value;

const SCHEMA: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/connectors/schema.json"));

/// The part of JSON Schema that the file uses. Answers the paths at which a value does not fit.
pub fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).unwrap();
        return check(root, target, value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = choices
            .iter()
            .any(|choice| check(root, choice, value, at).is_empty());
        return if fits {
            Vec::new()
        } else {
            vec![format!("{at}: fits none of the choices")]
        };
    }
    if let Some(only) = schema.get("const") {
        return if only == value {
            Vec::new()
        } else {
            vec![format!("{at}: is not {only}")]
        };
    }
    if let Some(words) = schema["enum"].as_array() {
        return if words.contains(value) {
            Vec::new()
        } else {
            vec![format!("{at}: {value} is not a word for it")]
        };
    }
    let fits = match schema["type"].as_str() {
        None => true,
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.as_i64().is_some(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        Some(other) => panic!("the schema has a type {other}"),
    };
    if !fits {
        return vec![format!("{at}: is not a {}", schema["type"])];
    }
    let mut problems = Vec::new();
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        problems.extend(check(root, &schema["items"], item, &format!("{at}[{i}]")));
    }
    if let Some(map) = value.as_object() {
        for key in schema["required"].as_array().into_iter().flatten() {
            if !map.contains_key(key.as_str().unwrap()) {
                problems.push(format!("{at}: {key} is missing"));
            }
        }
        for (key, item) in map {
            let here = format!("{at}.{key}");
            match (schema["properties"].get(key), &schema["additionalProperties"]) {
                (Some(own), _) => problems.extend(check(root, own, item, &here)),
                (None, Value::Bool(false)) => problems.push(format!("{here}: is not known")),
                (None, others) => problems.extend(check(root, others, item, &here)),
            }
        }
    }
    problems
}

fn problems(text: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    check(&schema, &schema, &serde_yaml::from_str(text).unwrap(), "$")
}

#[test]
fn every_builtin_file_fits_the_schema() {
    let catalog = Catalog::builtin();
    let mut all = Vec::new();
    for name in catalog.names() {
        let found = problems(catalog.builtin_text(name).unwrap());
        all.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_schema_and_the_engine_refuse_the_same_mistakes() {
    let good = Catalog::builtin().builtin_text("hubspot").unwrap();
    assert!(problems(good).is_empty());
    for (from, to) in [
        ("open: true", "opne: true"),
        ("method: POST", "mehtod: POST"),
        ("rotation: stable", "rotation: sometimes"),
        ("as: conflict", "as: clash"),
        ("id_required: true", "id_required: 1"),
        ("associations: [create]", "associations: create"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(bad != good && !problems(&bad).is_empty(), "the schema takes {to}");
        assert!(
            parse("hubspot.yaml", &bad, None).is_err(),
            "the engine takes {to}"
        );
    }
}
