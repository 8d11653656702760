//! `amp-write sandbox`: HubSpot and Salesforce simulators for tests and for a user's CI.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;

use crate::sandbox::{self, FaultSpec, Options, StartError};

/// What `--help` says below the options.
const MORE: &str = "\
Point a program at the sandbox instead of at a provider:
  HubSpot      http://127.0.0.1:9090/hubspot      in place of https://api.hubapi.com
  Salesforce   http://127.0.0.1:9090/salesforce   in place of https://<domain>.my.salesforce.com
  any other    http://127.0.0.1:9090/echo         records the request, answers from a script

The bearer token chooses the account. test-<account> (such as test-acme) is always valid and
makes its account on first use; the refresh token test-refresh-<account> gives tokens that expire.

Every request is in the ledger, with what it changed:
  curl http://127.0.0.1:9090/_sandbox/ledger

Faults are put in force with --fault, or while it runs:
  curl http://127.0.0.1:9090/_sandbox/faults \\
    -d '{\"fault\":\"drop_after_commit\",\"match\":{\"object\":\"contacts\"},\"times\":1}'

A consent page and token endpoints play OAuth for the app sandbox-hubspot or sandbox-salesforce
(secret sandbox-secret, any redirect URI of this machine):
  http://127.0.0.1:9090/hubspot/oauth/authorize
  http://127.0.0.1:9090/salesforce/services/oauth2/authorize

Faults: drop_before_commit, drop_after_commit, delay, hold, rate_limit, server_error, error,
answer, migrating, row_lock, shuffle_results, drop_trace_ids, partial, lag_search, upsert_race,
expire_token, revoke_grant, truncate_json, huge_body, slow_drip; of tokens: rotate,
rotate_refresh_token, rotate_with_grace, rotate_then_drop, ok_with_error, ok_empty, no_expires_in,
expires_in_text, expires_in_ms, omit_refresh_token, refuse_while_valid, long_token,
change_instance_url, hostile_instance_url, narrow_scope, app_not_installed, invalid_client,
hard_expiry, admin_consent, isolate_consent_page, other_account. They are explained in docs/sandbox.md.

Ctrl-C ends it. Without --journal it forgets everything then.";

/// Run simulators of HubSpot and Salesforce that are strict and faulty like the real ones
#[derive(Debug, Clone, Args)]
#[command(after_long_help = MORE)]
pub struct SandboxArgs {
    /// Port to listen on; 0 takes a free one and prints it
    #[arg(long, default_value_t = 9090, env = "AMP_SANDBOX_PORT")]
    pub port: u16,

    /// Address to listen on. Anyone who reaches it can read and change everything in the sandbox
    #[arg(long, default_value = "127.0.0.1", env = "AMP_SANDBOX_HOST")]
    pub host: IpAddr,

    /// Seed of everything random: the chances of faults, the order of shuffled results, ids
    #[arg(long, default_value_t = 0, env = "AMP_SANDBOX_SEED")]
    pub seed: u64,

    /// File in which records, tokens and the ledger survive a crash; nothing is kept without it
    #[arg(long, value_name = "FILE", env = "AMP_SANDBOX_JOURNAL")]
    pub journal: Option<PathBuf>,

    /// Accept any bearer token: one that is not known opens the account of its name
    #[arg(long)]
    pub any_token: bool,

    /// Make unknown properties, fields and objects on first use instead of refusing them
    #[arg(long)]
    pub lenient: bool,

    /// Enforce the providers' call limits (110 per 10 seconds at HubSpot, 100,000 a day at Salesforce)
    #[arg(long)]
    pub limits: bool,

    /// A fault in force from the start, as JSON; may be given several times. For example
    /// '{"fault":"rate_limit","policy":"DAILY","match":{"account":"acme"},"times":3}'
    #[arg(long = "fault", value_name = "JSON", value_parser = parse_fault)]
    pub faults: Vec<FaultSpec>,
}

fn parse_fault(text: &str) -> Result<FaultSpec, String> {
    let spec: FaultSpec = serde_json::from_str(text).map_err(|e| format!("no fault: {e}"))?;
    spec.check()?;
    Ok(spec)
}

/// Why the sandbox could not run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another --port, or 0 for a free one")]
    Listen {
        /// The address asked for.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The sandbox did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The signal to stop could not be awaited.
    #[error("cannot wait for Ctrl-C: {0}")]
    Signal(#[source] std::io::Error),
}

/// Runs the sandbox until Ctrl-C (or SIGTERM).
///
/// # Errors
/// When the address cannot be listened on or the journal cannot be used.
pub async fn run(args: SandboxArgs) -> Result<(), SandboxError> {
    let address = std::net::SocketAddr::new(args.host, args.port);
    let listen = |source| SandboxError::Listen {
        address: address.to_string(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let options = Options {
        seed: args.seed,
        journal: args.journal,
        verify_tokens: !args.any_token,
        lenient: args.lenient,
        enforce_limits: args.limits,
        faults: args.faults,
    };
    let sandbox = sandbox::start(listener, options)?;
    println!("sandbox on {}  (seed {})", sandbox.url(), args.seed);
    println!("  HubSpot     {}", sandbox.hubspot_url());
    println!("  Salesforce  {}", sandbox.salesforce_url());
    println!("  echo        {}", sandbox.echo_url());
    println!("  control     {}/_sandbox", sandbox.url());
    println!("  token       test-<account>, for example: Authorization: Bearer test-acme");
    stop_signal().await.map_err(SandboxError::Signal)?;
    sandbox.shutdown().await;
    Ok(())
}

/// Returns when the process is asked to stop.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await
    }
}
