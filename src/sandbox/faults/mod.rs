//! Faults: what can go wrong at a provider, on demand.

mod engine;
mod mods;
mod spec;

pub(crate) use engine::{Engine, Facts, Fault, glob};
pub(crate) use mods::Mods;
pub use spec::{FaultKind, FaultSpec, Matcher, Phase};
