//! `POST /v1/projects/{project}/integrations/{integration}/operations:replay`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::replay::{Replayed, mapping_of};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::Problem;
use crate::api::v1::writes::answer;
use crate::app::AppState;
use crate::clock::Time;
use crate::control::Error;
use crate::control::operations::{self, Filter, Replay};
use crate::store::EndState;

/// Which operations to replay, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayMany {
    /// `failed` (the default), `cancelled` or `needs_review`.
    state: Option<String>,
    /// The object's name in the manifest.
    object: Option<String>,
    /// The customer.
    group_ref: Option<String>,
    /// Accepted at this time or later.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Time>,
    /// Accepted before this time.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Time>,
    /// At most so many, 1 to 1000; 100 when absent. The newest come first.
    limit: Option<usize>,
    /// As for one operation.
    mapping: Option<String>,
    /// As for one operation.
    force: Option<bool>,
    /// Only count what would be replayed.
    dry_run: Option<bool>,
}

/// What was replayed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedMany {
    /// Operations that match and have not been replayed before, up to the limit.
    pub matched: usize,
    /// The new operations; none on a dry run.
    pub replayed: Vec<Replayed>,
    /// What was not replayed, and why.
    pub skipped: Vec<Skipped>,
    /// True when there are more than the limit: ask again.
    pub more: bool,
}

/// An operation that was not replayed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The operation.
    pub operation_id: String,
    /// Why.
    pub reason: String,
}

/// Replay operations by filter
///
/// Replays what has failed and has not been replayed yet, so that asking again goes on where the last request ended. Send `dryRun` first to see how many.
#[utoipa::path(post, path = "/v1/projects/{project}/integrations/{integration}/operations:replay", tag = "Operation", operation_id = "replayOperations",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name.")),
    request_body = ReplayMany,
    responses((status = 200, description = "What was replayed.", body = ReplayedMany), (status = 400, description = "The filter cannot be read; the answer says what it may be."),
              (status = 404, description = "No such integration.")))]
pub async fn replay_operations(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
    JsonBody(asked): JsonBody<ReplayMany>,
) -> Result<Json<ReplayedMany>, Problem> {
    let Segments((_, integration)) = segments;
    let state = match asked.state.as_deref() {
        None | Some("failed") => EndState::Failed,
        Some("cancelled") => EndState::Cancelled,
        Some("needs_review") => EndState::NeedsReview,
        Some(_) => {
            return Err(Problem::invalid(
                "state",
                "must be failed, cancelled or needs_review",
            ));
        }
    };
    let how = Replay {
        mapping: mapping_of(asked.mapping.as_deref())?,
        force: asked.force.unwrap_or(false),
    };
    let filter = Filter {
        state,
        object: asked.object,
        group_ref: asked.group_ref,
        since: asked.since,
        until: asked.until,
        limit: asked.limit,
        dry_run: asked.dry_run.unwrap_or(false),
    };
    let done = app
        .control
        .replay_many(scope.actor(), scope.project().id, &integration, filter, how)
        .await?;
    Ok(Json(ReplayedMany {
        matched: done.matched,
        replayed: done.replayed.into_iter().map(Replayed::from).collect(),
        skipped: done.skipped.into_iter().map(Skipped::from).collect(),
        more: done.more,
    }))
}

impl From<operations::Skipped> for Skipped {
    fn from(skipped: operations::Skipped) -> Self {
        Self {
            operation_id: skipped.operation_id.to_string(),
            reason: match skipped.why {
                Error::Write(error) => answer::of_error(*error).detail().to_owned(),
                why => why.to_string(),
            },
        }
    }
}
