//! `GET /v1/projects/{project}/providers/{provider}/objects/{object}/metadata`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::{ObjectMetadata, Options, answer, problem, wanted};
use crate::api::auth::OpenScope;
use crate::api::extract::{Params, Segments};
use crate::api::problem::Problem;
use crate::api::v1::writes::answer::of_error;
use crate::app::AppState;
use crate::writes::WriteError;

/// Get the fields of an object, by connection
///
/// As by installation, for a group that has a connection but no installation yet.
#[utoipa::path(get, path = "/v1/projects/{project}/providers/{provider}/objects/{object}/metadata", tag = "Objects & Fields", operation_id = "getObjectMetadataForConnection",
    params(("project" = String, Path, description = "The project's id or name."), ("provider" = String, Path, description = "The provider's name."),
           ("object" = String, Path, description = "The provider's name of the object."),
           ("groupRef" = String, Query, description = "The customer."),
           ("excludeReadOnly" = Option<bool>, Query, description = "Leave out what cannot be written.")),
    responses((status = 200, description = "The object and its fields.", body = ObjectMetadata), (status = 404, description = "No such connection, or no such object in the account.")),
    security(("apiKey" = []), ("jwt" = [])))]
pub async fn get_object_metadata_for_connection(
    State(app): State<AppState>,
    scope: OpenScope,
    headers: HeaderMap,
    segments: Segments<(String, String, String)>,
    Params(options): Params<Options>,
) -> Result<Response, Problem> {
    let Segments((_, provider, object)) = segments;
    let project_id = scope.project().id;
    let group_ref = options.group_ref()?;
    // The newest counts, as for installations.
    let row = app
        .control
        .newest_connection(scope.actor(), project_id, &provider, group_ref)
        .await?;
    let row = row.ok_or_else(|| {
        Problem::not_found(format!("group `{group_ref}` has no connection to `{provider}`"))
            .remedy("Check groupRef and provider, or make a connection for the group (connections:generate).")
    })?;
    let (connector, connection) = app
        .writes
        .routes
        .connection(project_id, &row, None)
        .map_err(|error| of_error(WriteError::Route(error)))?;
    let described = app
        .writes
        .describe(&connector, &connection, &object, wanted(&headers))
        .await
        .map_err(problem)?;
    Ok(answer(&object, None, &options, &described))
}
