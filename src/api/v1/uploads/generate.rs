//! `GET /v1/generate-upload-url`

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::extract::Params;
use crate::api::problem::{Code, Problem};
use crate::app::AppState;
use crate::control::uploads::BUCKET;

/// What will be uploaded.
#[derive(Debug, Deserialize)]
pub struct Options {
    md5: Option<String>,
}

/// Where to put a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignedUrl {
    /// Put the zip here, with the header Content-MD5.
    pub url: String,
    /// The bucket it will lie in.
    pub bucket: String,
    /// Where in the bucket.
    pub path: String,
}

/// Generate an upload URL
///
/// For the zip of a manifest, which `integrations:batch` then takes as `sourceZipUrl: gs://{bucket}/{path}`. The URL is good for 15 minutes, the upload for an hour.
#[utoipa::path(get, path = "/v1/generate-upload-url", tag = "Upload URL", operation_id = "generateUploadUrl",
    params(("md5" = Option<String>, Query, description = "The MD5 of the zip in base64, as in Content-MD5.")),
    responses((status = 200, description = "Where to put it.", body = SignedUrl)))]
pub async fn generate_upload_url(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Params(options): Params<Options>,
) -> Result<Json<SignedUrl>, Problem> {
    let md5 = options.md5.filter(|text| !text.is_empty());
    let md5 = md5.map(|text| digest(&text)).transpose().map_err(|()| {
        Problem::new(
            Code::InvalidRequest,
            "the query parameter md5 is not the base64 of 16 bytes",
        )
        .remedy("Send what the header Content-MD5 will hold; percent-encode its + and =.")
    })?;
    let place = app.control.place_upload(caller.project().id, md5)?;
    let base = app.tuning.public_url.clone().unwrap_or_else(|| base_of(&headers));
    Ok(Json(SignedUrl {
        url: format!("{}/v1/uploads/{}", base.trim_end_matches('/'), place.token),
        bucket: BUCKET.to_owned(),
        path: place.path,
    }))
}

/// Reads an MD5: base64, or hexadecimal. A `+` that was not encoded arrives as a blank.
pub(super) fn digest(text: &str) -> Result<[u8; 16], ()> {
    let text = text.replace(' ', "+");
    let bytes = STANDARD.decode(&text).or_else(|_| URL_SAFE_NO_PAD.decode(&text));
    if let Ok(Ok(digest)) = bytes.map(<[u8; 16]>::try_from) {
        return Ok(digest);
    }
    if text.len() != 32 || !text.is_ascii() {
        return Err(());
    }
    let mut digest = [0_u8; 16];
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| ())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| ())?;
    }
    Ok(digest)
}

/// This server as the client reached it.
fn base_of(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    format!("{scheme}://{}", text("host").unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn an_md5_is_read_in_each_form_that_clients_send() {
        let bytes = [0xfb, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
        for text in [
            "+/8BAgMEBQYHCAkKCwwNDg==",
            " /8BAgMEBQYHCAkKCwwNDg==",
            "fbff0102030405060708090a0b0c0d0e",
        ] {
            assert_eq!(digest(text), Ok(bytes), "{text}");
        }
        for bad in ["", "x", "AAAA", "zz", "ä"] {
            assert!(digest(bad).is_err(), "{bad}");
        }
    }
}
