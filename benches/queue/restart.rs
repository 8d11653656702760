//! How soon work goes on after `kill -9`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use amp_write::clock::SystemClock;
use amp_write::store::connect;

use crate::cluster::Cluster;
use crate::data::World;
use crate::provider::Provider;
use crate::report::{Goal, Report};
use crate::serve::{App, Served, write_request};

/// The lease of a worker, as it is set when nobody sets it.
const LEASE: Duration = Duration::from_secs(15);
/// What may be added to it, and all that a process may take that nobody has to wait for.
const REST: Duration = Duration::from_secs(2);
/// Writes that wait when the process is killed.
const WRITES: usize = 400;

/// Kills a process that has work, starts it again, and measures from then until something arrives at the provider, in seconds.
async fn first_delivery(url: &str, world: &World, provider: &Provider) -> f64 {
    let served = Served::start_on(url, world, "all", provider).await;
    let mut app = App::connect(&served.address).await.expect("connected");
    for _ in 0..WRITES {
        app.send(&write_request(world, "waiting"))
            .await
            .expect("an answer");
    }
    served.kill();
    // What was on its way has arrived.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    let served = Served::start_on(url, world, "all", provider).await;
    let arrived = loop {
        match provider.last() {
            Some(last) if last > started => break last,
            _ if started.elapsed() > 3 * LEASE => break Instant::now(),
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    served.kill();
    arrived.duration_since(started).as_secs_f64()
}

/// On both stores. On Postgres nobody can know that a process is dead before its lease has ended; on SQLite there is no other.
pub async fn restart(cluster: &Cluster, world: &World, report: &mut Report) {
    let provider = Provider::start(Duration::from_millis(500)).await;
    let mut pairs = Vec::new();
    for round in 0..3 {
        let name = format!("bench_restart_{round}");
        cluster.create(&name, Some("bench_base")).await;
        let seconds = first_delivery(&cluster.database(&name), world, &provider).await;
        pairs.push((seconds, (LEASE + REST).as_secs_f64()));
    }
    report.pairs(
        "first delivery after kill -9 and restart on Postgres / the lease and 2 s",
        "s",
        Goal::AtMost(1.0),
        &pairs,
    );
    let mut pairs = Vec::new();
    for _ in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("bench.db").display());
        let store = connect(&url, 4, Arc::new(SystemClock))
            .await
            .expect("the file opens");
        let world = World::furnish(&store).await;
        store.close().await;
        drop(store);
        let seconds = first_delivery(&url, &world, &provider).await;
        pairs.push((seconds, REST.as_secs_f64()));
    }
    report.pairs(
        "first delivery after kill -9 and restart on SQLite / 2 s",
        "s",
        Goal::AtMost(1.0),
        &pairs,
    );
}
