//! The rules of `amp.yaml`.

use amp_write::manifest::{Integration, render, render_warnings};
use amp_write::rules::parse;
use serde_json::{Value, json};

use super::{Catalogue, paths, places};

/// A manifest with one integration that breaks no rule, to which a test adds what it is about.
fn with(integration: &str) -> String {
    format!("specVersion: 1.0.0\nintegrations:\n  - name: crm\n    provider: hubspot\n{integration}")
}

const WRITE_CONTACTS: &str = "    write: {objects: [{objectName: contacts, inheritMapping: true}]}\n";

/// A read object `contacts` with these fields, in flow style.
fn read_contacts(required: &str, optional: &str) -> String {
    format!(
        "    read:\n      objects:\n        - objectName: contacts\n          destination: d\n          schedule: s\n          \
         requiredFields: [{required}]\n          optionalFields: [{optional}]\n"
    )
}

const BAD: &str = r#"specVersion: 2.0.0
integrations:
  - name: crm
    provider: hubspot
    write:
      objects:
        - objectName: contacts
          inheritMapping: yes please
        - inheritMapping: true
        - objectName: contacts
        - objectName: readonly
  - name: crm
    provider: hubspott
    write:
      objects: []
  - provider: reader
    displayname: Reader
    write:
      objects:
        - objectName: things
  - name: idle
    provider: hubspot
  - name: reads
    provider: salesforce
    write:
      objects:
        - objectName: account
          inheritMapping: true
          removeUnmapedFields: true
    read:
      objects:
        - objectName: account
          schedule: "*/10 * * * *"
          requiredFields:
            - fieldName: $['address'['city']
            - fieldName: $['tags'][*]
              mapToName: tags
            - mapToName: phone
              fieldName: mobile
          optionalFields:
            - mapToName: phone
            - fieldName: mobile
              mapToName: cell
            - {}
"#;

#[test]
fn all_problems_are_told_at_once_with_path_and_line() {
    let issues = parse(BAD, &Catalogue).unwrap_err();
    assert_eq!(
        places(&issues),
        [
            ("$.specVersion", Some(1)),
            ("$.integrations[0].write.objects[0].inheritMapping", Some(8)),
            ("$.integrations[0].write.objects[1].objectName", Some(9)),
            ("$.integrations[0].write.objects[2].objectName", Some(10)),
            ("$.integrations[0].write.objects[3].objectName", Some(11)),
            ("$.integrations[1].name", Some(12)),
            ("$.integrations[1].provider", Some(13)),
            ("$.integrations[1].write.objects", Some(15)),
            ("$.integrations[2].name", Some(16)),
            ("$.integrations[2].provider", Some(16)),
            ("$.integrations[3]", Some(21)),
            ("$.integrations[4].read.objects[0].destination", Some(32)),
            (
                "$.integrations[4].read.objects[0].requiredFields[0].fieldName",
                Some(35)
            ),
            (
                "$.integrations[4].read.objects[0].requiredFields[1].fieldName",
                Some(36)
            ),
            (
                "$.integrations[4].read.objects[0].optionalFields[0].mapToName",
                Some(41)
            ),
            (
                "$.integrations[4].read.objects[0].optionalFields[1].mapToName",
                Some(43)
            ),
            ("$.integrations[4].read.objects[0].optionalFields[2]", Some(44)),
        ]
    );
}

#[test]
fn problems_are_printed_like_a_compiler_prints_them() {
    let issues = parse(BAD, &Catalogue).unwrap_err();
    insta::assert_snapshot!(render(&issues, "amp.yaml"));
    assert_eq!(render(&[], "amp.yaml"), "");
}

#[test]
fn unknown_keys_are_warnings_with_path_and_line() {
    let source = with(
        "    write:\n      objects:\n        - objectName: contacts\n          inheritMappings: true\n    colour: blue\n",
    ) + "extra: 1\n";
    let manifest = parse(&source, &Catalogue).unwrap();
    assert_eq!(
        places(&manifest.warnings),
        [
            ("$.integrations[0].write.objects[0].inheritMappings", Some(8)),
            ("$.integrations[0].colour", Some(9)),
            ("$.extra", Some(10)),
        ]
    );
    assert!(
        manifest.warnings[0]
            .detail
            .contains("Did you mean `inheritMapping`?")
    );
    let text = render_warnings(&manifest.warnings, "amp.yaml");
    assert!(text.starts_with("warning: "), "{text}");
    assert!(text.ends_with("3 warnings in amp.yaml\n"), "{text}");
}

#[test]
fn the_example_manifest_breaks_no_rule_and_has_no_warnings() {
    let manifest = parse(include_str!("../../../amp.example.yaml"), &Catalogue).unwrap();
    assert_eq!(manifest.warnings, []);
    let names: Vec<&str> = manifest
        .integrations
        .iter()
        .map(|integration| integration.name.as_str())
        .collect();
    assert_eq!(names, ["hubspot-crm", "salesforce-crm"]);
    for integration in &manifest.integrations {
        assert_eq!(
            Integration::from_content(&integration.content).unwrap(),
            *integration
        );
    }
}

#[test]
fn keys_match_in_any_case_and_the_content_keeps_them_as_written() {
    let source = "SpecVersion: 1.0.0\nINTEGRATIONS:\n  - Name: crm\n    PROVIDER: hubspot\n    Write:\n      Objects:\n        - \
                  objectname: contacts\n          inheritmapping: true\n    Read:\n      Objects:\n        - ObjectName: contacts\n          \
                  Destination: d\n          Schedule: s\n          RequiredFields: [{FieldName: a, MapToName: b}]\n";
    let manifest = parse(source, &Catalogue).unwrap();
    assert_eq!(manifest.warnings, []);
    let integration = &manifest.integrations[0];
    assert!(integration.write_object("contacts").unwrap().inherit_mapping);
    assert_eq!(integration.read[0].fields[0].map_to_name.as_deref(), Some("b"));
    let keys: Vec<&String> = integration.content.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Name", "PROVIDER", "Write", "Read"]);

    let twice = "specVersion: 1.0.0\nspecversion: 1.0.0\nintegrations: [{name: a, provider: hubspot, proxy: {enabled: true}}]\n";
    let issues = parse(twice, &Catalogue).unwrap_err();
    assert_eq!(places(&issues), [("$.specversion", Some(2))]);
}

#[test]
fn what_does_not_act_here_is_kept_as_it_is() {
    let source = with(
        "    read: {objects: [{objectName: o, destination: d, schedule: '@daily', backfill: {defaultPeriod: {days: 30}}}]}\n    \
         subscribe: {objects: [{objectName: o, destination: d, otherEvents: [object.merged]}]}\n    proxy: {enabled: true}\n    \
         watchSchema: {destination: d, allObjects: {fieldCreated: {enabled: always}}}\n",
    );
    let manifest = parse(&source, &Catalogue).unwrap();
    assert_eq!(manifest.warnings, []);
    assert_eq!(manifest.integrations[0].write, None);
    assert_eq!(
        manifest.integrations[0].content,
        json!({
            "name": "crm", "provider": "hubspot",
            "read": {"objects": [{"objectName": "o", "destination": "d", "schedule": "@daily",
                "backfill": {"defaultPeriod": {"days": 30}}}]},
            "subscribe": {"objects": [{"objectName": "o", "destination": "d", "otherEvents": ["object.merged"]}]},
            "proxy": {"enabled": true},
            "watchSchema": {"destination": "d", "allObjects": {"fieldCreated": {"enabled": "always"}}},
        })
    );
}

#[test]
fn anchors_and_merge_keys_of_yaml_work() {
    let source = "specVersion: 1.0.0\nintegrations:\n  - &base\n    name: a\n    provider: hubspot\n    write: {objects: \
                  [{objectName: contacts}]}\n  - <<: *base\n    name: b\n";
    let manifest = parse(source, &Catalogue).unwrap();
    assert_eq!(manifest.warnings, []);
    assert_eq!(manifest.integrations[1].name, "b");
    assert_eq!(manifest.integrations[1].write, manifest.integrations[0].write);
}

#[test]
fn the_version_and_at_least_one_integration_are_needed() {
    for (source, expected) in [
        ("{}", vec!["$.specVersion", "$.integrations"]),
        ("specVersion: 1.0.0\nintegrations: []", vec!["$.integrations"]),
        (
            "specVersion: 1.0\nintegrations: {}",
            vec!["$.specVersion", "$.integrations"],
        ),
        (
            "specVersion: ''\nintegrations: [x]",
            vec!["$.specVersion", "$.integrations[0]"],
        ),
        ("[]", vec!["$"]),
    ] {
        let issues = parse(source, &Catalogue).unwrap_err();
        assert_eq!(paths(&issues), expected, "{source}");
    }
}

#[test]
fn a_write_without_objects_is_refused() {
    for write in ["{}", "{objects: []}", "{objects: null}"] {
        let issues = parse(&with(&format!("    write: {write}\n")), &Catalogue).unwrap_err();
        assert_eq!(paths(&issues), ["$.integrations[0].write.objects"], "{write}");
    }
    let issues = parse(&with("    write: all\n"), &Catalogue).unwrap_err();
    assert_eq!(paths(&issues), ["$.integrations[0].write"]);
}

#[test]
fn two_names_for_one_field_are_refused_only_where_a_write_inherits_them() {
    let fields = read_contacts("{fieldName: f, mapToName: one}", "{fieldName: f, mapToName: two}");
    let issues = parse(&with(&(fields.clone() + WRITE_CONTACTS)), &Catalogue).unwrap_err();
    assert_eq!(
        paths(&issues),
        ["$.integrations[0].read.objects[0].optionalFields[0].mapToName"]
    );
    assert!(
        issues[0].detail.contains("`one` and `two` both write `f`"),
        "{}",
        issues[0].detail
    );
    assert!(parse(&with(&fields), &Catalogue).is_ok());
}

#[test]
fn a_place_inside_another_is_refused() {
    let target = read_contacts(
        "{fieldName: user, mapToName: a}, {fieldName: \"$['user']['name']\", mapToName: b}",
        "",
    );
    let issues = parse(&with(&(target + WRITE_CONTACTS)), &Catalogue).unwrap_err();
    assert!(issues[0].detail.contains("`a` and `b` both write"), "{issues:?}");
    let source = read_contacts(
        "{fieldName: x, mapToName: user}, {fieldName: y, mapToName: \"$['user']['name']\"}",
        "",
    );
    let issues = parse(&with(&(source + WRITE_CONTACTS)), &Catalogue).unwrap_err();
    assert!(issues[0].detail.contains("lies inside `user`"), "{issues:?}");
}

#[test]
fn a_list_path_may_be_read_but_not_written() {
    let fields = read_contacts(
        "{fieldName: \"$['tags'][*]\"}",
        "{fieldName: \"$['mails'][0]\", mapToName: mail}",
    );
    assert!(parse(&with(&fields), &Catalogue).is_ok());
    let issues = parse(&with(&(fields + WRITE_CONTACTS)), &Catalogue).unwrap_err();
    assert_eq!(
        paths(&issues),
        [
            "$.integrations[0].read.objects[0].requiredFields[0].fieldName",
            "$.integrations[0].read.objects[0].optionalFields[0].fieldName"
        ]
    );
}

#[test]
fn a_mapped_object_name_must_not_be_another_write_object() {
    let source = with(
        "    write: {objects: [{objectName: account, inheritMapping: true}, {objectName: company}]}\n    read: {objects: \
         [{objectName: account, mapToName: company, destination: d, schedule: s}]}\n",
    );
    let issues = parse(&source, &Catalogue).unwrap_err();
    assert!(issues[0].detail.contains("`account` or `company`"), "{issues:?}");
}

#[test]
fn inheriting_nothing_is_a_warning() {
    let manifest = parse(&with(WRITE_CONTACTS), &Catalogue).unwrap();
    assert_eq!(paths(&manifest.warnings), ["$.integrations[0].write.objects[0]"]);
    let removes = "    write: {objects: [{objectName: contacts, removeUnmappedFields: true}]}\n";
    let manifest = parse(&with(removes), &Catalogue).unwrap();
    assert!(
        manifest.warnings[0]
            .detail
            .starts_with("removeUnmappedFields has no effect")
    );
}

#[test]
fn a_stored_integration_is_read_without_the_catalogue() {
    let content = json!({"name": "i", "provider": "gone", "write": {"objects": [{"objectName": "o"}]}});
    assert_eq!(Integration::from_content(&content).unwrap().provider, "gone");
    let issues = Integration::from_content(&json!({"name": 1, "write": {"objects": [{}]}})).unwrap_err();
    assert_eq!(
        paths(&issues),
        ["$.name", "$.provider", "$.write.objects[0].objectName"]
    );
    assert_eq!(
        paths(&Integration::from_content(&Value::Null).unwrap_err()),
        ["$"]
    );
}

#[test]
fn a_broken_integration_hides_no_other_problem() {
    let source = "specVersion: 1.0.0\nintegrations:\n  - name: a\n    write: {objects: [{objectName: o, inheritMapping: true}]}\n    \
                  read: {objects: [{objectName: o, destination: d, schedule: s, requiredFields: [{mapToName: x, fieldName: f}, \
                  {mapToName: y, fieldName: f}]}]}\n  - name: a\n    provider: hubspot\n    proxy: {enabled: true}\n";
    let issues = parse(source, &Catalogue).unwrap_err();
    let expected = [
        "$.integrations[0].provider",
        "$.integrations[0].read.objects[0].requiredFields[1].mapToName",
        "$.integrations[1].name",
    ];
    assert_eq!(paths(&issues), expected);
}
