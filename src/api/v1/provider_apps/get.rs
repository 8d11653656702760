//! `GET /v1/projects/{project}/provider-apps/{app}`

use axum::Json;
use axum::extract::State;

use super::{ProviderApp, app_id};
use crate::api::auth::Scope;
use crate::api::extract::Segments;
use crate::api::problem::Problem;
use crate::app::AppState;

/// Get a provider app
///
/// Without its secret.
#[utoipa::path(get, path = "/v1/projects/{project}/provider-apps/{app}", tag = "Provider App", operation_id = "getProviderApp",
    params(("project" = String, Path, description = "The project's id or name."), ("app" = String, Path, description = "The app's id.")),
    responses((status = 200, description = "The app.", body = ProviderApp), (status = 404, description = "No such app.")))]
pub async fn get_provider_app(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<Json<ProviderApp>, Problem> {
    let Segments((_, segment)) = segments;
    let found = app
        .control
        .provider_app(scope.project().id, app_id(&segment)?)
        .await?;
    Ok(Json(ProviderApp::of(&app, found)))
}
