//! Batches against the simulated providers, over real HTTP.

use std::collections::BTreeMap;

use amp_write::connectors::{BatchOutcome, Catalog, Outcome, ProviderRequest, ProviderResponse};
use amp_write::sandbox::{FaultKind, FaultSpec, Options, Sandbox};
use serde_json::{Value, json};

use super::{Batch, create, now, update, words};
use crate::sandbox::{finish, http, start};

struct World {
    sandbox: Sandbox,
    catalog: Catalog,
}

async fn world() -> World {
    let sandbox = start(Options::default()).await;
    let urls = BTreeMap::from([
        ("hubspot".to_owned(), sandbox.hubspot_url()),
        ("salesforce".to_owned(), sandbox.salesforce_url()),
    ]);
    let catalog = Catalog::load(None, &urls).unwrap();
    World { sandbox, catalog }
}

impl World {
    async fn send(&self, request: ProviderRequest) -> ProviderResponse {
        let mut sending = http()
            .request(request.method, request.url)
            .bearer_auth("test-acme");
        for (name, value) in request.headers {
            sending = sending.header(name, value);
        }
        let content_type = request.content_type.unwrap();
        let sending = sending
            .header("content-type", content_type)
            .body(request.body.unwrap());
        let answer = finish(sending).await.unwrap();
        ProviderResponse {
            status: answer.status,
            headers: Vec::new(),
            body: answer.text.into_bytes(),
            truncated: false,
        }
    }

    async fn run(&self, provider: &str, batch: Batch) -> BatchOutcome {
        let connector = self.catalog.get(provider).unwrap();
        let batch = Batch { connector, ..batch };
        let answer = self.send(batch.prepare().unwrap()).await;
        batch.read(&answer)
    }

    /// The value of a field of each record, as the provider has it.
    async fn current(&self, provider: &str, object: &str, ids: &[&str], field: &str) -> Vec<Option<Value>> {
        let connector = self.catalog.get(provider).unwrap();
        let vars = BTreeMap::from([("workspace".to_owned(), "acme".to_owned())]);
        let request = connector
            .read_current_batch(object, ids, &[field], &vars)
            .unwrap();
        let answer = self.send(request).await;
        let found = connector
            .interpret_current_batch(object, ids, &[field], &vars, &answer, now())
            .unwrap();
        ids.iter()
            .map(|id| found.get(*id).map(|own| own[field].clone()))
            .collect()
    }
}

fn ids(outcome: &BatchOutcome) -> Vec<String> {
    let BatchOutcome::Each(all) = outcome else {
        panic!("{outcome:?}")
    };
    let id = |one: &Outcome| match one {
        Outcome::Succeeded {
            record_id: Some(id), ..
        } => id.clone(),
        other => panic!("{other:?}"),
    };
    all.iter().map(id).collect()
}

fn companies(count: usize) -> Vec<Value> {
    (0..count)
        .map(|at| json!({"name": format!("Company {at}"), "city": format!("City {}", at % 3)}))
        .collect()
}

#[tokio::test]
async fn each_record_of_hubspot_gets_its_own_id_in_any_order_with_or_without_trace_ids() {
    let world = world().await;
    world
        .sandbox
        .fault(FaultSpec::new(FaultKind::ShuffleResults))
        .unwrap();
    for (drop_ids, all_or_none) in [(false, false), (false, true), (true, false), (true, true)] {
        let fault = drop_ids.then(|| {
            world
                .sandbox
                .fault(FaultSpec::new(FaultKind::DropTraceIds))
                .unwrap()
        });
        let batch = create("hubspot", "companies", &companies(20));
        let made = ids(&world.run("hubspot", Batch { all_or_none, ..batch }).await);
        let made: Vec<&str> = made.iter().map(String::as_str).collect();
        let names = world.current("hubspot", "companies", &made, "name").await;
        let expected: Vec<_> = (0..20).map(|at| Some(json!(format!("Company {at}")))).collect();
        assert_eq!(names, expected, "{drop_ids} {all_or_none}");

        let changes: Vec<(&str, Value)> = made
            .iter()
            .enumerate()
            .map(|(at, id)| (*id, json!({"city": format!("{at}")})))
            .collect();
        let changed = ids(&world
            .run("hubspot", update("hubspot", "companies", &changes))
            .await);
        assert_eq!(changed, made);
        drop(fault);
    }
}

#[tokio::test]
async fn failures_of_hubspot_are_those_of_the_records_that_failed() {
    let world = world().await;
    let contacts =
        |emails: &[&str]| -> Vec<Value> { emails.iter().map(|email| json!({"email": email})).collect() };
    let first = ids(&world
        .run(
            "hubspot",
            create("hubspot", "contacts", &contacts(&["a@x.example"])),
        )
        .await);
    world
        .sandbox
        .fault(FaultSpec::new(FaultKind::DropTraceIds))
        .unwrap();
    let again = contacts(&["b@x.example", "A@x.example", "c@x.example"]);
    let outcome = world.run("hubspot", create("hubspot", "contacts", &again)).await;
    let BatchOutcome::Each(all) = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        super::error(&all[1]).existing_id.as_deref(),
        Some(first[0].as_str())
    );
    assert!(
        words(&outcome)[0].starts_with("ok ") && words(&outcome)[2].starts_with("ok "),
        "{outcome:?}"
    );

    let atomic = create("hubspot", "contacts", &contacts(&["d@x.example", "a@x.example"])).all_or_none();
    assert_eq!(
        words(&world.run("hubspot", atomic).await),
        ["whole rejected conflict CONFLICT"]
    );

    let changes = [
        (first[0].as_str(), json!({"city": "Bern"})),
        ("31337", json!({"city": "Bern"})),
    ];
    let outcome = world
        .run("hubspot", update("hubspot", "contacts", &changes))
        .await;
    assert_eq!(
        words(&outcome),
        [
            format!("ok {}", first[0]),
            "rejected not_found OBJECT_NOT_FOUND".to_owned()
        ]
    );
    let cities = world
        .current("hubspot", "contacts", &[&first[0], "31337"], "city")
        .await;
    assert_eq!(cities, [Some(json!("Bern")), None]);
}

#[tokio::test]
async fn collections_of_salesforce_succeed_apart_or_are_taken_back() {
    let world = world().await;
    let records = [
        json!({"LastName": "A"}),
        json!({"FirstName": "B"}),
        json!({"LastName": "C"}),
    ];
    let apart = world
        .run("salesforce", create("salesforce", "Contact", &records))
        .await;
    let told = words(&apart);
    assert!(
        told[0].starts_with("ok 003") && told[2].starts_with("ok 003"),
        "{told:?}"
    );
    assert_eq!(told[1], "rejected validation REQUIRED_FIELD_MISSING");
    let back = world
        .run(
            "salesforce",
            create("salesforce", "Contact", &records).all_or_none(),
        )
        .await;
    let back = words(&back);
    assert!(
        back[0].ends_with("ROLLED_BACK") && back[1] == told[1] && back[2] == back[0],
        "{back:?}"
    );

    let (a, c) = (told[0][3..].to_owned(), told[2][3..].to_owned());
    let changes = [
        (a.as_str(), json!({"LastName": "A2"})),
        (c.as_str(), json!({"LastName": "C2"})),
    ];
    let changed = ids(&world
        .run("salesforce", update("salesforce", "Contact", &changes))
        .await);
    assert_eq!(changed, [a.clone(), c.clone()]);
    let names = world
        .current(
            "salesforce",
            "Contact",
            &[&c, &a, "003Hs00002AbZzZIAV"],
            "LastName",
        )
        .await;
    assert_eq!(names, [Some(json!("C2")), Some(json!("A2")), None]);

    let mut locked = FaultSpec::new(FaultKind::RowLock);
    locked.record = Some(c.clone());
    world.sandbox.fault(locked.times(2)).unwrap();
    assert_eq!(
        words(
            &world
                .run("salesforce", update("salesforce", "Contact", &changes))
                .await
        ),
        [format!("ok {a}"), "retry lock".into()]
    );
    let all = update("salesforce", "Contact", &changes).all_or_none();
    assert_eq!(words(&world.run("salesforce", all).await), ["whole retry lock"]);
}
