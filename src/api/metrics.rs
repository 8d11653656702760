//! `GET /metrics`

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use crate::app::AppState;

/// The metrics of this process in Prometheus' text format. It holds no secret and needs no key, but names routes, providers
/// and volumes: keep it from the internet.
pub async fn metrics(State(app): State<AppState>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        app.writes.metrics.render(),
    )
}
