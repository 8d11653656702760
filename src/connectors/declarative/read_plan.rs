//! The reads of a module, compiled.

use std::collections::BTreeMap;

use super::definition::DescribeForm;
use super::json_path::JsonPath;
use super::plan::{IdPlace, Plan, Predicate};

/// The reads of a module.
#[derive(Debug, Clone)]
pub struct Reads {
    /// What has to hold in a 404 that says that a record is not there.
    pub(in crate::connectors) not_found: Option<Vec<Predicate>>,
    /// Reading fields of a record.
    pub(in crate::connectors) current: Option<Current>,
    /// Finding a record by a unique field.
    pub(in crate::connectors) unique: Option<Unique>,
    /// Asking what the object's fields are.
    pub(in crate::connectors) describe: Option<Describe>,
}

/// A GET request.
#[derive(Debug, Clone)]
pub struct Read {
    /// The request as a plan without a body.
    pub(in crate::connectors) plan: Plan,
}

/// Reading fields of a record.
#[derive(Debug, Clone)]
pub struct Current {
    pub(in crate::connectors) read: Read,
    /// Where the answer has the id of the record.
    pub(in crate::connectors) id: Vec<IdPlace>,
    /// Where it has the fields.
    pub(in crate::connectors) fields: JsonPath,
    /// A field that is not in the answer has no value; else an answer that lacks one says nothing.
    pub(in crate::connectors) absent_is_empty: bool,
}

/// Finding a record by a unique field.
#[derive(Debug, Clone)]
pub struct Unique {
    pub(in crate::connectors) read: Read,
    /// The list of records; without it the answer is the record.
    pub(in crate::connectors) list: Option<JsonPath>,
    /// What else has to hold in an answer whose list is empty.
    pub(in crate::connectors) none: Vec<Predicate>,
    pub(in crate::connectors) id: JsonPath,
    pub(in crate::connectors) created_at: Option<JsonPath>,
    pub(in crate::connectors) fields: JsonPath,
    /// Unique fields by object; `*` for all objects.
    pub(in crate::connectors) objects: BTreeMap<String, Vec<String>>,
}

/// How an object is described.
#[derive(Debug, Clone)]
pub struct Describe {
    pub(in crate::connectors) form: DescribeForm,
    /// The read that must succeed.
    pub(in crate::connectors) main: Read,
    /// A read that adds to it where it succeeds.
    pub(in crate::connectors) also: Option<Read>,
}
