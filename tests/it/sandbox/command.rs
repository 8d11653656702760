//! `amp-write sandbox` as a program.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::Client;

struct Program {
    child: Child,
    url: String,
}

impl Program {
    /// Starts the program on a free port and reads its address from the first line.
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_amp-write"))
            .args(["sandbox", "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("a first line");
        let url = line
            .split_whitespace()
            .find(|w| w.starts_with("http://"))
            .expect("its address")
            .to_owned();
        // The rest must be read, else the program would get a broken pipe.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { child, url }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGKILL: also what the journal test wants.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_explains_itself() {
    let out = Command::new(env!("CARGO_BIN_EXE_amp-write"))
        .args(["sandbox", "--help"])
        .output()
        .expect("help");
    let text = String::from_utf8_lossy(&out.stdout);
    for word in [
        "/hubspot",
        "/salesforce",
        "test-<account>",
        "/_sandbox/ledger",
        "--fault",
        "--seed",
        "--journal",
    ] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
}

#[test]
fn a_wrong_fault_is_told_at_the_start() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amp-write"));
    let out = command
        .args(["sandbox", "--fault", "{\"fault\":\"nonsense\"}"])
        .output()
        .expect("an end");
    assert!(!out.status.success());
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("drop_after_commit"),
        "the known faults are named"
    );
}

#[tokio::test]
async fn a_fault_given_by_flag_acts() {
    let program = Program::start(&[
        "--seed",
        "7",
        "--fault",
        "{\"fault\":\"server_error\",\"times\":1}",
    ]);
    let url = format!("{}/hubspot/crm/v3/objects/contacts", program.url);
    let client = Client::new("acme");
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(client.get(&url).await.expect("an answer").status);
    }
    assert_eq!(statuses, [502, 200]);
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal.jsonl");
    let journal = journal.to_str().expect("a path");
    let client = Client::new("acme");
    let program = Program::start(&["--journal", journal]);
    let mut ids = Vec::new();
    for i in 0..20 {
        let body = json!({"properties": {"email": format!("n{i}@b.co")}});
        let url = format!("{}/hubspot/crm/v3/objects/contacts", program.url);
        let answer = client.post(&url, &body).await.expect("an answer").json();
        ids.push(answer["id"].as_str().expect("an id").to_owned());
    }
    drop(program);
    let program = Program::start(&["--journal", journal]);
    for id in ids {
        let url = format!("{}/hubspot/crm/v3/objects/contacts/{id}", program.url);
        assert_eq!(client.get(&url).await.expect("an answer").status, 200, "{id}");
    }
}
