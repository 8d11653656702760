//! Bodies: a template compiled once, and written straight into bytes so that the record's digits and order stay.

use serde_json::{Map, Value};

use super::definition::{BodyDef, FoldDef};
use super::json_path::scalar;
use super::scope::{Scope, at};
use super::text::{Mode, Source, Text};
use crate::connectors::contract::{Refusal, RefusalKind};

/// A JSON value with places.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// The record, as far as it is not stripped or taken elsewhere.
    Record,
    /// The record id as text.
    Id,
    /// The record id as an integer.
    IdInteger,
    /// The associations, when there are any.
    Associations,
    /// The key for repeating safely, when the caller gave one.
    IdempotencyKey,
    /// A value of the record.
    Field(Vec<String>),
    /// A value of the record that then is left out of [`Template::Record`].
    Pop(String),
    /// The rest of the key of a folded entry.
    FoldKey,
    /// The value of a folded entry.
    FoldValue,
    /// The first of these that is there.
    First(Vec<Template>),
    /// A text.
    Text(Text),
    /// A fixed value.
    Fixed(Value),
    /// A list; items that are not there are left out.
    List(Vec<Template>),
    /// An object; members that are not there are left out.
    Object(Vec<(Text, Template)>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::parse_text(text)?,
            Value::Array(items) => Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?),
            Value::Object(map) => match (map.len(), map.get("$first")) {
                (1, Some(Value::Array(items))) => {
                    Self::First(items.iter().map(Self::parse).collect::<Result<_, _>>()?)
                }
                (_, Some(_)) => return Err("`$first` takes a list and stands alone".into()),
                _ => Self::Object(
                    map.iter()
                        .map(|(key, value)| Ok::<_, String>((Text::parse(key)?, Self::parse(value)?)))
                        .collect::<Result<_, _>>()?,
                ),
            },
            _ => Self::Fixed(value.clone()),
        })
    }

    fn parse_text(text: &str) -> Result<Self, String> {
        let Some(name) = text.strip_prefix('$') else {
            let text = Text::parse(text)?;
            return Ok(match text.as_literal() {
                Some(literal) => Self::Fixed(Value::String(literal.to_owned())),
                None => Self::Text(text),
            });
        };
        Ok(match name {
            "record" => Self::Record,
            "id" => Self::Id,
            "id:int" => Self::IdInteger,
            "associations" => Self::Associations,
            "idempotency_key" => Self::IdempotencyKey,
            "key" => Self::FoldKey,
            "value" => Self::FoldValue,
            _ => match name.split_once('.') {
                Some(("record", path)) => Self::Field(path.split('.').map(str::to_owned).collect()),
                Some(("pop", key)) => Self::Pop(key.to_owned()),
                _ => match name.strip_prefix('$') {
                    Some(literal) => Self::Fixed(Value::String(format!("${literal}"))),
                    None => return Err(format!("unknown value `{text}`")),
                },
            },
        })
    }

    /// Calls `see` for this template and everything in it.
    pub fn visit(&self, see: &mut dyn FnMut(&Self)) {
        see(self);
        match self {
            Self::First(items) | Self::List(items) => items.iter().for_each(|t| t.visit(see)),
            Self::Object(members) => members.iter().for_each(|(_, t)| t.visit(see)),
            _ => {}
        }
    }

    /// Keys of the record that this template takes out of it.
    #[must_use]
    pub fn popped(&self) -> Vec<String> {
        let mut keys = Vec::new();
        self.visit(&mut |template| match template {
            Self::Pop(key) => keys.push(key.clone()),
            Self::Text(text) => keys.extend(text.sources().filter_map(|s| match s {
                Source::Pop(key) => Some(key.clone()),
                _ => None,
            })),
            _ => {}
        });
        keys
    }
}

/// A compiled body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body {
    /// No body at all.
    pub none: bool,
    /// The record becomes query parameters.
    pub to_query: bool,
    strip: Vec<String>,
    folds: Vec<Fold>,
    defaults: Vec<(String, Template)>,
    injects: Vec<(String, Template)>,
    template: Option<Template>,
    unless_has: Vec<Text>,
}

#[derive(Debug, Clone, PartialEq)]
struct Fold {
    prefix: String,
    into: String,
    item: Template,
}

impl Body {
    /// Compiles a body. `popped` are keys that other parts of the request take out of the record.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(def: &BodyDef, popped: &[String]) -> Result<Self, String> {
        let member = |(key, value): (&str, &Value)| {
            Template::parse(value)
                .map(|t| (key.to_owned(), t))
                .map_err(|why| format!("{key}: {why}"))
        };
        let fold = |fold: &FoldDef| {
            let item = Template::parse(&fold.item)?;
            Ok::<_, String>(Fold {
                prefix: fold.prefix.clone(),
                into: fold.into.clone(),
                item,
            })
        };
        if def.none && (def.template.is_some() || def.to_query) {
            return Err("`none` and `template` or `to_query` exclude each other".into());
        }
        let mut body = Self {
            none: def.none,
            to_query: def.to_query,
            strip: def.strip.clone(),
            folds: def.fold.iter().map(fold).collect::<Result<_, _>>()?,
            defaults: def.default.iter().map(member).collect::<Result<_, _>>()?,
            injects: def.inject.iter().map(member).collect::<Result<_, _>>()?,
            template: def.template.as_ref().map(Template::parse).transpose()?,
            unless_has: def
                .unless_has
                .iter()
                .map(|t| Text::parse(t))
                .collect::<Result<_, _>>()?,
        };
        body.strip.extend(popped.iter().cloned());
        if let Some(template) = &body.template {
            body.strip.extend(template.popped());
        }
        for (_, template) in body.defaults.iter().chain(&body.injects) {
            body.strip.extend(template.popped());
        }
        Ok(body)
    }

    /// Adds a member that the record gets unless it has it.
    pub fn add_default(&mut self, key: &str, template: Template) {
        self.defaults.push((key.to_owned(), template));
    }

    /// Whether the id of the request reaches the body.
    #[must_use]
    pub fn carries_id(&self) -> bool {
        let mut found = false;
        let mut see = |template: &Template| {
            found |= match template {
                Template::Id | Template::IdInteger => true,
                Template::Text(text) => text.sources().any(|s| matches!(s, Source::Id)),
                _ => false,
            };
        };
        for template in self.template.iter().chain(self.injects.iter().map(|(_, t)| t)) {
            template.visit(&mut see);
        }
        found
    }

    /// Writes the body as JSON.
    ///
    /// # Errors
    /// When the record or the id does not fit.
    pub fn write(&self, out: &mut Vec<u8>, scope: &Scope<'_>, associations: &[Value]) -> Result<(), Refusal> {
        let mut writer = Writer {
            out,
            scope,
            associations,
            body: self,
            folded: None,
        };
        let wrapped = self.unless_has.iter().any(|key| {
            key.render_plain(scope)
                .is_some_and(|key| scope.record.contains_key(&key))
        });
        match &self.template {
            Some(template) if !wrapped => {
                if !writer.value(template)? {
                    writer.out.extend_from_slice(b"null");
                }
            }
            _ => writer.record()?,
        }
        Ok(())
    }

    /// The record without the keys that are taken elsewhere, for a query.
    pub fn entries<'r>(
        &'r self,
        record: &'r Map<String, Value>,
    ) -> impl Iterator<Item = (&'r String, &'r Value)> {
        record.iter().filter(|(key, _)| !self.strip.contains(key))
    }
}

struct Writer<'w, 's> {
    out: &'w mut Vec<u8>,
    scope: &'w Scope<'s>,
    associations: &'w [Value],
    body: &'w Body,
    folded: Option<(&'w str, &'w Value)>,
}

impl Writer<'_, '_> {
    /// Writes a value; false when it is not there, and then nothing was written.
    fn value(&mut self, template: &Template) -> Result<bool, Refusal> {
        let scope = self.scope;
        match template {
            Template::Record => self.record()?,
            Template::Id => match scope.id {
                Some(id) => json(self.out, &Value::from(id)),
                None => return Ok(false),
            },
            Template::IdInteger => match scope.id {
                Some(id) => self.out.extend_from_slice(integer(id, scope)?.as_bytes()),
                None => return Ok(false),
            },
            Template::Associations => {
                let mut items = self.associations.iter().filter(|a| !is_nothing(a)).peekable();
                if items.peek().is_none() {
                    return Ok(false);
                }
                self.out.push(b'[');
                let mut separator = Separator::default();
                for item in items {
                    separator.before(self.out);
                    json(self.out, item);
                }
                self.out.push(b']');
            }
            Template::IdempotencyKey => match scope.value_of(&Source::Extra("idempotency_key".into())) {
                Ok(key) => json(self.out, &Value::from(key)),
                Err(_) => return Ok(false),
            },
            Template::Field(path) => match at(scope.record, path) {
                Some(value) => json(self.out, value),
                None => return Ok(false),
            },
            Template::Pop(key) => match scope.record.get(key).filter(|v| !v.is_null()) {
                Some(value) => json(self.out, value),
                None => return Ok(false),
            },
            Template::FoldKey => match self.folded {
                Some((key, _)) => json(self.out, &Value::from(key)),
                None => return Ok(false),
            },
            Template::FoldValue => match self.folded {
                Some((_, value)) => json(self.out, value),
                None => return Ok(false),
            },
            Template::First(choices) => {
                for choice in choices {
                    if self.value(choice)? {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            Template::Text(text) => {
                if text.sources().any(|s| scope.value_of(s).is_err()) {
                    return Ok(false);
                }
                json(self.out, &Value::from(text.render(scope, Mode::Plain)?));
            }
            Template::Fixed(value) => json(self.out, value),
            Template::List(items) => {
                self.out.push(b'[');
                let mut separator = Separator::default();
                for item in items {
                    separator.member(self, |w| w.value(item))?;
                }
                self.out.push(b']');
            }
            Template::Object(members) => {
                self.out.push(b'{');
                let mut separator = Separator::default();
                for (key, template) in members {
                    let key = key.render(scope, Mode::Plain)?;
                    separator.member(self, |w| w.named(&key, template))?;
                }
                self.out.push(b'}');
            }
        }
        Ok(true)
    }

    fn named(&mut self, key: &str, template: &Template) -> Result<bool, Refusal> {
        let start = self.out.len();
        json(self.out, &Value::from(key));
        self.out.push(b':');
        let there = self.value(template)?;
        if !there {
            self.out.truncate(start);
        }
        Ok(there)
    }

    fn record(&mut self) -> Result<(), Refusal> {
        let body = self.body;
        let record = self.scope.record;
        self.out.push(b'{');
        let mut separator = Separator::default();
        for (key, value) in record {
            let dropped = body.strip.iter().any(|k| k == key)
                || body.injects.iter().any(|(k, _)| k == key)
                || body.folds.iter().any(|f| f.takes(key) || f.merges(key, record));
            if !dropped {
                separator.before(self.out);
                json_key(self.out, key);
                json(self.out, value);
            }
        }
        for fold in &body.folds {
            if record.keys().any(|key| fold.takes(key)) {
                separator.before(self.out);
                self.fold(fold)?;
            }
        }
        for (key, template) in &body.defaults {
            if !record.contains_key(key) {
                separator.member(self, |w| w.named(key, template))?;
            }
        }
        for (key, template) in &body.injects {
            separator.member(self, |w| w.named(key, template))?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn fold(&mut self, fold: &Fold) -> Result<(), Refusal> {
        let record = self.scope.record;
        json_key(self.out, &fold.into);
        self.out.push(b'[');
        let mut separator = Separator::default();
        if let Some(Value::Array(items)) = record.get(&fold.into) {
            for item in items {
                separator.before(self.out);
                json(self.out, item);
            }
        }
        for (key, value) in record.iter().filter(|(key, _)| fold.takes(key)) {
            // The borrow of the record outlives this writer's own fields, so a fresh writer holds the entry.
            let mut item = Writer {
                out: &mut *self.out,
                scope: self.scope,
                associations: self.associations,
                body: self.body,
                folded: Some((&key[fold.prefix.len()..], value)),
            };
            separator.member(&mut item, |w| w.value(&fold.item))?;
        }
        self.out.push(b']');
        Ok(())
    }
}

impl Fold {
    fn takes(&self, key: &str) -> bool {
        key.len() > self.prefix.len() && key.starts_with(&self.prefix)
    }

    /// Whether the record's own list under `into` is written with the folded items.
    fn merges(&self, key: &str, record: &Map<String, Value>) -> bool {
        key == self.into
            && record.get(key).is_some_and(Value::is_array)
            && record.keys().any(|key| self.takes(key))
    }
}

/// Commas between members that may turn out not to be there.
#[derive(Default)]
struct Separator {
    wrote: bool,
}

impl Separator {
    fn before(&mut self, out: &mut Vec<u8>) {
        if self.wrote {
            out.push(b',');
        }
        self.wrote = true;
    }

    fn member<'w, 's>(
        &mut self,
        writer: &mut Writer<'w, 's>,
        write: impl FnOnce(&mut Writer<'w, 's>) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        let start = writer.out.len();
        if self.wrote {
            writer.out.push(b',');
        }
        if write(writer)? {
            self.wrote = true;
        } else {
            writer.out.truncate(start);
        }
        Ok(())
    }
}

/// An association that says nothing: some clients send `[{}]`.
fn is_nothing(association: &Value) -> bool {
    association.is_null() || association.as_object().is_some_and(Map::is_empty)
}

/// Whether any association says something.
#[must_use]
pub fn has_associations(associations: &[Value]) -> bool {
    associations.iter().any(|a| !is_nothing(a))
}

fn integer<'i>(id: &'i str, scope: &Scope<'_>) -> Result<&'i str, Refusal> {
    let digits = id.strip_prefix('-').unwrap_or(id);
    let fits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // JSON has no leading zeros.
    if fits && (digits.len() == 1 || !digits.starts_with('0')) {
        return Ok(id);
    }
    Err(Refusal::new(
        RefusalKind::InvalidRecordId,
        format!(
            "the record id `{id}` of `{}` is no integer, and this provider's ids are integers",
            scope.object
        ),
    ))
}

fn json_key(out: &mut Vec<u8>, key: &str) {
    json(out, &Value::String(key.to_owned()));
    out.push(b':');
}

/// Writes a value as JSON.
pub fn json(out: &mut Vec<u8>, value: &Value) {
    // Writing a `Value` into a `Vec` has no way to fail.
    let wrote = serde_json::to_writer(&mut *out, value);
    debug_assert!(wrote.is_ok());
}

/// Writes a JSON object as a form. Nested values become `a[b]` and `list[0]`, or, when `flat`, a list repeats its key
/// and other nested values are JSON texts.
#[must_use]
pub fn form(value: &Value, flat: bool) -> Vec<u8> {
    let mut pairs = Vec::new();
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| pair(&mut pairs, key.clone(), value, flat)),
        other => pair(&mut pairs, String::new(), other, flat),
    }
    let mut out = Vec::new();
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        super::escape::push_form(&mut out, name);
        out.push(b'=');
        super::escape::push_form(&mut out, value);
    }
    out
}

fn pair(pairs: &mut Vec<(String, String)>, name: String, value: &Value, flat: bool) {
    match value {
        Value::Null => pairs.push((name, String::new())),
        Value::Array(items) if flat => {
            for item in items {
                let text = scalar_or_json(item);
                pairs.push((name.clone(), text));
            }
        }
        Value::Object(_) if flat => pairs.push((name, value.to_string())),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                pair(pairs, format!("{name}[{i}]"), item, flat);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                pair(pairs, format!("{name}[{key}]"), item, flat);
            }
        }
        scalar => pairs.push((name, scalar_or_json(scalar))),
    }
}

fn scalar_or_json(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Number(n) => n.to_string(),
        Value::Null => String::new(),
        other => scalar(other).unwrap_or_else(|| other.to_string()),
    }
}
