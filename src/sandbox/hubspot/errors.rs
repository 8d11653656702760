//! HubSpot's error bodies.

use serde_json::{Map, Value, json};

use super::Context;
use super::validate::{self, Problem};
use crate::sandbox::message::Reply;

/// The content type of every JSON answer.
pub(crate) const JSON: &str = "application/json;charset=utf-8";

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub status: u16,
    pub message: String,
    pub category: Option<String>,
    pub context: Option<Box<Value>>,
    pub errors: Option<Vec<Value>>,
    pub extra: Vec<(String, Value)>,
}

impl Failure {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            category: None,
            context: None,
            errors: None,
            extra: Vec::new(),
        }
    }

    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(400, message).category("VALIDATION_ERROR")
    }

    pub fn category(mut self, category: &str) -> Self {
        self.category = Some(category.to_owned());
        self
    }

    pub fn context(mut self, context: Value) -> Self {
        self.context = Some(Box::new(context));
        self
    }

    pub fn extra(mut self, key: &str, value: Value) -> Self {
        self.extra.push((key.to_owned(), value));
        self
    }

    pub fn errors(mut self, errors: Vec<Value>) -> Self {
        self.errors = (!errors.is_empty()).then_some(errors);
        self
    }

    /// `resource not found`, which has no category.
    pub fn not_found() -> Self {
        Self::new(404, "resource not found")
    }

    pub fn properties(problems: &[Problem], hub_id: u64, in_batch: bool) -> Self {
        let (message, errors) = validate::report(problems, hub_id, in_batch);
        Self::validation(message).errors(errors)
    }

    /// Malformed JSON or JSON of the wrong shape; `column` counts from 1.
    pub fn bad_json(line: usize, column: usize, what: &str) -> Self {
        Self::validation(format!(
            "Invalid input JSON on line {line}, column {column}: {what}"
        ))
    }

    /// The whole answer.
    pub fn reply(&self, cx: &mut Context<'_>) -> Reply {
        let mut body = Map::new();
        body.insert("status".to_owned(), json!("error"));
        body.insert("message".to_owned(), json!(self.message));
        for (key, value) in self.extra.iter().filter(|(k, _)| k == "errorType") {
            body.insert(key.clone(), value.clone());
        }
        body.insert("correlationId".to_owned(), json!(cx.uuid()));
        if let Some(category) = &self.category {
            body.insert("category".to_owned(), json!(category));
        }
        if let Some(context) = &self.context {
            body.insert("context".to_owned(), (**context).clone());
        }
        if let Some(errors) = &self.errors {
            body.insert("errors".to_owned(), json!(errors));
        }
        for (key, value) in self.extra.iter().filter(|(k, _)| k != "errorType") {
            body.insert(key.clone(), value.clone());
        }
        Reply::json(self.status, JSON, &Value::Object(body))
    }

    /// The error of one item in a batch answer. What a single answer says by its status alone, a lock, an item says
    /// by its category.
    pub fn item(&self, context: &Value) -> Value {
        let mut merged = context.as_object().cloned().unwrap_or_default();
        if let Some(own) = self.context.as_deref().and_then(Value::as_object) {
            for (key, value) in own {
                merged.insert(key.clone(), value.clone());
            }
        }
        let mut item = Map::new();
        item.insert("status".to_owned(), json!("error"));
        let by_status = match self.status {
            404 => "OBJECT_NOT_FOUND",
            409 => "CONFLICT",
            423 => "RECORD_LOCKED",
            400..=499 => "VALIDATION_ERROR",
            _ => "INTERNAL_ERROR",
        };
        let category = self.category.as_deref().unwrap_or(by_status);
        item.insert("category".to_owned(), json!(category));
        item.insert("message".to_owned(), json!(self.message));
        if !merged.is_empty() {
            item.insert("context".to_owned(), Value::Object(merged));
        }
        Value::Object(item)
    }
}

/// The rate-limit answer of a policy.
pub(crate) fn rate_limited(policy: &str, cx: &mut Context<'_>) -> Failure {
    let request_id = cx.uuid();
    Failure::new(
        429,
        format!("You have reached your {} limit.", policy.to_ascii_lowercase()),
    )
    .extra("errorType", json!("RATE_LIMIT"))
    .extra("policyName", json!(policy))
    .extra("requestId", json!(request_id))
}
