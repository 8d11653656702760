//! Batches in the queue: they keep their place in the order of each of their records.

use std::time::Duration;

use amp_write::store::{
    AcceptOperation, AttemptState, Cancelled, EndState, Ending, Finish, FinishOperation, NewAnswer,
    NewResult, Performing, Settle,
};
use uuid::Uuid;

use super::operations::{attempt, result};
use super::queue::{claim_all, lease, settle};
use super::{World, id};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    a_later_write_waits_until_the_batch_has_ended_its_record,
    a_batch_is_told_which_of_its_records_wait,
    a_record_that_a_failed_write_holds_waits_in_a_batch_too,
    the_records_of_a_batch_are_kept_with_its_attempts_and_its_result,
    a_stale_worker_frees_no_record,
    a_batch_frees_its_own_records_only,
    a_batch_that_was_cancelled_or_performed_elsewhere_frees_its_records,
);

impl World {
    fn batch(&self, keys: &[i64]) -> AcceptOperation {
        AcceptOperation {
            record_keys: keys.to_vec(),
            ..self.accept()
        }
    }

    fn single(&self, key: i64) -> AcceptOperation {
        AcceptOperation {
            record_key: Some(key),
            ..self.accept()
        }
    }
}

async fn accepted(world: &World, accepts: &[&AcceptOperation]) {
    for accept in accepts {
        world
            .store
            .accept_operations(std::slice::from_ref(*accept))
            .await
            .unwrap();
    }
}

async fn claimed(world: &World) -> Vec<Uuid> {
    let items = claim_all(world).await;
    items.iter().map(|item| item.operation_id).collect()
}

fn ended(records: &str) -> NewResult {
    NewResult {
        records: Some(records.to_owned()),
        ..result(EndState::Succeeded)
    }
}

const AGAIN: Ending = Ending::Retry {
    delay: Duration::ZERO,
    attempt: 0,
};

async fn a_later_write_waits_until_the_batch_has_ended_its_record(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let batch = world.batch(&[1, -2]);
    let (first, second, other) = (world.single(1), world.single(-2), world.single(3));
    accepted(&world, &[&batch, &first, &second, &other]).await;
    let ids = |accepts: &[&AcceptOperation]| accepts.iter().map(|a| a.operation.id).collect::<Vec<_>>();
    assert_eq!(claimed(&world).await, ids(&[&batch, &other]));
    let live = world.store.get_live(world.project.id, first.operation.id).await;
    assert!(live.unwrap().unwrap().behind);
    // One of its records ends; the batch goes on with the other.
    let item = claim_all(&world).await.remove(0);
    let goes_on = Settle {
        freed: Some(vec![1]),
        stragglers: None,
        ..settle(worker, lease, &item, AGAIN)
    };
    assert_eq!(world.store.settle(&[goes_on]).await.unwrap(), [true]);
    let mut now = claimed(&world).await;
    now.sort();
    let mut wanted = ids(&[&batch, &first, &other]);
    wanted.sort();
    assert_eq!(now, wanted);
    // The whole batch ends.
    let items = claim_all(&world).await;
    let item = items
        .iter()
        .find(|item| item.operation_id == batch.operation.id)
        .unwrap();
    let end = settle(worker, lease, item, Ending::Finish(ended("[]")));
    assert_eq!(world.store.settle(&[end]).await.unwrap(), [true]);
    assert!(claimed(&world).await.contains(&second.operation.id));
}

async fn a_batch_is_told_which_of_its_records_wait(kind: Kind) {
    let world = World::new(kind).await;
    let (single, before, batch) = (world.single(1), world.batch(&[2, 9]), world.batch(&[1, 2, 3]));
    let after = world.single(3);
    accepted(&world, &[&single, &before, &batch, &after]).await;
    let items = claim_all(&world).await;
    let seq = |accept: &AcceptOperation| {
        let item = items.iter().find(|item| item.operation_id == accept.operation.id);
        item.unwrap().seq
    };
    let waiting = async |accept: &AcceptOperation| {
        let lane = accept.operation.connection_id;
        let keys = &accept.record_keys;
        let mut found = world
            .store
            .waiting_records(lane, seq(accept), keys)
            .await
            .unwrap();
        found.sort_unstable();
        found
    };
    assert_eq!(waiting(&batch).await, [1, 2]);
    assert!(waiting(&before).await.is_empty());
    let none = world
        .store
        .waiting_records(id(), i64::MAX, &[1, 2])
        .await
        .unwrap();
    assert!(none.is_empty(), "another lane's");
}

async fn a_record_that_a_failed_write_holds_waits_in_a_batch_too(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let first = AcceptOperation {
        holds: true,
        ..world.single(1)
    };
    let batch = world.batch(&[1, 2]);
    accepted(&world, &[&first, &batch]).await;
    let items = claim_all(&world).await;
    let item = |accept: &AcceptOperation| {
        let found = items.iter().find(|item| item.operation_id == accept.operation.id);
        found.unwrap().clone()
    };
    let failed = Ending::Finish(result(EndState::Failed));
    let settled = world
        .store
        .settle(&[settle(worker, lease, &item(&first), failed)])
        .await;
    assert_eq!(settled.unwrap(), [true]);
    let lane = batch.operation.connection_id;
    let waiting = async || {
        world
            .store
            .waiting_records(lane, item(&batch).seq, &[1, 2])
            .await
            .unwrap()
    };
    assert_eq!(waiting().await, [1]);
    world
        .store
        .release_record(world.project.id, first.operation.id)
        .await
        .unwrap();
    assert!(waiting().await.is_empty());
}

async fn the_records_of_a_batch_are_kept_with_its_attempts_and_its_result(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let batch = world.batch(&[1]);
    accepted(&world, &[&batch]).await;
    let item = claim_all(&world).await.remove(0);
    let (project, operation) = (world.project.id, batch.operation.id);
    let mut row = attempt(project, operation, id(), AttemptState::Answered);
    row.records = Some(r#"[{"index":0,"state":"succeeded"}]"#.to_owned());
    let end = Settle {
        attempt: Some(row.clone()),
        ..settle(worker, lease, &item, Ending::Finish(ended("[7]")))
    };
    world.store.settle(&[end]).await.unwrap();
    let found = world
        .store
        .get_operation(project, operation)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.records.as_deref(), Some("[7]"));
    let attempts = world.store.list_attempts(project, operation).await.unwrap();
    assert_eq!(attempts[0].records, row.records);
}

async fn a_stale_worker_frees_no_record(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let (batch, single) = (world.batch(&[1]), world.single(1));
    accepted(&world, &[&batch, &single]).await;
    let item = claim_all(&world).await.remove(0);
    let stale = Settle {
        lease: amp_write::store::Lease {
            epoch: lease.epoch - 1,
            ..lease
        },
        freed: Some(vec![1]),
        stragglers: None,
        ..settle(worker, lease, &item, AGAIN)
    };
    assert_eq!(world.store.settle(&[stale]).await.unwrap(), [false]);
    assert!(!claimed(&world).await.contains(&single.operation.id));
}

async fn a_batch_frees_its_own_records_only(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    let lease = lease(&world, worker).await;
    let (first, second, third) = (world.batch(&[1]), world.batch(&[1, 2]), world.single(1));
    accepted(&world, &[&first, &second, &third]).await;
    let item = async |accept: &AcceptOperation| {
        let items = claim_all(&world).await;
        let item = items.iter().find(|item| item.operation_id == accept.operation.id);
        item.cloned().expect("it is there")
    };
    for (ending, freed) in [(AGAIN, Some(vec![1])), (Ending::Finish(ended("[]")), None)] {
        let goes_on = Settle {
            freed,
            ..settle(worker, lease, &item(&first).await, ending)
        };
        assert_eq!(world.store.settle(&[goes_on]).await.unwrap(), [true]);
        assert!(
            !claimed(&world).await.contains(&third.operation.id),
            "the second batch has the record, too"
        );
    }
    let end = settle(worker, lease, &item(&second).await, Ending::Finish(ended("[]")));
    assert_eq!(world.store.settle(&[end]).await.unwrap(), [true]);
    assert_eq!(claimed(&world).await, [third.operation.id]);
}

async fn a_batch_that_was_cancelled_or_performed_elsewhere_frees_its_records(kind: Kind) {
    let world = World::new(kind).await;
    let worker = id();
    lease(&world, worker).await;
    let project = world.project.id;
    let (batch, single) = (world.batch(&[1]), world.single(1));
    accepted(&world, &[&batch, &single]).await;
    let (id_of, lane) = (batch.operation.id, batch.operation.connection_id);
    world.store.ask_to_cancel(project, id_of, lane).await.unwrap();
    let cancelled = world
        .store
        .cancel(worker, project, id_of, &result(EndState::Cancelled))
        .await
        .unwrap();
    assert_eq!(cancelled, Cancelled::Yes);
    assert_eq!(claimed(&world).await, [single.operation.id]);

    let performed = AcceptOperation {
        performing: Some(Performing {
            hold: Duration::from_secs(600),
            sent: None,
        }),
        ..world.batch(&[5])
    };
    let times = world
        .store
        .accept_operations(std::slice::from_ref(&performed))
        .await
        .unwrap();
    let amp_write::store::Accepted::At(time) = times[0] else {
        panic!("accepted")
    };
    let behind = world.single(5);
    accepted(&world, &[&behind]).await;
    assert!(!claimed(&world).await.contains(&behind.operation.id));
    let finish = FinishOperation {
        project_id: project,
        lane_id: lane,
        operation_id: performed.operation.id,
        run_at: time.after(Duration::from_secs(600)),
        attempts: Vec::new(),
        ending: Finish::Result(ended("[]"), NewAnswer::Release),
    };
    assert_eq!(world.store.finish_operations(&[finish]).await.unwrap(), [true]);
    assert!(claimed(&world).await.contains(&behind.operation.id));
}
