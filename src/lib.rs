//! amp-write: a self-hosted service that speaks Ampersand's Write API. An app backend posts a record; it arrives in the
//! customer's SaaS under that customer's own field mapping and rules, and the app can find out what happened to it.
//!
//! # The life of one write
//! ```text
//!  POST …/objects/{object}
//!    api        authenticate, parse, validate              (400/401/403/404: nothing stored, nothing sent)
//!    writes     project → integration → installation → Route        (in memory; one store read on a miss)
//!    mapping    Plan::apply(record) → provider record + trace       (pure)
//!    ├─ sync    perform → outcome → record the operation (group commit) → 200 / 422
//!    └─ async   accept: operation + queue item in one commit (group commit) → 200 {operationId}
//!                 (with autoBatchPolicy: a record of the operation that gathers such writes, closed when it is due)
//!                 … the lane's worker → perform → outcome → settle (fenced by the shard's epoch)
//!    perform    connectors::prepare (pure) → outbound::send → connectors::interpret (pure)
//! ```
//!
//! # The map
//! Modules only use what stands below them:
//!
//! * [`cli`] — one file per subcommand; [`api`] — the HTTP API, one file per endpoint; [`sandbox`] — simulated providers
//! * [`control`] — every use case that is not a write, once; the API, `dev` and the command line call it
//! * [`queue`] — shards, lanes, the worker, retry
//! * [`writes`] — accept, perform, reconcile; the routes in memory
//! * [`grants`] — OAuth grants, refreshed one at a time over all processes
//! * [`changes`] — what has changed lately, by key, for all that is cached
//! * [`rules`] — a manifest held against mapping and catalogue; [`mapping`], [`manifest`], [`connectors`] — pure: time, randomness and I/O are arguments
//! * [`outbound`] — the one HTTP client, credentials, the address guard
//! * [`store`] — Postgres and SQLite behind one trait, mirrored where they differ; group commit
//! * [`vault`], [`clock`], [`json`], [`redact`], [`settings`], [`telemetry`], [`metrics`], [`listen`], [`lifecycle`] — what
//!   everything stands on
//!
//! # The words
//! **project, integration, revision, installation, config, connection, provider, object, record, operation, attempt, lane,
//! plan, trace, outcome**: one word per concept, everywhere.

pub mod action;
pub mod api;
pub mod app;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod connectors;
pub mod control;
pub mod grants;
pub mod json;
pub mod key_check;
pub mod lifecycle;
pub mod listen;
pub mod manifest;
pub mod mapping;
pub mod metrics;
pub mod outbound;
pub mod queue;
pub mod record_rules;
pub mod redact;
pub mod rules;
pub mod sandbox;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod vault;
pub mod writes;
