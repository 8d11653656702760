//! Bodies: a template compiled once, and written straight into bytes so that the record's digits and order stay.

use serde_json::{Map, Value};

use super::definition::{BodyDef, FoldDef};
use super::scope::{Scope, at};
use super::template::Template;
use super::text::{Mode, Source, Text};
use crate::connectors::contract::{Refusal, RefusalKind};

/// A compiled body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body {
    /// No body at all.
    pub none: bool,
    /// The record becomes query parameters.
    pub to_query: bool,
    strip: Vec<String>,
    folds: Vec<Fold>,
    defaults: Vec<(Text, Template)>,
    injects: Vec<(Text, Template)>,
    json_patch: bool,
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
            let name = Text::parse(key)?;
            Template::parse(value)
                .map(|t| (name, t))
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
            json_patch: def.json_patch,
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
        self.defaults.push((Text::literal(key), template));
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

    /// Whether the body has this variable of the connection in it.
    #[must_use]
    pub fn needs_variable(&self, name: &str) -> bool {
        let mut found = false;
        let mut see = |template: &Template| {
            if let Template::Text(text) = template {
                found |= text
                    .sources()
                    .any(|s| matches!(s, Source::Conn(own) if own == name));
            }
        };
        let members = self.defaults.iter().chain(&self.injects).map(|(_, t)| t);
        for template in self.template.iter().chain(members) {
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

    /// Whether the body is the record itself, but for keys that are taken elsewhere.
    #[must_use]
    pub fn is_record(&self) -> bool {
        let plain = self.folds.is_empty() && self.defaults.is_empty() && self.injects.is_empty();
        plain && self.template.is_none() && !self.json_patch
    }

    /// The record without the keys that are taken elsewhere, for a query or a form.
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
            Template::RecordJson => {
                let mut inner = Vec::new();
                let mut writer = Writer {
                    out: &mut inner,
                    ..*self
                };
                writer.record()?;
                json(self.out, &Value::from(String::from_utf8_lossy(&inner)));
            }
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
            Template::FoldKeyInteger => match self.folded {
                Some((key, _)) => match key.parse::<u64>() {
                    Ok(number) => json(self.out, &Value::from(number)),
                    Err(_) => json(self.out, &Value::from(key)),
                },
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
        let (body, scope) = (self.body, self.scope);
        let record = scope.record;
        let names = |members: &[(Text, Template)]| -> Result<Vec<String>, Refusal> {
            members
                .iter()
                .map(|(key, _)| key.render(scope, Mode::Plain))
                .collect()
        };
        let (defaults, injects) = (names(&body.defaults)?, names(&body.injects)?);
        self.out.push(if body.json_patch { b'[' } else { b'{' });
        let mut separator = Separator::default();
        for (key, value) in record {
            let dropped = body.strip.contains(key)
                || injects.contains(key)
                || body.folds.iter().any(|f| f.takes(key) || f.merges(key, record));
            if !dropped {
                separator.before(self.out);
                self.open_member(key);
                json(self.out, value);
                self.close_member();
            }
        }
        for fold in &body.folds {
            if record.keys().any(|key| fold.takes(key)) {
                separator.before(self.out);
                self.fold(fold)?;
            }
        }
        for (key, (_, template)) in defaults.iter().zip(&body.defaults) {
            if !record.contains_key(key) {
                separator.member(self, |w| w.named(key, template))?;
            }
        }
        for (key, (_, template)) in injects.iter().zip(&body.injects) {
            separator.member(self, |w| w.named(key, template))?;
        }
        self.out.push(if body.json_patch { b']' } else { b'}' });
        Ok(())
    }

    /// Starts a member of the record: `"key":`, or the operation that puts it there.
    fn open_member(&mut self, key: &str) {
        if self.body.json_patch {
            let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            self.out.extend_from_slice(br#"{"op":"replace","path":"#);
            json(self.out, &Value::from(pointer));
            self.out.extend_from_slice(br#","value":"#);
        } else {
            json_key(self.out, key);
        }
    }

    fn close_member(&mut self) {
        if self.body.json_patch {
            self.out.push(b'}');
        }
    }

    fn fold(&mut self, fold: &Fold) -> Result<(), Refusal> {
        let record = self.scope.record;
        self.open_member(&fold.into);
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
        self.close_member();
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
#[must_use]
pub fn is_nothing(association: &Value) -> bool {
    association.is_null() || association.as_object().is_some_and(Map::is_empty)
}

/// Whether any association says something.
#[must_use]
pub fn has_associations(associations: &[Value]) -> bool {
    associations.iter().any(|a| !is_nothing(a))
}

/// An id as the digits of a JSON number.
///
/// # Errors
/// When it is no integer.
pub fn integer<'i>(id: &'i str, scope: &Scope<'_>) -> Result<&'i str, Refusal> {
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
