//! `DELETE /v1/projects/{project}/integrations/{integration}/installations/{installation}`

use axum::extract::State;
use http::StatusCode;

use super::{find, not_found};
use crate::api::auth::Scope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::api::v1::integrations;
use crate::app::AppState;

/// Delete an installation
///
/// With its connection, when no other installation uses that. Writes that wait in the queue end as failures that say so.
#[utoipa::path(delete, path = "/v1/projects/{project}/integrations/{integration}/installations/{installation}", tag = "Installation", operation_id = "deleteInstallation",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("installation" = String, Path, description = "The installation's id.")),
    responses((status = 204, description = "Gone."), (status = 404, description = "No such installation.")))]
pub async fn delete_installation(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String, String)>,
) -> Result<StatusCode, Problem> {
    let Segments((_, integration, installation)) = segments;
    let project_id = scope.project().id;
    let integration = integrations::find(&app, project_id, &integration).await?;
    let row = find(&app, project_id, integration.id, &installation).await?;
    let gone = app
        .store
        .delete_installation(project_id, integration.id, row.id)
        .await?;
    app.changed();
    // What was held can end.
    app.writes.bell.changed(row.connection_id);
    if gone {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found())
    }
}
