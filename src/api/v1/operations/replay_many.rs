//! `POST /v1/projects/{project}/integrations/{integration}/operations:replay`

use axum::Json;
use axum::extract::State;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::list_for_project::installations_of;
use super::replay::{Replayed, mapping_of, needs_force};
use crate::api::auth::Scope;
use crate::api::extract::{JsonBody, Segments};
use crate::api::problem::Problem;
use crate::api::v1::integrations;
use crate::api::v1::writes::answer;
use crate::app::{App, AppState};
use crate::clock::Time;
use crate::store::{EndState, Operation, OperationFilter, StateFilter};
use crate::writes::replay::{Mapping, not_written};

/// Operations of one request when nothing is asked.
const DEFAULT_LIMIT: usize = 100;
/// Operations of one request at most.
const MAX_LIMIT: usize = 1_000;
/// So many are accepted at a time: they share commits.
const AT_ONCE: usize = 50;

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
    scope.require_full()?;
    let project_id = scope.project().id;
    let states = match asked.state.as_deref() {
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
    let limit = asked.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid(
            "limit",
            format!("must be from 1 to {MAX_LIMIT}"),
        ));
    }
    let mapping = mapping_of(asked.mapping.as_deref())?;
    let integration = integrations::find(&app, project_id, &integration).await?;
    let installations = match asked.group_ref.as_deref() {
        Some(group_ref) => Some(installations_of(&app, project_id, Some(integration.id), group_ref).await?),
        None => None,
    };
    let filter = OperationFilter {
        installations,
        integration: Some(integration.id),
        object: asked.object,
        state: Some(StateFilter::Ended(vec![states])),
        since: asked.since,
        until: asked.until,
        not_replayed: true,
        limit,
        ..OperationFilter::default()
    };
    let page = app.store.list_operations(project_id, &filter).await?;
    let mut answer = ReplayedMany {
        matched: page.rows.len(),
        replayed: Vec::new(),
        skipped: Vec::new(),
        more: page.next.is_some(),
    };
    if asked.dry_run.unwrap_or(false) {
        return Ok(Json(answer));
    }
    let force = asked.force.unwrap_or(false);
    let mut done = futures_util::stream::iter(page.rows)
        .map(|operation| one(&app, operation, mapping, force))
        .buffered(AT_ONCE);
    while let Some(result) = done.next().await {
        match result {
            Ok(replayed) => answer.replayed.push(replayed),
            Err(skipped) => answer.skipped.push(skipped),
        }
    }
    Ok(Json(answer))
}

async fn one(app: &App, operation: Operation, mapping: Mapping, force: bool) -> Result<Replayed, Skipped> {
    let id = operation.id;
    let skipped = |reason: String| Skipped {
        operation_id: id.to_string(),
        reason,
    };
    if let Some(reason) = needs_force(&operation).filter(|_| !force) {
        return Err(skipped(format!("{reason}; send force if that is what you want")));
    }
    let found = app.writes.find_to_replay(operation.project_id, id).await;
    let (operation, accepting) = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Err(skipped("it is no longer kept".to_owned())),
        Err(error) => return Err(skipped(error.to_string())),
    };
    let records = not_written(&operation, &accepting, true);
    match app
        .writes
        .replay(&operation, &accepting, mapping, &records, None)
        .await
    {
        Ok(written) => Ok(Replayed {
            operation_id: written.operation_id.to_string(),
            replay_of: id.to_string(),
        }),
        Err(error) => Err(skipped(answer::of_error(error).detail().to_owned())),
    }
}
