//! `GET /v1/projects/{project}/integrations/{integration}/installations/{installation}/operations`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Operation;
use crate::api::auth::Scope;
use crate::api::extract::{Params, Segments, id};
use crate::api::problem::{Code, Problem};
use crate::api::v1::integrations;
use crate::app::AppState;

/// Operations on a page when nothing is asked.
const DEFAULT_PAGE: i64 = 200;
/// Operations on a page at most.
const MAX_PAGE: i64 = 1_000;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    page_size: Option<i64>,
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
    Params(page): Params<Page>,
) -> Result<Json<OperationPage>, Problem> {
    let Segments((_, integration, installation)) = segments;
    let project_id = scope.project().id;
    let size = page.page_size.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&size) {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("pageSize must be from 1 to {MAX_PAGE}"),
        ));
    }
    let before = match page.page_token.as_deref().filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(Uuid::try_parse(token).map_err(|_| {
            Problem::new(
                Code::InvalidRequest,
                "pageToken is not one that this server gave out",
            )
        })?),
    };
    let integration = integrations::find(&app, project_id, &integration).await?;
    let installation_id = id(
        &installation,
        "Installation not found for the given installation ID.",
    )?;
    if app
        .store
        .get_installation(project_id, integration.id, installation_id)
        .await?
        .is_none()
    {
        return Err(Problem::not_found(
            "Installation not found for the given installation ID.",
        ));
    }
    // One more than asked tells whether there is another page.
    let mut rows = app
        .store
        .list_operations(project_id, installation_id, before, size + 1)
        .await?;
    let more = i64::try_from(rows.len()).is_ok_and(|found| found > size);
    rows.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let next_page_token = more.then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(Json(OperationPage {
        results: rows
            .into_iter()
            .map(|row| Operation::new(row, Vec::new()))
            .collect(),
        pagination: Pagination {
            done: !more,
            next_page_token,
        },
    }))
}
