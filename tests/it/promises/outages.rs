//! The database goes away: restarted, crashed, its connections ended, cut at each side of each commit, out of reach.

use std::time::Duration;

use sqlx::Executor as _;

use super::load::{Load, Options, Told};
use super::seed;
use super::verdict::{Summary, judge};
use crate::harness::cluster::Cluster;
use crate::harness::gate::{Commit, Gate, Side};
use crate::harness::postgres::Server;
use crate::harness::service::start_sandbox;
use crate::harness::{Database, Kind};

/// Waits until the apps are told of writes again: the service has recovered by itself.
async fn recovered(load: &Load) {
    let told = load.told();
    load.wait_told(told + 15).await;
}

fn options() -> Options {
    Options {
        pause_ms: 80,
        ..Options::new(3)
    }
}

/// Ends the load, and judges.
async fn close(cluster: &Cluster, load: Load, title: &str) -> Summary {
    let sent = load.end().await;
    let accepted = sent.iter().filter(|sent| sent.told == Told::Accepted).count();
    assert!(accepted > 20, "there was a load");
    let summary = judge(&cluster.client(), &cluster.sandbox, &sent, title).await;
    assert_eq!(
        summary.count("accepted and failed"),
        0,
        "the provider refuses none of these writes"
    );
    // An outcome that is in hand is stored when the database is back.
    let succeeded = summary.count("accepted and succeeded");
    assert!(
        summary.count("accepted and needs_review") * 5 <= succeeded,
        "an outage puts few writes in doubt: {summary}"
    );
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_restarted_and_crashed_under_load_loses_nothing_that_was_acknowledged() {
    let title = "Postgres restarted and crashed";
    let mut rng = fastrand::Rng::with_seed(seed(title));
    let mut server = Server::start().await;
    server.execute("postgres", "CREATE DATABASE amp").await;
    let mut cluster = Cluster::on(Database::at(server.url("amp")), start_sandbox().await);
    for _ in 0..2 {
        cluster.add().await;
    }
    let load = Load::start(&cluster, options(), rng.u64(..)).await;
    for signal in ["INT", "QUIT", "QUIT"] {
        recovered(&load).await;
        server.stop(signal).await;
        tokio::time::sleep(Duration::from_millis(rng.u64(0..400))).await;
        server.launch().await;
    }
    recovered(&load).await;
    close(&cluster, load, title).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_ended_by_postgres_lose_nothing_that_was_acknowledged() {
    let title = "pg_terminate_backend";
    let mut rng = fastrand::Rng::with_seed(seed(title));
    let mut cluster = Cluster::new(Kind::Postgres, start_sandbox().await).await;
    cluster.add().await;
    let load = Load::start(&cluster, options(), rng.u64(..)).await;
    let mut connection = cluster.database.look().await;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(rng.u64(0..100))).await;
        connection
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            .await
            .expect("ended");
    }
    recovered(&load).await;
    close(&cluster, load, title).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_on_both_sides_of_every_commit_lose_nothing_that_was_acknowledged() {
    let title = "connections cut at commits";
    let mut rng = fastrand::Rng::with_seed(seed(title));
    let mut cluster = Cluster::new(Kind::Postgres, start_sandbox().await).await;
    let gate = Gate::open(&cluster.database.url).await;
    cluster.add_on(gate.url()).await;
    let load = Load::start(&cluster, options(), rng.u64(..)).await;
    for _ in 0..3 {
        for commit in [
            Commit::Accept,
            Commit::Record,
            Commit::Begin,
            Commit::Settle,
            Commit::Lease,
        ] {
            for side in [Side::Before, Side::After] {
                let sprung = gate.trap(commit, side);
                tokio::time::timeout(crate::harness::client::PATIENCE, sprung)
                    .await
                    .unwrap_or_else(|_| panic!("there is no commit {commit:?}"))
                    .expect("the gate lives");
                gate.cut();
            }
        }
    }
    recovered(&load).await;
    close(&cluster, load, title).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_out_of_reach_for_longer_than_a_lease_loses_nothing_that_was_acknowledged() {
    let title = "Postgres out of reach";
    let mut rng = fastrand::Rng::with_seed(seed(title));
    let mut cluster = Cluster::new(Kind::Postgres, start_sandbox().await).await;
    let mut gates = Vec::new();
    for _ in 0..2 {
        let gate = Gate::open(&cluster.database.url).await;
        cluster.add_on(gate.url()).await;
        gates.push(gate);
    }
    let load = Load::start(&cluster, options(), rng.u64(..)).await;
    for turn in 0..4 {
        recovered(&load).await;
        let gate = &gates[turn % 2];
        // Refused at once, or silent without end.
        if turn < 2 {
            gate.close();
        } else {
            gate.stall();
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(1_100..1_600))).await;
        gate.reopen();
        gate.resume();
    }
    recovered(&load).await;
    close(&cluster, load, title).await;
}
