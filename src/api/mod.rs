//! The HTTP API: every route in `router`, one file per endpoint under `v1`, and what they share.
//!
//! Handlers are thin: extract, authorise, one use case, reply. Errors are [`problem::Problem`]s.

pub mod auth;
mod control;
mod docs;
pub mod extract;
mod health;
pub mod layer;
mod metrics;
pub mod notes;
pub mod problem;
mod router;
pub mod v1;

pub use router::{health_router, metrics_router, openapi, router};

/// A text as a part of a page.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
