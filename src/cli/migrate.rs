//! `amp-write migrate`

use std::sync::Arc;

use clap::Args;

use crate::clock::SystemClock;
use crate::settings::DatabaseArgs;
use crate::store::{Location, connect};

/// Which database.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: MigrateArgs) -> Result<(), String> {
    let url = args.database.database_url.expose();
    let location = Location::parse(url).map_err(|error| error.to_string())?;
    let store = connect(url, args.database.database_connections, Arc::new(SystemClock))
        .await
        .map_err(|error| error.to_string())?;
    println!("{} is up to date ({})", location, store.kind());
    store.close().await;
    Ok(())
}
