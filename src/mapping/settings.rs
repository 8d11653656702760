//! Defaults and write rules: the last steps of a plan.

use serde_json::{Map, Value};

use super::apply::{Applied, IfEmptyField, Run};
use super::error::ApplyError;
use super::path::FieldPath;
use super::place::{insert, remove, value_at};
use super::plan::Setting;
use super::trace::{Decision, TraceEntry};
use crate::action::Action;
use crate::manifest::config::WriteRule;

impl Run<'_> {
    /// Defaults first, then write rules, each in config order: an object that a rule empties is gone for
    /// good.
    pub(super) fn settings(&mut self, action: Action) -> Result<(), ApplyError> {
        for setting in &self.plan.settings {
            self.default(setting, action)?;
        }
        for setting in &self.plan.settings {
            let (write, skipped) = setting.rule_for(action);
            if write == WriteRule::Always {
                continue;
            }
            let Some(path) = self.as_spelled(&setting.target) else {
                continue;
            };
            let any_case = self.plan.rules.names.any_case();
            if write == WriteRule::Never {
                take_out(&mut self.out, &mut self.trace, &path, skipped, any_case);
            } else {
                self.if_empty.push(IfEmptyField { path, any_case });
            }
        }
        Ok(())
    }

    /// Fills a field that is missing, unless it is never written.
    fn default(&mut self, setting: &Setting, action: Action) -> Result<(), ApplyError> {
        let Some(default) = &setting.rule.default else {
            return Ok(());
        };
        let applies = action == Action::Create || setting.rule.default_on_update;
        let target = &setting.target;
        if !applies || self.as_spelled(target).is_some() {
            return Ok(());
        }
        let (write, skipped) = setting.rule_for(action);
        if write == WriteRule::Never {
            self.note(None, Some(target.as_str().to_owned()), skipped);
            return Ok(());
        }
        self.note(None, Some(target.as_str().to_owned()), Decision::Defaulted);
        if !self.plan.rules.names.any_case() {
            return insert(&mut self.out, target, default.clone());
        }
        // The objects around it may be there under another case.
        let target = FieldPath::of(self.spelling(target.keys()));
        self.spell(target.root());
        insert(&mut self.out, &target, default.clone())
    }

    /// The place as the record spells it, when it has a value there.
    fn as_spelled(&self, target: &FieldPath) -> Option<FieldPath> {
        if !self.plan.rules.names.any_case() {
            return value_at(&self.out, target.keys(), false).map(|_| target.clone());
        }
        let keys = self.spelling(target.keys());
        value_at(&self.out, &keys, false)?;
        Some(FieldPath::of(keys))
    }
}

impl Setting {
    /// When the field is written, and what the trace says when it is not.
    const fn rule_for(&self, action: Action) -> (WriteRule, Decision) {
        match action {
            Action::Create => (self.rule.write_on_create, Decision::SkippedWriteOnCreate),
            Action::Update | Action::Delete => (self.rule.write_on_update, Decision::SkippedWriteOnUpdate),
        }
    }
}

impl Applied {
    /// Takes out the `ifEmpty` fields for which the provider has a value: anything but null, `""` and absent.
    /// `current` holds the provider's current values by the provider's names.
    #[must_use]
    pub fn decide_if_empty(self, current: &Map<String, Value>) -> Self {
        let filled = self.filled(current);
        self.decide_filled(&filled)
    }

    /// The `ifEmpty` fields, as paths, for which the provider has a value.
    #[must_use]
    pub fn filled(&self, current: &Map<String, Value>) -> Vec<String> {
        let is_filled = |field: &&IfEmptyField| match value_at(current, field.path.keys(), field.any_case) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        let filled = self.if_empty.iter().filter(is_filled);
        filled.map(|field| field.path.as_str().to_owned()).collect()
    }

    /// Takes out the `ifEmpty` fields that were found to be [`filled`](Self::filled), now or earlier.
    #[must_use]
    pub fn decide_filled(mut self, filled: &[String]) -> Self {
        for field in std::mem::take(&mut self.if_empty) {
            if filled.iter().any(|path| path == field.path.as_str()) {
                take_out(
                    &mut self.record,
                    &mut self.trace,
                    &field.path,
                    Decision::SkippedNotEmpty,
                    field.any_case,
                );
            }
        }
        self
    }
}

/// Takes a field out of the record and tells so in its entries: those of the field and of what lies inside
/// it, and those of objects around it that would be empty without it. A field inside an object that passed
/// through whole has no entry yet.
fn take_out(
    record: &mut Map<String, Value>,
    trace: &mut Vec<TraceEntry>,
    target: &FieldPath,
    decision: Decision,
    any_case: bool,
) {
    let staying = remove(record, target.keys());
    let gone: Vec<FieldPath> = target.outer().skip(staying).collect();
    let holds = target.holds(any_case);
    let is = |outer: &FieldPath, place: &str| {
        outer.as_str() == place || any_case && outer.as_str().eq_ignore_ascii_case(place)
    };
    let mut found = false;
    for entry in trace.iter_mut() {
        let Some(place) = entry.target.as_deref() else {
            continue;
        };
        if holds(place) {
            entry.decision = decision;
            found = true;
        } else if gone.iter().any(|outer| is(outer, place)) {
            entry.decision = decision;
        }
    }
    if !found {
        let place = target.as_str().to_owned();
        trace.push(TraceEntry {
            source: Some(place.clone()),
            target: Some(place),
            decision,
            sent_as: None,
        });
    }
}
