//! What a simulator gets and gives: a request already read, and an answer not yet sent.

use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ledger::Change;

/// The simulated providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The HubSpot CRM simulator, under `/hubspot`.
    HubSpot,
    /// The Salesforce REST simulator, under `/salesforce`.
    Salesforce,
    /// The scripted provider that records anything, under `/echo`.
    Echo,
}

impl Provider {
    /// The word in paths and in JSON: `hubspot`, `salesforce` or `echo`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HubSpot => "hubspot",
            Self::Salesforce => "salesforce",
            Self::Echo => "echo",
        }
    }

    /// The provider of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::HubSpot, Self::Salesforce, Self::Echo]
            .into_iter()
            .find(|p| p.as_str() == word)
    }
}

/// One HTTP request, its path relative to the provider's prefix.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub method: Method,
    /// The path as sent, still percent-encoded, beginning with `/`.
    pub path: String,
    /// The query as sent, without `?`.
    pub raw_query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    /// The decoded path segments.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(decode)
            .collect()
    }

    /// The first query parameter of that name.
    pub fn query(&self, name: &str) -> Option<String> {
        pairs(self.raw_query.as_deref().unwrap_or_default())
            .into_iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v)
    }

    /// All query parameters of that name, in order: lists may come as `a=1,2` or as `a=1&a=2`.
    pub fn query_all(&self, name: &str) -> Vec<String> {
        pairs(self.raw_query.as_deref().unwrap_or_default())
            .into_iter()
            .filter(|(k, _)| k == name)
            .map(|(_, v)| v)
            .collect()
    }

    /// The first query parameter that is none of these. What a simulator does not do it must not pass over.
    pub fn unknown_query(&self, known: &[&str]) -> Option<String> {
        pairs(self.raw_query.as_deref().unwrap_or_default())
            .into_iter()
            .map(|(name, _)| name)
            .find(|name| !known.contains(&name.as_str()))
    }

    /// The header's text, or `None` when it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The bearer token of the `Authorization` header (`OAuth x` is read as well, as Salesforce does).
    ///
    /// Salesforce's older bulk API has a header of its own for the session.
    pub fn bearer(&self) -> Option<&str> {
        let token = match self.header("authorization") {
            Some(value) => {
                let (scheme, token) = value.split_once(' ')?;
                let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth");
                known.then_some(token)?
            }
            None => self.header("x-sfdc-session")?,
        };
        Some(token.trim()).filter(|t| !t.is_empty())
    }

    /// The fields of a form body.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }

    /// Whether the body claims to be JSON. A missing content type counts as JSON.
    pub fn is_json(&self) -> bool {
        self.header("content-type")
            .is_none_or(|v| v.to_ascii_lowercase().contains("json"))
    }
}

/// The decoded segments of a path: split first, then decoded, so that `%2F` stays inside its segment.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|s| !s.is_empty()).map(decode).collect()
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Splits `a=1&b=2`, decoding `%xx` and `+`.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// The value of one field of a form.
pub(crate) fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
}

/// One answer, with what the request changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub changes: Vec<Change>,
}

impl Reply {
    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// A JSON answer with that content type.
    pub fn json(status: u16, content_type: &str, body: &Value) -> Self {
        Self::text(status, content_type, body.to_string())
    }

    /// An answer with any text.
    pub fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
            changes: Vec::new(),
        }
    }

    /// The same answer with one header more.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same answer with these changes recorded.
    pub fn with_changes(mut self, changes: Vec<Change>) -> Self {
        self.changes = changes;
        self
    }
}
