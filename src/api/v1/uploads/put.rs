//! `PUT /v1/uploads/{token}`: the upload URL.

use axum::extract::{FromRequest as _, Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use md5::{Digest as _, Md5};

use super::generate::{Token, digest};
use super::{PLACE, bad_token};
use crate::api::extract::{Body, Segments};
use crate::api::problem::Problem;
use crate::app::AppState;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 1024;

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
    if token.len() > MAX_TOKEN_BYTES {
        return Err(bad_token());
    }
    let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad_token())?;
    let plain = app.vault.open(PLACE, &sealed).map_err(|_| bad_token())?;
    let token: Token = serde_json::from_slice(&plain).map_err(|_| bad_token())?;
    if token.until < app.clock.now() {
        return Err(bad_token());
    }
    // Only now: nobody without such a URL keeps a connection with a body that does not end.
    let announced = request.headers().get("content-md5").cloned();
    let Body(body) = Body::from_request(request, &app).await?;
    let actual: [u8; 16] = Md5::digest(&body).into();
    let announced =
        match &announced {
            None => None,
            Some(value) => Some(value.to_str().map_err(|_| ()).and_then(digest).map_err(|()| {
                Problem::invalid("", "the header Content-MD5 is not the base64 of 16 bytes")
            })?),
        };
    if [token.md5, announced]
        .into_iter()
        .flatten()
        .any(|wanted| wanted != actual)
    {
        return Err(Problem::invalid(
            "",
            "the content does not have the MD5 that was announced: it was changed on the way",
        )
        .remedy("Upload it again."));
    }
    app.store.put_upload(token.project_id, token.id, &body).await?;
    Ok(StatusCode::OK)
}
