//! Compiling a manifest and a config into the plan for one object.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::fields::{Destination, Fields, FieldsError};
use super::path::{FieldPath, PathError};
use crate::manifest::config::{ConfigContent, FieldSetting, ReadConfig, WriteConfig};
use crate::manifest::{Integration, ReadObject, WriteObject};

/// How records of one object are written for one customer: compiled once for a revision and a config, then applied
/// to every record. It holds no reference to either.
#[derive(Debug, Clone)]
pub struct Plan {
    provider_object: String,
    delete_enabled: bool,
    pub(super) remove_unmapped: bool,
    pub(super) names: Names,
    /// The outermost keys of nested targets: what comes in under such a key is merged, not refused.
    pub(super) nested_roots: HashSet<String>,
    pub(super) settings: Vec<Setting>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The manifest has no write object of this name.
    #[error(
        "the object `{object}` is not in the manifest; known objects: {}",
        list(known)
    )]
    ObjectNotInManifest {
        /// The name that was asked for.
        object: String,
        /// The names that would do, in manifest order: what is posted to, so the app's name where there is one.
        known: Vec<String>,
    },
    /// Manifest and config together are not a mapping that can be written. Deploy and install refuse this; it is met
    /// only when one of them was changed later.
    #[error("the mapping of `{object}` cannot be written: {error}")]
    Mapping {
        /// The provider's name of the object.
        object: String,
        /// What is wrong.
        error: FieldsError,
    },
    /// Two settings are about one field.
    #[error("the settings `{first}` and `{second}` of `{object}` are both about `{target}`; keep one")]
    Conflict {
        /// The provider's name of the object.
        object: String,
        /// The setting that comes first.
        first: String,
        /// The other setting.
        second: String,
        /// The provider's field.
        target: String,
    },
    /// The name of a setting is not a place that can be written.
    #[error("the setting `{name}` of `{object}` cannot be used: {error}")]
    Setting {
        /// The provider's name of the object.
        object: String,
        /// The name of the setting.
        name: String,
        /// What is wrong with it.
        error: PathError,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// The mapping as a tree of the app's keys.
pub(super) type Names = HashMap<String, Name>;

/// What one key of the app's record is.
#[derive(Debug, Clone)]
pub(super) enum Name {
    /// A field of the mapping.
    Field(Rule),
    /// An object that has fields of the mapping in it.
    Object(Names),
}

/// How one field of the mapping is written.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// `None`: the customer chose no field.
    pub(super) target: Option<FieldPath>,
    /// The provider's values by the app's values.
    pub(super) values: Option<HashMap<String, Value>>,
}

/// A customer's setting for one provider field.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) target: FieldPath,
    pub(super) rule: FieldSetting,
}

/// The parts of manifest and config that speak about one object.
pub(crate) struct Sources<'s> {
    pub(crate) write: &'s WriteObject,
    pub(crate) read: Option<&'s ReadObject>,
    pub(crate) read_config: Option<&'s ReadConfig>,
    pub(crate) write_config: Option<&'s WriteConfig>,
    pub(crate) inherits: bool,
}

impl<'s> Sources<'s> {
    pub(crate) fn of(
        integration: &'s Integration,
        config: &'s ConfigContent,
        write: &'s WriteObject,
    ) -> Self {
        let read = integration.read_object(&write.object_name);
        let alias = read.and_then(|read| read.map_to_name.as_deref());
        let read_config = config.read_object(&write.object_name, alias);
        let write_config = config.write_object(&write.object_name, alias);
        let inherits = write.inherit_mapping || write_config.is_some_and(|config| config.inherit_mapping);
        Self {
            write,
            read,
            read_config,
            write_config,
            inherits,
        }
    }

    /// The app's name of the object, when the write inherits one.
    pub(crate) fn alias(&self) -> Option<&'s str> {
        self.read
            .filter(|_| self.inherits)
            .and_then(|read| read.map_to_name.as_deref())
    }

    pub(crate) fn fields(&self) -> Fields {
        if self.inherits {
            Fields::of(self.read, self.read_config)
        } else {
            Fields::default()
        }
    }

    /// Where each setting leads: by the app's name first, else the name is the provider's own. `None` when it names a
    /// mapping that the customer did not choose.
    pub(crate) fn settings(
        &self,
        fields: &Fields,
    ) -> impl Iterator<Item = (&'s str, &'s FieldSetting, Result<Option<FieldPath>, PathError>)> {
        let targets: HashMap<FieldPath, Option<FieldPath>> = fields
            .list
            .iter()
            .map(|field| (field.source.clone(), field.target().cloned()))
            .collect();
        let settings = self
            .write_config
            .into_iter()
            .flat_map(|config| &config.field_settings);
        settings.map(move |(name, rule)| {
            let target = FieldPath::parse(name).map(|path| match targets.get(&path) {
                Some(target) => target.clone(),
                None => Some(path),
            });
            (name.as_str(), rule, target)
        })
    }
}

impl super::fields::Field {
    /// The provider's place for the field, when it has one.
    pub(crate) const fn target(&self) -> Option<&FieldPath> {
        match &self.to {
            Destination::Mapped(target) => Some(target),
            Destination::SameName => Some(&self.source),
            Destination::NotChosen => None,
        }
    }
}

impl Plan {
    /// Compiles the plan for an object.
    ///
    /// `object` is the name in the URL, percent-decoded: the manifest's `objectName`, or the `mapToName` of the read
    /// object when the write inherits its mapping.
    ///
    /// # Errors
    /// When the manifest has no such write object, or manifest and config contradict each other.
    pub fn compile(
        integration: &Integration,
        config: &ConfigContent,
        object: &str,
    ) -> Result<Self, PlanError> {
        let objects: Vec<Sources<'_>> = integration
            .write
            .iter()
            .flatten()
            .map(|write| Sources::of(integration, config, write))
            .collect();
        let found = objects
            .iter()
            .find(|sources| sources.write.object_name == object)
            .or_else(|| objects.iter().find(|sources| sources.alias() == Some(object)));
        let Some(sources) = found else {
            let name =
                |sources: &Sources<'_>| sources.alias().unwrap_or(&sources.write.object_name).to_owned();
            let known = objects.iter().map(name).collect();
            return Err(PlanError::ObjectNotInManifest {
                object: object.to_owned(),
                known,
            });
        };
        Self::of(sources)
    }

    fn of(sources: &Sources<'_>) -> Result<Self, PlanError> {
        let object = &sources.write.object_name;
        let mut fields = sources.fields();
        if !fields.errors.is_empty() {
            let error = fields.errors.swap_remove(0);
            return Err(PlanError::Mapping {
                object: object.clone(),
                error,
            });
        }
        let settings = compile_settings(sources, &fields, object)?;
        let nested_roots = fields
            .list
            .iter()
            .filter_map(|field| match &field.to {
                Destination::Mapped(target) if target.is_nested() => Some(target),
                Destination::SameName if field.source.is_nested() => Some(&field.source),
                _ => None,
            })
            .map(|target| target.root().to_owned())
            .collect();
        let config = sources.write_config;
        let wants_removal = sources.write.remove_unmapped_fields
            || config.is_some_and(|config| config.remove_unmapped_fields);
        Ok(Self {
            provider_object: object.clone(),
            delete_enabled: config.is_some_and(|config| config.deletion_enabled),
            remove_unmapped: sources.inherits && wants_removal,
            names: compile_names(sources, &fields),
            nested_roots,
            settings,
        })
    }

    /// The provider's name of the object: the one the connector gets.
    #[must_use]
    pub fn provider_object(&self) -> &str {
        &self.provider_object
    }

    /// Whether the customer allows deletion (`deletionSettings.enabled`).
    #[must_use]
    pub const fn delete_enabled(&self) -> bool {
        self.delete_enabled
    }
}

fn compile_names(sources: &Sources<'_>, fields: &Fields) -> Names {
    let mut values: HashMap<FieldPath, &HashMap<String, Value>> = HashMap::new();
    if sources.inherits {
        for (name, map) in sources
            .read_config
            .into_iter()
            .flat_map(|config| &config.selected_value_mappings)
        {
            // A name that cannot be written has no values to translate.
            let Ok(path) = FieldPath::parse(name) else {
                continue;
            };
            values.insert(path, map);
        }
    }
    let mut names = Names::with_capacity(fields.list.len());
    for field in &fields.list {
        let target = field.target();
        // The app's name decides; the provider's own name also matches.
        let by_source = values.remove(&field.source);
        let translated = by_source.or_else(|| target.and_then(|target| values.get(target).copied()));
        let rule = Rule {
            target: target.cloned(),
            values: translated.cloned(),
        };
        place(&mut names, field.source.keys(), rule);
    }
    // A value mapping alone makes a field part of the mapping, under its own name.
    for (path, map) in values {
        let mapped = fields.list.iter().any(|field| field.target() == Some(&path));
        if !mapped {
            let rule = Rule {
                target: Some(path.clone()),
                values: Some(map.clone()),
            };
            place(&mut names, path.keys(), rule);
        }
    }
    names
}

/// Puts a rule into the tree. What is there already stays: overlapping mappings were refused before.
fn place(names: &mut Names, keys: &[String], rule: Rule) {
    let Some((key, inner)) = keys.split_first() else {
        return;
    };
    if inner.is_empty() {
        names.entry(key.clone()).or_insert(Name::Field(rule));
        return;
    }
    match names
        .entry(key.clone())
        .or_insert_with(|| Name::Object(Names::new()))
    {
        Name::Object(names) => place(names, inner, rule),
        Name::Field(_) => {}
    }
}

fn compile_settings(sources: &Sources<'_>, fields: &Fields, object: &str) -> Result<Vec<Setting>, PlanError> {
    let mut settings = Vec::new();
    let mut first_of: HashMap<FieldPath, &str> = HashMap::new();
    for (name, rule, target) in sources.settings(fields) {
        let target = target.map_err(|error| PlanError::Setting {
            object: object.to_owned(),
            name: name.to_owned(),
            error,
        })?;
        let Some(target) = target else { continue };
        if let Some(first) = first_of.insert(target.clone(), name) {
            return Err(PlanError::Conflict {
                object: object.to_owned(),
                first: first.to_owned(),
                second: name.to_owned(),
                target: target.to_string(),
            });
        }
        settings.push(Setting {
            target,
            rule: rule.clone(),
        });
    }
    Ok(settings)
}
