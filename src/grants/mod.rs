//! OAuth grants: kept alive, one refresh at a time over all processes.
//!
//! Who needs a new token calls [`Grants::renew`] and waits for it together with all others who need that one. The refresh runs
//! apart from those who wait: nobody who hangs up ends it, and a stop waits for it. Between processes a row of the store says
//! who refreshes; what they may store is fenced by its epoch. New tokens are used only once they are stored.

pub mod apps;
mod ask;
mod fresh;
mod refresh;
pub mod schedule;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::changes::Changes;
use crate::clock::SharedClock;
use crate::connectors::{RetryClass, SharedCatalog};
use crate::metrics::Metrics;
use crate::outbound::{Credentials, MintError, Outbound};
use crate::store::SharedStore;
use crate::vault::Vault;
pub use tokens::{Before, grant_of, variables};

/// How long somebody waits for a refresh that another one makes.
const PATIENCE: Duration = Duration::from_secs(45);
/// So many refreshes at one provider at the same time, by default.
pub const AT_ONCE: usize = 4;

/// A grant as it was renewed.
#[derive(Debug)]
pub struct Renewal {
    /// The new tokens.
    pub credentials: Credentials,
    /// Their version.
    pub credentials_version: i64,
    /// The variables of the connection as they are now.
    pub vars: BTreeMap<String, String>,
}

/// A renewal, unless there is nothing to renew with.
type Renewed = Result<Option<Arc<Renewal>>, MintError>;

/// Which grant is to be renewed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The project.
    pub project_id: Uuid,
    /// The connection.
    pub connection_id: Uuid,
    /// The version of the credentials that are too old, or were refused.
    pub credentials_version: i64,
    /// The provider.
    pub provider: String,
}

type Flight = Shared<BoxFuture<'static, Renewed>>;

/// Keeps grants alive.
pub struct Grants {
    store: SharedStore,
    vault: Arc<Vault>,
    catalog: Arc<SharedCatalog>,
    outbound: Outbound,
    changes: Arc<Changes>,
    metrics: Arc<Metrics>,
    /// This process.
    owner: Uuid,
    at_once: usize,
    flights: Mutex<HashMap<(Uuid, i64), Flight>>,
    /// Places at each provider.
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
    running: TaskTracker,
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grants")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// The parts of a service that refreshing needs.
#[derive(Debug)]
pub struct Parts {
    /// The store.
    pub store: SharedStore,
    /// Opens and seals tokens.
    pub vault: Arc<Vault>,
    /// The providers.
    pub catalog: Arc<SharedCatalog>,
    /// Asks them.
    pub outbound: Outbound,
    /// Makes ids.
    pub clock: SharedClock,
    /// What caches are told of.
    pub changes: Arc<Changes>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// So many refreshes at one provider at the same time.
    pub at_once: usize,
}

impl Grants {
    /// Over the parts of a service.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            owner: parts.clock.new_id(),
            store: parts.store,
            vault: parts.vault,
            catalog: parts.catalog,
            outbound: parts.outbound,
            changes: parts.changes,
            metrics: parts.metrics,
            at_once: parts.at_once.max(1),
            flights: Mutex::default(),
            places: Mutex::default(),
            running: TaskTracker::new(),
        }
    }

    /// New tokens in the place of those of that version; those that are there when they have been replaced already. `None`
    /// when there is nothing to renew them with: no refresh token, or no provider app.
    ///
    /// # Errors
    /// [`MintError::Refused`] when the provider does not accept the grant any more: the connection is marked so. Else
    /// [`MintError::Later`]: nothing is wrong with the grant.
    pub async fn renew(self: &Arc<Self>, wanted: Wanted) -> Renewed {
        let flight = self.flight(wanted);
        match tokio::time::timeout(PATIENCE, flight).await {
            Ok(renewed) => renewed,
            Err(_) => Err(later("the refresh of the token takes too long")),
        }
    }

    /// The refresh of these tokens: the one that runs, or a new one.
    fn flight(self: &Arc<Self>, wanted: Wanted) -> Flight {
        let key = (wanted.connection_id, wanted.credentials_version);
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        let grants = Arc::clone(self);
        let task = self.running.spawn(async move {
            let renewed = grants.refresh(&wanted).await;
            grants.count(&wanted.provider, &renewed);
            let mut flights = grants.flights.lock().unwrap_or_else(PoisonError::into_inner);
            flights.remove(&key);
            renewed
        });
        let flight = async move {
            // A panic has been logged by the runtime.
            let ended = task.await;
            ended.unwrap_or_else(|_| Err(later("the refresh of the token ended by a defect")))
        };
        let flight = flight.boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }

    /// The client that asks providers.
    #[must_use]
    pub const fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Whether these tokens are being renewed here.
    fn is_flying(&self, connection_id: Uuid, credentials_version: i64) -> bool {
        let flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.contains_key(&(connection_id, credentials_version))
    }

    fn count(&self, provider: &str, renewed: &Renewed) {
        let result = match renewed {
            Ok(Some(_)) => "renewed",
            Ok(None) => "not_renewable",
            Err(MintError::Refused { .. }) => "refused",
            Err(_) => "later",
        };
        self.metrics.refreshes.increment(&[provider, result]);
    }

    fn places_at(&self, provider: &str) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Semaphore::new(self.at_once));
        Arc::clone(places.entry(provider.to_owned()).or_insert_with(made))
    }

    async fn place_at(&self, provider: &str) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.places_at(provider).acquire_owned().await.ok()
    }

    /// Waits until no refresh runs: an answer that is under way is stored first.
    pub async fn finish(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

/// Nothing is wrong with the grant; it is tried again.
fn later(said: impl Into<String>) -> MintError {
    MintError::Later {
        said: said.into(),
        status: 0,
        class: RetryClass::Transient,
        after: None,
    }
}
