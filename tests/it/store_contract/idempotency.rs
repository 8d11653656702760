//! Idempotency keys: claimed with the operation, kept with the answer, forgotten in time.

use std::time::Duration;

use amp_write::store::{
    AcceptOperation, Accepted, AttemptState, EndState, Finish, FinishOperation, NewAnswer, NewAttempt,
    NewIdempotencyKey, Performing,
};
use sqlx::Connection as _;

use super::World;
use super::operations::result;
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    a_key_is_claimed_once_and_its_neighbours_do_not_mind,
    keys_claimed_in_opposite_orders_at_once_do_not_deadlock,
    a_synchronous_write_is_held_in_the_queue_until_it_is_finished,
    an_end_after_the_queue_took_over_changes_nothing,
    a_released_key_is_free_again,
    keys_are_forgotten_after_their_life_and_not_before,
);

const HOLD: Duration = Duration::from_secs(60);

impl World {
    fn keyed(&self, key: &str) -> AcceptOperation {
        AcceptOperation {
            key: Some(NewIdempotencyKey {
                key: key.to_owned(),
                fingerprint: vec![1, 2, 3],
            }),
            ..self.accept()
        }
    }

    fn performing(&self, key: &str) -> AcceptOperation {
        let mut accept = self.keyed(key);
        let sent = NewAttempt::sent(
            accept.operation.id,
            accept.operation.project_id,
            accept.operation.id,
            1,
            amp_write::clock::Time::from_micros(1_700_000_000_000_000),
        );
        accept.performing = Some(Performing {
            hold: HOLD,
            sent: Some(sent),
        });
        accept
    }

    async fn accept_one(&self, accept: &AcceptOperation) -> Accepted {
        self.store
            .accept_operations(std::slice::from_ref(accept))
            .await
            .unwrap()[0]
    }

    fn finish(&self, accept: &AcceptOperation, accepted: Accepted, ending: Finish) -> FinishOperation {
        let Accepted::At(time) = accepted else {
            panic!("it was accepted")
        };
        let attempt = super::operations::attempt(
            self.project.id,
            accept.operation.id,
            accept.operation.id,
            AttemptState::Answered,
        );
        FinishOperation {
            project_id: self.project.id,
            lane_id: self.connection,
            operation_id: accept.operation.id,
            run_at: time.after(HOLD),
            attempts: vec![attempt],
            ending,
        }
    }
}

fn kept(answer: &str) -> Finish {
    Finish::Result(result(EndState::Succeeded), NewAnswer::Keep(answer.to_owned()))
}

async fn a_key_is_claimed_once_and_its_neighbours_do_not_mind(kind: Kind) {
    let world = World::new(kind).await;
    let (first, plain) = (world.keyed("k"), world.accept());
    let batch = [plain, first.clone(), world.keyed("k"), world.keyed("other")];
    let accepted = world.store.accept_operations(&batch).await.unwrap();
    let taken: Vec<bool> = accepted.iter().map(|a| *a == Accepted::KeyTaken).collect();
    assert_eq!(taken, [false, false, true, false], "the earlier one has it");
    assert_eq!(world.accept_one(&world.keyed("k")).await, Accepted::KeyTaken);
    assert_eq!(world.store.queue_depth().await.unwrap(), 3);
    let project = world.project.id;
    assert!(
        world
            .store
            .get_operation(project, batch[2].operation.id)
            .await
            .unwrap()
            .is_none(),
        "nothing of it is stored"
    );
    let found = world
        .store
        .find_idempotency_key(project, "k")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.operation_id, found.mode.as_str(), found.fingerprint),
        (first.operation.id, "asynchronous", vec![1, 2, 3])
    );
    let elsewhere = world.store.find_idempotency_key(super::id(), "k").await.unwrap();
    assert!(elsewhere.is_none(), "another project's");
}

async fn keys_claimed_in_opposite_orders_at_once_do_not_deadlock(kind: Kind) {
    let world = World::new(kind).await;
    let names: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    let batches: Vec<Vec<AcceptOperation>> = (0..6)
        .map(|round| {
            let keyed = names.iter().map(|name| world.keyed(name));
            if round % 2 == 0 {
                keyed.collect()
            } else {
                keyed.rev().collect()
            }
        })
        .collect();
    let claims = batches.iter().map(|batch| world.store.accept_operations(batch));
    let accepted: usize = futures_util::future::join_all(claims)
        .await
        .into_iter()
        .map(|answers| {
            let answers = answers.expect("no deadlock");
            answers.iter().filter(|a| **a != Accepted::KeyTaken).count()
        })
        .sum();
    assert_eq!(accepted, names.len(), "each key once");
    assert_eq!(world.store.queue_depth().await.unwrap(), 40);
}

async fn a_synchronous_write_is_held_in_the_queue_until_it_is_finished(kind: Kind) {
    let world = World::new(kind).await;
    let accept = world.performing("k");
    let accepted = world.accept_one(&accept).await;
    let (project, operation) = (world.project.id, accept.operation.id);
    let attempts = world.store.list_attempts(project, operation).await.unwrap();
    assert_eq!(
        (attempts.len(), attempts[0].state.as_str()),
        (1, "sent"),
        "the intent"
    );
    let worker = super::id();
    world
        .store
        .lease_shards(worker, Duration::from_secs(60), Duration::ZERO)
        .await
        .unwrap();
    assert!(
        super::queue::claim_all(&world).await.is_empty(),
        "the queue leaves it alone"
    );
    let finish = world.finish(&accept, accepted, kept("{\"a\":0.10}"));
    assert_eq!(
        world
            .store
            .finish_operations(std::slice::from_ref(&finish))
            .await
            .unwrap(),
        [true]
    );
    let found = world
        .store
        .find_idempotency_key(project, "k")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.mode.as_str(), found.answer.as_deref(), found.released),
        ("synchronous", Some("{\"a\":0.10}"), Some(false))
    );
    assert_eq!(found.state.map(EndState::as_str), Some("succeeded"));
    assert_eq!(world.store.queue_depth().await.unwrap(), 0);
    assert_eq!(
        world.store.list_attempts(project, operation).await.unwrap().len(),
        2
    );
    assert_eq!(
        world.store.finish_operations(&[finish]).await.unwrap(),
        [false],
        "once"
    );
}

async fn an_end_after_the_queue_took_over_changes_nothing(kind: Kind) {
    let world = World::new(kind).await;
    let accept = world.performing("k");
    let accepted = world.accept_one(&accept).await;
    let hand_over = world.finish(&accept, accepted, Finish::HandOver);
    assert_eq!(world.store.finish_operations(&[hand_over]).await.unwrap(), [true]);
    let worker = super::id();
    world
        .store
        .lease_shards(worker, Duration::from_secs(60), Duration::ZERO)
        .await
        .unwrap();
    let claimed = super::queue::claim_all(&world).await;
    assert_eq!((claimed.len(), claimed[0].attempt), (1, 1), "the queue has it");
    let late = world.finish(&accept, accepted, kept("{}"));
    assert_eq!(world.store.finish_operations(&[late]).await.unwrap(), [false]);
    let found = world
        .store
        .get_operation(world.project.id, accept.operation.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.state, None);
    assert_eq!(world.store.queue_depth().await.unwrap(), 1);
}

async fn a_released_key_is_free_again(kind: Kind) {
    let world = World::new(kind).await;
    let accept = world.performing("k");
    let accepted = world.accept_one(&accept).await;
    let release = Finish::Result(result(EndState::Failed), NewAnswer::Release);
    let finish = world.finish(&accept, accepted, release);
    assert_eq!(world.store.finish_operations(&[finish]).await.unwrap(), [true]);
    let again = world.performing("k");
    assert!(matches!(world.accept_one(&again).await, Accepted::At(_)));
    let found = world
        .store
        .find_idempotency_key(world.project.id, "k")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.operation_id, found.released), (again.operation.id, None));
}

/// Makes every key and answer older.
async fn age(world: &World, kind: Kind, by: Duration) {
    let micros = by.as_micros();
    for table in ["idempotency_keys", "idempotency_answers"] {
        match kind {
            Kind::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&world.database.url).await.unwrap();
                let text = format!(
                    "UPDATE {table} SET create_time = create_time - {micros} * INTERVAL '1 microsecond'"
                );
                sqlx::query(sqlx::AssertSqlSafe(text))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            Kind::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&world.database.url)
                    .await
                    .unwrap();
                let text = format!("UPDATE {table} SET create_time = create_time - {micros}");
                sqlx::query(sqlx::AssertSqlSafe(text))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
    }
}

async fn keys_are_forgotten_after_their_life_and_not_before(kind: Kind) {
    let world = World::new(kind).await;
    let accept = world.performing("k");
    let accepted = world.accept_one(&accept).await;
    let finish = world.finish(&accept, accepted, kept("{}"));
    world.store.finish_operations(&[finish]).await.unwrap();
    let life = amp_write::store::KEY_LIFE;
    age(&world, kind, life - Duration::from_secs(3600)).await;
    assert_eq!(world.store.forget_idempotency_keys(10).await.unwrap(), 0);
    assert_eq!(world.accept_one(&world.keyed("k")).await, Accepted::KeyTaken);
    age(&world, kind, Duration::from_secs(7200)).await;
    let found = world.store.find_idempotency_key(world.project.id, "k").await;
    assert!(found.unwrap().is_none(), "its time is over, removed or not");
    assert!(matches!(
        world.accept_one(&world.keyed("k")).await,
        Accepted::At(_)
    ));
    assert_eq!(
        world.store.forget_idempotency_keys(10).await.unwrap(),
        1,
        "the old answer; the key is a new one"
    );
    age(&world, kind, life * 2).await;
    assert_eq!(world.store.forget_idempotency_keys(10).await.unwrap(), 1);
    assert_eq!(world.store.forget_idempotency_keys(10).await.unwrap(), 0);
}
