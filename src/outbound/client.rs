//! The one HTTP client. It follows no redirect, reads no more than it may, waits no longer than it may, and tells
//! "certainly not sent" from "sent, no answer", because a create depends on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use reqwest::dns::Resolve as _;

use super::guard::{Guard, GuardError};
use super::mint::Tokens;
use crate::connectors::ProviderResponse;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept for the next call.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// A request with its credentials attached. It does not print them.
pub struct WireRequest {
    /// The HTTP method.
    pub method: http::Method,
    /// The absolute URL.
    pub url: String,
    /// All headers, credentials and content type included.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Option<Vec<u8>>,
}

impl std::fmt::Debug for WireRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireRequest")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The address is not one that the service calls. Nothing was sent; trying again does not help.
    #[error(transparent)]
    Refused(#[from] GuardError),
    /// No connection could be made, so nothing was sent.
    #[error("the provider could not be reached: {0}")]
    NotSent(String),
    /// The request left, or may have left, and no answer arrived.
    #[error("the provider did not answer: {0}")]
    NoAnswer(String),
}

/// What the client needs to know.
#[derive(Debug, Clone)]
pub struct OutboundOptions {
    /// How long an answer may take, from the first byte sent to the last byte read.
    pub timeout: Duration,
    /// How much of an answer is read, in bytes.
    pub max_response_bytes: usize,
    /// URLs from the operator's settings, whose hosts may be private.
    pub trusted_urls: Vec<String>,
}

/// Sends requests to providers.
#[derive(Debug, Clone)]
pub struct Outbound {
    client: reqwest::Client,
    guard: Guard,
    options: OutboundOptions,
    pub(super) tokens: Arc<Tokens>,
}

impl Outbound {
    /// Builds the client.
    ///
    /// # Errors
    /// When the system's TLS roots cannot be read.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that builds an HTTP client"
    )]
    pub fn new(options: OutboundOptions) -> Result<Self, String> {
        // Fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Guard::new(options.trusted_urls.iter().map(String::as_str));
        let client = reqwest::Client::builder()
            .user_agent(concat!("amp-write/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(options.timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(guard.clone()))
            .build()
            .map_err(|error| format!("the HTTP client cannot be built: {}", chain(&error)))?;
        Ok(Self {
            client,
            guard,
            options,
            tokens: Arc::new(Tokens::new()),
        })
    }

    /// Says whether a URL would be refused when it is called for a provider: names are resolved, nothing is sent. A name that
    /// cannot be resolved now is not refused, but not reached.
    ///
    /// # Errors
    /// [`GuardError`] says what is not allowed.
    pub async fn check(&self, _provider: &str, url: &str) -> Result<(), GuardError> {
        let url = self.guard.check(url)?;
        let Some(name) = url
            .domain()
            .and_then(|name| name.parse::<reqwest::dns::Name>().ok())
        else {
            return Ok(());
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, self.guard.resolve(name)).await {
            Ok(Err(error)) => match error.downcast::<GuardError>() {
                Ok(refused) => Err(*refused),
                Err(_) => Ok(()),
            },
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// How long an answer may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Sends one request and reads its answer up to the cap.
    ///
    /// # Errors
    /// [`SendError`] tells whether anything can have reached the provider.
    pub async fn send(&self, request: WireRequest) -> Result<ProviderResponse, SendError> {
        let url = self.guard.check(&request.url)?;
        let mut builder = self.client.request(request.method, url).headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let response = builder.send().await.map_err(|error| classify(&error))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let mut body = BytesMut::new();
        let mut truncated = false;
        let mut stream = response.bytes_stream_capped();
        while let Some(chunk) = stream.next().await {
            // A connection that breaks while the body arrives: the status is known, the rest is not.
            let Ok(chunk) = chunk else {
                truncated = true;
                break;
            };
            let room = self.options.max_response_bytes.saturating_sub(body.len());
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                truncated = true;
                break;
            }
        }
        // An answer that cannot be read safely counts as one that did not arrive whole.
        let truncated = truncated || crate::json::uses_reserved_key(&body);
        Ok(ProviderResponse {
            status,
            headers,
            body: body.to_vec(),
            truncated,
        })
    }
}

/// Reads a body piece by piece, so that the caller decides when it is enough.
trait BytesStreamCapped {
    fn bytes_stream_capped(self) -> futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>;
}

impl BytesStreamCapped for reqwest::Response {
    fn bytes_stream_capped(self) -> futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>> {
        futures_util::stream::unfold(self, |mut response| async move {
            match response.chunk().await {
                Ok(Some(chunk)) => Some((Ok(chunk), response)),
                Ok(None) => None,
                Err(error) => Some((Err(error), response)),
            }
        })
        .boxed()
    }
}

fn classify(error: &reqwest::Error) -> SendError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if let Some(guard) = inner.downcast_ref::<GuardError>() {
            return SendError::Refused(guard.clone());
        }
        source = inner.source();
    }
    if error.is_connect() || error.is_builder() {
        SendError::NotSent(chain(error))
    } else if error.is_timeout() {
        SendError::NoAnswer("it took too long".to_owned())
    } else {
        SendError::NoAnswer(chain(error))
    }
}

/// The innermost cause: it says most. URLs are left out, since they can hold keys.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
