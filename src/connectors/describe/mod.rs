//! What a provider says about an object of one account: its fields, their types, and what they take.
//!
//! Two providers answer in forms of their own, so this is code and not data; which requests to make is in their files
//! (`reads.describe`).

mod findings;
mod hubspot;
mod salesforce;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use findings::{Finding, FindingKind, findings};

use super::connector::Connector;
use super::contract::{Outcome, ProviderRequest, ProviderResponse};
use super::declarative::definition::DescribeForm;

/// An object as the provider describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DescribedObject {
    /// The provider's name.
    pub name: String,
    /// The name for people, where the provider says one.
    pub display_name: Option<String>,
    /// Its fields by name, in the provider's order.
    pub fields: Vec<Field>,
    /// Whether upper and lower case are the same in names of fields.
    pub any_case: bool,
    /// Whether a value must be of the field's kind in JSON too. Where it need not, every value counts as the text it makes.
    pub typed: bool,
}

impl DescribedObject {
    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.name == name || self.any_case && field.name.eq_ignore_ascii_case(name))
    }
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// The provider's name.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// The type in common words.
    pub value_type: ValueType,
    /// The provider's own word for the type.
    pub provider_type: String,
    /// Whether a create may give it.
    pub on_create: bool,
    /// Whether an update may give it.
    pub on_update: bool,
    /// Whether the account made it; `None` where the provider does not say.
    pub custom: Option<bool>,
    /// Whether a create must give it; `None` where the provider does not say.
    pub required: Option<bool>,
    /// The objects that a reference may lead to.
    pub reference_to: Vec<String>,
    /// The values it takes, each with its name for people.
    pub options: Vec<(String, String)>,
    /// Whether it takes nothing but its options.
    pub only_options: bool,
    /// The longest text, in characters.
    pub max_length: Option<usize>,
}

/// Types in common words: those of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ValueType {
    /// Text.
    String,
    /// True or false.
    Boolean,
    /// One of several values.
    SingleSelect,
    /// Some of several values.
    MultiSelect,
    /// A day.
    Date,
    /// A moment.
    Datetime,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// The id of another record.
    Reference,
    /// Anything else.
    #[default]
    Other,
}

impl Connector {
    /// The requests whose answers describe an object: the first must succeed, a second adds to it. Empty where this
    /// connector cannot ask.
    #[must_use]
    pub fn describe(&self, object: &str, vars: &BTreeMap<String, String>) -> Vec<ProviderRequest> {
        let Some(describe) = self
            .module
            .reads
            .as_ref()
            .and_then(|reads| reads.describe.as_ref())
        else {
            return Vec::new();
        };
        let Some(main) = self.read(&describe.main, object, None, vars, &[]) else {
            return Vec::new();
        };
        let also = describe
            .also
            .as_ref()
            .and_then(|also| self.read(also, object, None, vars, &[]));
        [Some(main), also].into_iter().flatten().collect()
    }

    /// What the answers to [`Connector::describe`] say.
    ///
    /// # Errors
    /// When the first answer is not a success, or not a description of this object: what it would mean for a write.
    pub fn interpret_description(
        &self,
        object: &str,
        vars: &BTreeMap<String, String>,
        main: &ProviderResponse,
        also: Option<&ProviderResponse>,
        now: Timestamp,
    ) -> Result<DescribedObject, Outcome> {
        let answer = self.read_answer(object, vars, main, now);
        let body = answer.body()?;
        let also = also.and_then(|response| self.read_answer(object, vars, response, now).body().ok());
        let form = self
            .module
            .reads
            .as_ref()
            .and_then(|reads| reads.describe.as_ref())
            .map(|describe| describe.form);
        let described = match form {
            Some(DescribeForm::Hubspot) => hubspot::read(object, &body, also.as_ref()),
            Some(DescribeForm::Salesforce) => salesforce::read(object, &body),
            None => None,
        };
        described.ok_or_else(|| answer.unclear(Some(&body), "without the description that was asked for"))
    }
}

/// The text under a key; empty when there is none.
fn text(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Whether a key holds a list.
fn has_list(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(Value::is_array)
}

/// Whether a key holds `true`.
fn flag(value: &Value, key: &str) -> bool {
    value.get(key) == Some(&Value::Bool(true))
}

/// The list under a key; empty when there is none.
fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
