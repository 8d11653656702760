//! The field mapping in force for one object: the manifest's part and the customer's part as one list.

use std::collections::{HashMap, HashSet};

use super::path::{FieldPath, PathError};
use crate::manifest::ReadObject;
use crate::manifest::config::ReadConfig;

/// One field of the mapping: the name that the app writes, and where the value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) source: FieldPath,
    pub(crate) to: Destination,
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
    #[error("{error}")]
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
    pub(crate) fn of_manifest(read: &ReadObject) -> Self {
        Self::of(Some(read), None)
    }

    /// What the manifest and the customer's config say together.
    pub(crate) fn of(read: Option<&ReadObject>, config: Option<&ReadConfig>) -> Self {
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
        let mut build = Build::default();
        let mut same_names = Vec::new();
        for field in read.into_iter().flat_map(|read| &read.fields) {
            let field_name = field.field_name.as_deref();
            let Some(name) = field.map_to_name.as_deref() else {
                same_names.extend(field_name);
                continue;
            };
            let refused = !field.required
                && (deselected.contains(name) || field_name.is_some_and(|field| deselected.contains(field)));
            let given = field_name.filter(|_| !refused);
            build.mapping(name, chosen.get(name).copied().flatten().or(given));
        }
        for dynamic in &config.dynamic_mappings {
            let name = dynamic.map_to_name.as_str();
            build.mapping(
                name,
                chosen
                    .get(name)
                    .copied()
                    .flatten()
                    .or(dynamic.field_name.as_deref()),
            );
        }
        for (name, field) in &config.selected_field_mappings {
            build.mapping(name, field.as_deref());
        }
        same_names.extend(
            config
                .selected_fields
                .iter()
                .filter(|(_, on)| *on)
                .map(|(name, _)| name.as_str()),
        );
        build.finish(&same_names)
    }
}

#[derive(Default)]
struct Build {
    list: Vec<Field>,
    errors: Vec<FieldsError>,
    names: HashSet<String>,
}

impl Build {
    /// Adds a mapping unless its name has one already: what comes first counts.
    fn mapping(&mut self, name: &str, field: Option<&str>) {
        if !self.names.insert(name.to_owned()) {
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
                self.list.push(Field { source, to });
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
    fn finish(mut self, same_names: &[&str]) -> Fields {
        self.overlapping_sources();
        self.overlapping_targets();
        let mut taken: HashSet<FieldPath> = self.list.iter().map(|field| field.source.clone()).collect();
        let mut by_root: HashMap<String, Vec<FieldPath>> = HashMap::new();
        for source in &taken {
            by_root
                .entry(source.root().to_owned())
                .or_default()
                .push(source.clone());
        }
        for name in same_names {
            // A name that can only be read (a list item) is nothing that a write could name.
            let Ok(source) = FieldPath::parse(name) else {
                continue;
            };
            let near = by_root.get(source.root());
            let overlaps = near
                .into_iter()
                .flatten()
                .any(|other| other.contains(&source) || source.contains(other));
            if !overlaps && taken.insert(source.clone()) {
                self.list.push(Field {
                    source,
                    to: Destination::SameName,
                });
            }
        }
        Fields {
            list: self.list,
            errors: self.errors,
        }
    }

    fn overlapping_sources(&mut self) {
        let mut sources: Vec<&FieldPath> = self.list.iter().map(|field| &field.source).collect();
        sources.sort_unstable();
        let errors = overlaps(&sources, |source| source).map(|(outer, inner)| FieldsError::Overlap {
            outer: outer.to_string(),
            inner: inner.to_string(),
        });
        self.errors.extend(errors);
    }

    fn overlapping_targets(&mut self) {
        let mut targets: Vec<(&FieldPath, usize, &FieldPath)> = Vec::with_capacity(self.list.len());
        for (place, field) in self.list.iter().enumerate() {
            match &field.to {
                Destination::Mapped(target) => targets.push((target, place, &field.source)),
                Destination::SameName => targets.push((&field.source, place, &field.source)),
                Destination::NotChosen => {}
            }
        }
        targets.sort_unstable();
        let errors = overlaps(&targets, |(target, ..)| target).map(|(a, b)| {
            let (first, second) = if a.1 < b.1 { (a.2, b.2) } else { (b.2, a.2) };
            FieldsError::SameTarget {
                first: first.to_string(),
                second: second.to_string(),
                target: b.0.to_string(),
            }
        });
        self.errors.extend(errors);
    }
}

/// Neighbours in a sorted list of which the first contains the second. Whatever a path contains is sorted right after
/// it, so a list without such neighbours has no overlap at all.
fn overlaps<'l, T>(
    sorted: &'l [T],
    path: impl Fn(&'l T) -> &'l FieldPath,
) -> impl Iterator<Item = (&'l T, &'l T)> {
    sorted.windows(2).filter_map(move |pair| {
        let [first, second] = pair else { return None };
        path(first).contains(path(second)).then_some((first, second))
    })
}
