//! Around every request: its id, the rendering of problems, and panics caught.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue};

use super::problem::{Code, Problem};
use crate::app::AppState;

/// The header that carries the request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The route of those who ask whether this process is ready.
const READINESS: &str = "/readyz";

/// The id of a request, for handlers that log.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Gives the request its id, runs it, and writes problems as JSON.
pub async fn around(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = app.clock.new_id().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    // The route, not the path: a path may hold a key.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none".to_owned(), |route| route.as_str().to_owned());
    let started = std::time::Instant::now();
    let mut response = if is_unknown_verb(&method, &route, request.uri().path()) {
        Problem::new(Code::NotServed, "this server does not serve this path")
            .remedy("No verb of this name follows the id here. See /docs for what is served.")
            .into_response()
    } else {
        next.run(request).await
    };
    let is_page = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if response.extensions().get::<Problem>().is_none() && response.status().is_server_error() && !is_page {
        // A panic that was caught, or a response that no handler made.
        response = Problem::new(
            Code::Internal,
            "an internal error; the server's log says more under this requestId",
        )
        .into_response();
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let status = problem.status();
        // Of a process that is not ready those who ask are told, again and again; the log is told once, by what made it so.
        if status.is_server_error() && route != READINESS {
            tracing::warn!(request.id = id, %method, route, status = status.as_u16(), code = problem.word(),
                detail = problem.log_detail(), reason = problem.log_reason(), "request failed");
        } else {
            tracing::debug!(request.id = id, %method, route, status = status.as_u16(), "request refused");
        }
        let body = problem.body(&id, app.clock.now());
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut rendered = (status, Body::from(json)).into_response();
        rendered
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = problem.retry_after_seconds() {
            rendered
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in response.headers() {
            if name != CONTENT_TYPE && name != http::header::CONTENT_LENGTH {
                rendered.headers_mut().insert(name.clone(), value.clone());
            }
        }
        response = rendered;
    }
    let method = known(&method);
    let metrics = &app.writes.metrics;
    metrics
        .http_requests
        .increment(&[method, &route, response.status().as_str()]);
    metrics
        .http_seconds
        .observe(&[method, &route], started.elapsed().as_secs_f64());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Whether a path ends in a verb behind an id (`…/connections/{id}:verb`) that its route does not take: no part of the id then.
/// Where a `:` belongs to a name it arrives percent-encoded; object names may hold it as it is.
fn is_unknown_verb(method: &http::Method, route: &str, path: &str) -> bool {
    let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let (parameter, segment) = (last(route), last(path));
    let takes_verbs = match parameter.as_str() {
        // The handlers know their verbs.
        "{operation}" => method == http::Method::POST,
        "{connection}" => method == http::Method::PATCH,
        "{revision}" | "{object}" => true,
        name => !name.starts_with('{'),
    };
    !takes_verbs && segment.contains(':')
}

/// The method as a label: a client can make up any word.
fn known(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_told_from_an_id() {
        let (get, post) = (http::Method::GET, http::Method::POST);
        for (method, route, path, unknown) in [
            (
                &get,
                "/v1/p/{project}/connections/{connection}",
                "/v1/p/x/connections/1:oauth-update",
                true,
            ),
            (
                &get,
                "/v1/p/{project}/connections/{connection}",
                "/v1/p/x/connections/1",
                false,
            ),
            (
                &get,
                "/v1/p/{project}/connections/{connection}",
                "/v1/p/x/connections/a%3Ab",
                false,
            ),
            (
                &get,
                "/v1/p/{project}/operations/{operation}",
                "/v1/p/x/operations/1:watch",
                true,
            ),
            (
                &post,
                "/v1/p/{project}/operations/{operation}",
                "/v1/p/x/operations/1:cancel",
                false,
            ),
            (
                &get,
                "/v1/i/{integration}/revisions/{revision}",
                "/v1/i/x/revisions/1:hydrate",
                false,
            ),
            (
                &post,
                "/v1/i/{integration}/objects/{object}",
                "/v1/i/x/objects/a:b",
                false,
            ),
            (
                &post,
                "/v1/p/{project}/connections:generate",
                "/v1/p/x/connections:generate",
                false,
            ),
            (&get, "/v1/p/{project}", "/v1/p/x:y", true),
            (&get, "none", "/v1/x:y", false),
        ] {
            assert_eq!(is_unknown_verb(method, route, path), unknown, "{method} {path}");
        }
    }
}
