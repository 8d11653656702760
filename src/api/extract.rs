//! Reading requests: bodies with a cap and exact errors, queries and path segments with problems instead of plain text.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::app::AppState;
use crate::json::Object;
use crate::writes::request::Invalid;

/// The whole body, up to the limits of the settings: its size, its time, and no encoding.
#[derive(Debug)]
pub struct Body(pub Bytes);

impl FromRequest<AppState> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        let limit = usize::try_from(app.tuning.max_body_bytes).unwrap_or(usize::MAX);
        let (head, body) = request.into_parts();
        let mut stream = body.into_data_stream();
        if let Some(problem) = refused_unread(&head, limit) {
            // Who asks before it sends gets this instead of the go-ahead, and sends nothing.
            if head.headers.contains_key(EXPECT) && head.version >= http::Version::HTTP_11 {
                return Err(problem.closing());
            }
            drain(stream).await;
            return Err(problem);
        }
        let pause = Duration::from_secs(app.tuning.read_timeout_seconds);
        let end = Instant::now() + Duration::from_secs(app.tuning.body_timeout_seconds);
        // Most bodies come in one piece, which needs no copy.
        let mut first = None;
        let mut body = BytesMut::new();
        let mut size = 0;
        loop {
            let until = end.min(Instant::now() + pause);
            let Ok(next) = tokio::time::timeout_at(until, stream.next()).await else {
                return Err(too_slow(until == end, app).closing());
            };
            let Some(chunk) = next else { break };
            let chunk = chunk
                .map_err(|_| Problem::new(Code::InvalidRequest, "the body ended before it was complete"))?;
            size += chunk.len();
            if size > limit {
                drain(stream).await;
                return Err(too_large(limit));
            }
            match first.take() {
                None if body.is_empty() => first = Some(chunk),
                held => {
                    body.extend_from_slice(&held.unwrap_or_default());
                    body.extend_from_slice(&chunk);
                }
            }
        }
        let body = first.unwrap_or_else(|| body.freeze());
        if crate::json::uses_reserved_key(&body) {
            let detail = "a key that begins with `$serde_json::private::` cannot be used";
            return Err(Problem::invalid("", detail));
        }
        Ok(Self(body))
    }
}

/// Why a body is not read, as far as the headers say.
fn refused_unread(head: &Parts, limit: usize) -> Option<Problem> {
    let encodings = head.headers.get_all(CONTENT_ENCODING).iter();
    let mut encodings = encodings.flat_map(|value| value.to_str().unwrap_or("?").split(','));
    let plain = |one: &str| one.trim().is_empty() || one.trim().eq_ignore_ascii_case("identity");
    if let Some(other) = encodings.find(|one| !plain(one)) {
        let other: String = other.trim().chars().take(40).collect();
        let detail = format!("says that the body is encoded as `{other}`, which is not read");
        let problem = Problem::header("Content-Encoding", detail).of_kind(Code::UnsupportedEncoding);
        return Some(problem.remedy("Send the body as it is, without Content-Encoding."));
    }
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let fits = announced.is_none_or(|length| usize::try_from(length).is_ok_and(|length| length <= limit));
    (!fits).then(|| too_large(limit))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body is larger than {limit} bytes"))
        .remedy("Send less in one request, or raise AMP_MAX_BODY_BYTES.")
}

fn too_slow(in_all: bool, app: &AppState) -> Problem {
    let (detail, setting) = if in_all {
        let seconds = app.tuning.body_timeout_seconds;
        let detail = format!("the body was not complete after {seconds} seconds; nothing was done");
        (detail, "AMP_BODY_TIMEOUT_SECONDS")
    } else {
        let seconds = app.tuning.read_timeout_seconds;
        let detail = format!("nothing of the body arrived for {seconds} seconds; nothing was done");
        (detail, "AMP_READ_TIMEOUT_SECONDS")
    };
    Problem::new(Code::TooSlow, detail).remedy(format!("Send it again, in one go; {setting} is the limit."))
}

/// How much of a body that is refused is still taken in, and for how long.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Takes in and forgets the rest of a body. A client that is still sending when the connection is closed sees a broken
/// connection instead of the answer that tells it why.
async fn drain(mut stream: axum::body::BodyDataStream) {
    let reading = async {
        let mut seen = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            seen += chunk.len();
            if seen > DRAIN_BYTES {
                return;
            }
        }
    };
    // Whether it came to its end or the time ran out: the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

/// A JSON body of a known shape. The content type is not looked at: clients forget it.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        let Body(bytes) = Body::from_request(request, app).await?;
        Self::from_bytes(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned> JsonBody<T> {
    /// Reads a body that has been received already. Values are not repeated in errors: they may be secret.
    ///
    /// # Errors
    /// 400 with the path of the field.
    pub fn from_bytes(bytes: &[u8]) -> Result<T, Problem> {
        let bytes = crate::json::checked(bytes)
            .map_err(|faults| Problem::invalid_body(faults.into_iter().map(Invalid::from).collect()))?;
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        match serde_path_to_error::deserialize(&mut deserializer) {
            Ok(Object(value)) => match deserializer.end() {
                Ok(()) => Ok(value),
                Err(error) => {
                    let detail = format!(
                        "the body goes on after its end, at line {}, column {}",
                        error.line(),
                        error.column()
                    );
                    Err(Problem::invalid("", detail))
                }
            },
            Err(error) => {
                let inner = error.inner();
                if inner.classify() != serde_json::error::Category::Data {
                    let detail = format!(
                        "the body is not valid JSON at line {}, column {}",
                        inner.line(),
                        inner.column()
                    );
                    return Err(Problem::invalid("", detail));
                }
                let path = error.path().to_string();
                let text = inner.to_string();
                let text = text.split(" at line ").next().unwrap_or_default();
                let detail = match text.split_once("expected ") {
                    Some((_, expected)) => format!("has the wrong type: expected {expected}"),
                    None => text.to_owned(),
                };
                let name = if path == "." { String::new() } else { path };
                Err(Problem::invalid_body(vec![Invalid::new(name, detail)]))
            }
        }
    }
}

/// Path segments, split before they are decoded: a decoded segment may hold `/`.
#[derive(Debug)]
pub struct Segments<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let Path(value) = Path::<T>::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("a segment of the path is not UTF-8 once decoded"))?;
        if parts.uri.path().contains("%00") {
            return Err(Problem::not_found(
                "a segment of the path holds a NUL character, which no name does",
            ));
        }
        Ok(Self(value))
    }
}

/// A query string of a known shape; unknown parameters are ignored.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::new(
                Code::InvalidRequest,
                "the query string holds a NUL character",
            ));
        }
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(match repeated(parts.uri.query().unwrap_or_default()) {
                Some(name) => Problem::query(&name, "appears twice; send it once"),
                None => Problem::new(
                    Code::InvalidRequest,
                    format!("the query string cannot be read: {}", rejection.body_text()),
                ),
            }),
        }
    }
}

/// The first parameter of a query string that is there more than once.
fn repeated(query: &str) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    names
        .find(|name| !seen.insert(name.clone()))
        .map(|name| name.chars().take(100).collect())
}

/// The value of a header that a request may carry once.
///
/// # Errors
/// 400 when it is there more than once: which of them is meant?
pub fn header_once<'h>(
    headers: &'h http::HeaderMap,
    header: &str,
    shown: &str,
) -> Result<Option<&'h http::HeaderValue>, Problem> {
    let mut values = headers.get_all(header).iter();
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Problem::header(shown, "appears twice; send it once")),
    }
}

/// An id out of a path. What is no UUID names nothing, so it is a 404 with the resource's own words.
///
/// # Errors
/// 404 with `detail`.
pub fn id(text: &str, detail: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| Problem::not_found(detail))
}
