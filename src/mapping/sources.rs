//! What manifest and config say about one object, before it is compiled.

use std::collections::HashMap;

use super::fields::{Fields, overlaps};
use super::path::{FieldPath, PathError};
use crate::manifest::config::{ConfigContent, FieldSetting, ReadConfig, WriteConfig};
use crate::manifest::{Integration, ReadObject, WriteObject};
use crate::record_rules::RecordRules;

/// The parts of manifest and config that speak about one object.
pub(crate) struct Sources<'s> {
    pub(crate) rules: &'s RecordRules,
    pub(crate) write: &'s WriteObject,
    pub(crate) read: Option<&'s ReadObject>,
    pub(crate) read_config: Option<&'s ReadConfig>,
    pub(crate) write_config: Option<&'s WriteConfig>,
    /// Whether the write inherits the mapping, by the manifest or by the config.
    pub(crate) inherits: bool,
}

/// The settings of one object, and where each leads.
#[derive(Default)]
pub(crate) struct Settings<'s> {
    /// Name, rule and provider field, in config order. A setting for a mapping that the customer did not
    /// choose leads nowhere and is not in it.
    pub(crate) list: Vec<(&'s str, &'s FieldSetting, FieldPath)>,
    /// Names that are not a place.
    pub(crate) errors: Vec<(&'s str, PathError)>,
    /// Two settings that are about one field.
    pub(crate) overlaps: Vec<Overlap<'s>>,
}

/// Two settings that are about one field, or one about a part of the other.
pub(crate) struct Overlap<'s> {
    pub(crate) first: &'s str,
    pub(crate) second: &'s str,
    pub(crate) target: FieldPath,
}

impl<'s> Sources<'s> {
    pub(crate) fn of(
        integration: &'s Integration,
        config: &'s ConfigContent,
        write: &'s WriteObject,
        rules: &'s RecordRules,
    ) -> Self {
        let is_it = |name: &str| rules.is_same_object(name, &write.object_name);
        let read = integration
            .read_object(&write.object_name)
            .or_else(|| integration.read.iter().find(|read| is_it(&read.object_name)));
        let alias = read.and_then(|read| read.map_to_name.as_deref());
        // An entry under the object's very name goes before one under another name of the same object.
        let read_config = config
            .read_object(&write.object_name, alias)
            .or_else(|| config.read.iter().find(|object| is_it(&object.object_name)));
        let write_config = config
            .write_object(&write.object_name, alias)
            .or_else(|| config.write.iter().find(|object| is_it(&object.object_name)));
        let inherits = write.inherit_mapping || write_config.is_some_and(|config| config.inherit_mapping);
        Self {
            rules,
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
            Fields::of(self.read, self.read_config, &self.rules.names)
        } else {
            Fields::default()
        }
    }

    /// The settings: a name is the app's where the mapping has it, else the provider's own.
    pub(crate) fn settings(&self, fields: &Fields) -> Settings<'s> {
        let targets: HashMap<&FieldPath, Option<&FieldPath>> = fields
            .list
            .iter()
            .map(|field| (&field.source, field.target()))
            .collect();
        let mut settings = Settings::default();
        for (name, rule) in self
            .write_config
            .into_iter()
            .flat_map(|config| &config.field_settings)
        {
            match FieldPath::parse(name) {
                Err(error) => settings.errors.push((name, error)),
                Ok(path) => match targets.get(&path) {
                    Some(None) => {}
                    Some(Some(target)) => settings.list.push((name, rule, (*target).clone())),
                    None => settings.list.push((name, rule, path)),
                },
            }
        }
        let mut sorted: Vec<(FieldPath, usize, &'s str)> = settings
            .list
            .iter()
            .enumerate()
            .map(|(place, (name, _, target))| (target.folded(&self.rules.names), place, *name))
            .collect();
        sorted.sort_unstable();
        let overlaps = overlaps(&sorted, |(target, ..)| target).map(|(a, b)| {
            let (first, second) = if a.1 < b.1 { (a.2, b.2) } else { (b.2, a.2) };
            Overlap {
                first,
                second,
                target: settings.list[b.1].2.clone(),
            }
        });
        settings.overlaps = overlaps.collect();
        settings
    }
}
