//! `GET /v1/projects/{project}/provider-apps`

use axum::Json;
use axum::extract::State;

use super::ProviderApp;
use crate::api::auth::Scope;
use crate::api::problem::Problem;
use crate::app::AppState;

/// List provider apps
///
/// Oldest first. Customers are asked with the first one of their provider, unless another is named.
#[utoipa::path(get, path = "/v1/projects/{project}/provider-apps", tag = "Provider App", operation_id = "listProviderApps",
    params(("project" = String, Path, description = "The project's id or name.")),
    responses((status = 200, description = "The apps.", body = [ProviderApp])))]
pub async fn list_provider_apps(
    State(app): State<AppState>,
    scope: Scope,
) -> Result<Json<Vec<ProviderApp>>, Problem> {
    let apps = app.control.provider_apps(scope.project().id).await?;
    let apps = apps.into_iter().map(|known| ProviderApp::of(&app, known));
    Ok(Json(apps.collect()))
}
