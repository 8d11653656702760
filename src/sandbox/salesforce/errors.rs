//! Salesforce's errors: `[{message, errorCode, fields?}]`, or `statusCode` within a collection.

use serde_json::{Map, Value, json};

use crate::sandbox::message::Reply;

/// The content type of every JSON answer.
pub(crate) const JSON: &str = "application/json;charset=UTF-8";

/// One error on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub status: u16,
    pub code: Box<str>,
    pub message: String,
    /// Named fields; the key is left out when `None`.
    pub fields: Option<Vec<String>>,
    /// The duplicate rule's findings, under the key that Salesforce really spells so.
    pub duplicates: Option<Box<Value>>,
    /// The id of the record it is about, when it exists.
    pub id: Option<Box<str>>,
    pub headers: Vec<(String, String)>,
    /// An answer without a body.
    pub bare: bool,
}

impl Fault {
    /// An error without the `fields` key.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            fields: None,
            duplicates: None,
            id: None,
            headers: Vec::new(),
            bare: false,
        }
    }

    /// An error of status 400 with these fields named (maybe none).
    pub fn with_fields(code: &str, message: impl Into<String>, fields: &[&str]) -> Self {
        Self::new(400, code, message).fields(fields.iter().map(|&f| f.to_owned()).collect())
    }

    pub fn fields(mut self, fields: Vec<String>) -> Self {
        self.fields = Some(fields);
        self
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An answer of that status without a body.
    pub fn bare(status: u16) -> Self {
        Self {
            bare: true,
            ..Self::new(status, "", "")
        }
    }

    pub fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    pub fn deleted() -> Self {
        Self::with_fields("ENTITY_IS_DELETED", "entity is deleted", &[]).status(404)
    }

    pub fn no_column(column: &str, object: &str) -> Self {
        Self::new(
            400,
            "INVALID_FIELD",
            format!("No such column '{column}' on sobject of type {object}"),
        )
    }

    /// The whole answer.
    pub fn reply(&self) -> Reply {
        let mut reply = if self.bare {
            Reply::empty(self.status)
        } else {
            let mut error = Map::new();
            if let Some(duplicates) = &self.duplicates {
                error.insert("duplicateResut".to_owned(), (**duplicates).clone());
                error.insert("errorCode".to_owned(), json!(self.code));
                error.insert("message".to_owned(), json!(self.message));
            } else {
                error.insert("message".to_owned(), json!(self.message));
                error.insert("errorCode".to_owned(), json!(self.code));
            }
            if let Some(fields) = &self.fields {
                error.insert("fields".to_owned(), json!(fields));
            }
            Reply::json(self.status, JSON, &json!([error]))
        };
        reply.headers.extend(self.headers.iter().cloned());
        reply
    }

    /// The result of one failed record of a collection.
    pub fn item(&self) -> Value {
        let error = json!({
            "statusCode": self.code,
            "message": self.message,
            "fields": self.fields.clone().unwrap_or_default(),
        });
        let mut item = Map::new();
        if let Some(id) = &self.id {
            item.insert("id".to_owned(), json!(id));
        }
        item.insert("success".to_owned(), json!(false));
        item.insert("errors".to_owned(), json!([error]));
        Value::Object(item)
    }
}
