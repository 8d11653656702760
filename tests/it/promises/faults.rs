//! Every fault of the sandbox against a mix of writes, each on a customer of its own.

use std::time::Duration;

use amp_write::sandbox::{FaultKind, FaultSpec, Provider, Token, token_faults};
use amp_write::settings::TuningArgs;
use serde_json::{Map, Value, json};

use super::load::{MANIFEST, Sent, Told};
use super::verdict::{End, Summary, compare, ends};
use crate::harness::service::{start_sandbox, tuning};
use crate::harness::{Kind, Service, on_both_stores};

on_both_stores!(under_every_fault_nothing_is_lost_doubled_or_out_of_order);

/// What a fault may do to the writes that meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Everything succeeds.
    None,
    /// Creates that cannot be looked up may end in review.
    Doubt,
    /// The provider refuses some for good.
    Refusal,
    /// The credentials die: everything waits for the customer to reconnect, then succeeds.
    Hold,
}

/// One line of the table: a name, the faults, what they may do.
type Line = (&'static str, Vec<FaultSpec>, Harm);

fn table() -> Vec<Line> {
    use FaultKind as F;
    let fault = FaultSpec::new;
    let few = |kind: F| FaultSpec::new(kind).times(3);
    let of_tokens = |kind| !matches!(kind, F::Delay | F::RateLimit | F::ServerError);
    let tokens = token_faults().into_iter().map(|(_, spec)| spec.fault);
    let tokens = tokens.filter(|kind| of_tokens(*kind)).map(few).collect();
    vec![
        ("drop_before_commit", vec![few(F::DropBeforeCommit)], Harm::Doubt),
        ("drop_after_commit", vec![few(F::DropAfterCommit)], Harm::Doubt),
        (
            "drop_after_commit now and then",
            vec![fault(F::DropAfterCommit).probability(0.3).times(8)],
            Harm::Doubt,
        ),
        (
            "delay",
            vec![FaultSpec {
                delay_ms: Some(100),
                ..few(F::Delay)
            }],
            Harm::None,
        ),
        ("hold", vec![few(F::Hold)], Harm::None),
        (
            "hold after the commit, longer than the service waits",
            vec![few(F::Hold).after_commit()],
            Harm::Doubt,
        ),
        (
            "rate_limit",
            vec![FaultSpec {
                policy: Some("SECONDLY".to_owned()),
                retry_after: Some(1),
                ..few(F::RateLimit)
            }],
            Harm::None,
        ),
        ("server_error", vec![few(F::ServerError)], Harm::Doubt),
        (
            "server_error after the commit",
            vec![
                FaultSpec {
                    status: Some(503),
                    ..few(F::ServerError)
                }
                .after_commit(),
            ],
            Harm::Doubt,
        ),
        (
            "error",
            vec![FaultSpec {
                status: Some(400),
                code: Some("INVALID".to_owned()),
                ..few(F::Error)
            }],
            Harm::Refusal,
        ),
        (
            "answer",
            vec![
                FaultSpec {
                    status: Some(200),
                    body: Some("{}".to_owned()),
                    ..few(F::Answer)
                }
                .action("create"),
            ],
            Harm::Doubt,
        ),
        (
            "migrating",
            vec![FaultSpec {
                retry_after: Some(1),
                ..few(F::Migrating)
            }],
            Harm::None,
        ),
        ("row_lock", vec![fault(F::RowLock).times(2)], Harm::None),
        (
            "lag_search",
            vec![fault(F::LagSearch), few(F::DropAfterCommit)],
            Harm::Doubt,
        ),
        ("truncate_json", vec![few(F::TruncateJson)], Harm::Doubt),
        (
            "truncate_json, and the connection is cut",
            vec![FaultSpec {
                cut: true,
                ..few(F::TruncateJson)
            }],
            Harm::Doubt,
        ),
        (
            "huge_body",
            vec![FaultSpec {
                bytes: Some(2_000_000),
                ..few(F::HugeBody)
            }],
            Harm::Doubt,
        ),
        (
            "slow_drip",
            vec![FaultSpec {
                chunk_bytes: Some(64),
                delay_ms: Some(1),
                ..few(F::SlowDrip)
            }],
            Harm::None,
        ),
        (
            "slow_drip, slower than the service waits",
            vec![FaultSpec {
                chunk_bytes: Some(1),
                delay_ms: Some(100),
                ..few(F::SlowDrip)
            }],
            Harm::Doubt,
        ),
        ("expire_token", vec![fault(F::ExpireToken).once()], Harm::Hold),
        ("revoke_grant", vec![fault(F::RevokeGrant).once()], Harm::Hold),
        // These act on batches, keyed upserts and token calls only: here they must do no harm.
        ("shuffle_results", vec![few(F::ShuffleResults)], Harm::None),
        ("drop_trace_ids", vec![few(F::DropTraceIds)], Harm::None),
        ("partial", vec![few(F::Partial)], Harm::None),
        ("upsert_race", vec![few(F::UpsertRace)], Harm::None),
        ("faults of tokens", tokens, Harm::None),
    ]
}

/// Accepts contacts, companies, leads, and updates of one company and one account.
async fn mix(
    service: &Service,
    group: &str,
    records: &[(&'static str, &'static str, &'static str, String)],
) -> Vec<Sent> {
    let mut sent = Vec::new();
    for number in 0..4 {
        for (integration, object, field, keyed) in [
            ("hs", "contacts", "email", true),
            ("hs", "companies", "name", false),
            ("sf", "Lead", "LastName", false),
        ] {
            let value = format!("{group}-{number}@example.com");
            let mark = json!({ field: value });
            let mut record = mark.clone();
            if object == "Lead" {
                record["Company"] = json!("Northpeak");
            }
            let body = json!({"groupRef": group, "type": "create", "mode": "asynchronous", "record": record});
            sent.push(accept(service, integration, group, object, body, &mark, None, keyed, 0).await);
        }
        for (integration, object, field, id) in records {
            let order = number + 1;
            let mark = json!({ *field: format!("{group} {order}") });
            let mut record = mark.clone();
            record["id"] = json!(id);
            let body = json!({"groupRef": group, "type": "update", "mode": "asynchronous", "record": record});
            sent.push(
                accept(
                    service,
                    integration,
                    group,
                    object,
                    body,
                    &mark,
                    Some(id),
                    true,
                    order,
                )
                .await,
            );
        }
    }
    sent
}

#[expect(clippy::too_many_arguments, reason = "what is known of a write")]
async fn accept(
    service: &Service,
    integration: &str,
    group: &str,
    object: &'static str,
    body: Value,
    mark: &Value,
    record: Option<&String>,
    keyed: bool,
    order: u64,
) -> Sent {
    let answer = service
        .client
        .write(integration, object, body)
        .await
        .expect(200)
        .json();
    let operation = answer["operationId"].as_str().expect("an id").to_owned();
    Sent {
        name: operation.clone(),
        told: Told::Accepted,
        place: 0,
        operation: Some(operation),
        account: group.to_owned(),
        object,
        action: if record.is_some() { "update" } else { "create" },
        record: record.cloned(),
        mark: mark.as_object().cloned().unwrap_or_else(Map::new),
        order,
        keyed,
    }
}

/// New credentials for both connections of a customer, once both are known to be dead.
async fn reconnect(service: &Service, group: &str) {
    let client = &service.client;
    for (name, provider) in [
        ("hubspot", Provider::HubSpot),
        ("salesforce", Provider::Salesforce),
    ] {
        let connections = client
            .get(&format!("/connections?provider={name}&groupRef={group}"))
            .await
            .expect(200)
            .json();
        let path = format!("/connections/{}", connections[0]["id"].as_str().expect("an id"));
        let token = format!("new-{group}");
        service.sandbox.put_token(Token {
            token: token.clone(),
            provider,
            account: group.to_owned(),
            expires_at_ms: None,
            scopes: None,
            revoked: false,
            grant: None,
        });
        let started = std::time::Instant::now();
        while client.get(&path).await.expect(200).json()["status"] != "bad_credentials" {
            assert!(
                started.elapsed() < crate::harness::client::PATIENCE,
                "{name} of {group} is not held"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let change = json!({"updateMask": ["oauth2AuthorizationCode"],
            "connection": {"oauth2AuthorizationCode": {"accessToken": {"token": token}}}});
        client.patch(&path, change).await.expect(200);
    }
}

/// What a line's writes came to, where it is wrong.
fn judge(
    ledger: &[amp_write::sandbox::LedgerEntry],
    line: &Line,
    sent: &[Sent],
    ends: &[End],
    made_before: &[Sent],
) -> Vec<String> {
    let (name, _, harm) = line;
    let mut all: Vec<Sent> = made_before.to_vec();
    all.extend_from_slice(sent);
    let mut all_ends = vec![End::default(); made_before.len()];
    all_ends.extend_from_slice(ends);
    let account = &sent[0].account;
    let ledger: Vec<_> = ledger
        .iter()
        .filter(|entry| entry.account.as_ref() == Some(account))
        .cloned()
        .collect();
    let mut wrong = compare(&ledger, &all, &all_ends).0;
    for (sent, end) in sent.iter().zip(ends) {
        // What met no fault has nothing to fear from it.
        let met = ledger.iter().any(|entry| {
            let mut values = sent.mark.values();
            !entry.faults.is_empty() && values.all(|value| entry.body.contains(&value.to_string()))
        });
        let allowed = match (end.state.as_str(), harm) {
            ("succeeded", _) => true,
            ("failed", Harm::Refusal) => met,
            ("needs_review", Harm::Doubt) => met && !sent.keyed,
            _ => false,
        };
        if !allowed {
            wrong.push(format!(
                "{} {} ended as {}: {}",
                sent.object, sent.action, end.state, end.detail
            ));
        }
    }
    wrong.into_iter().map(|text| format!("{name}: {text}")).collect()
}

async fn under_every_fault_nothing_is_lost_doubled_or_out_of_order(kind: Kind) {
    let sandbox = start_sandbox().await;
    let tuning = TuningArgs {
        provider_timeout_seconds: 2,
        max_provider_bytes: 1 << 20,
        ..tuning(&sandbox)
    };
    let service = Service::with(kind, sandbox, tuning).await;
    service.deploy(MANIFEST).await;
    let lines = table();
    let mut running = Vec::new();
    for (number, (_, faults, _)) in lines.iter().enumerate() {
        let group = format!("line-{number}");
        let mut records = Vec::new();
        let mut before = Vec::new();
        for (integration, provider, object, name, field) in [
            ("hs", "hubspot", "companies", "name", "city"),
            ("sf", "salesforce", "Account", "Name", "Description"),
        ] {
            service.connect(&group, provider, &format!("test-{group}")).await;
            service
                .install(integration, &group, json!({ "provider": provider }))
                .await;
            let mark = json!({ name: "target" });
            let body = json!({"groupRef": group, "type": "create", "record": mark});
            let made = service
                .client
                .write(integration, object, body)
                .await
                .expect(200)
                .json();
            let id = made["result"]["recordId"].as_str().expect("an id").to_owned();
            records.push((integration, object, field, id));
            before.push(Sent {
                name: format!("target {object}"),
                told: Told::Done,
                place: 0,
                operation: None,
                account: group.clone(),
                object,
                action: "create",
                record: None,
                mark: mark.as_object().cloned().expect("an object"),
                order: 0,
                keyed: false,
            });
        }
        // A fault that acts a few times acts so often at each provider.
        let mut in_force = Vec::new();
        for spec in faults {
            for provider in [Provider::HubSpot, Provider::Salesforce] {
                let spec = FaultSpec {
                    when: amp_write::sandbox::Matcher {
                        provider: Some(provider),
                        ..spec.when.clone()
                    },
                    ..spec.clone()
                };
                in_force.push(
                    service
                        .sandbox
                        .fault(spec.account(group.as_str()))
                        .expect("a good fault"),
                );
            }
        }
        running.push((group, records, before, in_force));
    }
    // Held before the commit: let go at once when something is held, or the provider would do it after the service has given
    // up. Held after it: the service gives up by itself.
    for ((_, faults, harm), (.., in_force)) in lines.iter().zip(&running) {
        if *harm == Harm::None && faults[0].fault == FaultKind::Hold {
            for fault in in_force.clone() {
                tokio::spawn(async move {
                    fault.wait_hits(1).await;
                    fault.remove();
                });
            }
        }
    }
    let mut all = Vec::new();
    for (group, records, ..) in &running {
        all.push(mix(&service, group, records).await);
    }
    for ((_, _, harm), (group, ..)) in lines.iter().zip(&running) {
        if *harm == Harm::Hold {
            reconnect(&service, group).await;
        }
    }
    let mut wrong = Vec::new();
    let mut endings = Vec::new();
    for sent in &all {
        endings.push(ends(&service.client, sent).await);
    }
    service.sandbox.clear_faults();
    let done = |entries: &[amp_write::sandbox::LedgerEntry]| {
        entries
            .iter()
            .all(|entry| entry.status != amp_write::sandbox::LedgerStatus::Pending)
    };
    let ledger = service.sandbox.wait_ledger(done).await;
    for (((line, sent), ends), (_, _, before, in_force)) in lines.iter().zip(&all).zip(&endings).zip(&running)
    {
        let hits: u64 = in_force.iter().map(amp_write::sandbox::FaultHandle::hits).sum();
        println!("{}: {hits} hits, {}", line.0, Summary::new(sent, ends));
        wrong.extend(judge(&ledger, line, sent, ends, before));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_table_has_every_fault_that_the_documentation_lists() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sandbox.md"))
        .expect("the documentation");
    let faults = text
        .split_once("| `fault` | what happens")
        .and_then(|(_, rest)| rest.split("**Without sleeping.**").next())
        .expect("the lists of faults");
    let listed: Vec<&str> = faults
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| *name != "fault")
        .collect();
    assert!(listed.len() > 40, "{listed:?}");
    let table = table();
    for name in listed {
        assert!(
            table
                .iter()
                .any(|(_, specs, _)| specs.iter().any(|spec| spec.fault.name() == name)),
            "{name} is not in the table"
        );
    }
}
