//! What a customer's account says about its objects: the fields that a picker offers.

pub mod for_connection;
pub mod for_installation;

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::problem::{Code, Problem};
use crate::connectors::{self, ErrorClass, Outcome, RetryClass, ValueType};
use crate::writes::fields::{DescribeError, Described, Known};

/// Which fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    group_ref: Option<String>,
    #[serde(default)]
    exclude_read_only: bool,
}

impl Options {
    fn group_ref(&self) -> Result<&str, Problem> {
        self.group_ref
            .as_deref()
            .filter(|group| !group.is_empty())
            .ok_or_else(|| Problem::new(Code::InvalidRequest, "the query parameter groupRef is missing"))
    }
}

/// An object of a customer's account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMetadata {
    /// The provider's name.
    pub name: String,
    /// The name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The app's name, where the integration maps the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapped_object_name: Option<String>,
    /// The fields by name.
    #[schema(value_type = std::collections::HashMap<String, FieldMetadata>)]
    pub fields: Map<String, Value>,
}

/// A field of an object.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldMetadata {
    /// The provider's name.
    pub field_name: String,
    /// The name for people.
    pub display_name: String,
    /// `string`, `boolean`, `singleSelect`, `multiSelect`, `date`, `datetime`, `int`, `float`, `reference` or `other`.
    #[schema(value_type = String)]
    pub value_type: ValueType,
    /// The provider's own word for the type.
    pub provider_type: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whether the account made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_custom: Option<bool>,
    /// Whether a create must give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_required: Option<bool>,
    /// The objects that a reference may lead to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reference_to: Vec<String>,
    /// The values of a select.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<FieldValue>,
}

/// A value of a select.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldValue {
    /// What is written.
    pub value: String,
    /// What people see.
    pub display_value: String,
}

impl From<&connectors::Field> for FieldMetadata {
    fn from(field: &connectors::Field) -> Self {
        let values = field.options.iter().map(|(value, display_value)| FieldValue {
            value: value.clone(),
            display_value: display_value.clone(),
        });
        Self {
            field_name: field.name.clone(),
            display_name: field.display_name.clone(),
            value_type: field.value_type,
            provider_type: field.provider_type.clone(),
            read_only: !field.on_create && !field.on_update,
            is_custom: field.custom,
            is_required: field.required,
            reference_to: field.reference_to.clone(),
            values: values.collect(),
        }
    }
}

/// The fields of a description, each a [`FieldMetadata`], by name.
#[must_use]
pub fn fields(object: &connectors::DescribedObject, exclude_read_only: bool) -> Map<String, Value> {
    object
        .fields
        .iter()
        .map(FieldMetadata::from)
        .filter(|field| !(exclude_read_only && field.read_only))
        // Made of texts and flags: it cannot fail.
        .map(|field| {
            (
                field.field_name.clone(),
                serde_json::to_value(field).unwrap_or_default(),
            )
        })
        .collect()
}

/// Whether the client wants the provider to be asked: `Cache-Control: no-cache`.
#[must_use]
pub fn wanted(headers: &HeaderMap) -> Known {
    let fresh = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case("no-cache"));
    if fresh { Known::Now } else { Known::Recent }
}

/// An answer that says how old it is.
pub fn aged(age: Duration, body: impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    response
        .headers_mut()
        .insert(header::AGE, HeaderValue::from(age.as_secs()));
    response
}

fn answer(object: &str, mapped: Option<String>, options: &Options, described: &Described) -> Response {
    aged(
        described.age,
        ObjectMetadata {
            name: object.to_owned(),
            display_name: described.object.display_name.clone(),
            mapped_object_name: mapped,
            fields: fields(&described.object, options.exclude_read_only),
        },
    )
}

/// The problem of a description that is not there.
fn problem(error: DescribeError) -> Problem {
    let text = error.to_string();
    let outcome = match error {
        DescribeError::Unsupported { .. } => {
            return Problem::new(Code::InvalidRequest, text).remedy(
                "Fields can be read from HubSpot and Salesforce; for other providers, name them yourself.",
            );
        }
        DescribeError::Failed { outcome, .. } => *outcome,
    };
    match outcome {
        Outcome::Unauthorized(_) => Problem::new(Code::CredentialDead, text).remedy(
            "Have the customer reconnect: update the connection with new credentials, or make a new one.",
        ),
        Outcome::Retry {
            class: RetryClass::RateLimited | RetryClass::Quota,
            ..
        } => Problem::new(Code::ProviderRateLimit, text).retry_after(Duration::from_secs(10)),
        Outcome::Rejected(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::Validation) => {
            Problem::not_found(text)
                .remedy("Check the object's name: the customer's account does not know it.")
        }
        Outcome::Rejected(_) => Problem::new(Code::ProviderFailed, text),
        _ => Problem::new(Code::ProviderFailed, text).retryable(true),
    }
}
