//! A connector file as it is written: the shape that `connectors/schema.json` describes.
//!
//! Nothing is resolved here; `compile` merges defaults, checks and compiles.

mod answer;
mod example;
mod request;

use serde::Deserialize;

use super::ordered::Ordered;
use crate::action::Action;
use crate::connectors::auth::AuthDef;
use crate::record_rules::{Ids, Names, RecordRules};

pub use answer::*;
pub use example::*;
pub use request::*;

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
    pub records: Option<RecordsDef>,
    /// See [`Settings`].
    pub open: Option<bool>,
    /// See [`Settings`].
    pub slashes: Option<bool>,
    /// See [`Settings`].
    #[serde(default)]
    pub native: NativeDef,
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
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
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
    /// Which names and ids mean one field, object or record.
    pub records: Option<RecordsDef>,
    /// Whether objects that are not listed may be written.
    pub open: Option<bool>,
    /// Whether the names of objects that are not listed may hold `/`.
    pub slashes: Option<bool>,
    /// What is built into this server for the provider.
    pub native: NativeDef,
    /// Names that may not be written although the list is open.
    pub deny: Vec<String>,
    /// Objects, with what is particular to them.
    pub objects: Ordered<Option<ObjectDef>>,
}

/// What is one field, one object and one record to the provider, and how a field is emptied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordsDef {
    /// Names of fields that mean one field, where that is not just equal ones.
    pub names: Option<NamesDef>,
    /// With `names: capitalised`: names whose capitals do not follow the rule.
    pub irregular_names: Vec<String>,
    /// Ids that mean one record, where that is not just equal ones.
    pub ids: Option<IdsDef>,
    /// The text that empties a field where `null` does not.
    pub null_as: Option<String>,
    /// Lists of names that the provider has for one object.
    pub same_objects: Vec<Vec<String>>,
}

/// How names of fields are compared and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamesDef {
    /// Case does not count, in names of objects neither.
    AnyCase,
    /// Names without a capital are sent as `Last_Name`. Case does not count in names of objects.
    Capitalised,
}

/// How ids are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdsDef {
    /// 15 characters, or 18 of which the last three repeat the case of the others.
    Salesforce,
    /// Whole numbers, whatever zeros they start with.
    Decimal,
    /// GUIDs in any case, with or without braces.
    Guid,
}

impl RecordsDef {
    /// The rules that it states.
    #[must_use]
    pub fn rules(&self) -> RecordRules {
        RecordRules {
            names: match self.names {
                None => Names::Exact,
                Some(NamesDef::AnyCase) => Names::AnyCase,
                Some(NamesDef::Capitalised) => Names::Capitalised {
                    irregular: self.irregular_names.clone(),
                },
            },
            ids: match self.ids {
                None => Ids::Exact,
                Some(IdsDef::Salesforce) => Ids::Salesforce,
                Some(IdsDef::Decimal) => Ids::Decimal,
                Some(IdsDef::Guid) => Ids::Guid,
            },
            null_as: self.null_as.clone(),
            same_objects: self.same_objects.clone(),
        }
    }
}

/// What a file cannot say, and is built into this server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NativeDef {
    /// Writing and reading several records in one call.
    pub batch: Option<BatchForm>,
}

/// The batch calls that are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchForm {
    /// `/crm/objects/2026-03/{object}/batch/…`.
    Hubspot,
    /// `/services/data/v60.0/composite/sobjects`.
    Salesforce,
}

/// The variables of a connection.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionDef {
    /// What the user is asked for.
    pub vars: Ordered<VarDef>,
    /// What is found out after the user has agreed.
    pub discover: Vec<DiscoverDef>,
}

/// One variable.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
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
    /// Another variable: where the connection has it, this one is not needed.
    pub unless: Option<String>,
}

/// A variable that the provider tells when the user has agreed. One of `vars` may be here too: then it does not have to be
/// given.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverDef {
    /// The variable's name.
    pub name: String,
    /// The path in the token answer that holds it. Each refresh may change it.
    pub token_field: Option<String>,
    /// The parameter with which the user comes back that holds it.
    pub callback: Option<String>,
    /// The URL to GET, and
    pub get: Option<String>,
    /// the path of the value in the answer,
    pub path: Option<String>,
    /// or in the first of the items at this path
    pub each: Option<String>,
    /// whose texts at these paths are these ones, over the connection's variables.
    #[serde(default, rename = "where")]
    pub wanted: std::collections::BTreeMap<String, String>,
    /// What is put before the value.
    #[serde(default)]
    pub prefix: String,
    /// A pattern whose first group is the value.
    #[serde(rename = "match")]
    pub taken: Option<String>,
    /// A pattern that the whole value has to match.
    pub pattern: Option<String>,
    /// What the value is.
    pub description: Option<String>,
}

/// How much the provider takes from one connection.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
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

/// What is particular to an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
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
    /// Whether nothing but its names is particular to it.
    #[must_use]
    pub fn is_name_only(&self) -> bool {
        let Self {
            resource: _,
            key: _,
            create,
            update,
            delete,
            body,
            encode,
            result,
        } = self;
        create.is_none()
            && update.is_none()
            && delete.is_none()
            && body.is_none()
            && encode.is_none()
            && result.is_none()
    }

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
