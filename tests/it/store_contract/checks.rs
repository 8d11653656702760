//! What says whether the store takes writes, and which encryption key is in use.

use super::{World, id};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    a_store_that_takes_writes_says_so_again_and_again_for_several_processes,
    the_newest_key_check_is_found_and_none_replaces_another,
    the_credentials_that_were_sealed_last_are_found,
);

async fn a_store_that_takes_writes_says_so_again_and_again_for_several_processes(kind: Kind) {
    let world = World::new(kind).await;
    let (one, other) = (id(), id());
    for bytes in [0, 1, 16 << 10, 256 << 10] {
        world.store.check_writes(one, bytes).await.unwrap();
        world.store.check_writes(other, bytes).await.unwrap();
    }
}

async fn the_newest_key_check_is_found_and_none_replaces_another(kind: Kind) {
    let world = World::new(kind).await;
    let store = &world.store;
    assert_eq!(store.latest_key_check().await.unwrap(), None);
    store.add_key_check(1, b"first").await.unwrap();
    store.add_key_check(1, b"late").await.unwrap();
    assert_eq!(
        store.latest_key_check().await.unwrap(),
        Some((1, b"first".to_vec()))
    );
    store.add_key_check(2, b"second").await.unwrap();
    assert_eq!(
        store.latest_key_check().await.unwrap(),
        Some((2, b"second".to_vec()))
    );
}

async fn the_credentials_that_were_sealed_last_are_found(kind: Kind) {
    let world = World::new(kind).await;
    let (project, connection, sealed) = world.store.last_sealed().await.unwrap().expect("there is one");
    assert_eq!((project, connection), (world.project.id, world.connection));
    assert!(!sealed.is_empty());
}
