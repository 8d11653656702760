//! What is cached goes when it changes, on every node, and only that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use amp_write::changes::{Changes, Dependency, DependsOn, Remembered};
use amp_write::control::Actor;
use amp_write::sandbox::{FaultKind, FaultSpec};
use amp_write::store::{Change, ChangeKind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::client::PATIENCE;
use crate::harness::jwt;
use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Client, Database, Kind, Service, on_both_stores};

on_both_stores!(
    writes_of_one_project_read_nothing_while_another_changes,
    limits_of_a_running_lane_are_read_again_only_when_they_may_have_changed,
    a_change_counts_at_once_on_the_node_that_made_it,
    what_was_read_before_a_change_is_not_used_after_it,
    many_changes_are_forgotten_without_being_missed,
);

/// A change reaches every node within this time.
const SOON: Duration = Duration::from_secs(1);

fn create(name: &str) -> Value {
    json!({"groupRef": GROUP, "type": "create", "record": {"name": name}})
}

/// How often something had to be read from the store because it was not in memory.
fn misses(app: &amp_write::app::App) -> f64 {
    misses_of(app, "")
}

/// The same of one cache.
fn misses_of(app: &amp_write::app::App, cache: &str) -> f64 {
    let metrics = app.writes.metrics.render();
    let start = format!("amp_cache_misses_total{{cache=\"{cache}");
    let lines = metrics.lines().filter(|line| line.starts_with(&start));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Another project in the database of a service, with the plain manifest installed for the same group.
async fn second_project(service: &Service) -> Client {
    let projects = &service.app.control.projects;
    let made = projects.create(&Actor::Operator, "second", None).await;
    let (_, key) = made.unwrap();
    let client = Client::new(service.client.url.clone(), key, "second".to_owned());
    let body = json!({ "sourceYaml": PLAIN });
    client.put("/integrations:batch", body).await.expect(200);
    let connection = json!({
        "provider": "hubspot", "groupRef": GROUP, "consumerRef": "c",
        "oauth2AuthorizationCode": {"accessToken": {"token": "test-second"}}
    });
    client.post("/connections:generate", connection).await.expect(201);
    let installation = json!({"groupRef": GROUP, "config": {"content":
        {"provider": "hubspot", "write": {"objects": {"companies": {"objectName": "companies"}}}}}});
    let path = "/integrations/hs/installations";
    client.post(path, installation).await.expect(201);
    client
}

async fn writes_of_one_project_read_nothing_while_another_changes(kind: Kind) {
    let service = Service::start(kind).await;
    let second = second_project(&service).await;
    let installation = second.get("/integrations/hs/installations").await.json()[0].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let connection = format!("/connections/{}", text(&installation["connection"]["id"]));
    let installation = format!("/integrations/hs/installations/{}", text(&installation["id"]));
    // On Postgres others write through another node: it hears of changes from the store alone.
    let node = match kind {
        Kind::Postgres => Some(service.without_worker().await),
        Kind::Sqlite => None,
    };
    let (app, client) = match &node {
        Some(node) => (&node.app, &node.client),
        None => (&service.app, &service.client),
    };
    for _ in 0..2 {
        client.write("hs", "companies", create("warm")).await.expect(200);
        second.write("hs", "companies", create("warm")).await.expect(200);
    }
    // What the first success said of the credentials is noticed.
    app.writes.changes.poll().await.unwrap();
    client.write("hs", "companies", create("warm")).await.expect(200);

    let mut reads = 0.0;
    for number in 0..100 {
        let token = json!({"updateMask": ["oauth2AuthorizationCode"],
            "connection": {"oauth2AuthorizationCode": {"accessToken": {"token": "test-second"}}}});
        second.patch(&connection, token).await.expect(200);
        if number % 3 == 0 {
            let key = second.post("/api-keys", json!({"label": "short-lived"})).await;
            let key = text(&key.expect(201).json()["id"]);
            second.delete(&format!("/api-keys/{key}")).await.expect(204);
        } else {
            let limits = json!({"updateMask": ["config.content.write.limits"],
                "installation": {"config": {"content": {"write": {"limits": {"concurrency": number % 3}}}}}});
            second.patch(&installation, limits).await.expect(200);
        }
        // It is heard of now, not only twice a second.
        app.writes.changes.poll().await.unwrap();
        let before = misses(app);
        client.write("hs", "companies", create("a")).await.expect(200);
        reads += misses(app) - before;
    }
    assert_eq!(reads, 0.0, "nothing of it was touched");
    let own = misses(&service.app);
    second.write("hs", "companies", create("b")).await.expect(200);
    assert!(misses(&service.app) > own, "what was touched is read again");
}

async fn limits_of_a_running_lane_are_read_again_only_when_they_may_have_changed(kind: Kind) {
    let service = Service::start(kind).await;
    let second = second_project(&service).await;
    let hold = service
        .sandbox
        .fault(FaultSpec::new(FaultKind::Hold).account("acme"));
    let hold = hold.expect("a good fault");
    let queued =
        json!({"groupRef": GROUP, "type": "create", "mode": "asynchronous", "record": {"name": "q"}});
    service.client.write("hs", "companies", &queued).await.expect(200);
    hold.wait_hits(1).await;
    let reads = || misses_of(&service.app, "limits");
    let change = async |client: &Client, what: &str, patch: Value| {
        let made = client.get("/integrations/hs/installations").await.json()[0].clone();
        let (path, id) = match what {
            "connection" => ("/connections", &made["connection"]["id"]),
            _ => ("/integrations/hs/installations", &made["id"]),
        };
        let path = format!("{path}/{}", id.as_str().unwrap());
        let body = json!({"updateMask": patch["mask"], what: patch["new"]});
        client.patch(&path, body).await.expect(200);
    };
    let limits = |concurrency: u32| {
        json!({"mask": ["config.content.write.limits"],
            "new": {"config": {"content": {"write": {"limits": {"concurrency": concurrency}}}}}})
    };
    let token = json!({"mask": ["oauth2AuthorizationCode"],
        "new": {"oauth2AuthorizationCode": {"accessToken": {"token": "test-acme"}}}});
    // The worker looks at changes four times a second at most.
    let look = Duration::from_millis(600);
    tokio::time::sleep(look).await;
    let before = reads();
    for concurrency in 1..20 {
        change(&second, "installation", limits(concurrency)).await;
        change(&service.client, "connection", token.clone()).await;
    }
    tokio::time::sleep(look).await;
    assert_eq!(reads(), before, "another's limits, and a token");
    change(&service.client, "installation", limits(3)).await;
    let since = Instant::now();
    while reads() == before {
        assert!(since.elapsed() < PATIENCE, "its own limits are not read again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn a_change_counts_at_once_on_the_node_that_made_it(kind: Kind) {
    let service = Service::start(kind).await;
    let client = &service.client;
    client.write("hs", "companies", create("a")).await.expect(200);
    let other = json!({"groupRef": "globex", "type": "create", "record": {"name": "g"}});
    client.write("hs", "companies", &other).await.problem(404);
    service.connect("globex", "hubspot", "test-globex").await;
    let content =
        json!({"provider": "hubspot", "write": {"objects": {"companies": {"objectName": "companies"}}}});
    let made = service.install("hs", "globex", content).await;
    client.write("hs", "companies", &other).await.expect(200);
    let path = format!("/connections/{}", made["connection"]["id"].as_str().unwrap());
    let token = |token: &str| {
        json!({"updateMask": ["oauth2AuthorizationCode"],
            "connection": {"oauth2AuthorizationCode": {"accessToken": {"token": token}}}})
    };
    client.patch(&path, token("test-initech")).await.expect(200);
    client.write("hs", "companies", &other).await.expect(200);
    let accounts: Vec<_> = service
        .sandbox
        .ledger()
        .into_iter()
        .filter_map(|entry| entry.account)
        .collect();
    assert_eq!(accounts, ["acme", "globex", "initech"]);
    let installation = format!("/integrations/hs/installations/{}", made["id"].as_str().unwrap());
    client.delete(&installation).await.expect(204);
    client.write("hs", "companies", &other).await.problem(404);
    let again = json!({"specVersion": "1.0.0", "integrations": [
        {"name": "hs", "provider": "hubspot", "write": {"objects": [{"objectName": "contacts"}]}}]});
    service.deploy(&again.to_string()).await;
    client.write("hs", "companies", create("a")).await.problem(400);
}

/// How long it takes until a request is answered so.
async fn until(mut ask: impl AsyncFnMut() -> bool) -> Duration {
    let since = Instant::now();
    while !ask().await {
        assert!(since.elapsed() < PATIENCE, "it never counts");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_counts_within_a_second_on_another_node() {
    let service = Service::start(Kind::Postgres).await;
    let node = service.without_worker().await;
    node.client
        .write("hs", "companies", create("a"))
        .await
        .expect(200);
    let connections = service.client.get("/connections?provider=hubspot").await.json();
    let path = format!("/connections/{}", connections[0]["id"].as_str().unwrap());
    let mut slowest = Duration::ZERO;
    for account in ["globex", "initech", "acme"] {
        let token = json!({"updateMask": ["oauth2AuthorizationCode"],
            "connection": {"oauth2AuthorizationCode": {"accessToken": {"token": format!("test-{account}")}}}});
        service.client.patch(&path, token).await.expect(200);
        let took = until(async || {
            node.client
                .write("hs", "companies", create("a"))
                .await
                .expect(200);
            let last = service.sandbox.ledger().pop().unwrap();
            last.account.as_deref() == Some(account)
        });
        slowest = slowest.max(took.await);
    }
    assert!(slowest < SOON, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_key_opens_nothing_on_another_node_within_a_second() {
    let service = Service::start(Kind::Postgres).await;
    let node = service.without_worker().await;
    let key = service
        .client
        .post("/api-keys", json!({"label": "short-lived"}))
        .await;
    let key = key.expect(201).json();
    let mut client = node.client.clone();
    client.key = key["key"].as_str().unwrap().to_owned();
    client.get("/integrations").await.expect(200);
    let path = format!("/api-keys/{}", key["id"].as_str().unwrap());
    service.client.delete(&path).await.expect(204);
    let took = until(async || client.get("/integrations").await.status == 401).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tokens_of_a_jwt_key_open_nothing_on_another_node_within_a_second() {
    let service = Service::start(Kind::Postgres).await;
    let node = service.without_worker().await;
    let mut slowest = Duration::ZERO;
    for deletes in [false, true] {
        let kid = jwt::register(&service.client).await;
        let browser = jwt::browser(&node.client, &kid, GROUP, "ann");
        browser.get("/connections").await.expect(200);
        let path = format!("/jwt-keys/{kid}");
        if deletes {
            service.client.delete(&path).await.expect(204);
        } else {
            let off = json!({"updateMask": ["active"], "jwtKey": {"active": false}});
            service.client.patch(&path, off).await.expect(200);
        }
        let took = until(async || browser.get("/connections").await.status == 401).await;
        slowest = slowest.max(took);
    }
    assert!(slowest < SOON, "{slowest:?}");
}

/// Something that depends on one connection.
#[derive(Debug)]
struct Thing(Uuid);

impl DependsOn for Thing {
    fn depends_on(&self) -> impl Iterator<Item = Dependency> {
        [(ChangeKind::Connection, self.0)].into_iter()
    }
}

fn touched(id: Uuid) -> Change {
    Change::of(Uuid::nil(), ChangeKind::Connection, id)
}

async fn things(kind: Kind) -> (Database, Arc<Changes>, Remembered<Uuid, Thing>) {
    let database = Database::create(kind).await;
    let changes = Arc::new(Changes::new(database.store().await, Arc::default()));
    let things = Remembered::new(Arc::clone(&changes), "things", 100_000);
    changes.poll().await.unwrap();
    (database, changes, things)
}

async fn what_was_read_before_a_change_is_not_used_after_it(kind: Kind) {
    let (_database, changes, things) = things(kind).await;
    let (read, other) = (Uuid::new_v4(), Uuid::new_v4());
    let before = changes.now();
    // Somebody reads, and before what was read gets into the cache it changes.
    changes.note(&[touched(read)]);
    for id in [read, other] {
        things.keep(before, id, Arc::new(Thing(id)));
    }
    assert!(things.get(&read).is_none());
    assert!(
        things.get(&other).is_some(),
        "what it does not depend on does not matter"
    );
    things.keep(changes.now(), read, Arc::new(Thing(read)));
    assert!(things.get(&read).is_some());
    changes.note(&[touched(read)]);
    assert!(things.get(&read).is_none());
    assert!(things.get(&other).is_some());
    changes.note_everything();
    assert!(things.get(&other).is_none());
}

async fn many_changes_are_forgotten_without_being_missed(kind: Kind) {
    let (_database, changes, things) = things(kind).await;
    let (idle, used, touched_first) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    for id in [idle, used, touched_first] {
        things.keep(changes.now(), id, Arc::new(Thing(id)));
    }
    changes.note(&[touched(touched_first)]);
    for _ in 0..60_000 {
        changes.note(&[touched(Uuid::new_v4())]);
        assert!(things.get(&used).is_some(), "what is in use stays");
    }
    assert!(
        things.get(&touched_first).is_none(),
        "its change was long ago, and counts"
    );
    assert!(
        things.get(&idle).is_none(),
        "what was not used meanwhile is read again"
    );
    things.sweep();
    assert!(things.get(&used).is_some());
}
