//! What is known while a request is made or an answer is read: the values behind the places of a text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::plan::Plan;
use super::text::{Mode, Source, record_text, singular};
use crate::connectors::contract::{Command, Refusal};

/// The values behind the places.
pub struct Scope<'a> {
    /// The plan that is applied.
    pub plan: &'a Plan,
    /// The object as the caller names it.
    pub object: &'a str,
    /// The record id.
    pub id: Option<&'a str>,
    /// The record.
    pub record: &'a Map<String, Value>,
    /// The variables of the connection.
    pub vars: &'a BTreeMap<String, String>,
    /// Default values of variables.
    pub var_defaults: &'a BTreeMap<String, String>,
    /// Further values by name, such as the field of a read.
    pub extra: &'a [(&'static str, &'a str)],
}

impl<'a> Scope<'a> {
    /// The scope of a command.
    #[must_use]
    pub fn of(
        plan: &'a Plan,
        var_defaults: &'a BTreeMap<String, String>,
        command: &Command<'a>,
        extra: &'a [(&'static str, &'a str)],
    ) -> Self {
        Self {
            plan,
            object: command.object,
            id: command.record_id.filter(|id| !id.is_empty()),
            record: command.record,
            vars: command.vars,
            var_defaults,
            extra,
        }
    }

    /// A variable of the connection, or its default.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&'a str> {
        self.vars
            .get(name)
            .or_else(|| self.var_defaults.get(name))
            .map(String::as_str)
    }

    /// The value behind a place.
    ///
    /// # Errors
    /// When there is none.
    pub fn value_of(&self, source: &Source) -> Result<Cow<'_, str>, Refusal> {
        let found = match source {
            Source::Object => Some(Cow::Borrowed(self.object)),
            Source::Singular => Some(singular(self.object)),
            Source::Resource => match &self.plan.names.resource {
                Some(text) => return self.name(text),
                None => Some(Cow::Borrowed(self.object)),
            },
            Source::Key => match &self.plan.names.key {
                Some(text) => return self.name(text),
                None => Some(singular(self.object)),
            },
            Source::Id => self.id.map(Cow::Borrowed),
            Source::Conn(name) => self.var(name).map(Cow::Borrowed),
            Source::Record(path) => at(self.record, path).and_then(record_text),
            Source::Pop(name) => self.record.get(name).and_then(record_text),
            Source::Extra(name) => self
                .extra
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| Cow::Borrowed(*value)),
        };
        found.ok_or_else(|| source.refusal(self, "is missing"))
    }

    fn name<'t>(&self, text: &'t super::text::Text) -> Result<Cow<'t, str>, Refusal> {
        match text.as_literal() {
            Some(literal) => Ok(Cow::Borrowed(literal)),
            None => text.render(self, Mode::Plain).map(Cow::Owned),
        }
    }
}

/// The value at a path of keys.
#[must_use]
pub fn at<'v>(map: &'v Map<String, Value>, path: &[String]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(map.get(first)?, |value, key| value.get(key))
        .filter(|v| !v.is_null())
}
