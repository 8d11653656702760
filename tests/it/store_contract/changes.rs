//! The log of changes: what each change says that it touched, and that nobody who reads it misses anything.

use amp_write::store::{
    ApiKeyChange, Change, ChangeKind, ConnectionChange, InstallationChange, KeyRef, LogPosition, SharedStore,
};
use sqlx::Connection as _;
use uuid::Uuid;

use super::{World, id, new_connection, new_installation, new_integration, new_key};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    each_change_names_what_it_touched,
    too_many_changes_may_be_anything,
    what_is_not_known_may_be_anything,
    old_changes_are_forgotten_and_reading_goes_on,
);

/// Somebody who reads the log.
struct Reader {
    store: SharedStore,
    position: LogPosition,
}

impl Reader {
    async fn new(store: &SharedStore) -> Self {
        let news = store.changes_since(None).await.unwrap();
        assert_eq!(news.changes, None, "who has read nothing yet knows nothing");
        Self {
            store: store.clone(),
            position: news.position,
        }
    }

    /// What is new, in any order.
    async fn read(&mut self) -> Option<Vec<Change>> {
        let news = self.store.changes_since(Some(&self.position)).await.unwrap();
        self.position = news.position;
        news.changes
    }

    #[track_caller]
    fn same(found: Option<Vec<Change>>, expected: &[(Uuid, ChangeKind, Uuid)], what: &str) {
        let sorted = |mut all: Vec<(Uuid, String, Uuid)>| {
            all.sort();
            all.dedup();
            all
        };
        let found = found.unwrap().into_iter();
        let found = found.map(|one| (one.project_id, format!("{:?}", one.kind), one.id));
        let expected = expected
            .iter()
            .map(|(p, kind, id)| (*p, format!("{kind:?}"), *id));
        assert_eq!(sorted(found.collect()), sorted(expected.collect()), "{what}");
    }
}

/// A row of the log, made by hand.
async fn insert(world: &World, kind: &str, count: i64, age_seconds: i64) {
    let (project, thing) = (world.project.id, id());
    if world.database.url.starts_with("sqlite:") {
        let mut by_hand = sqlx::SqliteConnection::connect(&world.database.url)
            .await
            .unwrap();
        sqlx::query(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $4)
             INSERT INTO changes (project_id, kind, thing_id, time)
             SELECT $1, $2, $3, CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $5 * 1000000 FROM n",
        )
        .bind(project)
        .bind(kind)
        .bind(thing)
        .bind(count)
        .bind(age_seconds)
        .execute(&mut by_hand)
        .await
        .unwrap();
    } else {
        sqlx::query(
            "INSERT INTO changes (project_id, kind, thing_id, time)
             SELECT $1, $2, $3, now() - make_interval(secs => $5) FROM generate_series(1, $4)",
        )
        .bind(project)
        .bind(kind)
        .bind(thing)
        .bind(count)
        .bind(age_seconds as f64)
        .execute(&mut world.database.look().await)
        .await
        .unwrap();
    }
}

async fn each_change_names_what_it_touched(kind: Kind) {
    use ChangeKind::{ApiKey, Connection, Installation, Integration, Lane};
    let world = World::new(kind).await;
    let (store, project) = (&world.store, world.project.id);
    let (connection, integration) = (world.connection, world.integration.id);
    let installation = world.installation.id;
    let mut reader = Reader::new(store).await;
    Reader::same(reader.read().await, &[], "nothing");

    let changed = [new_integration("hs", "{\"a\":3}")];
    store.deploy(project, &changed, false).await.unwrap();
    Reader::same(
        reader.read().await,
        &[(project, Integration, integration)],
        "a deploy",
    );
    store.deploy(project, &changed, false).await.unwrap();
    Reader::same(reader.read().await, &[], "a deploy that changes nothing");

    let change = ConnectionChange {
        provider_workspace_ref: Some("w".to_owned()),
        ..ConnectionChange::default()
    };
    store
        .update_connection(project, connection, &change)
        .await
        .unwrap();
    Reader::same(
        reader.read().await,
        &[(project, Connection, connection)],
        "a connection",
    );
    store
        .set_connection_works(project, connection, 1, false)
        .await
        .unwrap();
    Reader::same(
        reader.read().await,
        &[(project, Connection, connection)],
        "dead credentials",
    );
    store
        .set_connection_works(project, connection, 1, false)
        .await
        .unwrap();
    Reader::same(reader.read().await, &[], "known to be dead");

    let key = store.create_api_key(project, &new_key("x")).await.unwrap();
    let inactive = ApiKeyChange {
        active: Some(false),
        ..ApiKeyChange::default()
    };
    store
        .update_api_key(project, KeyRef::Id(key.id), &inactive)
        .await
        .unwrap();
    Reader::same(reader.read().await, &[(project, ApiKey, key.id)], "a key");
    store.delete_api_key(project, KeyRef::Id(key.id)).await.unwrap();
    Reader::same(reader.read().await, &[(project, ApiKey, key.id)], "a deleted key");

    let other = store
        .create_connection(project, &new_connection("g"))
        .await
        .unwrap();
    let moved = InstallationChange {
        expected_config_id: world.installation.config_id,
        connection_id: other.id,
        config: new_installation(integration, other.id, "g").config,
    };
    store
        .update_installation(project, installation, &moved)
        .await
        .unwrap();
    let touched = [
        (project, Installation, installation),
        (project, Lane, connection),
        (project, Lane, other.id),
    ];
    Reader::same(
        reader.read().await,
        &touched,
        "an installation that moved to another connection",
    );
    store
        .delete_installation(project, integration, installation)
        .await
        .unwrap();
    let touched = [
        (project, Installation, installation),
        (project, Lane, other.id),
        (project, Connection, other.id),
    ];
    Reader::same(reader.read().await, &touched, "a deleted installation");

    let again = new_installation(integration, connection, "g");
    let again = store.create_installation(project, &again).await.unwrap();
    let touched = [(project, Installation, again.id), (project, Lane, connection)];
    Reader::same(reader.read().await, &touched, "a new installation");
    store
        .deploy(project, &[new_integration("new", "{}")], true)
        .await
        .unwrap();
    let touched = [(project, Integration, integration), (project, Lane, connection)];
    Reader::same(
        reader.read().await,
        &touched,
        "an integration that others replace",
    );
    store.delete_connection(project, connection).await.unwrap();
    Reader::same(
        reader.read().await,
        &[(project, Connection, connection)],
        "a deleted connection",
    );
}

async fn too_many_changes_may_be_anything(kind: Kind) {
    let world = World::new(kind).await;
    let mut reader = Reader::new(&world.store).await;
    insert(&world, "connection", 5_000, 0).await;
    assert_eq!(reader.read().await.map(|all| all.len()), Some(5_000));
    insert(&world, "connection", 5_001, 0).await;
    assert_eq!(reader.read().await, None);
    assert_eq!(
        reader.read().await,
        Some(Vec::new()),
        "and reading goes on behind them"
    );
}

async fn what_is_not_known_may_be_anything(kind: Kind) {
    let world = World::new(kind).await;
    let mut reader = Reader::new(&world.store).await;
    insert(&world, "of a later version", 1, 0).await;
    assert_eq!(reader.read().await, None);
}

async fn old_changes_are_forgotten_and_reading_goes_on(kind: Kind) {
    let world = World::new(kind).await;
    let mut reader = Reader::new(&world.store).await;
    insert(&world, "connection", 2, 3_000).await;
    insert(&world, "connection", 3, 4_000).await;
    world.store.forget_changes().await.unwrap();
    assert_eq!(reader.read().await.map(|all| all.len()), Some(2));
    insert(&world, "connection", 1, 4_000).await;
    world.store.forget_changes().await.unwrap();
    assert_eq!(reader.read().await.map(|all| all.len()), Some(0));
    insert(&world, "connection", 1, 0).await;
    assert_eq!(reader.read().await.map(|all| all.len()), Some(1));
}

#[tokio::test]
async fn a_change_that_commits_late_is_not_missed() {
    let world = World::new(Kind::Postgres).await;
    let (store, project) = (&world.store, world.project.id);
    let mut reader = Reader::new(store).await;
    let (mut first, mut second) = (world.database.look().await, world.database.look().await);
    let late = id();
    let insert = "INSERT INTO changes (project_id, kind, thing_id) VALUES ($1, 'connection', $2)";
    let mut open = first.begin().await.unwrap();
    let by_hand = sqlx::query(insert).bind(project).bind(late);
    by_hand.execute(&mut *open).await.unwrap();
    // Others begin after it, commit before it and are read.
    for _ in 0..3 {
        let quick = id();
        let by_hand = sqlx::query(insert).bind(project).bind(quick);
        by_hand.execute(&mut second).await.unwrap();
        let expected = [(project, ChangeKind::Connection, quick)];
        Reader::same(reader.read().await, &expected, "each is told once");
    }
    open.commit().await.unwrap();
    let expected = [(project, ChangeKind::Connection, late)];
    Reader::same(reader.read().await, &expected, "also the one that was late");
    Reader::same(reader.read().await, &[], "and once");
}

#[tokio::test]
async fn processes_of_the_version_before_hear_and_are_heard() {
    let world = World::new(Kind::Postgres).await;
    let (store, project) = (&world.store, world.project.id);
    let mut reader = Reader::new(store).await;
    let mut old = world.database.look().await;
    let version = "SELECT version FROM config_version WHERE id = 1";
    let before: i64 = sqlx::query_scalar(version).fetch_one(&mut old).await.unwrap();
    let change = ConnectionChange::default();
    store
        .update_connection(project, world.connection, &change)
        .await
        .unwrap();
    let after: i64 = sqlx::query_scalar(version).fetch_one(&mut old).await.unwrap();
    assert_ne!(before, after);
    assert!(reader.read().await.is_some());
    sqlx::query("UPDATE config_version SET version = version + 1 WHERE id = 1")
        .execute(&mut old)
        .await
        .unwrap();
    assert_eq!(reader.read().await, None, "they do not say what they touched");
}
