//! What one customer chose: the `config.content` of an installation.
//!
//! [`ConfigContent::parse`] reads it tolerantly: unknown keys, absent sections, `null`s and missing
//! `selectedFields` or `schedule` are fine, and the stored JSON stays as it was sent. [`crate::rules`]
//! compares it with the integration when an installation is made or changed.

pub mod json_patch;
mod limits;
pub mod mask;
mod misplaced;
pub(crate) mod parse;

use std::collections::HashMap;

use serde_json::Value;

pub use limits::{ConfigLimits, ConfigRate};
pub use misplaced::misplaced;

/// The typed view of `config.content`: what writes need.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigContent {
    /// The provider, when the config names one: some clients leave it out or send `""`.
    pub provider: Option<String>,
    /// The objects under `read.objects`: the customer's mappings.
    pub read: Vec<ReadConfig>,
    /// The objects under `write.objects`: defaults, write rules, deletion.
    pub write: Vec<WriteConfig>,
    /// Whether the config has `write.objects`, be it empty: then it is the list of what the customer allows to be
    /// written. A config without it allows every object of the manifest.
    pub limits_objects: bool,
}

/// One object under `read.objects`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadConfig {
    /// The key of the object in the config.
    pub key: String,
    /// Its `objectName`; the key when it has none.
    pub object_name: String,
    /// `selectedFields`: which fields are read. Only a `false` matters to writes.
    pub selected_fields: Vec<(String, bool)>,
    /// `selectedFieldMappings`: the app's name and the provider's field the customer chose for it. `None`
    /// when the choice is `null` or empty.
    pub selected_field_mappings: Vec<(String, Option<String>)>,
    /// `selectedValueMappings`: for each field, the app's values and the provider's values for them.
    pub selected_value_mappings: Vec<(String, HashMap<String, Value>)>,
    /// `dynamicMappingsInput`: mappings that the app offered to this customer only.
    pub dynamic_mappings: Vec<DynamicMapping>,
}

/// One entry of `dynamicMappingsInput`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicMapping {
    /// The app's name.
    pub map_to_name: String,
    /// The provider's field, when the customer is not asked.
    pub field_name: Option<String>,
}

/// One object under `write.objects`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteConfig {
    /// The key of the object in the config.
    pub key: String,
    /// Its `objectName`; the key when it has none.
    pub object_name: String,
    /// `inheritMapping`; the manifest's place for it, tolerated here.
    pub inherit_mapping: bool,
    /// `removeUnmappedFields` for this customer.
    pub remove_unmapped_fields: bool,
    /// `deletionSettings.enabled`.
    pub deletion_enabled: bool,
    /// `selectedFieldSettings`, then what only `selectedValueDefaults` names; in config order.
    pub field_settings: Vec<(String, FieldSetting)>,
}

/// What happens to one field on a write.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSetting {
    /// The value of the field when the request has none: text, a number or a boolean.
    pub default: Option<Value>,
    /// Whether the default also applies to updates. Only the older `applyOnUpdate: never` says no.
    pub default_on_update: bool,
    /// Whether the field is written when a record is created: never `IfEmpty`.
    pub write_on_create: WriteRule,
    /// Whether the field is written when a record is updated.
    pub write_on_update: WriteRule,
}

impl Default for FieldSetting {
    fn default() -> Self {
        Self {
            default: None,
            default_on_update: true,
            write_on_create: WriteRule::Always,
            write_on_update: WriteRule::Always,
        }
    }
}

/// When a field is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteRule {
    /// Whenever it has a value.
    #[default]
    Always,
    /// Not at all.
    Never,
    /// Only while the provider's value is null, empty text or absent.
    IfEmpty,
}

impl ConfigContent {
    /// The read config of an object, found by either of the object's names.
    #[must_use]
    pub fn read_object(&self, object_name: &str, map_to_name: Option<&str>) -> Option<&ReadConfig> {
        find(&self.read, object_name, map_to_name, |object| {
            (&object.key, &object.object_name)
        })
    }

    /// Whether the customer allows writes of an object that has this entry under `write.objects`, or none.
    #[must_use]
    pub const fn enables(&self, entry: Option<&WriteConfig>) -> bool {
        !self.limits_objects || entry.is_some()
    }

    /// The write config of an object, found by either of the object's names.
    #[must_use]
    pub fn write_object(&self, object_name: &str, map_to_name: Option<&str>) -> Option<&WriteConfig> {
        find(&self.write, object_name, map_to_name, |object| {
            (&object.key, &object.object_name)
        })
    }
}

/// The provider's name decides before the app's: a config may hold both when the manifest was changed.
fn find<'c, T>(
    objects: &'c [T],
    object_name: &str,
    map_to_name: Option<&str>,
    names: impl Fn(&T) -> (&String, &String),
) -> Option<&'c T> {
    [Some(object_name), map_to_name]
        .into_iter()
        .flatten()
        .find_map(|wanted| {
            objects.iter().find(|object| {
                let (key, name) = names(object);
                name == wanted || key == wanted
            })
        })
}
