//! Writing values to their places in the provider's record.
//!
//! Two values meet in one place only when something is wrong, with one exception: an object that passes
//! through may share its place with fields that are mapped into it. Then the two are merged, and only their
//! leaves must differ.

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::apply::{Run, found};
use super::error::ApplyError;
use super::path::{FieldPath, render};
use super::plan::{Target, Targets};
use super::trace::TraceEntry;

impl Run<'_> {
    /// Writes a field at the top of the record.
    pub(super) fn put(&mut self, key: String, value: Value) -> Result<(), ApplyError> {
        match self.out.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                Ok(())
            }
            Entry::Occupied(mut entry) => {
                let mut keys = vec![entry.key().clone()];
                let target = self.plan.targets.get(entry.key());
                merge(entry.get_mut(), value, target, &mut keys)
                    .map_err(|clash| clash.error(&keys, &self.trace))
            }
        }
    }

    /// Writes a field, and the objects around it that are not there yet.
    pub(super) fn put_at(&mut self, keys: &[String], value: Value) -> Result<(), ApplyError> {
        let Some((last, outer)) = keys.split_last() else {
            return Ok(());
        };
        if outer.is_empty() {
            return self.put(last.clone(), value);
        }
        let mut targets = Some(&self.plan.targets);
        let mut map = &mut self.out;
        for (depth, key) in outer.iter().enumerate() {
            let target = targets.and_then(|targets| targets.get(key));
            if !map.contains_key(key) {
                map.insert(key.clone(), Value::Object(Map::new()));
            } else if matches!(target, Some(Target::Field)) && was_written(&self.trace, &keys[..=depth]) {
                return Err(Clash::SamePlace.error(&keys[..=depth], &self.trace));
            }
            match map.get_mut(key) {
                Some(Value::Object(inner)) => map = inner,
                other => {
                    let found = other.map_or("absent", |value| found(value));
                    return Err(ApplyError::NotAnObject {
                        path: render(&keys[..=depth]),
                        field: render(keys),
                        found,
                    });
                }
            }
            targets = target.and_then(Target::inner);
        }
        let Some(there) = map.get_mut(last) else {
            map.insert(last.clone(), value);
            return Ok(());
        };
        let target = targets.and_then(|targets| targets.get(last));
        let mut keys = keys.to_vec();
        merge(there, value, target, &mut keys).map_err(|clash| clash.error(&keys, &self.trace))
    }
}

/// Whether a field was written to exactly this place, rather than something inside it.
fn was_written(trace: &[TraceEntry], keys: &[String]) -> bool {
    let place = render(keys);
    trace.iter().any(|entry| entry.target.as_ref() == Some(&place))
}

/// Why two values cannot share a place.
enum Clash {
    SamePlace,
    /// One of them is not an object, but the other has fields inside.
    NotAnObject(&'static str),
}

impl Clash {
    /// The error, with the names of the fields: the last traced field is the one that came second.
    fn error(self, keys: &[String], trace: &[TraceEntry]) -> ApplyError {
        let place = FieldPath::of(keys.to_vec());
        match self {
            Self::SamePlace => {
                let second = trace
                    .last()
                    .and_then(|entry| entry.source.clone())
                    .unwrap_or_default();
                let first = trace
                    .iter()
                    .find(|entry| {
                        entry
                            .target
                            .as_deref()
                            .is_some_and(|target| is_on_branch(target, &place))
                    })
                    .and_then(|entry| entry.source.clone())
                    .unwrap_or_default();
                ApplyError::Conflict {
                    first,
                    second,
                    target: place.as_str().to_owned(),
                }
            }
            Self::NotAnObject(found) => {
                let inside = trace.iter().filter_map(|entry| entry.target.as_deref());
                let field = inside
                    .filter(|target| *target != place.as_str())
                    .find(|target| place.holds()(target));
                let field = field.unwrap_or_default().to_owned();
                ApplyError::NotAnObject {
                    path: place.as_str().to_owned(),
                    field,
                    found,
                }
            }
        }
    }
}

/// Adds a value to the one that is there. Only where fields are mapped into an object may another object meet
/// it; `keys` ends up at the place where it does not work.
fn merge(
    there: &mut Value,
    value: Value,
    target: Option<&Target>,
    keys: &mut Vec<String>,
) -> Result<(), Clash> {
    let Some(Target::Object(targets)) = target else {
        return Err(Clash::SamePlace);
    };
    match (there, value) {
        (Value::Object(there), Value::Object(more)) => merge_members(there, more, targets, keys),
        (Value::Object(_), other) => Err(Clash::NotAnObject(found(&other))),
        (other, _) => Err(Clash::NotAnObject(found(other))),
    }
}

fn merge_members(
    there: &mut Map<String, Value>,
    more: Map<String, Value>,
    targets: &Targets,
    keys: &mut Vec<String>,
) -> Result<(), Clash> {
    for (key, value) in more {
        match there.get_mut(&key) {
            None => {
                there.insert(key, value);
            }
            Some(inner) => {
                let target = targets.get(&key);
                keys.push(key);
                merge(inner, value, target, keys)?;
                keys.pop();
            }
        }
    }
    Ok(())
}

/// Writes a value to a place where there is none, and the objects around it that are not there yet.
pub(super) fn insert(
    map: &mut Map<String, Value>,
    place: &FieldPath,
    value: Value,
) -> Result<(), ApplyError> {
    let Some((last, outer)) = place.keys().split_last() else {
        return Ok(());
    };
    let mut map = map;
    for (depth, key) in outer.iter().enumerate() {
        match map
            .entry(key.as_str())
            .or_insert_with(|| Value::Object(Map::new()))
        {
            Value::Object(inner) => map = inner,
            other => {
                let path = render(&outer[..=depth]);
                return Err(ApplyError::NotAnObject {
                    path,
                    field: place.to_string(),
                    found: found(other),
                });
            }
        }
    }
    map.insert(last.clone(), value);
    Ok(())
}

/// The value at a place, if there is one.
pub(super) fn value_at<'v>(map: &'v Map<String, Value>, keys: &[String]) -> Option<&'v Value> {
    let (last, outer) = keys.split_last()?;
    outer
        .iter()
        .try_fold(map, |map, key| map.get(key)?.as_object())?
        .get(last)
}

/// Takes a field out, and the objects around it that are empty then. Returns how many of the objects around
/// it stay.
pub(super) fn remove(map: &mut Map<String, Value>, keys: &[String]) -> usize {
    let Some((key, inner)) = keys.split_first() else {
        return 0;
    };
    if !inner.is_empty() {
        let Some(Value::Object(object)) = map.get_mut(key) else {
            return 0;
        };
        let staying = remove(object, inner);
        if !object.is_empty() {
            return staying + 1;
        }
    }
    // Not `remove`: that would move the last field to this place.
    map.shift_remove(key);
    0
}

/// Whether a traced target and a place lie on one branch.
fn is_on_branch(target: &str, place: &FieldPath) -> bool {
    place.holds()(target) || (1..place.keys().len()).any(|depth| target == render(&place.keys()[..depth]))
}
