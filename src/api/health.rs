//! Is it alive, and is it ready?

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use crate::app::AppState;

/// The answer of a healthy process.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// `postgres` or `sqlite`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<&'static str>,
}

/// Alive
///
/// Answers while the process runs. Restart the process when it does not.
#[utoipa::path(get, path = "/healthz", tag = "Health", operation_id = "getHealth", security(()),
    responses((status = 200, description = "The process is alive.", body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        store: None,
    })
}

/// Ready
///
/// Answers 200 when the database answers and takes writes (its migrations are done before the process listens), else 503. Send traffic only to ready processes.
#[utoipa::path(get, path = "/readyz", tag = "Health", operation_id = "getReadiness", security(()),
    responses((status = 200, description = "Ready for traffic.", body = Health), (status = 503, description = "The database does not answer, or takes no writes.")))]
pub async fn readyz(State(app): State<AppState>) -> Result<Json<Health>, Problem> {
    if let Some(why) = app.writes.health.why_down() {
        return Err(Problem::new(
            Code::StoreUnavailable,
            format!("the database takes no writes: {why}"),
        )
        .retry_after(Duration::from_secs(1)));
    }
    app.store.ping().await?;
    Ok(Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        store: Some(app.store.kind()),
    }))
}
