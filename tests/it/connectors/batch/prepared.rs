//! The request of a batch, and what is refused before anything is sent.

use amp_write::action::Action;
use amp_write::connectors::{Catalog, ProviderRequest, RefusalKind, parse};
use serde_json::{Value, json};

use super::{Batch, body, create, update};

const A: &str = "003Hs00002AbCdEIAV";

fn text(request: &ProviderRequest) -> String {
    String::from_utf8(request.body.clone().unwrap()).unwrap()
}

#[test]
fn hubspot_gets_a_trace_id_with_each_record_unless_all_depends_on_all() {
    let mut batch = create(
        "hubspot",
        "deals",
        &[
            json!({"dealname": "Renewal", "amount": "1"}),
            json!({"dealname": "B"}),
        ],
    );
    let link = json!({"to": {"id": "5"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 341}]});
    batch.associations = vec![vec![json!({}), link.clone()], vec![json!({})]];
    let request = batch.prepare().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.url,
        "https://api.hubapi.com/crm/objects/2026-03/deals/batch/create"
    );
    assert_eq!(request.content_type.as_deref(), Some("application/json"));
    assert_eq!(
        request.headers,
        [("Accept".to_owned(), "application/json".to_owned())]
    );
    let first = json!({"properties": {"dealname": "Renewal", "amount": "1"}, "associations": [link], "objectWriteTraceId": "t0"});
    let second = json!({"properties": {"dealname": "B"}, "objectWriteTraceId": "t1"});
    assert_eq!(body(&request), json!({"inputs": [first, second]}));
    let atomic = body(&batch.all_or_none().prepare().unwrap());
    assert!(!atomic.to_string().contains("objectWriteTraceId"), "{atomic}");
}

#[test]
fn a_hubspot_update_has_its_id_beside_the_properties() {
    let batch = update(
        "hubspot",
        "contacts",
        &[
            ("11", json!({"id": "11", "city": "Bern"})),
            ("12", json!({"city": ""})),
        ],
    );
    for batch in [
        batch.all_or_none(),
        update(
            "hubspot",
            "contacts",
            &[
                ("11", json!({"id": 11, "city": "Bern"})),
                ("12", json!({"city": ""})),
            ],
        ),
    ] {
        let request = batch.prepare().unwrap();
        assert_eq!(
            request.url,
            "https://api.hubapi.com/crm/objects/2026-03/contacts/batch/update"
        );
        let inputs = json!([
            {"id": "11", "properties": {"city": "Bern"}, "objectWriteTraceId": "t0"},
            {"id": "12", "properties": {"city": ""}, "objectWriteTraceId": "t1"},
        ]);
        assert_eq!(body(&request), json!({"inputs": inputs}));
    }
}

#[test]
fn salesforce_gets_a_collection_of_one_type() {
    let mut batch = create("salesforce", "Thing__c", &[json!({"Name": "A"})]);
    batch.headers = vec![("Sforce-Duplicate-Rule-Header".into(), "allowSave=true".into())];
    let request = batch.prepare().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.url,
        "https://acme.my.salesforce.com/services/data/v60.0/composite/sobjects"
    );
    assert!(request.headers.contains(&batch.headers[0]));
    assert_eq!(
        text(&request),
        r#"{"allOrNone":false,"records":[{"attributes":{"type":"Thing__c"},"Name":"A"}]}"#
    );

    let batch = update(
        "salesforceJWT",
        "Contact",
        &[(A, json!({"Id": &A[..15], "LastName": "B"}))],
    )
    .all_or_none();
    let request = batch.prepare().unwrap();
    assert_eq!(request.method, "PATCH");
    assert_eq!(
        body(&request),
        json!({"allOrNone": true, "records": [{"attributes": {"type": "Contact"}, "id": A, "LastName": "B"}]})
    );
    let mut moved = update("salesforce", "Contact", &[(A, json!({}))]);
    moved
        .vars
        .insert("instance_url".into(), "https://eu1.my.salesforce.com".into());
    assert_eq!(
        moved.prepare().unwrap().url,
        "https://eu1.my.salesforce.com/services/data/v60.0/composite/sobjects"
    );
}

#[test]
fn digits_and_order_of_the_records_reach_the_provider_unchanged() {
    let record: Value = serde_json::from_str(
        r#"{"z":1.10,"a":12345678901234567890123.450,"m":1e400,"b":{"y":-0.0,"x":null}}"#,
    )
    .unwrap();
    let own = record.to_string();
    for provider in ["hubspot", "salesforce"] {
        let made = text(
            &create(provider, "x", std::slice::from_ref(&record))
                .prepare()
                .unwrap(),
        );
        assert!(made.contains(own.trim_start_matches('{')), "{made}");
        let changed = text(&update(provider, "x", &[("1", record.clone())]).prepare().unwrap());
        assert!(changed.contains(own.trim_start_matches('{')), "{changed}");
    }
}

#[test]
fn what_fits_no_batch_is_refused() {
    let many = vec![json!({"Name": "A"}); 101];
    let mut nameless = create("hubspot", "contacts", &many[..2]);
    nameless.traces[1] = "t0".into();
    let mut empty = create("hubspot", "contacts", &many[..1]);
    empty.traces[0] = String::new();
    let mut deletes = update("hubspot", "contacts", &[("1", json!({}))]);
    deletes.action = Action::Delete;
    let mut without = update("hubspot", "contacts", &[("1", json!({}))]);
    without.ids[0] = None;
    let mut linked = update("hubspot", "contacts", &[("1", json!({}))]);
    linked.associations[0] = vec![json!({"to": {"id": "1"}})];
    let mut linked_account = create("salesforce", "Account", &many[..1]);
    linked_account.associations[0] = vec![json!({"to": {"id": "1"}})];
    let mut headed = create("hubspot", "contacts", &many[..1]);
    headed.headers = vec![("X-A".into(), "b".into())];
    let pardot = |batch: Batch| Batch {
        connector: Catalog::builtin()
            .get_module("salesforce", Some("account-engagement"))
            .unwrap(),
        ..batch
    };
    let id = |id: &str| update("hubspot", "contacts", &[(id, json!({}))]);
    use RefusalKind::{
        InvalidHeader, InvalidRecord, InvalidRecordId, UnknownObject, UnsupportedAction,
        UnsupportedAssociations,
    };
    for (batch, kind) in [
        (create("hubspot", "contacts", &[]), InvalidRecord),
        (create("hubspot", "contacts", &many), InvalidRecord),
        (create("salesforce", "Account", &many), InvalidRecord),
        (nameless, InvalidRecord),
        (empty, InvalidRecord),
        (deletes, UnsupportedAction),
        (without, InvalidRecordId),
        (id(""), InvalidRecordId),
        (id(".."), InvalidRecordId),
        (id("1\n2"), InvalidRecordId),
        (
            update("hubspot", "contacts", &[("1", json!({"id": "2"}))]),
            InvalidRecordId,
        ),
        (
            update("hubspot", "contacts", &[("1", json!({"id": null}))]),
            InvalidRecordId,
        ),
        (
            update(
                "salesforce",
                "Contact",
                &[(A, json!({"ID": "003Hs00002AbCdFIAV"}))],
            ),
            InvalidRecordId,
        ),
        (linked, UnsupportedAssociations),
        (linked_account, UnsupportedAssociations),
        (headed, InvalidHeader),
        (
            create(
                "salesforce",
                "Account",
                &[json!({"attributes": {"type": "User"}})],
            ),
            InvalidRecord,
        ),
        (
            create(
                "salesforce",
                "Account",
                &[json!({"Attributes": {"type": "Account"}})],
            ),
            InvalidRecord,
        ),
        (create("salesforce", "..", &many[..1]), UnknownObject),
        (
            pardot(create("salesforce", "prospects", &many[..1])),
            UnsupportedAction,
        ),
        (create("zoho", "Leads", &many[..1]), UnsupportedAction),
    ] {
        let refusal = batch.prepare().unwrap_err();
        assert_eq!(refusal.kind, kind, "{refusal}");
    }
}

#[test]
fn nothing_of_a_caller_gets_out_of_its_place() {
    let tricks = [
        "a/b",
        "..%2f",
        "a?b=c",
        "a#b",
        "é",
        "%2e%2e",
        "a b",
        "a\\b",
        "@evil.example",
        "x\",\"y\":\"z",
        "50%",
    ];
    for trick in tricks {
        let made = create("hubspot", trick, &[json!({"a": 1})]).prepare().unwrap();
        let url = url::Url::parse(&made.url).unwrap();
        let parts: Vec<&str> = url.path_segments().unwrap().collect();
        assert_eq!(
            (url.host_str(), url.query(), url.fragment()),
            (Some("api.hubapi.com"), None, None),
            "{trick}"
        );
        assert!(
            parts.len() == 6 && parts[4..] == ["batch", "create"],
            "{trick}: {parts:?}"
        );
        let single = format!("/{}/batch/", made.url.split('/').nth(6).unwrap());
        assert!(made.url.contains(&single), "{trick}");

        let record = json!({trick: trick});
        for (provider, object) in [("hubspot", "contacts"), ("salesforce", trick)] {
            let mut batch = update(provider, object, &[(trick, record.clone())]);
            batch.traces[0] = trick.into();
            let made = batch.prepare().unwrap();
            let plain = update(provider, object, &[("1", json!({"a": 1}))])
                .prepare()
                .unwrap();
            assert_eq!(
                (&made.url, &made.headers, &made.method),
                (&plain.url, &plain.headers, &plain.method)
            );
            let body = body(&made);
            let list = body
                .as_object()
                .unwrap()
                .values()
                .find_map(Value::as_array)
                .unwrap();
            assert_eq!((list.len(), &list[0]["id"]), (1, &json!(trick)), "{trick}");
        }
        let ids = [trick];
        for provider in ["hubspot", "salesforce"] {
            let connector = Catalog::builtin().get(provider).unwrap();
            let vars = create(provider, "x", &[]).vars;
            let read = connector
                .read_current_batch("contacts", &ids, &ids, &vars)
                .unwrap();
            let plain = connector
                .read_current_batch("contacts", &["1"], &["a"], &vars)
                .unwrap();
            assert_eq!(
                (&read.url, &read.headers),
                (&plain.url, &plain.headers),
                "{trick}"
            );
        }
    }
    for (name, value) in [
        ("Authorization", "x"),
        ("Host", "evil.example"),
        ("content-type", "text/plain"),
        ("X-A", "b\r\nX-B: c"),
    ] {
        let mut batch = create("salesforce", "Account", &[json!({"Name": "A"})]);
        batch.headers = vec![(name.into(), value.into())];
        assert_eq!(
            batch.prepare().unwrap_err().kind,
            RefusalKind::InvalidHeader,
            "{name}"
        );
    }
    let mut batch = create("salesforce", "Account", &[json!({"Name": "A"})]);
    batch.vars.insert("workspace".into(), "evil.example/".into());
    assert_eq!(batch.prepare().unwrap_err().kind, RefusalKind::InvalidVariable);
}

#[test]
fn a_batch_is_told_of_where_there_is_one() {
    let catalog = Catalog::builtin();
    let support = |provider: &str, module: Option<&str>, action| {
        let connector = catalog.get_module(provider, module).unwrap();
        let support = connector.batch(action, "Contact");
        assert_eq!(support.is_some(), connector.batches(action), "{provider}");
        assert!(
            support.is_some() || action == Action::Delete || connector.limits().batch == 1,
            "{provider}"
        );
        support.map(|support| (support.records, support.atomic))
    };
    assert_eq!(support("hubspot", None, Action::Create), Some((100, true)));
    assert_eq!(support("hubspot", None, Action::Update), Some((100, false)));
    for provider in ["salesforce", "salesforceJWT"] {
        assert_eq!(support(provider, None, Action::Create), Some((100, true)));
        assert_eq!(support(provider, None, Action::Update), Some((100, true)));
        assert_eq!(support(provider, None, Action::Delete), None);
    }
    assert_eq!(
        support("salesforce", Some("account-engagement"), Action::Create),
        None
    );
    assert_eq!(support("pipedrive", None, Action::Create), None);
}

#[test]
fn a_file_names_a_batch_that_is_there_and_says_how_many() {
    let good = Catalog::builtin().builtin_text("hubspot").unwrap();
    for (from, to, path) in [
        (
            "native: {batch: hubspot}",
            "native: {batch: zoho}",
            "native.batch",
        ),
        (
            "native: {batch: hubspot}",
            "native: {bacth: hubspot}",
            "native.bacth",
        ),
        ("per_seconds: 10, batch: 100}", "per_seconds: 10}", "limits.batch"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let errors = parse("hubspot.yaml", &bad, None).unwrap_err();
        let key = path.split('.').next().unwrap();
        let line = good
            .lines()
            .position(|line| line.starts_with(key))
            .map(|at| at + 1);
        assert_eq!(
            (errors[0].path.as_str(), errors[0].line),
            (path, line),
            "{errors:?}"
        );
    }
    // An object with rules of its own is written by those.
    let own = good.replacen(
        "open: true",
        "open: true\nobjects: {things: {create: {path: /things}}}",
        1,
    );
    let parsed = parse("hubspot.yaml", &own, None).unwrap();
    let connector = parsed.module(None).unwrap();
    assert!(
        connector.batch(Action::Create, "things").is_none()
            && connector.batch(Action::Create, "deals").is_some()
    );
}
