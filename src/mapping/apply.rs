//! Applying a plan to one record.

use serde_json::{Map, Value};

use super::path::{self, FieldPath};
use super::plan::{Name, Names, Plan, Rule};
use super::trace::{Decision, TraceEntry};
use crate::action::Action;
use crate::manifest::config::WriteRule;

/// What the caller may ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Refuse the record when a field of it would be dropped.
    pub strict: bool,
}

/// A record as the provider gets it, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The fields under the provider's names, in the order the app gave them, defaults last. On update and delete it
    /// has no `id`. Fields in [`if_empty`](Self::if_empty) are still in it.
    pub record: Map<String, Value>,
    /// The record's id: always there on update and delete, never on create.
    pub record_id: Option<String>,
    /// One entry for each field, in the same order.
    pub trace: Vec<TraceEntry>,
    /// The fields that are written only if the provider has no value for them. When there are any, read their current
    /// values and call [`Applied::decide_if_empty`] before sending.
    pub if_empty: Vec<IfEmptyField>,
}

/// A field with `writeOnUpdate: ifEmpty` that has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfEmptyField {
    /// The field in the provider's record.
    pub path: FieldPath,
}

impl IfEmptyField {
    /// The provider's name of the field to read; of the object around it when the field is nested.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.root()
    }
}

/// Why a record cannot be written. Nothing was changed anywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// An update or delete does not say which record it is about.
    #[error("record.id is missing; {0} needs the id of the record at the provider")]
    MissingRecordId(Action),
    /// The id is there but cannot be one.
    #[error("record.id must be text or a whole number; it is {0}")]
    InvalidRecordId(String),
    /// Two fields of the record lead to one provider field.
    #[error("`{first}` and `{second}` both write `{target}`; send one of them")]
    Conflict {
        /// The field that came first.
        first: String,
        /// The other field.
        second: String,
        /// The provider's field.
        target: String,
    },
    /// A nested field cannot be read or written because what holds it is not an object.
    #[error("`{path}` must be an object, since `{field}` lies inside it; it is {found}")]
    NotAnObject {
        /// Where the object should be.
        path: String,
        /// The nested field.
        field: String,
        /// What is there: `text`, `null` and so on.
        found: &'static str,
    },
    /// `strict` was asked for, and these fields would be dropped.
    #[error("strict: these fields would be dropped: {}", fields.join(", "))]
    Dropped {
        /// The fields as the app wrote them.
        fields: Vec<String>,
    },
}

impl Plan {
    /// Turns the app's record into the provider's. Values are moved, never changed, except by a value mapping.
    ///
    /// On a delete only the mapping applies: defaults and write rules are about creates and updates.
    ///
    /// # Errors
    /// When the id of an update or delete is missing or unusable, two fields lead to one place, a nested field has no
    /// object to lie in, or `strict` finds a field that would be dropped.
    pub fn apply(
        &self,
        mut record: Map<String, Value>,
        action: Action,
        options: ApplyOptions,
    ) -> Result<Applied, ApplyError> {
        let record_id = match action {
            Action::Create => None,
            Action::Update | Action::Delete => Some(record_id(record.get_mut("id"), action)?),
        };
        let size = record.len() + self.settings.len();
        let mut run = Run {
            plan: self,
            out: Map::with_capacity(size),
            trace: Vec::with_capacity(size),
            if_empty: Vec::new(),
        };
        for (key, value) in record {
            if record_id.is_none() || key != "id" {
                run.field(key, value)?;
            }
        }
        if options.strict {
            run.refuse_drops()?;
        }
        if action != Action::Delete {
            run.settings(action)?;
        }
        Ok(Applied {
            record: run.out,
            record_id,
            trace: run.trace,
            if_empty: run.if_empty,
        })
    }
}

impl Applied {
    /// Takes out the `ifEmpty` fields for which the provider has a value: anything but null, `""` and absent.
    /// `current` holds the provider's current values by the provider's names.
    #[must_use]
    pub fn decide_if_empty(mut self, current: &Map<String, Value>) -> Self {
        for field in std::mem::take(&mut self.if_empty) {
            let empty = match value_at(current, field.path.keys()) {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => text.is_empty(),
                Some(_) => false,
            };
            if !empty {
                remove(&mut self.record, field.path.keys());
                note_skip(&mut self.trace, &field.path, Decision::SkippedNotEmpty);
            }
        }
        self
    }
}

/// Takes the id's value out of the record; the loop over the record then skips the key.
fn record_id(id: Option<&mut Value>, action: Action) -> Result<String, ApplyError> {
    match id.map(Value::take) {
        None | Some(Value::Null) => Err(ApplyError::MissingRecordId(action)),
        Some(Value::String(id)) if id.is_empty() => Err(ApplyError::MissingRecordId(action)),
        Some(Value::String(id)) => Ok(id),
        Some(Value::Number(number)) => {
            let text = number.to_string();
            let digits = text.strip_prefix('-').unwrap_or(&text);
            if digits.bytes().all(|byte| byte.is_ascii_digit()) {
                Ok(text)
            } else {
                Err(ApplyError::InvalidRecordId(format!("the number {text}")))
            }
        }
        Some(other) => Err(ApplyError::InvalidRecordId(found(&other).to_owned())),
    }
}

/// One record on its way through a plan.
struct Run<'p> {
    plan: &'p Plan,
    out: Map<String, Value>,
    trace: Vec<TraceEntry>,
    if_empty: Vec<IfEmptyField>,
}

impl<'p> Run<'p> {
    /// One field at the top of the record.
    fn field(&mut self, key: String, value: Value) -> Result<(), ApplyError> {
        match self.plan.names.get(&key) {
            None if self.plan.remove_unmapped => {
                self.note(Some(key), None, Decision::DroppedUnmapped);
                Ok(())
            }
            None => self.pass(key, value),
            Some(Name::Field(rule)) => self.mapped(key, rule, value),
            Some(Name::Object(inner)) => {
                let mut keys = vec![key];
                let rest = self.object(&mut keys, inner, value)?;
                match (rest, keys.pop()) {
                    (Some(rest), Some(key)) => self.put(key, Value::Object(rest)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// A field outside the mapping is written as it came.
    fn pass(&mut self, key: String, value: Value) -> Result<(), ApplyError> {
        self.note(Some(key.clone()), Some(key.clone()), Decision::PassedThrough);
        self.put(key, value)
    }

    /// A field of the mapping is written where it leads.
    fn mapped(&mut self, source: String, rule: &Rule, value: Value) -> Result<(), ApplyError> {
        let Some(target) = &rule.target else {
            self.note(Some(source), None, Decision::DroppedNotChosen);
            return Ok(());
        };
        let (value, decision) = match &rule.values {
            None => (value, Decision::Mapped),
            Some(values) => match translation(values, &value) {
                Translation::To(value) => (value.clone(), Decision::ValueMapped),
                Translation::Unknown => (value, Decision::ValueNotMapped),
                Translation::NotNeeded => (value, Decision::Mapped),
            },
        };
        self.note(Some(source), Some(target.to_string()), decision);
        self.put_at(target, value)
    }

    /// An object with mapped fields in it: those are taken out; what is left is returned, `None` when nothing is.
    fn object(
        &mut self,
        keys: &mut Vec<String>,
        names: &Names,
        value: Value,
    ) -> Result<Option<Map<String, Value>>, ApplyError> {
        let Value::Object(map) = value else {
            let mut field = keys.clone();
            field.extend(names.keys().min().cloned());
            return Err(ApplyError::NotAnObject {
                path: render(keys),
                field: render(&field),
                found: found(&value),
            });
        };
        let was_empty = map.is_empty();
        let mut rest = Map::new();
        for (key, value) in map {
            let name = names.get(&key);
            keys.push(key);
            match name {
                None if self.plan.remove_unmapped => {
                    self.note(Some(render(keys)), None, Decision::DroppedUnmapped)
                }
                None => {
                    let place = render(keys);
                    self.note(Some(place.clone()), Some(place), Decision::PassedThrough);
                    keep(&mut rest, keys, value);
                }
                Some(Name::Field(rule)) => self.mapped(render(keys), rule, value)?,
                Some(Name::Object(inner)) => {
                    if let Some(inner) = self.object(keys, inner, value)? {
                        keep(&mut rest, keys, Value::Object(inner));
                    }
                }
            }
            keys.pop();
        }
        if was_empty {
            let place = render(keys);
            let decision = if self.plan.remove_unmapped {
                Decision::DroppedUnmapped
            } else {
                Decision::PassedThrough
            };
            let target = (!self.plan.remove_unmapped).then(|| place.clone());
            self.note(Some(place), target, decision);
        }
        Ok((!rest.is_empty() || (was_empty && !self.plan.remove_unmapped)).then_some(rest))
    }

    /// Writes a top-level field.
    fn put(&mut self, key: String, value: Value) -> Result<(), ApplyError> {
        let Some(there) = self.out.get_mut(&key) else {
            self.out.insert(key, value);
            return Ok(());
        };
        if !self.plan.nested_roots.contains(&key) {
            return Err(self.conflict(&FieldPath::of_key(&key)));
        }
        let mut keys = vec![key];
        match merge(there, value, &mut keys) {
            Ok(()) => Ok(()),
            Err(Clash::SamePlace) => Err(self.conflict(&FieldPath::of(keys))),
            Err(Clash::NotAnObject(found)) => {
                let path = FieldPath::of(keys);
                let field = self.first_inside(&path);
                Err(ApplyError::NotAnObject {
                    path: path.to_string(),
                    field,
                    found,
                })
            }
        }
    }

    /// Writes a field, and the objects around it that are not there yet.
    fn put_at(&mut self, target: &FieldPath, value: Value) -> Result<(), ApplyError> {
        let Some((last, outer)) = target.keys().split_last() else {
            return Ok(());
        };
        if outer.is_empty() {
            return self.put(last.clone(), value);
        }
        let mut map = &mut self.out;
        for (depth, key) in outer.iter().enumerate() {
            // A key that is there costs no allocation.
            if !map.contains_key(key) {
                map.insert(key.clone(), Value::Object(Map::new()));
            }
            match map.get_mut(key) {
                Some(Value::Object(inner)) => map = inner,
                other => {
                    let found = other.map_or("absent", |value| found(value));
                    let path = render(&outer[..=depth]);
                    return Err(ApplyError::NotAnObject {
                        path,
                        field: target.to_string(),
                        found,
                    });
                }
            }
        }
        if map.contains_key(last) {
            return Err(self.conflict(target));
        }
        map.insert(last.clone(), value);
        Ok(())
    }

    /// The error for a second value at one place; the trace knows who came first and who is second.
    fn conflict(&self, target: &FieldPath) -> ApplyError {
        let mut sources = self
            .trace
            .iter()
            .filter(|entry| {
                entry
                    .target
                    .as_deref()
                    .is_some_and(|place| touches(place, target))
            })
            .filter_map(|entry| entry.source.clone());
        let first = sources.next().unwrap_or_default();
        let second = sources.next_back().unwrap_or_default();
        ApplyError::Conflict {
            first,
            second,
            target: target.to_string(),
        }
    }

    /// The source of the first field that was written inside a place.
    fn first_inside(&self, outer: &FieldPath) -> String {
        let inside = self.trace.iter().find(|entry| {
            entry
                .target
                .as_deref()
                .is_some_and(|place| place != outer.as_str() && touches(place, outer))
        });
        inside.and_then(|entry| entry.target.clone()).unwrap_or_default()
    }

    fn refuse_drops(&self) -> Result<(), ApplyError> {
        let dropped = self.trace.iter().filter(|entry| entry.decision.is_drop());
        let fields: Vec<String> = dropped.filter_map(|entry| entry.source.clone()).collect();
        if fields.is_empty() {
            Ok(())
        } else {
            Err(ApplyError::Dropped { fields })
        }
    }

    /// Defaults and write rules, in config order.
    fn settings(&mut self, action: Action) -> Result<(), ApplyError> {
        for setting in &self.plan.settings {
            let (write, skipped, default_applies) = match action {
                Action::Create => (setting.rule.write_on_create, Decision::SkippedWriteOnCreate, true),
                Action::Update | Action::Delete => (
                    setting.rule.write_on_update,
                    Decision::SkippedWriteOnUpdate,
                    setting.rule.default_on_update,
                ),
            };
            let target = &setting.target;
            let given = value_at(&self.out, target.keys()).is_some();
            let default = setting
                .rule
                .default
                .as_ref()
                .filter(|_| !given && default_applies);
            if write == WriteRule::Never {
                if given {
                    remove(&mut self.out, target.keys());
                    note_skip(&mut self.trace, target, skipped);
                } else if default.is_some() {
                    self.note(None, Some(target.to_string()), skipped);
                }
                continue;
            }
            if let Some(default) = default {
                self.note(None, Some(target.to_string()), Decision::Defaulted);
                self.put_at(target, default.clone())?;
            }
            if write == WriteRule::IfEmpty && (given || default.is_some()) {
                self.if_empty.push(IfEmptyField { path: target.clone() });
            }
        }
        Ok(())
    }

    fn note(&mut self, source: Option<String>, target: Option<String>, decision: Decision) {
        self.trace.push(TraceEntry {
            source,
            target,
            decision,
        });
    }
}

/// What a value mapping says about a value.
enum Translation<'v> {
    To(&'v Value),
    Unknown,
    /// `null` empties a field: there is nothing to translate.
    NotNeeded,
}

fn translation<'v>(values: &'v std::collections::HashMap<String, Value>, value: &Value) -> Translation<'v> {
    let found = match value {
        Value::Null => return Translation::NotNeeded,
        Value::String(text) => values.get(text),
        Value::Number(number) => values.get(number.as_str()),
        Value::Bool(true) => values.get("true"),
        Value::Bool(false) => values.get("false"),
        Value::Array(_) | Value::Object(_) => None,
    };
    found.map_or(Translation::Unknown, Translation::To)
}

/// Keeps a field of an object under its last key.
fn keep(rest: &mut Map<String, Value>, keys: &[String], value: Value) {
    if let Some(key) = keys.last() {
        rest.insert(key.clone(), value);
    }
}

enum Clash {
    SamePlace,
    NotAnObject(&'static str),
}

/// Adds the members of one object to another; `keys` ends up at the place where that failed.
fn merge(there: &mut Value, value: Value, keys: &mut Vec<String>) -> Result<(), Clash> {
    match (there, value) {
        (Value::Object(there), Value::Object(more)) => {
            for (key, value) in more {
                match there.get_mut(&key) {
                    None => {
                        there.insert(key, value);
                    }
                    Some(inner) => {
                        keys.push(key);
                        merge(inner, value, keys)?;
                        keys.pop();
                    }
                }
            }
            Ok(())
        }
        (Value::Object(_), other) => Err(Clash::NotAnObject(found(&other))),
        _ => Err(Clash::SamePlace),
    }
}

fn value_at<'v>(map: &'v Map<String, Value>, keys: &[String]) -> Option<&'v Value> {
    let (last, outer) = keys.split_last()?;
    outer
        .iter()
        .try_fold(map, |map, key| map.get(key)?.as_object())?
        .get(last)
}

/// Takes a field out, and the objects around it that are empty then.
fn remove(map: &mut Map<String, Value>, keys: &[String]) {
    let Some((key, inner)) = keys.split_first() else {
        return;
    };
    if !inner.is_empty() {
        let Some(Value::Object(object)) = map.get_mut(key) else {
            return;
        };
        remove(object, inner);
        if !object.is_empty() {
            return;
        }
    }
    // Not `remove`: that would move the last field to this place.
    map.shift_remove(key);
}

/// Marks the entries of a field that was taken out again. A field inside an object that passed through whole has no
/// entry of its own yet.
fn note_skip(trace: &mut Vec<TraceEntry>, target: &FieldPath, decision: Decision) {
    let mut found = false;
    for entry in trace.iter_mut() {
        if entry
            .target
            .as_deref()
            .is_some_and(|place| is_within(place, target))
        {
            entry.decision = decision;
            found = true;
        }
    }
    if !found {
        let place = target.to_string();
        trace.push(TraceEntry {
            source: Some(place.clone()),
            target: Some(place),
            decision,
        });
    }
}

/// Whether a written place is this target or lies inside it.
fn is_within(place: &str, target: &FieldPath) -> bool {
    place == target.as_str()
        || place
            .strip_prefix(&target.in_brackets())
            .is_some_and(|rest| rest.starts_with('['))
}

/// Whether a written place and a target lie on one branch.
fn touches(place: &str, target: &FieldPath) -> bool {
    is_within(place, target) || (1..target.keys().len()).any(|depth| place == render(&target.keys()[..depth]))
}

fn render(keys: &[String]) -> String {
    path::render(keys.iter().map(String::as_str))
}

/// What a value is, in the words of someone who writes JSON.
const fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
