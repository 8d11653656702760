//! The whole service in this process, over a database and a sandbox of its own.

use std::sync::Arc;
use std::time::Duration;

use amp_write::action::Action;
use amp_write::api;
use amp_write::app::{App, AppState};
use amp_write::clock::{SharedClock, SystemClock};
use amp_write::control::keys;
use amp_write::listen;
use amp_write::queue::Worker;
use amp_write::sandbox::{self, Sandbox};
use amp_write::settings::TuningArgs;
use amp_write::store::{AcceptOperation, IntegrationRef, NewOperation, NewProject, SharedStore};
use amp_write::vault::{Secret, Vault, generate_key};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Client, Database, Kind};

/// The manifest of most tests: one integration per provider, nothing mapped.
pub const PLAIN: &str = r#"
specVersion: 1.0.0
integrations:
  - name: hs
    provider: hubspot
    write: {objects: [{objectName: contacts}, {objectName: companies}, {objectName: deals}]}
  - name: sf
    provider: salesforce
    write: {objects: [{objectName: account}, {objectName: contact}, {objectName: lead}, {objectName: touchpoints__c}]}
"#;

/// The customer of most tests; its account in the sandbox is `acme`.
pub const GROUP: &str = "acme";

/// A running service. It stops when it is dropped.
pub struct Service {
    pub app: AppState,
    pub client: Client,
    pub sandbox: Sandbox,
    pub database: Arc<Database>,
    vault_key: Secret,
    stop: CancellationToken,
}

/// A further process, as it were, on the database of a service. It stops when it is dropped.
pub struct Node {
    pub app: AppState,
    pub client: Client,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Tuning that suits tests: retries follow quickly, leases are short.
pub fn tuning(sandbox: &Sandbox) -> TuningArgs {
    TuningArgs {
        provider_urls: vec![
            ("hubspot".to_owned(), sandbox.hubspot_url()),
            ("salesforce".to_owned(), sandbox.salesforce_url()),
        ],
        // Tests of a few hundred writes shall not take minutes.
        provider_limits: false,
        retry_base_ms: 20,
        // For so long the next write to a record waits after one that got no answer.
        provider_timeout_seconds: 8,
        lease_seconds: 3,
        shutdown_seconds: 5,
        ..TuningArgs::defaults()
    }
}

pub async fn start_sandbox() -> Sandbox {
    start_sandbox_with(sandbox::Options::default()).await
}

/// A sandbox whose accounts make unknown fields and objects on first use.
pub async fn start_lenient_sandbox() -> Sandbox {
    start_sandbox_with(sandbox::Options {
        lenient: true,
        ..sandbox::Options::default()
    })
    .await
}

pub async fn start_sandbox_with(options: sandbox::Options) -> Sandbox {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    sandbox::start(listener, options).expect("the sandbox starts")
}

/// Serves until `stop`; answers where.
async fn serve(app: &AppState, works_queue: bool, stop: &CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    app.writes.changes.poll().await.expect("the store answers");
    tokio::spawn(Arc::clone(app).housekeeping(stop.clone()));
    if works_queue {
        let worker = Worker::new(Arc::clone(&app.writes), app.clock.clone(), app.worker_options());
        tokio::spawn(worker.run(stop.clone()));
    }
    let limits = app.client_limits();
    tokio::spawn(listen::serve(
        listener,
        api::router(app.clone()),
        limits,
        stop.clone(),
    ));
    url
}

impl Service {
    /// A service with a project and a key, and nothing deployed.
    pub async fn empty(kind: Kind) -> Self {
        let sandbox = start_sandbox().await;
        let tuning = tuning(&sandbox);
        Self::with(kind, sandbox, tuning).await
    }

    /// As [`Service::empty`], over accounts that make unknown fields and objects on first use.
    pub async fn lenient(kind: Kind) -> Self {
        let sandbox = start_lenient_sandbox().await;
        let tuning = tuning(&sandbox);
        Self::with(kind, sandbox, tuning).await
    }

    pub async fn with(kind: Kind, sandbox: Sandbox, tuning: TuningArgs) -> Self {
        Self::with_clock(kind, sandbox, tuning, Arc::new(SystemClock)).await
    }

    /// A service with a clock of its own.
    pub async fn with_clock(kind: Kind, sandbox: Sandbox, tuning: TuningArgs, clock: SharedClock) -> Self {
        let database = Arc::new(Database::create(kind).await);
        let (key, new_key) = keys::generate(
            clock.new_id(),
            "test".to_owned(),
            amp_write::store::KeyScope::Full.into(),
            None,
        )
        .expect("a key");
        let project = NewProject {
            id: clock.new_id(),
            name: "test".to_owned(),
            app_name: "Test".to_owned(),
            org_id: clock.new_id(),
        };
        let store = database.store().await;
        store.create_project(&project, &new_key).await.expect("a project");
        let vault_key = generate_key().expect("random");
        Self::start_node(database, store, sandbox, tuning, clock, key, vault_key).await
    }

    /// Another node on the same Postgres, with a clock of its own.
    pub async fn beside(&self, clock: SharedClock) -> Self {
        Self::start_node(
            Arc::clone(&self.database),
            self.database.store().await,
            self.sandbox.clone(),
            self.app.tuning.clone(),
            clock,
            self.client.key.clone(),
            self.vault_key.clone(),
        )
        .await
    }

    async fn start_node(
        database: Arc<Database>,
        store: SharedStore,
        sandbox: Sandbox,
        tuning: TuningArgs,
        clock: SharedClock,
        key: String,
        vault_key: Secret,
    ) -> Self {
        let vault = Vault::from_keys(&vault_key).expect("a key");
        let app = App::build(tuning, store, vault, clock).expect("the service is built");
        let stop = CancellationToken::new();
        let url = serve(&app, true, &stop).await;
        let client = Client::new(url, key, "test".to_owned());
        Self {
            app,
            client,
            sandbox,
            database,
            vault_key,
            stop,
        }
    }

    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// A second one on the same database, with a worker of its own.
    pub async fn another(&self) -> Node {
        self.node(true).await
    }

    /// A second one on the same database that only answers requests.
    pub async fn without_worker(&self) -> Node {
        self.node(false).await
    }

    async fn node(&self, works_queue: bool) -> Node {
        let vault = Vault::from_keys(&self.vault_key).expect("a key");
        let store = self.database.store().await;
        let app = App::build(self.app.tuning.clone(), store, vault, Arc::new(SystemClock))
            .expect("the service is built");
        let stop = CancellationToken::new();
        let url = serve(&app, works_queue, &stop).await;
        let client = Client::new(url, self.client.key.clone(), self.client.project.clone());
        Node { app, client, stop }
    }

    /// A service with [`PLAIN`] deployed and installed for [`GROUP`], deletes enabled.
    pub async fn start(kind: Kind) -> Self {
        let service = Self::empty(kind).await;
        service.set_up(PLAIN).await;
        service
    }

    /// Deploys a manifest and installs each integration for [`GROUP`], with every write object and deletes enabled.
    pub async fn set_up(&self, manifest: &str) {
        for integration in self.deploy(manifest).await.as_array().expect("a list") {
            let provider = integration["provider"].as_str().expect("text");
            self.connect(GROUP, provider, "test-acme").await;
            let mut objects = serde_json::Map::new();
            for object in integration["latestRevision"]["content"]["write"]["objects"]
                .as_array()
                .expect("objects")
            {
                let name = object["objectName"].as_str().expect("text");
                objects.insert(
                    name.to_owned(),
                    json!({"objectName": name, "deletionSettings": {"enabled": true}}),
                );
            }
            let name = integration["name"].as_str().expect("text");
            self.install(
                name,
                GROUP,
                json!({"provider": provider, "write": {"objects": objects}}),
            )
            .await;
        }
    }

    pub async fn deploy(&self, manifest: &str) -> Value {
        let body = json!({ "sourceYaml": manifest });
        self.client
            .put("/integrations:batch", body)
            .await
            .expect(200)
            .json()
    }

    /// A connection whose token chooses the sandbox account.
    pub async fn connect(&self, group: &str, provider: &str, token: &str) -> Value {
        let body = json!({
            "provider": provider, "groupRef": group, "consumerRef": format!("{group}-user"),
            "providerWorkspaceRef": "acme",
            "oauth2AuthorizationCode": {"accessToken": {"token": token}}
        });
        self.client
            .post("/connections:generate", body)
            .await
            .expect(201)
            .json()
    }

    pub async fn install(&self, integration: &str, group: &str, content: Value) -> Value {
        let body = json!({"groupRef": group, "config": {"content": content}});
        let integration =
            percent_encoding::utf8_percent_encode(integration, percent_encoding::NON_ALPHANUMERIC);
        self.client
            .post(&format!("/integrations/{integration}/installations"), body)
            .await
            .expect(201)
            .json()
    }

    /// Accepts a write of the HubSpot installation of [`GROUP`] past the API: its deadline may be shorter than
    /// the API allows. `request` is what the API would store of it.
    pub async fn accept_until(
        &self,
        object: &str,
        action: Action,
        request: &Value,
        deadline: Duration,
    ) -> String {
        let store = &self.app.store;
        let project = store.find_project("test").await.expect("read").expect("there");
        let integration = store
            .find_integration(project.id, IntegrationRef::Name("hs"))
            .await
            .expect("read")
            .expect("there");
        let installation = store
            .list_installations(project.id, Some(integration.id), Some(GROUP))
            .await
            .expect("read")
            .remove(0);
        let id = self.app.clock.new_id();
        let operation = NewOperation {
            client_ref: None,
            replay_of: None,
            id,
            project_id: project.id,
            integration_id: integration.id,
            installation_id: installation.id,
            config_id: installation.config_id,
            revision_id: integration.revision_id,
            connection_id: installation.connection_id,
            object: object.to_owned(),
            action,
            request: request.to_string(),
        };
        let accept = AcceptOperation {
            key: None,
            performing: None,
            gather: None,
            operation,
            record_key: None,
            holds: false,
            deadline,
            record_keys: Vec::new(),
        };
        store.accept_operations(&[accept]).await.expect("accepted");
        self.app.writes.accepted.notify_one();
        id.to_string()
    }

    /// The bodies of the requests that reached a provider, in order, with method and path.
    pub fn reached(&self) -> Vec<(String, String, String)> {
        self.sandbox
            .ledger()
            .into_iter()
            .map(|entry| (entry.method, entry.path, entry.body))
            .collect()
    }

    /// How many records the sandbox made.
    pub fn created(&self) -> usize {
        let created = |change: &sandbox::Change| change.kind == sandbox::ChangeKind::Created;
        self.sandbox
            .ledger()
            .iter()
            .flat_map(|entry| &entry.changes)
            .filter(|change| created(change))
            .count()
    }
}
