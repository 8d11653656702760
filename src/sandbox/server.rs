//! Starting the sandbox, and the handle to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use http::Method;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::connection::{CuttableListener, Cutter};
use super::control::{self, ControlError};
use super::core::Core;
use super::faults::{Fault, FaultSpec};
use super::tokens::{self, TokenEvent};
use super::{
    App, Clock, EchoRule, Finding, Grant, JournalError, LedgerEntry, Options, Provider, Token, TokenUse,
    gateway, lock,
};

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener has no local address.
    #[error("the listener has no local address: {0}")]
    Address(#[source] std::io::Error),
    /// The journal is unusable.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A running sandbox. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Sandbox {
    core: Arc<Core>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Starts a sandbox on this listener, in tasks of the present tokio runtime.
///
/// # Errors
/// When the listener has no address, or the journal of `options` cannot be read or written.
pub fn start(listener: TcpListener, options: Options) -> Result<Sandbox, StartError> {
    let mut address = listener.local_addr().map_err(StartError::Address)?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let core = Arc::new(Core::new(format!("http://{address}"), &options)?);
    let sandbox = Sandbox {
        core: Arc::clone(&core),
        task: Arc::default(),
    };
    let service = router(&sandbox).into_make_service_with_connect_info::<Cutter>();
    let mut closing = core.closing.subscribe();
    let task = tokio::spawn(async move {
        let stopped = async move {
            let _ = closing.wait_for(|c| *c).await;
        };
        let served = axum::serve(CuttableListener(listener), service).with_graceful_shutdown(stopped);
        if let Err(error) = served.await {
            tracing::error!(%error, "the sandbox stopped serving");
        }
    });
    *lock(&sandbox.task) = Some(task);
    Ok(sandbox)
}

/// The routes of a sandbox, to serve them elsewhere. There a dropped connection is an answer that breaks
/// off, since only the sandbox's own listener can cut a connection without a byte.
pub fn router(sandbox: &Sandbox) -> Router {
    let core = Arc::clone(&sandbox.core);
    Router::new().fallback(move |request: axum::extract::Request| gateway::serve(Arc::clone(&core), request))
}

impl Sandbox {
    /// The base URL, such as `http://127.0.0.1:9090`.
    #[must_use]
    pub fn url(&self) -> String {
        self.core.url.clone()
    }

    /// The base URL of the HubSpot simulator, to use in place of `https://api.hubapi.com`.
    #[must_use]
    pub fn hubspot_url(&self) -> String {
        format!("{}/hubspot", self.core.url)
    }

    /// The base URL of the Salesforce simulator, to use in place of `https://<domain>.my.salesforce.com`.
    #[must_use]
    pub fn salesforce_url(&self) -> String {
        format!("{}/salesforce", self.core.url)
    }

    /// The base URL of the echo provider.
    #[must_use]
    pub fn echo_url(&self) -> String {
        format!("{}/echo", self.core.url)
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.core.ledger.read(0, None)
    }

    /// The requests after number `since`, of one account when given.
    #[must_use]
    pub fn ledger_since(&self, since: u64, account: Option<&str>) -> Vec<LedgerEntry> {
        self.core.ledger.read(since, account)
    }

    /// Forgets the ledger; sequence numbers go on.
    pub fn clear_ledger(&self) {
        kept(self.core.clear_ledger());
    }

    /// Waits until the ledger is as wanted, and gives it.
    pub async fn wait_ledger(&self, wanted: impl Fn(&[LedgerEntry]) -> bool) -> Vec<LedgerEntry> {
        let mut changes = self.core.ledger.watch();
        loop {
            changes.mark_unchanged();
            let entries = self.ledger();
            if wanted(&entries) || changes.changed().await.is_err() {
                return entries;
            }
        }
    }

    /// Puts a fault in force.
    ///
    /// # Errors
    /// When a setting that its kind needs is missing or out of range.
    pub fn fault(&self, spec: FaultSpec) -> Result<FaultHandle, ControlError> {
        if let Some(problem) = spec.problem() {
            return Err(ControlError::invalid(problem));
        }
        Ok(FaultHandle {
            core: Arc::clone(&self.core),
            fault: self.core.faults.add(spec),
        })
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultHandle> {
        let handle = |fault| FaultHandle {
            core: Arc::clone(&self.core),
            fault,
        };
        self.core.faults.list().into_iter().map(handle).collect()
    }

    /// Takes all faults away and releases what they hold.
    pub fn clear_faults(&self) {
        self.core.faults.clear();
    }

    /// The sandbox's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.core.clock
    }

    /// Registers an access token.
    pub fn put_token(&self, token: Token) {
        self.core.tokens.put_token(token.clone());
        kept(self.core.keep_tokens(vec![TokenEvent::Token(token)]));
    }

    /// Registers a grant: a refresh token and what it gives.
    pub fn put_grant(&self, grant: Grant) {
        self.core.tokens.put_grant(grant.clone());
        kept(self.core.keep_tokens(vec![TokenEvent::Grant(grant)]));
    }

    /// Registers an app, in place of the one of that client id.
    pub fn put_app(&self, app: App) {
        self.core.tokens.put_app(app.clone());
        kept(self.core.keep_tokens(vec![TokenEvent::App(app)]));
    }

    /// Has a customer revoke what their account granted: all its grants and tokens are dead, `test-refresh-<account>`
    /// too. Only the access token `test-<account>` works on.
    pub fn revoke(&self, provider: Provider, account: &str) {
        let events = self.core.tokens.revoke_account(provider, account, None);
        kept(self.core.keep_tokens(events));
    }

    /// Which refresh tokens and codes were presented so far, in order of arrival.
    #[must_use]
    pub fn token_uses(&self) -> Vec<TokenUse> {
        self.core.tokens.uses.list()
    }

    /// Who presented a refresh token again after its successor was answered, outside of its grace, or a code after
    /// its tokens were answered. Sound when empty.
    #[must_use]
    pub fn token_audit(&self) -> Vec<Finding> {
        tokens::audit(&self.core.tokens.uses.list())
    }

    /// Adds rules to the echo provider's script.
    pub fn script_echo(&self, rules: impl IntoIterator<Item = EchoRule>) {
        lock(&self.core.echo).add(rules);
    }

    /// Any call of the control API without HTTP: `control(Method::POST, "/clock", &json!({"advance_ms": 1000}))`.
    ///
    /// # Errors
    /// What the control API answers with a status of 400 or more.
    pub async fn control(&self, method: Method, path: &str, body: &Value) -> Result<Value, ControlError> {
        control::call(&self.core, &method, path, body.clone()).await
    }

    /// Forgets all state: accounts, tokens, faults, scripts, ledger and journal; the clock runs.
    pub fn reset(&self) {
        self.core.reset();
    }

    /// Stops: requests that faults hold are dropped, connections closed.
    pub async fn shutdown(&self) {
        self.core.closing.send_replace(true);
        let task = lock(&self.task).take();
        if let Some(mut task) = task
            && tokio::time::timeout(Duration::from_secs(2), &mut task)
                .await
                .is_err()
        {
            // A client that does not read its answer must not keep the sandbox.
            task.abort();
        }
    }

    /// Waits until the sandbox has stopped.
    pub async fn stopped(&self) {
        let task = lock(&self.task).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

fn kept(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the journal could not be written");
    }
}

/// A fault in force.
#[derive(Debug, Clone)]
pub struct FaultHandle {
    core: Arc<Core>,
    fault: Arc<Fault>,
}

impl FaultHandle {
    /// Its number in the control API.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.fault.id
    }

    /// What it is.
    #[must_use]
    pub fn spec(&self) -> &FaultSpec {
        &self.fault.spec
    }

    /// How often it acted.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.fault.hits()
    }

    /// Waits until it acted that often.
    pub async fn wait_hits(&self, hits: u64) {
        self.fault.wait_hits(hits).await;
    }

    /// Lets go the requests that a `hold` keeps, and those still to come.
    pub fn release(&self) {
        self.fault.release();
    }

    /// Takes the fault away and releases what it holds.
    pub fn remove(&self) {
        self.core.faults.remove(self.fault.id);
    }
}
