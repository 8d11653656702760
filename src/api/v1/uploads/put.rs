//! `PUT /v1/uploads/{token}`: the upload URL.

use axum::extract::{FromRequest as _, Request, State};
use http::StatusCode;

use super::generate::digest;
use crate::api::extract::{Body, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;

/// Upload a file
///
/// To the URL that `generate-upload-url` answered; the URL itself is the credential. The content must have the MD5 that was named there, and the one in Content-MD5.
#[utoipa::path(put, path = "/v1/uploads/{token}", tag = "Upload URL", operation_id = "putUpload",
    params(("token" = String, Path, description = "Sealed; part of the URL.")),
    request_body(content = Vec<u8>, content_type = "application/zip"),
    responses((status = 200, description = "It is there."), (status = 400, description = "The content has another MD5."), (status = 403, description = "The URL's time is over.")),
    security(()))]
pub async fn put_upload(
    State(app): State<AppState>,
    segments: Segments<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let Segments(token) = segments;
    let token = app.control.open_upload(&token)?;
    // Only now: nobody without such a URL keeps a connection with a body that does not end.
    let announced = request.headers().get("content-md5").cloned();
    let Body(body) = Body::from_request(request, &app).await?;
    let announced = announced
        .map(|value| value.to_str().map_err(|_| ()).and_then(digest))
        .transpose()
        .map_err(|()| Problem::invalid("", "the header Content-MD5 is not the base64 of 16 bytes"))?;
    app.control.put_upload(&token, &body, announced).await?;
    Ok(StatusCode::OK)
}
