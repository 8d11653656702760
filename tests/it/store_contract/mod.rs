//! What both stores must do alike. Each story runs on SQLite and on Postgres.

mod backlog;
mod batches;
mod catalogue;
mod changes;
mod checks;
mod gathered;
mod holds;
mod idempotency;
mod jwt_keys;
mod operations;
mod queue;
mod retention;
mod steering;
mod unreadable;

use amp_write::store::{
    ConnectionFilter, Installation, Integration, KeyScope, NewApiKey, NewConfig, NewConnection,
    NewInstallation, NewIntegration, NewProject, Project, SharedStore,
};
use amp_write::vault::sha256;
use uuid::Uuid;

use crate::harness::{Database, Kind};

/// A store with one project, one integration, one connection and one installation.
struct World {
    store: SharedStore,
    project: Project,
    integration: Integration,
    connection: Uuid,
    installation: Installation,
    database: Database,
}

fn id() -> Uuid {
    uuid::Uuid::new_v4()
}

/// A version 7 id of now: history is partitioned by it.
fn operation_id() -> Uuid {
    use amp_write::clock::{Clock as _, SystemClock};
    SystemClock.new_id()
}

fn new_project(name: &str) -> NewProject {
    NewProject {
        id: id(),
        name: name.to_owned(),
        app_name: "App".to_owned(),
        org_id: id(),
    }
}

fn new_key(key: &str) -> NewApiKey {
    NewApiKey {
        id: id(),
        key_hash: sha256(key.as_bytes()),
        masked: "amp_…".to_owned(),
        label: "key".to_owned(),
        scopes: KeyScope::Full.into(),
        expire_time: None,
    }
}

fn new_integration(name: &str, content: &str) -> NewIntegration {
    NewIntegration {
        id: id(),
        revision_id: id(),
        name: name.to_owned(),
        provider: "hubspot".to_owned(),
        spec_version: "1.0.0".to_owned(),
        content: content.to_owned(),
    }
}

fn new_connection(group: &str) -> NewConnection {
    NewConnection {
        id: id(),
        provider: "hubspot".to_owned(),
        group_ref: group.to_owned(),
        group_name: None,
        consumer_ref: "person".to_owned(),
        consumer_name: Some("Person".to_owned()),
        provider_workspace_ref: Some("ws".to_owned()),
        provider_metadata: None,
        auth_scheme: "apiKey".to_owned(),
        credentials: vec![1, 2, 3],
        grant: None,
    }
}

fn new_installation(integration: Uuid, connection: Uuid, group: &str) -> NewInstallation {
    NewInstallation {
        id: id(),
        integration_id: integration,
        connection_id: connection,
        group_ref: group.to_owned(),
        created_by: "api:test".to_owned(),
        config: NewConfig {
            id: id(),
            revision_id: id(),
            content: "{}".to_owned(),
            created_by: "api:test".to_owned(),
        },
    }
}

impl World {
    async fn new(kind: Kind) -> Self {
        let database = Database::create(kind).await;
        let store = database.store().await;
        let project = store
            .create_project(&new_project("demo"), &new_key("k"))
            .await
            .unwrap();
        let integration = store
            .deploy(project.id, &[new_integration("hs", "{\"a\":1}")], false)
            .await
            .unwrap()
            .pop()
            .unwrap();
        let connection = store
            .create_connection(project.id, &new_connection("g"))
            .await
            .unwrap()
            .id;
        let installation = store
            .create_installation(project.id, &new_installation(integration.id, connection, "g"))
            .await
            .unwrap();
        Self {
            store,
            project,
            integration,
            connection,
            installation,
            database,
        }
    }

    async fn connections(&self) -> usize {
        self.store
            .list_connections(self.project.id, &ConnectionFilter::default())
            .await
            .unwrap()
            .len()
    }
}
