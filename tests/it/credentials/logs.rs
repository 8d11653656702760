//! What the program logs, when it logs everything.

use std::io::BufRead as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{KEY, Provider, connection, create};
use crate::harness::client::PATIENCE;
use crate::harness::process::{Process, command, free_port, run};
use crate::harness::{Client, Database, Kind};

#[tokio::test(flavor = "multi_thread")]
async fn no_token_assertion_or_input_is_logged_at_any_level() {
    let provider = Provider::start().await;
    let database = Database::create(Kind::Sqlite).await;
    let (_, out, err) = run(&["project", "create", "test"], &[("DATABASE_URL", &database.url)]);
    let key = out
        .lines()
        .find(|line| line.starts_with("API key"))
        .and_then(|line| line.split_whitespace().last())
        .unwrap_or_else(|| panic!("no key: {err}"));
    let listen = format!("127.0.0.1:{}", free_port());
    let urls = format!("salesforceJWT={},clariCopilot={}", provider.url, provider.url);
    let env = [
        ("DATABASE_URL", database.url.as_str()),
        ("AMP_LISTEN", &listen),
        (
            "AMP_ENCRYPTION_KEY",
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        ),
        ("AMP_PROVIDER_URLS", &urls),
        ("AMP_LOG", "trace"),
    ];
    let mut child = command(&["serve"], &env)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let log = Arc::new(Mutex::new(String::new()));
    let (lines, kept) = (
        std::io::BufReader::new(child.stderr.take().unwrap()),
        Arc::clone(&log),
    );
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            kept.lock().unwrap().push_str(&format!("{line}\n"));
        }
    });
    let _process = Process { child };
    let until = async |text: &str| {
        let started = std::time::Instant::now();
        while !log.lock().unwrap().contains(text) {
            assert!(started.elapsed() < PATIENCE, "no `{text}` in the log");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    until("serving").await;

    let client = Client::new(format!("http://{listen}"), key.to_owned(), "test".to_owned());
    let manifest = "specVersion: 1.0.0\nintegrations:\n  - {name: sf, provider: salesforceJWT, write: {objects: [{objectName: Account}]}}\n  - {name: clari, provider: clariCopilot, write: {objects: [{objectName: contacts}]}}\n";
    client
        .put("/integrations:batch", json!({"sourceYaml": manifest}))
        .await
        .expect(200);
    let minted = json!({"providerWorkspaceRef": "acme", "customAuth": {"clientId": "c1", "username": "u", "privateKey": KEY}});
    let named = json!({"customAuth": {"apiKey": "s3cr3t-key", "apiSecret": "s3cr3t-word"}});
    for (integration, name, more) in [("sf", "salesforceJWT", minted), ("clari", "clariCopilot", named)] {
        client
            .post("/connections:generate", connection(name, more))
            .await
            .expect(201);
        let installation = json!({"groupRef": "acme", "config": {"content": {"provider": name}}});
        let path = format!("/integrations/{integration}/installations");
        client.post(&path, installation).await.expect(201);
    }
    let write = async |integration: &str, object: &str, record: Value| {
        client.write(integration, object, create(record)).await.status
    };
    assert_eq!(write("sf", "Account", json!({"Name": "n"})).await, 200);
    provider.revoke();
    assert_eq!(write("sf", "Account", json!({"Name": "n"})).await, 200);
    provider.state().open = true;
    provider
        .state()
        .token_answers
        .push_back((400, json!({"error": "invalid_grant"})));
    assert_eq!(write("clari", "contacts", json!({"crm_id": "1"})).await, 200);
    assert_eq!(
        provider.writes().last().unwrap().header("x-api-key"),
        "s3cr3t-key"
    );
    let log = log.lock().unwrap().clone();
    assert!(
        log.contains(" TRACE ") || log.contains("TRACE"),
        "everything is logged"
    );
    let secret = KEY.lines().nth(1).unwrap();
    for secret in ["t0ken-number", "eyJhbGciOi", "s3cr3t", secret] {
        let at = log
            .find(secret)
            .map(|at| &log[at.saturating_sub(200)..(at + 60).min(log.len())]);
        assert_eq!(at, None, "{secret}");
    }
}
