//! Faults: what can go wrong at a provider, on demand.

mod catalogue;
mod engine;
mod kind;
mod mods;
mod oauth;
mod spec;

pub use catalogue::token_faults;
pub(crate) use engine::{Engine, Facts, Fault, glob};
pub use kind::FaultKind;
pub(crate) use mods::Mods;
pub(crate) use oauth::Wanted;
pub use spec::{FaultSpec, Matcher, Phase};
