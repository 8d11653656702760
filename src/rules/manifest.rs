//! The rules of a manifest, and the typed view of one that keeps them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::inherit;
use crate::manifest::node::{Problems, Trail, flag, list, mapping, member, required_text, text};
use crate::manifest::{Integration, Manifest, Providers, ReadField, ReadObject, SPEC_VERSION, WriteObject};
use crate::mapping::FieldPath;
use crate::record_rules::RecordRules;

/// Reads a whole manifest. `None` when it is too broken for a typed view; the problems then say why.
pub(crate) fn manifest(
    document: &Value,
    providers: &dyn Providers,
    problems: &mut Problems,
) -> Option<Manifest> {
    let root = Trail::root();
    let map = mapping(document, &root, problems)?;
    same_key_twice(map, &root, problems);
    let spec_version = required_text(map, "specVersion", &root, problems);
    if let Some(version) = spec_version.as_deref().filter(|version| *version != SPEC_VERSION) {
        let key = member(map, "specVersion").map_or("specVersion", |(key, _)| key);
        problems.error(
            &root.key(key),
            format!("specVersion must be {SPEC_VERSION}; it is {version}."),
        );
    }
    let Some((key, found)) = member(map, "integrations") else {
        problems.error(
            &root.key("integrations"),
            "integrations is missing. List at least one integration.",
        );
        return None;
    };
    let at = root.key(key);
    let items = list(found, &at, problems)?;
    if items.is_empty() {
        problems.error(&at, "integrations is empty. List at least one integration.");
    }
    let mut integrations = Vec::with_capacity(items.len());
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let at = at.index(index);
        integrations.extend(integration(item, &at, Some(providers), problems));
        let name = item.as_object().and_then(|map| member(map, "name"));
        if let Some((key, Value::String(name))) = name {
            let first = *first_of.entry(name).or_insert(index);
            if first != index {
                let detail =
                    format!("The name `{name}` is taken by integrations[{first}]. Names are unique.");
                problems.error(&at.key(key), detail);
            }
        }
    }
    Some(Manifest {
        spec_version: spec_version?,
        integrations,
        warnings: Vec::new(),
    })
}

/// Reads one integration; the provider is checked when there is a catalogue to ask.
pub(crate) fn integration(
    value: &Value,
    at: &Trail<'_>,
    providers: Option<&dyn Providers>,
    problems: &mut Problems,
) -> Option<Integration> {
    let map = mapping(value, at, problems)?;
    same_key_twice(map, at, problems);
    let name = required_text(map, "name", at, problems);
    let provider = required_text(map, "provider", at, problems);
    let module = text(map, "module", at, problems);
    let display_name = text(map, "displayName", at, problems);
    if !["read", "write", "subscribe", "proxy"]
        .iter()
        .any(|action| member(map, action).is_some())
    {
        problems.error(
            at,
            "The integration does nothing. Give it one of read, write, subscribe or proxy.",
        );
    }
    let rules = match (&provider, providers) {
        (Some(provider), Some(providers)) => providers.record_rules(provider, module.as_deref()),
        _ => Arc::default(),
    };
    let read = member(map, "read").map(|(key, value)| read_objects(value, &at.key(key), &rules, problems));
    let write = member(map, "write").map(|(key, value)| {
        let at = at.key(key);
        let catalogue = provider.as_deref().zip(providers);
        write_objects(
            value,
            &at,
            catalogue.map(|(provider, all)| (provider, module.as_deref(), all)),
            &rules,
            problems,
        )
    });
    if let Some((provider, providers)) = provider.as_deref().zip(providers) {
        let key = member(map, "provider").map_or("provider", |(key, _)| key);
        if !providers.knows(provider) {
            problems.error(
                &at.key(key),
                format!(
                    "The provider `{provider}` is not in the catalogue. GET /v1/providers names all of them."
                ),
            );
        } else if let Some(module) = module.as_deref().filter(|m| !providers.knows_module(provider, m)) {
            let key = member(map, "module").map_or("module", |(key, _)| key);
            problems.error(
                &at.key(key),
                format!("The provider `{provider}` has no module `{module}`. GET /v1/providers/{provider} names its modules."),
            );
        } else if write.is_some() && !providers.can_write(provider) {
            problems.error(
                &at.key(key),
                format!("Records cannot be written to `{provider}`. Remove `write`."),
            );
        }
    }
    let complete = name.is_some() && provider.is_some();
    let integration = Integration {
        name: name.unwrap_or_default(),
        provider: provider.unwrap_or_default(),
        module,
        display_name,
        content: value.clone(),
        read: read.unwrap_or_default(),
        write,
    };
    inherit::check(&integration, map, &rules, at, problems);
    complete.then_some(integration)
}

/// The list under `objects`, with its place, of a `read` or `write`.
fn objects<'v, T>(
    value: &'v Value,
    at: &Trail<'_>,
    rules: &RecordRules,
    problems: &mut Problems,
    mut each: impl FnMut(&'v Map<String, Value>, &Trail<'_>, &mut Problems) -> Option<T>,
) -> Option<Vec<T>> {
    let map = mapping(value, at, problems)?;
    same_key_twice(map, at, problems);
    let (key, found) = member(map, "objects")?;
    let at = at.key(key);
    let items = list(found, &at, problems)?;
    let mut objects = Vec::with_capacity(items.len());
    let mut first_of: HashMap<String, (usize, &str)> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let at = at.index(index);
        let Some(map) = mapping(item, &at, problems) else {
            continue;
        };
        same_key_twice(map, &at, problems);
        if let Some((key, Value::String(name))) = member(map, "objectName") {
            let (first, as_name) = *first_of
                .entry(rules.object(name).into_owned())
                .or_insert((index, name.as_str()));
            if first != index {
                let detail = if as_name == name {
                    format!("The object `{name}` is already listed as objects[{first}].")
                } else {
                    format!(
                        "`{name}` and `{as_name}` (objects[{first}]) are one object at the provider. List it once."
                    )
                };
                problems.error(&at.key(key), detail);
            }
        }
        objects.extend(each(map, &at, problems));
    }
    Some(objects)
}

fn write_objects(
    value: &Value,
    at: &Trail<'_>,
    catalogue: Option<(&str, Option<&str>, &dyn Providers)>,
    rules: &RecordRules,
    problems: &mut Problems,
) -> Vec<WriteObject> {
    let empty = value.as_object().is_some_and(|map| match member(map, "objects") {
        None => true,
        Some((_, found)) => found.as_array().is_some_and(Vec::is_empty),
    });
    if empty {
        problems.error(&at.key("objects"), "write.objects must list at least one object.");
    }
    let objects = objects(value, at, rules, problems, |map, at, problems| {
        let object_name = required_text(map, "objectName", at, problems);
        if let Some((name, (provider, module, providers))) = object_name.as_deref().zip(catalogue)
            && providers.can_write(provider)
            && module.is_none_or(|module| providers.knows_module(provider, module))
            && !providers.supports_object(provider, module, name)
        {
            let key = member(map, "objectName").map_or("objectName", |(key, _)| key);
            problems.error(
                &at.key(key),
                format!("The object `{name}` of `{provider}` cannot be written."),
            );
        }
        let inherit_mapping = flag(map, "inheritMapping", at, problems).unwrap_or(false);
        let remove_unmapped_fields = flag(map, "removeUnmappedFields", at, problems).unwrap_or(false);
        if let Some((key, value)) = member(map, "valueDefaults") {
            let at = at.key(key);
            if let Some(map) = mapping(value, &at, problems) {
                flag(map, "allowAnyFields", &at, problems);
            }
        }
        Some(WriteObject {
            object_name: object_name?,
            inherit_mapping,
            remove_unmapped_fields,
        })
    });
    objects.unwrap_or_default()
}

fn read_objects(
    value: &Value,
    at: &Trail<'_>,
    rules: &RecordRules,
    problems: &mut Problems,
) -> Vec<ReadObject> {
    let objects = objects(value, at, rules, problems, |map, at, problems| {
        let object_name = required_text(map, "objectName", at, problems);
        required_text(map, "destination", at, problems);
        required_text(map, "schedule", at, problems);
        let map_to_name = text(map, "mapToName", at, problems);
        let mut fields = Vec::new();
        let mut names = HashSet::new();
        for (list_name, required) in [("requiredFields", true), ("optionalFields", false)] {
            let Some((key, found)) = member(map, list_name) else {
                continue;
            };
            let at = at.key(key);
            for (index, item) in list(found, &at, problems).unwrap_or_default().iter().enumerate() {
                fields.extend(read_field(item, required, &at.index(index), &mut names, problems));
            }
        }
        Some(ReadObject {
            object_name: object_name?,
            map_to_name,
            fields,
        })
    });
    objects.unwrap_or_default()
}

fn read_field(
    item: &Value,
    required: bool,
    at: &Trail<'_>,
    names: &mut HashSet<String>,
    problems: &mut Problems,
) -> Option<ReadField> {
    let map = mapping(item, at, problems)?;
    same_key_twice(map, at, problems);
    let field_name = text(map, "fieldName", at, problems);
    let map_to_name = text(map, "mapToName", at, problems);
    if member(map, "fieldName").is_none() && member(map, "mapToName").is_none() {
        problems.error(
            at,
            "A field needs fieldName (the provider's field), mapToName (the app's name for it) or both.",
        );
    }
    for (key, name) in [("fieldName", &field_name), ("mapToName", &map_to_name)] {
        if let Some(Err(error)) = name.as_deref().map(FieldPath::check_readable) {
            let key = member(map, key).map_or(key, |(key, _)| key);
            problems.error(&at.key(key), format!("{key}: {error}."));
        }
    }
    if let Some(name) = &map_to_name
        && !names.insert(name.clone())
    {
        let key = member(map, "mapToName").map_or("mapToName", |(key, _)| key);
        problems.error(
            &at.key(key),
            format!("The mapToName `{name}` is given twice in this object."),
        );
    }
    Some(ReadField {
        field_name,
        map_to_name,
        required,
    })
}

/// Keys match whatever their case, so two that differ only in case are one key given twice.
fn same_key_twice(map: &Map<String, Value>, at: &Trail<'_>, problems: &mut Problems) {
    let mut seen = HashMap::new();
    for key in map.keys() {
        if let Some(first) = seen.insert(key.to_ascii_lowercase(), key) {
            problems.error(
                &at.key(key),
                format!("`{key}` and `{first}` are the same key, given twice."),
            );
        }
    }
}
