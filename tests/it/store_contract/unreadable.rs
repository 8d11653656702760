//! What a later version wrote, and this one does not know.

use amp_write::action::Action;
use amp_write::store::{MaybeKnown, StoreError};
use sqlx::{AssertSqlSafe, Connection as _};

use super::World;
use super::queue::claim_all;
use crate::harness::{Kind, on_both_stores};

async fn sql(world: &World, kind: Kind, statement: &str) {
    let (url, statement) = (&world.database.url, AssertSqlSafe(statement.to_owned()));
    match kind {
        Kind::Postgres => {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        Kind::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
    }
}

on_both_stores!(
    what_cannot_be_read_is_named_by_table_and_column,
    an_unknown_word_does_not_keep_its_neighbours_from_being_read,
);

async fn what_cannot_be_read_is_named_by_table_and_column(kind: Kind) {
    let world = World::new(kind).await;
    let accept = world.accept();
    let operation = accept.operation.id;
    world.store.accept_operations(&[accept]).await.unwrap();
    sql(&world, kind, "UPDATE connections SET status = 'asleep'").await;
    sql(&world, kind, "UPDATE operations SET mode = 'someday'").await;
    let place = |error: StoreError| match error {
        StoreError::Unreadable { place, .. } => place,
        other => format!("{other:?}"),
    };
    let project = world.project.id;
    let of_connection = world.store.get_connection(project, world.connection).await;
    assert_eq!(place(of_connection.unwrap_err()), "connections.status");
    let of_operation = world.store.get_operation(project, operation).await;
    assert_eq!(place(of_operation.unwrap_err()), "operations.mode");
    let of_route = world
        .store
        .find_route(project, world.integration.id, &world.installation.group_ref)
        .await;
    let error = of_route.unwrap_err();
    assert!(
        !error.is_transient() && !error.is_outage(),
        "trying again does not help"
    );
    assert_eq!(
        place(error),
        "connections.status",
        "not of the table that was asked"
    );
}

async fn an_unknown_word_does_not_keep_its_neighbours_from_being_read(kind: Kind) {
    let world = World::new(kind).await;
    let accepts = [world.accept(), world.accept()];
    let (odd, plain) = (accepts[0].operation.id, accepts[1].operation.id);
    world.store.accept_operations(&accepts).await.unwrap();
    let name = match kind {
        Kind::Postgres => format!("'{odd}'"),
        Kind::Sqlite => format!("x'{}'", odd.simple()),
    };
    sql(
        &world,
        kind,
        &format!("UPDATE operations SET action = 'merge' WHERE id = {name}"),
    )
    .await;
    let mut claimed: Vec<_> = claim_all(&world)
        .await
        .into_iter()
        .map(|item| (item.operation_id, item.action))
        .collect();
    let mut wanted = vec![
        (odd, MaybeKnown::Unknown("merge".to_owned())),
        (plain, MaybeKnown::Known(Action::Create)),
    ];
    claimed.sort_by_key(|(id, _)| *id);
    wanted.sort_by_key(|(id, _)| *id);
    assert_eq!(claimed, wanted);
    // So does a hold for a reason that is new.
    let project = world.project.id;
    world
        .store
        .set_connection_works(project, world.connection, 1, false)
        .await
        .unwrap();
    sql(&world, kind, "UPDATE lanes SET hold_reason = 'on_request'").await;
    let lanes = world.store.list_lanes(None).await.unwrap();
    assert_eq!(lanes[0].hold_reason.as_ref().unwrap().as_str(), "on_request");
    assert_eq!(lanes[0].hold_reason.as_ref().unwrap().known(), None);
}
