//! What a customer with little to do notices of one with a million writes waiting, and what the backlog costs in memory.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::data::World;
use crate::provider::Provider;
use crate::report::{Goal, Report, percentile};
use crate::serve::{App, Served, write_request};

/// How long a measurement takes.
const PHASE: Duration = Duration::from_secs(10);
/// The time between two writes of the quiet customer.
const EVERY: Duration = Duration::from_millis(25);

/// The 99th percentile of the time from sending a write to its arrival at the provider, in milliseconds.
async fn start_delay(
    cluster: &Cluster,
    world: &World,
    database: &str,
    provider: &Provider,
    first: u64,
) -> f64 {
    let served = Served::start(cluster, world, database, "all", provider).await;
    let mut app = App::connect(&served.address).await.expect("connected");
    // Its lane is known and the caches are warm.
    for _ in 0..20 {
        app.send(&write_request(world, "quiet-0"))
            .await
            .expect("an answer");
        tokio::time::sleep(EVERY).await;
    }
    let started = Instant::now();
    let mut sent = Vec::new();
    while started.elapsed() < PHASE {
        let number = first + sent.len() as u64;
        let at = Instant::now();
        let answer = app
            .send(&write_request(world, &format!("quiet-{number}")))
            .await
            .expect("an answer");
        assert!(answer.contains(" 200 "), "{answer}");
        sent.push((number, at));
        tokio::time::sleep(EVERY).await;
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut delays = Vec::new();
    for (number, at) in sent {
        // One that never starts counts as much as the wait for it.
        let arrived = loop {
            let now = Instant::now();
            match provider.arrived(number) {
                Some(arrived) => break arrived,
                None if now >= deadline => break now,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        delays.push(arrived.saturating_duration_since(at).as_secs_f64() * 1e3);
    }
    served.stop();
    percentile(&delays, 0.99)
}

/// With and without another customer's backlog.
pub async fn quiet(cluster: &Cluster, world: &World, report: &mut Report) {
    let provider = Provider::start(Duration::from_millis(20)).await;
    let mut pairs = Vec::new();
    for round in 1..=5_u64 {
        let first = round * 1_000_000;
        let with = start_delay(cluster, world, "bench_deep", &provider, first).await;
        let without = start_delay(cluster, world, "bench_empty", &provider, first + 500_000).await;
        pairs.push((with, without));
    }
    report.pairs(
        "a quiet customer's p99 from sending to the provider: beside another's backlog / alone",
        "ms",
        Goal::AtMost(3.0),
        &pairs,
    );
}

/// A worker that works on much, and on little.
pub async fn memory(cluster: &Cluster, world: &World, report: &mut Report) {
    if !std::path::Path::new("/proc/self/status").exists() {
        report.note("the memory of a worker is skipped: there is no /proc here".to_owned());
        return;
    }
    // Slow, so that the smaller queue is not empty before the end.
    let provider = Provider::start(Duration::from_millis(500)).await;
    let mut pairs = Vec::new();
    for _ in 0..3 {
        let mut pair = [0.0; 2];
        for (side, database) in ["bench_wide", "bench_small"].into_iter().enumerate() {
            let served = Served::start(cluster, world, database, "all", &provider).await;
            tokio::time::sleep(PHASE).await;
            pair[side] = served.memory();
            served.stop();
        }
        pairs.push((pair[0], pair[1]));
    }
    let name = format!(
        "a worker's memory: 100 items per lane / 1 item per lane, {} lanes",
        world.lanes.len()
    );
    report.pairs(&name, "MiB", Goal::AtMost(1.10), &pairs);
}
