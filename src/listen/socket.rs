//! A client's connection under watch: what it is doing, and until when it may.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;

/// What a connection is doing.
pub(super) struct Watch {
    /// `None` while a request is being answered.
    quiet: Mutex<Option<Quiet>>,
    /// It may be over sooner than was known.
    changed: Notify,
}

/// A connection that waits for a request.
#[derive(Debug, Clone, Copy)]
struct Quiet {
    since: Instant,
    /// When it is closed.
    until: Instant,
    /// Whether the headers have begun, or have to begin.
    in_headers: bool,
}

impl Watch {
    /// Of a connection that begins now and has `read` for the headers of its first request.
    pub fn new(read: Duration) -> Self {
        let now = Instant::now();
        Self {
            quiet: Mutex::new(Some(Quiet {
                since: now,
                until: now + read,
                in_headers: true,
            })),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Quiet>> {
        // Only plain values are put into it.
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come: of a request that begins, if none is being answered.
    fn heard(&self, read: Duration) {
        if let Some(quiet) = self.lock().as_mut().filter(|quiet| !quiet.in_headers) {
            quiet.in_headers = true;
            quiet.until = Instant::now() + read;
            self.changed.notify_one();
        }
    }

    /// The last of an answer is leaving, or waits to: that is no silence. `left` is what it has from now.
    fn sends(&self, left: Duration) {
        if let Some(quiet) = self.lock().as_mut() {
            let now = Instant::now();
            let sooner = now + left < quiet.until;
            quiet.since = now;
            quiet.until = now + left;
            if sooner {
                self.changed.notify_one();
            }
        }
    }

    /// The time that is left for it must not be longer than `grace`.
    pub fn hurry(&self, grace: Duration) {
        if let Some(quiet) = self.lock().as_mut() {
            quiet.until = quiet.until.min(Instant::now() + grace);
        }
    }

    /// Since when it has been without a request; `None` while one is being answered.
    pub fn quiet_since(&self) -> Option<Instant> {
        self.lock().map(|quiet| quiet.since)
    }

    /// When the connection is closed, as far as is known; `None` while a request is being answered.
    pub fn until(&self) -> Option<Instant> {
        self.lock().map(|quiet| quiet.until)
    }

    /// Whether its time is over.
    pub fn is_over(&self) -> bool {
        self.until().is_some_and(|until| until <= Instant::now())
    }

    /// Waits until it may be over sooner than was known.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Tells it to close, unless a request has begun.
    pub fn leave(&self) {
        self.hurry(Duration::ZERO);
        self.changed.notify_one();
    }
}

/// A request that is being answered, until the last of the answer is on its way.
pub(super) struct Busy {
    watch: Arc<Watch>,
    idle: Duration,
}

impl Busy {
    pub fn begin(watch: Arc<Watch>, idle: Duration) -> Self {
        *watch.lock() = None;
        Self { watch, idle }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now = Instant::now();
        *self.watch.lock() = Some(Quiet {
            since: now,
            until: now + self.idle,
            in_headers: false,
        });
        self.watch.changed.notify_one();
    }
}

/// The socket. It says when bytes come, and a write fails once the client has not taken anything for too long.
pub(super) struct Socket {
    stream: TcpStream,
    watch: Arc<Watch>,
    limits: Limits,
    /// There while a write waits.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub const fn new(stream: TcpStream, watch: Arc<Watch>, limits: Limits) -> Self {
        Self {
            stream,
            watch,
            limits,
            writing: None,
        }
    }

    /// What came of a write, or an error when it has waited for too long.
    fn poll_written<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            self.watch.sends(self.limits.idle);
            return written;
        }
        // It fails by itself before that.
        self.watch.sends(self.limits.read * 2);
        let until = Instant::now() + self.limits.read;
        let sleep = self.writing.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.watch.heard(this.limits.read);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.poll_written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        this.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
