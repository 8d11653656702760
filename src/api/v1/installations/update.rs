//! `PATCH /v1/projects/{project}/integrations/{integration}/installations/{installation}`

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Installation, answer, check_config, check_limits, find, find_connection, not_found, with_connection,
};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::{Code, Problem};
use crate::api::v1::connections::check_ref;
use crate::api::v1::integrations;
use crate::app::{App, AppState};
use crate::manifest::mask;
use crate::store::{self, InstallationChange, NewConfig};

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateInstallationRequest {
    /// Paths of what changes: `connectionId`, `config.createdBy`, `config.content.write.objects`,
    /// `config.content.write.objects.<name>`, `config.content.write.limits`, `config.content.read.objects.<name>`, and so on.
    /// Empty changes nothing.
    pub update_mask: Vec<String>,
    /// The new values of what the mask names; the rest of it is ignored.
    #[schema(value_type = Object)]
    pub installation: Value,
}

/// Update an installation
///
/// Replaces what the mask names; writes that were accepted before keep the config they were accepted with.
#[utoipa::path(patch, path = "/v1/projects/{project}/integrations/{integration}/installations/{installation}", tag = "Installation", operation_id = "updateInstallation",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("installation" = String, Path, description = "The installation's id.")),
    request_body = UpdateInstallationRequest,
    responses((status = 200, description = "The installation.", body = Installation),
              (status = 400, description = "The mask names something unknown, a masked value is missing, or the config does not fit.")))]
pub async fn update_installation(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String, String)>,
    JsonBody(request): JsonBody<UpdateInstallationRequest>,
) -> Result<(HeaderMap, Json<Installation>), Problem> {
    let Segments((_, integration, installation)) = segments;
    let project_id = scope.project().id;
    let integration = integrations::find(&app, project_id, &integration).await?;
    let row = find(&app, project_id, integration.id, &installation).await?;
    if request.update_mask.is_empty() {
        return Ok(answer(with_connection(&app, project_id, row).await?));
    }
    let current = state_of(&row);
    let changed = mask::apply(&current, &request.update_mask, &request.installation).map_err(|issues| {
        Problem::issues(Code::InvalidRequest, "the update mask cannot be applied", issues)
    })?;
    check_limits(
        &scope,
        &current["config"]["content"],
        &changed["config"]["content"],
    )?;
    let updated = store_change(&app, project_id, &integration, &row, &changed).await?;
    Ok(answer(with_connection(&app, project_id, updated).await?))
}

/// The part of an installation that can be changed.
pub(super) fn state_of(row: &store::Installation) -> Value {
    json!({
        "connectionId": row.connection_id.to_string(),
        "config": {
            "createdBy": row.config_created_by,
            "content": serde_json::from_str::<Value>(&row.config_content).unwrap_or_default(),
        }
    })
}

/// Checks the new state and writes it as a new config.
pub(super) async fn store_change(
    app: &App,
    project_id: Uuid,
    integration: &store::Integration,
    row: &store::Installation,
    changed: &Value,
) -> Result<store::Installation, Problem> {
    let content = &changed["config"]["content"];
    check_config(app, integration, content)?;
    let created_by = changed["config"]["createdBy"]
        .as_str()
        .unwrap_or(&row.config_created_by);
    check_ref(created_by, "installation.config.createdBy")?;
    let asked = changed["connectionId"].as_str();
    let connection = find_connection(
        app,
        project_id,
        integration,
        &row.group_ref,
        asked,
        "installation.connectionId",
    )
    .await?;
    let change = InstallationChange {
        expected_config_id: row.config_id,
        connection_id: connection.id,
        config: NewConfig {
            id: app.clock.new_id(),
            revision_id: integration.revision_id,
            content: content.to_string(),
            created_by: created_by.to_owned(),
        },
    };
    let updated = app.store.update_installation(project_id, row.id, &change).await?;
    app.changed();
    match updated {
        Some(updated) => Ok(updated),
        None if app
            .store
            .get_installation(project_id, integration.id, row.id)
            .await?
            .is_none() =>
        {
            Err(not_found())
        }
        None => Err(Problem::new(
            Code::Conflict,
            "the config was changed by another request at the same time",
        )
        .retryable(true)
        .remedy("Read the installation again and repeat the change.")),
    }
}
