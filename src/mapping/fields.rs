//! The field mapping in force for one object: the manifest's part and the customer's part as one list.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::path::{FieldPath, PathError};
use crate::manifest::ReadObject;
use crate::manifest::config::ReadConfig;
use crate::record_rules::Names;

/// One field of the mapping: the name that the app writes, and where the value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The app's name as it was declared.
    pub(crate) name: String,
    /// The app's name as a place.
    pub(crate) source: FieldPath,
    pub(crate) to: Destination,
}

impl Field {
    /// The provider's place for the field, when it has one.
    pub(crate) const fn target(&self) -> Option<&FieldPath> {
        match &self.to {
            Destination::Mapped(target) => Some(target),
            Destination::SameName => Some(&self.source),
            Destination::NotChosen => None,
        }
    }
}

/// Where a field's value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To a provider field of another name.
    Mapped(FieldPath),
    /// To the provider field of the same name.
    SameName,
    /// Nowhere: the mapping is declared, but the customer chose no field for it.
    NotChosen,
}

/// The fields of a mapping, in order: manifest, dynamic mappings, the customer's own.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) list: Vec<Field>,
    /// Why parts of it cannot be written.
    pub(crate) errors: Vec<FieldsError>,
}

/// Why a mapping cannot be used for writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A name is not a place that can be written.
    #[error("`{name}`: {error}")]
    Path {
        /// The app's name of the mapping.
        name: String,
        /// What is wrong with it or with its field.
        error: PathError,
    },
    /// Two names lead to one field, or one to a part of the other.
    #[error("`{first}` and `{second}` both write `{target}`")]
    SameTarget {
        /// The app's name that comes first.
        first: String,
        /// The app's other name.
        second: String,
        /// The provider's field.
        target: String,
    },
    /// One name is a part of the other, so one value would be read for both.
    #[error("`{inner}` lies inside `{outer}`, which is mapped too")]
    Overlap {
        /// The name of the whole.
        outer: String,
        /// The name of the part.
        inner: String,
    },
}

impl FieldsError {
    /// The app's names that the error is about.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Path { name, .. } => vec![name],
            Self::SameTarget { first, second, .. } => vec![first, second],
            Self::Overlap { outer, inner } => vec![outer, inner],
        }
    }
}

impl Fields {
    /// What the manifest alone says.
    pub(crate) fn of_manifest(read: &ReadObject, names: &Names) -> Self {
        Self::of(Some(read), None, names)
    }

    /// What the manifest and the customer's config say together. The app's names are the app's own, and compared as they
    /// are; those of the provider are compared as the provider does.
    pub(crate) fn of(read: Option<&ReadObject>, config: Option<&ReadConfig>, names: &Names) -> Self {
        let empty = ReadConfig::default();
        let config = config.unwrap_or(&empty);
        let chosen: HashMap<&str, Option<&str>> = config
            .selected_field_mappings
            .iter()
            .map(|(name, field)| (name.as_str(), field.as_deref()))
            .collect();
        let deselected: HashSet<&str> = config
            .selected_fields
            .iter()
            .filter(|(_, on)| !on)
            .map(|(name, _)| name.as_str())
            .collect();
        let deselected_fields: HashSet<Cow<'_, str>> =
            deselected.iter().map(|name| names.fold(name, true)).collect();
        let mut build = Build {
            provider_names: names,
            list: Vec::new(),
            errors: Vec::new(),
            names: HashSet::new(),
        };
        let mut same_names: Vec<(&str, bool)> = Vec::new();
        for field in read.into_iter().flat_map(|read| &read.fields) {
            let field_name = field.field_name.as_deref();
            let Some(name) = field.map_to_name.as_deref() else {
                same_names.extend(field_name.map(|name| (name, true)));
                continue;
            };
            let refused = !field.required
                && (deselected.contains(name)
                    || field_name.is_some_and(|field| deselected_fields.contains(&names.fold(field, true))));
            let given = field_name.filter(|_| !refused);
            build.mapping(name, chosen.get(name).copied().flatten().or(given));
        }
        for dynamic in &config.dynamic_mappings {
            let name = dynamic.map_to_name.as_str();
            let choice = chosen.get(name).copied().flatten();
            build.mapping(name, choice.or(dynamic.field_name.as_deref()));
        }
        for (name, field) in &config.selected_field_mappings {
            build.mapping(name, field.as_deref());
        }
        let selected = config.selected_fields.iter().filter(|(_, on)| *on);
        same_names.extend(selected.map(|(name, _)| (name.as_str(), false)));
        build.finish(&same_names)
    }
}

struct Build<'n> {
    provider_names: &'n Names,
    list: Vec<Field>,
    errors: Vec<FieldsError>,
    names: HashSet<&'n str>,
}

impl<'n> Build<'n> {
    /// Adds a mapping unless its name has one already: what comes first counts.
    fn mapping(&mut self, name: &'n str, field: Option<&str>) {
        if !self.names.insert(name) {
            return;
        }
        let target = field.map(FieldPath::parse).transpose();
        match (FieldPath::parse(name), target) {
            (Ok(source), Ok(target)) => {
                let to = match target {
                    Some(target) if target == source => Destination::SameName,
                    Some(target) => Destination::Mapped(target),
                    None => Destination::NotChosen,
                };
                self.list.push(Field {
                    name: name.to_owned(),
                    source,
                    to,
                });
            }
            (Err(error), _) | (_, Err(error)) => {
                self.errors.push(FieldsError::Path {
                    name: name.to_owned(),
                    error,
                });
            }
        }
    }

    /// Finds what overlaps, then adds the fields that keep their name where nothing else speaks for it.
    ///
    /// A path that names list items can only be read. In the manifest it is an error; the customer's
    /// selection of such a field is about reading and says nothing about writes.
    fn finish(mut self, same_names: &[(&str, bool)]) -> Fields {
        self.overlapping_sources();
        self.overlapping_targets();
        let mut same = Vec::with_capacity(same_names.len());
        for (name, declared) in same_names {
            match FieldPath::parse(name) {
                Ok(source) => same.push((*name, source)),
                Err(error) if *declared => {
                    let name = (*name).to_owned();
                    self.errors.push(FieldsError::Path { name, error });
                }
                Err(_) => {}
            }
        }
        self.same_names(same);
        Fields {
            list: self.list,
            errors: self.errors,
        }
    }

    /// Adds fields that keep their name. What a mapping speaks for is left to it, and an object stands for
    /// what lies inside it.
    fn same_names(&mut self, same: Vec<(&str, FieldPath)>) {
        let mapped: Vec<FieldPath> = self.list.iter().map(|field| field.source.clone()).collect();
        let root = |path: &FieldPath| self.provider_names.fold(path.root(), true).into_owned();
        let mut by_root: HashMap<String, Vec<&FieldPath>> = HashMap::new();
        if !same.is_empty() {
            for source in &mapped {
                by_root.entry(root(source)).or_default().push(source);
            }
        }
        let folded = |path: &FieldPath| path.folded(self.provider_names);
        let whole: HashSet<FieldPath> = same.iter().map(|(_, source)| folded(source)).collect();
        let mut taken = HashSet::new();
        for (name, source) in same {
            let place = source.folded(self.provider_names);
            let mut near = by_root.get(place.root()).into_iter().flatten();
            let spoken_for = near.any(|other| {
                let theirs = other.folded(self.provider_names);
                // A name of the app's that is this one in another case is another name.
                let apart = theirs == place && *other != &source;
                !apart && (theirs.contains(&place) || place.contains(&theirs))
            });
            let inside = place.outer().any(|outer| whole.contains(&outer));
            if !spoken_for && !inside && taken.insert(place) {
                let name = name.to_owned();
                self.list.push(Field {
                    name,
                    source,
                    to: Destination::SameName,
                });
            }
        }
    }

    fn overlapping_sources(&mut self) {
        let mut sources: Vec<(&FieldPath, &str)> = self
            .list
            .iter()
            .map(|field| (&field.source, field.name.as_str()))
            .collect();
        sources.sort_unstable();
        let errors = overlaps(&sources, |(source, _)| source).map(|(outer, inner)| FieldsError::Overlap {
            outer: outer.1.to_owned(),
            inner: inner.1.to_owned(),
        });
        self.errors.extend(errors);
    }

    fn overlapping_targets(&mut self) {
        let fields = self.list.iter().enumerate();
        let mut targets: Vec<(FieldPath, usize, &str, &FieldPath)> = fields
            .filter_map(|(place, field)| {
                let target = field.target()?;
                let folded = target.folded(self.provider_names);
                Some((folded, place, field.name.as_str(), target))
            })
            .collect();
        targets.sort_unstable();
        let errors = overlaps(&targets, |(target, ..)| target).map(|(a, b)| {
            let (first, second) = if a.1 < b.1 { (a.2, b.2) } else { (b.2, a.2) };
            FieldsError::SameTarget {
                first: first.to_owned(),
                second: second.to_owned(),
                target: b.3.to_string(),
            }
        });
        self.errors.extend(errors);
    }
}

/// Neighbours in a sorted list of which the first contains the second. Whatever a path contains is sorted
/// right after it, so a list without such neighbours has no overlap at all.
pub(super) fn overlaps<'l, T>(
    sorted: &'l [T],
    path: impl Fn(&'l T) -> &'l FieldPath,
) -> impl Iterator<Item = (&'l T, &'l T)> {
    sorted.windows(2).filter_map(move |pair| {
        let [first, second] = pair else { return None };
        path(first).contains(path(second)).then_some((first, second))
    })
}
