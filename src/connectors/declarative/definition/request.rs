//! Actions, bodies and lookups as a file writes them.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::ResultDef;
use crate::action::Action;
use crate::connectors::declarative::ordered::Ordered;

/// The three actions. `false` switches one off.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpsDef {
    /// Making a record.
    pub create: Option<OpSwitch>,
    /// Changing a record.
    pub update: Option<OpSwitch>,
    /// Removing a record.
    pub delete: Option<OpSwitch>,
}

impl OpsDef {
    /// The entry of an action.
    #[must_use]
    pub fn get(&self, action: Action) -> Option<&OpSwitch> {
        match action {
            Action::Create => self.create.as_ref(),
            Action::Update => self.update.as_ref(),
            Action::Delete => self.delete.as_ref(),
        }
    }
}

/// An action: its request, or `false`.
#[derive(Debug, Clone, PartialEq)]
pub enum OpSwitch {
    /// The provider cannot do it.
    Off,
    /// How it is done.
    On(Box<OpDef>),
}

impl<'de> Deserialize<'de> for OpSwitch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Switch;
        impl<'de> Visitor<'de> for Switch {
            type Value = OpSwitch;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`false` or a mapping")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<OpSwitch, E> {
                if on {
                    return Err(E::custom("`true` says nothing here; leave it out or write `{}`"));
                }
                Ok(OpSwitch::Off)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OpSwitch, A::Error> {
                OpDef::deserialize(MapAccessDeserializer::new(map)).map(|op| OpSwitch::On(Box::new(op)))
            }
        }
        deserializer.deserialize_any(Switch)
    }
}

/// The request of an action. What an object does not set comes from the module, then from the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpDef {
    /// The HTTP method.
    pub method: Option<String>,
    /// The path after the base URL.
    pub path: Option<String>,
    /// A base URL of its own.
    pub base_url: Option<String>,
    /// Query parameters.
    pub query: Ordered<QueryDef>,
    /// Headers.
    pub headers: Ordered<String>,
    /// The body's content type.
    pub content_type: Option<String>,
    /// How the body is written.
    pub encode: Option<Encode>,
    /// How the body is made.
    pub body: Option<BodyDef>,
    /// The text of a GraphQL operation.
    pub document: Option<String>,
    /// The variables of a GraphQL operation.
    pub variables: Option<Value>,
    /// Where the answer holds what.
    pub result: Option<ResultDef>,
    /// The only objects that have this action.
    pub only: Option<Vec<String>>,
    /// Objects that do not have this action.
    pub except: Option<Vec<String>>,
    /// A key that makes repeating a create safe.
    pub idempotency_key: Option<IdempotencyDef>,
    /// Whether the same request may be sent twice without a second effect.
    pub repeat_safe: Option<bool>,
    /// Keys of the record name what to act on, so that the record id need not be sent.
    pub id_in_record: Option<bool>,
    /// Keys of the record that repeat the record id: they are put into the record unless it has them. The values are `$id`
    /// or `$id:int`.
    pub repeat_id: Option<Ordered<String>>,
    /// A read that has to come first.
    pub lookup: Option<LookupDef>,
    /// Other requests for records with certain contents; the first that fits is used.
    pub variants: Option<Vec<VariantDef>>,
}

/// Another request, for records with certain contents.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantDef {
    /// When it is used.
    pub when: WhenDef,
    /// What differs.
    pub op: OpDef,
}

/// A condition on the record; all parts have to hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WhenDef {
    /// The record has at least one of these keys.
    pub has: Vec<String>,
    /// The record has none of these keys.
    pub lacks: Vec<String>,
    /// The record has these values (as texts).
    pub equals: Ordered<String>,
}

/// A query parameter: its text, or a text with a condition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryDef {
    /// The value.
    pub value: Option<String>,
    /// When it is sent.
    pub when: Option<WhenDef>,
    /// Instead of a value: those of these keys that the record has, joined with commas.
    pub record_keys: Option<Vec<String>>,
    /// Leave the parameter out when its value is not there.
    pub optional: bool,
}

impl<'de> Deserialize<'de> for QueryDef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Long {
            value: Option<String>,
            when: Option<WhenDef>,
            record_keys: Option<Vec<String>>,
            optional: bool,
        }
        deserializer.deserialize_any(TextOr {
            text: |value: &str| Self {
                value: Some(value.to_owned()),
                ..Self::default()
            },
            map: |long: Long| Self {
                value: long.value,
                when: long.when,
                record_keys: long.record_keys,
                optional: long.optional,
            },
        })
    }
}

/// Accepts a text, or a mapping of shape `L`.
pub(super) struct TextOr<L, T> {
    pub(super) text: fn(&str) -> T,
    pub(super) map: fn(L) -> T,
}

impl<'de, L: Deserialize<'de>, T> Visitor<'de> for TextOr<L, T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or a mapping")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok((self.text)(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        L::deserialize(MapAccessDeserializer::new(map)).map(self.map)
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encode {
    /// JSON.
    Json,
    /// A form: nested values as `a[b]=1` and `list[0]=1`.
    Form,
    /// A form: a list repeats its key, other nested values are JSON texts.
    FormFlat,
    /// A JSON object with `query` and `variables`.
    Graphql,
}

/// How a body is made of the record. The parts act in this order.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BodyDef {
    /// No body at all.
    pub none: bool,
    /// The record becomes query parameters, and there is no body.
    pub to_query: bool,
    /// Keys of the record that are not sent.
    pub strip: Vec<String>,
    /// Keys with a prefix become items of a list.
    pub fold: Vec<FoldDef>,
    /// Keys that get a value if the record has none.
    pub default: Ordered<Value>,
    /// Keys that get a value in any case.
    pub inject: Ordered<Value>,
    /// The record is sent as JSON Patch: one `replace` for each key.
    pub json_patch: bool,
    /// What is sent instead of the record itself; `null` sends just that.
    #[serde(deserialize_with = "even_null")]
    pub template: Option<Value>,
    /// When the record already has one of these keys it is sent as it is, without the template.
    pub unless_has: Vec<String>,
}

/// A value that is there, also when it is null.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Keys with a prefix that become items of a list: `cf_x: 1` becomes `{into: [{item}]}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldDef {
    /// The prefix. The rest of the key is `$key` in the item.
    pub prefix: String,
    /// The key of the list. Items that the record has there stay in front.
    pub into: String,
    /// One item, with `$key` and `$value`.
    pub item: Value,
}

/// Where a key for repeating safely goes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyDef {
    /// The header that carries it.
    pub header: Option<String>,
    /// The key of the body that carries it, unless the record has it.
    pub body: Option<String>,
    /// The query parameter that carries it.
    pub query: Option<String>,
}

/// A read that has to come before the write.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupDef {
    /// The path after the base URL.
    pub path: String,
    /// Query parameters.
    #[serde(default)]
    pub query: Ordered<QueryDef>,
    /// When it is needed; always, when left out.
    pub when: Option<WhenDef>,
    /// Keys of the record that are names in the answer move into an object of the record under their ids.
    pub rename: Option<RenameDef>,
}

/// Moves keys that people gave fields to the ids that the provider wants.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameDef {
    /// The list in the answer.
    pub list: String,
    /// The path of the name in an item.
    pub name: String,
    /// The path of the id in an item.
    pub id: String,
    /// The key of the record that gets an object of ids and values.
    pub into: String,
}
