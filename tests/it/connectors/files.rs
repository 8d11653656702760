//! Every built-in file is sound, and does what its examples say.

use std::collections::BTreeMap;

use amp_write::action::Action;
use amp_write::connectors::declarative::definition::{Example, File, ObjectDef, OpSwitch};
use amp_write::connectors::declarative::{examples, ordered::Ordered};
use amp_write::connectors::{Catalog, Command, Parsed, Step, parse, without_examples};

#[test]
fn every_builtin_file_parses() {
    let catalog = Catalog::builtin();
    let mut problems = Vec::new();
    for name in catalog.names() {
        let text = catalog.builtin_text(name).unwrap();
        if let Err(errors) = parse(&format!("{name}.yaml"), text, None) {
            problems.extend(errors.iter().map(ToString::to_string));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_example_holds() {
    let catalog = Catalog::builtin();
    let mut problems = Vec::new();
    let mut count = 0;
    for name in catalog.names() {
        for example in catalog.examples(name) {
            count += 1;
            match catalog.get_module(name, example.module.as_deref()) {
                None => problems.push(format!("{name}: {}: no such module", example.name)),
                Some(connector) => {
                    let found = examples::run(&connector, &example);
                    problems.extend(found.iter().map(|d| format!("{name}: {}: {d}", example.name)));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 0);
}

#[test]
fn every_action_of_every_module_has_an_example() {
    let catalog = Catalog::builtin();
    let mut missing = Vec::new();
    for name in catalog.names() {
        let parsed = parse("built in", catalog.builtin_text(name).unwrap(), None).unwrap();
        missing.extend(
            parsed
                .without_example()
                .iter()
                .map(|what| format!("{name}: {what}")),
        );
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Objects by action and by what they have of their own beside names.
fn rules(objects: &Ordered<Option<ObjectDef>>) -> BTreeMap<(Action, String), Vec<String>> {
    let mut rules: BTreeMap<(Action, String), Vec<String>> = BTreeMap::new();
    for (name, def) in objects.iter() {
        let Some(def) = def else { continue };
        for action in [Action::Create, Action::Update, Action::Delete] {
            let own = match def.get(action) {
                Some(OpSwitch::Off) => continue,
                own => own,
            };
            let body = def.body.as_ref().filter(|_| action != Action::Delete);
            if own.is_some() || body.is_some() || def.encode.is_some() || def.result.is_some() {
                let rule = format!("{own:?} {body:?} {:?} {:?}", def.encode, def.result);
                rules.entry((action, rule)).or_default().push(name.to_owned());
            }
        }
    }
    rules
}

#[test]
fn every_rule_of_an_object_and_every_kind_of_error_has_an_example() {
    let catalog = Catalog::builtin();
    let (mut missing, mut seen) = (Vec::new(), 0);
    for name in catalog.names() {
        let file: File = serde_yaml::from_str(catalog.builtin_text(name).unwrap()).unwrap();
        for connector in catalog.modules(name) {
            let module = connector.module();
            let own = module.and_then(|module| file.modules.get(module));
            let objects = own.map_or_else(|| file.objects.clone(), |own| file.objects.merged(&own.objects));
            let shown: Vec<_> = file
                .examples
                .iter()
                .filter(|e| e.module.as_deref().or(file.default_module.as_deref()) == module)
                .collect();
            for ((action, _), names) in rules(&objects) {
                let has = |name: &String| connector.supports(action, name);
                let shows = |name: &String| shown.iter().any(|e| e.action == action && e.object == *name);
                seen += 1;
                if names.iter().any(has) && !names.iter().any(shows) {
                    missing.push(format!("{name} {module:?}: no example of {action} {names:?}"));
                }
            }
            let errors = own.map_or(&file.errors, |own| {
                if own.errors.classify.is_empty() {
                    &file.errors
                } else {
                    &own.errors
                }
            });
            for rule in &errors.classify {
                let class = |e: &&&Example| e.outcome.as_ref().is_some_and(|o| o.class == Some(rule.class));
                seen += 1;
                if !shown.iter().any(|e| class(&e)) {
                    missing.push(format!(
                        "{name} {module:?}: no example of an answer that means {:?}",
                        rule.class
                    ));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{} of {seen}\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn a_file_means_the_same_without_its_examples() {
    let catalog = Catalog::builtin();
    for name in catalog.names() {
        let text = catalog.builtin_text(name).unwrap();
        let short = without_examples(text);
        assert!(
            short.len() < text.len(),
            "{name}: the examples do not stand at the end"
        );
        let (whole, part) = (parse("a", text, None).unwrap(), parse("a", short, None).unwrap());
        // Maps have no order of their own.
        let letters = |parsed: &Parsed| {
            let mut letters = format!("{:?}", parsed.connectors).into_bytes();
            letters.sort_unstable();
            letters
        };
        assert!(letters(&whole) == letters(&part), "{name}");
    }
    // Where they stand in the middle everything is read.
    let middle = "provider: a\nexamples:\n  - {}\nopen: true\n";
    assert_eq!(without_examples(middle), middle);
}

#[test]
fn a_variant_keeps_the_names_of_its_object() {
    let catalog = Catalog::builtin();
    let record = serde_json::json!({"patch": [{"op": "replace", "path": "/name", "value": "Acme"}]});
    let vars = [("region", "api-na"), ("clientId", "0")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let command = Command {
        action: Action::Update,
        object: "companies",
        record_id: Some("7"),
        record: record.as_object().unwrap(),
        associations: &[],
        headers: &[],
        vars: &vars,
        idempotency_key: None,
        repeated: false,
    };
    match catalog
        .get("connectWise")
        .unwrap()
        .prepare(&command, &[])
        .unwrap()
    {
        Step::Send(request) => {
            assert_eq!(request.method, "PATCH");
            assert!(
                request.url.ends_with("/apis/3.0/company/companies/7"),
                "{}",
                request.url
            );
        }
        Step::Lookup(_) => panic!("a lookup"),
    }
}

#[test]
fn all_the_providers_are_there() {
    assert_eq!(Catalog::builtin().names().count(), 139);
}
