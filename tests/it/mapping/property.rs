//! The compiled plan against the reference, over generated manifests, configs and records.
//!
//! `AMP_PROPERTY_CASES` sets how many (10,000 when unset), `AMP_PROPERTY_SEED` where to start. A failure
//! names the seed of its case: run it alone with `AMP_PROPERTY_SEED=… AMP_PROPERTY_CASES=1`.

use amp_write::manifest::{ConfigContent, Integration};
use amp_write::mapping::{Applied, ApplyError, ApplyOptions, Plan};
use amp_write::record_rules::{Names, RecordRules};
use amp_write::rules::{check_against, check_for};
use serde_json::{Map, Value};

use super::generate::{Case, case};
use super::reference::{Expected, Reference, get, keys};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// How a case ended, to see that every end is reached.
#[derive(Default, Debug)]
struct Ends {
    manifest_refused: usize,
    config_refused: usize,
    record_refused: usize,
    applied: usize,
    decided: usize,
}

#[test]
fn every_plan_does_what_the_reference_does() {
    let cases = setting("AMP_PROPERTY_CASES").unwrap_or(10_000);
    let first = setting("AMP_PROPERTY_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("AMP_PROPERTY_SEED={first} AMP_PROPERTY_CASES={cases}");
    let mut ends = Ends::default();
    for seed in first..first + cases {
        let case = case(seed);
        let outcome = std::panic::catch_unwind(|| check(&case));
        match outcome {
            Ok(end) => end(&mut ends),
            Err(_) => panic!("failed: AMP_PROPERTY_SEED={seed} AMP_PROPERTY_CASES=1\n{case:#?}"),
        }
    }
    println!("{ends:?}");
    if cases >= 10_000 {
        let all = [
            ends.manifest_refused,
            ends.config_refused,
            ends.record_refused,
            ends.applied,
            ends.decided,
        ];
        assert!(
            all.iter().all(|count| *count > 100),
            "some end is hardly ever reached: {ends:?}"
        );
    }
}

fn check(case: &Case) -> fn(&mut Ends) {
    let reference = Reference {
        content: &case.content,
        config: &case.config,
    };
    let integration = Integration::from_content(&case.content);
    assert_eq!(
        integration.is_ok(),
        reference.manifest_is_valid(),
        "manifest: {integration:?}"
    );
    let Ok(integration) = integration else {
        return |ends| ends.manifest_refused += 1;
    };
    let config = ConfigContent::parse(&case.config).expect("the generator writes readable configs");
    let issues = check_against(&config, &integration);
    let plan = Plan::compile(&integration, &config, "obj");
    assert_eq!(
        issues.is_empty(),
        reference.config_is_valid(),
        "config: {issues:?}"
    );
    assert_eq!(
        issues.is_empty(),
        plan.is_ok(),
        "what is refused: {issues:?}, {plan:?}"
    );
    let Ok(plan) = plan else {
        return |ends| ends.config_refused += 1;
    };

    let applied = plan.apply(
        case.record.clone(),
        case.action,
        ApplyOptions { strict: case.strict },
    );
    let expected = reference.apply(&case.record, case.action, case.strict);
    let (applied, expected) = match (applied, expected) {
        (Ok(applied), Ok(expected)) => (applied, expected),
        (Err(error), Err(expected)) => {
            assert!(
                expected.contains(&kind(&error)),
                "{error:?} is not one of {expected:?}"
            );
            return |ends| ends.record_refused += 1;
        }
        (applied, expected) => panic!("applied: {applied:?}\nexpected: {expected:?}"),
    };
    same(&applied, &expected);
    invariants(case, &applied);
    if applied.if_empty.is_empty() {
        return |ends| ends.applied += 1;
    }
    let decided = applied.decide_if_empty(&case.current);
    same(&decided, &expected.decide(&case.current));
    invariants(case, &decided);
    |ends| ends.decided += 1
}

const fn kind(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::MissingRecordId(_) => "MissingRecordId",
        ApplyError::InvalidRecordId(_) => "InvalidRecordId",
        ApplyError::Conflict { .. } => "Conflict",
        ApplyError::NotAnObject { .. } => "NotAnObject",
        ApplyError::Dropped { .. } => "Dropped",
    }
}

fn same(applied: &Applied, expected: &Expected) {
    // As text: numbers digit for digit, keys in order.
    assert_eq!(
        Value::from(applied.record.clone()).to_string(),
        Value::from(expected.record.clone()).to_string()
    );
    assert_eq!(applied.record_id, expected.id);
    let trace: Vec<_> = applied
        .trace
        .iter()
        .map(|entry| {
            (
                entry.source.clone(),
                entry.target.clone(),
                entry.decision.as_str(),
            )
        })
        .collect();
    assert_eq!(trace, expected.trace);
    let if_empty: Vec<_> = applied
        .if_empty
        .iter()
        .map(|field| field.path.keys().to_vec())
        .collect();
    assert_eq!(if_empty, expected.if_empty);
}

/// What must hold whatever the rules are.
fn invariants(case: &Case, applied: &Applied) {
    let mut known = Vec::new();
    case.record.values().for_each(|value| leaves(value, &mut known));
    for made in ["V1", "ONE", "YES", "D"] {
        known.push(format!("\"{made}\""));
    }
    known.extend(["7".to_owned(), "false".to_owned()]);
    let mut written = Vec::new();
    applied
        .record
        .values()
        .for_each(|value| leaves(value, &mut written));
    for leaf in &written {
        assert!(known.contains(leaf), "{leaf} was altered or invented");
    }
    for key in case
        .record
        .keys()
        .filter(|key| applied.record_id.is_none() || *key != "id")
    {
        let traced = applied.trace.iter().any(|entry| {
            entry
                .source
                .as_ref()
                .is_some_and(|source| source == key || keys(source)[0] == keys(key)[0])
        });
        assert!(traced, "{key} was lost without a trace");
    }
    for key in applied.record.keys() {
        let traced = applied.trace.iter().any(|entry| {
            let target = entry.target.as_deref().map(keys);
            target.is_some_and(|target| target[0] == keys(key)[0])
        });
        assert!(traced, "{key} was invented");
    }
    for entry in &applied.trace {
        let gone = entry.decision.is_drop() || entry.decision.is_skip();
        let there = entry
            .target
            .as_deref()
            .is_some_and(|target| get(&applied.record, &keys(target)).is_some());
        assert_eq!(there, !gone, "{entry:?} in {:?}", applied.record);
    }
}

/// Every value that is not an object with members, as text.
fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => map.values().for_each(|value| leaves(value, found)),
        other => found.push(other.to_string()),
    }
}

#[test]
fn a_value_of_any_size_is_moved_and_not_copied() {
    let integration = Integration::from_content(&serde_json::json!({
        "name": "i", "provider": "p",
        "read": {"objects": [{"objectName": "obj", "destination": "d", "schedule": "s",
            "requiredFields": [{"fieldName": "$['x']['y']", "mapToName": "mapped"}]}]},
        "write": {"objects": [{"objectName": "obj", "inheritMapping": true}]},
    }))
    .unwrap();
    let plan = Plan::compile(&integration, &ConfigContent::default(), "obj").unwrap();
    let mut record = Map::new();
    record.insert("mapped".to_owned(), Value::from("m".repeat(1000)));
    record.insert("other".to_owned(), Value::from(vec!["o".repeat(1000)]));
    let address = |value: &Value| value.as_str().map(|text| text.as_ptr() as usize);
    let before = [address(&record["mapped"]), address(&record["other"][0])];
    let applied = plan
        .apply(record, amp_write::action::Action::Create, ApplyOptions::default())
        .unwrap();
    let after = [
        address(&applied.record["x"]["y"]),
        address(&applied.record["other"][0]),
    ];
    assert_eq!(before, after);
}

#[test]
fn no_broken_manifest_config_or_mask_panics() {
    let first = setting("AMP_PROPERTY_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("AMP_PROPERTY_SEED={first}");
    for seed in first..first + 2_000 {
        let mut case = case(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..rng.usize(1..4) {
            spoil(&mut case.content, &mut rng);
            spoil(&mut case.config, &mut rng);
        }
        let changes = case
            .config
            .as_object()
            .into_iter()
            .flat_map(|map| map.values().cloned())
            .collect::<Vec<_>>();
        let _ = amp_write::manifest::json_patch::apply(&case.content, &changes);
        let masks = [
            "config.content.write.objects".to_owned(),
            "config.content.read.objects.obj".to_owned(),
        ];
        let installation = serde_json::json!({"config": {"content": case.config}});
        let _ = amp_write::manifest::mask::apply(&case.content, &masks, &installation);
        let (Ok(integration), Ok(config)) = (
            Integration::from_content(&case.content),
            ConfigContent::parse(&case.config),
        ) else {
            continue;
        };
        let issues = check_against(&config, &integration);
        let object = integration
            .write
            .iter()
            .flatten()
            .next()
            .map_or("obj", |object| &object.object_name);
        if let Ok(plan) = Plan::compile(&integration, &config, object) {
            let _ = plan.apply(case.record, case.action, ApplyOptions { strict: case.strict });
        } else {
            assert!(
                !issues.is_empty() || integration.write.is_none(),
                "compile refuses what install accepts"
            );
        }
    }
}

/// Replaces one value, somewhere, by something else.
fn spoil(value: &mut Value, rng: &mut fastrand::Rng) {
    let inner: Vec<&mut Value> = match value {
        Value::Object(map) => map.values_mut().collect(),
        Value::Array(list) => list.iter_mut().collect(),
        _ => Vec::new(),
    };
    let many = inner.len();
    if many > 0 && rng.u8(..10) > 0 {
        if let Some(value) = inner.into_iter().nth(rng.usize(..many)) {
            spoil(value, rng);
        }
        return;
    }
    let junk = [
        "null",
        "true",
        "0.10",
        "-1e400",
        "\"\"",
        "\"$['a'\"",
        "\"$[*]\"",
        "\"a\"",
        "[]",
        "[null]",
        "{}",
        "{\"op\":\"add\"}",
    ];
    *value = serde_json::from_str(junk[rng.usize(..junk.len())]).expect("JSON");
}

/// A text in another case, at random.
fn respelled(rng: &mut fastrand::Rng, text: &str) -> String {
    let letters = text.chars();
    letters
        .map(|c| if rng.bool() { c.to_ascii_uppercase() } else { c })
        .collect()
}

/// Respells the keys of an object for which `own` does not hold.
fn respell_keys(rng: &mut fastrand::Rng, value: &mut Value, deep: bool, own: &dyn Fn(&str) -> bool) {
    let Value::Object(map) = value else { return };
    let mut out = Map::new();
    for (key, mut inner) in std::mem::take(map) {
        if deep {
            respell_keys(rng, &mut inner, true, own);
        }
        let key = if own(&key) { key } else { respelled(rng, &key) };
        out.insert(key, inner);
    }
    *map = out;
}

/// A case in which the provider's names are spelled otherwise each time; the app's own names stay.
fn respell(case: &Case, rng: &mut fastrand::Rng) -> Case {
    let (mut content, mut config) = (case.content.clone(), case.config.clone());
    let mut own: Vec<String> = Vec::new();
    let mut field = |rng: &mut fastrand::Rng, field: &mut Value| {
        own.extend(field["mapToName"].as_str().map(str::to_owned));
        if let Some(name) = field["fieldName"].as_str().map(str::to_owned) {
            field["fieldName"] = Value::from(respelled(rng, &name));
        }
    };
    let read = &mut content["read"]["objects"][0];
    for list in ["requiredFields", "optionalFields"] {
        let found = read.get_mut(list).and_then(Value::as_array_mut);
        found.into_iter().flatten().for_each(|item| field(rng, item));
    }
    let read = &mut config["read"]["objects"]["obj"];
    let dynamic = read.get_mut("dynamicMappingsInput").and_then(Value::as_array_mut);
    dynamic.into_iter().flatten().for_each(|item| field(rng, item));
    let chosen = read
        .get_mut("selectedFieldMappings")
        .and_then(Value::as_object_mut);
    for (name, to) in chosen.into_iter().flatten() {
        own.push(name.clone());
        if let Some(text) = to.as_str().map(str::to_owned) {
            *to = Value::from(respelled(rng, &text));
        }
    }
    let paths: Vec<Vec<String>> = own.iter().map(|name| keys(name)).collect();
    let is_own = |name: &str| paths.contains(&keys(name));
    for map in ["selectedFields", "selectedValueMappings"] {
        if let Some(found) = read.get_mut(map) {
            respell_keys(rng, found, false, &is_own);
        }
    }
    if let Some(settings) = config["write"]["objects"]["obj"].get_mut("selectedFieldSettings") {
        respell_keys(rng, settings, false, &is_own);
    }
    let roots: Vec<&str> = paths
        .iter()
        .filter_map(|path| path.first().map(String::as_str))
        .collect();
    let mut record = Value::Object(case.record.clone());
    respell_keys(rng, &mut record, false, &|key| {
        key == "id" || roots.contains(&key)
    });
    for (key, inner) in record.as_object_mut().expect("a map") {
        if !roots.contains(&key.as_str()) {
            respell_keys(rng, inner, true, &|_| false);
        }
    }
    let mut current = Value::Object(case.current.clone());
    respell_keys(rng, &mut current, true, &|_| false);
    let map = |value: Value| value.as_object().cloned().expect("a map");
    Case {
        content,
        config,
        record: map(record),
        current: map(current),
        action: case.action,
        strict: case.strict,
    }
}

/// What comes of a case, in small letters.
fn outcome(case: &Case, rules: &std::sync::Arc<RecordRules>) -> String {
    let integration = Integration::from_content(&case.content).expect("names spelled otherwise are no clash");
    let config = ConfigContent::parse(&case.config).expect("the generator writes readable configs");
    let issues = check_for(rules, &config, &integration);
    let plan = Plan::compile_for(rules, &integration, &config, "obj");
    assert_eq!(issues.is_empty(), plan.is_ok(), "{issues:?}, {plan:?}");
    let Ok(plan) = plan else {
        return "config refused".to_owned();
    };
    let options = ApplyOptions { strict: case.strict };
    match plan.apply(case.record.clone(), case.action, options) {
        Err(error) => kind(&error).to_owned(),
        Ok(applied) => {
            let decided = applied.decide_if_empty(&case.current);
            let record = Value::Object(decided.record);
            format!("{record} {:?} {:?}", decided.record_id, decided.trace).to_ascii_lowercase()
        }
    }
}

#[test]
fn a_provider_that_reads_names_in_any_case_gets_the_same_however_they_are_spelled() {
    let cases = setting("AMP_PROPERTY_CASES").unwrap_or(10_000);
    let first = setting("AMP_PROPERTY_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("AMP_PROPERTY_SEED={first} AMP_PROPERTY_CASES={cases}");
    let any_case = std::sync::Arc::new(RecordRules {
        names: Names::AnyCase,
        ..RecordRules::default()
    });
    for seed in first..first + cases {
        let case = case(seed);
        // A manifest is read before its provider is known; what it refuses is another matter.
        if Integration::from_content(&case.content).is_err() {
            continue;
        }
        let other = respell(&case, &mut fastrand::Rng::with_seed(seed));
        let (a, b) = (outcome(&case, &any_case), outcome(&other, &any_case));
        assert_eq!(
            a, b,
            "AMP_PROPERTY_SEED={seed} AMP_PROPERTY_CASES=1\n{case:#?}\n{other:#?}"
        );
        // Names that are spelled alike are the same to every provider.
        let exact = outcome(&case, &std::sync::Arc::default());
        assert_eq!(
            a, exact,
            "AMP_PROPERTY_SEED={seed} AMP_PROPERTY_CASES=1\n{case:#?}"
        );
    }
}
