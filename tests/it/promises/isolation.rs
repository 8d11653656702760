//! P5: what one customer's installation suffers does not delay another's. Counted in turns, not in time: how many requests of
//! others reach their providers between the acceptance of a quiet customer's write and its own request.

use amp_write::sandbox::{FaultKind, FaultSpec};
use amp_write::settings::TuningArgs;
use serde_json::json;

use crate::harness::client::PATIENCE;
use crate::harness::service::{PLAIN, start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(quiet_customers_are_served_within_a_few_turns_whatever_others_suffer);

/// Writes that the flooding customer has waiting.
const FLOOD: usize = 400;
/// Turns that a quiet customer's write waits at most, of the hundreds that are there.
const TURNS: usize = 40;

async fn accept(service: &Service, group: &str, name: String) -> String {
    let body = json!({"groupRef": group, "type": "create", "mode": "asynchronous", "onUnknown": "retry", "record": {"name": name}});
    let answer = service
        .client
        .write("hs", "companies", body)
        .await
        .expect(200)
        .json();
    answer["operationId"].as_str().expect("an id").to_owned()
}

async fn quiet_customers_are_served_within_a_few_turns_whatever_others_suffer(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        worker_concurrency: 10,
        lane_concurrency: 2,
        // The calls that are held stay open all the while, however slow the machine is.
        provider_timeout_seconds: 120,
        lease_seconds: 60,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.deploy(PLAIN).await;
    let groups = [
        "flood", "outage", "limited", "dead", "quiet-0", "quiet-1", "quiet-2",
    ];
    for group in groups {
        let token = if group == "dead" {
            "revoked".to_owned()
        } else {
            format!("test-{group}")
        };
        service.connect(group, "hubspot", &token).await;
        service.install("hs", group, json!({"provider": "hubspot"})).await;
    }
    let fault = |spec: FaultSpec| service.sandbox.fault(spec).expect("a good fault");
    let hold = fault(FaultSpec::new(FaultKind::Hold).account("outage"));
    fault(
        FaultSpec {
            policy: Some("SECONDLY".to_owned()),
            retry_after: Some(60),
            ..FaultSpec::new(FaultKind::RateLimit)
        }
        .account("limited"),
    );
    let slow = FaultSpec {
        delay_ms: Some(10),
        ..FaultSpec::new(FaultKind::Delay)
    };
    fault(slow.account("flood"));

    for group in ["outage", "limited", "dead"] {
        for number in 0..20 {
            accept(&service, group, format!("{group} {number}")).await;
        }
    }
    let flood = futures_util::future::join_all(
        (0..FLOOD).map(|number| accept(&service, "flood", format!("flood {number}"))),
    )
    .await;
    hold.wait_hits(2).await;

    let mut most = 0;
    for round in 0..5 {
        for quiet in ["quiet-0", "quiet-1", "quiet-2"] {
            let name = format!("{quiet} {round}");
            let operation = accept(&service, quiet, name.clone()).await;
            let accepted_at = service.sandbox.ledger().len();
            let arrived = |entries: &[amp_write::sandbox::LedgerEntry]| {
                entries
                    .iter()
                    .any(|entry| entry.body.contains(&format!("\"{name}\"")))
            };
            let ledger = tokio::time::timeout(PATIENCE, service.sandbox.wait_ledger(arrived))
                .await
                .expect("the quiet customer is served");
            let at = ledger
                .iter()
                .position(|entry| entry.body.contains(&format!("\"{name}\"")))
                .expect("it arrived");
            most = most.max(at.saturating_sub(accepted_at));
            assert_eq!(service.client.ended(&operation).await["status"], "success");
        }
    }
    let served = service.sandbox.ledger_since(0, Some("flood")).len();
    println!(
        "at most {most} turns of others came first; {served} of the {FLOOD} writes of the flood were through by then"
    );
    assert!(
        most <= TURNS,
        "a quiet customer waited for {most} requests of others"
    );
    assert!(
        served < FLOOD,
        "the flood was over before the quiet ones were through: it shows nothing"
    );
    assert_eq!(
        hold.hits(),
        2,
        "a customer whose provider is silent has no more calls open than its limit"
    );
    // None of it was lost meanwhile.
    for operation in &flood {
        assert_eq!(service.client.ended(operation).await["status"], "success");
    }
    hold.remove();
}
