//! The mapping rules.

mod examples;
mod generate;
mod paths;
mod property;
mod reference;
mod rules;
mod warnings;
