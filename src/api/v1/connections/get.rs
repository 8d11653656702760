//! `GET /v1/projects/{project}/connections/{connection}`

use axum::Json;
use axum::extract::State;

use super::Connection;
use crate::api::auth::OpenScope;
use crate::api::extract::{Segments, id};
use crate::api::problem::Problem;
use crate::app::AppState;

/// Get a connection
///
/// Without its secrets.
#[utoipa::path(get, path = "/v1/projects/{project}/connections/{connection}", tag = "Connection", operation_id = "getConnection",
    params(("project" = String, Path, description = "The project's id or name."), ("connection" = String, Path, description = "The connection's id.")),
    responses((status = 200, description = "The connection.", body = Connection), (status = 404, description = "No such connection.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn get_connection(
    State(app): State<AppState>,
    scope: OpenScope,
    segments: Segments<(String, String)>,
) -> Result<Json<Connection>, Problem> {
    let Segments((_, connection)) = segments;
    let connection = id(&connection, "Connection not found for the given connection ID.")?;
    let found = app
        .control
        .connection(scope.actor(), scope.project().id, connection)
        .await?;
    Ok(Json(Connection::from(&found)))
}
