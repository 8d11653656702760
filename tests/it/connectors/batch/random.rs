//! Random batches answered by a small model of HubSpot: no record gets the id of another, no failure is told as a success.

use std::collections::BTreeMap;

use amp_write::action::Action;
use amp_write::connectors::{BatchOutcome, Outcome};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Batch, create, update};

/// What the model makes of one record, and how it tells.
#[derive(Debug, Clone)]
struct Fate {
    fails: bool,
    /// The error names the record.
    named: bool,
    /// The record is in the answer at all.
    told: bool,
    /// For an update: merged into another record.
    merged: bool,
}

#[derive(Debug, Clone)]
struct World {
    records: Vec<Vec<Option<u8>>>,
    fates: Vec<Fate>,
    order: Vec<u32>,
    echo: Vec<bool>,
    rewrites: bool,
    shared_error: bool,
    all_or_none: bool,
}

fn world() -> impl Strategy<Value = World> {
    let fate = (
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.95),
        prop::bool::weighted(0.1),
    );
    let fate = fate.prop_map(|(fails, named, told, merged)| Fate {
        fails,
        named,
        told,
        merged,
    });
    // Few values, so that records are alike; and one key that only some have.
    let record = prop::collection::vec(prop::option::of(0..3_u8), 4);
    (1..12_usize).prop_flat_map(move |count| {
        (
            prop::collection::vec(record.clone(), count),
            prop::collection::vec(fate.clone(), count),
            prop::collection::vec(any::<u32>(), count),
            prop_oneof![
                Just(vec![true; count]),
                Just(vec![false; count]),
                prop::collection::vec(any::<bool>(), count)
            ],
            any::<bool>(),
            any::<bool>(),
            prop::bool::weighted(0.2),
        )
            .prop_map(
                |(records, fates, order, echo, rewrites, shared_error, all_or_none)| World {
                    records,
                    fates,
                    order,
                    echo,
                    rewrites,
                    shared_error,
                    all_or_none,
                },
            )
    })
}

const KEYS: [&str; 4] = ["email", "name", "phone", "city"];

fn sent(values: &[Option<u8>]) -> Value {
    let value = |key: &str, value: u8| match key {
        "email" => json!(format!("{value}@x.example")),
        // HubSpot's own way of writing it is `+1`, which may be sent too.
        "phone" => json!(["1", "+1", "2"][usize::from(value)]),
        _ => json!(format!("{key}{value}")),
    };
    let all = KEYS.iter().zip(values);
    Value::Object(
        all.filter_map(|(key, own)| Some(((*key).to_owned(), value(key, (*own)?))))
            .collect(),
    )
}

/// The record as HubSpot keeps it.
fn kept(world: &World, record: &Map<String, Value>) -> Map<String, Value> {
    let mut kept = record.clone();
    if world.rewrites
        && let Some(phone) = kept.get_mut("phone")
        && *phone == json!("1")
    {
        *phone = json!("+1");
    }
    kept
}

/// The answer, and the id that each record really has.
fn answered(world: &World, batch: &Batch) -> (Value, Vec<Option<String>>) {
    let update = batch.action == Action::Update;
    let traced = update || !batch.all_or_none;
    let (mut results, mut errors, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let mut shared: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (at, fate) in world.fates.iter().enumerate() {
        // Without trace ids one failure would have refused all.
        let fails = fate.fails && traced;
        let id = match &batch.ids[at] {
            Some(_) if fate.merged => format!("9{at}00"),
            Some(id) => id.clone(),
            None => format!("{}", 1000 + at),
        };
        ids.push((!fails).then(|| id.clone()));
        if !fate.told {
            continue;
        }
        let key = if update { "ids" } else { "objectWriteTraceId" };
        let name = if update {
            json!(batch.ids[at])
        } else {
            json!(batch.traces[at])
        };
        if fails && fate.named && world.shared_error {
            shared.entry(key).or_default().push(name);
        } else if fails {
            let context = if fate.named {
                json!({key: [name]})
            } else {
                json!({})
            };
            errors.push(json!({"category": "VALIDATION_ERROR", "message": "no", "context": context}));
        } else {
            let mut shown = kept(world, &batch.records[at]);
            shown.insert("createdate".into(), "2026-10-05T09:14:22.118Z".into());
            let mut result = json!({"id": id, "properties": shown});
            if traced && world.echo[at] {
                result["objectWriteTraceId"] = batch.traces[at].as_str().into();
            }
            results.push((world.order[at], result));
        }
    }
    for (key, names) in shared {
        errors.push(json!({"category": "VALIDATION_ERROR", "message": "no", "context": {key: names}}));
    }
    results.sort_by_key(|(order, _)| *order);
    let results: Vec<Value> = results.into_iter().map(|(_, result)| result).collect();
    let mut answer = json!({"status": "COMPLETE", "results": results});
    if !errors.is_empty() {
        answer["numErrors"] = errors.len().into();
        answer["errors"] = errors.into();
    }
    (answer, ids)
}

fn check(world: &World, batch: &Batch) -> Result<(), TestCaseError> {
    let (answer, ids) = answered(world, batch);
    let outcome = batch.interpret(207, answer.to_string().as_bytes());
    let BatchOutcome::Each(all) = &outcome else {
        return Err(TestCaseError::fail(format!("{outcome:?}")));
    };
    prop_assert_eq!(all.len(), ids.len());
    let mut taken = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let context = || format!("record {at}: {one:?}\nanswer {answer:#}");
        match one {
            Outcome::Succeeded { record_id, .. } => {
                // Records of the same content are interchangeable, so one of them may be told for the other.
                let twins: Vec<usize> = (0..ids.len())
                    .filter(|other| batch.records[*other] == batch.records[at] && batch.ids[at].is_none())
                    .collect();
                let possible = |other: &usize| ids[*other].is_some() && *record_id == ids[*other];
                let mine = ids[at].is_some() && (record_id.is_none() || *record_id == ids[at]);
                prop_assert!(mine || twins.iter().any(possible), "{}", context());
                if let Some(id) = record_id {
                    prop_assert!(!taken.contains(id), "given twice, {}", context());
                    taken.push(id.clone());
                }
            }
            Outcome::Rejected(_) => {
                let twin = |other: usize| batch.records[other] == batch.records[at] && ids[other].is_none();
                prop_assert!(
                    ids[at].is_none() || (batch.ids[at].is_none() && (0..ids.len()).any(twin)),
                    "{}",
                    context()
                );
            }
            Outcome::Unknown(_) => prop_assert_eq!(batch.action, Action::Create),
            Outcome::Retry { .. } => prop_assert_eq!(batch.action, Action::Update),
            Outcome::Unauthorized(_) => prop_assert!(false, "{}", context()),
        }
        // What an answer says outright is never lost.
        if world.echo[at]
            && world.fates[at].told
            && ids[at].is_some()
            && !(batch.action == Action::Create && batch.all_or_none)
        {
            prop_assert!(
                matches!(one, Outcome::Succeeded { record_id, .. } if *record_id == ids[at]),
                "{}",
                context()
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_created_record_gets_the_id_of_another(world in world(), object in prop_oneof![Just("contacts"), Just("companies")]) {
        let mut world = world;
        if object == "contacts" {
            // HubSpot keeps the email of contacts unique.
            for (at, record) in world.records.iter_mut().enumerate() {
                record[0] = record[0].map(|_| u8::try_from(at).unwrap());
            }
        }
        let records: Vec<Value> = world.records.iter().map(|values| sent(values)).collect();
        let mut batch = create("hubspot", object, &records);
        batch.all_or_none = world.all_or_none;
        check(&world, &batch)?;
    }

    #[test]
    fn no_updated_record_gets_the_id_of_another(world in world()) {
        let ids: Vec<String> = (0..world.records.len()).map(|at| (100 + at).to_string()).collect();
        let records: Vec<(&str, Value)> = ids.iter().map(String::as_str).zip(world.records.iter().map(|values| sent(values))).collect();
        check(&world, &update("hubspot", "companies", &records))?;
    }
}
