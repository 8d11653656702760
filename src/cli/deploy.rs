//! `amp-write deploy`

mod plan;

use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::remote::{Answered, Remote, RemoteArgs, written_out};
use super::validate::read_manifest;
use crate::manifest::{self, Issue, Providers};
use crate::rules;

/// What to deploy.
#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// The folder that holds amp.yaml, or the file itself
    #[arg(default_value = ".", value_name = "DIR")]
    source: PathBuf,

    /// Delete the integrations that the manifest does not name, with their installations and what waits for them. It is told
    /// first what that is, and asked for; where nobody can answer, --yes is needed
    #[arg(long)]
    destructive: bool,

    /// Show what would be made, changed and deleted, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask before something is deleted
    #[arg(long)]
    yes: bool,

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
    // The same words as `validate`. What the rules refuse, the server tells.
    let warnings = rules::parse(&source, &AnyProvider).map(|manifest| manifest.warnings);
    let warnings = warnings.unwrap_or_default();
    if !warnings.is_empty() {
        eprint!("{}", manifest::render_warnings(&warnings, &name));
    }
    let remote = Remote::new(args.remote)?;
    let body = json!({ "sourceYaml": source }).to_string();
    let options = format!("?destructive={}", args.destructive);
    if args.dry_run || (args.destructive && !args.yes) {
        let path = format!("{}{options}", remote.path(&["integrations:plan"]));
        let answered = remote.call(Method::POST, &path, Some(body.clone())).await?;
        if answered.status == 404 && answered.body.get("issues").is_none() && is_not_served(&answered.body) {
            return Err("this server is older than this program and cannot say what a deploy would do. Bring it up to date; or \
                deploy with --yes, without a look"
                .to_owned());
        }
        let plan = checked(answered, &source, &name)?;
        if args.dry_run {
            plan::show(&plan);
            println!("\nNothing was changed.");
            return Ok(());
        }
        plan::confirm(&plan)?;
    }
    let before = remote
        .expect(Method::GET, &remote.path(&["integrations"]), None)
        .await?
        .body;
    let path = format!("{}{options}", remote.path(&["integrations:batch"]));
    let answered = remote.call(Method::PUT, &path, Some(body)).await?;
    let after = checked(answered, &source, &name)?;
    tell(&before, &after, args.destructive);
    Ok(())
}

fn is_not_served(problem: &Value) -> bool {
    let kind = problem.get("type").and_then(Value::as_str).unwrap_or_default();
    kind.ends_with(":not-served")
}

/// What the server answered to a manifest, when it took it.
fn checked(answered: Answered, source: &str, name: &str) -> Result<Value, String> {
    if answered.status == 422 {
        // The server checked with its own catalogue; what it found is shown at the lines of the file.
        let issues = located(&answered.body, source);
        if !issues.is_empty() {
            eprint!("{}", manifest::render(&issues, name));
            return Err(format!(
                "{name} cannot be deployed; mend what is listed above, nothing was changed"
            ));
        }
    }
    if answered.status != 200 {
        return Err(written_out(&answered.body));
    }
    Ok(answered.body)
}

/// Which providers there are, the server knows.
struct AnyProvider;

impl Providers for AnyProvider {
    fn knows(&self, _: &str) -> bool {
        true
    }

    fn can_write(&self, _: &str) -> bool {
        true
    }

    fn knows_module(&self, _: &str, _: &str) -> bool {
        true
    }

    fn supports_object(&self, _: &str, _: Option<&str>, _: &str) -> bool {
        true
    }
}

/// The server's issues; a line is added where the same rule is broken for this program's own check.
fn located(problem: &Value, source: &str) -> Vec<Issue> {
    let own = rules::parse(source, &crate::connectors::Catalog::builtin())
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
