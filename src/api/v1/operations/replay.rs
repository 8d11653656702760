//! `POST /v1/projects/{project}/operations/{operation}:replay`

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::extract::JsonBody;
use crate::api::problem::Problem;
use crate::api::v1::writes::create::idempotency_key;
use crate::app::App;
use crate::control::Actor;
use crate::control::operations::{self, Replay};
use crate::writes::idempotency::key_of;
use crate::writes::replay::Mapping;

/// How to replay.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayRequest {
    /// `current` (the default): the customer's mapping as it is now. `original`: as it was when the operation was accepted.
    mapping: Option<String>,
    /// Also when this may make a second record: a create that succeeded, or that may have.
    force: Option<bool>,
}

/// The operation that repeats another.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// The new operation.
    pub operation_id: String,
    /// The one that it repeats.
    pub replay_of: String,
}

/// Replay an operation
///
/// Accepts the stored request of an operation that has ended as a new, asynchronous operation; of a batch, the records that were not written. If it holds its record, the new one takes its place before the writes that are held. A header `Idempotency-Key` works as for a write.
#[utoipa::path(post, path = "/v1/projects/{project}/operations/{operation}:replay", tag = "Operation", operation_id = "replayOperation",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    request_body = ReplayRequest,
    responses((status = 200, description = "Accepted.", body = Replayed), (status = 400, description = "The request, or the stored one under the mapping asked for, cannot be used."),
              (status = 404, description = "No such operation."),
              (status = 409, description = "It has not ended, it needs `force`, or its request is no longer kept.")))]
#[expect(dead_code, reason = "the description of a verb that steer.rs serves")]
pub(crate) const fn replay_operation() {}

/// Reads a mapping.
pub(super) fn mapping_of(text: Option<&str>) -> Result<Mapping, Problem> {
    match text {
        None | Some("current") => Ok(Mapping::Current),
        Some("original") => Ok(Mapping::Original),
        Some(_) => Err(Problem::invalid("mapping", "must be current or original")),
    }
}

impl From<operations::Replayed> for Replayed {
    fn from(replayed: operations::Replayed) -> Self {
        Self {
            operation_id: replayed.operation_id.to_string(),
            replay_of: replayed.replay_of.to_string(),
        }
    }
}

pub(super) async fn replay(
    app: &App,
    actor: &Actor,
    project_id: Uuid,
    operation_id: Uuid,
    headers: &http::HeaderMap,
    body: &[u8],
) -> Result<Json<Replayed>, Problem> {
    let asked: ReplayRequest = if body.is_empty() {
        ReplayRequest::default()
    } else {
        JsonBody::from_bytes(body)?
    };
    let how = Replay {
        mapping: mapping_of(asked.mapping.as_deref())?,
        force: asked.force.unwrap_or(false),
    };
    let key = idempotency_key(headers)?
        .map(|key| key_of(key, project_id, ":replay", &operation_id.to_string(), body));
    let replayed = app
        .control
        .replay(actor, project_id, operation_id, how, key)
        .await?;
    Ok(Json(replayed.into()))
}
