//! `GET /v1/projects/{project}/operations`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::list::{OperationPage, page, read};
use crate::api::auth::Scope;
use crate::api::extract::Params;
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::clock::Time;
use crate::store::{EndState, OperationFilter, StateFilter};

/// Which operations, and which page of them. What is not known is refused: a filter with a slip of the pen must not list
/// everything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    status: Option<String>,
    state: Option<String>,
    object: Option<String>,
    group_ref: Option<String>,
    integration: Option<String>,
    client_ref: Option<String>,
    holds_record: Option<String>,
    since: Option<String>,
    until: Option<String>,
    page_size: Option<String>,
    page_token: Option<String>,
}

/// Where an operation may stand that has not ended, but `queued`: that means anything of the kind.
const STANDINGS: [&str; 4] = ["accumulating", "held", "running", "waiting"];

/// What a filter of states may say, and what it means.
pub(super) fn state_filter(
    status: Option<&str>,
    state: Option<&str>,
) -> Result<Option<StateFilter>, (&'static str, String)> {
    let by_status = match status {
        None => None,
        Some("success") => Some(StateFilter::Succeeded),
        Some("in_progress") => Some(StateFilter::InProgress),
        Some("failure") => Some(StateFilter::Ended(vec![
            EndState::Failed,
            EndState::Cancelled,
            EndState::NeedsReview,
        ])),
        Some(_) => return Err(("status", "must be success, failure or in_progress".to_owned())),
    };
    let by_state = match state {
        None => None,
        Some("succeeded") => Some(StateFilter::Succeeded),
        Some("queued") => Some(StateFilter::InProgress),
        Some("failed") => Some(StateFilter::Ended(vec![EndState::Failed])),
        Some("cancelled") => Some(StateFilter::Ended(vec![EndState::Cancelled])),
        Some("needs_review") => Some(StateFilter::Ended(vec![EndState::NeedsReview])),
        Some(_) => {
            let allowed =
                "must be queued (anything that has not ended), succeeded, failed, cancelled or needs_review";
            return Err(("state", allowed.to_owned()));
        }
    };
    match (by_status, by_state) {
        (Some(_), Some(_)) => Err(("state", "stands beside status: send one of the two".to_owned())),
        (by_status, by_state) => Ok(by_status.or(by_state)),
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Time>, Problem> {
    text.map(|text| {
        text.parse::<jiff::Timestamp>().map(Time::from).map_err(|_| {
            Problem::query(
                name,
                "must be a time in RFC 3339, like 2026-01-31T12:00:00Z (a + is written %2B)",
            )
        })
    })
    .transpose()
}

/// List operations of a project
///
/// Newest first; the pages stay stable while new operations arrive. A page may hold fewer than asked for and still have a next one: go on until `done`.
#[utoipa::path(get, path = "/v1/projects/{project}/operations", tag = "Operation", operation_id = "listProjectOperations",
    params(("project" = String, Path, description = "The project's id or name."),
           ("status" = Option<String>, Query, description = "`success`, `failure` or `in_progress`."),
           ("state" = Option<String>, Query, description = "In place of status: `queued` (anything that has not ended), `accumulating`, `held`, `running`, `waiting` (of that, what stands so now), `succeeded`, `failed`, `cancelled` or `needs_review`."),
           ("object" = Option<String>, Query, description = "The object's name in the manifest."),
           ("groupRef" = Option<String>, Query, description = "The customer; of installations that still exist."),
           ("integration" = Option<String>, Query, description = "The integration's id or name."),
           ("clientRef" = Option<String>, Query, description = "The app's own name for the record."),
           ("holdsRecord" = Option<bool>, Query, description = "`true`: only what failed and holds the later writes to its record."),
           ("since" = Option<String>, Query, description = "Accepted at this time or later, RFC 3339."),
           ("until" = Option<String>, Query, description = "Accepted before this time, RFC 3339."),
           ("pageSize" = Option<i64>, Query, description = "1 to 1000, 200 when absent."),
           ("pageToken" = Option<String>, Query, description = "`nextPageToken` of the page before.")),
    responses((status = 200, description = "A page of operations.", body = OperationPage), (status = 400, description = "A filter cannot be read; the answer says what it may be.")))]
pub async fn list_project_operations(
    State(app): State<AppState>,
    scope: Scope,
    Params(asked): Params<Filter>,
) -> Result<Json<OperationPage>, Problem> {
    let project_id = scope.project().id;
    // Where an operation stands that has not ended is seen one by one.
    let standing = asked.state.as_deref().filter(|state| STANDINGS.contains(state));
    let state = standing.map_or(asked.state.as_deref(), |_| Some("queued"));
    let state = state_filter(asked.status.as_deref(), state).map_err(|(name, detail)| {
        let more = if detail.starts_with("must be queued") {
            format!("{detail}; of what has not ended also {}", STANDINGS.join(", "))
        } else {
            detail
        };
        Problem::query(name, more)
    })?;
    let holds_record = match asked.holds_record.as_deref() {
        None => false,
        Some("true") => true,
        Some(_) => return Err(Problem::query("holdsRecord", "must be true, or absent")),
    };
    let filter = OperationFilter {
        holds_record,
        object: asked.object,
        client_ref: asked.client_ref,
        state,
        since: time("since", asked.since.as_deref())?,
        until: time("until", asked.until.as_deref())?,
        ..OperationFilter::default()
    };
    let mut filter = page(asked.page_size.as_deref(), asked.page_token.as_deref(), filter)?;
    if let Some(integration) = asked.integration.as_deref() {
        filter.integration = Some(app.control.integration(project_id, integration).await?.id);
    }
    if let Some(group_ref) = asked.group_ref.as_deref() {
        let found = app
            .control
            .installations_of(project_id, filter.integration, group_ref);
        filter.installations = Some(found.await?);
    }
    read(&app, project_id, &filter, standing).await
}
