//! `amp-write deploy`

use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::remote::{Remote, RemoteArgs, written_out};
use super::validate::read_manifest;
use crate::manifest::{self, Issue};

/// What to deploy.
#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// The folder that holds amp.yaml, or the file itself
    #[arg(default_value = ".", value_name = "DIR")]
    source: PathBuf,

    /// Delete the integrations that the manifest does not name, with their installations
    #[arg(long)]
    destructive: bool,

    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) async fn run(args: DeployArgs) -> Result<(), String> {
    let file = if args.source.is_dir() {
        args.source.join("amp.yaml")
    } else {
        args.source
    };
    let (name, source) = read_manifest(&file)?;
    let remote = Remote::new(args.remote)?;
    let before = remote
        .expect(Method::GET, &remote.path(&["integrations"]), None)
        .await?
        .body;
    let path = format!(
        "{}?destructive={}",
        remote.path(&["integrations:batch"]),
        args.destructive
    );
    let answered = remote
        .call(
            Method::PUT,
            &path,
            Some(json!({ "sourceYaml": source }).to_string()),
        )
        .await?;
    if answered.status == 422 {
        // The server checked with its own catalogue; what it found is shown at the lines of the file.
        let issues = located(&answered.body, &source);
        if !issues.is_empty() {
            eprint!("{}", manifest::render(&issues, &name));
            return Err(format!(
                "{name} cannot be deployed; mend what is listed above, nothing was changed"
            ));
        }
    }
    if answered.status != 200 {
        return Err(written_out(&answered.body));
    }
    tell(&before, &answered.body, args.destructive);
    Ok(())
}

/// The server's issues; a line is added where the same rule is broken for this program's own check.
fn located(problem: &Value, source: &str) -> Vec<Issue> {
    let own = manifest::parse(source, &crate::connectors::Catalog::builtin())
        .err()
        .unwrap_or_default();
    let issues = problem
        .get("issues")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    issues
        .map(|issue| {
            let text = |key: &str| {
                issue
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let path = text("name");
            let line = own.iter().find(|own| own.path == path).and_then(|own| own.line);
            Issue {
                path,
                line,
                detail: text("detail"),
            }
        })
        .collect()
}

/// Says what became of each integration.
fn tell(before: &Value, after: &Value, destructive: bool) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (before, after) = (list(before), list(after));
    let known = |one: &Value| {
        before
            .iter()
            .find(|old| text(old, "/id") == text(one, "/id"))
            .cloned()
    };
    let width = after
        .iter()
        .map(|one| text(one, "/name").chars().count())
        .max()
        .unwrap_or(0);
    for one in &after {
        let what = match known(one) {
            None => "created",
            Some(old) if text(&old, "/latestRevision/id") == text(one, "/latestRevision/id") => "unchanged",
            Some(_) => "new revision",
        };
        println!(
            "{:width$}  {:12}  {:10}  revision {}",
            text(one, "/name"),
            what,
            text(one, "/provider"),
            text(one, "/latestRevision/id")
        );
    }
    let gone = before
        .iter()
        .filter(|old| !after.iter().any(|one| text(one, "/id") == text(old, "/id")));
    for old in gone {
        let what = if destructive {
            "deleted, with its installations"
        } else {
            "not in the manifest, left as it is (delete it with --destructive)"
        };
        println!("{:width$}  {what}", text(old, "/name"));
    }
}
