//! What leaves by age, and what stays.

use std::time::Duration;

use amp_write::clock::{Clock, SystemClock, Time};
use amp_write::store::{
    AcceptOperation, AttemptState, EndState, InstallationChange, NewConfig, NewOperation, RecordOperation,
    Retention,
};
use sqlx::Connection as _;
use uuid::Uuid;

use super::operations::{attempt, result};
use super::{World, id};
use crate::harness::{Kind, on_both_stores};

const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Retention = Retention {
    history: Duration::from_secs(30 * 86_400),
    payloads: Duration::from_secs(30 * 86_400),
};
const WEEK_OF_PAYLOADS: Retention = Retention {
    payloads: Duration::from_secs(7 * 86_400),
    ..MONTH
};

on_both_stores!(
    old_finished_operations_leave_with_results_and_attempts_and_young_ones_stay,
    old_work_that_is_still_queued_stays_and_leaves_once_it_has_ended,
    payloads_leave_before_their_operations_and_queued_work_keeps_its_own,
    operations_of_a_day_without_a_partition_leave_too,
    two_runs_at_once_do_no_harm,
    a_config_that_was_replaced_leaves_when_nothing_can_need_it_and_the_one_in_force_stays,
);

/// A clock that stands still.
#[derive(Debug)]
struct At(Time);

impl Clock for At {
    fn now(&self) -> Time {
        self.0
    }
}

fn days_ago(days: u32) -> Time {
    let back = i64::try_from((DAY * days).as_micros()).expect("fits");
    Time::from_micros(SystemClock.now().as_micros() - back)
}

impl World {
    /// An operation whose id is so old.
    fn old_operation(&self, days: u32) -> NewOperation {
        NewOperation {
            id: At(days_ago(days)).new_id(),
            ..self.operation()
        }
    }

    /// Records a finished operation with an attempt.
    async fn finished(&self, days: u32, count: usize) -> Vec<Uuid> {
        let records: Vec<RecordOperation> = (0..count)
            .map(|_| {
                let operation = self.old_operation(days);
                let row = attempt(self.project.id, operation.id, id(), AttemptState::Answered);
                RecordOperation {
                    operation,
                    result: result(EndState::Succeeded),
                    attempts: vec![row],
                }
            })
            .collect();
        self.store.record_operations(&records).await.unwrap();
        records.iter().map(|record| record.operation.id).collect()
    }

    async fn queued(&self, days: u32) -> Uuid {
        let accept = AcceptOperation {
            operation: self.old_operation(days),
            ..self.accept()
        };
        let id = accept.operation.id;
        self.store.accept_operations(&[accept]).await.unwrap();
        id
    }

    async fn is_there(&self, id: Uuid) -> bool {
        let attempts = self.store.list_attempts(self.project.id, id).await.unwrap();
        let operation = self.store.get_operation(self.project.id, id).await.unwrap();
        assert!(
            operation.is_some() || attempts.is_empty(),
            "attempts go with their operation"
        );
        operation.is_some()
    }

    /// The stored request of an operation, as it lies in the database.
    async fn request_of(&self, kind: Kind, id: Uuid) -> String {
        let sql = "SELECT request FROM operations WHERE id = $1";
        match kind {
            Kind::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.database.url).await.unwrap();
                sqlx::query_scalar(sql)
                    .bind(id)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
            Kind::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&self.database.url).await.unwrap();
                sqlx::query_scalar(sql)
                    .bind(id)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
        }
    }
}

async fn old_finished_operations_leave_with_results_and_attempts_and_young_ones_stay(kind: Kind) {
    let world = World::new(kind).await;
    world.store.prepare_history(days_ago(40)).await.unwrap();
    world.store.prepare_history(days_ago(20)).await.unwrap();
    // More than one batch.
    let old = world.finished(40, 1_200).await;
    let young = [world.finished(20, 3).await, world.finished(0, 3).await].concat();
    world.store.expire_history(MONTH).await.unwrap();
    for id in &young {
        assert!(world.is_there(*id).await);
        assert!(world.request_of(kind, *id).await.contains("record"));
    }
    for id in [&old[0], &old[499], &old[500], &old[1_199]] {
        assert!(!world.is_there(*id).await);
    }
    let everything = amp_write::store::OperationFilter {
        installations: Some(vec![world.installation.id]),
        limit: 2_000,
        ..amp_write::store::OperationFilter::default()
    };
    let listed = world
        .store
        .list_operations(world.project.id, &everything)
        .await
        .unwrap();
    assert_eq!(listed.rows.len(), young.len());
    let again = world.store.expire_history(MONTH).await.unwrap();
    assert_eq!(
        again,
        amp_write::store::Expired::default(),
        "nothing is left to do"
    );
}

async fn old_work_that_is_still_queued_stays_and_leaves_once_it_has_ended(kind: Kind) {
    let world = World::new(kind).await;
    world.store.prepare_history(days_ago(40)).await.unwrap();
    let finished = world.finished(40, 1).await[0];
    let live = world.queued(40).await;
    world.store.expire_history(MONTH).await.unwrap();
    assert!(world.is_there(live).await);
    world.end_item(live).await;
    world.store.expire_history(MONTH).await.unwrap();
    assert!(!world.is_there(live).await);
    assert!(!world.is_there(finished).await);
}

async fn payloads_leave_before_their_operations_and_queued_work_keeps_its_own(kind: Kind) {
    let world = World::new(kind).await;
    for days in [10, 5] {
        world.store.prepare_history(days_ago(days)).await.unwrap();
    }
    let old = world.finished(10, 700).await;
    let live = world.queued(9).await;
    let young = world.finished(5, 1).await[0];
    let expired = world.store.expire_history(WEEK_OF_PAYLOADS).await.unwrap();
    assert_eq!(expired.payloads, 700);
    for id in [old[0], old[699]] {
        assert_eq!(
            world.request_of(kind, id).await,
            amp_write::store::EXPIRED_PAYLOAD
        );
        let request = world.store.get_request(world.project.id, id).await.unwrap();
        assert_eq!(request, None, "nothing is left of it");
        assert!(world.is_there(id).await, "the operation itself stays visible");
        assert_eq!(
            world
                .store
                .list_attempts(world.project.id, id)
                .await
                .unwrap()
                .len(),
            1
        );
        let operation = world
            .store
            .get_operation(world.project.id, id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(operation.state.map(EndState::as_str), Some("succeeded"));
    }
    assert!(world.request_of(kind, young).await.contains("record"));
    assert!(world.request_of(kind, live).await.contains("record"));
    let again = world.store.expire_history(WEEK_OF_PAYLOADS).await.unwrap();
    assert_eq!(again.payloads, 0);
    // The day takes new rows and leaves whole like any other.
    let late = world.finished(10, 1).await[0];
    assert!(world.is_there(late).await);
    let week = Retention {
        history: DAY * 8,
        payloads: DAY * 8,
    };
    world.store.expire_history(week).await.unwrap();
    assert!(!world.is_there(old[0]).await);
    assert!(world.is_there(live).await);
    assert!(world.is_there(young).await);
}

async fn operations_of_a_day_without_a_partition_leave_too(kind: Kind) {
    let world = World::new(kind).await;
    // Their accept time is the store's own, so they are as old as the run says.
    let finished = world.finished(400, 2).await;
    let live = world.queued(400).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let nothing = Retention {
        history: Duration::ZERO,
        payloads: Duration::ZERO,
    };
    world.store.expire_history(nothing).await.unwrap();
    for id in finished {
        assert!(!world.is_there(id).await);
    }
    assert!(world.is_there(live).await);
    assert!(world.request_of(kind, live).await.contains("record"));
}

async fn two_runs_at_once_do_no_harm(kind: Kind) {
    let world = World::new(kind).await;
    for days in [40, 20] {
        world.store.prepare_history(days_ago(days)).await.unwrap();
    }
    let old = world.finished(40, 50).await;
    let young = world.finished(20, 50).await;
    let both = futures_util::future::join(
        world.store.expire_history(WEEK_OF_PAYLOADS),
        world.store.expire_history(WEEK_OF_PAYLOADS),
    );
    let (one, other) = both.await;
    one.unwrap();
    other.unwrap();
    // Whichever came first did the work, or the next one does.
    world.store.expire_history(WEEK_OF_PAYLOADS).await.unwrap();
    assert!(!world.is_there(old[0]).await);
    for id in young {
        assert!(world.is_there(id).await);
        assert_eq!(
            world.request_of(kind, id).await,
            amp_write::store::EXPIRED_PAYLOAD
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_history_is_not_disturbed_and_the_day_leaves_afterwards() {
    let world = World::new(Kind::Postgres).await;
    world.store.prepare_history(days_ago(40)).await.unwrap();
    let old = world.finished(40, 1).await[0];
    let mut reader = sqlx::PgConnection::connect(&world.database.url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    let count = "SELECT count(*) FROM operations";
    let seen: i64 = sqlx::query_scalar(count).fetch_one(&mut *reading).await.unwrap();
    assert_eq!(seen, 1);
    world.store.expire_history(MONTH).await.unwrap();
    let seen: i64 = sqlx::query_scalar(count).fetch_one(&mut *reading).await.unwrap();
    assert_eq!(seen, 1, "what it read is still there");
    let operation = world
        .store
        .get_operation(world.project.id, old)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        operation.state.map(EndState::as_str),
        Some("succeeded"),
        "no operation without its result"
    );
    reading.rollback().await.unwrap();
    // A run gives way to whoever holds the table just then, such as the vacuum; the next run comes.
    let started = std::time::Instant::now();
    while world.is_there(old).await {
        assert!(
            started.elapsed() < crate::harness::client::PATIENCE,
            "it never leaves"
        );
        world.store.expire_history(MONTH).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_that_is_over_is_in_nobodys_way() {
    let world = World::new(Kind::Postgres).await;
    let mut look = sqlx::PgConnection::connect(&world.database.url).await.unwrap();
    for run in 0..20 {
        world.store.expire_history(MONTH).await.unwrap();
        let locked: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                            WHERE l.locktype = 'advisory' AND d.datname = current_database())",
        )
        .fetch_one(&mut look)
        .await
        .unwrap();
        assert!(
            !locked,
            "run {run} has left its lock behind: another one would do nothing"
        );
    }
}

/// Runs statements on the database of a test.
async fn sql(world: &World, statements: &[&str]) {
    let mut connection = sqlx::PgConnection::connect(&world.database.url).await.unwrap();
    for statement in statements {
        let statement = statement.replace("DAY", &days_ago(10).to_string()[..10].replace('-', ""));
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

const BEGIN_COPY: &str = "CREATE TABLE operations_DAY_bare (LIKE operations_DAY INCLUDING ALL)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_payloads_that_was_begun_is_finished_by_the_next_run() {
    let world = World::new(Kind::Postgres).await;
    world.store.prepare_history(days_ago(10)).await.unwrap();
    let old = world.finished(10, 20).await;
    let half = "INSERT INTO operations_DAY_bare SELECT * FROM operations_DAY ORDER BY project_id, id LIMIT 7";
    sql(
        &world,
        &[BEGIN_COPY, half, "UPDATE operations_DAY_bare SET request = ''"],
    )
    .await;
    let expired = world.store.expire_history(WEEK_OF_PAYLOADS).await.unwrap();
    assert_eq!(expired.payloads, 20);
    for id in old {
        assert!(world.is_there(id).await);
        assert_eq!(world.request_of(Kind::Postgres, id).await, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_arrives_behind_the_copy_is_not_lost() {
    let world = World::new(Kind::Postgres).await;
    world.store.prepare_history(days_ago(10)).await.unwrap();
    let old = world.finished(10, 20).await;
    // The copy has passed the first rows already when they arrive.
    let last = "INSERT INTO operations_DAY_bare SELECT * FROM operations_DAY ORDER BY project_id DESC, id DESC LIMIT 1";
    sql(&world, &[BEGIN_COPY, last]).await;
    let expired = world.store.expire_history(WEEK_OF_PAYLOADS).await.unwrap();
    assert_eq!(expired.payloads, 0, "the copy is not complete");
    for id in &old {
        assert!(world.request_of(Kind::Postgres, *id).await.contains("record"));
    }
    let expired = world.store.expire_history(WEEK_OF_PAYLOADS).await.unwrap();
    assert_eq!(expired.payloads, 20, "the next run begins anew");
    for id in old {
        assert!(world.is_there(id).await);
    }
}

async fn a_config_that_was_replaced_leaves_when_nothing_can_need_it_and_the_one_in_force_stays(kind: Kind) {
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let operation = world.operation();
    let (first_config, first_revision) = (operation.config_id, operation.revision_id);
    let pinned = async |config: Uuid, revision: Uuid| {
        let route = store
            .find_pinned_route(project, config, revision, world.connection)
            .await;
        route.unwrap().is_some()
    };
    assert!(pinned(first_config, first_revision).await);
    let integration = store
        .deploy(project, &[super::new_integration("hs", "{\"a\":2}")], false)
        .await
        .unwrap()
        .remove(0);
    let change = InstallationChange {
        expected_config_id: first_config,
        connection_id: world.connection,
        config: NewConfig {
            id: id(),
            revision_id: integration.revision_id,
            content: "{}".to_owned(),
            created_by: "api:test".to_owned(),
        },
    };
    let second_config = change.config.id;
    store
        .update_installation(project, world.installation.id, &change)
        .await
        .unwrap();
    store.expire_history(MONTH).await.unwrap();
    assert!(
        pinned(first_config, first_revision).await,
        "it was replaced just now"
    );
    // As if all that had been done long ago.
    for (table, days) in [("configs", 50_i64), ("revisions", 50)] {
        for (replaced, days) in [(true, days), (false, days - 5)] {
            world.age(kind, table, replaced, days).await;
        }
    }
    let live = world.queued(45).await;
    store.expire_history(MONTH).await.unwrap();
    assert!(
        pinned(first_config, first_revision).await,
        "queued work may need it"
    );
    world.end_item(live).await;
    let gone = store.expire_history(MONTH).await.unwrap();
    assert!(!pinned(first_config, first_revision).await);
    assert!(gone.definitions >= 1, "{gone:?}");
    assert!(
        pinned(second_config, integration.revision_id).await,
        "it is in force"
    );
    assert_eq!(store.expire_history(MONTH).await.unwrap().definitions, 0);
}

impl World {
    /// Moves the oldest (or the newest) row of a table into the past.
    async fn age(&self, kind: Kind, table: &str, oldest: bool, days: i64) {
        let order = if oldest { "ASC" } else { "DESC" };
        let time = days_ago(u32::try_from(days).unwrap());
        let statement = format!(
            "UPDATE {table} SET create_time = $1 WHERE id = (SELECT id FROM {table} ORDER BY create_time {order}, id {order} LIMIT 1)"
        );
        let statement = sqlx::AssertSqlSafe(statement);
        let changed = match kind {
            Kind::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.database.url).await.unwrap();
                sqlx::query(statement)
                    .bind(time)
                    .execute(&mut connection)
                    .await
                    .unwrap()
                    .rows_affected()
            }
            Kind::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&self.database.url).await.unwrap();
                sqlx::query(statement)
                    .bind(time)
                    .execute(&mut connection)
                    .await
                    .unwrap()
                    .rows_affected()
            }
        };
        assert_eq!(changed, 1);
    }

    /// Performs the one item that is queued.
    async fn end_item(&self, operation: Uuid) {
        let worker = id();
        let lease = super::queue::lease(self, worker).await;
        let item = super::queue::claim_all(self).await.remove(0);
        assert_eq!(item.operation_id, operation);
        let done = amp_write::store::Ending::Finish(result(EndState::Succeeded));
        let settle = super::queue::settle(worker, lease, &item, done);
        assert_eq!(self.store.settle(&[settle]).await.unwrap(), [true]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_from_before_a_change_of_the_table_is_begun_anew() {
    let world = World::new(Kind::Postgres).await;
    world.store.prepare_history(days_ago(10)).await.unwrap();
    let old = world.finished(10, 3).await;
    sql(
        &world,
        &[BEGIN_COPY, "ALTER TABLE operations ADD COLUMN later text"],
    )
    .await;
    let expired = world.store.expire_history(WEEK_OF_PAYLOADS).await.unwrap();
    assert_eq!(expired.payloads, 3);
    assert!(world.is_there(old[0]).await);
}
