//! The HTTP API, as an app sees it.

mod examples;
mod openapi;
mod platform;
mod rules;
mod writes;
