//! `DELETE /v1/projects/{project}/connections/{connection}`

use axum::extract::State;
use http::StatusCode;

use crate::api::auth::OpenScope;
use crate::api::extract::{Segments, id};
use crate::api::problem::Problem;
use crate::app::AppState;

/// Delete a connection
///
/// Refused while an installation uses it.
#[utoipa::path(delete, path = "/v1/projects/{project}/connections/{connection}", tag = "Connection", operation_id = "deleteConnection",
    params(("project" = String, Path, description = "The project's id or name."), ("connection" = String, Path, description = "The connection's id.")),
    responses((status = 204, description = "Gone."), (status = 404, description = "No such connection."), (status = 409, description = "An installation uses it.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn delete_connection(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    let Segments((_, connection)) = segments;
    let connection = id(&connection, "Connection not found for the given connection ID.")?;
    app.control
        .delete_connection(scope.actor(), scope.project().id, connection)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
