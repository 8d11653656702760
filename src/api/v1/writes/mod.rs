//! Writes.

mod answer;
pub mod create;
