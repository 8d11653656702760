//! `GET /v1/projects/{project}/operations:watch`

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::list_for_project::state_filter;
use super::{NOT_FOUND, Operation};
use crate::api::auth::Scope;
use crate::api::extract::{Params, id};
use crate::api::problem::{Code, Problem};
use crate::app::AppState;
use crate::clock::Time;
use crate::control::Error;
use crate::store::{self, EndState, OperationFilter, StateFilter};

/// How often the store is asked what has ended.
const POLL: Duration = Duration::from_millis(500);
/// How often one operation is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The wait after the store failed.
const STORE_DOWN_WAIT: Duration = Duration::from_secs(2);
/// Operations read at a time: all that a slow client costs.
const PAGE: i64 = 50;

/// What to watch. What is not known is refused.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watch {
    operation_id: Option<String>,
    status: Option<String>,
    state: Option<String>,
    object: Option<String>,
    group_ref: Option<String>,
    integration: Option<String>,
    client_ref: Option<String>,
}

/// Watch operations
///
/// A stream of server-sent events. Each event `operation` holds an operation that has ended, in the order of ending, from now on or after the header `Last-Event-ID`. With `operationId` it holds each change of that operation, and the stream ends with it. An event may come twice.
#[utoipa::path(get, path = "/v1/projects/{project}/operations:watch", tag = "Operation", operation_id = "watchOperations",
    params(("project" = String, Path, description = "The project's id or name."),
           ("operationId" = Option<String>, Query, description = "Only this operation, and each of its changes."),
           ("status" = Option<String>, Query, description = "`success` or `failure`."),
           ("state" = Option<String>, Query, description = "In place of status: `succeeded`, `failed`, `cancelled` or `needs_review`."),
           ("object" = Option<String>, Query, description = "The object's name in the manifest."),
           ("groupRef" = Option<String>, Query, description = "The customer."),
           ("integration" = Option<String>, Query, description = "The integration's id or name."),
           ("clientRef" = Option<String>, Query, description = "The app's own name for the record."),
           ("Last-Event-ID" = Option<String>, Header, description = "Go on after this event.")),
    responses((status = 200, description = "Events.", content_type = "text/event-stream", body = Operation),
              (status = 400, description = "A filter cannot be read; the answer says what it may be."), (status = 404, description = "No such operation."),
              (status = 503, description = "Too many watch already.")))]
pub async fn watch_operations(
    State(app): State<AppState>,
    scope: Scope,
    headers: http::HeaderMap,
    Params(asked): Params<Watch>,
) -> Result<Response, Problem> {
    let project_id = scope.project().id;
    let place = Arc::clone(&app.watchers).try_acquire_owned().map_err(|_| {
        Problem::new(
            Code::TooManyWatchers,
            "too many requests watch operations already",
        )
        .retry_after(Duration::from_secs(5))
    })?;
    if let Some(operation) = asked.operation_id.as_deref() {
        let operation_id = id(operation, NOT_FOUND)?;
        app.control.operation(project_id, operation_id).await?;
        return Ok(one(app, project_id, operation_id, place));
    }
    let state = state_filter(asked.status.as_deref(), asked.state.as_deref())
        .map_err(|(name, detail)| Problem::query(name, detail))?;
    if state == Some(StateFilter::InProgress) {
        return Err(Problem::query(
            "status",
            "must be success or failure: only ends are told",
        ));
    }
    let mut filter = OperationFilter {
        object: asked.object,
        client_ref: asked.client_ref,
        state,
        ..OperationFilter::default()
    };
    if let Some(integration) = asked.integration.as_deref() {
        filter.integration = Some(app.control.integration(project_id, integration).await?.id);
    }
    if let Some(group_ref) = asked.group_ref.as_deref() {
        let found = app
            .control
            .installations_of(project_id, filter.integration, group_ref);
        filter.installations = Some(found.await?);
    }
    let after = match headers
        .get("last-event-id")
        .map(|value| value.to_str().ok().and_then(cursor_of))
    {
        Some(Some(cursor)) => cursor,
        Some(None) => {
            return Err(Problem::header(
                "Last-Event-ID",
                "is not one that this server gave out",
            ));
        }
        None => (app.store.store_now().await?, Uuid::nil()),
    };
    Ok(all(app, project_id, filter, after, place))
}

/// The place of an event: when the operation ended, and which it is.
fn cursor_of(text: &str) -> Option<(Time, Uuid)> {
    let (micros, id) = text.split_once('-')?;
    Some((Time::from_micros(micros.parse().ok()?), Uuid::try_parse(id).ok()?))
}

fn event(operation: &Operation) -> Event {
    // Made of texts and numbers: it cannot fail.
    Event::default()
        .event("operation")
        .data(serde_json::to_string(operation).unwrap_or_default())
}

type Told = Result<Event, std::convert::Infallible>;

fn answer(stream: impl futures_util::Stream<Item = Told> + Send + 'static) -> Response {
    let mut response = Sse::new(stream).keep_alive(KeepAlive::default()).into_response();
    // A proxy that gathers the answer would hold every event back.
    response
        .headers_mut()
        .insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    response
}

struct All {
    app: AppState,
    project_id: Uuid,
    filter: OperationFilter,
    after: (Time, Uuid),
    page: VecDeque<store::Operation>,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

fn all(
    app: AppState,
    project_id: Uuid,
    filter: OperationFilter,
    after: (Time, Uuid),
    place: OwnedSemaphorePermit,
) -> Response {
    let state = All {
        app,
        project_id,
        filter,
        after,
        page: VecDeque::new(),
        greeted: false,
        _place: place,
    };
    // The next page is read when the client has taken this one: a slow client costs no memory.
    answer(futures_util::stream::unfold(state, |mut state| async move {
        if !state.greeted {
            state.greeted = true;
            let place = format!("{}-{}", state.after.0.as_micros(), state.after.1);
            return Some((Ok(Event::default().event("watching").id(place).data("{}")), state));
        }
        loop {
            while let Some(row) = state.page.pop_front() {
                let Some(finish_time) = row.finish_time else {
                    continue;
                };
                state.after = (finish_time, row.id);
                if matches(&state.filter, &row) {
                    let place = format!("{}-{}", finish_time.as_micros(), row.id);
                    return Some((Ok(event(&Operation::listed(row)).id(place)), state));
                }
            }
            let wait = match state
                .app
                .store
                .list_finished(state.project_id, state.after, PAGE)
                .await
            {
                Ok(rows) if rows.is_empty() => POLL,
                Ok(rows) => {
                    state.page = rows.into();
                    continue;
                }
                Err(error) => {
                    if state.app.writes.health.is_worth_a_line(&error) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the store does not say what has ended; trying again"
                        );
                    }
                    STORE_DOWN_WAIT
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = state.app.stopping.cancelled() => return None,
            }
        }
    }))
}

fn matches(filter: &OperationFilter, row: &store::Operation) -> bool {
    let state_fits = match &filter.state {
        None => true,
        Some(StateFilter::Succeeded) => row.state == Some(EndState::Succeeded),
        Some(StateFilter::Ended(states)) => row.state.is_some_and(|state| states.contains(&state)),
        Some(StateFilter::InProgress) => row.state.is_none(),
    };
    state_fits
        && filter.object.as_ref().is_none_or(|object| *object == row.object)
        && filter
            .integration
            .is_none_or(|integration| integration == row.integration_id)
        && (filter.client_ref.is_none() || filter.client_ref == row.client_ref)
        && filter
            .installations
            .as_ref()
            .is_none_or(|installations| installations.contains(&row.installation_id))
}

struct One {
    app: AppState,
    project_id: Uuid,
    operation_id: Uuid,
    told: Option<String>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

fn one(app: AppState, project_id: Uuid, operation_id: Uuid, place: OwnedSemaphorePermit) -> Response {
    let state = One {
        app,
        project_id,
        operation_id,
        told: None,
        ended: false,
        _place: place,
    };
    answer(futures_util::stream::unfold(state, |mut state| async move {
        while !state.ended {
            // Registered before the look, so that an end right after it is not missed.
            let waiting = state
                .app
                .writes
                .finished
                .wait_for(state.project_id, state.operation_id);
            let (project_id, operation_id) = (state.project_id, state.operation_id);
            let wait = match state.app.control.operation(project_id, operation_id).await {
                Err(Error::Refused(_)) => return None,
                Ok(seen) => {
                    let operation = Operation::from(&seen);
                    state.ended = operation.status != "in_progress";
                    let meta = &operation.metadata;
                    let now = format!("{} {:?} {}", meta.state, meta.waiting_on, meta.attempts.len());
                    if state.told.as_ref() != Some(&now) {
                        state.told = Some(now);
                        return Some((Ok(event(&operation)), state));
                    }
                    LOOK
                }
                Err(_) => STORE_DOWN_WAIT,
            };
            let ended = async {
                match &waiting {
                    Some(waiting) => waiting.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = ended => {}
                () = state.app.stopping.cancelled() => return None,
            }
        }
        None
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let id = Uuid::from_u128(77);
        assert_eq!(
            cursor_of(&format!("1700000000123456-{id}")),
            Some((Time::from_micros(1_700_000_000_123_456), id))
        );
        for bad in ["", "1", "x-y", "1-", &format!("-{id}")] {
            assert_eq!(cursor_of(bad), None, "{bad}");
        }
    }
}
