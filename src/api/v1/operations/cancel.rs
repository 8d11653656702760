//! `POST /v1/projects/{project}/operations/{operation}:cancel`

use axum::Json;
use uuid::Uuid;

use super::Operation;
use crate::api::problem::Problem;
use crate::app::App;
use crate::control::Actor;

/// Cancel an operation
///
/// Ends an asynchronous write that has not been sent. One that may have been sent is refused: the answer says in which state it is.
#[utoipa::path(post, path = "/v1/projects/{project}/operations/{operation}:cancel", tag = "Operation", operation_id = "cancelOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    responses((status = 200, description = "It will not be sent.", body = Operation), (status = 404, description = "No such operation."),
              (status = 409, description = "It has ended, is being performed, or may have been applied; `context.state` says which."),
              (status = 503, description = "No worker answers; nothing was changed.")))]
#[expect(dead_code, reason = "the description of a verb that steer.rs serves")]
pub(crate) const fn cancel_operation() {}

pub(super) async fn cancel(
    app: &App,
    actor: &Actor,
    project_id: Uuid,
    operation_id: Uuid,
) -> Result<Json<Operation>, Problem> {
    let seen = app.control.cancel(actor, project_id, operation_id).await?;
    Ok(Json(Operation::from(&seen)))
}
