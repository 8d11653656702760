//! One test for each rule that the examples do not show.

use amp_write::action::Action;
use amp_write::manifest::{ConfigContent, Integration};
use amp_write::mapping::{Applied, ApplyError, ApplyOptions, Plan, PlanError};
use serde_json::{Map, Value, json};

/// The plan for `contacts` with these inherited fields, this read config and this write config.
fn plan(fields: Value, read: Value, write: Value) -> Plan {
    let integration = Integration::from_content(&json!({
        "name": "i", "provider": "hubspot",
        "read": {"objects": [{"objectName": "contacts", "destination": "d", "schedule": "s", "optionalFields": fields}]},
        "write": {"objects": [{"objectName": "contacts", "inheritMapping": true}]},
    }))
    .expect("a valid integration");
    let config = json!({"read": {"objects": {"contacts": read}}, "write": {"objects": {"contacts": write}}});
    Plan::compile(
        &integration,
        &ConfigContent::parse(&config).expect("a readable config"),
        "contacts",
    )
    .expect("a plan")
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

fn apply(plan: &Plan, action: Action, record: Value) -> Result<Applied, ApplyError> {
    plan.apply(map(record), action, ApplyOptions::default())
}

/// The record as text, since order and digits matter.
fn written(plan: &Plan, action: Action, record: Value) -> String {
    Value::Object(
        apply(plan, action, record)
            .expect("a record that can be written")
            .record,
    )
    .to_string()
}

fn decisions(applied: &Applied) -> Vec<String> {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    let trace = applied.trace.iter();
    trace
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

fn none() -> Value {
    json!({})
}

#[test]
fn an_object_is_posted_to_by_its_name_and_by_its_inherited_mapped_name() {
    let content = |inherit: bool| {
        json!({
            "name": "i", "provider": "salesforce",
            "read": {"objects": [{"objectName": "account", "mapToName": "company", "destination": "d", "schedule": "s"}]},
            "write": {"objects": [{"objectName": "account", "inheritMapping": inherit}, {"objectName": "lead"}]},
        })
    };
    let compile = |inherit: bool, object: &str| {
        let integration = Integration::from_content(&content(inherit)).expect("a valid integration");
        Plan::compile(&integration, &ConfigContent::default(), object)
    };
    assert_eq!(compile(true, "company").unwrap().provider_object(), "account");
    assert_eq!(compile(true, "account").unwrap().provider_object(), "account");
    assert_eq!(compile(false, "account").unwrap().provider_object(), "account");
    for (inherit, object, known) in [
        (false, "company", ["account", "lead"]),
        (true, "Company", ["company", "lead"]),
    ] {
        let error = compile(inherit, object).unwrap_err();
        let known = known.map(str::to_owned).to_vec();
        assert_eq!(
            error,
            PlanError::ObjectNotInManifest {
                object: object.to_owned(),
                known
            }
        );
    }
    let message = compile(true, "x").unwrap_err().to_string();
    assert_eq!(
        message,
        "the object `x` is not in the manifest; known objects: company, lead"
    );
}

#[test]
fn the_config_may_turn_the_inherited_mapping_on() {
    let integration = Integration::from_content(&json!({
        "name": "i", "provider": "p",
        "read": {"objects": [{"objectName": "o", "destination": "d", "schedule": "s",
            "requiredFields": [{"fieldName": "f", "mapToName": "a"}]}]},
        "write": {"objects": [{"objectName": "o"}]},
    }))
    .unwrap();
    for (inherits, expected) in [(true, r#"{"f":1}"#), (false, r#"{"a":1}"#)] {
        let config =
            ConfigContent::parse(&json!({"write": {"objects": {"o": {"inheritMapping": inherits}}}}))
                .unwrap();
        let plan = Plan::compile(&integration, &config, "o").unwrap();
        assert_eq!(written(&plan, Action::Create, json!({"a": 1})), expected);
    }
}

#[test]
fn the_customer_chooses_before_dynamic_mappings_and_the_manifest() {
    let fields = json!([{"mapToName": "a", "fieldName": "m1"}, {"mapToName": "b"}, {"mapToName": "c", "fieldName": "m3"}]);
    let read = json!({
        "selectedFieldMappings": {"a": "chosen", "own": "f_own", "d1": "chosen_d1"},
        "dynamicMappingsInput": [{"mapToName": "d1", "fieldName": "f_d1"}, {"mapToName": "d2", "fieldName": "f_d2"}, {"mapToName": "d3"}],
        "selectedFields": {"m3": false},
    });
    let plan = plan(fields, read, none());
    let applied = apply(
        &plan,
        Action::Create,
        json!({"a": 1, "b": 2, "c": 3, "own": 4, "d1": 5, "d2": 6, "d3": 7, "x": 8}),
    )
    .unwrap();
    assert_eq!(
        decisions(&applied),
        [
            "a > chosen: mapped",
            "b > -: dropped_not_chosen",
            "c > -: dropped_not_chosen",
            "own > f_own: mapped",
            "d1 > chosen_d1: mapped",
            "d2 > f_d2: mapped",
            "d3 > -: dropped_not_chosen",
            "x > x: passed_through",
        ]
    );
}

#[test]
fn order_digits_and_nulls_are_kept() {
    let plan = plan(json!([{"mapToName": "z", "fieldName": "f"}]), none(), none());
    let record: Value =
        serde_json::from_str(r#"{"b":12345678901234567890,"z":0.10,"a":null,"l":[1.0,{"y":1,"x":2}]}"#)
            .unwrap();
    assert_eq!(
        written(&plan, Action::Create, record),
        r#"{"b":12345678901234567890,"f":0.10,"a":null,"l":[1.0,{"y":1,"x":2}]}"#
    );
}

#[test]
fn values_are_translated_one_to_one_and_unknown_ones_pass_with_a_warning() {
    let fields = json!([{"mapToName": "stage", "fieldName": "dealstage"}]);
    let read = json!({"selectedValueMappings": {"stage": {"won": "closedwon", "1": "one", "true": "yes"}, "plain": {"a": "A"}}});
    let plan = plan(fields, read, none());
    for (record, expected, decision) in [
        (
            json!({"stage": "won"}),
            json!({"dealstage": "closedwon"}),
            "value_mapped",
        ),
        (json!({"stage": 1}), json!({"dealstage": "one"}), "value_mapped"),
        (
            json!({"stage": true}),
            json!({"dealstage": "yes"}),
            "value_mapped",
        ),
        (
            json!({"stage": "Won"}),
            json!({"dealstage": "Won"}),
            "value_not_mapped",
        ),
        (
            json!({"stage": ["won"]}),
            json!({"dealstage": ["won"]}),
            "value_not_mapped",
        ),
        (json!({"stage": null}), json!({"dealstage": null}), "mapped"),
        (json!({"plain": "a"}), json!({"plain": "A"}), "value_mapped"),
        (
            json!({"dealstage": "won"}),
            json!({"dealstage": "won"}),
            "passed_through",
        ),
    ] {
        let applied = apply(&plan, Action::Create, record.clone()).unwrap();
        assert_eq!(Value::Object(applied.record), expected, "{record}");
        assert_eq!(applied.trace[0].decision.as_str(), decision, "{record}");
    }
}

#[test]
fn a_value_mapping_may_name_the_providers_field() {
    let fields = json!([{"mapToName": "stage", "fieldName": "dealstage"}]);
    let plan = plan(
        fields,
        json!({"selectedValueMappings": {"dealstage": {"won": "closedwon"}}}),
        none(),
    );
    assert_eq!(
        written(&plan, Action::Create, json!({"stage": "won"})),
        r#"{"dealstage":"closedwon"}"#
    );
}

#[test]
fn unmapped_fields_are_dropped_only_when_asked_and_only_with_a_mapping() {
    let fields = json!([{"mapToName": "a", "fieldName": "f"}, {"fieldName": "same"}]);
    let removes = json!({"removeUnmappedFields": true, "selectedFieldSettings": {"extra": {"default": {"stringValue": "D"}}}});
    let plan = plan(
        fields,
        json!({"selectedFields": {"ticked": true}}),
        removes.clone(),
    );
    let applied = apply(
        &plan,
        Action::Create,
        json!({"a": 1, "same": 2, "ticked": 3, "f": 4, "extra": 5, "x": {"y": 1}}),
    )
    .unwrap();
    assert_eq!(
        decisions(&applied),
        [
            "a > f: mapped",
            "same > same: mapped",
            "ticked > ticked: mapped",
            "f > -: dropped_unmapped",
            "extra > -: dropped_unmapped",
            "x > -: dropped_unmapped",
            "- > extra: defaulted",
        ]
    );
    let integration = Integration::from_content(
        &json!({"name": "i", "provider": "p", "write": {"objects": [{"objectName": "o"}]}}),
    )
    .unwrap();
    let config =
        ConfigContent::parse(&json!({"write": {"objects": {"o": {"removeUnmappedFields": true}}}})).unwrap();
    let unmapped = Plan::compile(&integration, &config, "o").unwrap();
    assert_eq!(written(&unmapped, Action::Create, json!({"x": 1})), r#"{"x":1}"#);
}

#[test]
fn strict_refuses_what_would_be_dropped_and_lists_it() {
    let plan = plan(
        json!([{"mapToName": "a"}, {"mapToName": "$['o']['p']"}]),
        none(),
        none(),
    );
    let record = map(json!({"x": 1, "a": 1, "o": {"p": 1, "q": 2}}));
    let error = plan
        .apply(record, Action::Create, ApplyOptions { strict: true })
        .unwrap_err();
    assert_eq!(
        error,
        ApplyError::Dropped {
            fields: vec!["a".into(), "$['o']['p']".into()]
        }
    );
    assert!(
        plan.apply(
            map(json!({"x": 1})),
            Action::Create,
            ApplyOptions { strict: true }
        )
        .is_ok()
    );
}

#[test]
fn strict_does_not_refuse_what_the_write_rules_skip() {
    let plan = plan(
        json!([]),
        none(),
        json!({"selectedFieldSettings": {"a": {"writeOnCreate": "never"}}}),
    );
    let applied = plan
        .apply(
            map(json!({"a": 1})),
            Action::Create,
            ApplyOptions { strict: true },
        )
        .unwrap();
    assert_eq!(decisions(&applied), ["a > a: skipped_write_on_create"]);
}

#[test]
fn a_default_fills_what_is_missing_and_null_is_not_missing() {
    let write = json!({"selectedFieldSettings": {
        "a": {"default": {"stringValue": "D"}}, "b": {"default": {"numberValue": 1.50}},
        "c": {"default": {"integerValue": 0}}, "d": {"default": {"booleanValue": false}}}});
    let plan = plan(json!([{"mapToName": "a", "fieldName": "fa"}]), none(), write);
    assert_eq!(
        written(&plan, Action::Create, none()),
        r#"{"fa":"D","b":1.5,"c":0,"d":false}"#
    );
    assert_eq!(
        written(&plan, Action::Create, json!({"d": null, "a": ""})),
        r#"{"d":null,"fa":"","b":1.5,"c":0}"#
    );
    assert_eq!(
        written(&plan, Action::Update, json!({"id": "1", "fa": 1})),
        r#"{"fa":1,"b":1.5,"c":0,"d":false}"#
    );
}

#[test]
fn a_default_for_a_mapping_that_is_not_chosen_leads_nowhere() {
    let write = json!({"selectedFieldSettings": {"a": {"default": {"stringValue": "D"}}}});
    let plan = plan(json!([{"mapToName": "a"}]), none(), write);
    assert_eq!(written(&plan, Action::Create, none()), "{}");
}

#[test]
fn an_older_default_may_leave_updates_alone() {
    let write =
        json!({"selectedValueDefaults": {"a": {"value": "D", "applyOnUpdate": "never"}, "b": {"value": 1}}});
    let plan = plan(json!([]), none(), write);
    assert_eq!(written(&plan, Action::Create, none()), r#"{"a":"D","b":1}"#);
    assert_eq!(written(&plan, Action::Update, json!({"id": 1})), r#"{"b":1}"#);
    assert_eq!(
        written(&plan, Action::Update, json!({"id": 1, "a": "x"})),
        r#"{"a":"x","b":1}"#
    );
}

#[test]
fn never_takes_out_what_is_given_and_what_is_defaulted() {
    let write = json!({"selectedFieldSettings": {
        "a": {"writeOnCreate": "never", "default": {"stringValue": "D"}}, "b": {"writeOnUpdate": "never"}}});
    let plan = plan(json!([]), none(), write);
    let applied = apply(&plan, Action::Create, json!({"b": 1})).unwrap();
    assert_eq!(
        decisions(&applied),
        ["b > b: passed_through", "- > a: skipped_write_on_create"]
    );
    let applied = apply(&plan, Action::Update, json!({"id": "1", "b": 1})).unwrap();
    assert_eq!(
        decisions(&applied),
        ["b > b: skipped_write_on_update", "- > a: defaulted"]
    );
    assert_eq!(Value::Object(applied.record), json!({"a": "D"}));
}

#[test]
fn a_setting_may_use_the_providers_name() {
    let write = json!({"selectedFieldSettings": {"f": {"writeOnCreate": "never"}}});
    let plan = plan(json!([{"mapToName": "a", "fieldName": "f"}]), none(), write);
    assert_eq!(written(&plan, Action::Create, json!({"a": 1})), "{}");
}

#[test]
fn if_empty_fields_wait_for_the_providers_values() {
    let write = json!({"selectedFieldSettings": {
        "a": {"writeOnUpdate": "ifEmpty"}, "b": {"writeOnUpdate": "ifEmpty", "default": {"stringValue": "D"}},
        "c": {"writeOnUpdate": "ifEmpty"}, "$['o']['p']": {"writeOnUpdate": "ifEmpty"}}});
    let plan = plan(json!([{"mapToName": "a", "fieldName": "fa"}]), none(), write);
    let record = json!({"id": "1", "a": 1, "x": 2, "o": {"p": 3}});
    let waiting = apply(&plan, Action::Update, record.clone()).unwrap();
    let names: Vec<&str> = waiting.if_empty.iter().map(|field| field.name()).collect();
    assert_eq!(names, ["fa", "b", "o"]);
    assert_eq!(
        Value::Object(waiting.record.clone()),
        json!({"fa": 1, "x": 2, "o": {"p": 3}, "b": "D"})
    );

    let empty = waiting
        .clone()
        .decide_if_empty(&map(json!({"fa": null, "b": "", "c": "kept"})));
    assert_eq!(
        Value::Object(empty.record.clone()),
        json!({"fa": 1, "x": 2, "o": {"p": 3}, "b": "D"})
    );
    assert!(empty.if_empty.is_empty());

    let full = waiting.decide_if_empty(&map(json!({"fa": 0, "b": " ", "o": {"p": false}})));
    assert_eq!(Value::Object(full.record.clone()), json!({"x": 2}));
    assert_eq!(
        decisions(&full),
        [
            "a > fa: skipped_not_empty",
            "x > x: passed_through",
            "o > o: skipped_not_empty",
            "- > b: skipped_not_empty",
            "$['o']['p'] > $['o']['p']: skipped_not_empty",
        ]
    );
    // A create has nothing to compare with.
    assert!(apply(&plan, Action::Create, record).unwrap().if_empty.is_empty());
}

#[test]
fn the_id_of_an_update_leaves_the_record_with_its_digits() {
    let plan = plan(
        json!([{"mapToName": "id", "fieldName": "external"}]),
        none(),
        none(),
    );
    for (id, expected) in [
        ("\"00Q1\"", "00Q1"),
        ("7", "7"),
        ("12345678901234567890", "12345678901234567890"),
        ("-1", "-1"),
    ] {
        let record: Value = serde_json::from_str(&format!(r#"{{"a":1,"id":{id},"b":2}}"#)).unwrap();
        for action in [Action::Update, Action::Delete] {
            let applied = apply(&plan, action, record.clone()).unwrap();
            assert_eq!(applied.record_id.as_deref(), Some(expected));
            assert_eq!(Value::Object(applied.record).to_string(), r#"{"a":1,"b":2}"#);
        }
    }
    let created = apply(&plan, Action::Create, json!({"id": "x"})).unwrap();
    assert_eq!(
        (Value::Object(created.record), created.record_id),
        (json!({"external": "x"}), None)
    );
}

#[test]
fn an_unusable_id_is_refused_with_what_it_is() {
    let plan = plan(json!([]), none(), none());
    for record in [
        json!({}),
        json!({"id": null}),
        json!({"id": ""}),
        json!({"Id": "1"}),
    ] {
        assert_eq!(
            apply(&plan, Action::Update, record).unwrap_err(),
            ApplyError::MissingRecordId(Action::Update)
        );
    }
    for (id, text) in [
        ("1.5", "the number 1.5"),
        ("1.0", "the number 1.0"),
        ("1e5", "the number 1e+5"),
        ("true", "a boolean"),
        ("{}", "an object"),
        ("[1]", "a list"),
    ] {
        let record: Value = serde_json::from_str(&format!(r#"{{"id":{id}}}"#)).unwrap();
        let error = apply(&plan, Action::Delete, record).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("record.id must be text or a whole number; it is {text}")
        );
    }
}

#[test]
fn a_delete_is_mapped_but_has_no_defaults_and_no_write_rules() {
    let write = json!({"deletionSettings": {"enabled": true},
        "selectedFieldSettings": {"a": {"writeOnUpdate": "never"}, "b": {"default": {"stringValue": "D"}}}});
    let plan = plan(json!([{"mapToName": "a", "fieldName": "f"}]), none(), write);
    assert!(plan.delete_enabled());
    assert_eq!(
        written(&plan, Action::Delete, json!({"id": "1", "a": 1})),
        r#"{"f":1}"#
    );
}

#[test]
fn nested_fields_are_read_and_written_and_what_is_left_stays() {
    let fields = json!([
        {"mapToName": "mail", "fieldName": "$['user']['mail']"},
        {"mapToName": "$['info']['state']", "fieldName": "status"},
        {"mapToName": "$['info']['deep']['x']", "fieldName": "$['user']['deep']['y']"},
    ]);
    let plan = plan(fields, none(), none());
    let record = json!({"mail": 1, "info": {"a": 2, "state": 3, "deep": {"x": 4, "z": 5}, "b": 6}, "user": {"own": 7, "deep": {"own": 8}}});
    assert_eq!(
        written(&plan, Action::Create, record),
        r#"{"user":{"mail":1,"deep":{"y":4,"own":8},"own":7},"info":{"a":2,"deep":{"z":5},"b":6},"status":3}"#
    );
    // Nothing is left of an object whose fields all went elsewhere; an empty one is a value like any other.
    assert_eq!(
        written(&plan, Action::Create, json!({"info": {"state": 1}})),
        r#"{"status":1}"#
    );
    assert_eq!(
        written(&plan, Action::Create, json!({"info": {}, "user": {}})),
        r#"{"info":{},"user":{}}"#
    );
}

#[test]
fn what_should_hold_a_nested_field_must_be_an_object() {
    let fields = json!([{"mapToName": "mail", "fieldName": "$['user']['mail']"}, {"mapToName": "$['info']['state']", "fieldName": "s"}]);
    let plan = plan(fields, none(), none());
    for (record, message) in [
        (
            json!({"mail": 1, "user": "x"}),
            "`user` must be an object, since `$['user']['mail']` lies inside it; it is text",
        ),
        (
            json!({"user": null, "mail": 1}),
            "`user` must be an object, since `$['user']['mail']` lies inside it; it is null",
        ),
        (
            json!({"info": [1]}),
            "`info` must be an object, since `$['info']['state']` lies inside it; it is a list",
        ),
        (
            json!({"info": null}),
            "`info` must be an object, since `$['info']['state']` lies inside it; it is null",
        ),
    ] {
        assert_eq!(
            apply(&plan, Action::Create, record.clone())
                .unwrap_err()
                .to_string(),
            message,
            "{record}"
        );
    }
    // Without the nested field there is nothing that it would have to hold.
    assert_eq!(
        written(&plan, Action::Create, json!({"user": null})),
        r#"{"user":null}"#
    );
}

#[test]
fn two_fields_for_one_place_are_refused_with_both_names() {
    let fields = json!([{"mapToName": "phone", "fieldName": "mobile"}, {"mapToName": "mail", "fieldName": "$['user']['mail']"}]);
    let plan = plan(fields, none(), none());
    for (record, names) in [
        (json!({"phone": 1, "mobile": 2}), ["phone", "mobile", "mobile"]),
        (json!({"mobile": 2, "phone": 1}), ["mobile", "phone", "mobile"]),
        (
            json!({"mail": 1, "user": {"mail": 2}}),
            ["mail", "user", "$['user']['mail']"],
        ),
        (
            json!({"user": {"mail": 2}, "mail": 1}),
            ["user", "mail", "$['user']['mail']"],
        ),
    ] {
        let [first, second, target] = names.map(str::to_owned);
        let error = apply(&plan, Action::Create, record.clone()).unwrap_err();
        assert_eq!(
            error,
            ApplyError::Conflict {
                first,
                second,
                target
            },
            "{record}"
        );
    }
}

#[test]
fn a_default_is_added_to_an_object_that_was_given() {
    let write = json!({"selectedFieldSettings": {"$['o']['p']": {"default": {"stringValue": "D"}}}});
    let plan = plan(json!([{"mapToName": "whole", "fieldName": "o"}]), none(), write);
    assert_eq!(
        written(&plan, Action::Create, json!({"whole": {"q": 1}})),
        r#"{"o":{"q":1,"p":"D"}}"#
    );
    assert_eq!(written(&plan, Action::Create, none()), r#"{"o":{"p":"D"}}"#);
    let error = apply(&plan, Action::Create, json!({"whole": 1})).unwrap_err();
    assert!(error.to_string().starts_with("`o` must be an object"), "{error}");
}

#[test]
fn a_key_that_only_looks_like_a_path_is_one_key() {
    let plan = plan(
        json!([{"mapToName": "mail", "fieldName": "$['user']['mail']"}]),
        none(),
        none(),
    );
    let applied = apply(&plan, Action::Create, json!({"mail": 1, "$['user']['mail']": 2})).unwrap();
    assert_eq!(
        Value::Object(applied.record.clone()),
        json!({"user": {"mail": 1}, "$['user']['mail']": 2})
    );
    assert_ne!(applied.trace[0].target, applied.trace[1].target);
}

#[test]
fn a_plan_is_refused_when_config_and_manifest_contradict_each_other() {
    let integration = Integration::from_content(&json!({
        "name": "i", "provider": "p",
        "read": {"objects": [{"objectName": "o", "destination": "d", "schedule": "s",
            "requiredFields": [{"mapToName": "a", "fieldName": "f"}]}]},
        "write": {"objects": [{"objectName": "o", "inheritMapping": true}]},
    }))
    .unwrap();
    let compile = |config: Value| {
        let config = ConfigContent::parse(&config).expect("a readable config");
        Plan::compile(&integration, &config, "o")
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        compile(json!({"read": {"objects": {"o": {"selectedFieldMappings": {"b": "f"}}}}})),
        Err("the mapping of `o` cannot be written: `a` and `b` both write `f`".to_owned())
    );
    assert_eq!(
        compile(json!({"write": {"objects": {"o": {"selectedFieldSettings": {"a": {}, "f": {}}}}}})),
        Err("the settings `a` and `f` of `o` are both about `f`; keep one".to_owned())
    );
    let setting = compile(json!({"write": {"objects": {"o": {"selectedFieldSettings": {"$['x'": {}}}}}}));
    assert!(
        setting
            .unwrap_err()
            .starts_with("the setting `$['x'` of `o` cannot be used: ")
    );
}
