//! The command line: one file per subcommand.

pub mod connectors;
mod deploy;
mod dev;
mod lanes;
mod migrate;
mod operations;
mod project;
mod remote;
pub mod sandbox;
mod serve;
mod usage;
mod validate;
mod write;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::clock::{Clock as _, SystemClock};
use crate::settings::LogArgs;
use crate::telemetry;

/// A self-hosted service that speaks Ampersand's Write API: your app posts a record, it arrives in your customer's SaaS
#[derive(Debug, Parser)]
#[command(name = "amp-write", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it here and now: an embedded database, sandbox providers, a demo project, three proven writes
    Dev(dev::DevArgs),
    /// Serve: answer the API and work the queue
    Serve(crate::settings::ServeArgs),
    /// Bring the database up to date, then stop (serve does this by itself)
    Migrate(migrate::MigrateArgs),
    /// Projects and their API keys, straight from the database
    Project(project::ProjectArgs),
    /// Deploy a manifest to a running server
    Deploy(deploy::DeployArgs),
    /// Write a record through a running server, or preview the write
    Write(write::WriteArgs),
    /// Show the lanes of the queue: how deep each is, and what keeps it from starting
    Lanes(lanes::LanesArgs),
    /// Operations of a running server: list, show, watch, cancel, replay, resolve
    Operations(operations::OperationsArgs),
    /// Check a manifest and print what is wrong with it, like a compiler
    Validate(validate::ValidateArgs),
    Connectors(connectors::ConnectorsArgs),
    Sandbox(sandbox::SandboxArgs),
}

/// Runs the program. Errors go to standard error, as one text that says what to do.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = match usage::parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Whatever cannot be printed has nobody to read it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // A newcomer shall see the proof, not log lines between its parts.
    let default = if matches!(
        cli.command,
        Command::Dev(_) | Command::Deploy(_) | Command::Write(_) | Command::Operations(_)
    ) {
        "warn"
    } else {
        "info"
    };
    if let Err(error) = telemetry::init(&cli.log, default) {
        return fail(&error);
    }
    usage::warn_of_unknown_variables();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime cannot start: {error}")),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => dev::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Migrate(args) => migrate::run(args).await,
            Command::Project(args) => project::run(args).await,
            Command::Deploy(args) => deploy::run(args).await,
            Command::Write(args) => write::run(args).await,
            Command::Lanes(args) => lanes::run(args).await,
            Command::Operations(args) => operations::run(args).await,
            Command::Validate(args) => validate::run(&args),
            Command::Connectors(args) => {
                let now = SystemClock.now().to_timestamp();
                match connectors::run(&args, &mut std::io::stdout().lock(), now) {
                    Ok(true) => Ok(()),
                    // It has said why already.
                    Ok(false) => Err(String::new()),
                    // A reader that has seen enough, as `head` does, is no error.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            }
            Command::Sandbox(args) => sandbox::run(args).await.map_err(|error| error.to_string()),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    if !error.is_empty() {
        eprintln!("amp-write: {error}");
    }
    ExitCode::FAILURE
}
