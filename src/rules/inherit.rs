//! The rules for mappings that writes inherit: they can be written, and no two names mean one place.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::manifest::Integration;
use crate::manifest::node::{Problems, Step, Trail, member};
use crate::mapping::fields::{Fields, FieldsError};
use crate::mapping::{FieldPath, PathError};
use crate::record_rules::RecordRules;

/// Checks every write object of one integration; `map` is the integration as it was deployed, `at` its place.
pub(super) fn check(
    integration: &Integration,
    map: &Map<String, Value>,
    rules: &RecordRules,
    at: &Trail<'_>,
    problems: &mut Problems,
) {
    let place = |action: &str, object: &str| -> Vec<Step> {
        let mut steps = at.steps();
        steps.extend(object_steps(map, action, object));
        steps
    };
    let objects = integration.write.iter().flatten();
    let mut posted_as: HashMap<&str, &str> = objects
        .clone()
        .map(|write| (write.object_name.as_str(), write.object_name.as_str()))
        .collect();
    for write in objects {
        let name = write.object_name.as_str();
        if !write.inherit_mapping {
            if write.remove_unmapped_fields {
                let detail = "removeUnmappedFields has no effect: the object inherits no mapping (inheritMapping: true).";
                problems.warning_at(place("write", name), detail);
            }
            continue;
        }
        let found = integration.read_object(name).or_else(|| {
            let mut reads = integration.read.iter();
            reads.find(|read| rules.is_same_object(&read.object_name, name))
        });
        let Some(read) = found else {
            let detail = format!("inheritMapping has nothing to inherit: read.objects has no `{name}`.");
            problems.warning_at(place("write", name), detail);
            continue;
        };
        if let Some(alias) = read.map_to_name.as_deref()
            && let Some(other) = posted_as.insert(alias, name).filter(|other| *other != name)
        {
            let detail = format!(
                "Writes to `{alias}` could mean `{name}` or `{other}`. Give `{name}` another mapToName."
            );
            problems.error_at(place("read", &read.object_name), detail);
        }
        for error in Fields::of_manifest(read, &rules.names).errors {
            // What cannot be read at all was told where it stands.
            if let FieldsError::Path { error, .. } = &error
                && !matches!(error, PathError::NotWritable(_))
            {
                continue;
            }
            let mut steps = place("read", &read.object_name);
            steps.extend(field_steps(map, &read.object_name, &error));
            let detail = format!("The mapping that writes of `{name}` inherit cannot be used: {error}.");
            problems.error_at(steps, detail);
        }
    }
}

/// `read.objects[1]`, for the object of this name; as far as it exists.
fn object_steps(map: &Map<String, Value>, action: &str, object: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some((key, value)) = member(map, action) {
        steps.push(Step::Key(key.to_owned()));
        if let Some((key, Value::Array(list))) = value.as_object().and_then(|map| member(map, "objects")) {
            steps.push(Step::Key(key.to_owned()));
            steps.extend(
                list.iter()
                    .position(|item| is_object(item, object))
                    .map(Step::Index),
            );
        }
    }
    steps
}

fn is_object(item: &Value, name: &str) -> bool {
    let found = item.as_object().and_then(|map| member(map, "objectName"));
    found.is_some_and(|(_, value)| value.as_str() == Some(name))
}

/// `requiredFields[2].mapToName` in the object: the last of the error's names that stands there.
fn field_steps(map: &Map<String, Value>, object: &str, error: &FieldsError) -> Vec<Step> {
    let find = || -> Option<Vec<Step>> {
        let (_, read) = member(map, "read")?;
        let (_, objects) = member(read.as_object()?, "objects")?;
        let item = objects
            .as_array()?
            .iter()
            .find(|item| is_object(item, object))?
            .as_object()?;
        error.names().into_iter().rev().find_map(|name| {
            ["requiredFields", "optionalFields"].into_iter().find_map(|list| {
                let (list_key, fields) = member(item, list)?;
                fields.as_array()?.iter().enumerate().find_map(|(index, field)| {
                    let key = key_at_fault(field.as_object()?, name)?;
                    Some(vec![
                        Step::Key(list_key.to_owned()),
                        Step::Index(index),
                        Step::Key(key.to_owned()),
                    ])
                })
            })
        })
    };
    find().unwrap_or_default()
}

/// In the field that the app calls `name`, the key to look at: the name itself unless only the provider's
/// field is at fault.
fn key_at_fault<'f>(field: &'f Map<String, Value>, name: &str) -> Option<&'f str> {
    let provider = member(field, "fieldName");
    let (key, value) = member(field, "mapToName").or(provider)?;
    (value.as_str()? == name).then_some(())?;
    let provider =
        provider.filter(|(_, value)| value.as_str().is_some_and(|name| FieldPath::parse(name).is_err()));
    Some(provider.map_or(key, |(key, _)| key))
}
