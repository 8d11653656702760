//! Workers that come back too late: processes that stood still (SIGSTOP), and one whose words reach the database when
//! another worker has its shards.

use std::time::{Duration, Instant};

use amp_write::sandbox::{FaultKind, FaultSpec, LedgerEntry, LedgerStatus};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::load::{Load, MANIFEST, Options, Sent};
use super::seed;
use super::verdict::{Summary, compare, ends};
use crate::harness::Kind;
use crate::harness::client::PATIENCE;
use crate::harness::cluster::Cluster;
use crate::harness::gate::Gate;
use crate::harness::service::start_sandbox;

/// Polls a number until it is as wanted.
async fn until(connection: &mut PgConnection, query: &'static str, wanted: impl Fn(i64) -> bool) -> i64 {
    let started = Instant::now();
    loop {
        let number: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut *connection)
            .await
            .expect("counted");
        if wanted(number) {
            return number;
        }
        assert!(started.elapsed() < PATIENCE, "{query} stays {number}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How often a node stands still.
const FREEZES: usize = 6;

const WORKERS: &str = "SELECT count(DISTINCT owner) FROM shards WHERE lease_until > now()";

/// Accepts six contacts and six companies, and waits until the provider has done all of them and holds its answers.
async fn twelve_in_flight(
    cluster: &Cluster,
) -> (amp_write::sandbox::FaultHandle, Vec<(&'static str, String)>) {
    let groups: Vec<String> = (0..4).map(|number| format!("g{number}")).collect();
    cluster.set_up(MANIFEST, &groups).await;
    let hold = cluster
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).after_commit().action("create"))
        .expect("a good fault");
    let client = cluster.client();
    let mut operations = Vec::new();
    for number in 0..12 {
        let (object, record) = if number % 2 == 0 {
            ("contacts", json!({"email": format!("n{number}@example.com")}))
        } else {
            ("companies", json!({"name": format!("n{number}")}))
        };
        let body = json!({"groupRef": groups[number % 4], "type": "create", "mode": "asynchronous", "record": record});
        let answer = client.write("hs", object, body).await.expect(200).json();
        operations.push((object, answer["operationId"].as_str().expect("an id").to_owned()));
    }
    hold.wait_hits(12).await;
    (hold, operations)
}

/// The second worker has ended each operation: contacts were found, companies are in doubt.
async fn ended_by_the_other(cluster: &Cluster, operations: &[(&'static str, String)]) -> Vec<Value> {
    let mut ends = Vec::new();
    for (object, operation) in operations {
        let end = cluster.client().ended(operation).await;
        let state = if *object == "contacts" {
            "succeeded"
        } else {
            "needs_review"
        };
        assert_eq!(end["metadata"]["state"], state, "{end}");
        ends.push(end);
    }
    ends
}

/// Nothing of the ends has changed, and nothing was made twice.
async fn nothing_changed(cluster: &Cluster, operations: &[(&'static str, String)], ends: &[Value]) {
    for ((_, operation), end) in operations.iter().zip(ends) {
        let now = cluster.client().ended(operation).await;
        for field in ["status", "result", "updateTime"] {
            assert_eq!(now[field], end[field], "{now}");
        }
        assert_eq!(
            now["metadata"]["successfulRecordIds"],
            end["metadata"]["successfulRecordIds"]
        );
    }
    let made = cluster
        .sandbox
        .ledger()
        .iter()
        .flat_map(|entry| &entry.changes)
        .filter(|change| change.kind == amp_write::sandbox::ChangeKind::Created)
        .count();
    assert_eq!(made, operations.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_past_its_lease_changes_nothing_when_it_wakes() {
    let mut cluster = Cluster::new(Kind::Postgres, start_sandbox().await).await;
    let first = cluster.add().await;
    let (hold, operations) = twelve_in_flight(&cluster).await;
    cluster.freeze(first);
    cluster.add().await;
    let ends = ended_by_the_other(&cluster, &operations).await;
    // The answers arrive, and the process wakes up to them.
    hold.remove();
    cluster.thaw(first);
    // It has found out, and takes part again.
    let mut connection = cluster.database.look().await;
    until(&mut connection, WORKERS, |workers| workers == 2).await;
    nothing_changed(&cluster, &operations, &ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_reaches_the_database_after_another_worker_took_over_is_kept_as_an_attempt_only() {
    let mut cluster = Cluster::new(Kind::Postgres, start_sandbox().await).await;
    let gate = Gate::open(&cluster.database.url).await;
    cluster.add_on(gate.url()).await;
    let (hold, operations) = twelve_in_flight(&cluster).await;
    // The answers arrive, but nothing that the process says about them reaches the database, nor does it keep its lease.
    gate.stall();
    hold.remove();
    cluster.hide(0);
    cluster.add().await;
    let ends = ended_by_the_other(&cluster, &operations).await;
    let mut connection = cluster.database.look().await;
    let late = "SELECT count(*) FROM attempts WHERE state = 'answered' AND class = 'success'";
    until(&mut connection, late, |attempts| attempts == 0).await;
    gate.resume();
    let attempts = until(&mut connection, late, |attempts| attempts > 0).await;
    println!("{attempts} outcomes came too late");
    until(&mut connection, WORKERS, |workers| workers == 2).await;
    nothing_changed(&cluster, &operations, &ends).await;
}

/// The first process reads before it updates (`ifEmpty`), and stands still when the provider has the answers ready. The other
/// one takes over and goes on with later updates of the same records.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_between_its_read_and_its_write_does_not_write() {
    const RECORDS: usize = 16;
    let mut cluster = Cluster::new(Kind::Postgres, start_sandbox().await).await;
    let first = cluster.add().await;
    let groups: Vec<String> = (0..4).map(|number| format!("g{number}")).collect();
    cluster.set_up(MANIFEST, &groups).await;
    read_before_updates(&cluster).await;
    let mut records = Vec::new();
    for number in 0..RECORDS {
        let group = groups[number % groups.len()].as_str();
        let name = format!("company {number}");
        let id = cluster
            .create("hs", "companies", group, json!({"name": name}))
            .await;
        records.push((group, id));
    }
    let hold = cluster
        .sandbox
        .fault(
            FaultSpec::new(FaultKind::Hold)
                .after_commit()
                .action("read")
                .times(RECORDS as u64),
        )
        .expect("a good fault");
    let mut operations = Vec::new();
    for round in 1..4 {
        for (group, id) in &records {
            let record = json!({"id": id, "city": format!("city {round}"), "phone": "1"});
            let body = json!({"groupRef": group, "type": "update", "mode": "asynchronous", "record": record});
            let answer = cluster
                .client()
                .write("hs", "companies", body)
                .await
                .expect(200)
                .json();
            operations.push(answer["operationId"].as_str().expect("an id").to_owned());
        }
        hold.wait_hits(RECORDS as u64).await;
    }
    cluster.freeze(first);
    cluster.add().await;
    for operation in &operations {
        assert_eq!(cluster.client().ended(operation).await["status"], "success");
    }
    hold.remove();
    let answered =
        |entries: &[LedgerEntry]| entries.iter().all(|entry| entry.status != LedgerStatus::Pending);
    cluster.sandbox.wait_ledger(answered).await;
    cluster.thaw(first);
    let mut connection = cluster.database.look().await;
    until(&mut connection, WORKERS, |workers| workers == 2).await;
    for (group, id) in &records {
        let cities: Vec<Value> = cluster
            .sandbox
            .ledger_since(0, Some(group))
            .into_iter()
            .flat_map(|entry| entry.changes)
            .filter(|change| change.id == *id)
            .filter_map(|change| change.values.get("city").cloned())
            .collect();
        assert_eq!(cities, ["city 1", "city 2", "city 3"]);
    }
}

/// Updates of companies read first whether there is a phone number.
async fn read_before_updates(cluster: &Cluster) {
    let client = cluster.client();
    let change = json!({
        "updateMask": ["config.content.write.objects.companies"],
        "installation": {"config": {"content": {"write": {"objects": {"companies": {"objectName": "companies",
            "selectedFieldSettings": {"phone": {"writeOnUpdate": "ifEmpty"}}}}}}}}
    });
    let installations = client
        .get("/integrations/hs/installations")
        .await
        .expect(200)
        .json();
    for installation in installations.as_array().expect("a list") {
        let path = format!(
            "/integrations/hs/installations/{}",
            installation["id"].as_str().expect("an id")
        );
        client.patch(&path, &change).await.expect(200);
    }
}

/// A process can stand still between its last look at its lease and the system call that sends a request. No program can
/// prevent that the request then leaves when it wakes up; at most one per thread does.
fn left_on_waking(
    sandbox: &amp_write::sandbox::Sandbox,
    woke_at: &[usize],
    finding: &str,
    sent: &[Sent],
) -> bool {
    let Some(sent) = sent
        .iter()
        .find(|sent| finding == format!("P4: {} took effect after a later write to its record", sent.name))
    else {
        return false;
    };
    let ledger = sandbox.ledger();
    let is_its = |entry: &LedgerEntry| {
        entry.changes.iter().any(|change| {
            sent.mark
                .iter()
                .all(|(name, value)| change.values.get(name) == Some(value))
        })
    };
    let last = ledger.iter().rposition(is_its).unwrap_or_default();
    woke_at.iter().any(|at| (*at..at + 16).contains(&last))
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_stand_still_again_and_again_lose_nothing_and_double_nothing() {
    let title = "two nodes that stand still";
    let mut rng = fastrand::Rng::with_seed(seed(title));
    let mut cluster = Cluster::new(Kind::Postgres, start_sandbox().await).await;
    for _ in 0..2 {
        cluster.add().await;
    }
    let options = Options {
        pause_ms: 150,
        ..Options::new(3)
    };
    let load = Load::start(&cluster, options, rng.u64(..)).await;
    let mut woke_at = Vec::new();
    for _ in 0..FREEZES {
        let node = rng.usize(..2);
        let told = load.told();
        load.wait_told(told + 10).await;
        cluster.freeze(node);
        // Longer than the lease of one second, so that the other node takes over.
        tokio::time::sleep(Duration::from_millis(rng.u64(1_100..1_800))).await;
        woke_at.push(cluster.sandbox.ledger().len());
        cluster.thaw(node);
        cluster.show(node);
    }
    let sent = load.end().await;
    let ends = ends(&cluster.client(), &sent).await;
    let findings = compare(&cluster.sandbox.ledger(), &sent, &ends).0;
    let (excused, wrong): (Vec<_>, Vec<_>) = findings
        .into_iter()
        .partition(|finding| left_on_waking(&cluster.sandbox, &woke_at, finding, &sent));
    println!(
        "{title}: {}; {} requests left on waking: {excused:?}",
        Summary::new(&sent, &ends),
        excused.len()
    );
    assert_eq!(wrong, Vec::<String>::new());
    assert!(excused.len() <= FREEZES, "{excused:?}");
}
