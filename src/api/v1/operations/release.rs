//! `POST /v1/projects/{project}/operations/{operation}:release`

use axum::Json;
use uuid::Uuid;

use super::Operation;
use crate::api::problem::Problem;
use crate::app::App;
use crate::control::Actor;

/// Release a record
///
/// Lets the later writes to a record run although an earlier one, with `onFailure: hold`, has failed. Takes the operation that failed, or one that is held; all holds of the record end.
#[utoipa::path(post, path = "/v1/projects/{project}/operations/{operation}:release", tag = "Operation", operation_id = "releaseOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    responses((status = 200, description = "The operation; nothing is held on its record any more.", body = Operation), (status = 404, description = "No such operation."),
              (status = 409, description = "It neither holds its record nor is held.")))]
#[expect(dead_code, reason = "the description of a verb that steer.rs serves")]
pub(crate) const fn release_operation() {}

pub(super) async fn release(
    app: &App,
    actor: &Actor,
    project_id: Uuid,
    operation_id: Uuid,
) -> Result<Json<Operation>, Problem> {
    let seen = app.control.release(actor, project_id, operation_id).await?;
    Ok(Json(Operation::from(&seen)))
}
