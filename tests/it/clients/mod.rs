//! The official clients of the providers, unmodified, against the sandbox: what they take for HubSpot and Salesforce.
//!
//! Each client has a script in `tests/clients/` that makes one call after the other and prints what it saw, and a
//! table here of what it must see. `scripts/clients` brings the clients; without them these tests say so and pass,
//! except where `AMP_CLIENTS=required` is set, as on the build server.

mod hubspot;
mod jsforce;
mod simple_salesforce;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use amp_write::sandbox::{Options, Sandbox};
use serde_json::Value;

/// A call by its name, and what the client must see of it, as JSON.
type Row = (&'static str, &'static str);

/// Where `scripts/clients` puts the clients; `None`, and a line that says so, when they are not there.
fn installed() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let place = root.join(target).join("clients");
    let stale = ["package-lock.json", "requirements.txt"]
        .into_iter()
        .find(|name| {
            let pinned = std::fs::read(root.join("tests/clients").join(name)).ok();
            pinned.is_none() || pinned != std::fs::read(place.join(format!("{name}.done"))).ok()
        });
    let Some(name) = stale else {
        return Some(place);
    };
    let line = format!(
        "not run: what tests/clients/{name} pins is not in {}; bring it with scripts/clients",
        place.display()
    );
    assert!(
        std::env::var("AMP_CLIENTS").as_deref() != Ok("required"),
        "{line}"
    );
    println!("{line}");
    None
}

/// Runs a script against a fresh sandbox and compares each call with the table.
async fn agree(program: &str, script: &str, table: &[Row]) {
    let Some(place) = installed() else { return };
    let sandbox: Sandbox = crate::sandbox::start(Options::default()).await;
    let mut command = Command::new(program);
    command
        .arg(
            PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("tests/clients")
                .join(script),
        )
        .env("NODE_PATH", place.join("node_modules"))
        .env("PYTHONPATH", place.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HUBSPOT_URL", sandbox.hubspot_url())
        .env("SALESFORCE_URL", sandbox.salesforce_url())
        .env("TOKEN", "test-acme")
        .stdin(Stdio::null());
    // Elsewhere than on the thread that the sandbox answers from.
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("the script's thread")
        .expect("the program starts");
    sandbox.shutdown().await;
    let (lines, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let seen: Vec<(String, Value)> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|mut line| {
            (
                line["call"].as_str().unwrap_or_default().to_owned(),
                line["saw"].take(),
            )
        })
        .collect();
    let mut wrong = Vec::new();
    for (name, wanted) in table {
        let wanted: Value = serde_json::from_str(wanted).expect("JSON in the table");
        match seen.iter().find(|(call, _)| call == name) {
            Some((_, saw)) if *saw == wanted => {}
            Some((_, saw)) => wrong.push(format!("{name}: saw {saw}, not {wanted}")),
            None => wrong.push(format!("{name}: was not called")),
        }
    }
    let untold = seen
        .iter()
        .filter(|(call, _)| !table.iter().any(|(name, _)| name == call));
    wrong.extend(untold.map(|(call, saw)| format!("{call}: saw {saw}, and the table does not tell")));
    assert!(
        wrong.is_empty() && output.status.success(),
        "{script}: {}, {} of {} calls differ:\n{}\n{errors}",
        output.status,
        wrong.len(),
        table.len(),
        wrong.join("\n")
    );
}
