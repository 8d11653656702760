//! Requests that outlive whoever sent them: the provider is slower than a restart, a takeover or our own patience, and takes
//! them up when later writes to their records could have gone already.

use amp_write::sandbox::{FaultHandle, FaultKind, FaultSpec, LedgerEntry};
use serde_json::{Value, json};

use super::load::MANIFEST;
use crate::harness::cluster::Cluster;
use crate::harness::service::{GROUP, PLAIN, Service, start_sandbox, tuning};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    an_update_on_its_way_at_a_kill_does_not_take_effect_after_the_next_write_to_its_record,
    a_batch_on_its_way_at_a_kill_does_not_take_effect_after_the_next_writes_to_its_records,
    a_record_in_doubt_stays_so_when_the_next_process_is_killed_too,
    an_update_that_is_cut_off_by_a_stop_does_not_take_effect_after_the_next_write,
    after_an_update_without_an_answer_the_next_write_waits_until_it_cannot_arrive_any_more,
);

/// Longer than a restart, a takeover and what the test does meanwhile.
const TIMEOUT: &str = "8";

/// One node, and records of one customer.
struct Story {
    cluster: Cluster,
    node: usize,
    ids: Vec<String>,
}

impl Story {
    async fn begin(kind: Kind, records: usize) -> Self {
        let mut cluster = Cluster::new(kind, start_sandbox().await).await;
        cluster.set("AMP_PROVIDER_TIMEOUT_SECONDS", TIMEOUT);
        cluster.set("AMP_SHUTDOWN_SECONDS", "1");
        let node = cluster.add().await;
        cluster.set_up(MANIFEST, &["g".to_owned()]).await;
        let mut ids = Vec::new();
        for number in 0..records {
            let record = json!({"name": format!("company {number}")});
            ids.push(cluster.create("hs", "companies", "g", record).await);
        }
        Self { cluster, node, ids }
    }

    /// The provider keeps the next update for as long as it is wanted, and then does it.
    fn slow(&self) -> FaultHandle {
        let spec = FaultSpec::new(FaultKind::Hold).action("update").once();
        self.cluster.sandbox.fault(spec).expect("a good fault")
    }

    async fn update(&self, records: &[&str], city: &str) -> String {
        let record = |id: &&str| json!({"id": id, "city": city});
        let mut body = json!({"groupRef": "g", "type": "update", "mode": "asynchronous"});
        match records {
            [id] => body["record"] = record(id),
            _ => body["batch"] = records.iter().map(|id| json!({"record": record(id)})).collect(),
        }
        let answer = self.cluster.client().write("hs", "companies", body).await;
        answer.expect(200).json()["operationId"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    async fn succeeded(&self, operation: &str) {
        let end = self.cluster.client().ended(operation).await;
        assert_eq!(end["metadata"]["state"], "succeeded", "{end}");
    }

    /// The process dies while the provider has a request, and serves again.
    async fn die(&mut self) {
        self.cluster.kill_at_once(self.node);
        self.cluster.start(self.node).await;
    }

    /// What the provider has written to a record, in order.
    fn cities(&self, id: &str) -> Vec<String> {
        let entries = self.cluster.sandbox.ledger();
        let mut changes: Vec<_> = entries.iter().flat_map(|entry| &entry.changes).collect();
        changes.sort_by_key(|change| change.order);
        changes
            .into_iter()
            .filter(|change| change.id == id)
            .filter_map(|change| change.values.get("city")?.as_str().map(str::to_owned))
            .collect()
    }

    /// The update that outlived its process is done now; afterwards the next one may go.
    async fn let_go(&self, slow: &FaultHandle, next: &str, id: &str) {
        assert!(
            !self.cities(id).contains(&"second".to_owned()),
            "it waits while the first may still take effect"
        );
        let waits = self
            .cluster
            .client()
            .get(&format!("/operations/{next}"))
            .await
            .expect(200)
            .json();
        assert_eq!(waits["status"], "in_progress", "{waits}");
        assert_eq!(waits["metadata"]["waitingOn"], "earlier_write", "{waits}");
        slow.remove();
        self.cluster.quiet().await;
        self.succeeded(next).await;
        assert_eq!(self.cities(id), ["first", "first", "second"]);
    }
}

async fn an_update_on_its_way_at_a_kill_does_not_take_effect_after_the_next_write_to_its_record(kind: Kind) {
    let mut story = Story::begin(kind, 2).await;
    let (id, other) = (story.ids[0].clone(), story.ids[1].clone());
    let slow = story.slow();
    let first = story.update(&[&id], "first").await;
    let second = story.update(&[&id], "second").await;
    slow.wait_hits(1).await;
    story.die().await;
    // It goes again at once, and so do the writes to all other records.
    story.succeeded(&first).await;
    for city in ["one", "two"] {
        let operation = story.update(&[&other], city).await;
        story.succeeded(&operation).await;
    }
    story.let_go(&slow, &second, &id).await;
}

async fn a_batch_on_its_way_at_a_kill_does_not_take_effect_after_the_next_writes_to_its_records(kind: Kind) {
    let mut story = Story::begin(kind, 3).await;
    let ids = story.ids.clone();
    let slow = story.slow();
    let first = story.update(&[&ids[0], &ids[1]], "first").await;
    let second = story.update(&[&ids[1]], "second").await;
    slow.wait_hits(1).await;
    story.die().await;
    story.succeeded(&first).await;
    // As a record of a batch, too; what else is in it goes.
    let third = story.update(&[&ids[0], &ids[2]], "second").await;
    let gone = |entries: &[LedgerEntry]| {
        let mut changes = entries.iter().flat_map(|entry| &entry.changes);
        changes.any(|change| change.id == ids[2] && change.values.get("city").is_some())
    };
    story.cluster.sandbox.wait_ledger(gone).await;
    assert_eq!(story.cities(&ids[0]), ["first"]);
    story.let_go(&slow, &second, &ids[1]).await;
    story.succeeded(&third).await;
    assert_eq!(story.cities(&ids[0]), ["first", "first", "second"]);
}

async fn a_record_in_doubt_stays_so_when_the_next_process_is_killed_too(kind: Kind) {
    let mut story = Story::begin(kind, 1).await;
    let id = story.ids[0].clone();
    let slow = story.slow();
    let first = story.update(&[&id], "first").await;
    slow.wait_hits(1).await;
    story.die().await;
    story.succeeded(&first).await;
    let second = story.update(&[&id], "second").await;
    // The one that dies now has nothing on its way, and the one before it still has.
    story.die().await;
    story.let_go(&slow, &second, &id).await;
}

async fn an_update_that_is_cut_off_by_a_stop_does_not_take_effect_after_the_next_write(kind: Kind) {
    let mut story = Story::begin(kind, 1).await;
    let id = story.ids[0].clone();
    let slow = story.slow();
    let first = story.update(&[&id], "first").await;
    let second = story.update(&[&id], "second").await;
    slow.wait_hits(1).await;
    // The time to stop is over before the provider answers.
    story.cluster.stop(story.node).await;
    story.cluster.start(story.node).await;
    story.succeeded(&first).await;
    story.let_go(&slow, &second, &id).await;
}

async fn after_an_update_without_an_answer_the_next_write_waits_until_it_cannot_arrive_any_more(kind: Kind) {
    const SECONDS: i64 = 4;
    let sandbox = start_sandbox().await;
    let tuning = amp_write::settings::TuningArgs {
        provider_timeout_seconds: SECONDS.unsigned_abs(),
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.set_up(PLAIN).await;
    let made = json!({"groupRef": GROUP, "type": "create", "record": {"name": "Northpeak"}});
    let made = service
        .client
        .write("hs", "companies", made)
        .await
        .expect(200)
        .json();
    let id = &made["result"]["recordId"];
    let lost = FaultSpec::new(FaultKind::DropBeforeCommit)
        .action("update")
        .once();
    service.sandbox.fault(lost).expect("a good fault");
    let mut ends = Vec::new();
    for city in ["first", "second"] {
        let body = json!({"groupRef": GROUP, "type": "update", "mode": "asynchronous",
            "record": {"id": id, "city": city}});
        let answer = service
            .client
            .write("hs", "companies", body)
            .await
            .expect(200)
            .json();
        ends.push(answer["operationId"].as_str().expect("an id").to_owned());
    }
    let time = |operation: &Value, attempt: usize| {
        let text = operation["metadata"]["attempts"][attempt]["time"].as_str();
        let time: jiff::Timestamp = text.expect("a time").parse().expect("a time");
        time.as_microsecond()
    };
    let first = service.client.ended(&ends[0]).await;
    let second = service.client.ended(&ends[1]).await;
    assert_eq!(first["metadata"]["state"], "succeeded", "{first}");
    assert_eq!(second["metadata"]["state"], "succeeded", "{second}");
    assert!(
        time(&second, 0) - time(&first, 0) >= SECONDS * 1_000_000 - 1_000,
        "{first} {second}"
    );
    assert!(
        time(&first, 1) - time(&first, 0) < SECONDS * 1_000_000,
        "it is itself tried again at once"
    );
}
