//! Operations: accepted, recorded, looked up.

use std::time::Duration;

use amp_write::action::Action;
use amp_write::store::{
    AcceptOperation, Accepted, AttemptState, EndState, NewAttempt, NewOperation, NewResult, OperationFilter,
    RecordOperation, SoFar,
};
use uuid::Uuid;

use super::{World, id, operation_id};
use crate::harness::{Kind, on_both_stores};

on_both_stores!(
    an_accepted_operation_is_there_with_its_deadline_and_in_the_queue,
    a_recorded_operation_is_there_with_its_result_and_attempt,
    operations_are_listed_newest_first_page_by_page,
    a_batch_with_one_bad_row_changes_nothing,
    a_request_is_kept_letter_for_letter,
);

impl World {
    pub(super) fn operation(&self) -> NewOperation {
        NewOperation {
            id: operation_id(),
            project_id: self.project.id,
            integration_id: self.integration.id,
            installation_id: self.installation.id,
            config_id: self.installation.config_id,
            revision_id: self.integration.revision_id,
            connection_id: self.connection,
            object: "contacts".to_owned(),
            action: Action::Create,
            request: "{\"record\":{}}".to_owned(),
            client_ref: None,
            replay_of: None,
        }
    }

    pub(super) fn accept(&self) -> AcceptOperation {
        AcceptOperation {
            operation: self.operation(),
            record_key: None,
            holds: false,
            deadline: Duration::from_secs(3600),
            key: None,
            performing: None,
            gather: None,
            record_keys: Vec::new(),
        }
    }
}

pub(super) fn result(state: EndState) -> NewResult {
    NewResult {
        state,
        summary: "done".to_owned(),
        record_id: Some("7".to_owned()),
        errors: "[\"e\"]".to_owned(),
        attempts: 1,
        records: None,
    }
}

pub(super) fn attempt(project: Uuid, operation: Uuid, attempt: Uuid, state: AttemptState) -> NewAttempt {
    NewAttempt {
        id: attempt,
        project_id: project,
        operation_id: operation,
        number: 1,
        state,
        start_time: amp_write::clock::Time::from_micros(1_700_000_000_123_456),
        status: Some(201),
        class: Some("success".to_owned()),
        message: None,
        latency_us: Some(1500),
        skipped: None,
        excerpt: Some("no".to_owned()),
        records: None,
    }
}

async fn an_accepted_operation_is_there_with_its_deadline_and_in_the_queue(kind: Kind) {
    let world = World::new(kind).await;
    let accept = world.accept();
    let times = world
        .store
        .accept_operations(std::slice::from_ref(&accept))
        .await
        .unwrap();
    let found = world
        .store
        .get_operation(world.project.id, accept.operation.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(times, [Accepted::At(found.accept_time)]);
    assert_eq!(
        found.deadline.unwrap().since(found.accept_time),
        Duration::from_secs(3600)
    );
    assert_eq!(
        (found.mode.as_str(), found.action.as_str(), found.state),
        ("asynchronous", "create", None)
    );
    assert_eq!(world.store.queue_depth().await.unwrap(), 1);
    assert!(
        world
            .store
            .get_operation(id(), accept.operation.id)
            .await
            .unwrap()
            .is_none(),
        "another project's"
    );
    let installation = world
        .store
        .get_installation(world.project.id, world.integration.id, world.installation.id)
        .await
        .unwrap();
    assert_eq!(
        installation.unwrap().last_operation_state,
        Some(SoFar::InProgress)
    );
}

async fn a_recorded_operation_is_there_with_its_result_and_attempt(kind: Kind) {
    let world = World::new(kind).await;
    let operation = world.operation();
    let (project, operation_id) = (operation.project_id, operation.id);
    let row = attempt(project, operation_id, id(), AttemptState::Answered);
    let record = RecordOperation {
        operation,
        result: result(EndState::Succeeded),
        attempts: vec![row.clone()],
    };
    world.store.record_operations(&[record]).await.unwrap();
    let found = world
        .store
        .get_operation(project, operation_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.mode.as_str(), found.state.map(EndState::as_str)),
        ("synchronous", Some("succeeded"))
    );
    assert_eq!(
        (found.record_id.as_deref(), found.errors.as_deref()),
        (Some("7"), Some("[\"e\"]"))
    );
    assert!(found.finish_time.unwrap() >= found.accept_time);
    let of_another = world.store.list_attempts(id(), operation_id).await.unwrap();
    assert!(of_another.is_empty(), "another project's attempts");
    let attempts = world.store.list_attempts(project, operation_id).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (attempts[0].start_time, attempts[0].status),
        (row.start_time, Some(201)),
        "to the microsecond"
    );
    assert_eq!(attempts[0].excerpt.as_deref(), Some("no"));
    assert_eq!(
        world.store.queue_depth().await.unwrap(),
        0,
        "a synchronous write never queues"
    );
}

async fn operations_are_listed_newest_first_page_by_page(kind: Kind) {
    let world = World::new(kind).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let accept = world.accept();
        ids.push(accept.operation.id);
        world.store.accept_operations(&[accept]).await.unwrap();
    }
    ids.sort_unstable();
    ids.reverse();
    let (project, installation) = (world.project.id, world.installation.id);
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let filter = OperationFilter {
            installations: Some(vec![installation]),
            before,
            limit: 2,
            ..OperationFilter::default()
        };
        let page = world.store.list_operations(project, &filter).await.unwrap();
        seen.extend(page.rows.into_iter().map(|row| row.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let nobodys = OperationFilter {
        installations: Some(vec![id()]),
        limit: 2,
        ..OperationFilter::default()
    };
    assert!(
        world
            .store
            .list_operations(project, &nobodys)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
}

async fn a_batch_with_one_bad_row_changes_nothing(kind: Kind) {
    let world = World::new(kind).await;
    let first = world.accept();
    world
        .store
        .accept_operations(std::slice::from_ref(&first))
        .await
        .unwrap();
    let good = world.accept();
    let refused = world.store.accept_operations(&[good.clone(), first]).await;
    assert!(refused.is_err(), "the second member's id is taken");
    assert!(
        world
            .store
            .get_operation(world.project.id, good.operation.id)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(world.store.queue_depth().await.unwrap(), 1);
}

async fn a_request_is_kept_letter_for_letter(kind: Kind) {
    let world = World::new(kind).await;
    let mut accept = world.accept();
    accept.operation.request =
        r#"{"record":{"z": 0.10, "a":12345678901234567890, "é":"😀 \u0000"}}"#.to_owned();
    let wanted = accept.operation.request.clone();
    world.store.accept_operations(&[accept]).await.unwrap();
    let worker = id();
    world
        .store
        .lease_shards(worker, Duration::from_secs(60), Duration::ZERO)
        .await
        .unwrap();
    let claimed = super::queue::claim_all(&world).await;
    assert_eq!(claimed[0].request, wanted);
}
