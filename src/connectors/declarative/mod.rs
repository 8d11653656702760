//! The engine that reads connector files.
//!
//! `definition` is a file as it is written; `compile` merges its defaults, checks it and makes one plan per
//! object and action; `prepare` and `interpret` apply a plan. A file is parsed and checked once.

pub(in crate::connectors) mod answers;
pub(in crate::connectors) mod batch_plan;
pub(in crate::connectors) mod body;
pub(in crate::connectors) mod compile;
pub mod definition;
pub(in crate::connectors) mod errors;
pub(in crate::connectors) mod escape;
pub mod examples;
mod form;
mod hint;
pub(in crate::connectors) mod interpret;
pub mod json_path;
pub mod ordered;
pub(in crate::connectors) mod plan;
pub(in crate::connectors) mod prepare;
pub(in crate::connectors) mod read_plan;
pub(in crate::connectors) mod scope;
pub(in crate::connectors) mod surroundings;
mod template;
pub(in crate::connectors) mod text;
pub(in crate::connectors) mod url;

pub use hint::{exhausted as quota_exhausted, hint as retry_hint};
