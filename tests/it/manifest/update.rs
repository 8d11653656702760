//! Changing an installation: update masks and JSON Patch.

use amp_write::manifest::{json_patch, mask};
use serde_json::{Value, json};

use super::paths;

fn current() -> Value {
    json!({
        "connectionId": "c1",
        "config": {"createdBy": "consumer:1", "content": {
            "provider": "hubspot",
            "read": {"objects": {"contacts": {"objectName": "contacts", "schedule": "a"}}},
            "write": {"objects": {"contacts": {"objectName": "contacts"}, "deals": {"objectName": "deals"}}},
        }},
    })
}

fn masked(masks: &[&str], patch: Value) -> Result<Value, Vec<(String, String)>> {
    let masks: Vec<String> = masks.iter().map(|mask| (*mask).to_owned()).collect();
    mask::apply(&current(), &masks, &patch).map_err(|issues| {
        issues
            .into_iter()
            .map(|issue| (issue.path, issue.detail))
            .collect()
    })
}

#[test]
fn no_mask_changes_nothing() {
    assert_eq!(masked(&[], json!({"connectionId": "c2"})), Ok(current()));
}

#[test]
fn what_is_masked_is_replaced_and_nothing_else() {
    let patch = json!({
        "connectionId": "c2",
        "config": {"createdBy": "builder:2", "content": {
            "provider": "",
            "write": {"objects": {"contacts": {"objectName": "contacts", "deletionSettings": {"enabled": true}}}},
        }},
    });
    let mut expected = current();
    expected["connectionId"] = json!("c2");
    expected["config"]["content"]["write"]["objects"]["contacts"]["deletionSettings"] =
        json!({"enabled": true});
    assert_eq!(
        masked(
            &["connectionId", "config.content.write.objects.contacts"],
            patch.clone()
        ),
        Ok(expected)
    );
    let mut expected = current();
    expected["config"]["createdBy"] = json!("builder:2");
    assert_eq!(masked(&["config.createdBy"], patch), Ok(expected));
}

#[test]
fn the_limits_of_an_installation_have_a_mask_of_their_own() {
    let patch = json!({"config": {"content": {"write": {"limits": {"concurrency": 2}, "objects": {}}}}});
    let mut expected = current();
    expected["config"]["content"]["write"]["limits"] = json!({"concurrency": 2});
    assert_eq!(masked(&["config.content.write.limits"], patch), Ok(expected));
    let patch = json!({"config": {"content": {"write": {"limits": 2}}}});
    assert!(masked(&["config.content.write.limits"], patch).is_err());
}

#[test]
fn the_masks_of_the_react_library_work() {
    // Clearing every write object.
    let patch = json!({"config": {"content": {"provider": "hubspot", "write": {"objects": {}}}}});
    let mut expected = current();
    expected["config"]["content"]["write"]["objects"] = json!({});
    assert_eq!(masked(&["config.content.write.objects"], patch), Ok(expected));
    // An object name with dots, colons or slashes, unescaped and escaped.
    for (mask, name) in [
        ("config.content.read.objects.contacts", "contacts"),
        ("config.content.read.objects.a.b", "a.b"),
        ("config.content.read.objects.a\\.b", "a.b"),
        ("config.content.read.objects.a\\:b", "a:b"),
        ("config.content.read.objects.a:b", "a:b"),
        (
            "config.content.read.objects.now/table/incident",
            "now/table/incident",
        ),
        ("config.content.subscribe.objects.new", "new"),
    ] {
        let action = mask.split('.').nth(2).unwrap();
        let object = json!({"objectName": name, "selectedFields": {"email": true}});
        let patch = json!({"config": {"content": {action: {"objects": {name: object}}}}});
        let changed = masked(&[mask], patch).unwrap_or_else(|issues| panic!("{mask}: {issues:?}"));
        assert_eq!(
            changed["config"]["content"][action]["objects"][name], object,
            "{mask}"
        );
    }
}

#[test]
fn the_proxy_is_switched_by_its_mask() {
    let changed = masked(
        &["config.content.proxy.enabled"],
        json!({"config": {"content": {"proxy": {"enabled": false}}}}),
    );
    assert_eq!(
        changed.unwrap()["config"]["content"]["proxy"],
        json!({"enabled": false})
    );
}

#[test]
fn unknown_masks_and_missing_or_wrong_values_are_all_told() {
    let masks = [
        "config",
        "config.content.provider",
        "config.content.read.objects",
        "config.content.write.objects.",
        "",
        "connectionId",
        "config.content.write.objects.leads",
        "config.content.read.objects.contacts.selectedFields",
        "config.content.proxy.enabled",
    ];
    let patch = json!({"connectionId": "", "config": {"content": {
        "read": {"objects": {"contacts": {}}}, "proxy": {"enabled": "yes"}}}});
    let issues = masked(&masks, patch).unwrap_err();
    let expected: Vec<String> = (0..masks.len())
        .map(|index| format!("updateMask[{index}]"))
        .collect();
    assert_eq!(
        issues.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(),
        expected
    );
    assert!(
        issues[0].1.contains("config.content.write.objects.<objectName>"),
        "{}",
        issues[0].1
    );
    assert!(
        issues[6]
            .1
            .contains("installation.config.content.write.objects.leads has no value"),
        "{}",
        issues[6].1
    );
    assert!(issues[8].1.contains("must be true or false"), "{}", issues[8].1);
}

#[test]
fn json_patch_adds_replaces_and_removes() {
    let config = json!({"objectName": "contacts", "schedule": "a", "selectedFields": {"x": true, "a/b": true, "z": true}, "l": [1, 3]});
    let ops = [
        json!({"op": "replace", "path": "/schedule", "value": "b"}),
        json!({"op": "add", "path": "/selectedFields/phone", "value": true}),
        json!({"op": "remove", "path": "/selectedFields/a~1b"}),
        json!({"op": "add", "path": "/l/1", "value": 2}),
        json!({"op": "add", "path": "/l/-", "value": 4}),
        json!({"op": "remove", "path": "/l/0"}),
        json!({"op": "add", "path": "/deletionSettings", "value": {"enabled": true}}),
        json!({"op": "add", "path": "/nothing", "value": null}),
    ];
    let changed = json_patch::apply(&config, &ops).unwrap();
    let expected = json!({"objectName": "contacts", "schedule": "b", "selectedFields": {"x": true, "z": true, "phone": true},
        "l": [2, 3, 4], "deletionSettings": {"enabled": true}, "nothing": null});
    assert_eq!(changed.to_string(), expected.to_string());
}

#[test]
fn json_patch_keeps_digits() {
    let ops = [serde_json::from_str(r#"{"op": "add", "path": "/n", "value": 0.10}"#).unwrap()];
    assert_eq!(
        json_patch::apply(&json!({}), &ops).unwrap().to_string(),
        r#"{"n":0.10}"#
    );
}

#[test]
fn operations_that_are_none_are_all_told() {
    let ops = [
        json!({"op": "move", "path": "/a", "from": "/b"}),
        json!({"path": "/a"}),
        json!({"op": "add", "path": "/a"}),
        json!({"op": "add", "path": "a", "value": 1}),
        json!({"op": "add", "path": "/a~2", "value": 1}),
        json!({"op": "remove"}),
        json!(1),
    ];
    let issues = json_patch::apply(&json!({}), &ops).unwrap_err();
    assert_eq!(
        paths(&issues),
        [
            "changes[0].op",
            "changes[1].op",
            "changes[2].value",
            "changes[3].path",
            "changes[4].path",
            "changes[5].path",
            "changes[6]"
        ]
    );
}

#[test]
fn an_operation_that_cannot_be_applied_is_told_and_changes_nothing() {
    for (op, expected) in [
        (json!({"op": "remove", "path": "/a/b"}), "changes[1].path"),
        (
            json!({"op": "replace", "path": "/b", "value": 1}),
            "changes[1].path",
        ),
        (
            json!({"op": "add", "path": "/b/c", "value": 1}),
            "changes[1].path",
        ),
        (
            json!({"op": "add", "path": "/l/9", "value": 1}),
            "changes[1].path",
        ),
        (
            json!({"op": "replace", "path": "/l/01", "value": 1}),
            "changes[1].path",
        ),
        (json!({"op": "remove", "path": "/l/-"}), "changes[1].path"),
        (
            json!({"op": "add", "path": "/l/+1", "value": 1}),
            "changes[1].path",
        ),
        (json!({"op": "remove", "path": ""}), "changes[1].path"),
        (json!({"op": "replace", "path": "", "value": []}), "changes"),
    ] {
        let ops = [json!({"op": "add", "path": "/ok", "value": 1}), op.clone()];
        let issues = json_patch::apply(&json!({"a": 1, "l": [1, 2]}), &ops).unwrap_err();
        assert_eq!(paths(&issues), [expected], "{op}");
    }
}
