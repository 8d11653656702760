//! From the app's record to the provider's: field names, values, defaults, write rules.
//!
//! A [`Plan`] is compiled once from an integration and a customer's config, and applied to every record:
//!
//! 1. each field that came in is mapped, passed through or dropped, and its value translated;
//! 2. fields that are missing get their defaults;
//! 3. the write rules take out what must not be written.
//!
//! Every decision is in the [`trace`](Applied::trace). `docs/mapping.md` has the rules in full. Everything is
//! pure: the provider's current values, which `ifEmpty` needs, are handed to [`Applied::decide_if_empty`].

mod apply;
mod error;
pub(crate) mod fields;
mod path;
mod place;
mod plan;
mod settings;
pub(crate) mod sources;
mod trace;

pub use apply::{Applied, ApplyOptions, IfEmptyField};
pub use error::ApplyError;
pub use fields::FieldsError;
pub use path::{FieldPath, PathError};
pub use plan::{Plan, PlanError};
pub use trace::{Decision, TraceEntry, warnings};
