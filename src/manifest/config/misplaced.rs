//! What stands in a config where it does nothing.

use serde_json::Value;

use super::parse::push_key;

/// What acts under `read` only: writes inherit it from there.
const OF_READ: [&str; 4] = [
    "selectedFieldMappings",
    "selectedValueMappings",
    "selectedFields",
    "dynamicMappingsInput",
];

/// The paths under `config.content.write` that hold choices which act under `read` alone. Such a config is valid, and
/// surely not what was meant.
#[must_use]
pub fn misplaced(content: &Value) -> Vec<String> {
    let objects = content.pointer("/write/objects").and_then(Value::as_object);
    let mut found = Vec::new();
    for (name, object) in objects.into_iter().flatten() {
        for key in OF_READ
            .iter()
            .filter(|key| object.get(**key).is_some_and(|value| !value.is_null()))
        {
            let mut path = String::from("config.content.write.objects");
            push_key(&mut path, name);
            push_key(&mut path, key);
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::misplaced;

    #[test]
    fn choices_that_act_under_read_only_are_found_under_write() {
        let content = json!({
            "read": {"objects": {"contacts": {"selectedFieldMappings": {"a": "b"}}}},
            "write": {"objects": {"my.object": {"selectedFieldMappings": {"a": "b"}, "selectedFieldSettings": {}, "selectedFields": null}}},
        });
        assert_eq!(
            misplaced(&content),
            ["config.content.write.objects.my\\.object.selectedFieldMappings"]
        );
        assert!(misplaced(&json!({"write": null})).is_empty());
        assert!(misplaced(&json!([])).is_empty());
    }
}
