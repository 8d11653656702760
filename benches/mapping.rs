//! What a plan costs: compiling it, and applying it to a record.
//!
//! `cargo bench --bench mapping`. The goals: a 20-field record in under 5 µs, a plan for 500 fields in under
//! 1 ms.

use std::hint::black_box;

use amp_write::action::Action;
use amp_write::manifest::{ConfigContent, Integration};
use amp_write::mapping::{ApplyOptions, Plan};
use criterion::{BatchSize, Criterion};
use serde_json::{Map, Value, json};

/// An integration whose object has this many mapped fields, half of them chosen by the customer.
fn integration(fields: usize) -> (Integration, ConfigContent) {
    let given =
        |n: usize| json!({"fieldName": format!("provider_field_{n}"), "mapToName": format!("field_{n}")});
    let asked = |n: usize| json!({"mapToName": format!("field_{n}")});
    let content = json!({
        "name": "bench", "provider": "hubspot",
        "read": {"objects": [{
            "objectName": "contacts", "destination": "webhook", "schedule": "@daily",
            "requiredFields": (0..fields / 2).map(given).collect::<Vec<_>>(),
            "optionalFields": (fields / 2..fields).map(asked).collect::<Vec<_>>(),
        }]},
        "write": {"objects": [{"objectName": "contacts", "inheritMapping": true}]},
    });
    let chosen: Map<String, Value> = (fields / 2..fields)
        .map(|n| (format!("field_{n}"), json!(format!("provider_field_{n}"))))
        .collect();
    let config = json!({
        "provider": "hubspot",
        "read": {"objects": {"contacts": {
            "objectName": "contacts",
            "selectedFieldMappings": chosen,
            "selectedValueMappings": {"field_0": {"high": "P1", "low": "P2"}},
        }}},
        "write": {"objects": {"contacts": {
            "objectName": "contacts",
            "selectedFieldSettings": {
                "source": {"default": {"stringValue": "myApp"}},
                "field_1": {"writeOnUpdate": "never"},
            },
        }}},
    });
    let integration = Integration::from_content(&content).expect("a valid integration");
    (
        integration,
        ConfigContent::parse(&config).expect("a valid config"),
    )
}

/// A record with the first `mapped` fields of the mapping and `other` fields outside it.
fn record(mapped: usize, other: usize) -> Map<String, Value> {
    let mapped = (0..mapped).map(|n| {
        (
            format!("field_{n}"),
            json!(format!("value {n} of a usual length")),
        )
    });
    let other = (0..other).map(|n| {
        (
            format!("other_{n}"),
            json!({"text": format!("value {n}"), "list": [1, 2, 3]}),
        )
    });
    mapped.chain(other).collect()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (small, small_config) = integration(20);
    let plan = Plan::compile(&small, &small_config, "contacts").expect("a plan");
    let unmapped = ConfigContent::default();
    let plain = Integration::from_content(&json!({
        "name": "plain", "provider": "hubspot", "write": {"objects": [{"objectName": "contacts"}]},
    }))
    .expect("a valid integration");
    let plain_plan = Plan::compile(&plain, &unmapped, "contacts").expect("a plan");
    let mut apply = |name: &str, plan: &Plan, record: Map<String, Value>| {
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(
                || record.clone(),
                |record| plan.apply(black_box(record), Action::Create, ApplyOptions::default()),
                BatchSize::SmallInput,
            );
        });
    };
    apply("apply/20 mapped fields", &plan, record(20, 0));
    apply("apply/10 mapped and 10 other fields", &plan, record(10, 10));
    apply("apply/20 fields, no mapping", &plain_plan, record(0, 20));
    let (large, large_config) = integration(500);
    criterion.bench_function("compile/500 fields", |bencher| {
        bencher.iter(|| Plan::compile(black_box(&large), black_box(&large_config), "contacts"));
    });
    criterion.final_summary();
}
