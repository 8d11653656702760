//! Every built-in file is sound, and does what its examples say.

use amp_write::action::Action;
use amp_write::connectors::{Catalog, Command, Step, declarative::examples, parse, without_examples};

fn now() -> jiff::Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

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
                    let found = examples::run(&connector, &example, now());
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
    for provider in catalog.providers() {
        let examples = catalog.examples(&provider.provider);
        for connector in &provider.modules {
            for action in [Action::Create, Action::Update, Action::Delete] {
                let shows = |module: Option<&str>| {
                    module.or(provider.default_module.as_deref()) == connector.module()
                };
                let shown = examples
                    .iter()
                    .any(|e| e.action == action && shows(e.module.as_deref()));
                if connector.supports_action(action) && !shown {
                    missing.push(format!("{} {:?} {action}", provider.provider, connector.module()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
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
        assert_eq!(
            format!("{:?}", whole.connectors),
            format!("{:?}", part.connectors),
            "{name}"
        );
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
