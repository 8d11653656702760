//! Single writes that are gathered into one operation.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use amp_write::store::{
    AcceptOperation, Accepted, Cancelled, CloseGathered, EndState, Ending, Gather, Gathered, Lease,
    NewIdempotencyKey, OPEN_BATCH,
};
use serde_json::Value;
use uuid::Uuid;

use super::operations::result;
use super::queue::{claim_all, lease, settle};
use super::{World, id};
use crate::harness::{Kind, on_both_stores};
use amp_write::action::Action;

on_both_stores!(
    writes_that_are_alike_share_one_operation_until_its_time_comes,
    writes_that_are_not_alike_share_none,
    a_hundred_records_close_an_operation_and_the_next_record_opens_another,
    an_operation_gathers_no_more_than_four_megabytes,
    a_shorter_delay_brings_the_time_and_the_deadline_forward_and_a_longer_one_changes_neither,
    the_worker_closes_it_and_claims_it_again_with_its_records,
    a_worker_that_has_lost_it_closes_nothing,
    a_record_that_comes_twice_is_in_two_operations_in_the_order_of_acceptance,
    a_write_in_between_is_not_overtaken,
    a_later_write_waits_for_the_operation_that_gathers,
    writes_that_come_at_once_lose_nothing_and_share_no_place,
    commits_that_add_to_several_operations_do_not_block_each_other,
    a_key_names_the_shared_operation_and_the_place_in_it,
    a_cancelled_operation_keeps_its_records_and_takes_no_more,
    one_that_ends_with_a_long_hold_keeps_its_records_and_takes_no_more,
    one_that_has_left_the_queue_takes_no_more,
);

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

impl World {
    /// A write to be gathered: its record is `{"n": …}`.
    fn gather(&self, batch_key: &str, n: usize) -> AcceptOperation {
        let mut accept = self.accept();
        accept.operation.request = format!("{OPEN_BATCH},\"onUnknown\":\"review\"}}");
        accept.gather = Some(Gather {
            batch_key: batch_key.as_bytes().to_vec(),
            item: format!("{{\"record\":{{\"n\": {n}}}}}"),
            delay: 5 * MINUTE,
        });
        accept
    }

    fn gather_in(&self, n: usize, delay: Duration) -> AcceptOperation {
        let mut accept = self.gather("a", n);
        accept.gather.as_mut().unwrap().delay = delay;
        accept
    }

    fn gather_for(&self, n: usize, key: i64) -> AcceptOperation {
        AcceptOperation {
            record_keys: vec![key],
            ..self.gather("a", n)
        }
    }

    async fn gathered(&self, accepts: &[AcceptOperation]) -> Vec<Gathered> {
        let answers = self.store.accept_operations(accepts).await.unwrap();
        answers
            .into_iter()
            .map(|answer| match answer {
                Accepted::Gathered(place) => place,
                other => panic!("not gathered: {other:?}"),
            })
            .collect()
    }

    /// The records of an operation, by their numbers.
    async fn records(&self, operation: Uuid) -> Vec<u64> {
        let request = self.store.get_request(self.project.id, operation).await.unwrap();
        numbers(&request.expect("it is kept"))
    }

    /// The records of an operation that has been closed.
    async fn closed(&self, operation: Uuid) -> Vec<u64> {
        let accepting = self.store.get_accepting(self.project.id, operation).await;
        numbers(&accepting.unwrap().expect("it is there").request)
    }

    /// The time until it is due, and whether it gathers.
    async fn standing(&self, operation: Uuid) -> (Duration, bool) {
        let live = self.store.get_live(self.project.id, operation).await.unwrap();
        let live = live.expect("it is in the queue");
        (live.run_at.since(live.store_now), live.gathering)
    }

    async fn is_open(&self, operation: Uuid) -> bool {
        self.standing(operation).await.1
    }
}

fn numbers(request: &str) -> Vec<u64> {
    let request: Value = serde_json::from_str(request).expect("JSON");
    assert_eq!(request["onUnknown"], "review", "the rest of it is kept");
    let items = request["batch"].as_array().expect("a batch");
    items
        .iter()
        .map(|item| item["record"]["n"].as_u64().unwrap())
        .collect()
}

fn about(duration: Duration, wanted: Duration) -> bool {
    duration <= wanted && duration + MINUTE > wanted
}

async fn writes_that_are_alike_share_one_operation_until_its_time_comes(kind: Kind) {
    let world = World::new(kind).await;
    let first = world.gather("a", 0);
    let mut places = world.gathered(std::slice::from_ref(&first)).await;
    places.extend(
        world
            .gathered(&[world.gather("a", 1), world.gather("a", 2)])
            .await,
    );
    let told: Vec<(Uuid, usize, bool)> = places
        .iter()
        .map(|place| (place.operation_id, place.index, place.opened))
        .collect();
    let id = first.operation.id;
    assert_eq!(told, [(id, 0, true), (id, 1, false), (id, 2, false)]);
    assert_eq!(world.records(id).await, [0, 1, 2]);
    assert_eq!(world.store.queue_depth().await.unwrap(), 1);
    let (due, open) = world.standing(id).await;
    assert!(about(due, 5 * MINUTE) && open, "{due:?}");
    assert!(claim_all(&world).await.is_empty(), "not yet");
    let operation = world.store.get_operation(world.project.id, id).await.unwrap();
    let operation = operation.unwrap();
    let span = operation.deadline.unwrap().since(operation.accept_time);
    assert_eq!(
        span,
        5 * MINUTE + HOUR,
        "the deadline counts from the end of the wait"
    );
    assert_eq!(operation.mode.as_str(), "asynchronous");
}

async fn writes_that_are_not_alike_share_none(kind: Kind) {
    let world = World::new(kind).await;
    let places = world
        .gathered(&[
            world.gather("b", 0),
            world.gather("a", 1),
            world.gather("b", 2),
            world.gather("a", 3),
        ])
        .await;
    assert_eq!(places[0].operation_id, places[2].operation_id);
    assert_eq!(places[1].operation_id, places[3].operation_id);
    assert_eq!(world.records(places[0].operation_id).await, [0, 2]);
    assert_eq!(world.records(places[1].operation_id).await, [1, 3]);
    // Another project's, with the same key.
    let other = world
        .store
        .create_project(&super::new_project("other"), &super::new_key("o"))
        .await
        .unwrap();
    let mut foreign = world.gather("a", 4);
    foreign.operation.project_id = other.id;
    assert!(world.gathered(&[foreign]).await[0].opened);
    // Others in the same commit are accepted as ever.
    let answers = world
        .store
        .accept_operations(&[world.gather("a", 5), world.accept(), world.gather("b", 6)])
        .await
        .unwrap();
    assert!(matches!(answers[1], Accepted::At(_)), "{answers:?}");
    assert!(matches!(answers[2], Accepted::Gathered(place) if place.index == 2));
}

async fn a_hundred_records_close_an_operation_and_the_next_record_opens_another(kind: Kind) {
    let world = World::new(kind).await;
    let before: Vec<AcceptOperation> = (0..30).map(|n| world.gather("a", n)).collect();
    let mut places = world.gathered(&before).await;
    let rest: Vec<AcceptOperation> = (30..250).map(|n| world.gather("a", n)).collect();
    places.extend(world.gathered(&rest).await);
    for (n, place) in places.iter().enumerate() {
        assert_eq!((place.index, place.opened), (n % 100, n % 100 == 0), "{n}");
    }
    let ids: Vec<Uuid> = [0, 100, 200].map(|n: usize| places[n].operation_id).to_vec();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3);
    let claimed = claim_all(&world).await;
    let of = |item: &amp_write::store::Claimed| (item.operation_id, numbers(&item.request));
    let claimed: HashMap<Uuid, Vec<u64>> = claimed.iter().map(of).collect();
    assert_eq!(claimed.len(), 2, "those that are full are due at once");
    assert_eq!(claimed[&ids[0]], (0..100).collect::<Vec<_>>());
    assert_eq!(claimed[&ids[1]], (100..200).collect::<Vec<_>>());
    assert!(!world.is_open(ids[0]).await && world.is_open(ids[2]).await);
    assert_eq!(world.records(ids[2]).await, (200..250).collect::<Vec<_>>());
    let operation = world.store.get_operation(world.project.id, ids[0]).await.unwrap();
    let operation = operation.unwrap();
    let span = operation.deadline.unwrap().since(operation.accept_time);
    assert!(about(span, HOUR + Duration::from_secs(30)), "{span:?}");
}

async fn an_operation_gathers_no_more_than_four_megabytes(kind: Kind) {
    let world = World::new(kind).await;
    let long = |n: usize, bytes: usize| {
        let mut accept = world.gather("a", n);
        let text = "x".repeat(bytes);
        accept.gather.as_mut().unwrap().item = format!("{{\"record\":{{\"n\":{n},\"t\":\"{text}\"}}}}");
        accept
    };
    let part = 3 << 19;
    let places = world
        .gathered(&[long(0, part), long(1, part), long(2, part)])
        .await;
    assert_eq!(
        places.iter().map(|place| place.index).collect::<Vec<_>>(),
        [0, 1, 0]
    );
    assert!(!world.is_open(places[0].operation_id).await);
    // One that is longer by itself is alone.
    let places = world.gathered(&[long(3, 5 << 20), long(4, 1)]).await;
    assert_eq!(places.iter().map(|place| place.index).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(world.records(places[0].operation_id).await, [3]);
}

async fn a_shorter_delay_brings_the_time_and_the_deadline_forward_and_a_longer_one_changes_neither(
    kind: Kind,
) {
    let world = World::new(kind).await;
    let id = world.gathered(&[world.gather_in(0, 10 * MINUTE)]).await[0].operation_id;
    world
        .gathered(&[world.gather_in(1, 4 * MINUTE), world.gather_in(2, 7 * MINUTE)])
        .await;
    world.gathered(&[world.gather_in(3, 20 * MINUTE)]).await;
    let (due, open) = world.standing(id).await;
    assert!(about(due, 4 * MINUTE) && open, "{due:?}");
    // It is closed by its last record, and its deadline counts from then.
    world
        .gathered(
            &(4..100)
                .map(|n| world.gather_in(n, 20 * MINUTE))
                .collect::<Vec<_>>(),
        )
        .await;
    let item = claim_all(&world).await.remove(0);
    assert_eq!(item.operation_id, id);
    let left = item.deadline.unwrap().since(item.run_at);
    assert_eq!(left, HOUR);
}

async fn id_of_worker(world: &World) -> (Uuid, Lease) {
    let worker = id();
    (worker, lease(world, worker).await)
}

fn close(worker: Uuid, lease: Lease, item: &amp_write::store::Claimed) -> CloseGathered {
    CloseGathered {
        worker,
        lease,
        lane_id: item.lane_id,
        run_at: item.run_at,
        project_id: item.project_id,
        operation_id: item.operation_id,
    }
}

const AGAIN: Ending = Ending::Retry {
    delay: Duration::ZERO,
    attempt: 0,
};

async fn the_worker_closes_it_and_claims_it_again_with_its_records(kind: Kind) {
    let world = World::new(kind).await;
    let (worker, lease) = id_of_worker(&world).await;
    world
        .gathered(&[
            world.gather_in(0, Duration::ZERO),
            world.gather_in(1, Duration::ZERO),
        ])
        .await;
    let item = claim_all(&world).await.remove(0);
    assert!(numbers(&item.request).is_empty(), "it does not read its records");
    // It gathers until it is closed, also when its time has come.
    world.gathered(&[world.gather("a", 2)]).await;
    let closing = close(worker, lease, &item);
    assert!(world.store.close_gathered(&closing).await.unwrap());
    assert!(!world.is_open(item.operation_id).await);
    let next = world.gathered(&[world.gather("a", 3)]).await[0];
    assert!(next.opened && next.operation_id != item.operation_id);
    assert!(
        world.store.close_gathered(&closing).await.unwrap(),
        "harmless to repeat"
    );
    let again = settle(worker, lease, &item, AGAIN);
    assert_eq!(world.store.settle(&[again]).await.unwrap(), [true]);
    let item = claim_all(&world).await.remove(0);
    assert_eq!(numbers(&item.request), [0, 1, 2]);
    assert_eq!(world.records(next.operation_id).await, [3]);
}

async fn a_worker_that_has_lost_it_closes_nothing(kind: Kind) {
    let world = World::new(kind).await;
    let (worker, lease) = id_of_worker(&world).await;
    world.gathered(&[world.gather_in(0, Duration::ZERO)]).await;
    let item = claim_all(&world).await.remove(0);
    let epoch = lease.epoch - 1;
    for stale in [
        close(id(), lease, &item),
        close(worker, Lease { epoch, ..lease }, &item),
        CloseGathered {
            run_at: item.run_at.after(MINUTE),
            ..close(worker, lease, &item)
        },
    ] {
        assert!(!world.store.close_gathered(&stale).await.unwrap(), "{stale:?}");
        assert!(world.is_open(item.operation_id).await);
    }
    assert_eq!(world.records(item.operation_id).await, [0]);
    assert!(!world.gathered(&[world.gather("a", 1)]).await[0].opened);
}

async fn a_record_that_comes_twice_is_in_two_operations_in_the_order_of_acceptance(kind: Kind) {
    let world = World::new(kind).await;
    let places = world
        .gathered(&[
            world.gather_for(0, 7),
            world.gather_for(1, 8),
            world.gather_for(2, 7),
            world.gather_for(3, 9),
        ])
        .await;
    let (first, second) = (places[0].operation_id, places[2].operation_id);
    assert_ne!(first, second);
    assert_eq!(world.records(first).await, [0, 1]);
    assert_eq!(world.records(second).await, [2, 3]);
    let items = claim_all(&world).await;
    assert_eq!(
        items.len(),
        1,
        "the first one waits for nobody; the second gathers on"
    );
    assert_eq!(items[0].operation_id, first);
    assert!(world.is_open(second).await);
    // And so when they come one by one.
    let third = world.gathered(&[world.gather_for(4, 9)]).await[0];
    assert!(third.opened);
    assert_eq!(claim_all(&world).await.len(), 2);
    // The second has to wait for the first, with the record that both have.
    let seq = |id: Uuid, items: &[amp_write::store::Claimed]| {
        items.iter().find(|item| item.operation_id == id).unwrap().seq
    };
    let items = claim_all(&world).await;
    let waiting = world
        .store
        .waiting_records(world.connection, seq(second, &items), &[7, 8, 9])
        .await
        .unwrap();
    assert_eq!(waiting.iter().collect::<HashSet<_>>(), HashSet::from([&7, &8]));
}

async fn a_write_in_between_is_not_overtaken(kind: Kind) {
    let world = World::new(kind).await;
    let single = |key: i64| AcceptOperation {
        record_key: Some(key),
        ..world.accept()
    };
    let accept = async |accept: AcceptOperation| {
        world
            .store
            .accept_operations(std::slice::from_ref(&accept))
            .await
            .unwrap();
        accept.operation.id
    };
    // Accepted before it was opened: it has its turn first anyhow.
    accept(single(1)).await;
    let first = world
        .gathered(&[world.gather("a", 0), world.gather_for(1, 1)])
        .await;
    assert!(!first[1].opened);
    // Accepted in between, alone or in a batch.
    accept(single(2)).await;
    let second = world.gathered(&[world.gather_for(2, 2)]).await[0];
    assert!(second.opened);
    accept(AcceptOperation {
        record_keys: vec![3],
        ..world.accept()
    })
    .await;
    let third = world.gathered(&[world.gather_for(3, 3)]).await[0];
    assert!(third.opened);
    assert!(!world.is_open(first[0].operation_id).await);
    // Another record's, or another lane's, does not matter.
    accept(single(4)).await;
    let mut elsewhere = single(5);
    elsewhere.operation.connection_id = id();
    accept(elsewhere).await;
    assert!(!world.gathered(&[world.gather_for(4, 5)]).await[0].opened);
}

async fn a_later_write_waits_for_the_operation_that_gathers(kind: Kind) {
    let world = World::new(kind).await;
    world.gathered(&[world.gather_for(0, 1)]).await;
    let later = AcceptOperation {
        record_key: Some(1),
        ..world.accept()
    };
    world
        .store
        .accept_operations(std::slice::from_ref(&later))
        .await
        .unwrap();
    assert!(claim_all(&world).await.is_empty());
    let live = world.store.get_live(world.project.id, later.operation.id).await;
    let live = live.unwrap().unwrap();
    assert!(live.behind && !live.gathering);
}

async fn writes_that_come_at_once_lose_nothing_and_share_no_place(kind: Kind) {
    let world = World::new(kind).await;
    let tasks = (0..6).map(|task| {
        let store = world.store.clone();
        let accepts: Vec<AcceptOperation> = (0..65).map(|n| world.gather("a", task * 65 + n)).collect();
        tokio::spawn(async move {
            let mut places = Vec::new();
            for part in accepts.chunks(7) {
                places.extend(store.accept_operations(part).await.expect("accepted"));
            }
            places
        })
    });
    let mut places: HashMap<Uuid, Vec<(usize, u64)>> = HashMap::new();
    for (task, answers) in futures_util::future::join_all(tasks)
        .await
        .into_iter()
        .enumerate()
    {
        for (n, answer) in answers.unwrap().into_iter().enumerate() {
            let Accepted::Gathered(place) = answer else {
                panic!("gathered")
            };
            let number = (task * 65 + n) as u64;
            places
                .entry(place.operation_id)
                .or_default()
                .push((place.index, number));
        }
    }
    let mut sizes = Vec::new();
    let mut open = 0;
    for (operation, mut told) in places {
        told.sort_unstable();
        let indexes: Vec<usize> = told.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, (0..told.len()).collect::<Vec<_>>(), "each place once");
        let numbers: Vec<u64> = told.iter().map(|(_, number)| *number).collect();
        assert_eq!(
            world.records(operation).await,
            numbers,
            "each is where it was told"
        );
        sizes.push(told.len());
        open += usize::from(world.is_open(operation).await);
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [90, 100, 100, 100]);
    assert_eq!(open, 1);
    assert_eq!(world.store.queue_depth().await.unwrap(), 4);
}

async fn commits_that_add_to_several_operations_do_not_block_each_other(kind: Kind) {
    let world = World::new(kind).await;
    let keys = ["a", "b", "c", "d"];
    let tasks = (0..6_usize).map(|task| {
        let store = world.store.clone();
        let commits: Vec<Vec<AcceptOperation>> = (0..20)
            .map(|n| {
                let of = |k: usize| world.gather(keys[(k + task) % 4], n);
                (0..4).map(of).collect()
            })
            .collect();
        tokio::spawn(async move {
            for commit in commits {
                store.accept_operations(&commit).await.expect("no deadlock");
            }
        })
    });
    for ended in futures_util::future::join_all(tasks).await {
        ended.unwrap();
    }
    assert_eq!(
        world.store.queue_depth().await.unwrap(),
        8,
        "120 records of each of four kinds"
    );
}

async fn a_key_names_the_shared_operation_and_the_place_in_it(kind: Kind) {
    let world = World::new(kind).await;
    let keyed = |n: usize, key: &str| AcceptOperation {
        key: Some(NewIdempotencyKey {
            key: key.to_owned(),
            fingerprint: vec![1],
        }),
        ..world.gather("a", n)
    };
    let places = world
        .gathered(&[keyed(0, "k0"), world.gather("a", 1), keyed(2, "k2")])
        .await;
    for (key, index) in [("k0", 0), ("k2", 2)] {
        let found = world
            .store
            .find_idempotency_key(world.project.id, key)
            .await
            .unwrap();
        let found = found.unwrap();
        assert_eq!(
            (found.operation_id, found.batch_index),
            (places[0].operation_id, Some(index))
        );
        assert_eq!(found.mode.as_str(), "asynchronous");
    }
    // Taken: it is not gathered, and its neighbours do not mind.
    let answers = world
        .store
        .accept_operations(&[
            keyed(3, "k2"),
            world.gather("a", 4),
            keyed(5, "k5"),
            keyed(6, "k5"),
        ])
        .await
        .unwrap();
    assert_eq!((answers[0], answers[3]), (Accepted::KeyTaken, Accepted::KeyTaken));
    assert_eq!(world.records(places[0].operation_id).await, [0, 1, 2, 4, 5]);
}

async fn a_cancelled_operation_keeps_its_records_and_takes_no_more(kind: Kind) {
    let world = World::new(kind).await;
    let (worker, _) = id_of_worker(&world).await;
    let project = world.project.id;
    let operation = world
        .gathered(&[world.gather_for(0, 1), world.gather_for(1, 2)])
        .await[0]
        .operation_id;
    // Nobody asked: nothing changes, and it gathers on.
    let end = result(EndState::Cancelled);
    let refused = world
        .store
        .cancel(worker, project, operation, &end)
        .await
        .unwrap();
    assert_eq!(refused, Cancelled::Gone);
    assert!(world.is_open(operation).await);
    world
        .store
        .ask_to_cancel(project, operation, world.connection)
        .await
        .unwrap();
    let cancelled = world
        .store
        .cancel(worker, project, operation, &end)
        .await
        .unwrap();
    assert_eq!(cancelled, Cancelled::Yes);
    assert_eq!(world.closed(operation).await, [0, 1]);
    assert!(world.gathered(&[world.gather_for(2, 1)]).await[0].opened);
    assert_eq!(world.store.queue_depth().await.unwrap(), 1);
}

async fn one_that_ends_with_a_long_hold_keeps_its_records_and_takes_no_more(kind: Kind) {
    let world = World::new(kind).await;
    let operation = world
        .gathered(&[world.gather("a", 0), world.gather("a", 1)])
        .await[0]
        .operation_id;
    let held = world
        .store
        .set_connection_works(world.project.id, world.connection, 1, false)
        .await
        .unwrap();
    assert!(held);
    let item = amp_write::store::LongHeld {
        shard: amp_write::store::shard_of(world.connection),
        lane_id: world.connection,
        run_at: world
            .store
            .get_live(world.project.id, operation)
            .await
            .unwrap()
            .unwrap()
            .run_at,
        operation_id: operation,
        project_id: world.project.id,
        attempt: 0,
        object: "contacts".to_owned(),
        action: Action::Create.into(),
        provider: None,
        since: world.store.store_now().await.unwrap(),
        in_doubt: false,
        has_records: false,
    };
    let ended = world
        .store
        .end_long_held(&[(item, result(EndState::Failed))])
        .await;
    assert_eq!(ended.unwrap(), [true]);
    assert_eq!(world.closed(operation).await, [0, 1]);
    assert!(world.gathered(&[world.gather("a", 2)]).await[0].opened);
}

async fn one_that_has_left_the_queue_takes_no_more(kind: Kind) {
    let world = World::new(kind).await;
    let (worker, lease) = id_of_worker(&world).await;
    world.gathered(&[world.gather_in(0, Duration::ZERO)]).await;
    let item = claim_all(&world).await.remove(0);
    // As a worker does whose performing panicked until the deadline.
    let end = settle(worker, lease, &item, Ending::Finish(result(EndState::Failed)));
    assert_eq!(world.store.settle(&[end]).await.unwrap(), [true]);
    let next = world
        .gathered(&[world.gather("a", 1), world.gather("a", 2)])
        .await;
    assert!(next[0].opened && next[0].operation_id != item.operation_id);
    assert_eq!(world.records(next[0].operation_id).await, [1, 2]);
    assert_eq!(world.records(item.operation_id).await, [0]);
}
