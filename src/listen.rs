//! Serving HTTP to clients: how long a connection may be silent, how many there are, what becomes of them at a stop.
//!
//! A connection that says nothing costs a few kilobytes and is closed in time; one on which a request is being answered is
//! never cut, however long the answer takes. When all places are taken, those that have been silent longest make room.

mod places;
mod socket;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use places::{Place, Places};
use socket::{Busy, Socket};

/// How long a request may take to arrive whose beginning was there when a stop began.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long accepting pauses after it has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After so long without a failure accepting counts as mended.
const MENDED_AFTER: Duration = Duration::from_secs(10);

/// What clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// How long the headers of a request may take to arrive, counted from the first byte, or from the connection's beginning;
    /// and how long an answer may wait for the client to take more of it.
    pub read: Duration,
    /// How long a connection may be open between two requests.
    pub idle: Duration,
}

impl Limits {
    /// The same, within what the system grants this process: each request may need a connection to a provider as well, so
    /// clients get half of the file descriptors. The process' own limit is raised as far as the system lets it.
    #[must_use]
    pub fn within_system(self) -> Self {
        let Some(files) = raise_file_limit() else {
            return self;
        };
        let room = usize::try_from(files / 2).unwrap_or(usize::MAX).max(1);
        if room < self.connections {
            tracing::info!(
                connections = room,
                files,
                "the limit of open files (ulimit -n) leaves room for fewer connections than AMP_MAX_CONNECTIONS"
            );
        }
        self.at_most(room)
    }

    /// The same with fewer connections.
    #[must_use]
    pub fn at_most(self, connections: usize) -> Self {
        Self {
            connections: self.connections.min(connections),
            ..self
        }
    }
}

/// How many files this process may open, after raising that to what the system allows; `None` where there is no limit to know.
#[cfg(unix)]
fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    // macOS says that there is no limit and takes no more than this.
    for wanted in [now.maximum, Some(10_240)] {
        let more = wanted.is_none_or(|wanted| now.current.is_some_and(|current| current < wanted));
        let raised = Rlimit {
            current: wanted,
            maximum: now.maximum,
        };
        if more && setrlimit(Resource::Nofile, raised).is_ok() {
            return wanted;
        }
    }
    now.current
}

#[cfg(not(unix))]
fn raise_file_limit() -> Option<u64> {
    None
}

/// Serves until `stop`. Then nothing new is accepted, requests in flight are finished, and this ends with the last of them.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    // Made ready once: cloning it for a connection then is counting a reference.
    let router: Router = router.with_state(());
    let places = Places::new(limits.connections);
    let tasks = TaskTracker::new();
    let mut accepting = Accepting::default();
    loop {
        let next = async {
            let stream = accepting.next(&listener, &places).await;
            (stream, places.take(limits.read).await)
        };
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        tasks.spawn(connection(stream, router.clone(), place, limits, stop.clone()));
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    router: Router,
    place: Place,
    limits: Limits,
    stop: CancellationToken,
) {
    // A socket without this option is slower, not wrong. Small answers must not wait for more to be sent with them.
    let _ = stream.set_nodelay(true);
    let watch = place.watch();
    let socket = TokioIo::new(Socket::new(stream, watch.clone(), limits));
    let service = service_fn(|request: Request<Incoming>| {
        let busy = Busy::begin(watch.clone(), limits.idle);
        let answer = router.clone().oneshot(request.map(Body::new));
        async move {
            let answer: Result<Response<Body>, Infallible> = answer.await;
            answer.map(|response| response.map(|body| Answer { body, _busy: busy }))
        }
    });
    let mut serving = pin!(http1::Builder::new().serve_connection(socket, service));
    let mut silence = pin!(tokio::time::sleep(limits.read));
    let mut told = false;
    loop {
        let until = watch.until();
        if let Some(until) = until.filter(|until| *until != silence.deadline()) {
            silence.as_mut().reset(until);
        }
        tokio::select! {
            // How a connection ends is the client's affair: there is nobody to tell.
            _ = serving.as_mut() => break,
            () = silence.as_mut(), if until.is_some() => {
                if watch.is_over() {
                    break;
                }
            }
            () = watch.changed() => {}
            () = stop.cancelled(), if !told => {
                told = true;
                serving.as_mut().graceful_shutdown();
                watch.hurry(STOP_GRACE);
            }
        }
    }
}

/// The body of an answer. Until the last of it is on its way the connection is busy.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Accepting, which fails when the process is out of file descriptors: said once, not each time.
#[derive(Default)]
struct Accepting {
    failed: Option<tokio::time::Instant>,
}

impl Accepting {
    async fn next(&mut self, listener: &TcpListener, places: &Places) -> TcpStream {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if self.failed.is_some_and(|failed| failed.elapsed() > MENDED_AFTER) {
                        self.failed = None;
                        tracing::info!("connections are accepted again");
                    }
                    return stream;
                }
                // The client had gone before it was accepted.
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    if self.failed.replace(tokio::time::Instant::now()).is_none() {
                        tracing::error!(
                            %error,
                            "connections cannot be accepted: clients wait. If the process is out of file descriptors, raise its limit (ulimit -n) or lower AMP_MAX_CONNECTIONS"
                        );
                    }
                    // Each of them holds a descriptor.
                    places.make_room();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn is_the_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
