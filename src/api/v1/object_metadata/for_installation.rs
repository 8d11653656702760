//! `GET /v1/projects/{project}/integrations/{integration}/objects/{object}/metadata`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::{ObjectMetadata, Options, answer, problem, wanted};
use crate::api::auth::OpenScope;
use crate::api::extract::{Params, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;

/// Get the fields of an object, by installation
///
/// Asks the customer's account (HubSpot and Salesforce). The answer is remembered for five minutes, and the header `Age` says how old it is; `Cache-Control: no-cache` asks again.
#[utoipa::path(get, path = "/v1/projects/{project}/integrations/{integration}/objects/{object}/metadata", tag = "Objects & Fields", operation_id = "getObjectMetadataForInstallation",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("object" = String, Path, description = "The app's name of the object, or the provider's."),
           ("groupRef" = String, Query, description = "The customer."),
           ("excludeReadOnly" = Option<bool>, Query, description = "Leave out what cannot be written.")),
    responses((status = 200, description = "The object and its fields.", body = ObjectMetadata), (status = 404, description = "No such installation, or no such object in the account.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn get_object_metadata_for_installation(
    State(app): State<AppState>,
    scope: OpenScope,
    headers: HeaderMap,
    segments: Segments<(String, String, String)>,
    Params(options): Params<Options>,
) -> Result<Response, Problem> {
    let Segments((_, integration, object)) = segments;
    let group_ref = options.group_ref()?;
    let route = app
        .control
        .route(scope.actor(), scope.project().id, &integration, group_ref)
        .await?;
    let (name, mapped) = route.names_of(&object);
    let described = app
        .writes
        .describe(&route.connector, &route.connection, name, wanted(&headers))
        .await
        .map_err(problem)?;
    Ok(answer(name, mapped.map(str::to_owned), &options, &described))
}
