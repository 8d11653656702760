//! Projects, keys, integrations, connections, installations.

use std::time::Duration;

use amp_write::clock::Time;
use amp_write::store::{
    ApiKeyChange, ConnectionChange, ConnectionFilter, InstallationChange, IntegrationRef, KeyRef, KeyUse,
    NewApiKey, NewConfig, RouteRow, StoreError,
};
use amp_write::vault::sha256;
use uuid::Uuid;

use super::{World, id, new_connection, new_installation, new_integration, new_key, new_project};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    a_project_is_found_by_id_and_by_name_in_any_case_and_its_name_is_unique,
    a_key_opens_its_project_until_it_is_inactive_or_deleted,
    the_end_of_a_key_is_kept_and_can_be_moved,
    uses_of_a_key_are_noted_apart_and_tell_no_cache,
    a_deploy_makes_a_revision_only_when_something_changed,
    a_destructive_deploy_removes_what_the_manifest_does_not_name,
    projects_are_listed_by_name,
    how_much_an_integration_is_used_is_counted_in_its_own_project,
    each_revision_is_kept_and_found_in_its_own_project_only,
    an_upload_is_found_in_its_own_project_only,
    names_of_integrations_are_unique_without_regard_to_case,
    connections_are_listed_by_filter_and_never_across_projects,
    new_credentials_raise_the_version_and_end_the_authorization_hold,
    a_late_answer_about_old_credentials_changes_nothing,
    a_group_has_one_installation_of_an_integration,
    a_change_of_a_config_that_is_no_longer_in_force_is_refused,
    deleting_an_installation_takes_its_connection_only_when_nobody_else_uses_it,
    the_configs_of_a_lane_are_those_in_force_that_may_speak_of_limits,
    a_route_holds_the_latest_revision_and_a_pinned_route_the_accepted_one,
    a_second_project_sees_nothing_of_the_first,
);

async fn a_project_is_found_by_id_and_by_name_in_any_case_and_its_name_is_unique(kind: Kind) {
    let world = World::new(kind).await;
    let store = &world.store;
    for text in [world.project.id.to_string(), "demo".to_owned(), "DEMO".to_owned()] {
        assert_eq!(
            store.find_project(&text).await.unwrap(),
            Some(world.project.clone()),
            "{text}"
        );
    }
    assert_eq!(store.find_project("other").await.unwrap(), None);
    let again = store
        .create_project(&new_project("Demo"), &new_key("other"))
        .await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert!(
        store.find_key(&sha256(b"other")).await.unwrap().is_none(),
        "the key of a refused project is not kept"
    );
}

async fn a_key_opens_its_project_until_it_is_inactive_or_deleted(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let hash = sha256(b"second");
    let made = store.create_api_key(project, &new_key("second")).await.unwrap();
    assert_eq!(store.find_key(&hash).await.unwrap().unwrap().1, world.project);
    assert_eq!(
        store.get_api_key(project, KeyRef::Hash(&hash)).await.unwrap(),
        Some(made.clone())
    );
    let off = ApiKeyChange {
        active: Some(false),
        label: Some("new".to_owned()),
        ..ApiKeyChange::default()
    };
    let changed = store
        .update_api_key(project, KeyRef::Id(made.id), &off)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (changed.label.as_str(), changed.active, changed.scopes.to_string()),
        ("new", false, "full".to_owned())
    );
    assert!(store.find_key(&hash).await.unwrap().is_none());
    assert_eq!(store.list_api_keys(project, false).await.unwrap().len(), 2);
    assert_eq!(store.list_api_keys(project, true).await.unwrap().len(), 1);
    assert!(store.delete_api_key(project, KeyRef::Id(made.id)).await.unwrap());
    assert!(!store.delete_api_key(project, KeyRef::Id(made.id)).await.unwrap());
}

async fn the_end_of_a_key_is_kept_and_can_be_moved(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let (end, later) = (Time::from_micros(1_000_000), Time::from_micros(7_000_001));
    let new = NewApiKey {
        expire_time: Some(end),
        ..new_key("short")
    };
    let made = store.create_api_key(project, &new).await.unwrap();
    assert_eq!(made.expire_time, Some(end));
    let found = store.find_key(&sha256(b"short")).await.unwrap();
    assert_eq!(
        found.unwrap().0,
        made,
        "whether it is over is not the store's to say"
    );
    let change = |expire_time| ApiKeyChange {
        expire_time,
        ..ApiKeyChange::default()
    };
    for (asked, expected) in [(Some(later), later), (None, later)] {
        let changed = store
            .update_api_key(project, KeyRef::Id(made.id), &change(asked))
            .await;
        assert_eq!(changed.unwrap().unwrap().expire_time, Some(expected));
    }
}

async fn uses_of_a_key_are_noted_apart_and_tell_no_cache(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let keys = [
        store.create_api_key(project, &new_key("a")).await.unwrap().id,
        store.create_api_key(project, &new_key("b")).await.unwrap().id,
    ];
    let place = store.changes_since(None).await.unwrap().position;
    let at = |second: i64| Time::from_micros(second * 1_000_000);
    let minute = Duration::from_secs(60);
    for (second, expected) in [(100, 100), (130, 100), (160, 100), (161, 161), (90, 161)] {
        let uses = keys.map(|key_id| KeyUse {
            key_id,
            project_id: project,
            time: at(second),
        });
        store.note_api_keys_used(&uses, minute).await.unwrap();
        for key in keys {
            let found = store.get_api_key(project, KeyRef::Id(key)).await.unwrap();
            assert_eq!(found.unwrap().last_used_time, Some(at(expected)), "{second}");
        }
    }
    let stranger = KeyUse {
        key_id: keys[0],
        project_id: id(),
        time: at(1_000),
    };
    store.note_api_keys_used(&[stranger], minute).await.unwrap();
    let found = store.get_api_key(project, KeyRef::Id(keys[0])).await.unwrap();
    assert_eq!(
        found.unwrap().last_used_time,
        Some(at(161)),
        "in its own project only"
    );
    let news = store.changes_since(Some(&place)).await.unwrap();
    assert_eq!(
        news.changes,
        Some(vec![]),
        "or every use would empty the caches of every node"
    );
}

async fn a_deploy_makes_a_revision_only_when_something_changed(kind: Kind) {
    let world = World::new(kind).await;
    let deploy = async |content: &str| {
        world
            .store
            .deploy(world.project.id, &[new_integration("hs", content)], false)
            .await
            .unwrap()
            .pop()
            .unwrap()
    };
    let same = deploy("{\"a\":1}").await;
    assert_eq!(same, world.integration, "nothing changed, so nothing is new");
    let changed = deploy("{\"a\":2}").await;
    assert_eq!(changed.id, world.integration.id);
    assert_ne!(changed.revision_id, world.integration.revision_id);
    assert_eq!(changed.content, "{\"a\":2}");
    assert!(changed.update_time.is_some());
}

async fn projects_are_listed_by_name(kind: Kind) {
    let world = World::new(kind).await;
    for name in ["Zoo", "acme"] {
        world
            .store
            .create_project(&new_project(name), &new_key(name))
            .await
            .unwrap();
    }
    let names: Vec<String> = world
        .store
        .list_projects()
        .await
        .unwrap()
        .into_iter()
        .map(|project| project.name)
        .collect();
    assert_eq!(names, ["acme", "demo", "Zoo"]);
}

async fn how_much_an_integration_is_used_is_counted_in_its_own_project(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let unused = store
        .deploy(project, &[new_integration("unused", "{}")], false)
        .await
        .unwrap()
        .pop()
        .unwrap();
    let second = store
        .create_connection(project, &new_connection("h"))
        .await
        .unwrap()
        .id;
    let installation = new_installation(world.integration.id, second, "h");
    store.create_installation(project, &installation).await.unwrap();
    for _ in 0..3 {
        store.accept_operations(&[world.accept()]).await.unwrap();
    }
    let mut used: Vec<_> = store.integration_uses(project).await.unwrap();
    used.retain(|used| used.installations > 0 || used.queued > 0);
    assert_eq!(used.len(), 1, "{used:?}, not {unused:?}");
    assert_eq!(
        (used[0].integration_id, used[0].installations, used[0].queued),
        (world.integration.id, 2, 3)
    );
    let other = store
        .create_project(&new_project("other"), &new_key("other"))
        .await
        .unwrap();
    assert!(store.integration_uses(other.id).await.unwrap().is_empty());
}

async fn a_destructive_deploy_removes_what_the_manifest_does_not_name(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let two = [new_integration("b", "{}"), new_integration("a", "{}")];
    let names: Vec<String> = store
        .deploy(project, &two, false)
        .await
        .unwrap()
        .into_iter()
        .map(|found| found.name)
        .collect();
    assert_eq!(names, ["b", "a"], "in the manifest's order");
    assert_eq!(store.list_integrations(project).await.unwrap().len(), 3);
    store.deploy(project, &two[..1], true).await.unwrap();
    let left: Vec<String> = store
        .list_integrations(project)
        .await
        .unwrap()
        .into_iter()
        .map(|i| i.name)
        .collect();
    assert_eq!(left, ["b"]);
    assert!(
        store
            .list_installations(project, None, None)
            .await
            .unwrap()
            .is_empty(),
        "installations go along"
    );
}

async fn names_of_integrations_are_unique_without_regard_to_case(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let umlaut = store
        .deploy(project, &[new_integration("Überblick", "{}")], false)
        .await
        .unwrap()
        .pop()
        .unwrap();
    let found = store
        .find_integration(project, IntegrationRef::Name("ÜBERBLICK"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.id, umlaut.id);
    let again = store
        .deploy(project, &[new_integration("überblick", "{}")], false)
        .await
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(again.id, umlaut.id);
    let by_id = store
        .find_integration(project, IntegrationRef::Id(umlaut.id))
        .await
        .unwrap();
    assert_eq!(by_id.map(|found| found.id), Some(umlaut.id));
}

async fn connections_are_listed_by_filter_and_never_across_projects(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    store
        .create_connection(project, &new_connection("other"))
        .await
        .unwrap();
    let count =
        async |filter: ConnectionFilter| store.list_connections(project, &filter).await.unwrap().len();
    assert_eq!(count(ConnectionFilter::default()).await, 2);
    assert_eq!(
        count(ConnectionFilter {
            group_ref: Some("g".to_owned()),
            ..Default::default()
        })
        .await,
        1
    );
    assert_eq!(
        count(ConnectionFilter {
            provider: Some("salesforce".to_owned()),
            ..Default::default()
        })
        .await,
        0
    );
    assert_eq!(
        count(ConnectionFilter {
            consumer_ref: Some("person".to_owned()),
            ..Default::default()
        })
        .await,
        2
    );
    let found = store
        .get_connection(project, world.connection)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.group_name.as_str(), found.consumer_name.as_str()),
        ("g", "Person"),
        "a missing name is the reference"
    );
    assert!(
        store
            .get_connection(id(), world.connection)
            .await
            .unwrap()
            .is_none()
    );
    let used = store.delete_connection(project, world.connection).await;
    assert!(matches!(used, Err(StoreError::Conflict(_))), "{used:?}");
}

async fn new_credentials_raise_the_version_and_end_the_authorization_hold(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    assert!(
        store
            .set_connection_works(project, world.connection, 1, false)
            .await
            .unwrap()
    );
    let held = store
        .get_connection(project, world.connection)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(held.status.as_str(), "bad_credentials");
    let change = ConnectionChange {
        credentials: Some(vec![9]),
        ..Default::default()
    };
    let changed = store
        .update_connection(project, world.connection, &change)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (changed.credentials_version, changed.status.as_str()),
        (2, "created")
    );
    assert_eq!(changed.credentials, vec![9]);
    assert!(
        store
            .update_connection(project, id(), &change)
            .await
            .unwrap()
            .is_none()
    );
}

async fn a_late_answer_about_old_credentials_changes_nothing(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let change = ConnectionChange {
        credentials: Some(vec![9]),
        ..Default::default()
    };
    store
        .update_connection(project, world.connection, &change)
        .await
        .unwrap();
    assert!(
        !store
            .set_connection_works(project, world.connection, 1, false)
            .await
            .unwrap()
    );
    assert_eq!(
        store
            .get_connection(project, world.connection)
            .await
            .unwrap()
            .unwrap()
            .status
            .as_str(),
        "created"
    );
}

async fn a_group_has_one_installation_of_an_integration(kind: Kind) {
    let world = World::new(kind).await;
    let new = new_installation(world.integration.id, world.connection, "g");
    let second = world.store.create_installation(world.project.id, &new).await;
    assert!(matches!(second, Err(StoreError::Conflict(_))), "{second:?}");
    assert_eq!(
        world
            .store
            .list_installations(world.project.id, None, Some("g"))
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn a_change_of_a_config_that_is_no_longer_in_force_is_refused(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project, installation) = (&world.store, world.project.id, &world.installation);
    let change = |expected: Uuid, content: &str| InstallationChange {
        expected_config_id: expected,
        connection_id: world.connection,
        config: NewConfig {
            id: id(),
            revision_id: world.integration.revision_id,
            content: content.to_owned(),
            created_by: "api:x".to_owned(),
        },
    };
    let changed = store
        .update_installation(
            project,
            installation.id,
            &change(installation.config_id, "{\"n\":1}"),
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(changed.config_content, "{\"n\":1}");
    assert_eq!(
        (changed.created_by.as_str(), changed.config_created_by.as_str()),
        ("api:test", "api:x")
    );
    let late = change(installation.config_id, "{\"n\":2}");
    assert!(
        store
            .update_installation(project, installation.id, &late)
            .await
            .unwrap()
            .is_none()
    );
    let now = store
        .get_installation(project, world.integration.id, installation.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(now.config_content, "{\"n\":1}");
}

async fn the_configs_of_a_lane_are_those_in_force_that_may_speak_of_limits(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project, installation) = (&world.store, world.project.id, &world.installation);
    let lanes = [world.connection, id()];
    assert_eq!(
        store.list_lane_configs(&lanes).await.unwrap(),
        [],
        "it says nothing"
    );
    let mut expected = installation.config_id;
    for content in [
        "{\"write\":{\"limits\":{\"concurrency\":1}}}",
        "{\"write\":{\"Limits\":{\"concurrency\":2}}}",
    ] {
        let change = InstallationChange {
            expected_config_id: expected,
            connection_id: world.connection,
            config: NewConfig {
                id: id(),
                revision_id: world.integration.revision_id,
                content: content.to_owned(),
                created_by: "api:x".to_owned(),
            },
        };
        let changed = store.update_installation(project, installation.id, &change).await;
        expected = changed.unwrap().unwrap().config_id;
        let found = store.list_lane_configs(&lanes).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].lane_id, found[0].content.as_str()),
            (world.connection, content)
        );
    }
    assert!(store.list_lane_configs(&lanes[1..]).await.unwrap().is_empty());
}

async fn deleting_an_installation_takes_its_connection_only_when_nobody_else_uses_it(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let other = store
        .deploy(project, &[new_integration("two", "{}")], false)
        .await
        .unwrap()
        .pop()
        .unwrap();
    let second = store
        .create_installation(project, &new_installation(other.id, world.connection, "g"))
        .await
        .unwrap();
    assert!(
        !store
            .delete_installation(project, other.id, world.installation.id)
            .await
            .unwrap(),
        "another integration's"
    );
    assert!(
        store
            .delete_installation(project, world.integration.id, world.installation.id)
            .await
            .unwrap()
    );
    assert_eq!(world.connections().await, 1);
    assert!(
        store
            .delete_installation(project, other.id, second.id)
            .await
            .unwrap()
    );
    assert_eq!(world.connections().await, 0);
}

async fn a_route_holds_the_latest_revision_and_a_pinned_route_the_accepted_one(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project, integration) = (&world.store, world.project.id, &world.integration);
    let before = store
        .find_route(project, integration.id, "g")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (before.revision_content.as_str(), before.connection_id),
        ("{\"a\":1}", world.connection)
    );
    store
        .deploy(project, &[new_integration("hs", "{\"a\":2}")], false)
        .await
        .unwrap();
    let after = store
        .find_route(project, integration.id, "g")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.revision_content, "{\"a\":2}");
    let pinned = store
        .find_pinned_route(
            project,
            before.config_id,
            before.revision_id,
            before.connection_id,
        )
        .await
        .unwrap()
        .unwrap();
    // Read later, and the same.
    let before = RouteRow {
        read_time: pinned.read_time,
        ..before
    };
    assert_eq!(pinned, before);
    assert!(
        store
            .find_route(project, integration.id, "stranger")
            .await
            .unwrap()
            .is_none()
    );
    store
        .delete_installation(project, integration.id, world.installation.id)
        .await
        .unwrap();
    let gone = store
        .find_pinned_route(
            project,
            before.config_id,
            before.revision_id,
            before.connection_id,
        )
        .await;
    assert!(gone.unwrap().is_none());
}

async fn a_second_project_sees_nothing_of_the_first(kind: Kind) {
    let world = World::new(kind).await;
    let store = &world.store;
    let other = store
        .create_project(&new_project("other"), &new_key("o"))
        .await
        .unwrap()
        .id;
    assert!(store.list_integrations(other).await.unwrap().is_empty());
    assert!(
        store
            .find_integration(other, IntegrationRef::Id(world.integration.id))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .list_connections(other, &ConnectionFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .list_installations(other, None, None)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .get_installation(other, world.integration.id, world.installation.id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .find_route(other, world.integration.id, "g")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        !store
            .delete_integration(other, world.integration.id)
            .await
            .unwrap()
    );
    assert!(!store.delete_connection(other, world.connection).await.unwrap());
    assert!(
        !store
            .delete_installation(other, world.integration.id, world.installation.id)
            .await
            .unwrap()
    );
    assert!(
        !store
            .set_connection_works(other, world.connection, 1, false)
            .await
            .unwrap()
    );
    assert_eq!(store.list_api_keys(other, false).await.unwrap().len(), 1);
    let key = store
        .list_api_keys(world.project.id, false)
        .await
        .unwrap()
        .remove(0);
    assert!(
        store
            .get_api_key(other, KeyRef::Id(key.id))
            .await
            .unwrap()
            .is_none()
    );
}

async fn each_revision_is_kept_and_found_in_its_own_project_only(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project, integration) = (&world.store, world.project.id, &world.integration);
    let first = integration.revision_id;
    let changed = new_integration(&integration.name, r#"{"name":"changed"}"#);
    let second = store.deploy(project, &[changed], false).await.unwrap()[0].revision_id;
    for (revision, content) in [
        (first, integration.content.as_str()),
        (second, r#"{"name":"changed"}"#),
    ] {
        let found = store
            .get_revision(project, integration.id, revision)
            .await
            .unwrap();
        assert_eq!(found.unwrap().content, content);
        assert_eq!(
            store.get_revision(id(), integration.id, revision).await.unwrap(),
            None
        );
        assert_eq!(store.get_revision(project, id(), revision).await.unwrap(), None);
    }
}

async fn an_upload_is_found_in_its_own_project_only(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project, upload) = (&world.store, world.project.id, id());
    assert_eq!(store.get_upload(project, upload).await.unwrap(), None);
    store.put_upload(project, upload, b"first").await.unwrap();
    store.put_upload(project, upload, b"second").await.unwrap();
    assert_eq!(
        store.get_upload(project, upload).await.unwrap().as_deref(),
        Some(&b"second"[..])
    );
    assert_eq!(store.get_upload(id(), upload).await.unwrap(), None);
}
