//! `amp-write serve`

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::app::{AppState, Prepared};
use crate::clock::{SharedClock, SystemClock};
use crate::key_check;
use crate::lifecycle::{Hangups, stop_on_signal};
use crate::queue::Worker;
use crate::settings::{Role, ServeArgs, TuningArgs};
use crate::store::{Location, connect};
use crate::vault::Vault;

/// Connections to an address of its own for /metrics.
const METRICS_CONNECTIONS: usize = 64;

pub(super) async fn run(args: ServeArgs) -> Result<(), String> {
    // What can be wrong with the settings is said before the database is touched: a process that does not start must not
    // have migrated it, for then the version before would not start either.
    let vault = Vault::from_keys(&args.encryption_key).map_err(|error| error.to_string())?;
    if let Some(fault) = args.tuning.public_url_fault() {
        tracing::warn!("{fault}");
    }
    let location = Location::parse(args.database.database_url.expose()).map_err(|error| error.to_string())?;
    let prepared = Prepared::new(args.tuning.clone()).map_err(|error| error.to_string())?;
    let listener = listen(args.listen).await?;
    let metrics = listen_for_metrics(&args.tuning).await?;
    let clock: SharedClock = Arc::new(SystemClock);
    let url = args.database.database_url.expose();
    let store = connect(url, args.database.database_connections, clock.clone())
        .await
        .map_err(|error| error.to_string())?;
    tracing::info!(
        store = store.kind(),
        url = %location,
        "the database is open and up to date"
    );
    key_check::check(&store, &vault)
        .await
        .map_err(|error| error.to_string())?;
    let app = prepared.over(store, vault, clock);
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    serve(app, listener, metrics, args.role, stop).await
}

/// Opens the port, or says why not.
pub(super) async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, String> {
    bind(address, "--listen (AMP_LISTEN)").await
}

/// Opens the port of the metrics, where they have one of their own.
async fn listen_for_metrics(tuning: &TuningArgs) -> Result<Option<TcpListener>, String> {
    match tuning.metrics_listen {
        Some(address) => bind(address, "--metrics-listen (AMP_METRICS_LISTEN)")
            .await
            .map(Some),
        None => Ok(None),
    }
}

async fn bind(address: std::net::SocketAddr, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}. Choose another address with {setting}.")
    })
}

/// Serves until `stop`: then no new request is taken, what is in flight gets its time, and the shards are given back.
pub(super) async fn serve(
    app: AppState,
    listener: TcpListener,
    metrics: Option<TcpListener>,
    role: Role,
    stop: CancellationToken,
) -> Result<(), String> {
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    // Before the first request: the caches may be trusted only once the store has been heard.
    if let Err(error) = app.writes.changes.poll().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the store does not answer yet"
        );
    }
    // Without a folder of connector files the signal means what it always does.
    if app.tuning.connectors_dir.is_some()
        && let Some(hangups) = Hangups::listen()
    {
        tokio::spawn(reload_on_hangup(Arc::clone(&app), hangups, stop.clone()));
    }
    let limits = app.client_limits().within_system();
    if let Some(listener) = metrics {
        let stop = stop.clone();
        let metrics = api::metrics_router(app.clone());
        tracing::info!(address = ?app.tuning.metrics_listen, "serving /metrics");
        // The files that clients do not get are for providers, not for those who read metrics.
        let few = limits.at_most(METRICS_CONNECTIONS);
        tokio::spawn(crate::listen::serve(listener, metrics, few, stop));
    }
    let housekeeping = tokio::spawn(Arc::clone(&app).housekeeping(stop.clone()));
    let worker = role.works_queue().then(|| {
        let worker = Worker::new(Arc::clone(&app.writes), app.clock.clone(), app.worker_options());
        let stop = stop.clone();
        tokio::spawn(async move {
            // Also when it ends by a defect: a process that accepts work must not live on without its worker.
            let _stop_all = stop.clone().drop_guard();
            worker.run(stop).await;
        })
    });
    let router = if role.serves_api() {
        api::router(app.clone())
    } else {
        api::health_router(app.clone())
    };
    tracing::info!(%address, ?role, version = env!("CARGO_PKG_VERSION"), "serving");
    let limit = Duration::from_secs(app.tuning.shutdown_seconds);
    let serving = crate::listen::serve(listener, router, limits, stop.clone());
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        () = serving => {}
        () = deadline => tracing::warn!("the time to stop is over: requests in flight are cut off"),
    }
    if let Some(worker) = worker
        && let Err(error) = worker.await
    {
        tracing::error!(%error, "the worker ended by a defect");
    }
    // Writes whose app has hung up are finished and recorded before the store closes.
    app.in_flight.close();
    if tokio::time::timeout(limit, app.in_flight.wait()).await.is_err() {
        tracing::warn!(
            in_flight = app.in_flight.len(),
            "the time to stop is over: synchronous writes are cut off"
        );
    }
    // It ends by the same token; a panic in it has been logged by the runtime.
    let _ = housekeeping.await;
    // A token that was asked for is stored before the store closes: it may exist nowhere else.
    if tokio::time::timeout(limit, app.writes.grants.finish())
        .await
        .is_err()
    {
        tracing::warn!("the time to stop is over: refreshes of tokens are cut off");
    }
    app.store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Reads changed connector files on each SIGHUP, until `stop`.
async fn reload_on_hangup(app: AppState, mut hangups: Hangups, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = hangups.next() => {}
        }
        let app = Arc::clone(&app);
        // Files are read and parsed: not on a thread that answers requests. A panic in it is logged by the runtime.
        let _ = tokio::task::spawn_blocking(move || app.reload_connectors()).await;
    }
}
