//! SIGKILL under load: at random moments, when a request arrives, when it has taken effect, when the app is told, while the
//! process starts, and on both sides of every commit.

use std::collections::BTreeMap;
use std::time::Duration;

use amp_write::sandbox::{FaultKind, FaultSpec, LedgerStatus, Options as SandboxOptions, Sandbox};
use serde_json::json;

use super::load::{Load, MANIFEST, Options};
use super::verdict::{Summary, compare, ends, judge};
use super::{kills, load, seed};
use crate::harness::cluster::Cluster;
use crate::harness::gate::{Commit, Gate, Side};
use crate::harness::service::start_sandbox_with;
use crate::harness::{Kind, on_both_stores};

on_both_stores!(a_create_that_is_repeated_blindly_after_a_kill_is_found_by_the_verdict);

/// How long a kill waits for its moment; then it comes anyway.
const MOMENT: Duration = Duration::from_secs(3);

/// When a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// At any time.
    Random,
    /// A request has reached the provider, which has done nothing yet.
    Arrived,
    /// The provider has done it, and has not answered.
    Applied,
    /// The answer is on its way.
    Answering,
    /// An app was told this moment.
    Told,
    /// At a commit.
    At(Commit, Side),
    /// While it starts.
    Starting,
}

/// The kills of one test.
struct Storm {
    rng: fastrand::Rng,
    counts: BTreeMap<Moment, usize>,
    in_flight: usize,
    missed: usize,
    provider: Provider,
}

impl Storm {
    fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            counts: BTreeMap::new(),
            in_flight: 0,
            missed: 0,
            provider: Provider::Quick,
        }
    }

    fn choose(&mut self, commits: bool) -> Moment {
        if commits && self.rng.u8(..10) < 6 {
            // The three that matter most come most often.
            let commit = match self.rng.u8(..11) {
                0..=2 => Commit::Accept,
                3..=5 => Commit::Begin,
                6..=8 => Commit::Settle,
                9 => Commit::Record,
                _ => Commit::Lease,
            };
            let side = if self.rng.bool() {
                Side::Before
            } else {
                Side::After
            };
            return Moment::At(commit, side);
        }
        match self.rng.u8(..12) {
            0..=4 => Moment::Random,
            5 | 6 => Moment::Arrived,
            7 | 8 => Moment::Applied,
            9 => Moment::Answering,
            10 => Moment::Told,
            _ => Moment::Starting,
        }
    }

    /// Waits for the moment; false when it did not come.
    async fn wait(&mut self, moment: Moment, sandbox: &Sandbox, load: &Load, gate: Option<&Gate>) -> bool {
        let skip = self.rng.u64(..4);
        let hit = |spec: FaultSpec| {
            let fault = sandbox.fault(spec.skip(skip).once()).expect("a good fault");
            async move { fault.wait_hits(1).await }
        };
        let until = tokio::time::timeout(MOMENT, async {
            match (moment, gate) {
                (Moment::Random | Moment::Starting, _) | (Moment::At(..), None) => {
                    tokio::time::sleep(Duration::from_millis(self.rng.u64(0..=150))).await;
                }
                (Moment::Arrived, _) => hit(FaultSpec::new(FaultKind::Hold)).await,
                (Moment::Applied, _) => hit(FaultSpec::new(FaultKind::Hold).after_commit()).await,
                (Moment::Answering, _) => {
                    let drip = FaultSpec {
                        chunk_bytes: Some(1),
                        delay_ms: Some(5),
                        ..FaultSpec::new(FaultKind::SlowDrip)
                    };
                    hit(drip).await;
                }
                (Moment::Told, _) => load.wait_told(load.told() + 1).await,
                (Moment::At(commit, side), Some(gate)) => {
                    let sprung = gate.trap(commit, side).await;
                    sprung.expect("the gate lives");
                }
            }
        });
        until.await.is_ok()
    }

    async fn kill(&mut self, cluster: &mut Cluster, load: &Load, node: usize, gate: Option<&Gate>) {
        // Mostly not before work goes on: the node, or another one, has to take over first.
        if self.rng.u8(..3) > 0 {
            let before = cluster.sandbox.ledger().len();
            let goes_on = cluster.sandbox.wait_ledger(|entries| entries.len() > before);
            let _ = tokio::time::timeout(MOMENT, goes_on).await;
        }
        let moment = self.choose(gate.is_some());
        let came = self.wait(moment, &cluster.sandbox, load, gate).await;
        let pending = |sandbox: &Sandbox| {
            sandbox
                .ledger()
                .iter()
                .any(|entry| entry.status == LedgerStatus::Pending)
        };
        let in_flight = pending(&cluster.sandbox);
        match self.provider {
            Provider::Quick => cluster.kill(node).await,
            Provider::Slow => {
                cluster.kill_at_once(node);
                cluster.let_go();
            }
        }
        if let Some(gate) = gate {
            gate.disarm();
            gate.cut();
        }
        *self.counts.entry(moment).or_default() += 1;
        self.in_flight += usize::from(in_flight);
        self.missed += usize::from(!came);
        if moment == Moment::Starting {
            cluster.launch(node);
            tokio::time::sleep(Duration::from_millis(self.rng.u64(0..=100))).await;
            cluster.kill(node).await;
        }
    }

    fn show(&self, cluster: &Cluster, seconds: f64) {
        println!(
            "{} kills in {seconds:.1} s, {} of them with requests at the provider, {} missed their moment: {:?}",
            cluster.kills, self.in_flight, self.missed, self.counts
        );
    }
}

/// How long requests take at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    /// A little while, so that kills meet them there; when a process dies they end before the next one starts.
    Quick,
    /// Now and then longer than a restart and a lease: they outlive the process, and the next one is at work meanwhile.
    Slow,
}

fn slow_down(sandbox: &Sandbox, provider: Provider) {
    let delays: &[(u64, f64, bool)] = match provider {
        Provider::Quick => &[(8, 0.5, false), (8, 0.5, true)],
        Provider::Slow => &[
            (2_200, 0.1, false),
            (900, 0.2, false),
            (250, 0.4, false),
            (300, 0.2, true),
        ],
    };
    for (delay_ms, probability, after) in delays {
        let delay = FaultSpec {
            delay_ms: Some(*delay_ms),
            ..FaultSpec::new(FaultKind::Delay).probability(*probability)
        };
        let delay = if *after { delay.after_commit() } else { delay };
        sandbox.fault(delay).expect("a good fault");
    }
}

async fn storm(kind: Kind, nodes: usize, wanted: usize, title: &str) -> Summary {
    storm_at(kind, nodes, wanted, Provider::Quick, title).await
}

async fn storm_at(kind: Kind, nodes: usize, wanted: usize, provider: Provider, title: &str) -> Summary {
    let started = std::time::Instant::now();
    let seed = seed(title);
    let mut storm = Storm {
        provider,
        ..Storm::new(seed)
    };
    let sandbox = start_sandbox_with(SandboxOptions {
        seed,
        ..SandboxOptions::default()
    })
    .await;
    let mut cluster = Cluster::new(kind, sandbox).await;
    let mut gates = Vec::new();
    for _ in 0..nodes {
        if kind == Kind::Postgres {
            let gate = Gate::open(&cluster.database.url).await;
            cluster.add_on(gate.url()).await;
            gates.push(gate);
        } else {
            cluster.add().await;
        }
    }
    let options = Options {
        pause_ms: match provider {
            Provider::Quick if nodes == 1 => 40,
            Provider::Quick => 250,
            Provider::Slow => 250,
        },
        // What waits for the time after each kill would add up until the last one.
        backlog: match provider {
            Provider::Quick => usize::MAX,
            Provider::Slow => 10,
        },
        ..Options::new(3)
    };
    let load = Load::start(&cluster, options, storm.rng.u64(..)).await;
    slow_down(&cluster.sandbox, provider);
    while cluster.kills < wanted {
        let node = storm.rng.usize(..nodes);
        storm.kill(&mut cluster, &load, node, gates.get(node)).await;
        cluster.start(node).await;
    }
    let sent = load.end().await;
    cluster.sandbox.clear_faults();
    cluster.quiet().await;
    storm.show(&cluster, started.elapsed().as_secs_f64());
    let summary = judge(&cluster.client(), &cluster.sandbox, &sent, title).await;
    println!("{title}: {:.1} s in all", started.elapsed().as_secs_f64());
    assert!(
        summary.count("accepted and succeeded") > wanted,
        "there was a load"
    );
    assert_eq!(
        summary.count("accepted and failed"),
        0,
        "the provider refuses none of these writes"
    );
    // Four apps make records, up to five in one request; of a slow provider more is on its way at once.
    summary.assert_few_in_doubt(wanted, if provider == Provider::Quick { 5 } else { 10 });
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_on_sqlite_lose_nothing_double_nothing_and_keep_the_order() {
    storm(Kind::Sqlite, 1, kills(110), "kills on SQLite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_on_sqlite_under_a_provider_that_is_slower_than_a_restart_keep_the_order() {
    let title = "kills on SQLite, slow provider";
    storm_at(Kind::Sqlite, 1, kills(20), Provider::Slow, title).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_on_postgres_under_a_provider_that_is_slower_than_a_lease_keep_the_order() {
    let title = "kills of two nodes on Postgres, slow provider";
    storm_at(Kind::Postgres, 2, kills(20), Provider::Slow, title).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_a_single_node_on_postgres_lose_nothing_double_nothing_and_keep_the_order() {
    storm(Kind::Postgres, 1, kills(30), "kills of one node on Postgres").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_two_nodes_on_postgres_lose_nothing_double_nothing_and_keep_the_order() {
    storm(Kind::Postgres, 2, kills(30), "kills of two nodes on Postgres").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_three_nodes_on_postgres_lose_nothing_double_nothing_and_keep_the_order() {
    storm(Kind::Postgres, 3, kills(30), "kills of three nodes on Postgres").await;
}

/// The verdict can fail: an app that allows blind repeats gets the second record that it asked for.
async fn a_create_that_is_repeated_blindly_after_a_kill_is_found_by_the_verdict(kind: Kind) {
    let sandbox = start_sandbox_with(SandboxOptions::default()).await;
    let mut cluster = Cluster::new(kind, sandbox).await;
    let node = cluster.add().await;
    cluster.set_up(MANIFEST, &["g".to_owned()]).await;
    let hold = cluster
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).after_commit().once())
        .expect("a good fault");
    let body = json!({"groupRef": "g", "type": "create", "mode": "asynchronous", "onUnknown": "retry",
        "record": {"name": "n1"}});
    let answer = cluster
        .client()
        .write("hs", "companies", body)
        .await
        .expect(200)
        .json();
    hold.wait_hits(1).await;
    cluster.kill(node).await;
    cluster.start(node).await;
    let sent = [load::Sent {
        name: "companies n1".to_owned(),
        told: load::Told::Accepted,
        place: 0,
        operation: answer["operationId"].as_str().map(str::to_owned),
        account: "g".to_owned(),
        object: "companies",
        action: "create",
        record: None,
        mark: json!({"name": "n1"}).as_object().cloned().expect("an object"),
        order: 0,
        keyed: false,
    }];
    let ends = ends(&cluster.client(), &sent).await;
    let findings = compare(&cluster.sandbox.ledger(), &sent, &ends);
    assert_eq!(findings.0, ["P3: companies n1 was made more than once"]);
}
