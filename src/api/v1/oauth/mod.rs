//! Connecting through OAuth: the link that an app hands out, the browser that opens it, and the provider's answer.

pub mod callback;
pub mod connect;
pub mod open;
mod page;
pub mod update;
