//! The answers of a write, row by row of the contract's table.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::api::problem::{Code, Problem};
use crate::clock::Time;
use crate::connectors::{Outcome, RefusalKind, RetryClass};
use crate::mapping::{ApplyError, PlanError, warnings};
use crate::writes::outcome::certainly_not_applied;
use crate::writes::route::RouteError;
use crate::writes::set::{Note, NoteState, Shape, error_of_note};
use crate::writes::{WriteError, Written, error_of, rejection};

const OPERATION_ID: HeaderName = HeaderName::from_static("amp-operation-id");
const BATCH_INDEX: HeaderName = HeaderName::from_static("amp-batch-index");
const REPLAYED: HeaderName = HeaderName::from_static("amp-replayed");
const WARNINGS: HeaderName = HeaderName::from_static("amp-warnings");
/// The wait before what became of a write is asked for again.
const LOOK_UP_WAIT: Duration = Duration::from_secs(1);
/// The wait after a rate limit that names no time.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(10);

/// The wait when the queue is full: it does not empty in a moment.
const QUEUE_FULL_WAIT: Duration = Duration::from_secs(30);

/// What a write answers. Nothing beyond this is ever in the body.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WriteResponse {
    /// The operation.
    pub operation_id: String,
    /// What the provider did; absent for an asynchronous write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<WriteResult>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Message>,
    /// The provider's own answer, when it rejects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_response: Option<String>,
}

/// What the provider did.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WriteResult {
    /// Whether the record was written.
    pub success: bool,
    /// The provider's id of the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// What the provider says about the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Value>,
}

/// What a synchronous batch answers. Nothing beyond this is ever in the body.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// The operation.
    pub operation_id: String,
    /// Each record, in the order of the request.
    pub results: Vec<WriteResult>,
    /// How many were written.
    pub success_count: usize,
    /// How many were not.
    pub failure_count: usize,
    /// Why records failed, each with its place in the request: `batch[3]: …`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Message>,
}

/// What a write answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum WriteAnswer {
    /// A single write, or an asynchronous one.
    Single(WriteResponse),
    /// A synchronous batch.
    Batch(BatchResponse),
}

/// One error.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    /// For people.
    pub message: String,
}

/// The answer to a write that was performed or accepted.
pub(super) fn of_written(object: &str, written: Written) -> Result<Response, Problem> {
    let operation_id = written.operation_id.to_string();
    let notes = warnings(&written.trace);
    let (replayed, batch_index) = (written.replayed, written.batch_index);
    let problem = |problem: Problem| {
        problem
            .context(json!({ "operationId": operation_id }))
            .into_response()
    };
    let mut response = match answer(object, &operation_id, written) {
        Ok((status, body)) => (status, Json(body)).into_response(),
        Err(found) => problem(found),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&operation_id) {
        headers.insert(OPERATION_ID, value);
    }
    if let Some(index) = batch_index {
        headers.insert(BATCH_INDEX, HeaderValue::from(index));
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if !notes.is_empty()
        && let Ok(value) = HeaderValue::from_str(&notes.join(", "))
    {
        headers.insert(WARNINGS, value);
    }
    Ok(response)
}

fn answer(object: &str, operation_id: &str, written: Written) -> Result<(StatusCode, WriteAnswer), Problem> {
    let handed_over = written.handed_over;
    let Some(performed) = written.performed else {
        return Ok((StatusCode::OK, WriteAnswer::Single(plain(operation_id, None))));
    };
    match (performed.shape, performed.whole) {
        (Shape::Single, Some((Outcome::Succeeded { record_id, data }, _))) => {
            let result = WriteResult {
                success: true,
                record_id,
                data,
            };
            let body = plain(operation_id, Some(result));
            Ok((StatusCode::OK, WriteAnswer::Single(body)))
        }
        (Shape::Single, Some((Outcome::Rejected(error), _))) => {
            let body = WriteResponse {
                errors: vec![Message {
                    message: rejection(object, &error),
                }],
                raw_response: performed.raw,
                ..plain(operation_id, Some(not_written()))
            };
            Ok((StatusCode::UNPROCESSABLE_ENTITY, WriteAnswer::Single(body)))
        }
        (_, Some((outcome, answered_at))) => Err(of_failure(object, &outcome, answered_at, handed_over)),
        (_, None) if handed_over => {
            let text = "it is not known yet of every record whether it was written; this is being found out";
            Err(Problem::new(Code::ProviderFailed, text)
                .retryable(true)
                .retry_after(LOOK_UP_WAIT)
                .remedy(
                    "Send the same request with the same Idempotency-Key again: no record is made twice.",
                ))
        }
        (_, None) => {
            let (status, body) = of_batch(operation_id, &performed.ends, performed.data);
            Ok((status, WriteAnswer::Batch(body)))
        }
    }
}

fn plain(operation_id: &str, result: Option<WriteResult>) -> WriteResponse {
    WriteResponse {
        operation_id: operation_id.to_owned(),
        result,
        errors: Vec::new(),
        raw_response: None,
    }
}

const fn not_written() -> WriteResult {
    WriteResult {
        success: false,
        record_id: None,
        data: None,
    }
}

/// The answer to a write that the provider neither did nor rejected.
fn of_failure(object: &str, outcome: &Outcome, answered_at: Time, handed_over: bool) -> Problem {
    let Some(error) = error_of(outcome) else {
        return Problem::new(Code::Internal, "a success was taken for a failure");
    };
    let text = rejection(object, error);
    // The provider's own words may repeat the record: the log gets only the kind.
    let kind = format!("{}, HTTP status {}", error.class.as_str(), error.status);
    let problem = match outcome {
        Outcome::Unauthorized(_) => dead_credential().cause(text),
        Outcome::Retry { class: RetryClass::RateLimited | RetryClass::Quota, after, .. } => {
            let wait = after.map_or(RATE_LIMIT_WAIT, |hint| hint.wait(answered_at.to_timestamp()));
            Problem::new(Code::ProviderRateLimit, text)
                .retry_after(wait)
                .remedy("Wait as Retry-After says, or send the write with mode asynchronous: it then waits by itself.")
        }
        Outcome::Retry { .. } if certainly_not_applied(error) => Problem::new(Code::ProviderFailed, text)
            .retryable(true)
            .remedy("The write was not applied: send it again, or with mode asynchronous to have it retried."),
        Outcome::Retry { .. } => Problem::new(Code::ProviderFailed, text)
            .retryable(true)
            .remedy("It is not known whether the write was applied. Sending the same again is safe: it makes no second record."),
        _ if handed_over => Problem::new(Code::ProviderFailed, text)
            .retryable(true)
            .retry_after(LOOK_UP_WAIT)
            .remedy("It is not known yet whether the record was made; this is being found out. Send the same request with the same Idempotency-Key again: the record is not made twice."),
        _ => Problem::new(Code::ProviderFailed, text)
            .remedy("It is not known whether the record was made: look for it at the provider before sending the create again."),
    };
    problem.because(kind)
}

/// The answer to a batch: 200 when some of it was written, 422 when nothing was.
fn of_batch(operation_id: &str, ends: &[Note], mut data: Vec<Option<Value>>) -> (StatusCode, BatchResponse) {
    let is_success = |note: &Note| note.state == NoteState::Succeeded;
    let success_count = ends.iter().filter(|note| is_success(note)).count();
    let results = ends
        .iter()
        .map(|note| WriteResult {
            success: is_success(note),
            record_id: note.record_id.clone().filter(|_| is_success(note)),
            data: data.get_mut(note.index).and_then(Option::take),
        })
        .collect();
    let errors = ends.iter().filter_map(error_of_note);
    let body = BatchResponse {
        operation_id: operation_id.to_owned(),
        results,
        success_count,
        failure_count: ends.len() - success_count,
        errors: errors.map(|message| Message { message }).collect(),
    };
    let status = if success_count > 0 {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    (status, body)
}

fn dead_credential() -> Problem {
    Problem::new(
        Code::CredentialDead,
        "the provider no longer accepts the credentials of this connection",
    )
    .remedy("Have the customer reconnect: update the connection with new credentials, or make a new one.")
}

/// The answer to a repeated request whose write has failed since, in the shape of a write that was rejected.
pub(super) fn of_ended(operation_id: &str, errors: Vec<String>) -> Response {
    let body = WriteResponse {
        errors: errors.into_iter().map(|message| Message { message }).collect(),
        ..plain(operation_id, Some(not_written()))
    };
    let mut response = (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Ok(value) = HeaderValue::from_str(operation_id) {
        headers.insert(OPERATION_ID, value);
    }
    response
}

/// The answer to a write that was neither performed nor accepted.
pub(in crate::api) fn of_error(error: WriteError) -> Problem {
    let text = error.to_string();
    match error {
        WriteError::Store(error) | WriteError::Route(RouteError::Store(error)) => error.into(),
        WriteError::Route(RouteError::IntegrationNotFound(_)) => {
            Problem::not_found("Integration not found for the given integration ID or name.")
                .remedy("List the project's integrations, or deploy the manifest that defines it.")
        }
        WriteError::Route(RouteError::NoInstallation(_)) => Problem::new(Code::InstallationNotFound, text)
            .remedy("Check groupRef, or create an installation of this integration for the group."),
        WriteError::Route(RouteError::Unusable(_) | RouteError::Gone) => Problem::new(Code::Unusable, text),
        WriteError::Plan(PlanError::ObjectNotInManifest { .. }) => Problem::new(Code::InvalidRequest, text)
            .remedy("Add the object to the integration's write.objects in amp.yaml and deploy."),
        WriteError::Plan(PlanError::NotEnabled { .. }) => Problem::new(Code::InvalidRequest, text)
            .remedy("The customer decides: have them allow writes of the object, which adds it to write.objects of the installation's config."),
        WriteError::Plan(_) => {
            Problem::new(Code::InvalidRequest, text).remedy("Mend the manifest or the installation's config.")
        }
        WriteError::Apply(error) => of_record(error),
        WriteError::Items(problems) => Problem::invalid_body(problems),
        WriteError::Refused(refusal) => {
            let name = match refusal.kind {
                RefusalKind::InvalidRecordId => "record.id",
                RefusalKind::InvalidHeader => "headers",
                RefusalKind::UnsupportedAssociations => "associations",
                RefusalKind::UnknownObject | RefusalKind::UnsupportedAction => "type",
                RefusalKind::InvalidVariable | RefusalKind::LookupFailed => {
                    return Problem::new(Code::InvalidRequest, text)
                        .remedy("Mend the connection: its variables do not fit the provider.");
                }
                RefusalKind::InvalidRecord => "record",
            };
            Problem::about(name, text)
        }
        WriteError::DeleteNotEnabled(_) => Problem::about("type", text)
            .remedy("Set deletionSettings.enabled for the object in the installation's config."),
        WriteError::Unsupported { .. } => Problem::about("type", text),
        WriteError::HeadersNotTaken(_) => Problem::about("headers", text),
        WriteError::AssociationsNotTaken(_) => Problem::about("associations", text),
        WriteError::QueueFull(full) => Problem::new(Code::QueueFull, text)
            .retry_after(QUEUE_FULL_WAIT)
            .context(json!({ "limit": full.limit, "of": full.of }))
            .remedy("Send it again later: nothing was stored. When it goes on, the customer's provider is down or its credentials are dead, or the limit (AMP_QUEUE_LIMIT_…) is too low."),
        WriteError::DeadCredential => dead_credential(),
        WriteError::Undecided { operation_id, keyed } => {
            let mut context = json!({ "outcome": "unknown" });
            if let Some(id) = operation_id {
                context["operationId"] = Value::String(id.to_string());
            }
            let problem = Problem::new(Code::StoreUnavailable, text).context(context).retryable(keyed);
            if keyed {
                problem.retry_after(LOOK_UP_WAIT).remedy("Send the same request with the same Idempotency-Key again: it is not performed twice. Or look the operation up when the database answers.")
            } else {
                problem.remedy("Look the operation up when the database answers (GET …/operations/{operationId}): when it is there it was accepted, and it is performed. Do not send the write again before; with an Idempotency-Key it could be.")
            }
        }
        WriteError::NotReplayable(_) => Problem::new(Code::Conflict, text),
        WriteError::KeyReused { operation_id } => Problem::new(Code::KeyReused, text)
            .context(json!({ "operationId": operation_id.to_string() }))
            .remedy("Send each different request with a key of its own, and a repeated one letter for letter as before."),
        WriteError::KeyInUse { operation_id } => {
            let problem = Problem::new(Code::KeyInUse, text)
                .retry_after(LOOK_UP_WAIT)
                .remedy("Send the same request again after Retry-After, or look at the operation.");
            match operation_id {
                Some(id) => problem.context(json!({ "operationId": id.to_string() })),
                None => problem,
            }
        }
        WriteError::OutcomeUnknown { operation_id, errors } => errors
            .into_iter()
            .fold(Problem::new(Code::ProviderFailed, text), Problem::cause)
            .context(json!({ "operationId": operation_id.to_string() }))
            .remedy("It is not sent again. Look for the record at the provider, and send the write with another key if it is not there."),
        // Answered by [`of_ended`], in the shape of a write.
        WriteError::Ended { .. } => Problem::new(Code::ProviderFailed, text),
        WriteError::NotRecorded { written } => {
            Problem::new(Code::OutcomeNotStored, text)
                .retryable(false)
                .context(not_recorded(&written))
                .remedy("Do not send it again blindly: `context` says what the provider answered. `applied` is null where it is not known: look at the provider first.")
        }
    }
}

/// Whether the provider did it; `None` when nobody knows.
fn applied(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::Succeeded { .. } => Some(true),
        Outcome::Rejected(_) | Outcome::Unauthorized(_) => Some(false),
        Outcome::Retry { error, .. } if certainly_not_applied(error) => Some(false),
        Outcome::Retry { .. } | Outcome::Unknown(_) => None,
    }
}

/// What the provider did, where it could not be stored: of a batch also record by record, with the ids that are known.
fn not_recorded(written: &Written) -> Value {
    let mut context = json!({ "operationId": written.operation_id.to_string() });
    let Some(performed) = &written.performed else {
        return context;
    };
    let whole = performed.whole.as_ref().map(|(outcome, _)| outcome);
    if performed.shape == Shape::Single {
        context["applied"] = json!(whole.map(applied));
        if let Some(Outcome::Succeeded {
            record_id: Some(record_id),
            ..
        }) = whole
        {
            context["recordId"] = Value::String(record_id.clone());
        }
        return context;
    }
    let of_record = |note: &Note| match note.state {
        NoteState::Succeeded => Some(true),
        NoteState::Failed => whole.map_or(Some(false), applied),
        _ => None,
    };
    let each: Vec<Option<bool>> = performed.ends.iter().map(of_record).collect();
    // One that was applied is enough: sent again, the whole would double it.
    context["applied"] = if each.contains(&Some(true)) {
        json!(true)
    } else if each.contains(&None) {
        Value::Null
    } else {
        json!(false)
    };
    let records = performed.ends.iter().zip(&each).map(|(note, applied)| {
        let mut record = json!({ "index": note.index, "applied": applied });
        if let Some(id) = &note.record_id {
            record["recordId"] = Value::String(id.clone());
        }
        record
    });
    context["records"] = records.collect();
    context
}

fn of_record(error: ApplyError) -> Problem {
    let text = error.to_string();
    match error {
        ApplyError::MissingRecordId(_) | ApplyError::InvalidRecordId(_) => Problem::about("record.id", text),
        // What strict refuses is told field by field.
        ApplyError::Conflict { .. } | ApplyError::NotAnObject { .. } | ApplyError::Dropped { .. } => {
            Problem::about("record", text)
        }
    }
}
