//! Examples as a file writes them.

use serde::Deserialize;
use serde_json::Value;

use crate::action::Action;
use crate::connectors::contract::ErrorClass;
use crate::connectors::declarative::ordered::Ordered;

/// A write and what becomes of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    /// Whether an earlier request for the same write may have been applied.
    #[serde(default)]
    pub repeated: bool,
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
