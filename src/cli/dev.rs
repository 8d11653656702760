//! `amp-write dev`: everything in one process, and proof that it works.

mod demo;
mod proof;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::serve::{listen, serve};
use crate::app::Prepared;
use crate::clock::{SharedClock, SystemClock};
use crate::lifecycle::stop_on_signal;
use crate::sandbox;
use crate::settings::{Role, TuningArgs, address};
use crate::store::{ConnectError, Location, connect};
use crate::vault::{Secret, Vault, generate_key};

/// Try amp-write here and now, without any account or service.
///
/// Starts the service on an embedded database, starts simulated HubSpot and Salesforce accounts, deploys the example
/// manifest for a demo project, connects a customer to each, and proves itself with three writes. Then it keeps serving.
#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Where the database, the key and the sandbox's records are kept; delete the folder to start afresh
    #[arg(long, env = "AMP_DEV_DATA", default_value = "amp-data", value_name = "DIR")]
    data: PathBuf,

    /// The database, when it shall not be the embedded one: `postgres://…`. DATABASE_URL does not count here: in most shells
    /// it names the database of another program
    #[arg(long, env = "AMP_DEV_DATABASE_URL", value_name = "URL")]
    database_url: Option<Secret>,

    /// The address of the API
    #[arg(
        long,
        env = "AMP_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "IP:PORT",
        value_parser = address
    )]
    listen: SocketAddr,

    /// The address of the simulated providers
    #[arg(
        long,
        env = "AMP_DEV_SANDBOX",
        default_value = "127.0.0.1:9090",
        value_name = "IP:PORT",
        value_parser = address
    )]
    sandbox: SocketAddr,

    /// The manifest to deploy; the built-in example when absent
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// A folder with connector files that add providers to the built-in ones or override them; read again on SIGHUP
    #[arg(long, env = "AMP_CONNECTORS_DIR", value_name = "DIR")]
    connectors_dir: Option<PathBuf>,

    /// How long a worker's lease lasts, in seconds
    #[arg(long, env = "AMP_LEASE_SECONDS", default_value_t = 15, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=300))]
    lease_seconds: u64,
}

const EXAMPLE: &str = include_str!("../../amp.example.yaml");

pub(super) async fn run(args: DevArgs) -> Result<(), String> {
    let folder = &args.data;
    make_private_folder(folder)?;
    let manifest = match &args.manifest {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?,
        None => EXAMPLE.to_owned(),
    };
    let vault = Vault::from_keys(&load_or_make_key(folder)?).map_err(|error| error.to_string())?;
    let listener = listen(args.listen).await?;
    let sandbox_listener = TcpListener::bind(args.sandbox).await.map_err(|error| {
        format!(
            "cannot listen on {}: {error}. Choose another address with --sandbox.",
            args.sandbox
        )
    })?;
    let options = sandbox::Options {
        journal: Some(folder.join("sandbox.jsonl")),
        ..sandbox::Options::default()
    };
    let sandbox = sandbox::start(sandbox_listener, options).map_err(|error| error.to_string())?;

    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let clock: SharedClock = Arc::new(SystemClock);
    let named = args.database_url.is_some();
    let url = args
        .database_url
        .unwrap_or_else(|| Secret::new(format!("sqlite://{}", folder.join("amp.db").display())));
    let tuning = TuningArgs {
        provider_urls: vec![
            ("hubspot".to_owned(), sandbox.hubspot_url()),
            ("salesforce".to_owned(), sandbox.salesforce_url()),
        ],
        lease_seconds: args.lease_seconds,
        public_url: Some(format!("http://{address}")),
        connectors_dir: args.connectors_dir,
        ..TuningArgs::defaults()
    };
    let prepared = Prepared::new(tuning).map_err(|error| error.to_string())?;
    // Its own errors say DATABASE_URL, which is not what counts here.
    let failed = |error: ConnectError| {
        let error = error.to_string();
        if named {
            error.replace("DATABASE_URL", "AMP_DEV_DATABASE_URL")
        } else {
            error.replace(
                "Name a file of its own in DATABASE_URL",
                "Choose another folder with --data",
            )
        }
    };
    let location = Location::parse(url.expose()).map_err(failed)?;
    println!("database   {location}");
    if std::env::var_os("DATABASE_URL").is_some() {
        println!(
            "           (DATABASE_URL is set; dev ignores it: name a database with --database-url or AMP_DEV_DATABASE_URL)"
        );
    }
    let store = connect(url.expose(), 8, clock.clone()).await.map_err(failed)?;
    crate::key_check::check(&store, &vault)
        .await
        .map_err(|error| error.to_string())?;
    let app = prepared.over(store, vault, clock);

    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let demo = demo::prepare(
        &app,
        &manifest,
        folder,
        &format!("http://{address}"),
        &sandbox.url(),
    )
    .await?;
    let serving = tokio::spawn(serve(app, listener, None, Role::All, stop.clone()));
    let shown = proof::show(&demo, &sandbox, folder).await;
    if shown.is_err() {
        stop.cancel();
    }
    let served = serving
        .await
        .map_err(|error| format!("serving ended by a defect: {error}"))?;
    sandbox.shutdown().await;
    shown.and(served)
}

/// The folder holds a key and tokens: only its owner may look into it.
fn make_private_folder(folder: &std::path::Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be used: {error}", folder.display());
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(failed)
}

fn load_or_make_key(folder: &std::path::Path) -> Result<Secret, String> {
    let file = folder.join("encryption.key");
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Secret::new(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = generate_key().map_err(|error| error.to_string())?;
            write_private(&file, key.expose())?;
            Ok(key)
        }
        Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(file: &std::path::Path, text: &str) -> Result<(), String> {
    use std::io::Write as _;
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", file.display());
    let temporary = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut handle = options.open(&temporary).map_err(failed)?;
    handle
        .write_all(text.as_bytes())
        .and_then(|()| handle.sync_all())
        .map_err(failed)?;
    std::fs::rename(&temporary, file).map_err(failed)
}
