//! Every test that needs more than one module: one binary, so that it links once.
//!
//! Tests that touch the store run twice, on SQLite and on Postgres ([`harness::on_both_stores`]). For Postgres they need
//! `TEST_DATABASE_URL`, which `./scripts/test` provides; without it they fail and say so, they are never skipped.

#![expect(clippy::unwrap_used, reason = "a test may stop on a broken expectation")]

mod api;
mod architecture;
mod clients;
mod command_line;
mod connectors;
mod credentials;
mod doubts;
mod edge;
mod harness;
mod installation_limits;
mod invalidation;
mod limits;
mod manifest;
mod mapping;
mod oauth;
mod outbound_guard;
mod processes;
mod promises;
mod queue;
mod record_holds;
mod sandbox;
mod steering;
mod store_contract;
mod store_failures;
mod toolchain;
mod waits;
mod whose_database;
