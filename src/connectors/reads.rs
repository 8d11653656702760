//! Reads that surround a write: current values for `ifEmpty`, and finding a record by a unique field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::contract::ProviderError;
use super::declarative::json_path::JsonPath;
use super::declarative::plan::Plan;

/// The reads of a module.
#[derive(Debug, Clone)]
pub struct Reads {
    /// Reading fields of a record, and where they are in the answer.
    pub(super) current: Option<(Read, JsonPath)>,
    /// Finding a record by a unique field.
    pub(super) unique: Option<Unique>,
}

/// A GET request.
#[derive(Debug, Clone)]
pub struct Read {
    /// The request as a plan without a body.
    pub(super) plan: Plan,
}

/// Finding a record by a unique field.
#[derive(Debug, Clone)]
pub struct Unique {
    pub(super) read: Read,
    /// The list of records; without it the answer is the record.
    pub(super) list: Option<JsonPath>,
    pub(super) id: JsonPath,
    pub(super) created_at: Option<JsonPath>,
    pub(super) fields: JsonPath,
    /// Unique fields by object; `*` for all objects.
    pub(super) objects: BTreeMap<String, Vec<String>>,
}

/// The answer to a search by a unique field.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// One record.
    One {
        /// Its id.
        id: String,
        /// When it was made, as far as the provider says.
        created_at: Option<jiff::Timestamp>,
        /// The fields that came with it.
        properties: Map<String, Value>,
    },
    /// More than one: the ids.
    Several(Vec<String>),
    /// None. A provider whose index lags may answer this for a record that was made a moment ago.
    Absent,
    /// The search failed.
    Failed(ProviderError),
}
