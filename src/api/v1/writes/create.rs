//! `POST /v1/projects/{project}/integrations/{integration}/objects/{object}`: the write.

use std::time::Instant;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::{self, WriteAnswer};
use super::preview::PreviewResponse;
use crate::api::auth::Scope;
use crate::api::extract::{Body, Params, Segments, header_once};
use crate::api::layer::RequestId;
use crate::api::problem::{Code, Problem};
use crate::api::v1::object_metadata::{aged, wanted};
use crate::app::AppState;
use crate::writes::WriteError;
use crate::writes::idempotency::{MAX_KEY, is_valid_key, key_of};
use crate::writes::request::{Mode, WriteRequest};
use crate::writes::set::Performed;

/// The header that makes a request safe to repeat.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The body of a write, for the documentation; the reader in `writes::request` decides.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "the shape is documentation; the body is read where it is checked"
)]
pub struct WriteRecordsRequest {
    /// The customer.
    group_ref: String,
    /// `create`, `update` or `delete`.
    r#type: String,
    /// `synchronous` when absent, or `asynchronous`. Ignored on a delete.
    mode: Option<String>,
    /// The record, in the app's field names. Update and delete need its `id`. Either this or `batch`.
    #[schema(value_type = Option<Object>)]
    record: Option<Map<String, Value>>,
    /// 1 to 100 records to create or to update, each as `{record, associations?, clientRef?}`.
    #[schema(value_type = Option<Vec<Object>>)]
    batch: Option<Vec<Value>>,
    /// `allOrNone`: one record of the batch that fails takes all others back, where the provider can do that.
    #[schema(value_type = Option<Object>)]
    batch_policy: Option<Value>,
    /// Links to other records, made with the create (HubSpot).
    #[schema(value_type = Option<Vec<Object>>)]
    associations: Option<Vec<Value>>,
    /// Headers to pass through, each with `key` and `value` (Salesforce).
    #[schema(value_type = Option<Vec<Object>>)]
    headers: Option<Vec<Value>>,
    /// `deadlineHours` from 1 (the default) to 48: how long an asynchronous write is retried.
    #[schema(value_type = Option<Object>)]
    retry_policy: Option<Value>,
    /// For an asynchronous write of one record: wait for others like it and share an operation, and a call, with them. `maxDelayMinutes` from 1 to 1440: the longest wait; 100 records end it sooner. `retryDeadlineHours` from 1 (the default) to 48 counts from then on, in place of `retryPolicy`.
    #[schema(value_type = Option<Object>)]
    auto_batch_policy: Option<Value>,
    /// Reject the record (400) when a field of it would be dropped.
    strict: Option<bool>,
    /// Your own name for the record, up to 255 bytes: it is kept with the operation, and asynchronous creates with the same name run one after the other.
    client_ref: Option<String>,
    /// What to do with an asynchronous create whose outcome stays unknown: `review` (the default) or `retry`, which may double it.
    on_unknown: Option<String>,
    /// What happens to later asynchronous writes to the same record (or `clientRef`) when this asynchronous one ends as `failed` or `needs_review`: `continue` (the default), they run; or `hold`, they wait until somebody has dealt with it.
    on_failure: Option<String>,
}

/// Options of a write.
#[derive(Debug, Deserialize)]
pub struct Options {
    #[serde(default)]
    preview: bool,
}

/// Write a record
///
/// Creates, updates or deletes a record in the customer's SaaS under the customer's own mapping. Synchronous writes answer with the provider's result, asynchronous ones with an operation to poll. What was dropped or skipped stands in the header `Amp-Warnings`. With `autoBatchPolicy` several writes are answered with one operation; the header `Amp-Batch-Index` says which of its `metadata.records` is yours.
///
/// With `preview=true` nothing is written and nothing stored: the answer is a `PreviewResponse` with the exact request to the provider, its secrets hidden, what was decided for each field, and what the provider's own description of the object says against the record. The description is remembered for five minutes; before something is told against a record the provider is asked once more, and `Cache-Control: no-cache` asks in any case.
#[utoipa::path(post, path = "/v1/projects/{project}/integrations/{integration}/objects/{object}", tag = "Write", operation_id = "writeRecords",
    params(("project" = String, Path, description = "The project's id or name."), ("integration" = String, Path, description = "The integration's id or name."),
           ("object" = String, Path, description = "The object's name in the manifest."),
           ("preview" = Option<bool>, Query, description = "Show what would be sent and why, and send nothing."),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, unique in the project. The same request with the same key gets its first answer again, for 7 days; the provider gets the write once.")),
    request_body = WriteRecordsRequest,
    responses((status = 200, description = "Done (synchronous; of a batch at least one record), or accepted (asynchronous: only `operationId`).", body = WriteAnswer),
              (status = 400, description = "The request cannot be written; nothing was stored, nothing was sent."),
              (status = 404, description = "No such project, integration or installation."),
              (status = 409, description = "The first request with this Idempotency-Key is still being performed; `context.operationId` names it."),
              (status = 422, description = "The provider rejects the record, or every record of a batch. As a problem: the Idempotency-Key was used for another request.", body = WriteAnswer),
              (status = 424, description = "The provider refuses the customer's credentials: reconnect."),
              (status = 429, description = "The provider's rate limit, or so many asynchronous writes wait that no more are taken; see Retry-After."),
              (status = 502, description = "The provider failed. `retryable` is true when the write was certainly not applied, or may be repeated all the same, as an update or delete may."),
              (status = 503, description = "The database does not answer, or takes no writes; nothing was sent. With `context.outcome: unknown` it did not say whether it has accepted the write: look the operation up. `outcome-not-stored`: the provider has answered, `context.applied` says what.")))]
pub async fn write_records(
    State(app): State<AppState>,
    scope: Scope,
    Extension(RequestId(request_id)): Extension<RequestId>,
    headers: http::HeaderMap,
    segments: Segments<(String, String, String)>,
    Params(options): Params<Options>,
    Body(body): Body,
) -> Result<Response, Problem> {
    let Segments((_, integration, object)) = segments;
    let key =
        idempotency_key(&headers)?.map(|key| key_of(key, scope.project().id, &integration, &object, &body));
    let started = Instant::now();
    let request = WriteRequest::parse(&body).map_err(Problem::invalid_body)?;
    let (action, mode) = (request.action, request.mode);
    if options.preview {
        let preview = app
            .writes
            .preview(
                scope.project().id,
                &integration,
                &object,
                request,
                wanted(&headers),
            )
            .await
            .map_err(answer::of_error)?;
        let age = preview.described_ago;
        let body = PreviewResponse::new(object, action, mode, preview);
        return Ok(match age {
            Some(age) => aged(age, body),
            None => Json(body).into_response(),
        });
    }
    let project_id = scope.project().id;
    let result = if mode == Mode::Asynchronous {
        // Accepting is one commit: whoever hangs up meanwhile leaves nothing half done.
        app.writes
            .write(project_id, &integration, &object, request, key)
            .await
    } else {
        // In a task of its own: an app that hangs up must not leave a write half done, sent but not recorded.
        let (writes, name) = (app.writes.clone(), object.clone());
        let writing = app
            .in_flight
            .spawn(async move { writes.write(project_id, &integration, &name, request, key).await });
        writing.await.map_err(|_| {
            Problem::new(
                Code::Internal,
                "an internal error; the server's log says more under this requestId",
            )
        })?
    };
    let (operation_id, outcome) = match &result {
        Ok(written) => (
            Some(written.operation_id),
            if written.replayed {
                "replayed"
            } else {
                written.performed.as_ref().map_or("accepted", Performed::class)
            },
        ),
        Err(WriteError::NotRecorded { written }) => (Some(written.operation_id), "not_recorded"),
        Err(_) => (None, "refused"),
    };
    // One line for each write, without any value of the record.
    tracing::info!(
        request.id = request_id,
        operation.id = operation_id.map(tracing::field::display),
        object,
        action = action.as_str(),
        mode = mode.as_str(),
        outcome,
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "write"
    );
    match result {
        Ok(written) => answer::of_written(&object, written),
        Err(WriteError::Ended { operation_id, errors }) => {
            Ok(answer::of_ended(&operation_id.to_string(), errors))
        }
        Err(error) => Err(answer::of_error(error)),
    }
}

/// The key of the request, when it carries one.
pub(in crate::api::v1) fn idempotency_key(headers: &http::HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = header_once(headers, IDEMPOTENCY_KEY, "Idempotency-Key")? else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if is_valid_key(key) => Ok(Some(key.to_owned())),
        _ => Err(Problem::header(
            "Idempotency-Key",
            format!("must have 1 to {MAX_KEY} visible ASCII characters"),
        )),
    }
}
