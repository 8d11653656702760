//! What the queue costs, as ratios of two measurements taken in turns in one run, so that a busy machine does not decide.
//!
//! `cargo bench --bench queue`. It starts a Postgres of its own and throws it away; `BENCH_DATABASE_URL` names another one
//! (a superuser's, whose databases named `bench_…` may be dropped). `QUEUE_BENCH_SCALE=0.01` makes everything smaller, and
//! `QUEUE_BENCH_ONLY=claims,pinned,accepts,quiet,memory,restart` chooses. See docs/queue.md for what each line means.

mod accepts;
mod claims;
mod cluster;
mod data;
mod provider;
mod quiet;
mod report;
mod restart;
mod serve;

use cluster::Cluster;
use data::World;
use report::Report;

/// How large everything is.
#[derive(Debug, Clone, Copy)]
pub struct Scale(f64);

impl Scale {
    /// `full` at this scale.
    pub fn of(self, full: u64) -> u64 {
        ((full as f64 * self.0) as u64).max(1)
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` starts every bench once: it must not take minutes.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("the measurements run with `cargo bench --bench queue`");
        return;
    }
    let scale = Scale(
        std::env::var("QUEUE_BENCH_SCALE")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(1.0),
    );
    let only = std::env::var("QUEUE_BENCH_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|part| part == name);
    let mut report = Report::default();
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("everything is skipped: {why}");
            return;
        }
    };
    println!("Postgres {}", cluster.version().await);
    let world = World::make(&cluster, scale).await;
    if wanted("claims") || wanted("memory") {
        world
            .load(&cluster, "bench_wide", world.lanes.len() as u64 * 100, None)
            .await;
        world
            .load(&cluster, "bench_small", world.lanes.len() as u64, None)
            .await;
    }
    if wanted("pinned") || wanted("quiet") {
        world
            .load(&cluster, "bench_deep", scale.of(1_300_000), Some(world.lanes[0]))
            .await;
    }
    world.load(&cluster, "bench_empty", 0, None).await;
    if wanted("claims") {
        claims::by_depth(&cluster, &world, &mut report).await;
        claims::half_limited(&cluster, &world, &mut report).await;
    }
    if wanted("memory") {
        quiet::memory(&cluster, &world, &mut report).await;
    }
    if wanted("pinned") {
        claims::pinned(&cluster, scale, &mut report).await;
    }
    if wanted("quiet") {
        quiet::quiet(&cluster, &world, &mut report).await;
    }
    if wanted("accepts") {
        accepts::accepts(&cluster, &world, &mut report).await;
    }
    if wanted("restart") {
        restart::restart(&cluster, &world, &mut report).await;
    }
    report.print();
}
