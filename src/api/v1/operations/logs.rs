//! `GET /v1/projects/{project}/operations/{operation}/logs`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Attempt, NOT_FOUND, Operation};
use crate::api::auth::Scope;
use crate::api::extract::{Segments, id};
use crate::api::problem::Problem;
use crate::app::AppState;
use crate::clock::Time;

/// One thing that happened to an operation.
#[derive(Debug, Serialize, ToSchema)]
pub struct Log {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Time,
    /// `DEBUG`, `INFO`, `WARNING` or `ERROR`.
    pub severity: &'static str,
    /// What.
    pub message: LogMessage,
}

/// What happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogMessage {
    /// For people.
    pub msg: String,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The operation.
    pub operation_id: String,
    /// More about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<&'static str, String>,
}

/// List logs for an operation
///
/// What happened to it, oldest first: accepted, each attempt, what it waits for, and its end.
#[utoipa::path(get, path = "/v1/projects/{project}/operations/{operation}/logs", tag = "Operation", operation_id = "listOperationLogs",
    params(("project" = String, Path, description = "The project's id or name."), ("operation" = String, Path, description = "The operation's id.")),
    responses((status = 200, description = "What happened.", body = Vec<Log>), (status = 404, description = "No such operation.")))]
pub async fn list_operation_logs(
    State(app): State<AppState>,
    scope: Scope,
    segments: Segments<(String, String)>,
) -> Result<Json<Vec<Log>>, Problem> {
    let Segments((_, operation)) = segments;
    let operation = id(&operation, NOT_FOUND)?;
    let seen = app.control.operation(scope.project().id, operation).await?;
    Ok(Json(logs(&Operation::from(&seen), app.clock.now())))
}

fn logs(operation: &Operation, now: Time) -> Vec<Log> {
    let meta = &operation.metadata;
    let log = |timestamp,
               severity,
               msg: String,
               error: Option<String>,
               details: Vec<(&'static str, Option<String>)>| Log {
        timestamp,
        severity,
        message: LogMessage {
            msg,
            error,
            operation_id: operation.id.clone(),
            details: details
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        },
    };
    let mut logs = vec![log(
        operation.create_time,
        "INFO",
        format!(
            "{} of {} accepted ({})",
            meta.action, operation.resource, meta.mode
        ),
        None,
        vec![
            ("configId", Some(operation.config_id.clone())),
            (
                "clientRef",
                meta.records.first().and_then(|record| record.client_ref.clone()),
            ),
            ("replayOf", meta.replay_of.clone()),
            ("deadline", meta.deadline.map(|time| time.to_string())),
        ],
    )];
    for attempt in &meta.attempts {
        let (severity, msg) = of_attempt(attempt);
        let details = vec![
            ("attempt", Some(attempt.number.to_string())),
            ("class", attempt.class.clone()),
            ("status", attempt.status.map(|status| status.to_string())),
            ("latencyMs", attempt.latency_ms.map(|latency| latency.to_string())),
        ];
        logs.push(log(attempt.time, severity, msg, attempt.message.clone(), details));
    }
    for replay in &meta.replayed_as {
        let details = vec![("replayedAs", Some(replay.clone()))];
        logs.push(log(
            operation.update_time,
            "INFO",
            "sent again as another operation".to_owned(),
            None,
            details,
        ));
    }
    if let Some(result) = &operation.result {
        let severity = match meta.state.as_str() {
            "succeeded" => "INFO",
            "cancelled" | "needs_review" => "WARNING",
            _ => "ERROR",
        };
        let details = vec![
            ("state", Some(meta.state.clone())),
            (
                "recordId",
                meta.records.first().and_then(|record| record.record_id.clone()),
            ),
        ];
        let error = Some(meta.errors.join("; ")).filter(|text| !text.is_empty());
        logs.push(log(
            operation.update_time,
            severity,
            result.clone(),
            error,
            details,
        ));
    } else {
        let msg = match meta.waiting_on {
            Some(reason) => format!("waiting for: {}", reason.replace('_', " ")),
            None => format!("now {}", meta.state),
        };
        let details = vec![
            ("state", Some(meta.state.clone())),
            (
                "nextAttemptTime",
                meta.next_attempt_time.map(|time| time.to_string()),
            ),
        ];
        logs.push(log(now, "DEBUG", msg, None, details));
    }
    logs.sort_by_key(|log| log.timestamp);
    logs
}

fn of_attempt(attempt: &Attempt) -> (&'static str, String) {
    let number = attempt.number;
    match (attempt.state.as_str(), attempt.class.as_deref()) {
        ("sent", _) => (
            "DEBUG",
            format!("attempt {number} was sent, and has no answer yet"),
        ),
        ("unanswered", _) => (
            "WARNING",
            format!("attempt {number} was sent, and got no usable answer"),
        ),
        (_, Some("success")) => ("INFO", format!("attempt {number} succeeded")),
        (_, class) => (
            "WARNING",
            format!(
                "attempt {number} failed: {}",
                class.unwrap_or("unknown").replace('_', " ")
            ),
        ),
    }
}
