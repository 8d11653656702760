//! What a JWT sees and changes: its own group's, and nothing else. `isolation.rs` has every route; here is what is in answers.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::jwt::{browser, frontend, register};
use crate::harness::service::{GROUP, PLAIN};
use crate::harness::{Client, Kind, Service, on_both_stores};

on_both_stores!(
    a_jwt_sees_what_is_its_groups_in_every_list,
    a_jwt_connects_and_installs_for_its_own_group_and_person,
    a_jwt_of_another_group_changes_nothing,
    a_connection_of_another_group_cannot_be_installed,
    a_jwt_cannot_send_credentials_elsewhere_nor_raise_limits,
    a_frontend_key_does_what_the_official_ui_does,
);

const OTHER: &str = "globex";

fn contacts() -> Value {
    json!({"provider": "hubspot", "write": {"objects": {"contacts": {"objectName": "contacts"}}}})
}

fn connection(group: &str, person: &str) -> Value {
    json!({"provider": "hubspot", "groupRef": group, "consumerRef": person,
        "oauth2AuthorizationCode": {"accessToken": {"token": "test-acme"}}})
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

/// A service where both groups have something of everything; and the browsers of both.
async fn world(kind: Kind) -> (Service, Client, Client) {
    let service = Service::start(kind).await;
    service.connect(OTHER, "hubspot", "test-globex").await;
    service.install("hs", OTHER, contacts()).await;
    let kid = register(&service.client).await;
    let (own, other) = (
        browser(&service.client, &kid, GROUP, "ann"),
        browser(&service.client, &kid, OTHER, "bob"),
    );
    (service, own, other)
}

async fn groups(client: &Client, path: &str) -> Vec<String> {
    let listed = client.get(path).await.expect(200).json();
    let group = |row: &Value| row["group"]["groupRef"].as_str().unwrap().to_owned();
    let mut groups: Vec<String> = listed.as_array().unwrap().iter().map(group).collect();
    groups.dedup();
    groups
}

async fn a_jwt_sees_what_is_its_groups_in_every_list(kind: Kind) {
    let (service, own, other) = world(kind).await;
    for path in ["/connections", "/installations", "/integrations/hs/installations"] {
        assert_eq!(groups(&service.client, path).await.len(), 2, "{path}");
        assert_eq!(groups(&own, path).await, [GROUP], "{path}");
        assert_eq!(groups(&other, path).await, [OTHER], "{path}");
        let named = format!("{path}?groupRef={GROUP}");
        assert_eq!(groups(&own, &named).await, [GROUP], "{named}");
        other.get(&named).await.problem(403);
        let narrowed = format!("{path}?provider=hubspot&consumerRef={GROUP}-user");
        assert!(
            !groups(&other, &narrowed).await.contains(&GROUP.to_owned()),
            "{narrowed}"
        );
    }
    let kid = register(&service.client).await;
    let stranger = browser(&service.client, &kid, "ACME", "ann");
    assert!(
        groups(&stranger, "/connections").await.is_empty(),
        "letter for letter"
    );
}

async fn a_jwt_connects_and_installs_for_its_own_group_and_person(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(PLAIN).await;
    let kid = register(&service.client).await;
    let ann = browser(&service.client, &kid, GROUP, "ann");
    ann.post("/connections:generate", connection(OTHER, "ann"))
        .await
        .problem(403);
    // People have names in the whole project: another one's is not to be changed.
    ann.post("/connections:generate", connection(GROUP, "bob"))
        .await
        .problem(403);
    let made = ann
        .post("/connections:generate", connection(GROUP, "ann"))
        .await
        .expect(201)
        .json();
    assert_eq!(made["consumer"]["consumerRef"], "ann");
    let install = |group: &str| json!({"groupRef": group, "config": {"createdBy": "consumer:somebody-else", "content": contacts()}});
    let path = "/integrations/hs/installations";
    ann.post(path, install(OTHER)).await.problem(403);
    let installed = ann.post(path, install(GROUP)).await.expect(201).json();
    assert_eq!(installed["group"]["groupRef"], GROUP);
    assert_eq!(installed["createdBy"], "consumer:ann", "who it is says the token");
    assert_eq!(installed["config"]["createdBy"], "consumer:ann");
    let all = service.client.get("/connections").await.json();
    assert_eq!(all.as_array().unwrap().len(), 1, "what was refused was not made");

    let at = format!("{path}/{}", id(&installed));
    let forged = json!({"updateMask": ["config.createdBy", "config.content.write.objects"],
        "installation": {"config": {"createdBy": "builder:boss", "content": contacts()}}});
    let changed = ann.patch(&at, forged).await.expect(200).json();
    assert_eq!(changed["config"]["createdBy"], "consumer:ann");
    ann.get(&at).await.expect(200);
    ann.delete(&at).await.expect(204);
    let spare = ann
        .post("/connections:generate", connection(GROUP, "ann"))
        .await
        .expect(201)
        .json();
    ann.delete(&format!("/connections/{}", id(&spare)))
        .await
        .expect(204);
}

async fn a_jwt_of_another_group_changes_nothing(kind: Kind) {
    let (service, own, other) = world(kind).await;
    let before = [
        service.client.get("/connections").await.body,
        service.client.get("/installations").await.body,
    ];
    let installation = own.get("/integrations/hs/installations").await.json()[0].clone();
    let at = format!("/integrations/hs/installations/{}", id(&installation));
    let with = format!("/connections/{}", id(&installation["connection"]));
    let mask = json!({"updateMask": [], "installation": {}});
    let token = json!({"updateMask": ["oauth2AuthorizationCode"],
        "connection": {"oauth2AuthorizationCode": {"accessToken": {"token": "test-globex"}}}});
    let object = "/integrations/hs/objects/contacts/config-content";
    let changes = json!([{"op": "add", "path": "/objectName", "value": "contacts"}]);
    for answer in [
        other.get(&at).await,
        other.patch(&at, mask).await,
        other.delete(&at).await,
        other.get(&with).await,
        other.patch(&with, token).await,
        other.delete(&with).await,
        other.patch(object, json!({"groupRef": GROUP, "action": "write", "changes": changes})).await,
        other.patch(object, json!({"installationId": id(&installation), "action": "write", "changes": changes})).await,
        // The group beside an installation of another one does not help.
        other.patch(object, json!({"groupRef": OTHER, "installationId": id(&installation), "action": "write", "changes": changes})).await,
    ] {
        answer.problem(403);
    }
    let after = [
        service.client.get("/connections").await.body,
        service.client.get("/installations").await.body,
    ];
    assert_eq!(after, before);
    // What nobody has is not found, as for everybody else.
    let nothing = service.app.clock.new_id();
    other.get(&format!("/connections/{nothing}")).await.problem(404);
    other
        .get(&format!("/integrations/hs/installations/{nothing}"))
        .await
        .problem(404);
    let calls = service.reached().len();
    for path in [
        format!("/integrations/hs/objects/contacts/metadata?groupRef={GROUP}"),
        format!("/providers/hubspot/objects/contacts/metadata?groupRef={GROUP}"),
        // A group that nobody has: whether it is there is not told.
        "/providers/hubspot/objects/contacts/metadata?groupRef=nobody".to_owned(),
    ] {
        other.get(&path).await.problem(403);
    }
    assert_eq!(
        service.reached().len(),
        calls,
        "the customer's account was not asked"
    );
    own.get("/integrations/hs/objects/contacts/metadata?groupRef=acme")
        .await
        .expect(200);
}

async fn a_connection_of_another_group_cannot_be_installed(kind: Kind) {
    let (service, own, other) = world(kind).await;
    let foreign = id(&own.get("/connections?provider=hubspot").await.json()[0]);
    let mine = other.get("/integrations/hs/installations").await.json()[0].clone();
    let at = format!("/integrations/hs/installations/{}", id(&mine));
    let moved = json!({"updateMask": ["connectionId"], "installation": {"connectionId": foreign}});
    other.patch(&at, &moved).await.problem(400);
    other.delete(&at).await.expect(204);
    let body = json!({"groupRef": OTHER, "connectionId": foreign, "config": {"content": contacts()}});
    other
        .post("/integrations/hs/installations", body)
        .await
        .problem(400);
    assert_eq!(
        groups(&service.client, "/integrations/hs/installations").await,
        [GROUP]
    );
    let revision = own.get("/integrations/hs").await.json()["latestRevision"].clone();
    let hydrated = format!(
        "/integrations/hs/revisions/{}:hydrate?connectionId={foreign}",
        id(&revision)
    );
    other.get(&hydrated).await.problem(403);
    own.get(&hydrated).await.expect(200);
}

async fn a_jwt_cannot_send_credentials_elsewhere_nor_raise_limits(kind: Kind) {
    let (_service, own, _) = world(kind).await;
    let path = format!(
        "/connections/{}",
        id(&own.get("/connections?provider=salesforce").await.json()[0])
    );
    let elsewhere =
        json!({"updateMask": ["providerWorkspaceRef"], "connection": {"providerWorkspaceRef": "attacker"}});
    own.patch(&path, elsewhere).await.problem(403);
    let at = format!(
        "/integrations/hs/installations/{}",
        id(&own.get("/integrations/hs/installations").await.json()[0])
    );
    let faster = json!({"updateMask": ["config.content.write.limits"],
        "installation": {"config": {"content": {"write": {"limits": {"concurrency": 9}}}}}});
    own.patch(&at, faster).await.problem(403);
}

async fn a_frontend_key_does_what_the_official_ui_does(kind: Kind) {
    let service = Service::empty(kind).await;
    service.deploy(PLAIN).await;
    let ui = frontend(&service.client).await;
    let made = ui
        .post("/connections:generate", connection(GROUP, "ann"))
        .await
        .expect(201)
        .json();
    let body = json!({"groupRef": GROUP, "connectionId": id(&made),
        "config": {"createdBy": "consumer:ann", "content": contacts()}});
    let installed = ui
        .post("/integrations/hs/installations", body)
        .await
        .expect(201)
        .json();
    assert_eq!(
        installed["createdBy"], "consumer:ann",
        "a key does not know who it is"
    );
    let at = format!("/integrations/hs/installations/{}", id(&installed));
    let objects = json!({"updateMask": ["config.content.write.objects"], "installation": {"config": {"content": contacts()}}});
    ui.patch(&at, objects).await.expect(200);
    ui.get("/integrations/hs/objects/contacts/metadata?groupRef=acme")
        .await
        .expect(200);
    ui.delete(&at).await.expect(204);
    let spare = ui
        .post("/connections:generate", connection(GROUP, "ann"))
        .await
        .expect(201)
        .json();
    ui.delete(&format!("/connections/{}", id(&spare)))
        .await
        .expect(204);
}

/// A handler that read what belongs to customers past the use cases would show it to whoever asks.
#[test]
fn handlers_read_what_belongs_to_a_customer_through_use_cases_only() {
    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
                continue;
            }
            let text: String = std::fs::read_to_string(&path)
                .unwrap()
                .split_whitespace()
                .collect();
            for past in [
                "store.get_connection(",
                "store.list_connections(",
                "store.get_installation(",
                "store.list_installations(",
                "store.find_route(",
                "routes.find(",
                "routes.find_pinned(",
            ] {
                if text.contains(past) {
                    found.push(format!("{}: {past}…)", path.display()));
                }
            }
        }
    }
    let mut found = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api"), &mut found);
    assert!(
        found.is_empty(),
        "ask `control`, which knows who asks: {found:#?}"
    );
}
