//! Connector files of a running process: changed, broken and mended, without a restart.

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::PATIENCE;
use crate::harness::process::{command, free_port, run};
use crate::harness::{Client, Database, Kind};

/// Killed when dropped. What it logs is kept.
struct Serving {
    child: Child,
    client: Client,
    log: Arc<Mutex<String>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    async fn start(database: &Database, dir: &Path, provider: &str) -> Self {
        let (status, out, err) = run(&["project", "create", "test"], &[("DATABASE_URL", &database.url)]);
        assert!(status.success(), "{err}");
        let key = out
            .lines()
            .find(|line| line.starts_with("API key"))
            .and_then(|line| line.split_whitespace().last())
            .expect("the key is printed");
        let listen = format!("127.0.0.1:{}", free_port());
        let urls = format!("acme={provider}");
        let mut child = command(
            &["serve"],
            &[
                ("DATABASE_URL", &database.url),
                ("AMP_LISTEN", &listen),
                (
                    "AMP_ENCRYPTION_KEY",
                    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
                ),
                ("AMP_PROVIDER_URLS", &urls),
                ("AMP_CONNECTORS_DIR", dir.to_str().unwrap()),
                ("AMP_LOG", "info"),
            ],
        )
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (
            std::io::BufReader::new(child.stderr.take().expect("piped")),
            Arc::clone(&log),
        );
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let client = Client::new(format!("http://{listen}"), key.to_owned(), "test".to_owned());
        let serving = Self { child, client, log };
        serving.until("it is ready", "serving").await;
        serving
    }

    /// Waits until the log has this text.
    async fn until(&self, what: &str, text: &str) {
        let started = Instant::now();
        while !self.log.lock().unwrap().contains(text) {
            assert!(
                started.elapsed() < PATIENCE,
                "{what}: no `{text}` in\n{}",
                self.log.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGHUP, and waits until the files were read again.
    async fn reload(&self) {
        self.log.lock().unwrap().clear();
        let status = std::process::Command::new("kill")
            .args(["-HUP", &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
        self.until("reload", "the connector files were read again").await;
    }

    /// Writes a record, and answers the path that the provider was called at.
    async fn write(&self, calls: &Mutex<Vec<String>>) -> String {
        let body = json!({"groupRef": "g", "type": "create", "record": {"email": "mira@northpeak.example"}});
        let answer = self
            .client
            .write("acme", "contacts", body)
            .await
            .expect(200)
            .json();
        assert_eq!(answer["result"]["recordId"], "7", "{answer}");
        calls.lock().unwrap().pop().expect("the provider was called")
    }
}

/// A provider that takes every POST, and keeps the paths it was called at.
async fn provider() -> (String, Arc<Mutex<Vec<String>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&calls);
    let app = axum::Router::new().fallback(move |uri: http::Uri| async move {
        kept.lock().unwrap().push(uri.path().to_owned());
        axum::Json(json!({"id": 7}))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
    (url, calls)
}

const ACME: &str = "provider: acme
display_name: Acme
auth: {api_key: {in: header, name: X-Api-Key}}
base_url: https://api.acme.example
ops:
  create: {method: POST, path: \"/v1/{object}\"}
result: {id: [id]}
open: true
";

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_used_after_sighup_and_a_broken_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("acme.yaml");
    std::fs::write(&file, ACME).unwrap();
    let (url, calls) = provider().await;
    let database = Database::create(Kind::Sqlite).await;
    let serving = Serving::start(&database, dir.path(), &url).await;
    let client = &serving.client;
    let manifest = "specVersion: 1.0.0\nintegrations:\n  - {name: acme, provider: acme, write: {objects: [{objectName: contacts}]}}\n";
    client
        .put("/integrations:batch", json!({"sourceYaml": manifest}))
        .await
        .expect(200);
    let connection = json!({"provider": "acme", "groupRef": "g", "consumerRef": "c", "apiKey": "k-12345678"});
    client.post("/connections:generate", connection).await.expect(201);
    let installation = json!({"groupRef": "g", "config": {"content": {"provider": "acme"}}});
    client
        .post("/integrations/acme/installations", installation)
        .await
        .expect(201);
    assert_eq!(serving.write(&calls).await, "/v1/contacts");

    // A change.
    std::fs::write(&file, ACME.replace("/v1/", "/v2/")).unwrap();
    assert_eq!(
        serving.write(&calls).await,
        "/v1/contacts",
        "nothing was said to the process yet"
    );
    serving.reload().await;
    assert_eq!(serving.write(&calls).await, "/v2/contacts");

    // A mistake is told with its file, line and path, and the last good file stays.
    std::fs::write(&file, ACME.replace("/v1/{object}", "/v3/{objekt}")).unwrap();
    serving.reload().await;
    let log = serving.log.lock().unwrap().clone();
    for part in [
        "the last good one stays",
        "unknown place `{objekt}`",
        "acme.yaml",
        "line=6",
        "path=ops.create.path",
    ] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
    assert_eq!(serving.write(&calls).await, "/v2/contacts");
    let provider: Value = client
        .send(client.http.get(format!("{}/v1/providers/acme", client.url)))
        .await
        .expect(200)
        .json();
    assert_eq!(provider["support"]["write"], true);

    // The folder cannot be read: all stays.
    let away = dir.path().with_extension("away");
    std::fs::rename(dir.path(), &away).unwrap();
    serving.reload().await;
    std::fs::rename(&away, dir.path()).unwrap();
    assert_eq!(serving.write(&calls).await, "/v2/contacts");

    // Mended.
    std::fs::write(&file, ACME.replace("/v1/", "/v4/")).unwrap();
    serving.reload().await;
    assert_eq!(serving.write(&calls).await, "/v4/contacts");
}
