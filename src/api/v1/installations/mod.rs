//! Installations: an integration, installed by a customer, with a connection and a config.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod list_for_project;
pub mod patch_object;
pub mod update;

use std::collections::HashMap;

use axum::Json;
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::connections::{Connection, Group};
use crate::api::auth::Scope;
use crate::api::extract::id;
use crate::api::notes;
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::clock::Time;
use crate::manifest::{
    ConfigContent, ConfigLimits, Integration, Issue, Providers as _, check_for, misplaced,
};
use crate::store::{self, ConnectionFilter, ConnectionStatus, StoredWord};

/// An installation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// Its id.
    pub id: String,
    /// The project.
    pub project_id: String,
    /// The integration.
    pub integration_id: String,
    /// The customer; always there, with a name.
    pub group: Group,
    /// `healthy`, or `unhealthy` when the provider refuses the credentials.
    pub health_status: &'static str,
    /// `success`, `failure` or `in_progress`: how the latest operation went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_operation_status: Option<&'static str>,
    /// The credential it writes with.
    pub connection: Connection,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// `consumer:…`, `builder:…` or `api:…`.
    pub created_by: String,
    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub update_time: Option<Time>,
    /// The config in force.
    pub config: Config,
}

/// A config: what this customer chose.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Its id; every change makes a new one.
    pub id: String,
    /// The revision that was the latest when it was written.
    pub revision_id: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub create_time: Time,
    /// Who wrote it.
    pub created_by: String,
    /// The config itself.
    #[schema(value_type = Object)]
    pub content: Value,
}

impl Installation {
    fn new(row: store::Installation, connection: &store::Connection) -> Self {
        Self {
            id: row.id.to_string(),
            project_id: row.project_id.to_string(),
            integration_id: row.integration_id.to_string(),
            group: Group::of(connection),
            health_status: if connection.status == ConnectionStatus::BadCredentials {
                "unhealthy"
            } else {
                "healthy"
            },
            last_operation_status: row
                .last_operation_state
                .map(|state| super::operations::wire_status(state.word())),
            connection: Connection::from(connection),
            create_time: row.create_time,
            created_by: row.created_by,
            update_time: row.update_time,
            config: Config {
                id: row.config_id.to_string(),
                revision_id: row.revision_id.to_string(),
                create_time: row.config_create_time,
                created_by: row.config_created_by,
                content: whole(serde_json::from_str(&row.config_content).unwrap_or_default()),
            },
        }
    }
}

/// A config with what the contract insists on for each read object: configs may leave it out.
fn whole(mut content: Value) -> Value {
    let objects = content
        .pointer_mut("/read/objects")
        .and_then(Value::as_object_mut);
    for (name, object) in objects.into_iter().flatten() {
        let Some(object) = object.as_object_mut() else {
            continue;
        };
        for (key, absent) in [
            ("objectName", Value::from(name.as_str())),
            ("selectedFields", json!({})),
            ("selectedFieldMappings", json!({})),
        ] {
            let value = object.entry(key).or_insert(Value::Null);
            if value.is_null() {
                *value = absent;
            }
        }
    }
    content
}

/// Adds each installation's connection.
async fn with_connections(
    app: &App,
    project_id: Uuid,
    rows: Vec<store::Installation>,
) -> Result<Vec<Installation>, Problem> {
    let connections: HashMap<Uuid, store::Connection> = match rows.as_slice() {
        [] => HashMap::new(),
        [one] => app
            .store
            .get_connection(project_id, one.connection_id)
            .await?
            .into_iter()
            .map(|found| (found.id, found))
            .collect(),
        _ => {
            let all = app
                .store
                .list_connections(project_id, &ConnectionFilter::default())
                .await?;
            all.into_iter().map(|found| (found.id, found)).collect()
        }
    };
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            // Missing only when it was deleted between the two reads.
            let connection = connections.get(&row.connection_id)?;
            Some(Installation::new(row, connection))
        })
        .collect())
}

async fn with_connection(
    app: &App,
    project_id: Uuid,
    row: store::Installation,
) -> Result<Installation, Problem> {
    with_connections(app, project_id, vec![row])
        .await?
        .pop()
        .ok_or_else(not_found)
}

/// An installation as the answer, and in `Amp-Warnings` what of its config does nothing where it stands.
fn answer(installation: Installation) -> (HeaderMap, Json<Installation>) {
    let notes = misplaced(&installation.config.content);
    let notes = notes
        .iter()
        .map(|path| format!("no_effect: {path} acts under read only"));
    (notes::warnings(notes), Json(installation))
}

fn not_found() -> Problem {
    Problem::not_found("Installation not found for the given installation ID.")
}

/// Finds an installation of an integration.
async fn find(
    app: &App,
    project_id: Uuid,
    integration_id: Uuid,
    text: &str,
) -> Result<store::Installation, Problem> {
    let installation = id(text, "Installation not found for the given installation ID.")?;
    app.store
        .get_installation(project_id, integration_id, installation)
        .await?
        .ok_or_else(not_found)
}

/// Checks a config against the integration.
fn check_config(app: &App, integration: &store::Integration, content: &Value) -> Result<(), Problem> {
    let broken = |issues: Vec<Issue>| {
        Problem::issues(
            Code::InvalidRequest,
            "the config does not fit the integration",
            issues,
        )
        .remedy("Mend what `issues` lists; nothing was changed.")
    };
    let revision: Value = serde_json::from_str(&integration.content).unwrap_or_default();
    let parsed = Integration::from_content(&revision).map_err(broken)?;
    let config = ConfigContent::parse(content).map_err(broken)?;
    let rules = app
        .catalog
        .record_rules(&parsed.provider, parsed.module.as_deref());
    let mut issues = check_for(&rules, &config, &parsed);
    issues.extend(ConfigLimits::parse(content).err().unwrap_or_default());
    if issues.is_empty() {
        Ok(())
    } else {
        Err(broken(issues))
    }
}

/// A customer's browser does not decide how fast its writes go: other limits than before need a full key.
fn check_limits(scope: &Scope, before: &Value, after: &Value) -> Result<(), Problem> {
    // What cannot be read is told as such.
    let limits = |content| ConfigLimits::parse(content).unwrap_or_default();
    if limits(before) == limits(after) {
        return Ok(());
    }
    scope.require_full()
}

/// Finds the connection that a request names, or the group's default one for the provider: the newest.
async fn find_connection(
    app: &App,
    project_id: Uuid,
    integration: &store::Integration,
    group_ref: &str,
    connection_id: Option<&str>,
    field: &str,
) -> Result<store::Connection, Problem> {
    let Some(text) = connection_id else {
        let filter = ConnectionFilter {
            provider: Some(integration.provider.clone()),
            group_ref: Some(group_ref.to_owned()),
            consumer_ref: None,
        };
        return app
            .store
            .list_connections(project_id, &filter)
            .await?
            .pop()
            .ok_or_else(|| {
                Problem::invalid(
                    field,
                    format!(
                        "is absent and group `{group_ref}` has no connection to {}",
                        integration.provider
                    ),
                )
                .remedy("Make a connection for this group first (connections:generate).")
            });
    };
    let found = match Uuid::try_parse(text) {
        Ok(id) => app.store.get_connection(project_id, id).await?,
        Err(_) => None,
    };
    let found = found.ok_or_else(|| Problem::invalid(field, "names no connection of this project"))?;
    if found.provider != integration.provider {
        let detail = format!(
            "is a connection to {}, but the integration is for {}",
            found.provider, integration.provider
        );
        return Err(Problem::invalid(field, detail));
    }
    if found.group_ref != group_ref {
        return Err(Problem::invalid(field, "belongs to another group"));
    }
    Ok(found)
}
