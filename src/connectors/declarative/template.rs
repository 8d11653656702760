//! JSON values with places, as bodies are made of.

use serde_json::Value;

use super::text::{Source, Text};

/// A JSON value with places.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// The record, as far as it is not stripped or taken elsewhere.
    Record,
    /// The same as a text that holds JSON.
    RecordJson,
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
    /// The same as an integer.
    FoldKeyInteger,
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
            "record:json" => Self::RecordJson,
            "id" => Self::Id,
            "id:int" => Self::IdInteger,
            "associations" => Self::Associations,
            "idempotency_key" => Self::IdempotencyKey,
            "key" => Self::FoldKey,
            "key:int" => Self::FoldKeyInteger,
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
