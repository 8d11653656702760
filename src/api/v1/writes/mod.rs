//! Writes.

pub(super) mod answer;
pub mod create;
pub mod preview;
