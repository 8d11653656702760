//! The mapping rules.

mod examples;
pub mod generate;
mod names;
mod paths;
mod property;
mod reference;
mod rules;
mod warnings;
