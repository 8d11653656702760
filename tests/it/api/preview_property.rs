//! Over generated manifests, configs and records: what a preview shows is what the simulator then receives, byte for byte.
//!
//! `AMP_PREVIEW_CASES` sets how many each of the two halves runs (5,000 when unset), `AMP_PREVIEW_SEED` where to start; a failure names its seed.

use amp_write::action::Action;
use serde_json::{Value, json};

use crate::harness::service::GROUP;
use crate::harness::{Kind, Service};
use crate::mapping::generate::{Case, case};

/// So many integrations are deployed at once.
const AT_ONCE: u64 = 100;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[derive(Debug, Default)]
struct Ends {
    not_deployed: u64,
    not_installed: u64,
    refused: u64,
    nothing_to_send: u64,
    failed: u64,
    sent: u64,
}

/// The case as an integration of HubSpot.
fn of_hubspot(seed: u64) -> Case {
    let mut case = case(seed);
    case.content["name"] = json!(format!("i{seed}"));
    case.content["provider"] = json!("hubspot");
    case.config["provider"] = json!("hubspot");
    case.config["write"]["objects"]["obj"]["deletionSettings"] = json!({"enabled": true});
    case
}

#[tokio::test]
async fn every_preview_is_what_the_simulator_then_receives() {
    run().await;
}

/// The same over other cases: two halves run at the same time.
#[tokio::test]
async fn every_further_preview_is_what_the_simulator_then_receives() {
    run().await;
}

async fn run() {
    let cases = setting("AMP_PREVIEW_CASES").unwrap_or(5_000);
    let first = setting("AMP_PREVIEW_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("AMP_PREVIEW_SEED={first} AMP_PREVIEW_CASES={cases}");
    let service = Service::lenient(Kind::Sqlite).await;
    service.connect(GROUP, "hubspot", "test-acme").await;
    let mut ends = Ends::default();
    let mut next = first;
    while next < first + cases {
        let batch: Vec<(u64, Case)> = (next..(next + AT_ONCE).min(first + cases))
            .map(|seed| (seed, of_hubspot(seed)))
            .collect();
        next += AT_ONCE;
        // Those that can be deployed are told apart by the same rules that the deploy applies.
        let good = |case: &Case| amp_write::manifest::Integration::from_content(&case.content).is_ok();
        let (good, bad): (Vec<_>, Vec<_>) = batch.into_iter().partition(|(_, case)| good(case));
        ends.not_deployed += bad.len() as u64;
        let contents: Vec<&Value> = good.iter().map(|(_, case)| &case.content).collect();
        service
            .deploy(&json!({"specVersion": "1.0.0", "integrations": contents}).to_string())
            .await;
        for (seed, case) in good {
            println!("AMP_PREVIEW_SEED={seed} AMP_PREVIEW_CASES=1");
            check(&service, seed, case, &mut ends).await;
        }
        service.sandbox.clear_ledger();
    }
    println!("{ends:?}");
    if cases >= 5_000 {
        let all = [
            ends.not_installed,
            ends.refused,
            ends.nothing_to_send,
            ends.failed,
            ends.sent,
        ];
        assert!(
            all.iter().all(|count| *count > 10),
            "some end is hardly ever reached: {ends:?}"
        );
    }
}

async fn check(service: &Service, seed: u64, case: Case, ends: &mut Ends) {
    let client = &service.client;
    let path = format!("/integrations/i{seed}");
    let installation = json!({"groupRef": GROUP, "config": {"content": case.config}});
    let installed = client.post(&format!("{path}/installations"), installation).await;
    if installed.status != 201 {
        assert_eq!(installed.status, 400, "{}", installed.body);
        ends.not_installed += 1;
        return;
    }
    let action = if case.action == Action::Delete {
        "delete"
    } else if case.action == Action::Create {
        "create"
    } else {
        "update"
    };
    let mut record = Value::Object(case.record.clone());
    if case.action != Action::Create
        && record.get("id").is_some_and(|id| id == "7" || *id == json!(7))
        && !seed.is_multiple_of(4)
    {
        // Most updates shall find their record, some of whose fields have values.
        let filled: serde_json::Map<String, Value> = case
            .current
            .iter()
            .filter(|(_, value)| !value.is_object() && !value.is_array())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let made = client
            .http
            .post(format!("{}/crm/v3/objects/obj", service.sandbox.hubspot_url()));
        let made = made
            .header("authorization", "Bearer test-acme")
            .header("content-type", "application/json");
        let made = client
            .send(made.body(json!({"properties": filled}).to_string()))
            .await
            .expect(201)
            .json();
        record["id"] = made["id"].clone();
    }
    let body = json!({"groupRef": GROUP, "type": action, "strict": case.strict, "record": record});
    let path = format!("{path}/objects/obj");
    let before = service.sandbox.ledger().last().map_or(0, |entry| entry.sequence);
    let preview = client.post(&format!("{path}?preview=true"), &body).await;
    let shown = service.sandbox.ledger_since(before, None);
    assert!(
        shown.iter().all(|entry| entry.method == "GET"),
        "a preview wrote: {shown:?}"
    );
    let before = shown.last().map_or(before, |entry| entry.sequence);
    let written = client.post(&path, &body).await;
    let received = service.sandbox.ledger_since(before, None);
    if preview.status != 200 {
        assert_eq!(
            preview.status, written.status,
            "{} {}",
            preview.body, written.body
        );
        assert_eq!(preview.json()["detail"], written.json()["detail"]);
        assert!(received.is_empty());
        ends.refused += 1;
        return;
    }
    let preview = preview.json();
    let requests = preview["requests"].as_array().unwrap();
    assert_eq!(requests.len(), received.len(), "{preview}\n{received:?}");
    for (request, entry) in requests.iter().zip(&received) {
        assert_eq!(request["method"], entry.method);
        let url = request["url"].as_str().unwrap();
        assert_eq!(url, format!("{}{}", service.sandbox.hubspot_url(), entry.path));
        assert_eq!(request["body"].as_str().unwrap_or_default(), entry.body);
        for (name, value) in request["headers"].as_object().unwrap() {
            let wanted = if name == "authorization" {
                "[redacted]"
            } else {
                value.as_str().unwrap()
            };
            let sent = entry
                .headers
                .iter()
                .any(|(key, value)| key.eq_ignore_ascii_case(name) && value == wanted);
            assert!(sent, "{name} in {:?}", entry.headers);
        }
    }
    let warnings = written.header("amp-warnings").to_owned();
    let told: Vec<&str> = preview["warnings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(warnings, told.join(", "), "{preview}");
    match preview["verdict"].as_str().unwrap() {
        "send" | "send_with_findings" => ends.sent += 1,
        "nothing_to_send" => {
            assert_eq!(written.status, 200, "{}", written.body);
            ends.nothing_to_send += 1;
        }
        "fail" => {
            assert_eq!(written.status, 422, "{}", written.body);
            assert_eq!(written.json()["errors"][0]["message"], preview["error"]);
            ends.failed += 1;
        }
        other => panic!("{other}"),
    }
}
