//! A connector file as it is written: the shape that `connectors/schema.json` describes.
//!
//! Nothing is resolved here; [`super::compile`] merges defaults, checks and compiles.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::ordered::Ordered;
use crate::action::Action;
use crate::connectors::auth::AuthDef;
use crate::connectors::contract::ErrorClass;

/// A whole file. The fields from `base_url` to `objects` may also stand in a module, which puts them over these.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The provider's name in manifests and connections, equal to the file's name.
    pub provider: String,
    /// The name for people.
    pub display_name: String,
    /// The provider's documentation of the calls used here.
    pub docs: Option<String>,
    /// What a user should know and cannot guess.
    pub notes: Option<String>,
    /// Variables of a connection.
    #[serde(default)]
    pub connection: ConnectionDef,
    /// How credentials are made and attached.
    pub auth: AuthDef,
    /// How much the provider takes.
    #[serde(default)]
    pub limits: LimitsDef,
    /// The module that a manifest means when it names none.
    pub default_module: Option<String>,
    /// Parts of the provider with settings of their own.
    #[serde(default)]
    pub modules: Ordered<Settings>,
    /// See [`Settings`].
    pub base_url: Option<String>,
    /// See [`Settings`].
    pub base_url_variable: Option<String>,
    /// See [`Settings`].
    #[serde(default)]
    pub headers: Ordered<String>,
    /// See [`Settings`].
    #[serde(default)]
    pub headers_passthrough: Vec<Action>,
    /// See [`Settings`].
    #[serde(default)]
    pub associations: Vec<Action>,
    /// See [`Settings`].
    #[serde(default)]
    pub ops: OpsDef,
    /// See [`Settings`].
    #[serde(default)]
    pub result: ResultDef,
    /// See [`Settings`].
    #[serde(default)]
    pub errors: ErrorsDef,
    /// See [`Settings`].
    pub reads: Option<ReadsDef>,
    /// See [`Settings`].
    pub open: Option<bool>,
    /// See [`Settings`].
    pub slashes: Option<bool>,
    /// See [`Settings`].
    #[serde(default)]
    pub deny: Vec<String>,
    /// See [`Settings`].
    #[serde(default)]
    pub objects: Ordered<Option<ObjectDef>>,
    /// Requests and answers that show and check the rules.
    #[serde(default)]
    pub examples: Vec<Example>,
}

/// What a module may set for itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The name for people, such as `Salesforce CRM`.
    pub display_name: Option<String>,
    /// What every path starts from: scheme, host and possibly a path.
    pub base_url: Option<String>,
    /// A variable that holds the base URL itself and, when a connection has it, replaces `base_url`.
    pub base_url_variable: Option<String>,
    /// Headers of every request.
    pub headers: Ordered<String>,
    /// The actions on which the caller's own headers are passed on.
    pub headers_passthrough: Vec<Action>,
    /// The actions that take associations.
    pub associations: Vec<Action>,
    /// The actions and their requests.
    pub ops: OpsDef,
    /// Where an answer holds what.
    pub result: ResultDef,
    /// What errors look like and mean.
    pub errors: ErrorsDef,
    /// Reads for current values and for looking a record up.
    pub reads: Option<ReadsDef>,
    /// Whether objects that are not listed may be written.
    pub open: Option<bool>,
    /// Whether the names of objects that are not listed may hold `/`.
    pub slashes: Option<bool>,
    /// Names that may not be written although the list is open.
    pub deny: Vec<String>,
    /// Objects, with what is particular to them.
    pub objects: Ordered<Option<ObjectDef>>,
}

/// The variables of a connection.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionDef {
    /// What the user is asked for.
    pub vars: Ordered<VarDef>,
    /// What is found out after the user has agreed.
    pub discover: Vec<DiscoverDef>,
}

/// One variable.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VarDef {
    /// The name for people.
    pub display_name: Option<String>,
    /// What to enter, and where to find it.
    pub description: Option<String>,
    /// A pattern that the whole value has to match.
    pub pattern: Option<String>,
    /// The value when none is given.
    pub default: Option<String>,
    /// A value to show as an example.
    pub example: Option<String>,
}

/// A variable that is read from the provider once, after authorisation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverDef {
    /// The variable's name.
    pub name: String,
    /// The field of the token answer that holds it.
    pub token_field: Option<String>,
    /// The URL to GET, and
    pub get: Option<String>,
    /// the path of the value in the answer.
    pub path: Option<String>,
    /// A pattern whose first group is the value.
    #[serde(rename = "match")]
    pub pattern: Option<String>,
    /// What the value is.
    pub description: Option<String>,
}

/// How much the provider takes from one connection.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsDef {
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    /// Calls per window.
    pub requests: Option<u32>,
    /// The window in seconds, such as `10` or `0.5`.
    pub per_seconds: Option<f64>,
    /// Records in one batch call.
    pub batch: Option<u32>,
}

/// The three actions. `false` switches one off.
#[derive(Debug, Clone, Default, Deserialize)]
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
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone, Default, Deserialize)]
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
    /// A read that has to come first.
    pub lookup: Option<LookupDef>,
    /// Other requests for records with certain contents; the first that fits is used.
    pub variants: Option<Vec<VariantDef>>,
}

/// Another request, for records with certain contents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantDef {
    /// When it is used.
    pub when: WhenDef,
    /// What differs.
    pub op: OpDef,
}

/// A condition on the record; all parts have to hold.
#[derive(Debug, Clone, Default, Deserialize)]
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
#[derive(Debug, Clone, Default)]
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
struct TextOr<L, T> {
    text: fn(&str) -> T,
    map: fn(L) -> T,
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
#[derive(Debug, Clone, Default, Deserialize)]
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
    /// What is sent instead of the record itself.
    pub template: Option<Value>,
    /// When the record already has one of these keys it is sent as it is, without the template.
    pub unless_has: Vec<String>,
}

/// Keys with a prefix that become items of a list: `cf_x: 1` becomes `{into: [{item}]}`.
#[derive(Debug, Clone, Deserialize)]
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
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyDef {
    /// The header that carries it.
    pub header: Option<String>,
    /// The key of the body that carries it, unless the record has it.
    pub body: Option<String>,
}

/// A read that has to come before the write.
#[derive(Debug, Clone, Deserialize)]
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
    /// Native code that makes the body of the answer and the record.
    pub native: Option<String>,
}

/// Moves keys that people gave fields to the ids that the provider wants.
#[derive(Debug, Clone, Deserialize)]
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

/// Where an answer holds what. What is not set comes from the level above.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResultDef {
    /// What has to hold in the body of a 2xx answer for the write to count as done.
    pub ok: Option<Vec<PredicateDef>>,
    /// Where the record id may be; the first that is there.
    pub id: Option<Vec<IdDef>>,
    /// Use the id of the request even when the answer has one.
    pub id_prefer_request: Option<bool>,
    /// A create that tells no id is not a success.
    pub id_required: Option<bool>,
    /// Where the data of the record may be; the first that is there and is an object.
    pub data: Option<Vec<String>>,
    /// What a 2xx answer without a body means for create and update.
    pub empty: Option<Empty>,
    /// What a 2xx body that is not JSON means.
    pub text: Option<Empty>,
}

/// Whether something counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Empty {
    /// It was done.
    Ok,
    /// It was not, or nobody knows.
    Error,
}

/// A condition on the body of an answer; all parts have to hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PredicateDef {
    /// The path.
    pub path: String,
    /// Every value at the path is this one, and there is at least one.
    pub equals: Option<Value>,
    /// Every value at the path is one of these, and there is at least one.
    pub one_of: Option<Vec<Value>>,
    /// Nothing is there, or `null`, `""`, `[]`, `{}`.
    pub empty: Option<bool>,
    /// Something is there.
    pub present: Option<bool>,
}

/// Where an id may be: a path in the body, or a header.
#[derive(Debug, Clone, Default)]
pub struct IdDef {
    /// The path in the body.
    pub path: Option<String>,
    /// The header, in lower case.
    pub header: Option<String>,
    /// A pattern whose first group is the id.
    pub pattern: Option<String>,
}

impl<'de> Deserialize<'de> for IdDef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Long {
            path: Option<String>,
            header: Option<String>,
            #[serde(rename = "match")]
            pattern: Option<String>,
        }
        deserializer.deserialize_any(TextOr {
            text: |path: &str| Self {
                path: Some(path.to_owned()),
                ..Self::default()
            },
            map: |long: Long| Self {
                path: long.path,
                header: long.header,
                pattern: long.pattern,
            },
        })
    }
}

/// What errors look like and mean.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorsDef {
    /// Where codes may be. All that are found take part in the classification; the first one is reported.
    pub code: Vec<String>,
    /// Where the text may be: the values of the first path that has any, joined with `; `.
    pub message: Vec<String>,
    /// Where the body repeats or replaces the HTTP status.
    pub status: Vec<String>,
    /// Where the id of the record that is already there may be.
    pub existing_id: Vec<IdDef>,
    /// What codes, texts and statuses mean; the first that fits. Without one the HTTP status decides.
    pub classify: Vec<ClassifyDef>,
}

/// What an error means; all parts that are given have to fit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifyDef {
    /// HTTP statuses.
    #[serde(default)]
    pub status: Vec<u16>,
    /// Codes, as found by `errors.code`.
    #[serde(default)]
    pub code: Vec<String>,
    /// Parts of the text.
    #[serde(default)]
    pub message: Vec<String>,
    /// The actions it holds for.
    #[serde(default)]
    pub on: Vec<Action>,
    /// The meaning.
    #[serde(rename = "as")]
    pub class: ErrorClass,
    /// Seconds to wait when the answer names no time.
    pub wait_seconds: Option<u64>,
}

/// Reads for current values and for looking a record up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadsDef {
    /// Reading some fields of a record.
    pub current: Option<CurrentDef>,
    /// Finding a record by a unique field.
    pub unique: Option<UniqueDef>,
}

/// Reading some fields of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrentDef {
    /// The path; `{id}` is the record.
    pub path: String,
    /// The query; `{fields}` are the names, joined with commas.
    #[serde(default)]
    pub query: Ordered<QueryDef>,
    /// The path of the object that holds the fields.
    pub fields: String,
}

/// Finding a record by a unique field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniqueDef {
    /// The path; `{field}` and `{value}` are what to look for.
    pub path: String,
    /// The query.
    #[serde(default)]
    pub query: Ordered<QueryDef>,
    /// The list of records in the answer; without it the answer is the record, and 404 says that there is none.
    pub list: Option<String>,
    /// The path of the id in a record.
    pub id: String,
    /// The path of the time it was made.
    pub created_at: Option<String>,
    /// The path of the object with its fields.
    pub fields: String,
    /// Unique fields by object. `*` stands for every object and means that the caller knows which fields are unique.
    #[serde(default)]
    pub objects: Ordered<Vec<String>>,
}

/// What is particular to an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectDef {
    /// Its name in paths.
    pub resource: Option<String>,
    /// Its key in bodies and answers.
    pub key: Option<String>,
    /// Making it.
    pub create: Option<OpSwitch>,
    /// Changing it.
    pub update: Option<OpSwitch>,
    /// Removing it.
    pub delete: Option<OpSwitch>,
    /// The body of create and update.
    pub body: Option<BodyDef>,
    /// How bodies are written.
    pub encode: Option<Encode>,
    /// Where its answers hold what.
    pub result: Option<ResultDef>,
}

impl ObjectDef {
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

/// A write and what becomes of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What it shows.
    pub name: String,
    /// The module, when it is not the default one.
    pub module: Option<String>,
    /// The action.
    pub action: Action,
    /// The object.
    pub object: String,
    /// The record id.
    pub id: Option<String>,
    /// The record.
    #[serde(default)]
    pub record: serde_json::Map<String, Value>,
    /// The associations.
    #[serde(default)]
    pub associations: Vec<Value>,
    /// The caller's headers.
    #[serde(default)]
    pub headers: Ordered<String>,
    /// Variables of the connection.
    #[serde(default)]
    pub vars: Ordered<String>,
    /// The key for repeating safely.
    pub idempotency_key: Option<String>,
    /// The answer to the lookup, where there is one.
    pub lookup: Option<ExampleResponse>,
    /// The request that has to come out.
    pub request: Option<ExampleRequest>,
    /// Or: a part of the text with which the command is refused.
    pub refused: Option<String>,
    /// An answer of the provider.
    pub response: Option<ExampleResponse>,
    /// What that answer means.
    pub outcome: Option<ExampleOutcome>,
}

/// An expected request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleRequest {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The content type; `application/json` when there is a body and nothing else is said.
    pub content_type: Option<String>,
    /// Headers that have to be there. Others may be there too.
    #[serde(default)]
    pub headers: Ordered<String>,
    /// The body as JSON.
    pub body: Option<Value>,
    /// The body as text.
    pub body_text: Option<String>,
}

/// An answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleResponse {
    /// The status.
    pub status: u16,
    /// The headers.
    #[serde(default)]
    pub headers: Ordered<String>,
    /// The body as JSON.
    pub body: Option<Value>,
    /// The body as text.
    pub body_text: Option<String>,
}

/// An expected outcome.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleOutcome {
    /// `succeeded`, `rejected`, `retry`, `unauthorized` or `unknown`.
    pub is: OutcomeWord,
    /// The record id of a success.
    pub record_id: Option<String>,
    /// The data of a success, when it is to be compared.
    pub data: Option<Value>,
    /// The class of the error.
    pub class: Option<ErrorClass>,
    /// The provider's code.
    pub code: Option<String>,
    /// The text.
    pub message: Option<String>,
    /// The id of the record that is already there.
    pub existing_id: Option<String>,
    /// The seconds to wait.
    pub wait_seconds: Option<u64>,
}

/// The outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeWord {
    /// Done.
    Succeeded,
    /// Refused for good.
    Rejected,
    /// To be tried again.
    Retry,
    /// The credential was not accepted.
    Unauthorized,
    /// Nobody knows.
    Unknown,
}
