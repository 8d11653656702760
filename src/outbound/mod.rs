//! Everything that leaves for a provider: the one HTTP client, credentials, the address guard, body caps and timeouts.
//! Connectors build requests and read answers without I/O; only this module sends.

mod client;
mod credentials;
mod guard;

pub use client::{Outbound, OutboundOptions, SendError, WireRequest};
pub use credentials::{CredentialError, Credentials, SealedCredentials, ShownRequest, attach, serves, show};
