//! What connectors cost: parsing a file, and preparing a write. `cargo bench --bench connectors`.
//!
//! Targets: a file parses in under 1 ms, a prepare for a record of 20 fields takes under 10 µs.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use amp_write::action::Action;
use amp_write::connectors::declarative::definition::File;
use amp_write::connectors::{Catalog, Command, ProviderResponse, parse, without_examples};
use serde_json::{Map, Value};

/// The median time of one call, out of batches that take about 2 ms each.
fn median(mut call: impl FnMut()) -> Duration {
    let started = Instant::now();
    call();
    let once = started.elapsed().max(Duration::from_nanos(50));
    let batch = u32::try_from(Duration::from_millis(2).as_nanos() / once.as_nanos())
        .unwrap_or(1)
        .max(1);
    let mut times: Vec<Duration> = (0..25)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..batch {
                call();
            }
            started.elapsed() / batch
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn main() {
    let catalog = Catalog::builtin();
    let names: Vec<String> = catalog.names().map(str::to_owned).collect();
    let mut parsing: Vec<(Duration, &str)> = names
        .iter()
        .map(|name| {
            // As the service reads it: examples are for people and tests.
            let text = without_examples(catalog.builtin_text(name).expect("all are built in"));
            (
                median(|| drop(black_box(parse("built in", text, None)))),
                name.as_str(),
            )
        })
        .collect();
    parsing.sort();
    println!(
        "parse: median {:?} ({})",
        parsing[parsing.len() / 2].0,
        parsing.len()
    );
    for (time, name) in parsing.iter().rev().take(5) {
        let text = without_examples(catalog.builtin_text(name).expect("all are built in"));
        let yaml = median(|| drop(black_box(serde_yaml::from_str::<File>(text))));
        println!("  slowest: {time:?} {name}, of which YAML {yaml:?}");
    }
    println!(
        "catalogue without parsing: {:?}",
        median(|| drop(black_box(Catalog::builtin())))
    );

    let record: Map<String, Value> = (0..20)
        .map(|i| {
            (
                format!("field_{i}"),
                Value::from(format!("a value of ordinary length {i}")),
            )
        })
        .collect();
    let vars = BTreeMap::from([("workspace".to_owned(), "acme".to_owned())]);
    for (provider, object) in [
        ("hubspot", "contacts"),
        ("salesforce", "Contact"),
        ("outreach", "prospects"),
        ("stripe", "customers"),
    ] {
        let connector = catalog.get(provider).expect("it is built in");
        let command = Command {
            action: Action::Create,
            object,
            record_id: None,
            record: &record,
            associations: &[],
            headers: &[],
            vars: &vars,
            idempotency_key: Some("key"),
            repeated: false,
        };
        let time = median(|| drop(black_box(connector.prepare(black_box(&command), &[]))));
        println!("prepare {provider}, 20 fields: {time:?}");
        let response = ProviderResponse {
            status: 201,
            headers: Vec::new(),
            body: br#"{"id":"90211400017","success":true,"properties":{"email":"a@b.example"},"errors":[]}"#
                .to_vec(),
            truncated: false,
        };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let time = median(|| {
            drop(black_box(connector.interpret(
                black_box(&command),
                &response,
                now,
            )))
        });
        println!("interpret {provider}: {time:?}");
    }
}
