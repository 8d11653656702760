//! `GET /v1/projects/{project}/integrations/{integration}/installations/{installation}/operations`

use axum::Json;
use axum::extract::State;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Operation;
use crate::api::auth::Scope;
use crate::api::extract::{Params, Segments};
use crate::api::problem::Problem;
use crate::app::{App, AppState};
use crate::store::OperationFilter;

/// Operations on a page when nothing is asked.
const DEFAULT_PAGE: usize = 200;
/// Operations on a page at most.
const MAX_PAGE: usize = 1_000;

/// So many operations that have not ended are looked at at the same time.
const AT_ONCE: usize = 8;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    page_size: Option<String>,
    page_token: Option<String>,
}

/// A page of operations.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationPage {
    /// Newest first.
    pub results: Vec<Operation>,
    /// How to go on.
    pub pagination: Pagination,
}

/// How to go on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// True on the last page.
    pub done: bool,
    /// The `pageToken` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// Puts the page into a filter.
pub(super) fn page(
    size: Option<&str>,
    token: Option<&str>,
    filter: OperationFilter,
) -> Result<OperationFilter, Problem> {
    let limit = match size.map(str::parse::<usize>) {
        None => DEFAULT_PAGE,
        Some(Ok(size)) if (1..=MAX_PAGE).contains(&size) => size,
        Some(_) => {
            return Err(Problem::query(
                "pageSize",
                format!("must be from 1 to {MAX_PAGE}"),
            ));
        }
    };
    let before = match token.filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(
            Uuid::try_parse(token)
                .map_err(|_| Problem::query("pageToken", "is not one that this server gave out"))?,
        ),
    };
    Ok(OperationFilter {
        limit,
        before,
        ..filter
    })
}

/// Reads a page. Of what has not ended only what stands in `state`, when one is given.
pub(super) async fn read(
    app: &App,
    project_id: Uuid,
    filter: &OperationFilter,
    state: Option<&str>,
) -> Result<Json<OperationPage>, Problem> {
    let page = app.store.list_operations(project_id, filter).await?;
    let rows = page.rows.into_iter().map(|row| super::listed(app, row));
    let mut results: Vec<Operation> = futures_util::stream::iter(rows)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    results.retain(|operation| state.is_none_or(|state| operation.metadata.state == state));
    Ok(Json(OperationPage {
        results,
        pagination: Pagination {
            done: page.next.is_none(),
            next_page_token: page.next.map(|id| id.to_string()),
        },
    }))
}

/// List operations of an installation
///
/// Newest first. The pages stay stable while new operations arrive.
#[utoipa::path(get, path = "/v1/projects/{project}/integrations/{integration}/installations/{installation}/operations", tag = "Operation", operation_id = "listOperations",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("installation" = String, Path, description = "The installation's id."),
           ("pageSize" = Option<i64>, Query, description = "1 to 1000, 200 when absent."),
           ("pageToken" = Option<String>, Query, description = "`nextPageToken` of the page before.")),
    responses((status = 200, description = "A page of operations.", body = OperationPage), (status = 400, description = "The page cannot be read.")))]
pub async fn list_operations(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String, String)>,
    Params(asked): Params<Page>,
) -> Result<Json<OperationPage>, Problem> {
    let Segments((_, integration, installation)) = segments;
    let project_id = scope.project().id;
    let filter = page(
        asked.page_size.as_deref(),
        asked.page_token.as_deref(),
        OperationFilter::default(),
    )?;
    let integration = app.control.integration(project_id, &integration).await?;
    let installation = app
        .control
        .installation(scope.actor(), project_id, integration.id, &installation)
        .await?;
    let installations = Some(vec![installation.id]);
    read(
        &app,
        project_id,
        &OperationFilter {
            installations,
            ..filter
        },
        None,
    )
    .await
}
