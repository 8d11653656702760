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
use crate::api::notes;
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock::Time;
use crate::control::{Actor, Error};
use crate::manifest::misplaced;
use crate::store::{self, ConnectionFilter, ConnectionStatus, StoredWord as _};

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
    actor: &Actor,
    project_id: Uuid,
    rows: Vec<store::Installation>,
) -> Result<Vec<Installation>, Problem> {
    let connections: HashMap<Uuid, store::Connection> = match rows.as_slice() {
        [] => HashMap::new(),
        [one] => match app.control.connection(actor, project_id, one.connection_id).await {
            Ok(found) => HashMap::from([(found.id, found)]),
            Err(Error::Refused(_)) => HashMap::new(),
            Err(error) => return Err(error.into()),
        },
        _ => {
            let all = app
                .control
                .connections(actor, project_id, ConnectionFilter::default())
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
    actor: &Actor,
    project_id: Uuid,
    row: store::Installation,
) -> Result<Installation, Problem> {
    with_connections(app, actor, project_id, vec![row])
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
