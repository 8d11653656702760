//! `POST /v1/projects/{project}/operations/{operation}:resolve`

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Operation, not_found, read, wrong_state};
use crate::api::extract::JsonBody;
use crate::api::problem::Problem;
use crate::api::v1::writes::answer;
use crate::app::App;
use crate::store::{EndState, NewResult};
use crate::writes::replay::Mapping;

/// The longest record id, in bytes.
const MAX_RECORD_ID: usize = 512;

/// What became of a write whose outcome was unknown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveRequest {
    /// `succeeded`: it was applied. `failed`: it was not. `retry`: it was not, and is sent again.
    outcome: Option<String>,
    /// The provider's id of the record: with `succeeded`, needed for a create.
    record_id: Option<String>,
}

/// Resolve an operation that needs review
///
/// Says what became of a write that was sent and got no answer, once somebody has looked at the provider. With `succeeded` and `failed` it holds its record no longer; with `retry` it does until the new operation has succeeded.
#[utoipa::path(post, path = "/v1/projects/{project}/operations/{operation}:resolve", tag = "Operation", operation_id = "resolveOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    request_body = ResolveRequest,
    responses((status = 200, description = "Resolved; with `retry`, `metadata.replayedAs` names the new operation.", body = Operation), (status = 400, description = "The outcome cannot be read."),
              (status = 404, description = "No such operation."), (status = 409, description = "It does not need review.")))]
#[expect(dead_code, reason = "the description of a verb that steer.rs serves")]
pub(crate) const fn resolve_operation() {}

pub(super) async fn resolve(
    app: &App,
    project_id: Uuid,
    operation_id: Uuid,
    by: &str,
    body: &[u8],
) -> Result<Json<Operation>, Problem> {
    let asked: ResolveRequest = JsonBody::from_bytes(body)?;
    let (operation, accepting) = app
        .writes
        .find_to_replay(project_id, operation_id)
        .await?
        .ok_or_else(not_found)?;
    let outcome = asked.outcome.as_deref();
    let needs_id = outcome == Some("succeeded") && operation.action == "create";
    let is_good = |id: &String| !id.is_empty() && id.len() <= MAX_RECORD_ID && !id.contains('\0');
    if asked.record_id.as_ref().map_or(needs_id, |id| !is_good(id)) {
        let detail = format!("must be the provider's id of the record, up to {MAX_RECORD_ID} bytes");
        return Err(Problem::invalid("recordId", detail));
    }
    let object = &operation.object;
    let (state, text) = match outcome {
        Some("succeeded") => (EndState::Succeeded, "resolved as succeeded"),
        Some("failed") => (EndState::Failed, "resolved as failed"),
        Some("retry") => (EndState::Failed, "resolved as not applied, and sent again"),
        _ => return Err(Problem::invalid("outcome", "must be succeeded, failed or retry")),
    };
    let succeeded = state == EndState::Succeeded;
    let errors = operation.errors.clone().unwrap_or_else(|| "[]".to_owned());
    let result = NewResult {
        state,
        summary: format!("[{object}] {text} by {by}"),
        record_id: asked.record_id.filter(|_| succeeded),
        errors: if succeeded { "[]".to_owned() } else { errors },
        attempts: operation.attempts.unwrap_or(0),
    };
    // First: of two who resolve it at once, one sends it again.
    // What is sent again takes its place, and holds its record until it has succeeded.
    let release = outcome != Some("retry");
    if !app
        .store
        .resolve(project_id, operation_id, &result, release)
        .await?
    {
        let state = operation.state.as_deref().unwrap_or("queued");
        return Err(wrong_state("the operation does not need review", state));
    }
    app.writes.finished.ended([operation_id]);
    if release && operation.holds_record {
        app.writes.bell.changed(operation.connection_id);
    }
    if outcome == Some("retry") {
        app.writes
            .replay(&operation, &accepting, Mapping::Original, None)
            .await
            .map_err(answer::of_error)?;
    }
    let resolved = read(app, project_id, operation_id).await?.ok_or_else(not_found)?;
    Ok(Json(resolved))
}
