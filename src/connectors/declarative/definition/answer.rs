//! Results, errors and reads as a file writes them.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::Value;

use super::QueryDef;
use super::request::TextOr;
use crate::action::Action;
use crate::connectors::contract::ErrorClass;
use crate::connectors::declarative::ordered::Ordered;

/// Where an answer holds what. What is not set comes from the level above.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq)]
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
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
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
    /// What helps against which error; the first that fits is told after the provider's own text.
    pub remedies: Vec<RemedyDef>,
}

/// What helps against an error; all parts that are given have to fit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemedyDef {
    /// Codes, as found by `errors.code`.
    pub code: Vec<String>,
    /// Conditions on the body, of which one has to hold.
    #[serde(default)]
    pub when: Vec<PredicateDef>,
    /// What to do: a sentence.
    pub text: String,
}

/// What an error means; all parts that are given have to fit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadsDef {
    /// What has to hold in the body of a 404 that says that a record is not there; of a 404 where it does not hold nobody
    /// knows who gave it, and the read is repeated. Without it a 404 needs a text or a code where errors have theirs.
    pub not_found: Option<Vec<PredicateDef>>,
    /// Reading some fields of a record.
    pub current: Option<CurrentDef>,
    /// Finding a record by a unique field.
    pub unique: Option<UniqueDef>,
    /// Asking what the fields of an object are.
    pub describe: Option<DescribeDef>,
}

/// The form of a provider's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescribeForm {
    /// HubSpot's properties, and its object schema.
    Hubspot,
    /// Salesforce's describe.
    Salesforce,
}

/// Asking what the fields of an object are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribeDef {
    /// The form of the answer.
    pub form: DescribeForm,
    /// The path of the fields.
    pub path: String,
    /// The path of more about the object, such as which fields it must have; where it fails it is left out.
    pub also: Option<String>,
}

/// Reading some fields of a record.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrentDef {
    /// The path; `{id}` is the record.
    pub path: String,
    /// The query; `{fields}` are the names, joined with commas.
    #[serde(default)]
    pub query: Ordered<QueryDef>,
    /// Where the id of the record is; the first that is there. An answer without the id that was asked for says nothing.
    pub id: Vec<IdDef>,
    /// The path of the object that holds the fields.
    pub fields: String,
    /// A field that was asked for and is not in the answer has no value. Without it such an answer says nothing: the
    /// provider tells a field without a value as null.
    #[serde(default)]
    pub absent_is_empty: bool,
}

/// Finding a record by a unique field.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniqueDef {
    /// The path; `{field}` and `{value}` are what to look for.
    pub path: String,
    /// The query.
    #[serde(default)]
    pub query: Ordered<QueryDef>,
    /// The list of records in the answer; without it the answer is the record, and 404 says that there is none.
    pub list: Option<String>,
    /// What else has to hold in an answer whose list is empty, for it to say that there is none.
    #[serde(default)]
    pub none: Vec<PredicateDef>,
    /// The path of the id in a record.
    pub id: String,
    /// The path of the time it was made.
    pub created_at: Option<String>,
    /// The path of the object with its fields.
    pub fields: String,
    /// Unique fields by object, whose names are compared in any case. `*` stands for every object that is not named.
    #[serde(default)]
    pub objects: Ordered<Vec<String>>,
}
