//! Applying a plan to one record.

use std::borrow::Cow;
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
    /// The field in the provider's record, as the record spells it.
    pub path: FieldPath,
    /// Whether the provider may spell it in another case.
    pub any_case: bool,
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
            spelled: HashMap::new(),
        };
        let id_in_any_case = record_id.is_some() && self.rules.names.any_case();
        for (key, value) in record {
            if id_in_any_case && key != "id" && key.eq_ignore_ascii_case("id") {
                return Err(ApplyError::Conflict {
                    first: "id".to_owned(),
                    second: key,
                    target: "id".to_owned(),
                });
            }
            if record_id.is_none() || key != "id" {
                run.field(key, value)?;
            }
        }
        if options.strict {
            run.refuse_drops()?;
        }
        if action != Action::Delete {
            run.settings(action)?;
            run.empty_nulls();
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
    /// How the record spells its fields, by their folded names; empty where names are their spelling.
    pub(super) spelled: HashMap<String, String>,
}

/// The parts of the two trees of names that lie at one place.
#[derive(Clone, Copy)]
struct Level<'p> {
    names: Option<&'p Names>,
    same: Option<&'p Names>,
}

/// What a key is by both trees. What the app gave a name goes before what keeps its name.
enum Found<'p> {
    Nothing,
    Field(&'p Rule),
    Object(Level<'p>),
}

impl<'p> Level<'p> {
    fn find(self, plan: &Plan, key: &str, top: bool) -> Found<'p> {
        let own = self.names.and_then(|names| names.get(key));
        let same = self
            .same
            .and_then(|same| same.get(plan.rules.names.fold(key, top).as_ref()));
        match (own, same) {
            (None, None) => Found::Nothing,
            (Some(Name::Field(rule)), _) | (None, Some(Name::Field(rule))) => Found::Field(rule),
            (Some(Name::Object(names)), Some(Name::Object(same))) => Found::Object(Self {
                names: Some(names),
                same: Some(same),
            }),
            (Some(Name::Object(names)), _) => Found::Object(Self {
                names: Some(names),
                same: None,
            }),
            (None, Some(Name::Object(same))) => Found::Object(Self {
                names: None,
                same: Some(same),
            }),
        }
    }

    /// A field of the mapping that lies here, for messages.
    fn first(self) -> Option<String> {
        let keys = [self.names, self.same]
            .into_iter()
            .flatten()
            .flat_map(|names| names.keys());
        keys.min().cloned()
    }
}

impl<'p> Run<'p> {
    /// One field at the top of the record.
    fn field(&mut self, key: String, value: Value) -> Result<(), ApplyError> {
        let level = Level {
            names: Some(&self.plan.names),
            same: self.plan.same_names.as_ref(),
        };
        match level.find(self.plan, &key, true) {
            Found::Nothing if self.plan.remove_unmapped => {
                self.note(Some(written(key)), None, Decision::DroppedUnmapped);
                Ok(())
            }
            Found::Nothing => {
                let sent = match self.plan.rules.names.sent(&key, true) {
                    Cow::Borrowed(_) => key.clone(),
                    Cow::Owned(sent) => sent,
                };
                let target = written(sent.clone());
                self.note(Some(written(key)), Some(target), Decision::PassedThrough);
                self.put(sent, value)
            }
            Found::Field(rule) => {
                let given = rule.as_given.then(|| self.sent(std::slice::from_ref(&key)));
                self.mapped(written(key), given, rule, value)
            }
            Found::Object(inner) => self.object(&mut vec![key], inner, value),
        }
    }

    /// A field of the mapping is written where it leads, or where it was given.
    fn mapped(
        &mut self,
        source: String,
        given: Option<FieldPath>,
        rule: &Rule,
        value: Value,
    ) -> Result<(), ApplyError> {
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
        let target = given.as_ref().unwrap_or(target);
        self.note(Some(source), Some(target.as_str().to_owned()), decision);
        self.put_at(target.keys(), value)
    }

    /// A place of the app's record as the provider gets it.
    fn sent(&self, keys: &[String]) -> FieldPath {
        FieldPath::of(keys.to_vec()).sent(&self.plan.rules.names)
    }

    /// An object with mapped fields in it is taken apart: what is mapped goes where it leads, the rest stays
    /// where it is. An empty object has nothing to take out, and is a value like any other.
    fn object(&mut self, keys: &mut Vec<String>, level: Level<'p>, value: Value) -> Result<(), ApplyError> {
        let Value::Object(map) = value else {
            let mut field = keys.clone();
            field.extend(level.first());
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
            let name = level.find(self.plan, &key, false);
            keys.push(key);
            match name {
                Found::Nothing => self.unmapped_inside(keys, value)?,
                Found::Field(rule) => {
                    let given = rule.as_given.then(|| self.sent(keys));
                    self.mapped(render(keys), given, rule, value)?;
                }
                Found::Object(inner) => self.object(keys, inner, value)?,
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
        if self.plan.rules.names.is_exact() {
            self.note(Some(place.clone()), Some(place), Decision::PassedThrough);
            return self.put_at(keys, value);
        }
        let sent = self.sent(keys);
        self.note(
            Some(place),
            Some(sent.as_str().to_owned()),
            Decision::PassedThrough,
        );
        self.put_at(sent.keys(), value)
    }

    /// `null` at the top of the record becomes the text that empties a field, where the provider wants one.
    fn empty_nulls(&mut self) {
        let Some(text) = &self.plan.rules.null_as else {
            return;
        };
        for (key, value) in self.out.iter_mut().filter(|(_, value)| value.is_null()) {
            *value = Value::from(text.as_str());
            let place = written(key.clone());
            let entries = self.trace.iter_mut();
            for entry in entries.filter(|entry| entry.target.as_deref() == Some(place.as_str())) {
                entry.sent_as = Some(text.clone());
            }
        }
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
            sent_as: None,
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
