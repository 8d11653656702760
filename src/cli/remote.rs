//! A running server, as the commands that talk to one reach it.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::outbound::{Outbound, OutboundOptions, WireRequest};
use crate::redact;
use crate::vault::Secret;

/// How long an answer may take: a synchronous write waits for its provider.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
pub(super) struct RemoteArgs {
    /// Where the server is
    #[arg(
        long,
        env = "AMP_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    url: String,

    /// The project, by name or id
    #[arg(long, env = "AMP_PROJECT", value_name = "PROJECT")]
    project: String,

    /// An API key of the project, with the scope full
    #[arg(long, env = "AMP_API_KEY", value_name = "KEY")]
    api_key: Secret,
}

/// A server.
#[derive(Debug)]
pub(super) struct Remote {
    http: Outbound,
    args: RemoteArgs,
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body; `null` when there is none.
    pub body: Value,
}

impl Answered {
    /// The first header of this name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Remote {
    /// Gets ready to talk.
    ///
    /// # Errors
    /// When the URL is none, or the HTTP client cannot be built.
    pub fn new(args: RemoteArgs) -> Result<Self, String> {
        let parsed = url::Url::parse(&args.url)
            .map_err(|error| format!("--url (AMP_URL) {} is not a URL: {error}", redact::url(&args.url)))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err("--url (AMP_URL) must be an http or https URL with a host".to_owned());
        }
        let http = Outbound::new(OutboundOptions {
            timeout: TIMEOUT,
            max_response_bytes: MAX_BYTES,
            trusted_urls: vec![args.url.clone()],
        })?;
        Ok(Self { http, args })
    }

    /// The path of something in the project; the segments are percent-encoded, verbs such as `:batch` are not.
    pub fn path(&self, segments: &[&str]) -> String {
        let mut path = String::from("/v1/projects");
        for segment in std::iter::once(&self.args.project.as_str()).chain(segments) {
            path.push('/');
            path.extend(percent_encoding::utf8_percent_encode(segment, SEGMENT));
        }
        path
    }

    /// One request.
    ///
    /// # Errors
    /// When the server cannot be reached, or answers something else than JSON.
    pub async fn call(
        &self,
        method: http::Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answered, String> {
        let mut headers = http::HeaderMap::new();
        let mut key = http::HeaderValue::from_str(self.args.api_key.expose())
            .map_err(|_| "the API key holds characters that a header cannot carry".to_owned())?;
        key.set_sensitive(true);
        headers.insert("x-api-key", key);
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        let url = format!("{}{path}", self.args.url.trim_end_matches('/'));
        let request = WireRequest {
            method,
            url,
            headers,
            body: body.map(String::into_bytes),
        };
        let answer = self.http.send(request).await.map_err(|error| {
            let error = error.to_string().replace("the provider", "the server");
            format!(
                "{}: {error}\n  Is amp-write running there? Name another place with --url or AMP_URL.",
                redact::url(&self.args.url)
            )
        })?;
        let body = if answer.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&answer.body).map_err(|_| {
                format!(
                    "{} answered {} and something that is not JSON: is it amp-write?",
                    redact::url(&self.args.url),
                    answer.status
                )
            })?
        };
        Ok(Answered {
            status: answer.status,
            headers: answer.headers,
            body,
        })
    }

    /// One request that must succeed.
    ///
    /// # Errors
    /// As [`Remote::call`], and the problem that the server answers, written out.
    pub async fn expect(
        &self,
        method: http::Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answered, String> {
        let answered = self.call(method, path, body).await?;
        if (200..300).contains(&answered.status) {
            Ok(answered)
        } else {
            Err(written_out(&answered.body))
        }
    }
}

/// What a path segment cannot hold as it is.
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b':');

/// A problem as a few lines for people.
pub(super) fn written_out(problem: &Value) -> String {
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let status = problem.get("status").and_then(Value::as_u64).unwrap_or_default();
    let mut out = match text("detail") {
        Some(detail) => format!("{detail} ({status})"),
        None => return problem.to_string(),
    };
    for issue in problem
        .get("issues")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = |key: &str| issue.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = part("name");
        let name = if name.is_empty() {
            String::new()
        } else {
            format!("{name}: ")
        };
        out.push_str(&format!("\n  {name}{}", part("detail")));
    }
    for cause in problem
        .get("causes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        out.push_str(&format!("\n  because: {}", cause.as_str().unwrap_or_default()));
    }
    if let Some(remedy) = text("remedy") {
        out.push_str(&format!("\n  {remedy}"));
    }
    out
}
