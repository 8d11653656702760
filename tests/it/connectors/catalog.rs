//! Files of a user's own: they add, override, and are told precisely what is wrong with them.

use std::collections::BTreeMap;

use amp_write::action::Action;
use amp_write::connectors::{Catalog, Command, Step};
use serde_json::Map;

const ACME: &str = "provider: acme\ndisplay_name: Acme\nauth: {none: true}\nbase_url: https://api.acme.example\n\
                    ops:\n  create: {method: POST, path: \"/v1/{object}\"}\nopen: true\n";

fn url(catalog: &Catalog, provider: &str) -> String {
    let (record, vars) = (
        Map::new(),
        BTreeMap::from([("workspace".to_owned(), "acme".to_owned())]),
    );
    let command = Command {
        action: Action::Create,
        object: "contacts",
        record_id: None,
        record: &record,
        associations: &[],
        headers: &[],
        vars: &vars,
        idempotency_key: None,
        repeated: false,
    };
    match catalog.get(provider).unwrap().prepare(&command, &[]).unwrap() {
        Step::Send(request) | Step::Lookup(request) => request.url,
    }
}

#[test]
fn a_file_adds_a_provider_and_another_overrides_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("acme.yaml"), ACME).unwrap();
    let own = ACME.replace("provider: acme", "provider: hubspot");
    std::fs::write(dir.path().join("hubspot.yaml"), own).unwrap();
    let catalog = Catalog::load(Some(dir.path()), &BTreeMap::new()).unwrap();
    assert_eq!(url(&catalog, "acme"), "https://api.acme.example/v1/contacts");
    assert_eq!(url(&catalog, "hubspot"), "https://api.acme.example/v1/contacts");
    assert!(catalog.get("salesforce").is_some());
    assert!(catalog.get("nobody").is_none());
}

#[test]
fn a_base_url_replaces_the_host_of_every_url_and_keeps_its_own_path() {
    let base = BTreeMap::from([
        ("hubspot".to_owned(), "http://127.0.0.1:9090/hubspot".to_owned()),
        ("salesforce".to_owned(), "http://127.0.0.1:9090/sf/".to_owned()),
    ]);
    let catalog = Catalog::load(None, &base).unwrap();
    assert_eq!(
        url(&catalog, "hubspot"),
        "http://127.0.0.1:9090/hubspot/crm/v3/objects/contacts"
    );
    let vars = BTreeMap::from([("workspace".to_owned(), "acme".to_owned())]);
    let salesforce = catalog.get("salesforce").unwrap();
    let token = salesforce.token_url(&vars).unwrap().unwrap();
    assert_eq!(token, "http://127.0.0.1:9090/sf/services/oauth2/token");
    let health = salesforce.health(&vars).unwrap().unwrap();
    assert_eq!(health.url, "http://127.0.0.1:9090/sf/services/oauth2/userinfo");
    let authorise = catalog.get("hubspot").unwrap().auth_url(&vars).unwrap().unwrap();
    assert_eq!(authorise, "http://127.0.0.1:9090/hubspot/oauth/authorize");
    let nonsense = BTreeMap::from([("hubspot".to_owned(), "nonsense".to_owned())]);
    assert!(Catalog::load(None, &nonsense).is_err());
    let nobody = BTreeMap::from([("nobody".to_owned(), "http://127.0.0.1:1".to_owned())]);
    assert!(Catalog::load(None, &nobody).is_err());
}

#[test]
fn a_problem_names_the_file_the_line_and_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (
            ACME.replace("/v1/{object}", "/v1/{objekt}"),
            Some(6),
            "unknown place `{objekt}`",
        ),
        (ACME.replace("/v1/", "/{conn.x}/"), Some(6), "does not have"),
        (
            ACME.replace("method: POST", "method: \"P T\""),
            Some(6),
            "is no HTTP method",
        ),
        (
            ACME.replace("https://", "http://"),
            None,
            "has to start with `https://`",
        ),
        (
            ACME.replace("provider: acme", "provider: other"),
            Some(1),
            "name of the file",
        ),
        (
            ACME.replace("auth: {none: true}", "auth: {}"),
            Some(3),
            "exactly one",
        ),
        (ACME.replace("open: true", "opne: true"), Some(7), "opne"),
        (format!("{ACME}open: false\n"), None, "duplicate"),
        (
            ACME.replace("  create: {", "  update: {"),
            Some(6),
            "does not carry the record id",
        ),
    ];
    for (text, line, part) in cases {
        std::fs::write(dir.path().join("acme.yaml"), &text).unwrap();
        let errors = Catalog::load(Some(dir.path()), &BTreeMap::new()).unwrap_err();
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(
            all.iter().any(|e| e.contains(part) && e.contains("acme.yaml")),
            "{part}: {all:?}"
        );
        if line.is_some() {
            assert!(errors.iter().any(|e| e.line == line), "{part}: {all:?}");
        }
    }
}

#[test]
fn a_file_that_breaks_keeps_the_last_good_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("acme.yaml"), ACME).unwrap();
    let good = Catalog::load(Some(dir.path()), &BTreeMap::new()).unwrap();
    std::fs::write(dir.path().join("acme.yaml"), "nonsense: [").unwrap();
    let (again, errors) = good.reload(Some(dir.path()), &BTreeMap::new());
    assert_eq!(errors.len(), 1);
    assert_eq!(url(&again, "acme"), "https://api.acme.example/v1/contacts");
    std::fs::write(dir.path().join("acme.yaml"), ACME.replace("/v1/", "/v2/")).unwrap();
    let (mended, errors) = again.reload(Some(dir.path()), &BTreeMap::new());
    assert!(errors.is_empty());
    assert_eq!(url(&mended, "acme"), "https://api.acme.example/v2/contacts");
}
