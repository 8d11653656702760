//! `POST /v1/projects/{project}/operations/{operation}:resolve`

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Operation;
use crate::api::extract::JsonBody;
use crate::api::problem::Problem;
use crate::app::App;
use crate::control::Actor;
use crate::control::operations::{Resolution, ResolvedRecord};

/// What became of a write whose outcome was unknown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveRequest {
    /// `succeeded`: it was applied. `failed`: it was not. `retry`: it was not, and is sent again.
    outcome: Option<String>,
    /// The provider's id of the record: with `succeeded`, needed for a create.
    record_id: Option<String>,
    /// Of a batch with several records in need of review: each of them.
    records: Option<Vec<ResolveRecord>>,
}

/// What became of one record of a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveRecord {
    /// Its place in the batch, from 0.
    index: usize,
    /// As for a single write.
    outcome: Option<String>,
    /// As for a single write.
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

impl From<ResolveRequest> for Resolution {
    fn from(asked: ResolveRequest) -> Self {
        let record = |record: ResolveRecord| ResolvedRecord {
            index: record.index,
            outcome: record.outcome,
            record_id: record.record_id,
        };
        Self {
            outcome: asked.outcome,
            record_id: asked.record_id,
            records: asked
                .records
                .map(|records| records.into_iter().map(record).collect()),
        }
    }
}

pub(super) async fn resolve(
    app: &App,
    actor: &Actor,
    project_id: Uuid,
    operation_id: Uuid,
    body: &[u8],
) -> Result<Json<Operation>, Problem> {
    let asked: ResolveRequest = JsonBody::from_bytes(body)?;
    let seen = app
        .control
        .resolve(actor, project_id, operation_id, asked.into())
        .await?;
    Ok(Json(Operation::from(&seen)))
}
