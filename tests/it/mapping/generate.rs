//! Manifests, configs and records at random: few names, so that they meet.

use amp_write::action::Action;
use fastrand::Rng;
use serde_json::{Map, Value, json};

/// One generated case.
#[derive(Debug)]
pub struct Case {
    pub content: Value,
    pub config: Value,
    pub record: Map<String, Value>,
    pub current: Map<String, Value>,
    pub action: Action,
    pub strict: bool,
}

const NAMES: [&str; 12] = [
    "a",
    "b",
    "c",
    "d",
    "e",
    "id",
    "o",
    "$['o']['p']",
    "$['o']['q']",
    "$['n']['m']['k']",
    "$['n']['m']['l']",
    "$['n']['x']",
];

/// Keys of records: also what only lies inside an object, or in no mapping at all.
const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "o", "n", "other"];

const INNER: [&str; 7] = ["p", "q", "m", "k", "l", "x", "z"];

fn pick<'n>(rng: &mut Rng, names: &[&'n str]) -> &'n str {
    names[rng.usize(..names.len())]
}

fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

pub fn case(seed: u64) -> Case {
    let mut rng = Rng::with_seed(seed);
    let rng = &mut rng;
    let action = [Action::Create, Action::Update, Action::Delete][rng.usize(..3)];
    Case {
        content: content(rng),
        config: config(rng),
        record: record(rng, action),
        current: object(rng, 2),
        action,
        strict: chance(rng, 10),
    }
}

fn content(rng: &mut Rng) -> Value {
    let field = |rng: &mut Rng| match rng.u8(..4) {
        0 => json!({"fieldName": pick(rng, &NAMES)}),
        1 => json!({"mapToName": pick(rng, &NAMES)}),
        _ => json!({"fieldName": pick(rng, &NAMES), "mapToName": pick(rng, &NAMES)}),
    };
    let required: Vec<Value> = (0..rng.usize(..3)).map(|_| field(rng)).collect();
    let optional: Vec<Value> = (0..rng.usize(..3)).map(|_| field(rng)).collect();
    let mut write = json!({"objectName": "obj"});
    if chance(rng, 80) {
        write["inheritMapping"] = json!(true);
    }
    if chance(rng, 20) {
        write["removeUnmappedFields"] = json!(true);
    }
    json!({
        "name": "i", "provider": "p",
        "read": {"objects": [{"objectName": "obj", "destination": "d", "schedule": "s",
            "requiredFields": required, "optionalFields": optional}]},
        "write": {"objects": [write]},
    })
}

fn config(rng: &mut Rng) -> Value {
    let mut read = json!({"objectName": "obj"});
    for _ in 0..rng.usize(..3) {
        read["selectedFieldMappings"][pick(rng, &NAMES)] = match rng.u8(..5) {
            0 => json!(null),
            1 => json!(""),
            _ => json!(pick(rng, &NAMES)),
        };
    }
    for _ in 0..rng.usize(..3) {
        read["selectedFields"][pick(rng, &NAMES)] = json!(chance(rng, 60));
    }
    for _ in 0..rng.usize(..3) {
        read["selectedValueMappings"][pick(rng, &NAMES)] = json!({"v1": "V1", "1": "ONE", "true": "YES"});
    }
    if chance(rng, 20) {
        read["dynamicMappingsInput"] =
            json!([{"mapToName": pick(rng, &NAMES), "fieldName": pick(rng, &NAMES)}, {"mapToName": "e"}]);
    }
    let mut write = json!({"objectName": "obj"});
    for _ in 0..rng.usize(..4) {
        let mut setting = json!({});
        if chance(rng, 60) {
            setting["default"] = [
                json!({"stringValue": "D"}),
                json!({"integerValue": 7}),
                json!({"booleanValue": false}),
            ][rng.usize(..3)]
            .clone();
        }
        if chance(rng, 40) {
            setting["writeOnCreate"] = json!(pick(rng, &["always", "never"]));
        }
        if chance(rng, 60) {
            setting["writeOnUpdate"] = json!(pick(rng, &["always", "never", "ifEmpty"]));
        }
        write["selectedFieldSettings"][pick(rng, &NAMES)] = setting;
    }
    for key in ["inheritMapping", "removeUnmappedFields"] {
        if chance(rng, 15) {
            write[key] = json!(chance(rng, 70));
        }
    }
    json!({"provider": "p", "read": {"objects": {"obj": read}}, "write": {"objects": {"obj": write}}})
}

fn record(rng: &mut Rng, action: Action) -> Map<String, Value> {
    let mut record = Map::new();
    for _ in 0..rng.usize(..7) {
        let key = pick(rng, &KEYS);
        let value = if matches!(key, "o" | "n") && chance(rng, 85) {
            Value::Object(object(rng, 2))
        } else {
            value(rng, 1)
        };
        record.insert(key.to_owned(), value);
    }
    if chance(rng, if action == Action::Create { 20 } else { 90 }) {
        let ids = [
            "\"7\"",
            "7",
            "12345678901234567890",
            "\"\"",
            "null",
            "1.5",
            "true",
            "-3",
        ];
        let id = if chance(rng, 80) {
            ids[rng.usize(..3)]
        } else {
            pick(rng, &ids)
        };
        record.insert("id".to_owned(), serde_json::from_str(id).expect("JSON"));
    }
    record
}

fn object(rng: &mut Rng, depth: usize) -> Map<String, Value> {
    let keys: &[&str] = if depth == 2 && chance(rng, 20) {
        &KEYS
    } else {
        &INNER
    };
    (0..rng.usize(..4))
        .map(|_| (pick(rng, keys).to_owned(), value(rng, depth)))
        .collect()
}

fn value(rng: &mut Rng, depth: usize) -> Value {
    let texts = [
        "\"v1\"",
        "\"v2\"",
        "\"\"",
        "1",
        "12345678901234567890",
        "0.10",
        "true",
        "false",
        "null",
        "[1, 2.50]",
        "{}",
    ];
    if depth > 0 && chance(rng, 30) {
        return Value::Object(object(rng, depth - 1));
    }
    serde_json::from_str(pick(rng, &texts)).expect("JSON")
}
