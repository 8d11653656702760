//! The connectors: their files, the engine behind them, and what they do to recorded writes.

mod batch;
mod catalog;
mod cli;
mod conformance;
mod docs;
mod files;
mod oauth;
mod outcomes;
mod reload;
mod safety;
mod scenarios;
pub mod schema;
