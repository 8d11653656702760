//! Shards, lanes and items.

use std::time::Duration;

use amp_write::clock::Time;
use amp_write::store::{
    AttemptState, BeginAttempt, Claimed, EndState, Ending, ExpireAsk, LaneAsk, Lease, MaybeKnown, NewAttempt,
    PauseReason, SHARDS, Settle, Stragglers, shard_of,
};
use uuid::Uuid;

use super::operations::{attempt, result};
use super::{World, id};
use crate::harness::{Kind, on_both_stores};

const LEASE: Duration = Duration::from_secs(60);

on_both_stores!(
    a_lone_worker_takes_every_shard_and_keeps_its_epochs,
    a_claim_changes_nothing_and_leaves_out_what_is_in_flight,
    a_finished_item_leaves_with_its_result,
    a_stale_worker_changes_nothing_but_its_attempt_is_kept,
    a_put_off_item_comes_back_when_it_is_due,
    writes_to_one_record_are_claimed_one_by_one_in_accepted_order,
    a_request_that_left_without_an_answer_is_in_doubt_until_it_is_answered,
    an_attempt_without_a_usable_answer_is_in_doubt_also_when_nothing_was_noted_before_it,
    a_late_success_of_a_worker_that_lost_the_item_leaves_it_in_doubt,
    an_attempt_begins_only_under_the_lease_that_is_in_force,
    a_second_hold_adds_to_the_time_that_the_first_stood_still,
    a_held_lane_is_released_when_its_connection_is_deleted,
    a_held_lane_says_so_and_remembers_how_long_it_stood_still,
    a_paused_lane_says_until_when_and_a_shorter_pause_does_not_shorten_it,
    lanes_are_found_in_every_shard,
    a_lane_is_read_on_from_where_it_was_read_and_nothing_is_left_out,
    a_flood_of_one_record_is_passed_over_in_steps_and_the_next_of_it_is_found_at_once,
    the_next_of_a_record_is_found_also_when_it_became_visible_late,
    a_claim_reads_no_more_bytes_than_asked_for_but_always_one_item,
    an_item_past_its_deadline_is_found_wherever_it_stands_unless_the_clock_stood_still,
    lanes_are_listed_with_what_keeps_them_from_starting,
    a_live_lease_is_not_taken,
    an_old_epoch_settles_nothing_also_of_the_worker_that_has_the_shard,
    a_settle_that_names_an_earlier_time_of_the_item_takes_no_effect,
    a_shard_that_was_not_given_back_is_unsettled_as_long_as_calls_of_its_owner_may_take,
    later_writes_to_a_record_are_told_that_a_request_may_still_take_effect,
);

const BYTES: usize = 1 << 20;

/// Every due item of every lane.
pub(super) async fn claim_all(world: &World) -> Vec<Claimed> {
    claim_without(world, &[]).await
}

async fn claim_without(world: &World, known: &[Uuid]) -> Vec<Claimed> {
    let shards: Vec<i16> = (0..SHARDS).collect();
    let due = world.store.due_lanes(&shards).await.unwrap();
    let asks: Vec<LaneAsk> = due
        .iter()
        .map(|lane| LaneAsk {
            known: known.to_vec(),
            ..LaneAsk::first(lane.shard, lane.lane_id, 100)
        })
        .collect();
    world.store.claim(&asks, BYTES).await.unwrap().items
}

/// Leases everything for a worker, and answers the lease of the world's lane.
pub(super) async fn lease(world: &World, worker: Uuid) -> Lease {
    let leases = world
        .store
        .lease_shards(worker, LEASE, Duration::ZERO)
        .await
        .unwrap();
    *leases
        .held
        .iter()
        .find(|lease| lease.shard == shard_of(world.connection))
        .expect("the lane's shard is held")
}

pub(super) fn settle(worker: Uuid, lease: Lease, item: &Claimed, ending: Ending) -> Settle {
    Settle {
        worker,
        lease,
        lane_id: item.lane_id,
        run_at: item.run_at,
        operation_id: item.operation_id,
        project_id: item.project_id,
        attempt: Some(attempt(
            item.project_id,
            item.operation_id,
            id(),
            AttemptState::Answered,
        )),
        ending,
        freed: None,
        stragglers: None,
    }
}

async fn a_lone_worker_takes_every_shard_and_keeps_its_epochs(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let first = world
        .store
        .lease_shards(worker, LEASE, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(first.held.len(), 64);
    assert_eq!(first.fair_share, 64);
    assert_eq!(
        world
            .store
            .lease_shards(worker, LEASE, Duration::ZERO)
            .await
            .unwrap()
            .held,
        first.held,
        "a renewal changes no epoch"
    );
    world.store.release_shards(worker, &[3]).await.unwrap();
    let again = world
        .store
        .lease_shards(worker, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let epoch = |leases: &amp_write::store::Leases, shard: i16| {
        leases
            .held
            .iter()
            .find(|lease| lease.shard == shard)
            .expect("held")
            .epoch
    };
    assert!(
        epoch(&again, 3) > epoch(&first, 3),
        "a shard that was given back has a new epoch"
    );
    assert_eq!(epoch(&again, 4), epoch(&first, 4));
    world.store.retire_worker(worker).await.unwrap();
    assert_eq!(
        world
            .store
            .lease_shards(id(), LEASE, Duration::ZERO)
            .await
            .unwrap()
            .held
            .len(),
        64,
        "free at once"
    );
}

async fn a_claim_changes_nothing_and_leaves_out_what_is_in_flight(kind: Kind) {
    let world = World::new(kind).await;
    let accepts = [world.accept(), world.accept()];
    world.store.accept_operations(&accepts).await.unwrap();
    let claimed = claim_all(&world).await;
    assert_eq!(claimed.len(), 2);
    assert_eq!(claim_all(&world).await.len(), 2);
    let rest = claim_without(&world, &[accepts[0].operation.id]).await;
    assert_eq!(
        rest.iter().map(|item| item.operation_id).collect::<Vec<_>>(),
        [accepts[1].operation.id]
    );
    let item = &claimed[0];
    assert_eq!(
        (item.attempt, item.object.as_str(), item.action.as_str()),
        (0, "contacts", "create")
    );
    assert_eq!(item.config_id, world.installation.config_id);
    assert_eq!(item.in_doubt_since, None);
    assert!(item.store_now >= item.accept_time);
}

async fn a_finished_item_leaves_with_its_result(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    world
        .store
        .accept_operations(&[world.accept(), world.accept()])
        .await
        .unwrap();
    let items = claim_all(&world).await;
    let settles: Vec<Settle> = items
        .iter()
        .map(|item| settle(worker, lease, item, Ending::Finish(result(EndState::Failed))))
        .collect();
    assert_eq!(world.store.settle(&settles).await.unwrap(), [true, true]);
    assert_eq!(world.store.queue_depth().await.unwrap(), 0);
    let found = world
        .store
        .get_operation(world.project.id, items[0].operation_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.state.map(EndState::as_str), Some("failed"));
    assert_eq!(
        world.store.settle(&settles).await.unwrap(),
        [false, false],
        "what is gone cannot end twice"
    );
}

async fn a_stale_worker_changes_nothing_but_its_attempt_is_kept(kind: Kind) {
    let world = World::new(kind).await;
    let (old, new) = (id(), id());
    let old_lease = lease(&world, old).await;
    world.store.accept_operations(&[world.accept()]).await.unwrap();
    let item = claim_all(&world).await.remove(0);
    // The old worker is given up; its shards go to a new one.
    world
        .store
        .release_shards(old, &(0..SHARDS).collect::<Vec<_>>())
        .await
        .unwrap();
    world.store.retire_worker(old).await.unwrap();
    let new_lease = lease(&world, new).await;
    assert!(new_lease.epoch > old_lease.epoch);
    for ending in [
        Ending::Finish(result(EndState::Failed)),
        Ending::Retry {
            delay: Duration::from_secs(9),
            attempt: 5,
        },
    ] {
        assert_eq!(
            world
                .store
                .settle(&[settle(old, old_lease, &item, ending)])
                .await
                .unwrap(),
            [false]
        );
    }
    // Neither with the new epoch, which is not its own.
    let stolen = settle(old, new_lease, &item, Ending::Finish(result(EndState::Failed)));
    assert_eq!(world.store.settle(&[stolen]).await.unwrap(), [false]);
    let now = claim_all(&world).await.remove(0);
    assert_eq!(
        (now.run_at, now.attempt, now.operation_id),
        (item.run_at, item.attempt, item.operation_id),
        "as it was"
    );
    let attempts = world
        .store
        .list_attempts(item.project_id, item.operation_id)
        .await
        .unwrap();
    assert_eq!(attempts.len(), 3, "late results are kept as attempts");
    let finish = settle(new, new_lease, &item, Ending::Finish(result(EndState::Succeeded)));
    assert_eq!(world.store.settle(&[finish]).await.unwrap(), [true]);
}

async fn a_put_off_item_comes_back_when_it_is_due(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    world.store.accept_operations(&[world.accept()]).await.unwrap();
    let item = claim_all(&world).await.remove(0);
    let later = Ending::Retry {
        delay: Duration::from_secs(3600),
        attempt: 1,
    };
    assert_eq!(
        world
            .store
            .settle(&[settle(worker, lease, &item, later)])
            .await
            .unwrap(),
        [true]
    );
    assert!(claim_all(&world).await.is_empty());
    let due = world.store.due_lanes(&[item.shard]).await.unwrap().remove(0);
    let wait = due.run_at.since(due.store_now);
    assert!(
        wait > Duration::from_secs(3500) && wait <= Duration::from_secs(3600),
        "{wait:?}"
    );
    let moved = Claimed {
        run_at: due.run_at,
        ..item
    };
    let now = Ending::Retry {
        delay: Duration::ZERO,
        attempt: 2,
    };
    assert_eq!(
        world
            .store
            .settle(&[settle(worker, lease, &moved, now)])
            .await
            .unwrap(),
        [true]
    );
    assert_eq!(claim_all(&world).await[0].attempt, 2);
}

async fn writes_to_one_record_are_claimed_one_by_one_in_accepted_order(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let keyed = |key: i64| amp_write::store::AcceptOperation {
        record_key: Some(key),
        ..world.accept()
    };
    let batch = [keyed(1), keyed(1), keyed(2)];
    let ids: Vec<Uuid> = batch.iter().map(|accept| accept.operation.id).collect();
    world.store.accept_operations(&batch).await.unwrap();
    let third = keyed(1);
    world
        .store
        .accept_operations(std::slice::from_ref(&third))
        .await
        .unwrap();
    let claimed = |items: &[Claimed]| items.iter().map(|item| item.operation_id).collect::<Vec<_>>();
    let mut first = claim_all(&world).await;
    first.sort_by_key(|item| item.operation_id != ids[0]);
    assert_eq!(claimed(&first), [ids[0], ids[2]], "one of each record");
    // Put off and due again, it still goes first: the others of its record wait behind it.
    let again = Ending::Retry {
        delay: Duration::ZERO,
        attempt: 1,
    };
    world
        .store
        .settle(&[settle(worker, lease, &first[0], again)])
        .await
        .unwrap();
    let items = claim_all(&world).await;
    let put_off = items
        .iter()
        .find(|item| item.operation_id == ids[0])
        .expect("it is due again");
    assert!(!claimed(&items).contains(&ids[1]));
    // A failure lets the next one run.
    let failed = Ending::Finish(result(EndState::Failed));
    world
        .store
        .settle(&[settle(worker, lease, put_off, failed)])
        .await
        .unwrap();
    let items = claim_all(&world).await;
    let second = items
        .iter()
        .find(|item| item.operation_id == ids[1])
        .expect("its turn");
    assert!(!claimed(&items).contains(&third.operation.id));
    // While one waits for a later time, those behind it wait too.
    let later = Ending::Retry {
        delay: Duration::from_secs(3600),
        attempt: 1,
    };
    world
        .store
        .settle(&[settle(worker, lease, second, later)])
        .await
        .unwrap();
    assert_eq!(claimed(&claim_all(&world).await), [ids[2]]);
}

async fn a_request_that_left_without_an_answer_is_in_doubt_until_it_is_answered(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let accept = world.accept();
    let (project, operation) = (accept.operation.project_id, accept.operation.id);
    world.store.accept_operations(&[accept]).await.unwrap();
    let begin = async |attempt| {
        world
            .store
            .begin_attempts(&[BeginAttempt {
                worker,
                lease,
                attempt,
            }])
            .await
            .unwrap()
            .remove(0)
    };
    let doubt = async || claim_all(&world).await[0].in_doubt_since;
    let (first, second) = (id(), id());
    let sent = attempt(project, operation, first, AttemptState::Sent);
    assert!(begin(sent.clone()).await);
    assert!(begin(attempt(project, operation, first, AttemptState::Unanswered)).await);
    assert_eq!(doubt().await, Some(sent.start_time));
    let rejected = |id| {
        let class = Some("rate_limited".to_owned());
        NewAttempt {
            class,
            ..attempt(project, operation, id, AttemptState::Answered)
        }
    };
    begin(attempt(project, operation, second, AttemptState::Sent)).await;
    begin(rejected(second)).await;
    assert_eq!(
        doubt().await,
        Some(sent.start_time),
        "the other attempt's answer says nothing"
    );
    begin(rejected(first)).await;
    assert_eq!(doubt().await, None);
}

async fn an_attempt_without_a_usable_answer_is_in_doubt_also_when_nothing_was_noted_before_it(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let accept = world.accept();
    let (project, operation) = (accept.operation.project_id, accept.operation.id);
    world.store.accept_operations(&[accept]).await.unwrap();
    let retry = Ending::Retry {
        delay: Duration::ZERO,
        attempt: 1,
    };
    let end = async |number: i64, state| {
        let item = claim_all(&world).await.remove(0);
        let mut end = settle(worker, lease, &item, retry.clone());
        let row = attempt(project, operation, id(), state);
        let start_time = Time::from_micros(1_000_000_000 + number);
        end.attempt = Some(NewAttempt { start_time, ..row });
        assert_eq!(world.store.settle(&[end]).await.unwrap(), [true]);
        claim_all(&world).await[0].in_doubt_since
    };
    let first = Some(Time::from_micros(1_000_000_002));
    assert_eq!(end(1, AttemptState::Answered).await, None);
    assert_eq!(end(2, AttemptState::Unanswered).await, first);
    assert_eq!(
        end(3, AttemptState::Unanswered).await,
        first,
        "the earliest counts"
    );
    assert_eq!(end(4, AttemptState::Answered).await, first, "of another request");
    world
        .store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert!(world.store.long_held(Duration::ZERO, 9).await.unwrap()[0].in_doubt);
}

async fn a_late_success_of_a_worker_that_lost_the_item_leaves_it_in_doubt(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let accept = world.accept();
    let (project, operation) = (accept.operation.project_id, accept.operation.id);
    world.store.accept_operations(&[accept]).await.unwrap();
    let item = claim_all(&world).await.remove(0);
    let sent = attempt(project, operation, id(), AttemptState::Sent);
    world
        .store
        .begin_attempts(&[BeginAttempt {
            worker,
            lease,
            attempt: sent.clone(),
        }])
        .await
        .unwrap();
    world.store.retire_worker(worker).await.unwrap();
    // The item is another's by now; the provider's "created" arrives all the same.
    let mut late = settle(worker, lease, &item, Ending::Finish(result(EndState::Succeeded)));
    late.attempt = Some(attempt(project, operation, sent.id, AttemptState::Answered));
    assert_eq!(world.store.settle(&[late]).await.unwrap(), [false]);
    assert_eq!(
        claim_all(&world).await[0].in_doubt_since,
        Some(sent.start_time),
        "it must not be sent again"
    );
}

async fn an_attempt_begins_only_under_the_lease_that_is_in_force(kind: Kind) {
    let world = World::new(kind).await;
    let (old, new) = (id(), id());
    let stale = lease(&world, old).await;
    let accept = world.accept();
    let (project, operation) = (accept.operation.project_id, accept.operation.id);
    world.store.accept_operations(&[accept]).await.unwrap();
    world.store.retire_worker(old).await.unwrap();
    let current = lease(&world, new).await;
    let begin = |worker, lease| BeginAttempt {
        worker,
        lease,
        attempt: attempt(project, operation, id(), AttemptState::Sent),
    };
    let begins = [
        begin(old, stale),
        begin(new, current),
        begin(old, current),
        begin(new, stale),
    ];
    assert_eq!(
        world.store.begin_attempts(&begins).await.unwrap(),
        [false, true, false, false]
    );
    assert_eq!(
        world.store.list_attempts(project, operation).await.unwrap().len(),
        1
    );
}

async fn a_second_hold_adds_to_the_time_that_the_first_stood_still(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    store.accept_operations(&[world.accept()]).await.unwrap();
    let works = async |works: bool| {
        store
            .set_connection_works(project, world.connection, 1, works)
            .await
            .unwrap()
    };
    works(false).await;
    works(true).await;
    let first = claim_all(&world).await.remove(0);
    works(false).await;
    works(true).await;
    let second = claim_all(&world).await.remove(0);
    let span = |item: &Claimed| item.held_until.unwrap().since(item.held_from.unwrap());
    assert!(span(&second) >= span(&first));
    assert!(second.held_until > first.held_until || span(&second) == span(&first));
}

async fn a_held_lane_is_released_when_its_connection_is_deleted(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    store.accept_operations(&[world.accept()]).await.unwrap();
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    assert!(
        store
            .delete_installation(project, world.integration.id, world.installation.id)
            .await
            .unwrap()
    );
    assert_eq!(world.connections().await, 0);
    let lane = store
        .due_lanes(&[shard_of(world.connection)])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(lane.hold_reason, None, "what waits can end");
}

async fn a_held_lane_says_so_and_remembers_how_long_it_stood_still(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    store.accept_operations(&[world.accept()]).await.unwrap();
    let shard = shard_of(world.connection);
    assert_eq!(store.due_lanes(&[shard]).await.unwrap()[0].hold_reason, None);
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    assert_eq!(
        store.due_lanes(&[shard]).await.unwrap()[0]
            .hold_reason
            .as_ref()
            .map(MaybeKnown::as_str),
        Some("authorization")
    );
    store
        .set_connection_works(project, world.connection, 1, true)
        .await
        .unwrap();
    assert_eq!(store.due_lanes(&[shard]).await.unwrap()[0].hold_reason, None);
    let item = claim_all(&world).await.remove(0);
    assert!(item.held_until.unwrap() >= item.held_from.unwrap());
}

async fn a_paused_lane_says_until_when_and_a_shorter_pause_does_not_shorten_it(kind: Kind) {
    let world = World::new(kind).await;
    let accept = world.accept();
    let operation = accept.operation.id;
    world.store.accept_operations(&[accept]).await.unwrap();
    let (project, lane_id) = (world.project.id, world.connection);
    let pause = async |seconds, reason| {
        let pause = Duration::from_secs(seconds);
        world
            .store
            .pause_lane(project, lane_id, pause, reason)
            .await
            .unwrap();
        let lane = world
            .store
            .due_lanes(&[shard_of(lane_id)])
            .await
            .unwrap()
            .remove(0);
        let live = world.store.get_live(project, operation).await.unwrap().unwrap();
        (
            lane.paused_until.unwrap().since(lane.store_now).as_secs_f64(),
            live.pause_reason.unwrap(),
        )
    };
    let (left, reason) = pause(100, PauseReason::Quota).await;
    assert!(left > 50.0 && left <= 100.0, "{left}");
    assert_eq!(reason.as_str(), "quota");
    let (left, reason) = pause(50, PauseReason::RateLimit).await;
    assert!(left > 50.0 && left <= 100.0, "{left}");
    assert_eq!(reason.as_str(), "quota", "the longer one says why");
    let (left, reason) = pause(200, PauseReason::RateLimit).await;
    assert!(left > 100.0, "{left}");
    assert_eq!(reason.as_str(), "rate_limit");
}

async fn lanes_are_found_in_every_shard(kind: Kind) {
    let world = World::new(kind).await;
    let mut lanes = vec![world.connection];
    for number in 0..20 {
        let group = format!("g{number}");
        lanes.push(
            world
                .store
                .create_connection(world.project.id, &super::new_connection(&group))
                .await
                .unwrap()
                .id,
        );
    }
    for lane in &lanes {
        let mut accept = world.accept();
        accept.operation.connection_id = *lane;
        world.store.accept_operations(&[accept.clone()]).await.unwrap();
        let mut second = world.accept();
        second.operation.connection_id = *lane;
        world.store.accept_operations(&[second]).await.unwrap();
    }
    let shards: Vec<i16> = (0..SHARDS).collect();
    let mut found: Vec<Uuid> = world
        .store
        .due_lanes(&shards)
        .await
        .unwrap()
        .into_iter()
        .map(|lane| lane.lane_id)
        .collect();
    found.sort_unstable();
    lanes.sort_unstable();
    assert_eq!(found, lanes, "each lane once, however many items it has");
    let none: Vec<i16> = Vec::new();
    assert!(world.store.due_lanes(&none).await.unwrap().is_empty());
}

fn only(world: &World) -> LaneAsk {
    LaneAsk::first(shard_of(world.connection), world.connection, 100)
}

async fn a_lane_is_read_on_from_where_it_was_read_and_nothing_is_left_out(kind: Kind) {
    let world = World::new(kind).await;
    // Each batch has one and the same time: the place of an item is more than its time.
    let mut wanted = Vec::new();
    for _ in 0..3 {
        let batch: Vec<_> = (0..10).map(|_| world.accept()).collect();
        wanted.extend(batch.iter().map(|accept| accept.operation.id));
        world.store.accept_operations(&batch).await.unwrap();
    }
    let mut ask = LaneAsk {
        limit: 4,
        scan: 5,
        ..only(&world)
    };
    let mut found = Vec::new();
    loop {
        let claim = world
            .store
            .claim(std::slice::from_ref(&ask), BYTES)
            .await
            .unwrap();
        let read = &claim.lanes[0];
        found.extend(claim.items.iter().map(|item| item.operation_id));
        if !read.more {
            // What is recent is read again: a commit may have been late.
            assert!(read.store_now.since(read.after.run_at) >= Duration::from_secs(10));
            assert_eq!(read.next_due, None);
            break;
        }
        assert!(read.after > ask.after, "reading gets on");
        ask.after = read.after;
    }
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

async fn a_flood_of_one_record_is_passed_over_in_steps_and_the_next_of_it_is_found_at_once(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let keyed = |key: i64| amp_write::store::AcceptOperation {
        record_key: Some(key),
        ..world.accept()
    };
    let flood: Vec<_> = (0..50).map(|_| keyed(1)).collect();
    world.store.accept_operations(&flood).await.unwrap();
    let first = world
        .store
        .claim(&[only(&world)], BYTES)
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(first.operation_id, flood[0].operation.id);
    let later = Ending::Retry {
        delay: Duration::from_secs(3600),
        attempt: 1,
    };
    world
        .store
        .settle(&[settle(worker, lease, &first, later)])
        .await
        .unwrap();
    let behind = keyed(2);
    world
        .store
        .accept_operations(std::slice::from_ref(&behind))
        .await
        .unwrap();
    let mut ask = LaneAsk {
        limit: 5,
        scan: 20,
        ..only(&world)
    };
    let mut looks = 0;
    let read = loop {
        let claim = world
            .store
            .claim(std::slice::from_ref(&ask), BYTES)
            .await
            .unwrap();
        let read = claim.lanes[0].clone();
        looks += 1;
        assert!(read.blocked || !claim.items.is_empty());
        if let Some(item) = claim.items.first() {
            assert_eq!(
                item.operation_id, behind.operation.id,
                "another record does not wait"
            );
            break read;
        }
        assert!(read.more);
        ask.after = read.after;
    };
    assert!(looks <= 3, "49 are passed over 20 at a time: {looks}");
    let due = read.next_due.expect("the first is tried again");
    assert!(due.since(read.store_now) > Duration::from_secs(3500));

    // The first ends: the next of its record is found without reading the lane again.
    let moved = Claimed { run_at: due, ..first };
    let failed = Ending::Finish(result(EndState::Failed));
    assert_eq!(
        world
            .store
            .settle(&[settle(worker, lease, &moved, failed)])
            .await
            .unwrap(),
        [true]
    );
    let next = LaneAsk {
        limit: 1,
        scan: 1,
        after: read.after,
        known: vec![behind.operation.id],
        next_of: vec![(1, moved.seq)],
        ..only(&world)
    };
    let items = world.store.claim(&[next], BYTES).await.unwrap().items;
    assert_eq!(items.len(), 1);
    assert_eq!(
        items[0].operation_id, flood[1].operation.id,
        "in the order of acceptance"
    );
    assert!(items[0].seq > moved.seq && !items[0].behind);
}

async fn a_claim_reads_no_more_bytes_than_asked_for_but_always_one_item(kind: Kind) {
    let world = World::new(kind).await;
    let batch: Vec<_> = (0..5)
        .map(|_| {
            let mut accept = world.accept();
            accept.operation.request = format!("\"{}\"", "x".repeat(100_000));
            accept
        })
        .collect();
    world.store.accept_operations(&batch).await.unwrap();
    let mut ask = only(&world);
    let mut found = 0;
    for (budget, wanted) in [(1_000, 1), (250_000, 2), (BYTES, 2)] {
        let claim = world
            .store
            .claim(std::slice::from_ref(&ask), budget)
            .await
            .unwrap();
        assert_eq!(claim.items.len(), wanted, "{budget}");
        found += wanted;
        assert_eq!(claim.lanes[0].more, found < 5, "what did not fit comes next time");
        ask.known.extend(claim.items.iter().map(|item| item.operation_id));
        ask.after = claim.lanes[0].after;
    }
}

async fn an_item_past_its_deadline_is_found_wherever_it_stands_unless_the_clock_stood_still(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let with = |key: Option<i64>, deadline: Duration| amp_write::store::AcceptOperation {
        record_key: key,
        deadline,
        ..world.accept()
    };
    let hour = Duration::from_secs(3600);
    let head = with(Some(1), hour);
    let late = with(Some(1), Duration::ZERO);
    store
        .accept_operations(&[head.clone(), late.clone(), with(None, hour)])
        .await
        .unwrap();
    let lane = store
        .due_lanes(&[shard_of(world.connection)])
        .await
        .unwrap()
        .remove(0);
    assert!(
        lane.deadline.unwrap() <= lane.store_now,
        "the lane says that something is"
    );
    let ask = |known: Vec<Uuid>| ExpireAsk {
        shard: shard_of(world.connection),
        lane_id: world.connection,
        known,
    };
    let expired = async |known: Vec<Uuid>| store.claim_expired(&[ask(known)], 10, BYTES).await.unwrap();
    let found = expired(Vec::new()).await;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].operation_id, found[0].behind),
        (late.operation.id, true)
    );
    assert!(
        expired(vec![late.operation.id]).await.is_empty(),
        "it is being ended"
    );
    // While the lane is held its clock stands still; what was accepted before gets that time on top.
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    assert!(expired(Vec::new()).await.is_empty());
    let soon = with(None, Duration::from_millis(1));
    store
        .accept_operations(std::slice::from_ref(&soon))
        .await
        .unwrap();
    store
        .set_connection_works(project, world.connection, 1, true)
        .await
        .unwrap();
    let started = std::time::Instant::now();
    while expired(Vec::new()).await.len() < 2 {
        assert!(started.elapsed() < crate::harness::client::PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn lanes_are_listed_with_what_keeps_them_from_starting(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    assert!(store.list_lanes(None).await.unwrap().is_empty());
    store
        .accept_operations(&[world.accept(), world.accept()])
        .await
        .unwrap();
    let lane = store.list_lanes(Some(project)).await.unwrap().remove(0);
    assert_eq!(
        (lane.lane_id, lane.depth, lane.has_worker),
        (world.connection, 2, false)
    );
    assert_eq!(
        (
            lane.project.as_deref(),
            lane.provider.as_deref(),
            lane.group_ref.as_deref()
        ),
        (Some("demo"), Some("hubspot"), Some("g"))
    );
    assert!(lane.run_at <= lane.store_now && lane.hold_reason.is_none());
    store.lease_shards(id(), LEASE, Duration::ZERO).await.unwrap();
    store
        .pause_lane(
            project,
            world.connection,
            Duration::from_secs(100),
            PauseReason::RateLimit,
        )
        .await
        .unwrap();
    store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    let lane = store.list_lanes(None).await.unwrap().remove(0);
    assert!(lane.has_worker && lane.held_from.is_some());
    assert_eq!(
        lane.hold_reason.as_ref().map(MaybeKnown::as_str),
        Some("authorization")
    );
    assert!(lane.paused_until.unwrap() > lane.store_now);
    assert!(
        store.list_lanes(Some(id())).await.unwrap().is_empty(),
        "of another project"
    );
}

#[tokio::test]
async fn sqlite_has_no_other_processes_to_listen_to() {
    let world = World::new(Kind::Sqlite).await;
    assert!(world.store.listen().await.unwrap().is_none());
    world.store.notify(&["0:*".to_owned()]).await.unwrap();
}

#[tokio::test]
async fn on_postgres_what_one_process_tells_another_hears() {
    let database = crate::harness::Database::create(Kind::Postgres).await;
    let (one, other) = (database.store().await, database.store().await);
    let mut listener = one.listen().await.unwrap().expect("there may be others");
    let messages = ["0:*".to_owned(), "7:x".to_owned()];
    other.notify(&messages).await.unwrap();
    let heard = [listener.next().await.unwrap(), listener.next().await.unwrap()];
    assert_eq!(heard, messages.map(Some));
    // A connection that is cut is made again, and says that something may have been lost.
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(&database.url)
        .await
        .unwrap();
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    assert_eq!(listener.next().await.unwrap(), None);
    other.notify(&["9:*".to_owned()]).await.unwrap();
    assert_eq!(listener.next().await.unwrap().as_deref(), Some("9:*"));
}

/// Two commits can become visible in another order than that of their places: then the one that ended is the later.
async fn the_next_of_a_record_is_found_also_when_it_became_visible_late(kind: Kind) {
    let world = World::new(kind).await;
    let keyed = || amp_write::store::AcceptOperation {
        record_key: Some(1),
        ..world.accept()
    };
    let (late, ended) = (keyed(), keyed());
    world
        .store
        .accept_operations(&[late.clone(), ended.clone()])
        .await
        .unwrap();
    let looked = claim_all(&world).await;
    assert_eq!(looked.len(), 1, "one of a record at a time");
    // As a worker asks that was given the second while the first was not visible yet, and has ended it.
    let ask = LaneAsk {
        after: amp_write::store::LanePlace::before(amp_write::clock::Time::from_micros(i64::MAX / 2)),
        known: vec![ended.operation.id],
        next_of: vec![(1, looked[0].seq + 1)],
        ..only(&world)
    };
    let claim = world.store.claim(&[ask], BYTES).await.unwrap();
    let ids: Vec<Uuid> = claim.items.iter().map(|item| item.operation_id).collect();
    assert_eq!(ids, [late.operation.id]);
}

async fn a_live_lease_is_not_taken(kind: Kind) {
    if kind == Kind::Sqlite {
        // One process has the file: whoever else is named as owner is dead.
        return;
    }
    let world = World::new(kind).await;
    let (first, second) = (id(), id());
    let held = world
        .store
        .lease_shards(first, LEASE, Duration::ZERO)
        .await
        .unwrap()
        .held;
    let other = world
        .store
        .lease_shards(second, LEASE, Duration::ZERO)
        .await
        .unwrap();
    assert!(other.held.is_empty(), "{other:?}");
    let kept = world
        .store
        .lease_shards(first, LEASE, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(kept.held, held, "nothing was taken away");
    assert_eq!(kept.fair_share, 32);
}

async fn an_old_epoch_settles_nothing_also_of_the_worker_that_has_the_shard(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let old = lease(&world, worker).await;
    world
        .store
        .accept_operations(&[world.accept(), world.accept()])
        .await
        .unwrap();
    let items = claim_all(&world).await;
    world.store.release_shards(worker, &[old.shard]).await.unwrap();
    let new = lease(&world, worker).await;
    assert!(new.epoch > old.epoch);
    let end = |lease, item| settle(worker, lease, item, Ending::Finish(result(EndState::Succeeded)));
    let settled = world
        .store
        .settle(&[end(old, &items[0]), end(new, &items[1])])
        .await;
    assert_eq!(settled.unwrap(), [false, true]);
    let again = Ending::Retry {
        delay: Duration::ZERO,
        attempt: 7,
    };
    let settled = world.store.settle(&[settle(worker, old, &items[0], again)]).await;
    assert_eq!(settled.unwrap(), [false]);
    let left = claim_all(&world).await;
    assert_eq!((left.len(), left[0].attempt), (1, 0));
}

async fn a_settle_that_names_an_earlier_time_of_the_item_takes_no_effect(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    world.store.accept_operations(&[world.accept()]).await.unwrap();
    let earlier = claim_all(&world).await.remove(0);
    let again = |attempt| Ending::Retry {
        delay: Duration::ZERO,
        attempt,
    };
    let moved = world
        .store
        .settle(&[settle(worker, lease, &earlier, again(1))])
        .await;
    assert_eq!(moved.unwrap(), [true]);
    let end = Ending::Finish(result(EndState::Failed));
    for late in [end, again(9)] {
        let settled = world.store.settle(&[settle(worker, lease, &earlier, late)]).await;
        assert_eq!(settled.unwrap(), [false]);
    }
    let now = claim_all(&world).await;
    assert_eq!(
        (now.len(), now[0].attempt),
        (1, 1),
        "the item is as its own claim left it"
    );
}

async fn a_shard_that_was_not_given_back_is_unsettled_as_long_as_calls_of_its_owner_may_take(kind: Kind) {
    const CALLS: Duration = Duration::from_secs(300);
    const SHORT: Duration = Duration::from_millis(1);
    let world = World::new(kind).await;
    let shards =
        |unsettled: &[(i16, Duration)]| unsettled.iter().map(|(shard, _)| *shard).collect::<Vec<_>>();
    let (dead, softly, cut_off, last) = (id(), id(), id(), id());
    // Long before anybody takes it, the lease of the first runs out.
    let first = world.store.lease_shards(dead, SHORT, CALLS).await.unwrap();
    assert!(first.unsettled.is_empty(), "nobody had them before");
    let taken = loop {
        // A worker that was not seen for the length of this lease counts as dead.
        let brief = Duration::from_millis(200);
        let taken = world.store.lease_shards(softly, brief, SHORT).await.unwrap();
        if taken.held.len() == 64 {
            break taken;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(taken.unsettled.len(), 64);
    for (_, left) in &taken.unsettled {
        assert!(*left <= CALLS && *left > CALLS / 2, "{left:?}");
    }
    // It is as long whoever has it next, and for whoever keeps it.
    let kept = world.store.lease_shards(softly, LEASE, SHORT).await.unwrap();
    assert_eq!(shards(&kept.unsettled), shards(&taken.unsettled));
    world.store.retire_worker(softly).await.unwrap();
    let next = world.store.lease_shards(cut_off, LEASE, 2 * CALLS).await.unwrap();
    assert_eq!(next.unsettled.len(), 64);
    assert!(next.unsettled.iter().all(|(_, left)| *left <= CALLS));
    // Given back, but for one of which a call was cut off.
    world.store.abandon_shards(cut_off, &[5]).await.unwrap();
    world.store.retire_worker(cut_off).await.unwrap();
    let left = loop {
        let leases = world.store.lease_shards(last, LEASE, SHORT).await.unwrap();
        if leases.held.len() == 64 {
            break leases.unsettled;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for (shard, left) in left {
        assert_eq!(left > CALLS, shard == 5, "{shard}: {left:?}");
    }
}

async fn later_writes_to_a_record_are_told_that_a_request_may_still_take_effect(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let accept = |key| {
        let mut accept = world.accept();
        accept.record_key = Some(key);
        accept
    };
    let accepts = [accept(1), accept(1), accept(2)];
    world.store.accept_operations(&accepts).await.unwrap();
    let find = async |accept: &amp_write::store::AcceptOperation| {
        let items = claim_all(&world).await;
        let item = items.iter().find(|item| item.operation_id == accept.operation.id);
        item.cloned().expect("it is there")
    };
    let first = find(&accepts[0]).await;
    let may_straggle = |item: &Claimed, ending, left| Settle {
        stragglers: Some(Stragglers {
            seq: item.seq,
            keys: vec![1],
            left,
        }),
        ..settle(worker, lease, item, ending)
    };
    let again = Ending::Retry {
        delay: Duration::ZERO,
        attempt: 1,
    };
    let hour = Duration::from_secs(3_600);
    let settled = world.store.settle(&[may_straggle(&first, again, hour)]).await;
    assert_eq!(settled.unwrap(), [true]);
    let first = find(&accepts[0]).await;
    assert_eq!(first.straggles_until, None, "it does not wait for itself");
    // A shorter time, told later, does not shorten it.
    let end = Ending::Finish(result(EndState::Succeeded));
    let settled = world
        .store
        .settle(&[may_straggle(&first, end, Duration::from_secs(1))])
        .await;
    assert_eq!(settled.unwrap(), [true]);
    let second = find(&accepts[1]).await;
    let until = second.straggles_until.expect("it waits");
    assert!(until.since(second.store_now) > hour / 2);
    let live = world
        .store
        .get_live(world.project.id, accepts[1].operation.id)
        .await;
    assert!(live.unwrap().unwrap().behind);
    assert_eq!(find(&accepts[2]).await.straggles_until, None, "another record");
    let waiting = async |seq| {
        let found = world.store.waiting_records(world.connection, seq, &[1, 2]).await;
        found.unwrap()
    };
    assert_eq!(waiting(i64::MAX).await, [1, 2], "the third is in the queue");
    assert_eq!(waiting(second.seq).await, [1]);
    assert!(waiting(first.seq).await.is_empty());
    // What comes under a lease that has been lost says nothing.
    let stale = Settle {
        lease: Lease {
            epoch: lease.epoch - 1,
            ..lease
        },
        ..may_straggle(
            &find(&accepts[2]).await,
            Ending::Finish(result(EndState::Succeeded)),
            hour,
        )
    };
    let stale = Settle {
        stragglers: stale.stragglers.map(|stragglers| Stragglers {
            keys: vec![2],
            ..stragglers
        }),
        ..stale
    };
    assert_eq!(world.store.settle(&[stale]).await.unwrap(), [false]);
    assert!(!waiting(i64::MAX).await.is_empty());
    let third = find(&accepts[2]).await;
    let settled = world
        .store
        .settle(&[settle(
            worker,
            lease,
            &third,
            Ending::Finish(result(EndState::Succeeded)),
        )])
        .await;
    assert_eq!(settled.unwrap(), [true]);
    assert_eq!(waiting(i64::MAX).await, [1]);
}
