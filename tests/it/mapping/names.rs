//! Plans for providers to which names are more than their spelling.

use std::sync::Arc;

use amp_write::action::Action;
use amp_write::manifest::{ConfigContent, Integration};
use amp_write::mapping::{Applied, ApplyError, ApplyOptions, Plan};
use amp_write::record_rules::{Names, RecordRules};
use amp_write::rules::check_for;
use serde_json::{Map, Value, json};

fn rules(names: Names) -> Arc<RecordRules> {
    Arc::new(RecordRules {
        names,
        ..RecordRules::default()
    })
}

fn capitalised() -> Names {
    Names::Capitalised {
        irregular: vec!["SIC_Code".to_owned()],
    }
}

/// The integration and config for `Account`, with these inherited fields.
fn parts(write: Value, fields: Value, mut read: Value, settings: Value) -> (Integration, ConfigContent) {
    read["objectName"] = json!("ACCOUNT");
    let mut object = json!({"objectName": "Account", "inheritMapping": true});
    for (key, value) in write.as_object().expect("an object") {
        object[key] = value.clone();
    }
    let integration = Integration::from_content(&json!({
        "name": "i", "provider": "p",
        "read": {"objects": [{"objectName": "account", "destination": "d", "schedule": "s", "optionalFields": fields}]},
        "write": {"objects": [object]},
    }))
    .expect("a valid integration");
    let config = json!({
        "read": {"objects": {"ACCOUNT": read}},
        "write": {"objects": {"aCcount": {"objectName": "aCcount", "selectedFieldSettings": settings}}},
    });
    (
        integration,
        ConfigContent::parse(&config).expect("a readable config"),
    )
}

fn plan(names: Names, (integration, config): (Integration, ConfigContent)) -> Plan {
    let rules = rules(names);
    let issues = check_for(&rules, &config, &integration);
    assert!(issues.is_empty(), "{issues:?}");
    Plan::compile_for(&rules, &integration, &config, "Account").expect("a plan")
}

fn apply(plan: &Plan, action: Action, record: Value) -> Result<Applied, ApplyError> {
    let Value::Object(record) = record else {
        panic!("a record is an object")
    };
    plan.apply(record, action, ApplyOptions::default())
}

fn told(applied: &Applied) -> Vec<String> {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    let entries = applied.trace.iter();
    entries
        .map(|entry| {
            format!(
                "{} > {}: {}",
                name(&entry.source),
                name(&entry.target),
                entry.decision.as_str()
            )
        })
        .collect()
}

#[test]
fn a_field_of_the_mapping_is_known_in_any_case_and_sent_as_given() {
    let remove = json!({"removeUnmappedFields": true});
    let fields = json!([{"fieldName": "Industry"}, {"fieldName": "Website", "mapToName": "domain"}]);
    let read = json!({
        "selectedFields": {"PHONE": true},
        "selectedValueMappings": {"industry": {"tech": "Technology"}},
    });
    let plan = plan(Names::AnyCase, parts(remove, fields, read, json!({})));
    let record = json!({"INDUSTRY": "tech", "phone": "1", "domain": "d", "Fax": "2"});
    let applied = apply(&plan, Action::Create, record).unwrap();
    assert_eq!(
        Value::Object(applied.record.clone()),
        json!({"INDUSTRY": "Technology", "phone": "1", "Website": "d"})
    );
    assert_eq!(
        told(&applied),
        [
            "INDUSTRY > INDUSTRY: value_mapped",
            "phone > phone: mapped",
            "domain > Website: mapped",
            "Fax > -: dropped_unmapped",
        ]
    );
}

#[test]
fn the_apps_own_name_is_compared_as_it_is() {
    let fields = json!([{"fieldName": "Work_Email__c", "mapToName": "email"}]);
    let plan = plan(Names::AnyCase, parts(json!({}), fields, json!({}), json!({})));
    let applied = apply(&plan, Action::Create, json!({"email": "a", "Email": "b"})).unwrap();
    assert_eq!(
        Value::Object(applied.record),
        json!({"Work_Email__c": "a", "Email": "b"})
    );
}

#[test]
fn two_mappings_and_two_settings_of_one_field_are_refused() {
    let rules = rules(Names::AnyCase);
    let fields = json!([{"fieldName": "Phone", "mapToName": "a"}, {"fieldName": "phone", "mapToName": "b"}]);
    let dynamic = json!({"dynamicMappingsInput": [{"mapToName": "c", "fieldName": "PHONE"}]});
    let one = json!([{"fieldName": "Phone", "mapToName": "a"}]);
    let never = json!({"writeOnUpdate": "never"});
    let nested = json!({"$['Address']['City']": never, "$['address']['CITY']": never});
    for (fields, read, settings) in [
        (fields, json!({}), json!({})),
        (one.clone(), dynamic, json!({})),
        (one, json!({}), json!({"a": never, "PHONE": never})),
        (json!([]), json!({}), nested),
    ] {
        let (integration, config) = parts(json!({}), fields, read, settings);
        assert_eq!(check_for(&rules, &config, &integration).len(), 1);
        assert!(Plan::compile_for(&rules, &integration, &config, "Account").is_err());
        // To a provider that tells them apart they are two; its objects too.
        assert!(Plan::compile(&integration, &config, "Account").is_ok());
    }
}

#[test]
fn nested_places_are_known_in_any_case() {
    let settings = json!({
        "$['ADDRESS']['city']": {"writeOnUpdate": "ifEmpty"},
        "$['address']['Zip']": {"default": {"stringValue": "0"}, "writeOnUpdate": "never"},
    });
    let plan = plan(Names::AnyCase, parts(json!({}), json!([]), json!({}), settings));
    let record = json!({"id": "7", "Address": {"City": "Ulm", "ZIP": "1", "Street": "s"}});
    let applied = apply(&plan, Action::Update, record).unwrap();
    let current = json!({"aDDress": {"cITY": "Bonn"}});
    let current: Map<String, Value> = current.as_object().cloned().unwrap();
    let decided = applied.decide_if_empty(&current);
    assert_eq!(Value::Object(decided.record), json!({"Address": {"Street": "s"}}));
    // A default goes into the object that is there.
    let created = apply(&plan, Action::Create, json!({"ADDRESS": {"city": "Ulm"}})).unwrap();
    assert_eq!(
        Value::Object(created.record),
        json!({"ADDRESS": {"city": "Ulm", "Zip": "0"}})
    );
    let twice = json!({"Address": {"Street": {"No": 1, "no": 2}}});
    assert!(matches!(
        apply(&plan, Action::Create, twice),
        Err(ApplyError::Conflict { .. })
    ));
}

#[test]
fn many_fields_of_one_record_are_told_apart_in_time() {
    let plan = plan(Names::AnyCase, parts(json!({}), json!([]), json!({}), json!({})));
    let fields = (0..100_000).map(|n| (format!("Field_{n}__c"), json!({"A": n})));
    let applied = apply(&plan, Action::Create, Value::Object(fields.collect())).unwrap();
    assert_eq!(applied.record.len(), 100_000);
}

#[test]
fn capitalised_names_are_one_field_with_their_small_ones_and_sent_with_their_capitals() {
    let settings = json!({
        "last_name": {"default": {"stringValue": "?"}},
        "Lead_Source": {"writeOnCreate": "never"},
        "sic_code": {"default": {"integerValue": 7}},
    });
    let fields = json!([{"fieldName": "first_name", "mapToName": "given"}]);
    let parts = parts(json!({}), fields, json!({}), settings);
    let plan = plan(capitalised(), parts);
    let record = json!({"Last_Name": "Holt", "given": "M", "lead_source": "Web", "company": "N", "id": "1", "Sub": {"a_b": 1}});
    let applied = apply(&plan, Action::Create, record).unwrap();
    assert_eq!(
        Value::Object(applied.record.clone()).to_string(),
        r#"{"Last_Name":"Holt","First_Name":"M","Company":"N","id":"1","Sub":{"a_b":1},"SIC_Code":7}"#
    );
    assert_eq!(
        told(&applied),
        [
            "Last_Name > Last_Name: passed_through",
            "given > First_Name: mapped",
            "lead_source > Lead_Source: skipped_write_on_create",
            "company > Company: passed_through",
            "id > id: passed_through",
            "Sub > Sub: passed_through",
            "- > SIC_Code: defaulted",
        ]
    );
    let twice = json!({"last_name": "a", "Last_Name": "b"});
    assert!(matches!(
        apply(&plan, Action::Create, twice),
        Err(ApplyError::Conflict { .. })
    ));
}

#[test]
fn null_becomes_the_text_that_empties_a_field_and_stays_inside_of_values() {
    let rules = Arc::new(RecordRules {
        null_as: Some(String::new()),
        ..RecordRules::default()
    });
    let integration = Integration::from_content(&json!({
        "name": "i", "provider": "p", "write": {"objects": [{"objectName": "o"}]},
    }))
    .unwrap();
    let plan = Plan::compile_for(&rules, &integration, &ConfigContent::default(), "o").unwrap();
    let record = json!({"id": 7, "a": null, "b": [null], "c": {"d": null}, "e": 12345678901234567890_u64});
    let applied = apply(&plan, Action::Update, record).unwrap();
    assert_eq!(
        Value::Object(applied.record).to_string(),
        r#"{"a":"","b":[null],"c":{"d":null},"e":12345678901234567890}"#
    );
    let sent_as: Vec<Option<&str>> = applied
        .trace
        .iter()
        .map(|entry| entry.sent_as.as_deref())
        .collect();
    assert_eq!(sent_as, [Some(""), None, None, None]);
}
