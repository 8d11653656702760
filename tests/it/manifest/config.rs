//! The installation's config: what is read, what is tolerated, what is refused.

use amp_write::manifest::config::WriteRule;
use amp_write::manifest::{ConfigContent, Integration};
use amp_write::rules::check_against;
use serde_json::{Value, json};

use super::paths;

fn integration() -> Integration {
    Integration::from_content(&json!({
        "name": "crm", "provider": "hubspot",
        "read": {"objects": [
            {"objectName": "contacts", "mapToName": "people", "destination": "d", "schedule": "s",
             "requiredFields": [{"fieldName": "mobilephone", "mapToName": "phone"}],
             "optionalFields": [{"mapToName": "notes"}, {"mapToName": "source"}]},
        ]},
        "write": {"objects": [{"objectName": "contacts", "inheritMapping": true}, {"objectName": "deals"}]},
    }))
    .expect("a valid integration")
}

fn checked(config: Value) -> Vec<(String, String)> {
    let config = ConfigContent::parse(&config).expect("a readable config");
    check_against(&config, &integration())
        .into_iter()
        .map(|issue| (issue.path, issue.detail))
        .collect()
}

#[test]
fn absent_null_and_unknown_parts_are_tolerated() {
    for config in [
        json!(null),
        json!({}),
        json!({"provider": "", "read": null, "write": {"objects": null}, "proxy": {"enabled": true}}),
        json!({"provider": "hubspot", "read": {"objects": {"contacts": {"objectName": "contacts", "selectedFields": null}}}}),
        json!({"write": {"objects": {"contacts": {"selectedFieldSettings": {"a": {"default": {}, "writeOnCreate": ""}}, "x": 1}}}}),
        json!({"read": {"objects": {"contacts": {"selectedFieldMappings": {"notes": null}, "schedule": "", "destination": ""}}}}),
        json!({"write": {"objects": {}}, "subscribe": {"objects": {"o": {}}}}),
    ] {
        let parsed = ConfigContent::parse(&config).unwrap_or_else(|issues| panic!("{config}: {issues:?}"));
        assert_eq!(check_against(&parsed, &integration()), [], "{config}");
    }
}

#[test]
fn wrong_types_are_all_told_with_their_paths() {
    let config = json!({
        "provider": 7,
        "read": {"objects": {"a.b": {
            "selectedFields": {"x": "yes"},
            "selectedFieldMappings": {"n:1": ["f"]},
            "selectedValueMappings": {"f": {"v": {}}},
            "dynamicMappingsInput": [{"fieldName": "f"}, 3],
        }}},
        "write": {"objects": {"o": {
            "inheritMapping": "true",
            "deletionSettings": {"enabled": 1},
            "selectedFieldSettings": {
                "a": {"default": {"stringValue": 1}},
                "b": {"default": {"integerValue": 1.5}},
                "c": {"default": {"stringValue": "x", "booleanValue": true}},
                "d": {"writeOnCreate": "ifEmpty"},
                "e": {"writeOnUpdate": "sometimes"},
                "f": 1,
            },
            "selectedValueDefaults": {"g": {"applyOnUpdate": "never"}, "h": {"value": []}, "i": []},
        }, "p": 1}},
    });
    let read = "config.content.read.objects.a\\.b";
    let write = "config.content.write.objects.o";
    assert_eq!(
        paths(&ConfigContent::parse(&config).unwrap_err()),
        [
            "config.content.provider".to_owned(),
            format!("{read}.selectedFields.x"),
            format!("{read}.selectedFieldMappings.n\\:1"),
            format!("{read}.selectedValueMappings.f.v"),
            format!("{read}.dynamicMappingsInput[0].mapToName"),
            format!("{read}.dynamicMappingsInput[1]"),
            format!("{write}.inheritMapping"),
            format!("{write}.deletionSettings.enabled"),
            format!("{write}.selectedFieldSettings.a.default.stringValue"),
            format!("{write}.selectedFieldSettings.b.default.integerValue"),
            format!("{write}.selectedFieldSettings.c.default"),
            format!("{write}.selectedFieldSettings.d.writeOnCreate"),
            format!("{write}.selectedFieldSettings.e.writeOnUpdate"),
            format!("{write}.selectedFieldSettings.f"),
            format!("{write}.selectedValueDefaults.g.value"),
            format!("{write}.selectedValueDefaults.h.value"),
            format!("{write}.selectedValueDefaults.i"),
            "config.content.write.objects.p".to_owned(),
        ]
    );
    assert_eq!(
        paths(&ConfigContent::parse(&json!([])).unwrap_err()),
        ["config.content"]
    );
}

#[test]
fn defaults_keep_their_digits() {
    let text = r#"{"write": {"objects": {"o": {"selectedFieldSettings": {
        "a": {"default": {"integerValue": 12345678901234567890}},
        "b": {"default": {"numberValue": 0.10}},
        "c": {"default": {"numberValue": 1e5}}}}}}}"#;
    let config = ConfigContent::parse(&serde_json::from_str(text).unwrap()).unwrap();
    let defaults: Vec<String> = config.write[0]
        .field_settings
        .iter()
        .map(|(_, setting)| setting.default.as_ref().unwrap().to_string())
        .collect();
    // serde_json itself writes the sign of an exponent; the value is the same.
    assert_eq!(defaults, ["12345678901234567890", "0.10", "1e+5"]);
}

#[test]
fn older_defaults_are_read_and_give_way_to_newer_ones() {
    let config = ConfigContent::parse(&json!({"write": {"objects": {"o": {
        "selectedFieldSettings": {"a": {"default": {"stringValue": "new"}}, "b": {"writeOnUpdate": "ifEmpty"}},
        "selectedValueDefaults": {
            "a": {"value": "old"}, "b": {"value": 1, "applyOnUpdate": "never"}, "c": {"value": true}, "d": "plain"},
    }}}}))
    .unwrap();
    let settings = &config.write[0].field_settings;
    let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let defaults: Vec<Value> = settings
        .iter()
        .map(|(_, setting)| setting.default.clone().unwrap())
        .collect();
    assert_eq!(defaults, [json!("new"), json!(1), json!(true), json!("plain")]);
    assert_eq!(
        (settings[1].1.default_on_update, settings[1].1.write_on_update),
        (false, WriteRule::IfEmpty)
    );
    assert!(settings[3].1.default_on_update);
}

#[test]
fn another_provider_is_refused() {
    let issues = checked(json!({"provider": "salesforce"}));
    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0].0, "config.content.provider");
}

#[test]
fn a_write_object_that_the_manifest_does_not_have_is_refused() {
    let issues = checked(
        json!({"write": {"objects": {"leeds": {"objectName": "leeds"}, "contacts": {"objectName": "deals"}}}}),
    );
    assert_eq!(issues[0].0, "config.content.write.objects.leeds");
    assert!(issues[0].1.contains("contacts, deals"));
    assert_eq!(issues[1].0, "config.content.write.objects.contacts.objectName");
    assert_eq!(
        checked(json!({"write": {"objects": {"people": {"objectName": "contacts"}}}})),
        []
    );
    assert_eq!(
        checked(json!({"write": {"objects": {"people": {"objectName": "people"}}}})),
        []
    );
}

#[test]
fn an_object_that_is_configured_under_both_its_names_is_refused() {
    let objects = json!({"contacts": {"objectName": "contacts"}, "people": {"objectName": "contacts"}});
    let issues = checked(json!({"write": {"objects": objects}}));
    assert_eq!(issues[0].0, "config.content.write.objects.people");
    assert!(
        issues[0].1.contains("as `contacts` and as `people`"),
        "{issues:?}"
    );
}

#[test]
fn two_names_for_one_field_are_refused_with_both_names() {
    for (chosen, names) in [
        (
            json!({"notes": "f", "source": "f"}),
            "`notes` and `source` both write `f`",
        ),
        (
            json!({"notes": "mobilephone"}),
            "`phone` and `notes` both write `mobilephone`",
        ),
        (
            json!({"notes": "o", "own": "$['o']['p']"}),
            "`notes` and `own` both write `$['o']['p']`",
        ),
    ] {
        let config = json!({"read": {"objects": {"contacts": {"selectedFieldMappings": chosen}}}});
        let issues = checked(config);
        assert_eq!(issues.len(), 1, "{issues:?}");
        assert!(
            issues[0]
                .0
                .starts_with("config.content.read.objects.contacts.selectedFieldMappings."),
            "{issues:?}"
        );
        assert!(issues[0].1.contains(names), "{issues:?}");
    }
}

#[test]
fn a_chosen_field_that_is_no_place_is_refused() {
    let issues = checked(
        json!({"read": {"objects": {"contacts": {"selectedFieldMappings": {"notes": "$['a'][*]"}}}}}),
    );
    assert_eq!(
        issues[0].0,
        "config.content.read.objects.contacts.selectedFieldMappings.notes"
    );
}

#[test]
fn two_settings_for_one_field_are_refused_with_both_names() {
    let settings = |names: [&str; 2]| {
        let settings: serde_json::Map<String, Value> = names
            .iter()
            .map(|name| ((*name).to_owned(), json!({"writeOnUpdate": "never"})))
            .collect();
        checked(json!({"write": {"objects": {"contacts": {"selectedFieldSettings": settings}}}}))
    };
    let issues = settings(["mobilephone", "phone"]);
    assert_eq!(
        issues[0].0,
        "config.content.write.objects.contacts.selectedFieldSettings.phone"
    );
    assert!(issues[0].1.contains("`mobilephone` and `phone`"), "{issues:?}");
    assert!(
        settings(["o", "$['o']['p']"])[0]
            .1
            .contains("both about `$['o']['p']`")
    );
    assert_eq!(settings(["phone", "email"]), []);
}
