//! The documented examples, row by row.

use std::path::PathBuf;

use amp_write::action::Action;
use amp_write::manifest::{ConfigContent, Integration};
use amp_write::mapping::{ApplyOptions, Plan};
use amp_write::rules::check_against;
use serde_json::{Map, Value, json};

use crate::harness::shared;

fn read(path: &PathBuf) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a readable file")).expect("JSON")
}

fn read_object(row: &Value) -> Value {
    let mut read = row["read"].clone();
    read["destination"] = json!("webhook");
    read["schedule"] = json!("*/10 * * * *");
    read
}

#[test]
fn every_row_of_the_mapping_examples_gives_the_documented_record() {
    let Some(examples) = shared::recorded("examples") else {
        return;
    };
    for row in read(&examples.join("mapping.json")).as_array().unwrap() {
        let name = row["case"].as_str().unwrap();
        let (content, config, object) = match row.get("installation") {
            Some(file) => {
                let installation = read(&examples.join(file.as_str().unwrap()));
                let read = json!({"objectName": "lead", "destination": "myWebhook", "schedule": "@daily",
                    "optionalFields": [{"mapToName": "customSource"}]});
                let content = json!({"name": "i", "provider": row["provider"],
                    "read": {"objects": [read]}, "write": {"objects": [{"objectName": "lead"}]}});
                (content, installation["body"]["config"]["content"].clone(), "lead")
            }
            None => {
                let content = json!({"name": "i", "provider": row["provider"],
                    "read": {"objects": [read_object(row)]}, "write": {"objects": [row["write"]]}});
                let object = row["read"]["objectName"].as_str().unwrap();
                let mut chosen = json!({"objectName": object});
                for key in ["selectedFieldMappings", "selectedValueMappings"] {
                    if let Some(value) = row.get(key) {
                        chosen[key] = value.clone();
                    }
                }
                let config = json!({"provider": row["provider"], "read": {"objects": {object: chosen}}});
                (content, config, row["postTo"].as_str().unwrap())
            }
        };
        let integration =
            Integration::from_content(&content).unwrap_or_else(|issues| panic!("{name}: {issues:?}"));
        let config = ConfigContent::parse(&config).unwrap_or_else(|issues| panic!("{name}: {issues:?}"));
        assert_eq!(check_against(&config, &integration), [], "{name}");
        let plan =
            Plan::compile(&integration, &config, object).unwrap_or_else(|error| panic!("{name}: {error}"));
        let action = match row.get("type").and_then(Value::as_str) {
            Some("update") => Action::Update,
            _ => Action::Create,
        };
        let record = row["record"].as_object().unwrap().clone();
        let applied = plan.apply(record, action, ApplyOptions::default()).unwrap();
        assert_eq!(Value::Object(applied.record), row["providerRecord"], "{name}");
        if let Some(provider_object) = row.get("providerObject") {
            assert_eq!(plan.provider_object(), provider_object, "{name}");
        }
    }
}

#[test]
fn every_installation_example_fits_an_integration_that_writes_its_object() {
    let Some(examples) = shared::recorded("examples") else {
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        if !file.starts_with("installation-create") {
            continue;
        }
        seen += 1;
        let content = read(&path)["body"]["config"]["content"].clone();
        let config = ConfigContent::parse(&content).unwrap_or_else(|issues| panic!("{file}: {issues:?}"));
        let objects: Vec<Value> = config
            .write
            .iter()
            .map(|object| json!({"objectName": object.object_name}))
            .collect();
        let integration = Integration::from_content(
            &json!({"name": "i", "provider": content["provider"], "write": {"objects": objects}}),
        )
        .unwrap();
        assert_eq!(check_against(&config, &integration), [], "{file}");
        for object in &config.write {
            let plan = Plan::compile(&integration, &config, &object.object_name).unwrap();
            assert_eq!(plan.delete_enabled(), file.contains("deletion"), "{file}");
            let applied = plan
                .apply(Map::new(), Action::Create, ApplyOptions::default())
                .unwrap();
            if file.contains("defaults") {
                let expected = json!({"source": "myApp", "amount": 0, "automated": true});
                assert_eq!(Value::Object(applied.record), expected);
            }
        }
    }
    assert_eq!(seen, 4);
}
