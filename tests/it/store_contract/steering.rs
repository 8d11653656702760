//! Following operations, and steering them.

use std::time::Duration;

use amp_write::clock::Time;
use amp_write::store::{
    AttemptState, BeginAttempt, CancellationState, Cancelled, EndState, Ending, Lease, NewAttempt,
    OperationFilter, Settle, StateFilter, shard_of,
};
use uuid::Uuid;

use super::operations::{attempt, result};
use super::{World, id};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    a_cancelled_item_leaves_with_its_result_and_a_late_end_changes_nothing,
    only_the_worker_that_has_the_shard_cancels_and_only_what_is_asked,
    what_may_have_been_applied_is_not_cancelled,
    ends_are_listed_in_their_order_and_none_is_missed,
    a_doubt_is_resolved_once,
    lists_go_by_state_and_by_what_was_replayed,
    a_list_without_an_index_looks_at_a_bounded_number,
);

struct At {
    worker: Uuid,
    lease: Lease,
}

impl World {
    async fn worker(&self) -> At {
        let worker = id();
        let leases = self
            .store
            .lease_shards(worker, Duration::from_secs(60), Duration::ZERO)
            .await
            .unwrap();
        let lease = *leases
            .held
            .iter()
            .find(|lease| lease.shard == shard_of(self.connection))
            .unwrap();
        At { worker, lease }
    }

    async fn accepted(&self) -> (Uuid, Time) {
        let accept = self.accept();
        let accepted = self
            .store
            .accept_operations(std::slice::from_ref(&accept))
            .await
            .unwrap();
        let amp_write::store::Accepted::At(time) = accepted[0] else {
            panic!("accepted")
        };
        (accept.operation.id, time)
    }

    async fn settle(&self, at: &At, operation: Uuid, run_at: Time, state: EndState) -> bool {
        let row = attempt(self.project.id, operation, id(), AttemptState::Answered);
        let settle = Settle {
            worker: at.worker,
            lease: at.lease,
            lane_id: self.connection,
            run_at,
            operation_id: operation,
            project_id: self.project.id,
            attempt: Some(row),
            ending: Ending::Finish(result(state)),
            freed: None,
            stragglers: None,
        };
        self.store.settle(&[settle]).await.unwrap()[0]
    }

    async fn ask(&self, operation: Uuid) {
        self.store
            .ask_to_cancel(self.project.id, operation, self.connection)
            .await
            .unwrap();
    }

    async fn cancel(&self, worker: Uuid, operation: Uuid) -> Cancelled {
        self.store
            .cancel(worker, self.project.id, operation, &result(EndState::Cancelled))
            .await
            .unwrap()
    }

    async fn listed(&self, filter: OperationFilter) -> Vec<Uuid> {
        let filter = OperationFilter { limit: 10, ..filter };
        let page = self
            .store
            .list_operations(self.project.id, &filter)
            .await
            .unwrap();
        page.rows.into_iter().map(|row| row.id).collect()
    }
}

async fn a_cancelled_item_leaves_with_its_result_and_a_late_end_changes_nothing(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.worker().await;
    let (operation, time) = world.accepted().await;
    world.ask(operation).await;
    world.ask(operation).await;
    let asked = world.store.cancellations_for(at.worker).await.unwrap();
    assert_eq!((asked.len(), asked[0].operation_id), (1, operation));
    assert!(
        world
            .store
            .get_live(world.project.id, operation)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(world.cancel(at.worker, operation).await, Cancelled::Yes);
    let state = world
        .store
        .cancellation(world.project.id, operation)
        .await
        .unwrap();
    assert_eq!(state, CancellationState::Gone);
    assert!(
        !world.settle(&at, operation, time, EndState::Succeeded).await,
        "too late"
    );
    let found = world
        .store
        .get_operation(world.project.id, operation)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.state.map(EndState::as_str), Some("cancelled"));
    assert_eq!(world.store.queue_depth().await.unwrap(), 0);
    assert!(
        world
            .store
            .get_live(world.project.id, operation)
            .await
            .unwrap()
            .is_none()
    );
}

async fn only_the_worker_that_has_the_shard_cancels_and_only_what_is_asked(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.worker().await;
    let (operation, _) = world.accepted().await;
    assert_eq!(
        world.cancel(at.worker, operation).await,
        Cancelled::Gone,
        "nobody asked"
    );
    world.ask(operation).await;
    assert_eq!(
        world.cancel(id(), operation).await,
        Cancelled::Gone,
        "another worker"
    );
    assert!(world.store.cancellations_for(id()).await.unwrap().is_empty());
    let project = world.project.id;
    world
        .store
        .refuse_cancellation(project, operation, "busy")
        .await
        .unwrap();
    let state = world.store.cancellation(project, operation).await.unwrap();
    assert_eq!(state, CancellationState::Refused("busy".to_owned()));
    assert!(world.store.cancellations_for(at.worker).await.unwrap().is_empty());
    world
        .store
        .withdraw_cancellation(project, operation)
        .await
        .unwrap();
    assert_eq!(
        world.cancel(at.worker, operation).await,
        Cancelled::Gone,
        "withdrawn"
    );
    assert_eq!(world.store.queue_depth().await.unwrap(), 1);
}

async fn what_may_have_been_applied_is_not_cancelled(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.worker().await;
    let (operation, _) = world.accepted().await;
    world.ask(operation).await;
    let sent = NewAttempt::sent(
        id(),
        world.project.id,
        operation,
        1,
        Time::from_micros(1_700_000_000_000_000),
    );
    let begin = BeginAttempt {
        worker: at.worker,
        lease: at.lease,
        attempt: sent.clone(),
    };
    assert_eq!(world.store.begin_attempts(&[begin]).await.unwrap(), [true]);
    assert_eq!(world.cancel(at.worker, operation).await, Cancelled::MaybeApplied);
    assert_eq!(world.store.queue_depth().await.unwrap(), 1);
}

async fn ends_are_listed_in_their_order_and_none_is_missed(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.worker().await;
    let start = (world.store.store_now().await.unwrap(), Uuid::nil());
    let ending = async |count: usize| {
        let mut ended = Vec::new();
        for _ in 0..count {
            let (operation, time) = world.accepted().await;
            assert!(world.settle(&at, operation, time, EndState::Succeeded).await);
            ended.push(operation);
        }
        ended
    };
    let watching = async {
        let (mut seen, mut after) = (Vec::new(), start);
        while seen.len() < 30 {
            let rows = world
                .store
                .list_finished(world.project.id, after, 7)
                .await
                .unwrap();
            for row in rows {
                after = (row.finish_time.unwrap(), row.id);
                seen.push(row.id);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        seen
    };
    let (mut one, two, three, mut seen) = tokio::join!(ending(10), ending(10), ending(10), watching);
    one.extend(two);
    one.extend(three);
    let asked: Vec<(Uuid, Uuid)> = one.iter().map(|id| (world.project.id, *id)).collect();
    assert_eq!(world.store.which_ended(&asked).await.unwrap().len(), 30);
    assert!(
        world
            .store
            .which_ended(&[(id(), one[0])])
            .await
            .unwrap()
            .is_empty()
    );
    one.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, one, "each once");
}

async fn a_doubt_is_resolved_once(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.worker().await;
    let (operation, time) = world.accepted().await;
    let project = world.project.id;
    let good = result(EndState::Succeeded);
    assert!(
        !world
            .store
            .resolve(project, operation, &good, true)
            .await
            .unwrap(),
        "it has not ended"
    );
    assert!(world.settle(&at, operation, time, EndState::NeedsReview).await);
    assert!(
        !world.store.resolve(id(), operation, &good, true).await.unwrap(),
        "another project's"
    );
    assert!(
        world
            .store
            .resolve(project, operation, &good, true)
            .await
            .unwrap()
    );
    assert!(
        !world
            .store
            .resolve(project, operation, &good, true)
            .await
            .unwrap()
    );
    let found = world
        .store
        .get_operation(project, operation)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.state.map(EndState::as_str), Some("succeeded"));
}

async fn lists_go_by_state_and_by_what_was_replayed(kind: Kind) {
    let world = World::new(kind).await;
    let at = world.worker().await;
    let mut by_state = Vec::new();
    for state in [EndState::Succeeded, EndState::Failed, EndState::NeedsReview] {
        let (operation, time) = world.accepted().await;
        assert!(world.settle(&at, operation, time, state).await);
        by_state.push(operation);
    }
    let (waiting, _) = world.accepted().await;
    let state = |state| OperationFilter {
        state: Some(state),
        ..OperationFilter::default()
    };
    assert_eq!(world.listed(state(StateFilter::InProgress)).await, [waiting]);
    assert_eq!(world.listed(state(StateFilter::Succeeded)).await, [by_state[0]]);
    let failed = || StateFilter::Ended(vec![EndState::Failed]);
    assert_eq!(world.listed(state(failed())).await, [by_state[1]]);
    let both = StateFilter::Ended(vec![EndState::Failed, EndState::NeedsReview]);
    assert_eq!(world.listed(state(both)).await, [by_state[2], by_state[1]]);
    let mut replay = world.accept();
    replay.operation.replay_of = Some(by_state[1]);
    let replay_id = replay.operation.id;
    world.store.accept_operations(&[replay]).await.unwrap();
    assert_eq!(
        world
            .store
            .list_replays(world.project.id, by_state[1])
            .await
            .unwrap(),
        [replay_id]
    );
    let not_replayed = OperationFilter {
        not_replayed: true,
        ..state(failed())
    };
    assert!(world.listed(not_replayed).await.is_empty());
    let accepting = world
        .store
        .get_accepting(world.project.id, by_state[1])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (accepting.request.as_str(), accepting.group_ref.as_deref()),
        ("{\"record\":{}}", Some("g"))
    );
}

async fn a_list_without_an_index_looks_at_a_bounded_number(kind: Kind) {
    let world = World::new(kind).await;
    let mut oldest = world.accept();
    oldest.operation.object = "rare".to_owned();
    world
        .store
        .accept_operations(std::slice::from_ref(&oldest))
        .await
        .unwrap();
    // More than one page looks at.
    for _ in 0..6 {
        let many: Vec<_> = (0..3_500).map(|_| world.accept()).collect();
        world.store.accept_operations(&many).await.unwrap();
    }
    let mut filter = OperationFilter {
        object: Some("rare".to_owned()),
        limit: 10,
        ..OperationFilter::default()
    };
    let first = world
        .store
        .list_operations(world.project.id, &filter)
        .await
        .unwrap();
    assert!(
        first.rows.is_empty() && first.next.is_some(),
        "it goes on elsewhere"
    );
    filter.before = first.next;
    let second = world
        .store
        .list_operations(world.project.id, &filter)
        .await
        .unwrap();
    assert_eq!(
        second.rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        [oldest.operation.id]
    );
    assert_eq!(second.next, None);
}
