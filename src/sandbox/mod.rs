//! The sandbox: HubSpot and Salesforce simulators that are strict and faulty like the real ones.
//!
//! One HTTP listener serves `/hubspot`, `/salesforce` and `/echo`, and a control API under `/_sandbox`.
//! All state is per account; a bearer token chooses the account, and `test-<account>` always works.
//! Every request is in the ledger with what it changed, and [`audit`] compares the ledger with what a
//! client was told. [`FaultSpec`] says what goes wrong, for which requests and how often. A consent page and token
//! endpoints play OAuth, for the apps that are registered ([`App`]); [`Sandbox::token_audit`] tells when a refresh token
//! was presented again that had been replaced.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use amp_write::sandbox::{self, FaultKind, FaultSpec, Options};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let sandbox = sandbox::start(listener, Options::default())?;
//! let fault = sandbox.fault(FaultSpec::new(FaultKind::DropAfterCommit).object("contacts").once())?;
//! // … a client writes a contact to sandbox.hubspot_url() …
//! fault.wait_hits(1).await;
//! assert_eq!(sandbox.ledger().len(), 1);
//! sandbox.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod audit;
mod clock;
mod connection;
mod control;
mod core;
mod echo;
mod faults;
mod gateway;
pub mod hubspot;
mod journal;
mod json_place;
mod ledger;
mod message;
mod oauth;
mod perform;
mod refusals;
mod response;
pub mod salesforce;
mod server;
mod tokens;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::clock::Clock;
pub use self::control::ControlError;
pub use self::echo::EchoRule;
pub use self::faults::{FaultKind, FaultSpec, Matcher, Phase, token_faults};
pub use self::journal::JournalError;
pub use self::ledger::{Change, ChangeKind, LedgerEntry, LedgerStatus};
pub use self::message::Provider;
pub use self::server::{FaultHandle, Sandbox, StartError, router, start};
pub use self::tokens::{
    App, Finding, FindingKind, Grace, Grant, GrantState, OnReuse, Standing, Token, TokenUse, UseKind,
};

/// How a sandbox is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed of everything random: chances of faults, shuffles, correlation ids.
    pub seed: u64,
    /// File in which state and ledger survive a crash of the process; nothing is kept when `None`.
    pub journal: Option<PathBuf>,
    /// Whether unknown tokens are refused with 401. When false any token opens the account of its name.
    pub verify_tokens: bool,
    /// Whether accounts make unknown properties, fields and objects on first use instead of refusing them.
    pub lenient: bool,
    /// Whether the providers' call limits are enforced, or only told in headers.
    pub enforce_limits: bool,
    /// Faults in force from the start.
    pub faults: Vec<FaultSpec>,
}

impl Default for Options {
    /// Seed 0, no journal, tokens verified, strict, limits told but not enforced, no faults.
    fn default() -> Self {
        Self {
            seed: 0,
            journal: None,
            verify_tokens: true,
            lenient: false,
            enforce_limits: false,
            faults: Vec::new(),
        }
    }
}

/// Locks, also after a panic elsewhere: the state is still consistent, as no lock is held across a call
/// that can panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
