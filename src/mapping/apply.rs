//! Applying a plan to one record.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::error::ApplyError;
use super::path::{FieldPath, render};
use super::plan::{Name, Names, Plan, Rule};
use super::trace::{Decision, TraceEntry};
use crate::action::Action;

/// What the caller may ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Refuse the record when a field of it would be dropped.
    pub strict: bool,
}

/// A record as the provider gets it, and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    /// The fields under the provider's names, in the order the app gave them, defaults last. On update and
    /// delete it has no `id`. Fields in [`if_empty`](Self::if_empty) are still in it.
    pub record: Map<String, Value>,
    /// The record's id: always there on update and delete, never on create.
    pub record_id: Option<String>,
    /// One entry for each field, in the same order. The id has none.
    pub trace: Vec<TraceEntry>,
    /// The fields that are written only if the provider has no value for them. When there are any, read their
    /// current values and call [`Applied::decide_if_empty`] before sending.
    pub if_empty: Vec<IfEmptyField>,
}

/// A field with `writeOnUpdate: ifEmpty` that has a value to write.
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

impl Plan {
    /// Turns the app's record into the provider's. Values are moved, never changed, except by a value
    /// mapping.
    ///
    /// On a delete only the mapping applies: defaults and write rules are about creates and updates.
    ///
    /// # Errors
    /// When the id of an update or delete is missing or unusable, two fields lead to one place, a nested
    /// field has no object to lie in, or `strict` finds a field that would be dropped.
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

/// One record on its way through a plan. `place` and `settings` hold the rest of what it does.
pub(super) struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) out: Map<String, Value>,
    pub(super) trace: Vec<TraceEntry>,
    pub(super) if_empty: Vec<IfEmptyField>,
}

impl Run<'_> {
    /// One field at the top of the record.
    fn field(&mut self, key: String, value: Value) -> Result<(), ApplyError> {
        match self.plan.names.get(&key) {
            None if self.plan.remove_unmapped => {
                self.note(Some(written(key)), None, Decision::DroppedUnmapped);
                Ok(())
            }
            None => {
                let name = written(key.clone());
                self.note(Some(name.clone()), Some(name), Decision::PassedThrough);
                self.put(key, value)
            }
            Some(Name::Field(rule)) => self.mapped(written(key), rule, value),
            Some(Name::Object(inner)) => self.object(&mut vec![key], inner, value),
        }
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
        self.note(Some(source), Some(target.as_str().to_owned()), decision);
        self.put_at(target.keys(), value)
    }

    /// An object with mapped fields in it is taken apart: what is mapped goes where it leads, the rest stays
    /// where it is. An empty object has nothing to take out, and is a value like any other.
    fn object(&mut self, keys: &mut Vec<String>, names: &Names, value: Value) -> Result<(), ApplyError> {
        let Value::Object(map) = value else {
            let mut field = keys.clone();
            field.extend(names.keys().min().cloned());
            return Err(ApplyError::NotAnObject {
                path: render(keys),
                field: render(&field),
                found: found(&value),
            });
        };
        if map.is_empty() {
            return self.unmapped_inside(keys, Value::Object(map));
        }
        for (key, value) in map {
            let name = names.get(&key);
            keys.push(key);
            match name {
                None => self.unmapped_inside(keys, value)?,
                Some(Name::Field(rule)) => self.mapped(render(keys), rule, value)?,
                Some(Name::Object(inner)) => self.object(keys, inner, value)?,
            }
            keys.pop();
        }
        Ok(())
    }

    /// What an object that is taken apart holds beside the mapped fields.
    fn unmapped_inside(&mut self, keys: &[String], value: Value) -> Result<(), ApplyError> {
        let place = render(keys);
        if self.plan.remove_unmapped {
            self.note(Some(place), None, Decision::DroppedUnmapped);
            return Ok(());
        }
        self.note(Some(place.clone()), Some(place), Decision::PassedThrough);
        self.put_at(keys, value)
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

    pub(super) fn note(&mut self, source: Option<String>, target: Option<String>, decision: Decision) {
        self.trace.push(TraceEntry {
            source,
            target,
            decision,
        });
    }
}

/// How a trace writes a key: as it is, unless it looks like a path and could be mistaken for one.
fn written(key: String) -> String {
    if key.starts_with("$[") {
        render(&[key])
    } else {
        key
    }
}

/// What a value mapping says about a value.
enum Translation<'v> {
    To(&'v Value),
    Unknown,
    /// `null` empties a field: there is nothing to translate.
    NotNeeded,
}

/// Looks a value up. The keys of a value mapping are text, so a number or a boolean is looked up as it is
/// written.
fn translation<'v>(values: &'v HashMap<String, Value>, value: &Value) -> Translation<'v> {
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

/// What a value is, in the words of someone who writes JSON.
pub(super) const fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
