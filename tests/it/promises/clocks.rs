//! Nodes whose clocks are wrong, differ, or jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use amp_write::clock::{Clock, SystemClock, Time};
use amp_write::sandbox::audit::{Acknowledged, audit};
use amp_write::sandbox::{FaultKind, FaultSpec};
use serde_json::{Value, json};

use crate::harness::service::{GROUP, PLAIN, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(
    a_contact_in_doubt_is_found_whatever_the_clock_of_the_node_says,
    somebody_elses_older_contact_is_not_taken_for_ours_by_a_node_whose_clock_is_behind,
    a_clock_that_jumps_keeps_the_order_and_loses_nothing,
);

const HOUR: i64 = 3_600_000_000;

/// The system's clock, wrong by some microseconds.
#[derive(Debug, Default)]
struct Wrong(AtomicI64);

impl Wrong {
    fn by(micros: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(micros)))
    }

    fn jump_to(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }
}

impl Clock for Wrong {
    fn now(&self) -> Time {
        Time::from_micros(SystemClock.now().as_micros() + self.0.load(Ordering::SeqCst))
    }
}

async fn service(kind: Kind, clock: Arc<Wrong>) -> Service {
    let sandbox = start_sandbox().await;
    let tuning = tuning(&sandbox);
    let service = Service::with_clock(kind, sandbox, tuning, clock).await;
    service.set_up(PLAIN).await;
    service
}

async fn accept(service: &Service, object: &str, kind: &str, record: Value) -> String {
    let body = json!({"groupRef": GROUP, "type": kind, "mode": "asynchronous", "record": record});
    let answer = service.client.write("hs", object, body).await.expect(200).json();
    answer["operationId"].as_str().expect("an id").to_owned()
}

async fn a_contact_in_doubt_is_found_whatever_the_clock_of_the_node_says(kind: Kind) {
    for wrong in [-24 * HOUR, -HOUR, HOUR, 24 * HOUR] {
        let service = service(kind, Wrong::by(wrong)).await;
        service
            .sandbox
            .fault(FaultSpec::new(FaultKind::DropAfterCommit).once())
            .expect("a good fault");
        let record = json!({"email": "ada@example.com", "firstname": "Ada"});
        let operation = accept(&service, "contacts", "create", record).await;
        let done = service.client.ended(&operation).await;
        assert_eq!(
            done["metadata"]["state"], "succeeded",
            "wrong by {wrong} µs: {done}"
        );
        assert_eq!(service.created(), 1);
    }
}

async fn somebody_elses_older_contact_is_not_taken_for_ours_by_a_node_whose_clock_is_behind(kind: Kind) {
    let service = service(kind, Wrong::by(-HOUR)).await;
    let earlier = Time::from_micros(SystemClock.now().as_micros() - HOUR / 2);
    let control = async |body: Value| {
        service
            .sandbox
            .control(http::Method::POST, "/clock", &body)
            .await
            .expect("the clock is set");
    };
    control(json!({"freeze": earlier.to_string()})).await;
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"email": "ada@example.com"}});
    service.client.write("hs", "contacts", body).await.expect(200);
    control(json!({"run": true})).await;
    service
        .sandbox
        .fault(
            FaultSpec::new(FaultKind::DropBeforeCommit)
                .action("create")
                .once(),
        )
        .expect("a good fault");
    let operation = accept(
        &service,
        "contacts",
        "create",
        json!({"email": "ada@example.com"}),
    )
    .await;
    let done = service.client.ended(&operation).await;
    assert_eq!(done["metadata"]["state"], "needs_review", "{done}");
    assert_eq!(service.created(), 1);
    // The same in a batch, beside one that is nobody's.
    service
        .sandbox
        .fault(
            FaultSpec::new(FaultKind::DropBeforeCommit)
                .action("create")
                .once(),
        )
        .expect("a good fault");
    let body = json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous",
        "batch": [{"record": {"email": "ada@example.com"}}, {"record": {"email": "grace@example.com"}}]});
    let answer = service
        .client
        .write("hs", "contacts", body)
        .await
        .expect(200)
        .json();
    let operation = answer["operationId"].as_str().expect("an id");
    let done = service.client.ended(operation).await;
    let states: Vec<&str> = done["metadata"]["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|record| record["state"].as_str().expect("a state"))
        .collect();
    assert_eq!(states, ["needs_review", "succeeded"], "{done}");
    assert_eq!(service.created(), 2);
}

/// Updates of one company, each by the next of these nodes; the order that the provider sees must be the accepted one.
async fn ordered_updates(nodes: &[&Service], before_each: impl Fn(u64)) {
    let first = nodes[0];
    let body = json!({"groupRef": GROUP, "type": "create", "record": {"name": "Acme"}});
    let made = first
        .client
        .write("hs", "companies", body)
        .await
        .expect(200)
        .json();
    let id = made["result"]["recordId"].as_str().expect("an id").to_owned();
    first
        .sandbox
        .fault(
            FaultSpec::new(FaultKind::ServerError)
                .action("update")
                .probability(0.2)
                .times(10),
        )
        .expect("a good fault");
    let mut operations = Vec::new();
    let mut told = Vec::new();
    for number in 1..=24_u64 {
        before_each(number);
        let node = nodes[usize::try_from(number).expect("small") % nodes.len()];
        let city = format!("city {number}");
        let operation = accept(node, "companies", "update", json!({"id": id, "city": city})).await;
        told.push(Acknowledged {
            operation: city.clone(),
            object: "companies".to_owned(),
            action: "update".to_owned(),
            id: Some(id.clone()),
            values: json!({ "city": city }).as_object().cloned().expect("an object"),
            order: number,
            ..Acknowledged::default()
        });
        operations.push(operation);
    }
    for operation in &operations {
        let done = first.client.ended(operation).await;
        assert_eq!(done["status"], "success", "{done}");
    }
    let report = audit(&first.sandbox.ledger(), &told);
    assert_eq!(
        (report.missing.len(), report.out_of_order.len()),
        (0, 0),
        "{report:?}"
    );
}

async fn a_clock_that_jumps_keeps_the_order_and_loses_nothing(kind: Kind) {
    let clock = Wrong::by(0);
    let service = service(kind, Arc::clone(&clock)).await;
    let jumps = [0, HOUR, -HOUR, 96 * HOUR, -96 * HOUR, HOUR / 3600];
    ordered_updates(&[&service], |number| {
        clock.jump_to(jumps[usize::try_from(number).expect("small") % jumps.len()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_whose_clocks_differ_by_days_keep_the_order() {
    let ahead = service(Kind::Postgres, Wrong::by(96 * HOUR)).await;
    let behind = ahead.beside(Wrong::by(-96 * HOUR)).await;
    ordered_updates(&[&ahead, &behind], |_| {}).await;
}
