//! Whether a config fits the integration it is for.

use crate::manifest::config::parse::push_key;
use crate::manifest::config::{ConfigContent, ReadConfig};
use crate::manifest::{Integration, Issue};
use crate::mapping::fields::FieldsError;
use crate::mapping::sources::Sources;
use crate::record_rules::RecordRules;

/// What is wrong with a config for this integration; empty when an installation can have it. Paths start at
/// `config.content`, in the notation of an update mask.
///
/// Refused are: another provider than the integration's; a write object that the manifest does not have; a
/// mapping that cannot be written, or in which two names write one field; two settings for one field. Read
/// objects that the manifest does not have are ignored: they steer no write.
///
/// This is for a provider to which names are their spelling; see [`check_for`].
#[must_use]
pub fn check_against(config: &ConfigContent, integration: &Integration) -> Vec<Issue> {
    check_for(&RecordRules::default(), config, integration)
}

/// As [`check_against`], for a provider with these rules of what is one field and one object.
#[must_use]
pub fn check_for(rules: &RecordRules, config: &ConfigContent, integration: &Integration) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Some(provider) = config
        .provider
        .as_deref()
        .filter(|name| *name != integration.provider)
    {
        let detail = format!(
            "The config is for `{provider}`, but the integration `{}` is for `{}`.",
            integration.name, integration.provider
        );
        issues.push(Issue::new("config.content.provider", detail));
    }
    let all: Vec<Sources<'_>> = integration
        .write
        .iter()
        .flatten()
        .map(|write| Sources::of(integration, config, write, rules))
        .collect();
    let same = |a: &str, b: &str| rules.is_same_object(a, b) || same_object(integration, a, b);
    for object in &config.write {
        let path = object_path("write", &object.key);
        if object.key != object.object_name && !same(&object.key, &object.object_name) {
            let detail = format!(
                "The key `{}` and the objectName `{}` are different objects.",
                object.key, object.object_name
            );
            issues.push(Issue::new(format!("{path}.objectName"), detail));
            continue;
        }
        let is_it = |sources: &&Sources<'_>| {
            sources
                .write_config
                .is_some_and(|config| config.key == object.key)
        };
        if all.iter().find(is_it).is_some() {
            continue;
        }
        // Only the first of several entries for one object counts; the others would do nothing, unnoticed.
        let first = all
            .iter()
            .filter_map(|sources| sources.write_config)
            .find(|first| {
                first.object_name == object.object_name || same(&first.object_name, &object.object_name)
            });
        let detail = match first {
            Some(first) => {
                format!(
                    "The object is configured twice: as `{}` and as `{}`. Keep one.",
                    first.key, object.key
                )
            }
            None => format!(
                "The integration does not write `{}`. Objects it writes: {}.",
                object.object_name,
                known(integration)
            ),
        };
        issues.push(Issue::new(path, detail));
    }
    for sources in &all {
        check_object(sources, &mut issues);
    }
    issues
}

fn known(integration: &Integration) -> String {
    let objects = integration.write.iter().flatten();
    let names: Vec<&str> = objects.map(|write| write.object_name.as_str()).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Whether two names are the two names of one object.
fn same_object(integration: &Integration, a: &str, b: &str) -> bool {
    integration.read.iter().any(|read| {
        let names = [Some(read.object_name.as_str()), read.map_to_name.as_deref()];
        names.contains(&Some(a)) && names.contains(&Some(b))
    })
}

fn check_object(sources: &Sources<'_>, issues: &mut Vec<Issue>) {
    let fields = sources.fields();
    let object = &sources.write.object_name;
    for error in &fields.errors {
        let path = mapping_path(sources.read_config, object, error);
        issues.push(Issue::new(
            path,
            format!("The mapping that writes of `{object}` inherit cannot be used: {error}."),
        ));
    }
    let Some(config) = sources.write_config else {
        return;
    };
    let path = |name: &str| {
        let mut path = format!("{}.selectedFieldSettings", object_path("write", &config.key));
        push_key(&mut path, name);
        path
    };
    let settings = sources.settings(&fields);
    for (name, error) in settings.errors {
        issues.push(Issue::new(
            path(name),
            format!("The name of the setting cannot be used: {error}."),
        ));
    }
    for overlap in settings.overlaps {
        let (first, second, target) = (overlap.first, overlap.second, overlap.target);
        let detail = format!("The settings `{first}` and `{second}` are both about `{target}`. Keep one.");
        issues.push(Issue::new(path(second), detail));
    }
}

/// `config.content.write.objects.<key>`.
fn object_path(action: &str, key: &str) -> String {
    let mut path = format!("config.content.{action}.objects");
    push_key(&mut path, key);
    path
}

/// The place of a mapping error: the last of its names that stands in the config, else the object.
fn mapping_path(config: Option<&ReadConfig>, object: &str, error: &FieldsError) -> String {
    let Some(config) = config else {
        return object_path("read", object);
    };
    let mut path = object_path("read", &config.key);
    let chosen = |name: &&str| {
        config
            .selected_field_mappings
            .iter()
            .any(|(known, _)| known == name)
    };
    if let Some(name) = error.names().into_iter().rev().find(chosen) {
        path.push_str(".selectedFieldMappings");
        push_key(&mut path, name);
    }
    path
}
