//! The HTTP API, as an app sees it.

mod batches;
mod examples;
mod gathered;
mod idempotency;
mod metadata;
mod names;
mod openapi;
mod operations;
mod platform;
mod preview;
mod preview_property;
mod providers;
mod rules;
mod steer;
mod writes;
