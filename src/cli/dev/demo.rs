//! The demo project: made once, found again by every later start.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::write_private;
use crate::app::App;
use crate::control::connections::{Connecting, Given};
use crate::control::installations::Installing;
use crate::control::keys::NotHeld;
use crate::control::provider_apps::NewApp;
use crate::control::{Actor, Error, Kind};
use crate::manifest::{Integration, render_warnings};
use crate::outbound::Credentials;
use crate::store::{self, ConnectionFilter};
use crate::vault::Secret;

/// The project's name.
const PROJECT: &str = "demo";
/// The customer of the demo.
const GROUP: &str = "demo-customer";

/// What `demo.json` holds: the same facts that are printed, for scripts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Demo {
    /// Where the API is.
    pub url: String,
    /// The project's API key.
    pub api_key: String,
    /// The project's name.
    pub project: String,
    /// Where the simulated providers are.
    pub sandbox_url: String,
    /// What is installed.
    pub integrations: Vec<DemoIntegration>,
}

/// One integration of the demo.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DemoIntegration {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// The customer.
    pub group_ref: String,
    /// The installation.
    pub installation_id: String,
}

/// Makes what is not there yet, and writes `demo.json`.
pub(super) async fn prepare(
    app: &App,
    manifest: &str,
    folder: &Path,
    url: &str,
    sandbox_url: &str,
) -> Result<Demo, String> {
    let file = folder.join("demo.json");
    let failed = |error: crate::store::StoreError| format!("the demo could not be prepared: {error}");
    let known: Option<Demo> = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok());
    let projects = &app.control.projects;
    let refused = |error: Error| format!("the demo could not be prepared: {error}");
    let (project_id, api_key) = match app.store.find_project(PROJECT).await.map_err(failed)? {
        Some(found) => {
            let old = known.map(|demo| demo.api_key).unwrap_or_default();
            let key = match projects.holder(old.as_bytes()).await {
                Ok(_) => old,
                Err(NotHeld::Store(error)) => return Err(failed(error)),
                // The file is gone, or belongs to another database: the old key cannot be shown again.
                Err(_) => {
                    let label = "demo key".to_owned();
                    let made = projects.create_key(&Actor::Operator, found.id, label, None, None);
                    made.await.map_err(refused)?.0
                }
            };
            (found.id, key)
        }
        None => {
            let made = projects.create(&Actor::Operator, PROJECT, Some("Demo"));
            let (project, key) = made.await.map_err(refused)?;
            (project.id, key)
        }
    };
    for (provider, scopes) in APPS {
        register(app, project_id, provider, scopes)
            .await
            .map_err(refused)?;
    }
    let deployed = app
        .control
        .deploy(&Actor::Operator, project_id, manifest, false)
        .await
        .map_err(|error| format!("the manifest cannot be deployed: {error}"))?;
    let mut integrations = Vec::new();
    if !deployed.warnings.is_empty() {
        eprint!("{}", render_warnings(&deployed.warnings, "the manifest"));
    }
    for integration in deployed.integrations {
        let installation_id = match install(app, project_id, &integration).await {
            Ok(installation_id) => installation_id,
            // Only HubSpot and Salesforce are simulated: the demo's customer has no credentials for the others.
            Err(Error::Refused(why)) => {
                eprintln!(
                    "{} is not installed for the demo's customer: {why}",
                    integration.name
                );
                continue;
            }
            Err(error) => return Err(refused(error)),
        };
        integrations.push(DemoIntegration {
            id: integration.id.to_string(),
            name: integration.name,
            provider: integration.provider,
            group_ref: GROUP.to_owned(),
            installation_id: installation_id.to_string(),
        });
    }
    let demo = Demo {
        url: url.to_owned(),
        api_key,
        project: PROJECT.to_owned(),
        sandbox_url: sandbox_url.to_owned(),
        integrations,
    };
    let text = serde_json::to_string_pretty(&demo).map_err(|error| error.to_string())?;
    write_private(&file, &(text + "\n"))?;
    Ok(demo)
}

/// The apps that the sandbox knows from the start, and what they ask customers for.
const APPS: [(&str, &[&str]); 2] = [
    (
        "hubspot",
        &["oauth", "crm.objects.contacts.read", "crm.objects.contacts.write"],
    ),
    ("salesforce", &["api", "refresh_token"]),
];

/// Makes the sandbox's app known, unless the project has one of that provider.
async fn register(app: &App, project_id: Uuid, provider: &str, scopes: &[&str]) -> Result<(), Error> {
    let there = app.control.provider_apps(project_id).await?;
    if there.iter().any(|known| known.row.provider == provider) {
        return Ok(());
    }
    let new = NewApp {
        provider: provider.to_owned(),
        external_ref: None,
        client_id: format!("sandbox-{provider}"),
        client_secret: Secret::new("sandbox-secret".to_owned()),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        optional_scopes: Vec::new(),
        metadata: None,
    };
    app.control
        .create_provider_app(&Actor::Operator, project_id, new)
        .await?;
    Ok(())
}

/// Installs an integration for the demo's customer, unless it is there.
async fn install(app: &App, project_id: Uuid, integration: &store::Integration) -> Result<Uuid, Error> {
    let there = app
        .control
        .installations_of(project_id, Some(integration.id), GROUP)
        .await?;
    if let Some(there) = there.last() {
        return Ok(*there);
    }
    let filter = ConnectionFilter {
        provider: Some(integration.provider.clone()),
        group_ref: Some(GROUP.to_owned()),
        consumer_ref: None,
    };
    if app.store.list_connections(project_id, &filter).await?.is_empty() {
        let connecting = connecting(&integration.provider);
        app.control
            .connect(&Actor::Operator, project_id, connecting)
            .await?;
    }
    let installing = Installing {
        group_ref: GROUP.to_owned(),
        connection_id: None,
        content: config(integration)?,
        created_by: "api:dev".to_owned(),
    };
    let id = integration.id.to_string();
    let made = app.control.install(&Actor::Operator, project_id, &id, installing);
    Ok(made.await?.id)
}

/// The customer, with a token that the sandbox always accepts.
fn connecting(provider: &str) -> Connecting {
    Connecting {
        provider: provider.to_owned(),
        group_ref: GROUP.to_owned(),
        group_name: Some("Demo Customer".to_owned()),
        consumer_ref: "demo-user".to_owned(),
        consumer_name: Some("Demo User".to_owned()),
        provider_workspace_ref: Some("demo".to_owned()),
        provider_metadata: None,
        credentials: vec![Given {
            scheme: "oauth2/authorizationCode",
            credentials: Credentials::OAuth2 {
                access_token: Secret::new(format!("test-{GROUP}")),
                access_token_expires: None,
                refresh_token: None,
                scopes: Vec::new(),
            },
        }],
    }
}

/// A config that takes every write object, with deletes enabled, as a customer who agrees to everything would.
fn config(integration: &store::Integration) -> Result<Value, Error> {
    let content: Value = serde_json::from_str(&integration.content).unwrap_or_default();
    let parsed = Integration::from_content(&content)
        .map_err(|issues| Error::issues(Kind::Defect, "the stored manifest cannot be read", issues))?;
    let objects: serde_json::Map<String, Value> = parsed
        .write
        .iter()
        .flatten()
        .map(|object| {
            let config = json!({ "objectName": object.object_name, "deletionSettings": { "enabled": true } });
            (object.object_name.clone(), config)
        })
        .collect();
    Ok(json!({ "provider": integration.provider, "write": { "objects": objects } }))
}
