//! Compiling a manifest and a config into the plan for one object.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::fields::{Destination, Fields, FieldsError};
use super::path::{FieldPath, PathError};
use super::sources::Sources;
use crate::manifest::Integration;
use crate::manifest::config::{ConfigContent, FieldSetting};
use crate::record_rules::{Names as NameRules, RecordRules};

/// How records of one object are written for one customer: compiled once for a revision and a config, then
/// applied to every record. It holds no reference to either.
#[derive(Debug, Clone)]
pub struct Plan {
    provider_object: String,
    enabled: bool,
    delete_enabled: bool,
    pub(super) remove_unmapped: bool,
    /// What the provider takes for one field.
    pub(super) rules: Arc<RecordRules>,
    pub(super) names: Names,
    /// Where names of the provider are not just their spelling: the fields that keep their name, under
    /// [folded](NameRules::fold) keys. Elsewhere these are among `names`.
    pub(super) same_names: Option<Names>,
    /// Its keys are folded.
    pub(super) targets: Targets,
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
        /// The names that would do, in manifest order: what is posted to, so the app's name where there is
        /// one.
        known: Vec<String>,
    },
    /// The customer's config lists what may be written, and this object is not on it.
    #[error(
        "the customer has not enabled writes of `{object}`; enabled: {}",
        list(enabled)
    )]
    NotEnabled {
        /// The name that was asked for.
        object: String,
        /// The names that would do, in manifest order: what is posted to.
        enabled: Vec<String>,
    },
    /// Manifest and config together are not a mapping that can be written. Deploy and install refuse this; it
    /// is met only when one of them was changed later.
    #[error("the mapping of `{object}` cannot be written: {error}")]
    Mapping {
        /// The provider's name of the object.
        object: String,
        /// What is wrong.
        error: FieldsError,
    },
    /// Two settings are about one field, or one about a part of the other.
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
pub(super) type Names = HashMap<String, Name, Hashing>;

/// Faster for short keys than the standard hash. Its weakness, keys made to collide, would have to come from the app's own
/// manifest and config, of limited size.
pub(super) type Hashing = rustc_hash::FxBuildHasher;

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
    /// The field keeps the spelling that the app gives it; `target` is only one of several.
    pub(super) as_given: bool,
    /// The provider's values by the app's values.
    pub(super) values: Option<HashMap<String, Value>>,
}

/// The provider's places that names are mapped to, as a tree of the provider's keys. Fields that keep their
/// name are not in it: they cannot meet each other.
pub(super) type Targets = HashMap<String, Target, Hashing>;

/// What one key of the provider's record is.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A place that a name is mapped to.
    Field,
    /// An object that has such places in it.
    Object(Targets),
}

impl Target {
    pub(super) const fn inner(&self) -> Option<&Targets> {
        match self {
            Self::Field => None,
            Self::Object(inner) => Some(inner),
        }
    }
}

/// A customer's setting for one provider field.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) target: FieldPath,
    pub(super) rule: FieldSetting,
}

impl Plan {
    /// Compiles the plan for an object, for a provider to which names are their spelling.
    ///
    /// # Errors
    /// See [`Plan::compile_for`].
    pub fn compile(
        integration: &Integration,
        config: &ConfigContent,
        object: &str,
    ) -> Result<Self, PlanError> {
        Self::compile_for(&Arc::default(), integration, config, object)
    }

    /// Compiles the plan for an object. `rules` are the provider's.
    ///
    /// `object` is the name in the URL, percent-decoded: the manifest's `objectName`, or the `mapToName` of
    /// the read object when the write inherits its mapping.
    ///
    /// # Errors
    /// When the manifest has no such write object, or manifest and config contradict each other.
    pub fn compile_for(
        rules: &Arc<RecordRules>,
        integration: &Integration,
        config: &ConfigContent,
        object: &str,
    ) -> Result<Self, PlanError> {
        let objects: Vec<Sources<'_>> = integration
            .write
            .iter()
            .flatten()
            .map(|write| Sources::of(integration, config, write, rules))
            .collect();
        let found = objects
            .iter()
            .find(|sources| sources.write.object_name == object)
            .or_else(|| objects.iter().find(|sources| sources.alias() == Some(object)));
        let Some(sources) = found else {
            let known = objects.iter().map(Sources::posted_name).collect();
            return Err(PlanError::ObjectNotInManifest {
                object: object.to_owned(),
                known,
            });
        };
        let enabled = config.enables(sources.write_config);
        Self::of(sources, enabled, rules)
    }

    /// Why a write of an object that the customer's config does not list is refused.
    #[must_use]
    pub fn not_enabled(
        rules: &RecordRules,
        integration: &Integration,
        config: &ConfigContent,
        object: &str,
    ) -> PlanError {
        let enabled = integration
            .write
            .iter()
            .flatten()
            .map(|write| Sources::of(integration, config, write, rules))
            .filter(|sources| config.enables(sources.write_config))
            .map(|sources| sources.posted_name())
            .collect();
        PlanError::NotEnabled {
            object: object.to_owned(),
            enabled,
        }
    }

    fn of(sources: &Sources<'_>, enabled: bool, rules: &Arc<RecordRules>) -> Result<Self, PlanError> {
        let object = &sources.write.object_name;
        let mut fields = sources.fields();
        if !fields.errors.is_empty() {
            let error = fields.errors.swap_remove(0);
            return Err(PlanError::Mapping {
                object: object.clone(),
                error,
            });
        }
        let settings = compile_settings(sources, &fields)?;
        let config = sources.write_config;
        let wants_removal = sources.write.remove_unmapped_fields
            || config.is_some_and(|config| config.remove_unmapped_fields);
        let (names, same_names) = compile_names(sources, &fields);
        Ok(Self {
            provider_object: object.clone(),
            enabled,
            delete_enabled: config.is_some_and(|config| config.deletion_enabled),
            remove_unmapped: sources.inherits && wants_removal,
            rules: Arc::clone(rules),
            names,
            same_names,
            targets: compile_targets(&fields, &rules.names),
            settings,
        })
    }

    /// The provider's name of the object: the one the connector gets.
    #[must_use]
    pub fn provider_object(&self) -> &str {
        &self.provider_object
    }

    /// Whether the customer allows writes of the object at all: see [`ConfigContent::limits_objects`].
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether the customer allows deletion (`deletionSettings.enabled`).
    #[must_use]
    pub const fn delete_enabled(&self) -> bool {
        self.delete_enabled
    }
}

/// The trees of the app's names, and of those that the provider reads by rules of its own.
fn compile_names(sources: &Sources<'_>, fields: &Fields) -> (Names, Option<Names>) {
    let rules = &sources.rules.names;
    let mut values: Vec<(FieldPath, &HashMap<String, Value>)> = Vec::new();
    if sources.inherits {
        let all = sources
            .read_config
            .into_iter()
            .flat_map(|config| &config.selected_value_mappings);
        // A name that cannot be written has no values to translate.
        values.extend(all.filter_map(|(name, map)| Some((FieldPath::parse(name).ok()?, map))));
    }
    let by_path: HashMap<&FieldPath, &HashMap<String, Value>> =
        values.iter().rev().map(|(path, map)| (path, *map)).collect();
    let by_field: HashMap<FieldPath, &HashMap<String, Value>> = values
        .iter()
        .rev()
        .map(|(path, map)| (path.folded(rules), *map))
        .collect();
    let mut named: HashSet<&FieldPath> = HashSet::new();
    let mut written: HashSet<FieldPath> = HashSet::new();
    let mut names = Names::with_capacity_and_hasher(fields.list.len(), rustc_hash::FxBuildHasher);
    let mut same_names = (!rules.is_exact()).then(Names::default);
    for field in &fields.list {
        let target = field.target();
        let place_of_field = target.map(|target| target.folded(rules));
        named.insert(&field.source);
        // The app's name decides; the provider's own name also matches.
        let found = by_path
            .get(&field.source)
            .or_else(|| by_field.get(place_of_field.as_ref()?));
        let rule = Rule {
            target: target.map(|target| target.sent(rules)),
            as_given: false,
            values: found.map(|map| (*map).clone()),
        };
        let keeps_name = place_of_field.as_ref() == Some(&field.source.folded(rules));
        if let (Some(same_names), Some(at)) =
            (&mut same_names, place_of_field.as_ref().filter(|_| keeps_name))
        {
            let as_given = Rule {
                as_given: true,
                ..rule.clone()
            };
            place(same_names, at.keys(), as_given);
        }
        if same_names.is_none() || !matches!(field.to, Destination::SameName) {
            place(&mut names, field.source.keys(), rule);
        }
        written.extend(place_of_field);
    }
    // A value mapping alone makes a field part of the mapping, under its own name.
    for (path, map) in &values {
        let at = path.folded(rules);
        if !named.contains(path) && !written.contains(&at) {
            let rule = Rule {
                target: Some(path.clone()),
                as_given: same_names.is_some(),
                values: Some((*map).clone()),
            };
            place(same_names.as_mut().unwrap_or(&mut names), at.keys(), rule);
        }
    }
    (names, same_names)
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
        .or_insert_with(|| Name::Object(Names::default()))
    {
        Name::Object(names) => place(names, inner, rule),
        Name::Field(_) => {}
    }
}

fn compile_targets(fields: &Fields, rules: &NameRules) -> Targets {
    let mut targets = Targets::default();
    for field in &fields.list {
        if let Destination::Mapped(target) = &field.to {
            claim(&mut targets, target.folded(rules).keys());
        }
    }
    targets
}

/// Puts a target into the tree; overlapping ones were refused before.
fn claim(targets: &mut Targets, keys: &[String]) {
    let Some((key, inner)) = keys.split_first() else {
        return;
    };
    if inner.is_empty() {
        targets.entry(key.clone()).or_insert(Target::Field);
    } else if let Target::Object(targets) = targets
        .entry(key.clone())
        .or_insert_with(|| Target::Object(Targets::default()))
    {
        claim(targets, inner);
    }
}

fn compile_settings(sources: &Sources<'_>, fields: &Fields) -> Result<Vec<Setting>, PlanError> {
    let settings = sources.settings(fields);
    if let Some((name, error)) = settings.errors.into_iter().next() {
        let object = sources.write.object_name.clone();
        return Err(PlanError::Setting {
            object,
            name: name.to_owned(),
            error,
        });
    }
    if let Some(overlap) = settings.overlaps.into_iter().next() {
        return Err(PlanError::Conflict {
            object: sources.write.object_name.clone(),
            first: overlap.first.to_owned(),
            second: overlap.second.to_owned(),
            target: overlap.target.to_string(),
        });
    }
    let names = &sources.rules.names;
    let setting = |(_, rule, target): (_, &FieldSetting, FieldPath)| Setting {
        target: target.sent(names),
        rule: rule.clone(),
    };
    Ok(settings.list.into_iter().map(setting).collect())
}
