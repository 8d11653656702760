//! `DELETE /v1/projects/{project}/provider-apps/{app}`

use axum::extract::State;
use http::StatusCode;

use super::app_id;
use crate::api::auth::Scope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Delete a provider app
///
/// Refused while connections have their grants from it: they could not be refreshed any more.
#[utoipa::path(delete, path = "/v1/projects/{project}/provider-apps/{app}", tag = "Provider App", operation_id = "deleteProviderApp",
    params(("project" = String, Path, description = "The project's id or name."), ("app" = String, Path, description = "The app's id.")),
    responses((status = 204, description = "Gone."), (status = 404, description = "No such app."), (status = 409, description = "Connections need it.")))]
pub async fn delete_provider_app(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    let Segments((_, segment)) = segments;
    app.control
        .delete_provider_app(scope.actor(), scope.project().id, app_id(&segment)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
