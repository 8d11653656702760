//! Reading `config.content`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{ConfigContent, DynamicMapping, FieldSetting, ReadConfig, WriteConfig, WriteRule};
use crate::manifest::Issue;
use crate::manifest::node::{
    Problem, Problems, Step, Trail, flag, kind, list, mapping, member, required_text, text,
};

impl ConfigContent {
    /// Reads the content of a config. A `null` content is an empty one.
    ///
    /// # Errors
    /// Every problem at once; paths start at `config.content`, in the notation of an update mask.
    pub fn parse(content: &Value) -> Result<Self, Vec<Issue>> {
        let mut problems = Problems::default();
        let config = config(content, &mut problems).unwrap_or_default();
        if problems.is_empty() {
            return Ok(config);
        }
        Err(problems.into_vec().into_iter().map(issue).collect())
    }
}

/// The path of a problem as an update mask would name it.
pub(super) fn issue(problem: Problem) -> Issue {
    let mut path = String::from("config.content");
    for step in &problem.steps {
        match step {
            Step::Key(key) => push_key(&mut path, key),
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    Issue::new(path, problem.detail)
}

/// Adds one key to a mask path; `.` and `:` inside a key are escaped.
pub(crate) fn push_key(path: &mut String, key: &str) {
    path.push('.');
    for c in key.chars() {
        if matches!(c, '.' | ':' | '\\') {
            path.push('\\');
        }
        path.push(c);
    }
}

fn config(content: &Value, problems: &mut Problems) -> Option<ConfigContent> {
    if content.is_null() {
        return None;
    }
    let root = Trail::root();
    let map = mapping(content, &root, problems)?;
    let provider = match member(map, "provider") {
        Some((_, Value::String(name))) if name.is_empty() => None,
        _ => text(map, "provider", &root, problems),
    };
    Some(ConfigContent {
        provider,
        read: objects(map, "read", problems, read_object),
        write: objects(map, "write", problems, write_object),
        limits_objects: member(map, "write")
            .and_then(|(_, write)| member(write.as_object()?, "objects"))
            .is_some(),
    })
}

/// The objects of `read` or `write`, each with its key and place.
fn objects<T>(
    content: &Map<String, Value>,
    action: &str,
    problems: &mut Problems,
    each: impl Fn(&str, &Map<String, Value>, &Trail<'_>, &mut Problems) -> T,
) -> Vec<T> {
    let mut objects = Vec::new();
    let root = Trail::root();
    let Some((key, value)) = member(content, action) else {
        return objects;
    };
    let at = root.key(key);
    let Some(map) = mapping(value, &at, problems) else {
        return objects;
    };
    entries(map, "objects", &at, problems, |name, value, at, problems| {
        if let Some(map) = mapping(value, at, problems) {
            objects.push(each(name, map, at, problems));
        }
    });
    objects
}

/// Calls `each` for every member of the mapping `name` that is not `null`.
fn entries(
    map: &Map<String, Value>,
    name: &str,
    at: &Trail<'_>,
    problems: &mut Problems,
    mut each: impl FnMut(&str, &Value, &Trail<'_>, &mut Problems),
) {
    let Some((key, value)) = member(map, name) else {
        return;
    };
    let at = at.key(key);
    let Some(entries) = mapping(value, &at, problems) else {
        return;
    };
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
        each(key, value, &at.key(key), problems);
    }
}

fn read_object(key: &str, map: &Map<String, Value>, at: &Trail<'_>, problems: &mut Problems) -> ReadConfig {
    let object_name = object_name(key, map, at, problems);
    let mut object = ReadConfig {
        key: key.to_owned(),
        object_name,
        ..ReadConfig::default()
    };
    entries(
        map,
        "selectedFields",
        at,
        problems,
        |name, value, at, problems| match value {
            Value::Bool(selected) => object.selected_fields.push((name.to_owned(), *selected)),
            other => problems.error(at, format!("This must be true or false; it is {}.", kind(other))),
        },
    );
    if let Some((key, value)) = member(map, "selectedFieldMappings") {
        let at = at.key(key);
        for (name, value) in mapping(value, &at, problems).into_iter().flatten() {
            match value {
                Value::Null => object.selected_field_mappings.push((name.clone(), None)),
                Value::String(field) => {
                    let chosen = (!field.is_empty()).then(|| field.clone());
                    object.selected_field_mappings.push((name.clone(), chosen));
                }
                other => {
                    let detail = format!(
                        "This must be the name of the provider's field; it is {}.",
                        kind(other)
                    );
                    problems.error(&at.key(name), detail);
                }
            }
        }
    }
    entries(
        map,
        "selectedValueMappings",
        at,
        problems,
        |field, value, at, problems| {
            let mut values = HashMap::new();
            for (app, provider) in mapping(value, at, problems).into_iter().flatten() {
                match provider {
                    Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                        values.insert(app.clone(), provider.clone());
                    }
                    Value::Null => {}
                    other => {
                        let detail = format!("This must be the provider's value; it is {}.", kind(other));
                        problems.error(&at.key(app), detail);
                    }
                }
            }
            object.selected_value_mappings.push((field.to_owned(), values));
        },
    );
    if let Some((key, value)) = member(map, "dynamicMappingsInput") {
        let at = at.key(key);
        for (index, entry) in list(value, &at, problems).unwrap_or_default().iter().enumerate() {
            let at = at.index(index);
            let Some(entry) = mapping(entry, &at, problems) else {
                continue;
            };
            let field_name = match member(entry, "fieldName") {
                Some((_, Value::String(name))) if name.is_empty() => None,
                _ => text(entry, "fieldName", &at, problems),
            };
            let map_to_name = required_text(entry, "mapToName", &at, problems);
            object
                .dynamic_mappings
                .extend(map_to_name.map(|map_to_name| DynamicMapping {
                    map_to_name,
                    field_name,
                }));
        }
    }
    object
}

fn write_object(key: &str, map: &Map<String, Value>, at: &Trail<'_>, problems: &mut Problems) -> WriteConfig {
    let object_name = object_name(key, map, at, problems);
    let mut object = WriteConfig {
        key: key.to_owned(),
        object_name,
        ..WriteConfig::default()
    };
    object.inherit_mapping = flag(map, "inheritMapping", at, problems).unwrap_or(false);
    object.remove_unmapped_fields = flag(map, "removeUnmappedFields", at, problems).unwrap_or(false);
    if let Some((key, value)) = member(map, "deletionSettings") {
        let at = at.key(key);
        let settings = mapping(value, &at, problems);
        object.deletion_enabled = settings
            .and_then(|map| flag(map, "enabled", &at, problems))
            .unwrap_or(false);
    }
    entries(
        map,
        "selectedFieldSettings",
        at,
        problems,
        |name, value, at, problems| {
            if let Some(map) = mapping(value, at, problems) {
                object
                    .field_settings
                    .push((name.to_owned(), field_setting(map, at, problems)));
            }
        },
    );
    entries(
        map,
        "selectedValueDefaults",
        at,
        problems,
        |name, value, at, problems| {
            let Some((default, default_on_update)) = legacy_default(value, at, problems) else {
                return;
            };
            match object.field_settings.iter_mut().find(|(field, _)| field == name) {
                // The newer setting wins where it has a default of its own.
                Some((_, setting)) if setting.default.is_some() => {}
                Some((_, setting)) => {
                    setting.default = Some(default);
                    setting.default_on_update = default_on_update;
                }
                None => {
                    let setting = FieldSetting {
                        default: Some(default),
                        default_on_update,
                        ..FieldSetting::default()
                    };
                    object.field_settings.push((name.to_owned(), setting));
                }
            }
        },
    );
    object
}

fn object_name(key: &str, map: &Map<String, Value>, at: &Trail<'_>, problems: &mut Problems) -> String {
    match member(map, "objectName") {
        Some((_, Value::String(name))) if name.is_empty() => key.to_owned(),
        _ => text(map, "objectName", at, problems).unwrap_or_else(|| key.to_owned()),
    }
}

fn field_setting(map: &Map<String, Value>, at: &Trail<'_>, problems: &mut Problems) -> FieldSetting {
    let default =
        member(map, "default").and_then(|(key, value)| default_value(value, &at.key(key), problems));
    FieldSetting {
        default,
        default_on_update: true,
        write_on_create: write_rule(
            map,
            "writeOnCreate",
            &[WriteRule::Always, WriteRule::Never],
            at,
            problems,
        ),
        write_on_update: write_rule(map, "writeOnUpdate", &WriteRule::ALL, at, problems),
    }
}

impl WriteRule {
    const ALL: [Self; 3] = [Self::Always, Self::Never, Self::IfEmpty];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::IfEmpty => "ifEmpty",
        }
    }
}

fn write_rule(
    map: &Map<String, Value>,
    name: &str,
    allowed: &[WriteRule],
    at: &Trail<'_>,
    problems: &mut Problems,
) -> WriteRule {
    let Some((key, value)) = member(map, name) else {
        return WriteRule::Always;
    };
    let given = value.as_str();
    if given == Some("") {
        return WriteRule::Always;
    }
    let rule = allowed.iter().copied().find(|rule| given == Some(rule.as_str()));
    rule.unwrap_or_else(|| {
        let words: Vec<&str> = allowed.iter().map(|rule| rule.as_str()).collect();
        problems.error(
            &at.key(key),
            format!("{name} must be one of {}; it is {value}.", words.join(", ")),
        );
        WriteRule::Always
    })
}

/// `{stringValue | integerValue | numberValue | booleanValue}`; exactly one of them, or none for no default.
fn default_value(value: &Value, at: &Trail<'_>, problems: &mut Problems) -> Option<Value> {
    let map = mapping(value, at, problems)?;
    type Check = fn(&Value) -> bool;
    let kinds: [(&str, Check, &str); 4] = [
        ("stringValue", Value::is_string, "text"),
        ("integerValue", is_integer, "a whole number"),
        ("numberValue", Value::is_number, "a number"),
        ("booleanValue", Value::is_boolean, "true or false"),
    ];
    let mut found = None;
    for (name, fits, wanted) in kinds {
        let Some((key, value)) = member(map, name) else {
            continue;
        };
        if !fits(value) {
            problems.error(
                &at.key(key),
                format!("{name} must be {wanted}; it is {}.", describe(value)),
            );
        } else if let Some((first, _)) = found {
            problems.error(
                at,
                format!("A default has one value; both {first} and {name} are given."),
            );
        } else {
            found = Some((name, value.clone()));
        }
    }
    found.map(|(_, value)| value)
}

fn describe(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => kind(other).to_owned(),
    }
}

/// Whether a number is written without a fraction and without an exponent.
pub(crate) fn is_integer(value: &Value) -> bool {
    let Value::Number(number) = value else {
        return false;
    };
    let digits = number.as_str();
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The older `selectedValueDefaults`: `{value, applyOnUpdate}`, or just the value.
fn legacy_default(value: &Value, at: &Trail<'_>, problems: &mut Problems) -> Option<(Value, bool)> {
    let Value::Object(map) = value else {
        if value.is_array() {
            problems.error(at, "This must be {value, applyOnUpdate}; it is a list.");
            return None;
        }
        return Some((value.clone(), true));
    };
    let rules = [WriteRule::Always, WriteRule::Never];
    let on_update = write_rule(map, "applyOnUpdate", &rules, at, problems) == WriteRule::Always;
    let Some((key, value)) = member(map, "value") else {
        problems.error(&at.key("value"), "value is missing.");
        return None;
    };
    if value.is_object() || value.is_array() {
        problems.error(
            &at.key(key),
            format!(
                "value must be text, a number, true or false; it is {}.",
                kind(value)
            ),
        );
        return None;
    }
    Some((value.clone(), on_update))
}
