//! The HTTP API, as an app sees it.

mod allowed;
mod answers;
mod batches;
mod confined;
mod examples;
mod gathered;
mod idempotency;
mod isolation;
mod jwt;
mod jwt_keys;
mod kept;
mod keys;
mod metadata;
mod names;
mod openapi;
mod operations;
mod platform;
mod preview;
mod preview_findings;
mod preview_property;
mod providers;
mod rules;
mod steer;
mod strict_json;
mod ui;
mod writes;
