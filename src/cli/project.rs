//! `amp-write project`

use std::sync::Arc;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::api::v1::api_keys;
use crate::clock::{SharedClock, SystemClock};
use crate::settings::DatabaseArgs;
use crate::store::{NewProject, SharedStore, StoreError, connect};

/// What to do with projects.
#[derive(Debug, Args)]
pub(super) struct ProjectArgs {
    #[command(subcommand)]
    command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
enum ProjectCommand {
    /// Make a project and print its first API key, once
    Create(CreateArgs),
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
    let ProjectCommand::Create(args) = args.command;
    let name = check_name(&args.name)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let store = connect(
        args.database.database_url.expose(),
        args.database.database_connections,
        clock.clone(),
    )
    .await
    .map_err(|error| error.to_string())?;
    let app_name = args.app_name.unwrap_or_else(|| name.clone());
    let result = create(&store, &clock, &name, &app_name).await;
    store.close().await;
    let (id, key) = result?;
    println!("project  {name}");
    println!("id       {id}");
    println!("API key  {key}");
    println!();
    println!("The key is shown this once. Send it in the header X-Api-Key.");
    Ok(())
}

/// Makes a project with its first key, and answers both.
pub(super) async fn create(
    store: &SharedStore,
    clock: &SharedClock,
    name: &str,
    app_name: &str,
) -> Result<(Uuid, String), String> {
    let (key, new_key) = api_keys::generate(clock.new_id(), "first key".to_owned(), "full".to_owned())
        .map_err(|error| error.to_string())?;
    let project = NewProject {
        id: clock.new_id(),
        name: name.to_owned(),
        app_name: app_name.to_owned(),
        org_id: clock.new_id(),
    };
    match store.create_project(&project, &new_key).await {
        Ok(made) => Ok((made.id, key)),
        Err(StoreError::Conflict(detail)) => Err(format!("{detail}; choose another name")),
        Err(error) => Err(error.to_string()),
    }
}

fn check_name(name: &str) -> Result<String, String> {
    let name = name.to_lowercase();
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if (2..=128).contains(&name.len())
        && name.chars().all(inner)
        && edge(name.chars().next())
        && edge(name.chars().last())
        // A name that reads like an id would hide the project of that id.
        && Uuid::try_parse(&name).is_err()
    {
        Ok(name)
    } else {
        Err(format!(
            "`{name}` cannot be a project's name: use 2 to 128 letters, digits and hyphens, with a letter or digit at both ends"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_are_lower_case_letters_digits_and_hyphens() {
        assert_eq!(check_name("MailMonkey-2").as_deref(), Ok("mailmonkey-2"));
        for bad in [
            "",
            "a",
            "-a",
            "a-",
            "a b",
            "a/b",
            "ä-b",
            "0192f3c4-8a50-7d2e-9c1b-6b1f0c9d2e11",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
