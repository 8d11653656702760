//! Connectors: what to send to a provider for one write, and what its answer means.
//!
//! A connector is data: one YAML file per provider in `connectors/`, read by the engine in [`declarative`]. Nothing here
//! does I/O, reads a clock or sees a credential: [`Connector::prepare`] turns a [`Command`] into a request, and
//! [`Connector::interpret`] turns the provider's answer into an [`Outcome`]. The outbound layer sends, attaches
//! credentials as [`Connector::auth`] says, and waits. [`Connector::prepare_batch`] and [`Connector::interpret_batch`] do the
//! same for several records in one call, at providers that take them.
//!
//! `docs/connectors.md` describes the language of the files.

mod auth;
mod batch;
mod catalog;
mod connector;
mod contract;
pub mod declarative;
mod describe;
mod discover;
mod providers;
mod read_answers;
mod reads;
mod variables;
pub mod verify;

pub use auth::{
    ACCESS_KEY_ID, Account, Algorithm, Attach, Auth, AwsSigV4, Basic, CLIENT_ID, CLIENT_SECRET, ClientAuth,
    ExpiresUnit, FaultClass, FaultRule, Grant, Health, Input, Mint, MintGrant, OAuth2, Paths, Place, Revoke,
    RevokeAuth, Revokes, Rotation, SCOPES, SECRET_ACCESS_KEY, SESSION_TOKEN, Scheme, TokenAnswer, TokenBody,
    Urls, fill,
};
pub use batch::{BatchCommand, BatchItem, BatchOutcome, BatchSupport};
pub use catalog::{Catalog, LoadError, Parsed, ProviderSummary, SharedCatalog, parse, without_examples};
pub use connector::{Connector, Variable};
pub use contract::{
    Command, ErrorClass, Limits, Outcome, ProviderError, ProviderRequest, ProviderResponse, Refusal,
    RefusalKind, RetryClass, RetryHint, Step,
};
pub use declarative::{quota_exhausted, retry_hint};
pub use describe::{DescribedObject, Field, Finding, FindingKind, ValueType, findings};
pub use discover::Discovery;
pub use reads::Found;
pub use variables::connection_vars;
