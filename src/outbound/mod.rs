//! Everything that leaves for a provider: the one HTTP client, credentials, the address guard, body caps and timeouts.
//! Connectors build requests and read answers without I/O; only this module sends.

mod attach;
mod body;
mod client;
mod credentials;
mod guard;
mod inputs;
mod mint;
pub mod oauth;
mod sigv4;

pub use attach::{ShownRequest, attach, show};
pub use client::{Outbound, OutboundOptions, SendError, WireRequest};
pub use credentials::{CredentialError, Credentials, SealedCredentials};
pub use guard::GuardError;
pub use inputs::check;
pub use mint::{Account, MintError, Token};
pub use oauth::TokenRequest;
