//! What the journal keeps of tokens.

use serde_json::Value;

use super::{App, Code, Grant, Token};

/// Something the journal has to keep.
#[derive(Debug, Clone)]
pub(crate) enum TokenEvent {
    Token(Token),
    Grant(Grant),
    App(App),
    Code(Code),
}

impl TokenEvent {
    /// The word in the journal.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Grant(_) => "grant",
            Self::App(_) => "app",
            Self::Code(_) => "code",
        }
    }

    /// What a journal line of that kind holds; `None` when it is of another kind.
    pub fn read(kind: &str, text: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match kind {
            "token" => Self::Token(serde_json::from_str(text)?),
            "grant" => Self::Grant(serde_json::from_str(text)?),
            "app" => Self::App(serde_json::from_str(text)?),
            "code" => Self::Code(serde_json::from_str(text)?),
            _ => return Ok(None),
        }))
    }

    /// The value of its journal line.
    pub fn value(&self) -> Value {
        let value = match self {
            Self::Token(token) => serde_json::to_value(token),
            Self::Grant(grant) => serde_json::to_value(grant),
            Self::App(app) => serde_json::to_value(app),
            Self::Code(code) => serde_json::to_value(code),
        };
        value.unwrap_or(Value::Null)
    }
}
