//! Writing values to their places in the provider's record.
//!
//! Two values meet in one place only when something is wrong, with one exception: an object that passes
//! through may share its place with fields that are mapped into it. Then the two are merged, and only their
//! leaves must differ.

use std::collections::HashMap;

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::apply::{Run, found};
use super::error::ApplyError;
use super::path::{FieldPath, render};
use super::plan::{Target, Targets};
use super::trace::TraceEntry;
use crate::record_rules::find_key;

impl Run<'_> {
    /// Writes a field at the top of the record.
    pub(super) fn put(&mut self, key: String, value: Value) -> Result<(), ApplyError> {
        let any_case = self.plan.rules.names.any_case();
        let key = if any_case {
            one_spelling_each(&mut vec![key.clone()], &value)?;
            self.spell(&key)
        } else {
            key
        };
        match self.out.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                Ok(())
            }
            Entry::Occupied(mut entry) => {
                let mut keys = vec![entry.key().clone()];
                let target = {
                    let folded = self.plan.rules.names.fold(entry.key(), true);
                    self.plan.targets.get(folded.as_ref())
                };
                merge(entry.get_mut(), value, target, &mut keys, any_case)
                    .map_err(|clash| clash.error(&keys, &self.trace, any_case))
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
        if !self.plan.rules.names.any_case() {
            return self.put_inside(keys, value);
        }
        one_spelling_each(&mut keys.to_vec(), &value)?;
        let keys = self.spelling(keys);
        if let Some(root) = keys.first() {
            self.spell(root);
        }
        self.put_inside(&keys, value)
    }

    fn put_inside(&mut self, keys: &[String], value: Value) -> Result<(), ApplyError> {
        let Some((last, outer)) = keys.split_last() else {
            return Ok(());
        };
        let names = &self.plan.rules.names;
        let any_case = names.any_case();
        let mut targets = Some(&self.plan.targets);
        let mut map = &mut self.out;
        for (depth, key) in outer.iter().enumerate() {
            let target = targets.and_then(|targets| targets.get(names.fold(key, depth == 0).as_ref()));
            if !map.contains_key(key) {
                map.insert(key.clone(), Value::Object(Map::new()));
            } else if matches!(target, Some(Target::Field))
                && was_written(&self.trace, &keys[..=depth], any_case)
            {
                return Err(Clash::SamePlace.error(&keys[..=depth], &self.trace, any_case));
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
        let target = targets.and_then(|targets| targets.get(names.fold(last, false).as_ref()));
        let mut keys = keys.to_vec();
        merge(there, value, target, &mut keys, any_case)
            .map_err(|clash| clash.error(&keys, &self.trace, any_case))
    }

    /// The key at the top of the record that is this field: the first spelling that was written stands for all.
    pub(super) fn spell(&mut self, key: &str) -> String {
        let folded = self.plan.rules.names.fold(key, true).into_owned();
        self.spelled
            .entry(folded)
            .or_insert_with(|| key.to_owned())
            .clone()
    }

    /// The keys of a place as the record spells them, as far as it has them.
    pub(super) fn spelling(&self, keys: &[String]) -> Vec<String> {
        let mut spelled = Vec::with_capacity(keys.len());
        let mut map = Some(&self.out);
        for (depth, key) in keys.iter().enumerate() {
            let known = if depth == 0 {
                self.spelled.get(self.plan.rules.names.fold(key, true).as_ref())
            } else {
                map.and_then(|map| find_key(map, key, true))
            };
            let known = known.unwrap_or(key);
            spelled.push(known.clone());
            map = map.and_then(|map| map.get(known)?.as_object());
        }
        spelled
    }
}

/// Refuses an object that names one field twice, in two cases. `keys` are the place of the value.
fn one_spelling_each(keys: &mut Vec<String>, value: &Value) -> Result<(), ApplyError> {
    let Value::Object(map) = value else {
        return Ok(());
    };
    let mut seen: HashMap<String, &String> = HashMap::with_capacity(map.len());
    for (key, inner) in map {
        let first = seen.insert(key.to_ascii_lowercase(), key);
        keys.push(key.clone());
        if let Some(first) = first {
            let second = render(keys);
            keys.pop();
            keys.push(first.clone());
            let first = render(keys);
            return Err(ApplyError::Conflict {
                target: first.clone(),
                first,
                second,
            });
        }
        one_spelling_each(keys, inner)?;
        keys.pop();
    }
    Ok(())
}

/// Whether a field was written to exactly this place, rather than something inside it.
fn was_written(trace: &[TraceEntry], keys: &[String], any_case: bool) -> bool {
    let place = render(keys);
    let mut targets = trace.iter().filter_map(|entry| entry.target.as_deref());
    targets.any(|target| target == place || any_case && target.eq_ignore_ascii_case(&place))
}

/// Why two values cannot share a place.
enum Clash {
    SamePlace,
    /// One of them is not an object, but the other has fields inside.
    NotAnObject(&'static str),
}

impl Clash {
    /// The error, with the names of the fields: the last traced field is the one that came second.
    fn error(self, keys: &[String], trace: &[TraceEntry], any_case: bool) -> ApplyError {
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
                            .is_some_and(|target| is_on_branch(target, &place, any_case))
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
                    .find(|target| place.holds(any_case)(target));
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
    any_case: bool,
) -> Result<(), Clash> {
    let Some(Target::Object(targets)) = target else {
        return Err(Clash::SamePlace);
    };
    match (there, value) {
        (Value::Object(there), Value::Object(more)) => merge_members(there, more, targets, keys, any_case),
        (Value::Object(_), other) => Err(Clash::NotAnObject(found(&other))),
        (other, _) => Err(Clash::NotAnObject(found(other))),
    }
}

fn merge_members(
    there: &mut Map<String, Value>,
    more: Map<String, Value>,
    targets: &Targets,
    keys: &mut Vec<String>,
    any_case: bool,
) -> Result<(), Clash> {
    let spelled: HashMap<String, String> = if any_case {
        let keys = there.keys();
        keys.map(|key| (key.to_ascii_lowercase(), key.clone())).collect()
    } else {
        HashMap::new()
    };
    for (given, value) in more {
        let (folded, key) = if any_case {
            let folded = given.to_ascii_lowercase();
            let key = spelled.get(&folded).cloned().unwrap_or(given);
            (Some(folded), key)
        } else {
            (None, given)
        };
        match there.get_mut(&key) {
            None => {
                there.insert(key, value);
            }
            Some(inner) => {
                let target = targets.get(folded.as_ref().unwrap_or(&key));
                keys.push(key);
                merge(inner, value, target, keys, any_case)?;
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

/// The value at a place, if there is one. With `any_case` keys that differ in case will do.
pub(super) fn value_at<'v>(
    map: &'v Map<String, Value>,
    keys: &[String],
    any_case: bool,
) -> Option<&'v Value> {
    let (last, outer) = keys.split_last()?;
    let get = |map: &'v Map<String, Value>, key: &str| {
        if any_case {
            map.get(find_key(map, key, true)?)
        } else {
            map.get(key)
        }
    };
    let map = outer
        .iter()
        .try_fold(map, |map, key| get(map, key)?.as_object())?;
    get(map, last)
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
fn is_on_branch(target: &str, place: &FieldPath, any_case: bool) -> bool {
    let is = |outer: String| target == outer || any_case && target.eq_ignore_ascii_case(&outer);
    place.holds(any_case)(target) || (1..place.keys().len()).any(|depth| is(render(&place.keys()[..depth])))
}
