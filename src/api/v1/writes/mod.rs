//! Writes.

pub(in crate::api) mod answer;
pub mod create;
pub mod preview;
