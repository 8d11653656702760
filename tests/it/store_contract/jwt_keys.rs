//! The public keys that JWTs are verified with.

use amp_write::store::{Change, ChangeKind, JwtKeyChange, NewJwtKey};
use uuid::Uuid;

use super::{World, id, new_key, new_project};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    a_jwt_key_finds_its_project_until_it_is_inactive_or_deleted,
    jwt_keys_are_listed_and_changed_in_their_own_project_only,
    each_change_of_a_jwt_key_is_told_by_its_id,
);

fn new(label: &str) -> NewJwtKey {
    NewJwtKey {
        id: id(),
        label: label.to_owned(),
        public_key_pem: format!("-----{label}-----\n"),
    }
}

const OFF: JwtKeyChange = JwtKeyChange {
    label: None,
    active: Some(false),
};

async fn a_jwt_key_finds_its_project_until_it_is_inactive_or_deleted(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let asked = new("first");
    let made = store.create_jwt_key(project, &asked).await.unwrap();
    assert_eq!(
        (
            made.id,
            made.project_id,
            made.label.as_str(),
            made.public_key_pem.as_str()
        ),
        (asked.id, project, "first", "-----first-----\n")
    );
    assert!(made.active && made.update_time.is_none());
    let found = store.find_jwt_key(made.id).await.unwrap();
    assert_eq!(found, Some((made.clone(), world.project.clone())));
    assert_eq!(store.find_jwt_key(id()).await.unwrap(), None);

    let off = store
        .update_jwt_key(project, made.id, &OFF)
        .await
        .unwrap()
        .unwrap();
    assert!(!off.active && off.update_time.is_some());
    assert_eq!(off.label, "first", "what is not named stays");
    assert_eq!(store.find_jwt_key(made.id).await.unwrap(), None);
    assert_eq!(store.get_jwt_key(project, made.id).await.unwrap(), Some(off));
    let on = JwtKeyChange {
        label: Some("again".to_owned()),
        active: Some(true),
    };
    store.update_jwt_key(project, made.id, &on).await.unwrap();
    assert_eq!(
        store.find_jwt_key(made.id).await.unwrap().unwrap().0.label,
        "again"
    );

    assert!(store.delete_jwt_key(project, made.id).await.unwrap());
    assert!(!store.delete_jwt_key(project, made.id).await.unwrap());
    assert_eq!(store.find_jwt_key(made.id).await.unwrap(), None);
}

async fn jwt_keys_are_listed_and_changed_in_their_own_project_only(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let other = store
        .create_project(&new_project("other"), &new_key("o"))
        .await
        .unwrap()
        .id;
    let mut keys: Vec<Uuid> = Vec::new();
    for label in ["a", "b"] {
        keys.push(store.create_jwt_key(project, &new(label)).await.unwrap().id);
    }
    keys.sort_unstable();
    let listed = async |project, only_active| -> Vec<Uuid> {
        let found = store.list_jwt_keys(project, only_active).await.unwrap();
        found.into_iter().map(|key| key.id).collect()
    };
    assert_eq!(listed(project, false).await, keys);
    assert!(listed(other, false).await.is_empty());
    assert_eq!(store.get_jwt_key(other, keys[0]).await.unwrap(), None);
    assert_eq!(store.update_jwt_key(other, keys[0], &OFF).await.unwrap(), None);
    assert!(!store.delete_jwt_key(other, keys[0]).await.unwrap());
    assert_eq!(listed(project, true).await, keys, "nothing of it was touched");
    store.update_jwt_key(project, keys[0], &OFF).await.unwrap();
    assert_eq!(listed(project, true).await, keys[1..]);
    assert_eq!(listed(project, false).await, keys);
}

async fn each_change_of_a_jwt_key_is_told_by_its_id(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let key = store.create_jwt_key(project, &new("k")).await.unwrap().id;
    let place = store.changes_since(None).await.unwrap().position;
    store.update_jwt_key(project, id(), &OFF).await.unwrap();
    store.delete_jwt_key(project, id()).await.unwrap();
    let news = store.changes_since(Some(&place)).await.unwrap();
    assert_eq!(news.changes, Some(vec![]), "what is not there does not change");
    let told = Some(vec![Change::of(project, ChangeKind::JwtKey, key)]);
    store.update_jwt_key(project, key, &OFF).await.unwrap();
    let news = store.changes_since(Some(&news.position)).await.unwrap();
    assert_eq!(news.changes, told);
    store.delete_jwt_key(project, key).await.unwrap();
    assert_eq!(
        store.changes_since(Some(&news.position)).await.unwrap().changes,
        told
    );
}
