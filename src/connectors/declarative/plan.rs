//! A compiled request: all that is needed to make it and to read its answer, for one object and action.

use std::sync::Arc;

use serde_json::Value;

use super::body::Body;
use super::definition::{Empty, Encode, WhenDef};
use super::json_path::JsonPath;
use super::scope::Scope;
use super::text::{Source, Text, record_text};
use crate::action::Action;
use crate::connectors::contract::ErrorClass;

/// A compiled request with the names of its object. Cheap to clone: most objects of a file share one request.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the object is called where.
    pub names: Arc<Names>,
    /// The request.
    pub request: Arc<RequestPlan>,
}

/// What an object is called where.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// `resource` of the object.
    pub resource: Option<Text>,
    /// `key` of the object.
    pub key: Option<Text>,
}

impl std::ops::Deref for Plan {
    type Target = RequestPlan;

    fn deref(&self) -> &RequestPlan {
        &self.request
    }
}

/// A compiled request.
#[derive(Debug)]
pub struct RequestPlan {
    /// Whether the file lists the object, so that its name is the file's own text.
    pub listed: bool,
    /// Whether names that are not listed may hold `/`.
    pub slashes: bool,
    /// The method.
    pub method: http::Method,
    /// Scheme, host and start of the path.
    pub base_url: Text,
    /// A variable that replaces the base URL when it is there.
    pub base_url_variable: Option<String>,
    /// The path.
    pub path: Text,
    /// The query.
    pub query: Vec<(Text, Query)>,
    /// The headers, content type excluded.
    pub headers: Vec<(String, Text)>,
    /// The content type of a body.
    pub content_type: String,
    /// How the body is written.
    pub encode: Encode,
    /// The body; none for most deletes.
    pub body: Option<Body>,
    /// Whether the path, the query or the body needs the record id.
    pub needs_id: bool,
    /// Keys of the record that repeat its id.
    pub repeat_id: Vec<RepeatId>,
    /// A key for repeating a create safely.
    pub idempotency: Option<Idempotency>,
    /// Whether the same request may be sent twice.
    pub repeat_safe: bool,
    /// A read that has to come first.
    pub lookup: Option<Lookup>,
    /// Other requests for records with certain contents.
    pub variants: Vec<(When, Arc<Self>)>,
    /// Reading the answer.
    pub result: ResultPlan,
}

impl RequestPlan {
    /// Whether the address or a header has this variable of the connection in it.
    #[must_use]
    pub fn needs_variable(&self, name: &str) -> bool {
        let texts = [&self.base_url, &self.path];
        let in_query = self.query.iter().filter_map(|(_, query)| match &query.value {
            QueryValue::Text(text) => Some(text),
            QueryValue::RecordKeys(_) => None,
        });
        let mut all = texts
            .into_iter()
            .chain(in_query)
            .chain(self.headers.iter().map(|(_, text)| text))
            .flat_map(Text::sources);
        all.any(|source| matches!(source, Source::Conn(own) if own == name))
            || self.base_url_variable.as_deref() == Some(name)
            || self.body.as_ref().is_some_and(|body| body.needs_variable(name))
            || self.variants.iter().any(|(_, plan)| plan.needs_variable(name))
    }
}

impl Plan {
    /// This plan, or the variant that fits the record.
    #[must_use]
    pub fn for_record(&self, record: &serde_json::Map<String, Value>) -> Self {
        let variant = self.variants.iter().find(|(when, _)| when.holds(record));
        Self {
            names: Arc::clone(&self.names),
            request: Arc::clone(variant.map_or(&self.request, |(_, request)| request)),
        }
    }

    /// Whether the request has this variable of the connection in it.
    #[must_use]
    pub fn needs_variable(&self, name: &str) -> bool {
        let mut names = self.names.resource.iter().flat_map(Text::sources);
        names.any(|source| matches!(source, Source::Conn(own) if own == name))
            || self.request.needs_variable(name)
    }
}

/// Where a key for repeating safely goes.
#[derive(Debug, Clone)]
pub enum Idempotency {
    /// Into this header.
    Header(String),
    /// Into the body.
    Body,
    /// Into this query parameter.
    Query(String),
}

/// A key of the record that repeats the record id.
#[derive(Debug, Clone)]
pub struct RepeatId {
    /// The key.
    pub key: Text,
    /// Whether the provider wants an integer.
    pub integer: bool,
}

/// A query parameter.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its value.
    pub value: QueryValue,
    /// When it is sent.
    pub when: Option<When>,
    /// Left out when its value is not there.
    pub optional: bool,
}

/// The value of a query parameter.
#[derive(Debug, Clone)]
pub enum QueryValue {
    /// A text.
    Text(Text),
    /// Those of these keys that the record has.
    RecordKeys(Vec<String>),
}

/// A read before the write.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Its path.
    pub path: Text,
    /// Its query.
    pub query: Vec<(Text, Query)>,
    /// When it is needed.
    pub when: Option<When>,
    /// Renaming keys by its answer.
    pub rename: Option<Rename>,
}

/// Renaming keys of the record by a list in the answer to a lookup.
#[derive(Debug, Clone)]
pub struct Rename {
    /// The list.
    pub list: JsonPath,
    /// The name in an item.
    pub name: JsonPath,
    /// The id in an item.
    pub id: JsonPath,
    /// The key that gets the object of ids and values.
    pub into: String,
}

/// A condition on the record.
#[derive(Debug, Clone)]
pub struct When {
    has: Vec<String>,
    lacks: Vec<String>,
    equals: Vec<(String, String)>,
}

impl When {
    /// The compiled condition.
    #[must_use]
    pub fn of(def: &WhenDef) -> Self {
        Self {
            has: def.has.clone(),
            lacks: def.lacks.clone(),
            equals: def
                .equals
                .iter()
                .map(|(k, v)| (k.to_owned(), v.clone()))
                .collect(),
        }
    }

    /// Whether it holds for a record.
    #[must_use]
    pub fn holds(&self, record: &serde_json::Map<String, Value>) -> bool {
        (self.has.is_empty() || self.has.iter().any(|key| record.contains_key(key)))
            && !self.lacks.iter().any(|key| record.contains_key(key))
            && self.equals.iter().all(|(key, value)| {
                record
                    .get(key)
                    .and_then(record_text)
                    .is_some_and(|text| text == value.as_str())
            })
    }
}

/// Where an answer holds what.
#[derive(Debug, Clone, Default)]
pub struct ResultPlan {
    /// What has to hold.
    pub ok: Vec<Predicate>,
    /// Where the id may be.
    pub id: Vec<IdPlace>,
    /// The request's id wins.
    pub id_prefer_request: bool,
    /// A create without an id is not done.
    pub id_required: bool,
    /// Where the data may be.
    pub data: Vec<PathText>,
    /// What an empty body means.
    pub empty: Option<Empty>,
    /// What a body that is not JSON means.
    pub text: Option<Empty>,
}

/// Where an id may be.
#[derive(Debug, Clone)]
pub struct IdPlace {
    /// In the body, or in this header.
    pub source: IdSource,
    /// A pattern whose first group is the id.
    pub pattern: Option<regex_lite::Regex>,
}

/// In which part of an answer an id may be.
#[derive(Debug, Clone)]
pub enum IdSource {
    /// In the body.
    Body(PathText),
    /// In this header (lower case).
    Header(String),
}

/// A condition on the body of an answer.
#[derive(Debug, Clone)]
pub struct Predicate {
    /// The path.
    pub path: PathText,
    /// What has to be there.
    pub test: Test,
}

/// What has to be at a path.
#[derive(Debug, Clone)]
pub enum Test {
    /// Only these values, and at least one.
    OneOf(Vec<Value>),
    /// Nothing.
    Empty,
    /// Something.
    Present,
}

/// A path that may have places of the object in it, such as `{key}.id`.
#[derive(Debug, Clone)]
pub enum PathText {
    /// Without places.
    Fixed(JsonPath),
    /// With places: put together for each answer.
    Open(Text),
}

impl PathText {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed = Text::parse(text)?;
        Ok(match parsed.as_literal() {
            Some(literal) => Self::Fixed(JsonPath::parse(literal)?),
            None => Self::Open(parsed),
        })
    }

    /// The path for an object; `None` when the object's name makes no path.
    #[must_use]
    pub fn resolve(&self, scope: &Scope<'_>) -> Option<std::borrow::Cow<'_, JsonPath>> {
        match self {
            Self::Fixed(path) => Some(std::borrow::Cow::Borrowed(path)),
            Self::Open(text) => {
                let text = text.render_plain(scope)?;
                JsonPath::parse(&text).ok().map(std::borrow::Cow::Owned)
            }
        }
    }
}

/// What errors look like and mean.
#[derive(Debug, Clone, Default)]
pub struct ErrorPlan {
    /// Where codes may be.
    pub code: Vec<JsonPath>,
    /// Where texts may be.
    pub message: Vec<JsonPath>,
    /// Where the body holds an HTTP status.
    pub status: Vec<JsonPath>,
    /// Where the id of an existing record may be.
    pub existing_id: Vec<IdPlace>,
    /// What codes mean.
    pub classify: Vec<Classify>,
    /// What helps.
    pub remedies: Vec<Remedy>,
}

/// What helps against an error.
#[derive(Debug, Clone)]
pub struct Remedy {
    /// Codes.
    pub code: Vec<String>,
    /// Conditions on the body, of which one has to hold; none when empty.
    pub when: Vec<Predicate>,
    /// What to do.
    pub text: String,
}

/// What an error means.
#[derive(Debug, Clone)]
pub struct Classify {
    /// Statuses; any when empty.
    pub status: Vec<u16>,
    /// Codes; any when empty.
    pub code: Vec<String>,
    /// Parts of the text; any when empty.
    pub message: Vec<String>,
    /// Actions; any when empty.
    pub on: Vec<Action>,
    /// The meaning.
    pub class: ErrorClass,
    /// Seconds to wait when the answer names no time.
    pub wait_seconds: Option<u64>,
}
