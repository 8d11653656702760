//! `amp-write project`

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::clock::{Clock as _, SystemClock};
use crate::control::keys::check_label;
use crate::control::projects::check_name;
use crate::control::{Actor, Error, Projects};
use crate::settings::DatabaseArgs;
use crate::store::{Opening, Project, SharedStore, open};

/// What to do with projects.
#[derive(Debug, Args)]
pub(super) struct ProjectArgs {
    #[command(subcommand)]
    command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
enum ProjectCommand {
    /// Make a project and print its first API key, once. In a database that is empty the tables are made first; one that is
    /// older than this program is left as it is
    Create(CreateArgs),
    /// List the projects. Changes nothing; on SQLite also while `serve` runs
    List(ListArgs),
    /// API keys of a project, for who has the database and no key
    Key(KeyArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make another API key and print it, once
    Create(CreateKeyArgs),
    /// List the API keys, masked. Changes nothing; on SQLite also while `serve` runs
    List(ListKeysArgs),
}

#[derive(Debug, Args)]
struct CreateKeyArgs {
    /// The project, by name or id
    project: String,

    /// A name for people
    #[arg(long, value_name = "TEXT", default_value = "made on the command line")]
    label: String,

    /// What the key may do
    #[arg(long, value_enum, default_value = "full")]
    scope: ScopeArg,

    /// How long it opens the project; for ever when absent
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct ListKeysArgs {
    /// The project, by name or id
    project: String,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeArg {
    /// Everything in the project.
    Full,
    /// What an app's frontend needs; such a key lies open in browsers.
    Frontend,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The project's name: 2 to 128 letters, digits and hyphens, with a letter or digit at both ends
    name: String,

    /// The app's name, for people; the project's name when absent
    #[arg(long, value_name = "NAME")]
    app_name: Option<String>,

    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: ProjectArgs) -> Result<(), String> {
    match args.command {
        ProjectCommand::Create(args) => run_create(args).await,
        ProjectCommand::List(args) => {
            let store = opened(&args.database, Opening::Look).await?;
            let projects = store.list_projects().await;
            store.close().await;
            list(&projects.map_err(|error| error.to_string())?);
            Ok(())
        }
        ProjectCommand::Key(args) => match args.command {
            KeyCommand::Create(args) => create_key(args).await,
            KeyCommand::List(args) => list_keys(args).await,
        },
    }
}

async fn opened(database: &DatabaseArgs, opening: Opening) -> Result<SharedStore, String> {
    let (url, connections) = (database.database_url.expose(), database.database_connections);
    open(url, connections, Arc::new(SystemClock), opening)
        .await
        .map_err(|error| error.to_string())
}

async fn run_create(args: CreateArgs) -> Result<(), String> {
    let name = check_name(&args.name).map_err(|error| error.to_string())?;
    let store = opened(&args.database, Opening::Use).await?;
    let projects = Projects::alone(store.clone(), Arc::new(SystemClock));
    let made = projects
        .create(&Actor::Operator, &name, args.app_name.as_deref())
        .await;
    store.close().await;
    let (project, key) = made.map_err(|error| error.to_string())?;
    println!("project  {}", project.name);
    println!("id       {}", project.id);
    tell_key(&key);
    Ok(())
}

fn tell_key(key: &str) {
    println!("API key  {key}");
    println!();
    println!("The key is shown this once. Send it in the header X-Api-Key.");
}

fn list(projects: &[Project]) {
    let name = |project: &Project| project.name.chars().count();
    let width = projects.iter().map(name).max().unwrap_or(0);
    for project in projects {
        println!(
            "{:width$}  {}  {}",
            project.name,
            project.id,
            printable(&project.app_name)
        );
    }
    if projects.is_empty() {
        println!("there is no project: make one with `amp-write project create NAME`");
    }
}

async fn find(store: &SharedStore, project: &str) -> Result<Project, String> {
    let found = store
        .find_project(project)
        .await
        .map_err(|error| error.to_string())?;
    found.ok_or_else(|| {
        let project = printable(project);
        format!("there is no project `{project}`; `amp-write project list` shows those that there are")
    })
}

async fn create_key(args: CreateKeyArgs) -> Result<(), String> {
    let label = args.label.trim().to_owned();
    let failed = |error: Error| error.within("--").to_string();
    check_label(&label).map_err(failed)?;
    let scope = match args.scope {
        ScopeArg::Full => "full",
        ScopeArg::Frontend => "frontend",
    };
    let store = opened(&args.database, Opening::Use).await?;
    let projects = Projects::alone(store.clone(), Arc::new(SystemClock));
    let made = async {
        let project = find(&store, &args.project).await?;
        let scopes = [scope.to_owned()];
        let end = args.days.map(|days| {
            SystemClock
                .now()
                .after(Duration::from_secs(86_400 * u64::from(days)))
        });
        let made = projects.create_key(&Actor::Operator, project.id, label, Some(&scopes), end);
        made.await.map(|made| (project, made)).map_err(failed)
    };
    let made = made.await;
    store.close().await;
    let (project, (key, made)) = made?;
    println!("project  {}", project.name);
    println!("id       {}", made.id);
    println!("scope    {scope}");
    if let Some(end) = made.expire_time {
        println!("until    {end}");
    }
    tell_key(&key);
    Ok(())
}

async fn list_keys(args: ListKeysArgs) -> Result<(), String> {
    let store = opened(&args.database, Opening::Look).await?;
    let keys = async {
        let project = find(&store, &args.project).await?;
        store
            .list_api_keys(project.id, false)
            .await
            .map_err(|error| error.to_string())
    };
    let keys = keys.await;
    store.close().await;
    let now = SystemClock.now();
    for key in keys? {
        let state = match key.expire_time {
            _ if !key.active => "inactive",
            Some(end) if end <= now => "expired",
            _ => "active",
        };
        let used = key
            .last_used_time
            .map_or_else(|| "never".to_owned(), |time| time.to_string());
        println!(
            "{}  {}  {state:8}  {:13}  used {used:27}  {}",
            key.id,
            key.masked,
            key.scopes,
            printable(&key.label)
        );
    }
    Ok(())
}

/// A name that an app has chosen must not move the cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
