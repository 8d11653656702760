//! From (project, integration, group) to everything a write needs, kept in memory.
//!
//! A route stays until its project, integration, installation or connection is touched: see [`crate::changes`].

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use uuid::Uuid;

use crate::changes::{Changes, Dependency, DependsOn, Remembered};
use crate::clock::Time;
use crate::connectors::{Connector, Limits, SharedCatalog, connection_vars};
use crate::manifest::{ConfigContent, Integration};
use crate::mapping::{Plan, PlanError};
use crate::outbound::Credentials;
use crate::store::{self, ChangeKind, ConnectionStatus, IntegrationRef, RouteRow, SharedStore, StoreError};
use crate::vault::Vault;

/// Routes kept in memory.
const CAPACITY: usize = 20_000;

/// A customer's account at a provider, ready to be used.
#[derive(Debug)]
pub struct ConnectionUse {
    /// Its project.
    pub project_id: Uuid,
    /// Its id; also the lane.
    pub id: Uuid,
    /// The credentials, opened.
    pub credentials: Credentials,
    /// Their version, so that a late 401 does not condemn newer ones.
    pub credentials_version: i64,
    /// The variables of the connection, such as `workspace`.
    pub vars: BTreeMap<String, String>,
    /// The store's clock, as it was when this was read.
    read_time: Time,
    read_at: Instant,
    /// False once the provider has refused the credentials.
    pub works: bool,
    /// Whether it is known that the provider has accepted a request with them.
    proven: AtomicBool,
}

impl ConnectionUse {
    /// The time by the store's clock: that of a node may be off.
    pub(super) fn store_now(&self) -> Time {
        self.read_time.after(self.read_at.elapsed())
    }

    /// Whether this is the first that is heard of the provider accepting a request.
    pub(super) fn is_first_success(&self) -> bool {
        !self.proven.swap(true, Ordering::Relaxed)
    }

    /// It could not be stored: the next one is news again.
    pub(super) fn forget_success(&self) {
        self.proven.store(false, Ordering::Relaxed);
    }
}

/// Whether a connection of this status can be used.
fn works(status: ConnectionStatus) -> bool {
    status != ConnectionStatus::BadCredentials
}

/// Whether a request with its credentials was accepted before.
fn proven(status: ConnectionStatus) -> AtomicBool {
    AtomicBool::new(status == ConnectionStatus::Working)
}

/// Everything a write needs.
#[derive(Debug)]
pub struct Route {
    /// The project.
    pub project_id: Uuid,
    /// The integration.
    pub integration_id: Uuid,
    /// The installation.
    pub installation_id: Uuid,
    /// The config in force.
    pub config_id: Uuid,
    /// The revision in force.
    pub revision_id: Uuid,
    /// The customer's account.
    pub connection: ConnectionUse,
    /// The provider.
    pub connector: Arc<Connector>,
    integration: Integration,
    config: ConfigContent,
    plans: Mutex<HashMap<String, Arc<Plan>>>,
}

/// Why there is no route.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// No integration of that id or name in the project.
    #[error("Integration not found: {0}")]
    IntegrationNotFound(String),
    /// The group has not installed it.
    #[error("error finding installations: record not found for group `{0}`")]
    NoInstallation(String),
    /// The installation is there, but this process cannot use it: another one, or a later version, may.
    #[error("{0}")]
    Unusable(String),
    /// What an accepted operation needs was deleted.
    #[error("the installation or its connection was deleted before the write was performed")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn connector(
    catalog: &SharedCatalog,
    provider: &str,
    module: Option<&str>,
) -> Result<Arc<Connector>, RouteError> {
    catalog.get_module(provider, module).ok_or_else(|| {
        RouteError::Unusable(format!(
            "the provider `{provider}` is not in this server's catalogue"
        ))
    })
}

impl DependsOn for Route {
    fn depends_on(&self) -> impl Iterator<Item = Dependency> {
        [
            (ChangeKind::Project, self.project_id),
            (ChangeKind::Integration, self.integration_id),
            (ChangeKind::Installation, self.installation_id),
            (ChangeKind::Connection, self.connection.id),
        ]
        .into_iter()
    }
}

impl Route {
    /// Builds a route from its row.
    ///
    /// # Errors
    /// [`RouteError::Unusable`] when the stored parts do not fit this process: its catalogue or its encryption key.
    pub fn build(
        project_id: Uuid,
        row: &RouteRow,
        catalog: &SharedCatalog,
        vault: &Vault,
    ) -> Result<Self, RouteError> {
        let unreadable =
            |what: &str| RouteError::Unusable(format!("the stored {what} cannot be read by this version"));
        let revision: Value =
            serde_json::from_str(&row.revision_content).map_err(|_| unreadable("revision"))?;
        let integration = Integration::from_content(&revision).map_err(|_| unreadable("revision"))?;
        let connector = connector(catalog, &row.provider, integration.module.as_deref())?;
        let content: Value = serde_json::from_str(&row.config_content).map_err(|_| unreadable("config"))?;
        let config = ConfigContent::parse(&content).map_err(|_| unreadable("config"))?;
        let credentials = Credentials::open(vault, project_id, row.connection_id, &row.credentials)
            .map_err(|error| RouteError::Unusable(error.to_string()))?;
        Ok(Self {
            project_id,
            integration_id: row.integration_id,
            installation_id: row.installation_id,
            config_id: row.config_id,
            revision_id: row.revision_id,
            connection: ConnectionUse {
                project_id,
                id: row.connection_id,
                credentials,
                credentials_version: row.credentials_version,
                vars: connection_vars(
                    row.provider_workspace_ref.as_deref(),
                    row.provider_metadata.as_deref(),
                ),
                read_time: row.read_time,
                read_at: Instant::now(),
                works: works(row.connection_status),
                proven: proven(row.connection_status),
            },
            connector,
            integration,
            config,
            plans: Mutex::new(HashMap::new()),
        })
    }

    /// Every secret text of the connection: see [`Credentials::secret_texts`].
    #[must_use]
    pub fn secret_texts(&self) -> Vec<&str> {
        self.connection.credentials.secret_texts(self.connector.auth())
    }

    /// The provider's name of an object and, where the integration gives it one, the app's. `object` is either of them; a name
    /// that the integration does not have is taken for the provider's.
    #[must_use]
    pub fn names_of<'n>(&'n self, object: &'n str) -> (&'n str, Option<&'n str>) {
        let reads = &self.integration.read;
        let by_provider = || reads.iter().find(|read| read.object_name == object);
        let found = reads
            .iter()
            .find(|read| read.map_to_name.as_deref() == Some(object))
            .or_else(by_provider);
        found.map_or((object, None), |read| {
            (read.object_name.as_str(), read.map_to_name.as_deref())
        })
    }

    /// The plan of an object for a write that is asked for now: only of one that the customer allows. What has been accepted
    /// keeps the config that it was accepted with, and is performed by [`Route::plan`].
    ///
    /// # Errors
    /// As [`Route::plan`]; [`PlanError::NotEnabled`] when the customer's config does not list the object.
    pub fn plan_of_new(&self, object: &str) -> Result<Arc<Plan>, PlanError> {
        let plan = self.plan(object)?;
        if plan.enabled() {
            return Ok(plan);
        }
        Err(Plan::not_enabled(
            self.connector.record_rules(),
            &self.integration,
            &self.config,
            object,
        ))
    }

    /// The compiled plan of an object, compiled once per route.
    ///
    /// # Errors
    /// When the manifest does not have the object, or the rules contradict each other.
    pub fn plan(&self, object: &str) -> Result<Arc<Plan>, PlanError> {
        let plans = || self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans().get(object) {
            return Ok(Arc::clone(plan));
        }
        // Only objects of the manifest get here, so the map cannot be filled up from outside.
        let plan = Arc::new(Plan::compile_for(
            self.connector.record_rules(),
            &self.integration,
            &self.config,
            object,
        )?);
        plans().insert(object.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }
}

type Key = (Uuid, String, String);

/// Routes in memory.
#[derive(Debug)]
pub struct Routes {
    store: SharedStore,
    catalog: Arc<SharedCatalog>,
    vault: Arc<Vault>,
    changes: Arc<Changes>,
    routes: Remembered<Key, Route>,
    pinned: Remembered<(Uuid, Uuid, Uuid, Uuid), Route>,
}

impl Routes {
    /// Empty caches over a store.
    #[must_use]
    pub fn new(
        store: SharedStore,
        catalog: Arc<SharedCatalog>,
        vault: Arc<Vault>,
        changes: Arc<Changes>,
    ) -> Self {
        Self {
            store,
            catalog,
            vault,
            routes: Remembered::new(Arc::clone(&changes), "routes", CAPACITY),
            pinned: Remembered::new(Arc::clone(&changes), "pinned_routes", CAPACITY),
            changes,
        }
    }

    /// Drops what is old, with the credentials in it.
    pub fn sweep(&self) {
        self.routes.sweep();
        self.pinned.sweep();
    }

    /// How much a provider takes from one connection.
    pub(super) fn limits_of(&self, provider: &str) -> Option<Limits> {
        self.catalog.get(provider).map(|connector| connector.limits())
    }

    /// The route of a write.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub async fn find(
        &self,
        project_id: Uuid,
        integration: &str,
        group_ref: &str,
    ) -> Result<Arc<Route>, RouteError> {
        let key = (project_id, integration.to_lowercase(), group_ref.to_owned());
        if let Some(route) = self.routes.get(&key) {
            return Ok(route);
        }
        let before = self.changes.now();
        let found = self
            .store
            .find_integration(project_id, IntegrationRef::parse(integration))
            .await?
            .ok_or_else(|| RouteError::IntegrationNotFound(integration.chars().take(100).collect()))?;
        let row = self
            .store
            .find_route(project_id, found.id, group_ref)
            .await?
            .ok_or_else(|| RouteError::NoInstallation(group_ref.to_owned()))?;
        let route = Arc::new(Route::build(project_id, &row, &self.catalog, &self.vault)?);
        self.routes.keep(before, key, Arc::clone(&route));
        Ok(route)
    }

    /// A connection by itself, and its connector: for what is asked of a provider outside of any write.
    ///
    /// # Errors
    /// [`RouteError::Unusable`] when it does not fit this process: its catalogue or its encryption key.
    pub fn connection(
        &self,
        project_id: Uuid,
        row: &store::Connection,
        module: Option<&str>,
    ) -> Result<(Arc<Connector>, ConnectionUse), RouteError> {
        let connector = connector(&self.catalog, &row.provider, module)?;
        let credentials = Credentials::open(&self.vault, project_id, row.id, &row.credentials)
            .map_err(|error| RouteError::Unusable(error.to_string()))?;
        let vars = connection_vars(
            row.provider_workspace_ref.as_deref(),
            row.provider_metadata.as_deref(),
        );
        let connection = ConnectionUse {
            project_id,
            id: row.id,
            credentials,
            credentials_version: row.credentials_version,
            vars,
            read_time: row.read_time,
            read_at: Instant::now(),
            works: works(row.status),
            proven: proven(row.status),
        };
        Ok((connector, connection))
    }

    /// The route of an accepted operation: its own config and revision, the connection as it is now.
    ///
    /// # Errors
    /// See [`RouteError`]; `Gone` when the installation or the connection has been deleted since.
    pub async fn find_pinned(
        &self,
        project_id: Uuid,
        config_id: Uuid,
        revision_id: Uuid,
        connection_id: Uuid,
    ) -> Result<Arc<Route>, RouteError> {
        let key = (project_id, config_id, revision_id, connection_id);
        if let Some(route) = self.pinned.get(&key) {
            return Ok(route);
        }
        let before = self.changes.now();
        let row = self
            .store
            .find_pinned_route(project_id, config_id, revision_id, connection_id)
            .await?
            .ok_or(RouteError::Gone)?;
        let route = Arc::new(Route::build(project_id, &row, &self.catalog, &self.vault)?);
        self.pinned.keep(before, key, Arc::clone(&route));
        Ok(route)
    }
}
