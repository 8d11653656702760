//! How many asynchronous writes are accepted per second, beside what Postgres takes when each row is inserted by itself.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, output, pgbench};
use crate::data::{FILLER, World};
use crate::provider::Provider;
use crate::report::{Goal, Report};
use crate::serve::{App, Served, write_request};

const PHASE: Duration = Duration::from_secs(5);
/// Connections of the app.
const CONNECTIONS: usize = 256;
/// Clients of pgbench.
const CLIENTS: &str = "32";

/// Accepted per second through HTTP. The apps share one thread, and do nothing that costs: like pgbench, they take their
/// part of the machine from what is measured.
async fn over_http(served: &Served, world: &World) -> f64 {
    let request = Arc::new(write_request(world, "bench"));
    let address = served.address.clone();
    let apps = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(write_all(address, request))
    });
    let (accepted, refused) = apps.await.expect("the apps do not panic");
    assert!(refused * 100 <= accepted, "{refused} were refused");
    accepted as f64 / PHASE.as_secs_f64()
}

/// How many writes were accepted and how many refused.
async fn write_all(address: String, request: Arc<Vec<u8>>) -> (u64, u64) {
    let until = Instant::now() + PHASE;
    let mut apps = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (request, address) = (Arc::clone(&request), address.clone());
        apps.spawn(async move {
            let mut app = App::connect(&address).await.expect("connected");
            let (mut accepted, mut refused) = (0_u64, 0_u64);
            while Instant::now() < until {
                match app.is_accepted(&request).await.expect("an answer") {
                    true => accepted += 1,
                    false => refused += 1,
                }
            }
            (accepted, refused)
        });
    }
    let mut sums = (0, 0);
    while let Some(counts) = apps.join_next().await {
        let (accepted, refused) = counts.expect("an app does not panic");
        sums = (sums.0 + accepted, sums.1 + refused);
    }
    sums
}

/// Rows per second of single inserts into the same two tables.
async fn by_pgbench(program: std::path::PathBuf, script: std::path::PathBuf, url: String) -> Option<f64> {
    tokio::task::spawn_blocking(move || {
        let seconds = PHASE.as_secs().to_string();
        let mut command = Command::new(program);
        command
            .args([
                "-n", "-M", "prepared", "-c", CLIENTS, "-j", "2", "-T", &seconds, "-f",
            ])
            .arg(script)
            .arg(url);
        let text = output(&mut command)?;
        let line = text.lines().find(|line| line.starts_with("tps"))?;
        line.split_whitespace().nth(2)?.parse().ok()
    })
    .await
    .ok()?
}

/// The ratio of both.
pub async fn accepts(cluster: &Cluster, world: &World, report: &mut Report) {
    let Some(program) = pgbench() else {
        report.note("accepts per second are skipped: there is no pgbench on this machine".to_owned());
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("insert.sql");
    // One round trip and one commit per row: the best that single-row inserts can do.
    let sql = format!(
        "WITH n AS (SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
                    || substr(m, 1, 3) || '8' || substr(m, 4, 15))::uuid AS id FROM (SELECT md5(random()::text) AS m) AS r),
              o AS (INSERT INTO operations (project_id, id, integration_id, installation_id, config_id, revision_id,
                        connection_id, object, action, mode, request, accept_time, deadline)
                    SELECT '{}', id, '{}', '{}', '{}', '{}', '{}', 'companies', 'create', 'asynchronous',
                           '{{\"record\":{{\"name\":\"bench\",\"description\":\"{}\"}}}}', now(), now() + INTERVAL '1 hour'
                    FROM n RETURNING id)
         INSERT INTO queue_items (shard, lane_id, run_at, operation_id, project_id, seq, record_key, attempt, deadline)
         SELECT 1, '{}', now(), id, '{}', nextval('queue_seq'), NULL, 0, now() + INTERVAL '1 hour' FROM o;",
        world.project,
        world.integration,
        world.installation,
        world.config,
        world.revision,
        world.quiet,
        "x".repeat(FILLER),
        world.quiet,
        world.project,
    );
    std::fs::write(&script, sql.replace('\n', " ")).expect("the script is written");
    let provider = Provider::start(Duration::ZERO).await;
    // It only accepts: what is measured is the whole way of a request to its commit.
    let served = Served::start(cluster, world, "bench_empty", "api", &provider).await;
    let url = cluster.database("bench_empty");
    over_http(&served, world).await;
    let mut pairs = Vec::new();
    for _ in 0..5 {
        let Some(rows) = by_pgbench(program.clone(), script.clone(), url.clone()).await else {
            report.note("accepts per second are skipped: pgbench failed".to_owned());
            return;
        };
        pairs.push((over_http(&served, world).await, rows));
    }
    served.stop();
    report.pairs(
        "accepts per second over HTTP / pgbench single-row inserts of the same tables at 32 clients",
        "per s",
        Goal::AtLeast(1.5),
        &pairs,
    );
}
