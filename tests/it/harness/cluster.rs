//! Serving processes on one database and one sandbox: started, killed, stopped and started again while clients write.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use amp_write::sandbox::{LedgerStatus, Sandbox};
use serde_json::{Value, json};

use super::client::PATIENCE;
use super::process::{Process, free_port, run};
use super::{Client, Database, Kind};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The addresses of the nodes that serve, for clients that go on while nodes come and go.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<RwLock<Vec<Option<String>>>>);

impl Addresses {
    fn put(&self, node: usize, url: Option<String>) {
        let mut urls = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if urls.len() <= node {
            urls.resize(node + 1, None);
        }
        urls[node] = url;
    }

    /// The address of one node that serves, chosen by a random number.
    pub fn any(&self, random: usize) -> Option<String> {
        let urls = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let serving: Vec<&String> = urls.iter().flatten().collect();
        (!serving.is_empty()).then(|| serving[random % serving.len()].clone())
    }
}

/// One node: a process, or the place of one.
struct Node {
    process: Option<Process>,
    database_url: String,
    url: String,
}

/// Serving processes on one database and one sandbox.
pub struct Cluster {
    pub database: Database,
    pub sandbox: Sandbox,
    pub addresses: Addresses,
    /// A client of the first address that serves; [`Cluster::client`] gives one of the present.
    template: Client,
    nodes: Vec<Node>,
    env: Vec<(String, String)>,
    pub kills: usize,
}

impl Cluster {
    /// A project on a new database, and no node yet.
    pub async fn new(kind: Kind, sandbox: Sandbox) -> Self {
        Self::on(Database::create(kind).await, sandbox)
    }

    /// A project on this database, and no node yet.
    pub fn on(database: Database, sandbox: Sandbox) -> Self {
        let (status, out, err) = run(&["project", "create", "test"], &[("DATABASE_URL", &database.url)]);
        assert!(status.success(), "{err}");
        let line = out
            .lines()
            .find(|line| line.starts_with("API key"))
            .expect("the key is printed");
        let key = line.split_whitespace().last().expect("a key").to_owned();
        let urls = format!(
            "hubspot={},salesforce={}",
            sandbox.hubspot_url(),
            sandbox.salesforce_url()
        );
        let env = [
            ("AMP_ENCRYPTION_KEY", KEY),
            ("AMP_PROVIDER_URLS", &urls),
            // The load is more than HubSpot takes.
            ("AMP_PROVIDER_LIMITS", "false"),
            ("AMP_LEASE_SECONDS", "1"),
            ("AMP_RETRY_BASE_MS", "20"),
            ("AMP_SHUTDOWN_SECONDS", "10"),
            // For so long after a kill the next write to a record waits that was in doubt.
            ("AMP_PROVIDER_TIMEOUT_SECONDS", "3"),
            // What a killed database or a lost lease makes it say is expected here.
            ("AMP_LOG", "off"),
        ];
        Self {
            template: Client::new(String::new(), key, "test".to_owned()),
            env: env
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            addresses: Addresses::default(),
            nodes: Vec::new(),
            kills: 0,
            database,
            sandbox,
        }
    }

    /// Sets a variable for the processes that are started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Adds a place for a node on the cluster's own database, and starts it.
    pub async fn add(&mut self) -> usize {
        let url = self.database.url.clone();
        self.add_on(url).await
    }

    /// Adds a node that reaches the database at this URL, and starts it.
    pub async fn add_on(&mut self, database_url: String) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node {
            process: None,
            database_url,
            url: String::new(),
        });
        self.start(node).await;
        node
    }

    /// Starts a node and waits until it serves.
    pub async fn start(&mut self, node: usize) {
        let started = Instant::now();
        loop {
            let url = self.launch(node);
            if self.wait_ready(node, &url, started).await {
                return;
            }
            // Its port was taken between the look and the start.
        }
    }

    /// Starts a node's process; the answer is its address, where it may not serve yet.
    pub fn launch(&mut self, node: usize) -> String {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut env: Vec<(&str, &str)> = self
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        env.extend([
            ("AMP_LISTEN", listen.as_str()),
            ("DATABASE_URL", self.nodes[node].database_url.as_str()),
        ]);
        self.nodes[node].process = Some(Process::start(&["serve"], &env));
        format!("http://{listen}")
    }

    async fn wait_ready(&mut self, node: usize, url: &str, started: Instant) -> bool {
        let ready = format!("{url}/readyz");
        loop {
            let process = self.nodes[node].process.as_mut().expect("it was started");
            if process.child.try_wait().expect("its state is known").is_some() {
                return false;
            }
            let asked = self.template.try_send(self.template.http.get(&ready)).await;
            if asked.is_ok_and(|answer| answer.status == 200) {
                self.nodes[node].url = url.to_owned();
                self.show(node);
                return true;
            }
            assert!(started.elapsed() < PATIENCE, "it does not become ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// SIGKILL. What the provider has begun goes on: it may take effect while others have gone on.
    pub fn kill_at_once(&mut self, node: usize) {
        self.addresses.put(node, None);
        self.nodes[node].process.take().expect("it runs").kill();
        self.kills += 1;
    }

    /// What the sandbox holds goes on.
    pub fn let_go(&self) {
        for fault in self.sandbox.faults() {
            if fault.spec().fault == amp_write::sandbox::FaultKind::Hold {
                fault.remove();
            }
        }
    }

    /// Waits until the provider has ended whatever it had begun.
    pub async fn quiet(&self) {
        let ended = |entries: &[amp_write::sandbox::LedgerEntry]| {
            entries.iter().all(|entry| entry.status != LedgerStatus::Pending)
        };
        tokio::time::timeout(PATIENCE, self.sandbox.wait_ledger(ended))
            .await
            .expect("the sandbox ends what it had begun");
    }

    /// SIGKILL. What the sandbox holds of it is let go, and has come to its end when this returns: afterwards nothing of
    /// the dead process can take effect any more.
    pub async fn kill(&mut self, node: usize) {
        self.kill_at_once(node);
        self.let_go();
        let settled = |entries: &[amp_write::sandbox::LedgerEntry]| {
            entries.iter().all(|entry| entry.status != LedgerStatus::Pending)
        };
        // Other nodes go on writing, so only what is pending now is waited for.
        let pending: Vec<u64> = self
            .sandbox
            .ledger()
            .iter()
            .filter(|entry| entry.status == LedgerStatus::Pending)
            .map(|entry| entry.sequence)
            .collect();
        let done = |entries: &[amp_write::sandbox::LedgerEntry]| {
            settled(entries)
                || entries
                    .iter()
                    .filter(|entry| pending.contains(&entry.sequence))
                    .all(|entry| entry.status != LedgerStatus::Pending)
        };
        tokio::time::timeout(PATIENCE, self.sandbox.wait_ledger(done))
            .await
            .expect("the sandbox ends what it had begun");
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self, node: usize) {
        self.addresses.put(node, None);
        let mut process = self.nodes[node].process.take().expect("it runs");
        process.terminate();
        let status = tokio::task::spawn_blocking(move || process.wait())
            .await
            .expect("no panic");
        assert!(status.success(), "a soft stop ends well");
    }

    /// Clients do not find this node any more.
    pub fn hide(&self, node: usize) {
        self.addresses.put(node, None);
    }

    /// Clients find this node again.
    pub fn show(&self, node: usize) {
        self.addresses.put(node, Some(self.nodes[node].url.clone()));
    }

    /// SIGSTOP: it stands still, as a process does on a machine that is paused. Clients do not find it any more.
    pub fn freeze(&self, node: usize) {
        self.hide(node);
        self.nodes[node].process.as_ref().expect("it runs").signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self, node: usize) {
        self.nodes[node].process.as_ref().expect("it runs").signal("CONT");
    }

    /// A client of a node that serves.
    pub fn client(&self) -> Client {
        let url = self.addresses.any(0).expect("a node serves");
        Client {
            url,
            ..self.template.clone()
        }
    }

    /// The client that all others are made of; it has no address.
    pub fn template(&self) -> Client {
        self.template.clone()
    }

    /// Deploys a manifest and installs each of its integrations for these groups, whose accounts have their names.
    pub async fn set_up(&self, manifest: &str, groups: &[String]) {
        let client = self.client();
        let integrations = client
            .put("/integrations:batch", json!({ "sourceYaml": manifest }))
            .await
            .expect(200)
            .json();
        for integration in integrations.as_array().expect("a list") {
            let provider = integration["provider"].as_str().expect("text");
            let name = integration["name"].as_str().expect("text");
            for group in groups {
                let connection = json!({"provider": provider, "groupRef": group, "consumerRef": "c", "providerWorkspaceRef": "acme",
                    "oauth2AuthorizationCode": {"accessToken": {"token": format!("test-{group}")}}});
                client.post("/connections:generate", connection).await.expect(201);
                let installation = json!({"groupRef": group, "config": {"content": {"provider": provider}}});
                client
                    .post(&format!("/integrations/{name}/installations"), installation)
                    .await
                    .expect(201);
            }
        }
    }

    /// Writes synchronously and answers the record's id.
    pub async fn create(&self, integration: &str, object: &str, group: &str, record: Value) -> String {
        let body = json!({"groupRef": group, "type": "create", "record": record});
        let answer = self
            .client()
            .write(integration, object, body)
            .await
            .expect(200)
            .json();
        answer["result"]["recordId"].as_str().expect("an id").to_owned()
    }
}
