//! Which keys a manifest knows, so that a misspelt one is noticed.

use serde_json::Value;

use super::node::{Problems, Trail};

/// What may stand somewhere in a manifest.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// A value, or something whose inside is not looked at.
    Leaf,
    /// A list of things of one shape.
    List(&'static Shape),
    /// A mapping with these keys.
    Keys(&'static [(&'static str, Shape)]),
}

use Shape::{Keys, Leaf, List};

const FIELD: Shape = Keys(&[
    ("fieldName", Leaf),
    ("mapToName", Leaf),
    ("mapToDisplayName", Leaf),
    ("default", Leaf),
    ("prompt", Leaf),
]);

const BACKFILL: Shape = Keys(&[("defaultPeriod", Keys(&[("days", Leaf), ("fullHistory", Leaf)]))]);

const READ_OBJECT: Shape = Keys(&[
    ("objectName", Leaf),
    ("destination", Leaf),
    ("schedule", Leaf),
    ("mapToName", Leaf),
    ("mapToDisplayName", Leaf),
    ("requiredFields", List(&FIELD)),
    ("optionalFields", List(&FIELD)),
    ("optionalFieldsAuto", Leaf),
    ("backfill", BACKFILL),
    ("delivery", Keys(&[("mode", Leaf), ("pageSize", Leaf)])),
    ("enabled", Leaf),
]);

const WRITE_OBJECT: Shape = Keys(&[
    ("objectName", Leaf),
    ("inheritMapping", Leaf),
    ("removeUnmappedFields", Leaf),
    ("valueDefaults", Keys(&[("allowAnyFields", Leaf)])),
]);

const EVENT: Shape = Keys(&[("enabled", Leaf)]);

const SUBSCRIBE_OBJECT: Shape = Keys(&[
    ("objectName", Leaf),
    ("destination", Leaf),
    ("inheritFieldsAndMapping", Leaf),
    ("createEvent", EVENT),
    (
        "updateEvent",
        Keys(&[
            ("enabled", Leaf),
            ("watchFieldsAuto", Leaf),
            ("requiredWatchFields", Leaf),
        ]),
    ),
    ("deleteEvent", EVENT),
    (
        "associationChangeEvent",
        Keys(&[("enabled", Leaf), ("includeFullRecords", Leaf)]),
    ),
    ("otherEvents", Leaf),
]);

const WATCH_SCHEMA: Shape = Keys(&[
    ("destination", Leaf),
    ("schedule", Leaf),
    (
        "allObjects",
        Keys(&[
            ("fieldCreated", EVENT),
            ("fieldDeleted", EVENT),
            ("fieldChanged", EVENT),
        ]),
    ),
]);

const INTEGRATION: Shape = Keys(&[
    ("name", Leaf),
    ("provider", Leaf),
    ("displayName", Leaf),
    ("module", Leaf),
    ("read", Keys(&[("objects", List(&READ_OBJECT))])),
    ("write", Keys(&[("objects", List(&WRITE_OBJECT))])),
    ("subscribe", Keys(&[("objects", List(&SUBSCRIBE_OBJECT))])),
    ("proxy", Keys(&[("enabled", Leaf), ("useModule", Leaf)])),
    ("watchSchema", WATCH_SCHEMA),
]);

const MANIFEST: Shape = Keys(&[("specVersion", Leaf), ("integrations", List(&INTEGRATION))]);

/// Adds one problem for each key that the schema does not have.
pub(crate) fn unknown_manifest_keys(document: &Value, problems: &mut Problems) {
    walk(document, MANIFEST, &Trail::root(), problems);
}

fn walk(value: &Value, shape: Shape, at: &Trail<'_>, problems: &mut Problems) {
    match (shape, value) {
        (List(item), Value::Array(list)) => {
            for (index, value) in list.iter().enumerate() {
                walk(value, *item, &at.index(index), problems);
            }
        }
        (Keys(known), Value::Object(map)) => {
            for (key, value) in map {
                let at = at.key(key);
                match known.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
                    Some((_, shape)) => walk(value, *shape, &at, problems),
                    None => problems.error(&at, unknown(key, known)),
                }
            }
        }
        // A wrong type is for the rules to tell.
        _ => {}
    }
}

/// The name that was probably meant by a misspelt one.
pub(crate) fn nearest<'n>(misspelt: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let misspelt = misspelt.to_ascii_lowercase();
    names
        .map(|name| (distance(&misspelt, &name.to_ascii_lowercase()), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5)
        .map(|(_, name)| name)
}

fn unknown(key: &str, known: &[(&str, Shape)]) -> String {
    match nearest(key, known.iter().map(|(name, _)| *name)) {
        Some(name) => format!("The key `{key}` is unknown and has no effect. Did you mean `{name}`?"),
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            format!(
                "The key `{key}` is unknown and has no effect. Known here: {}.",
                names.join(", ")
            )
        }
    }
}

/// How many single-letter changes lie between two words. A long word is far from everything: no need to
/// measure it.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 {
        return a.len();
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
