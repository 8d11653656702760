//! What waits, and for how long.

use std::time::Duration;

use amp_write::store::{AttemptState, BeginAttempt, EndState, NewAttempt, PauseReason};

use super::operations::{attempt, result};
use super::{World, id};
use crate::harness::{Kind, on_both_stores};

const HOUR: Duration = Duration::from_secs(3_600);

on_both_stores!(
    waiting_work_is_counted_lane_by_lane,
    held_and_paused_lanes_and_free_shards_are_counted,
    each_hold_is_told_of_once,
    what_is_held_for_too_long_ends_and_nothing_else_does,
    what_was_reconnected_meanwhile_does_not_end,
    held_work_that_was_sent_without_an_answer_is_in_doubt,
);

async fn waiting_work_is_counted_lane_by_lane(kind: Kind) {
    let world = World::new(kind).await;
    assert!(world.store.backlog().await.unwrap().is_empty());
    let mut accepts = [world.accept(), world.accept(), world.accept()];
    accepts[2].operation.connection_id = id();
    world.store.accept_operations(&accepts).await.unwrap();
    world
        .store
        .set_connection_works(world.project.id, world.connection, 1, false)
        .await
        .unwrap();
    let mut backlog = world.store.backlog().await.unwrap();
    backlog.sort_by_key(|lane| -lane.items);
    assert_eq!(backlog.len(), 2);
    assert_eq!(
        (
            backlog[0].project_id,
            backlog[0].lane_id,
            backlog[0].items,
            backlog[0].held
        ),
        (world.project.id, world.connection, 2, true)
    );
    assert_eq!(
        backlog[0].oldest,
        accepts[0].operation.id.min(accepts[1].operation.id)
    );
    assert!(backlog[0].run_at <= backlog[0].store_now);
    assert_eq!((backlog[1].items, backlog[1].held), (1, false));
}

async fn held_and_paused_lanes_and_free_shards_are_counted(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    assert_eq!(store.health().await.unwrap().shards_free, 64);
    store.lease_shards(id(), HOUR, Duration::ZERO).await.unwrap();
    store
        .pause_lane(project, id(), HOUR, PauseReason::RateLimit)
        .await
        .unwrap();
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    let health = store.health().await.unwrap();
    assert_eq!(
        (
            health.lanes_held,
            health.lanes_paused,
            health.shards_free,
            health.long_transactions
        ),
        (1, 1, 0, 0)
    );
}

async fn each_hold_is_told_of_once(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    assert!(store.take_new_holds().await.unwrap().is_empty());
    for _ in 0..2 {
        store
            .set_connection_works(project, world.connection, 1, false)
            .await
            .unwrap();
        let holds = store.take_new_holds().await.unwrap();
        assert_eq!(holds.len(), 1, "a new hold is told of again");
        assert_eq!(
            (holds[0].project_id, holds[0].lane_id, holds[0].reason.as_str()),
            (project, world.connection, "authorization")
        );
        assert!(store.take_new_holds().await.unwrap().is_empty());
        store
            .set_connection_works(project, world.connection, 1, true)
            .await
            .unwrap();
        assert!(store.take_new_holds().await.unwrap().is_empty());
    }
}

async fn what_is_held_for_too_long_ends_and_nothing_else_does(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let held = [world.accept(), world.accept(), world.accept()];
    let mut other = world.accept();
    other.operation.connection_id = id();
    store.accept_operations(&held).await.unwrap();
    store.accept_operations(&[other.clone()]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert!(store.long_held(Duration::ZERO, 100).await.unwrap().is_empty());
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert!(store.long_held(HOUR, 100).await.unwrap().is_empty());
    assert_eq!(
        store.long_held(Duration::ZERO, 2).await.unwrap().len(),
        2,
        "in batches"
    );
    let found = store.long_held(Duration::ZERO, 100).await.unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(
        (
            found[0].object.as_str(),
            found[0].action.as_str(),
            found[0].provider.as_deref()
        ),
        ("contacts", "create", Some("hubspot"))
    );
    assert!(found.iter().all(|item| !item.in_doubt));
    let ends: Vec<_> = found
        .into_iter()
        .map(|item| (item, result(EndState::Failed)))
        .collect();
    assert_eq!(store.end_long_held(&ends).await.unwrap(), [true; 3]);
    assert_eq!(store.end_long_held(&ends).await.unwrap(), [false; 3], "once");
    assert_eq!(store.queue_depth().await.unwrap(), 1);
    for accept in &held {
        let operation = store
            .get_operation(project, accept.operation.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(operation.state.map(EndState::as_str), Some("failed"));
    }
    let operation = store
        .get_operation(project, other.operation.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(operation.state, None);
}

async fn what_was_reconnected_meanwhile_does_not_end(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    store.accept_operations(&[world.accept()]).await.unwrap();
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    let found = store.long_held(Duration::ZERO, 100).await.unwrap().remove(0);
    store
        .set_connection_works(project, world.connection, 1, true)
        .await
        .unwrap();
    let ended = store
        .end_long_held(&[(found, result(EndState::Failed))])
        .await
        .unwrap();
    assert_eq!(ended, [false]);
    assert_eq!(store.queue_depth().await.unwrap(), 1);
}

async fn held_work_that_was_sent_without_an_answer_is_in_doubt(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let accept = world.accept();
    store
        .accept_operations(std::slice::from_ref(&accept))
        .await
        .unwrap();
    let worker = id();
    let lease = super::queue::lease(&world, worker).await;
    let sent = NewAttempt {
        ..attempt(project, accept.operation.id, id(), AttemptState::Sent)
    };
    let begin = BeginAttempt {
        worker,
        lease,
        attempt: sent,
    };
    assert_eq!(store.begin_attempts(&[begin]).await.unwrap(), [true]);
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert!(store.long_held(Duration::ZERO, 100).await.unwrap()[0].in_doubt);
}
