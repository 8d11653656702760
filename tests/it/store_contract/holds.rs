//! Writes that failed and hold the later writes to their record.

use std::time::Duration;

use amp_write::clock::{Clock, SystemClock, Time};
use amp_write::store::{
    AcceptOperation, Claimed, EndState, Ending, ExpireAsk, LaneAsk, Lease, OperationFilter, Retention,
    SHARDS, shard_of,
};
use uuid::Uuid;

use super::operations::result;
use super::queue::{claim_all, lease, settle};
use super::{World, id, new_connection, new_installation, new_integration};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    a_failed_write_holds_the_later_writes_of_its_record_and_of_no_other,
    only_what_says_so_and_fails_holds,
    a_stale_worker_holds_nothing,
    a_replay_takes_the_place_of_what_failed_and_ends_the_hold_when_it_succeeds,
    a_hold_ends_when_its_write_is_resolved_and_not_when_it_is_sent_again,
    a_released_record_is_free_whatever_has_failed_on_it,
    what_is_held_is_found_at_its_deadline_and_holds_in_its_turn,
    what_waited_too_long_for_credentials_holds_its_record,
    holds_go_with_their_connection_and_installation,
    what_fails_after_its_installation_is_gone_holds_nothing,
    what_holds_something_back_is_kept_and_an_empty_hold_ends_with_the_payload,
);

const KEY: i64 = 7;
const DAY: Duration = Duration::from_secs(86_400);

/// A worker that has everything.
struct At {
    worker: Uuid,
    lease: Lease,
}

impl World {
    async fn at(&self) -> At {
        let worker = id();
        let lease = lease(self, worker).await;
        At { worker, lease }
    }

    /// A write to the record with this key that holds it when it fails.
    fn holding(&self, key: i64) -> AcceptOperation {
        AcceptOperation {
            record_key: Some(key),
            holds: true,
            ..self.accept()
        }
    }

    fn continuing(&self, key: i64) -> AcceptOperation {
        AcceptOperation {
            holds: false,
            ..self.holding(key)
        }
    }

    /// Accepts one after the other; answers their operations.
    async fn accepted_all(&self, accepts: &[AcceptOperation]) -> Vec<Uuid> {
        self.store.accept_operations(accepts).await.unwrap();
        accepts.iter().map(|accept| accept.operation.id).collect()
    }

    async fn replayed(&self, operation: Uuid, key: i64) -> Uuid {
        let mut accept = self.holding(key);
        accept.operation.replay_of = Some(operation);
        self.accepted_all(&[accept]).await[0]
    }

    async fn claimed(&self, operation: Uuid) -> Option<Claimed> {
        let items = claim_all(self).await;
        items.into_iter().find(|item| item.operation_id == operation)
    }

    async fn claimable(&self) -> Vec<Uuid> {
        let items = claim_all(self).await;
        let mut found: Vec<Uuid> = items.iter().map(|item| item.operation_id).collect();
        found.sort();
        found
    }

    async fn end(&self, at: &At, operation: Uuid, state: EndState) -> bool {
        let item = self.claimed(operation).await.expect("it can be claimed");
        let ending = Ending::Finish(result(state));
        let settles = [settle(at.worker, at.lease, &item, ending)];
        self.store.settle(&settles).await.unwrap()[0]
    }

    async fn held_by(&self, operation: Uuid) -> Option<Uuid> {
        let live = self.store.get_live(self.project.id, operation).await.unwrap();
        live.expect("it waits").held_by
    }

    async fn holds(&self, operation: Uuid) -> bool {
        let found = self.store.get_operation(self.project.id, operation).await;
        found.unwrap().expect("it is there").holds_record
    }

    async fn records_held(&self) -> i64 {
        self.store.health().await.unwrap().records_held
    }

    /// What a worker asks for when an item of the record has ended.
    async fn next_of(&self, seq: i64) -> Vec<Uuid> {
        let ask = LaneAsk {
            next_of: vec![(KEY, seq)],
            scan: 0,
            ..LaneAsk::first(shard_of(self.connection), self.connection, 10)
        };
        let claim = self.store.claim(&[ask], 1 << 20).await.unwrap();
        claim.items.iter().map(|item| item.operation_id).collect()
    }
}

async fn a_failed_write_holds_the_later_writes_of_its_record_and_of_no_other(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.at().await;
    let accepts = [
        world.holding(KEY),
        world.continuing(KEY),
        world.holding(KEY + 1),
        world.accept(),
    ];
    let ids = world.accepted_all(&accepts).await;
    assert_eq!(world.held_by(ids[1]).await, None);
    let failed = world.claimed(ids[0]).await.unwrap();
    assert!(world.end(&at, ids[0], EndState::NeedsReview).await);
    let mut others = vec![ids[2], ids[3]];
    others.sort();
    assert_eq!(world.claimable().await, others);
    assert!(
        world.next_of(failed.seq).await.is_empty(),
        "also not as the next of its record"
    );
    // What is accepted now waits, too.
    let late = world.accepted_all(&[world.continuing(KEY)]).await[0];
    assert_eq!(world.claimable().await, others);
    for held in [ids[1], late] {
        assert_eq!(world.held_by(held).await, Some(ids[0]));
    }
    assert_eq!(world.held_by(ids[2]).await, None);
    assert!(world.holds(ids[0]).await && !world.holds(ids[1]).await);
    assert_eq!(world.records_held().await, 1);
    let lanes = world.store.list_lanes(Some(world.project.id)).await.unwrap();
    assert_eq!((lanes[0].depth, lanes[0].held_records), (4, 1));
    let filter = OperationFilter {
        holds_record: true,
        limit: 10,
        ..OperationFilter::default()
    };
    let listed = world
        .store
        .list_operations(world.project.id, &filter)
        .await
        .unwrap();
    assert_eq!(listed.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[0]]);
    assert!(listed.rows[0].holds_record);
    // What is held is not late; what could run is.
    for other in others {
        assert!(world.end(&at, other, EndState::Succeeded).await);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let backlog = world.store.backlog().await.unwrap().remove(0);
    assert_eq!((backlog.items, backlog.run_at), (2, backlog.store_now));
    // Whoever has the lane next finds it so.
    world.store.retire_worker(at.worker).await.unwrap();
    world.at().await;
    assert!(world.claimable().await.is_empty());
}

async fn only_what_says_so_and_fails_holds(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.at().await;
    for (first, state) in [
        (world.continuing(KEY), EndState::Failed),
        (world.continuing(KEY), EndState::NeedsReview),
        (world.holding(KEY), EndState::Succeeded),
        (world.holding(KEY), EndState::Cancelled),
    ] {
        let ids = world.accepted_all(&[first, world.continuing(KEY)]).await;
        assert!(world.end(&at, ids[0], state).await);
        assert!(!world.holds(ids[0]).await);
        assert!(world.end(&at, ids[1], EndState::Succeeded).await, "{state:?}");
    }
    // Put off and done later: nothing has failed.
    let ids = world
        .accepted_all(&[world.holding(KEY), world.continuing(KEY)])
        .await;
    let item = world.claimed(ids[0]).await.unwrap();
    let again = Ending::Retry {
        delay: Duration::ZERO,
        attempt: 1,
    };
    let settles = [settle(at.worker, at.lease, &item, again)];
    assert_eq!(world.store.settle(&settles).await.unwrap(), [true]);
    assert_eq!(world.records_held().await, 0);
    // That it was put off has not made it forget.
    assert!(world.end(&at, ids[0], EndState::Failed).await);
    assert_eq!(world.records_held().await, 1);
}

async fn a_stale_worker_holds_nothing(kind: Kind) {
    let world = World::new(kind).await;
    let old = world.at().await;
    let ids = world
        .accepted_all(&[world.holding(KEY), world.continuing(KEY)])
        .await;
    world
        .store
        .release_shards(old.worker, &(0..SHARDS).collect::<Vec<_>>())
        .await
        .unwrap();
    world.store.retire_worker(old.worker).await.unwrap();
    let new = world.at().await;
    assert!(!world.end(&old, ids[0], EndState::Failed).await);
    assert_eq!(world.records_held().await, 0);
    assert!(world.end(&new, ids[0], EndState::Succeeded).await);
    assert!(world.end(&new, ids[1], EndState::Succeeded).await);
}

async fn a_replay_takes_the_place_of_what_failed_and_ends_the_hold_when_it_succeeds(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.at().await;
    let ids = world
        .accepted_all(&[world.holding(KEY), world.continuing(KEY)])
        .await;
    let place = world.claimed(ids[0]).await.unwrap().seq;
    assert!(world.end(&at, ids[0], EndState::Failed).await);
    // Another record's replay has no place to take, nor one of what does not hold.
    let elsewhere = world.replayed(ids[0], KEY + 1).await;
    assert!(world.claimed(elsewhere).await.unwrap().seq > place);
    let first = world.replayed(ids[0], KEY).await;
    assert_eq!(world.claimed(first).await.unwrap().seq, place);
    assert_eq!(world.claimed(ids[1]).await, None);
    // It fails, and what waits goes on waiting: for this one now.
    assert!(world.end(&at, first, EndState::NeedsReview).await);
    assert_eq!(world.claimed(ids[1]).await, None);
    assert_eq!(world.held_by(ids[1]).await, Some(first));
    assert_eq!(world.records_held().await, 1);
    // Whichever of the two is replayed, its place is the same; its success ends both.
    let second = world.replayed(ids[0], KEY).await;
    let third = world.replayed(first, KEY).await;
    assert_eq!(world.claimed(second).await.unwrap().seq, place);
    assert!(world.end(&at, second, EndState::Succeeded).await);
    assert!(!world.holds(ids[0]).await && !world.holds(first).await);
    assert!(
        world.end(&at, third, EndState::Succeeded).await,
        "still before the others"
    );
    assert_eq!(world.next_of(place).await, [ids[1]]);
    // Without a hold a replay comes last.
    let last = world.replayed(ids[0], KEY).await;
    assert!(world.claimed(last).await.is_none());
    assert!(world.end(&at, ids[1], EndState::Succeeded).await);
    assert!(world.claimed(last).await.is_some());
}

async fn a_hold_ends_when_its_write_is_resolved_and_not_when_it_is_sent_again(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.at().await;
    let project = world.project.id;
    for release in [true, false] {
        let ids = world
            .accepted_all(&[world.holding(KEY), world.continuing(KEY)])
            .await;
        assert!(world.end(&at, ids[0], EndState::NeedsReview).await);
        let good = result(EndState::Failed);
        assert!(!world.store.resolve(id(), ids[0], &good, true).await.unwrap());
        assert!(world.holds(ids[0]).await);
        assert!(
            world
                .store
                .resolve(project, ids[0], &good, release)
                .await
                .unwrap()
        );
        assert_eq!(world.holds(ids[0]).await, !release);
        assert_eq!(world.claimed(ids[1]).await.is_some(), release);
        if release {
            assert!(world.end(&at, ids[1], EndState::Succeeded).await);
        }
    }
}

async fn a_released_record_is_free_whatever_has_failed_on_it(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.at().await;
    let (store, project) = (&world.store, world.project.id);
    for by_the_held in [false, true] {
        let accepts = [
            world.holding(KEY),
            world.holding(KEY + 1),
            world.continuing(KEY),
            world.continuing(KEY + 1),
        ];
        let ids = world.accepted_all(&accepts).await;
        assert_eq!(store.release_record(project, ids[0]).await.unwrap(), None);
        for failed in &ids[..2] {
            assert!(world.end(&at, *failed, EndState::Failed).await);
        }
        assert_eq!(
            store.release_record(id(), ids[0]).await.unwrap(),
            None,
            "another project's"
        );
        let named = if by_the_held { ids[2] } else { ids[0] };
        let released = store.release_record(project, named).await.unwrap();
        assert_eq!(released, Some(world.connection));
        assert_eq!(store.release_record(project, named).await.unwrap(), None);
        assert_eq!(world.claimable().await, [ids[2]], "the other record stays held");
        assert_eq!(
            store.release_record(project, ids[1]).await.unwrap(),
            Some(world.connection)
        );
        for waited in &ids[2..] {
            assert!(world.end(&at, *waited, EndState::Succeeded).await);
        }
    }
}

async fn what_is_held_is_found_at_its_deadline_and_holds_in_its_turn(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.at().await;
    let short = AcceptOperation {
        deadline: Duration::from_millis(1),
        ..world.holding(KEY)
    };
    let ids = world
        .accepted_all(&[world.holding(KEY), short, world.continuing(KEY)])
        .await;
    assert!(world.end(&at, ids[0], EndState::Failed).await);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let ask = ExpireAsk {
        shard: shard_of(world.connection),
        lane_id: world.connection,
        known: vec![],
    };
    let expired = world.store.claim_expired(&[ask], 9, 1 << 20).await.unwrap();
    assert_eq!(expired.len(), 1);
    assert_eq!((expired[0].operation_id, expired[0].behind), (ids[1], true));
    let ending = Ending::Finish(result(EndState::Failed));
    let settles = [settle(at.worker, at.lease, &expired[0], ending)];
    assert_eq!(world.store.settle(&settles).await.unwrap(), [true]);
    assert_eq!(
        world.held_by(ids[2]).await,
        Some(ids[0]),
        "the first of them is named"
    );
    // Both must be dealt with; each replay has its own place.
    let second = world.replayed(ids[1], KEY).await;
    assert_eq!(world.held_by(second).await, Some(ids[0]));
    let first = world.replayed(ids[0], KEY).await;
    assert_eq!(world.claimable().await, [first]);
    for replay in [first, second] {
        assert_eq!(world.claimed(ids[2]).await, None);
        assert!(world.end(&at, replay, EndState::Succeeded).await);
    }
    assert_eq!(world.claimable().await, [ids[2]]);
}

async fn what_waited_too_long_for_credentials_holds_its_record(kind: Kind) {
    let world = World::new(kind).await;
    world.at().await;
    let (store, project) = (&world.store, world.project.id);
    let ids = world.accepted_all(&[world.holding(KEY)]).await;
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    let held = store.long_held(Duration::ZERO, 10).await.unwrap();
    let ends: Vec<_> = held
        .into_iter()
        .map(|item| (item, result(EndState::Failed)))
        .collect();
    assert_eq!(store.end_long_held(&ends).await.unwrap(), [true]);
    assert!(world.holds(ids[0]).await);
    store
        .set_connection_works(project, world.connection, 1, true)
        .await
        .unwrap();
    let later = world.accepted_all(&[world.continuing(KEY)]).await[0];
    assert_eq!(world.held_by(later).await, Some(ids[0]));
    assert!(world.claimable().await.is_empty());
}

async fn holds_go_with_their_connection_and_installation(kind: Kind) {
    for by_integration in [false, true] {
        let world = World::new(kind).await;
        let at = world.at().await;
        let (store, project) = (&world.store, world.project.id);
        // Two installations share the connection.
        let other = store
            .deploy(project, &[new_integration("two", "{}")], false)
            .await;
        let other = other.unwrap().remove(0);
        let second = new_installation(other.id, world.connection, "g");
        let second = store.create_installation(project, &second).await.unwrap();
        let mut theirs = world.holding(KEY + 1);
        theirs.operation.installation_id = second.id;
        let ids = world.accepted_all(&[world.holding(KEY), theirs]).await;
        for failed in &ids {
            assert!(world.end(&at, *failed, EndState::Failed).await);
        }
        assert_eq!(world.records_held().await, 2);
        if by_integration {
            assert!(store.delete_integration(project, other.id).await.unwrap());
        } else {
            assert!(
                store
                    .delete_installation(project, other.id, second.id)
                    .await
                    .unwrap()
            );
        }
        assert_eq!(world.records_held().await, 1);
        assert!(world.holds(ids[0]).await && !world.holds(ids[1]).await);
        // The last one takes the connection along.
        let (integration, installation) = (world.integration.id, world.installation.id);
        if by_integration {
            let keep = [new_integration("three", "{}")];
            store.deploy(project, &keep, true).await.unwrap();
        } else {
            assert!(
                store
                    .delete_installation(project, integration, installation)
                    .await
                    .unwrap()
            );
        }
        assert_eq!(world.records_held().await, 0);
    }
    // A connection that its installation uses no longer.
    let world = World::new(kind).await;
    let at = world.at().await;
    let (store, project) = (&world.store, world.project.id);
    let ids = world.accepted_all(&[world.holding(KEY)]).await;
    assert!(world.end(&at, ids[0], EndState::Failed).await);
    let moved = store
        .create_connection(project, &new_connection("g"))
        .await
        .unwrap();
    let change = amp_write::store::InstallationChange {
        expected_config_id: world.installation.config_id,
        connection_id: moved.id,
        config: new_installation(world.integration.id, moved.id, "g").config,
    };
    let changed = store
        .update_installation(project, world.installation.id, &change)
        .await;
    assert!(changed.unwrap().is_some());
    assert_eq!(world.records_held().await, 1);
    assert!(store.delete_connection(project, world.connection).await.unwrap());
    assert_eq!(world.records_held().await, 0);
}

async fn what_fails_after_its_installation_is_gone_holds_nothing(kind: Kind) {
    for shared in [false, true] {
        let world = World::new(kind).await;
        let at = world.at().await;
        let (store, project) = (&world.store, world.project.id);
        if shared {
            // Another installation keeps the connection.
            let other = store
                .deploy(project, &[new_integration("two", "{}")], false)
                .await;
            let second = new_installation(other.unwrap()[0].id, world.connection, "g");
            store.create_installation(project, &second).await.unwrap();
        }
        let ids = world
            .accepted_all(&[world.holding(KEY), world.continuing(KEY)])
            .await;
        let deleted = store.delete_installation(project, world.integration.id, world.installation.id);
        assert!(deleted.await.unwrap());
        assert!(world.end(&at, ids[0], EndState::Failed).await);
        assert_eq!(world.records_held().await, 0);
        assert_eq!(world.claimable().await, [ids[1]], "it can end");
    }
}

async fn what_holds_something_back_is_kept_and_an_empty_hold_ends_with_the_payload(kind: Kind) {
    #[derive(Debug)]
    struct Days(i64);
    impl Clock for Days {
        fn now(&self) -> Time {
            Time::from_micros(SystemClock.now().as_micros() - self.0 * 86_400_000_000)
        }
    }
    let world = World::new(kind).await;
    let at = world.at().await;
    let (store, project) = (&world.store, world.project.id);
    let keep = Retention {
        history: 30 * DAY,
        payloads: 7 * DAY,
    };
    for days in [10, 40] {
        store.prepare_history(Days(days).now()).await.unwrap();
        let mut old = world.holding(KEY);
        old.operation.id = Days(days).new_id();
        let ids = world.accepted_all(&[old, world.continuing(KEY)]).await;
        assert!(world.end(&at, ids[0], EndState::Failed).await);
        store.expire_history(keep).await.unwrap();
        assert!(world.holds(ids[0]).await, "something waits behind it");
        assert!(store.get_request(project, ids[0]).await.unwrap().is_some());
        assert!(world.claimable().await.is_empty());
        assert_eq!(
            store.release_record(project, ids[0]).await.unwrap(),
            Some(world.connection)
        );
        assert!(world.end(&at, ids[1], EndState::Succeeded).await);
        let mut old = world.holding(KEY);
        old.operation.id = Days(days).new_id();
        let empty = world.accepted_all(&[old]).await[0];
        assert!(world.end(&at, empty, EndState::Failed).await);
        assert_eq!(world.records_held().await, 1);
        store.expire_history(keep).await.unwrap();
        assert_eq!(world.records_held().await, 0, "nothing waits behind it");
        assert_eq!(store.get_request(project, empty).await.unwrap(), None);
        let gone = store.get_operation(project, empty).await.unwrap().is_none();
        assert_eq!(gone, days == 40);
    }
    // A young one stays, whether or not something waits.
    let young = world.accepted_all(&[world.holding(KEY)]).await[0];
    assert!(world.end(&at, young, EndState::Failed).await);
    store.expire_history(keep).await.unwrap();
    assert!(world.holds(young).await);
}
