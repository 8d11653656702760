//! `GET /v1/projects/{project}/connections`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::Connection;
use crate::api::auth::OpenScope;
use crate::api::extract::Params;
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::store::ConnectionFilter;

/// Which connections to list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    provider: Option<String>,
    group_ref: Option<String>,
    consumer_ref: Option<String>,
}

/// List connections
///
/// Oldest first.
#[utoipa::path(get, path = "/v1/projects/{project}/connections", tag = "Connection", operation_id = "listConnections",
    params(("project" = String, Path, description = "The project's id or name."),
           ("provider" = Option<String>, Query, description = "Only of this provider."),
           ("groupRef" = Option<String>, Query, description = "Only of this customer."),
           ("consumerRef" = Option<String>, Query, description = "Only of this person.")),
    responses((status = 200, description = "The connections.", body = Vec<Connection>)),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn list_connections(
    State(app): State<AppState>,
    scope: OpenScope,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<Connection>>, Problem> {
    let filter = ConnectionFilter {
        provider: filter.provider,
        group_ref: filter.group_ref,
        consumer_ref: filter.consumer_ref,
    };
    let found = app
        .control
        .connections(scope.actor(), scope.project().id, filter)
        .await?;
    Ok(Json(found.iter().map(Connection::from).collect()))
}
