//! Nodes that join and leave while apps write.

use super::load::{Load, Options};
use super::seed;
use super::verdict::judge;
use crate::harness::Kind;
use crate::harness::cluster::Cluster;
use crate::harness::service::start_sandbox;

/// How often a node leaves and comes back.
const TURNS: usize = 8;

/// Three places for nodes, of which one to three are taken. `softly` means that nobody is killed.
async fn come_and_go(softly: bool, title: &str) -> super::verdict::Summary {
    let mut rng = fastrand::Rng::with_seed(seed(title));
    let mut cluster = Cluster::new(Kind::Postgres, start_sandbox().await).await;
    if softly {
        // A busy machine takes no lease from anybody, and cuts no call off: only a stop that is not soft leaves a doubt.
        cluster.set("AMP_LEASE_SECONDS", "60");
        cluster.set("AMP_PROVIDER_TIMEOUT_SECONDS", "60");
        cluster.set("AMP_SHUTDOWN_SECONDS", "60");
    }
    cluster.add().await;
    let options = Options {
        pause_ms: 100,
        ..Options::new(4)
    };
    let load = Load::start(&cluster, options, rng.u64(..)).await;
    let mut up = [true, false, false];
    for _ in 0..2 {
        let node = cluster.add().await;
        up[node] = true;
    }
    for _ in 0..TURNS {
        let told = load.told();
        load.wait_told(told + 20).await;
        let node = rng.usize(..3);
        if !up[node] {
            cluster.start(node).await;
        } else if softly || rng.bool() {
            cluster.stop(node).await;
        } else {
            cluster.kill(node).await;
        }
        up[node] = !up[node];
        // The last one leaves only for a moment.
        if !up.contains(&true) {
            cluster.start(node).await;
            up[node] = true;
        }
    }
    let sent = load.end().await;
    judge(&cluster.client(), &cluster.sandbox, &sent, title).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_join_and_leave_softly_leave_nothing_in_doubt() {
    let summary = come_and_go(true, "nodes that join and leave").await;
    assert_eq!(
        summary.count("accepted and needs_review"),
        0,
        "a soft stop ends what is in flight"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_join_leave_and_die_lose_nothing_and_double_nothing() {
    come_and_go(false, "nodes that join, leave and die").await;
}
