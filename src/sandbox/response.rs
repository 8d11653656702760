//! From a reply to bytes on the wire, spoilt on the way when a fault says so.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::watch;

use super::connection::Cutter;
use super::core::Core;
use super::faults::{Fault, FaultKind};
use super::message::Reply;

pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    // Also when the sandbox is gone.
    let _ = closing.wait_for(|c| *c).await;
}

/// Closes the connection without a byte more. Where the connection is not the sandbox's own, the answer
/// breaks off instead.
pub(super) fn cut(cutter: Option<&Cutter>) -> Response {
    match cutter {
        Some(cutter) => {
            cutter.cut();
            Response::new(Body::empty())
        }
        None => Response::new(broken_off(Bytes::new())),
    }
}

fn broken_off(start: Bytes) -> Body {
    let pieces = [Ok(start), Err(std::io::Error::other("cut by a fault"))];
    Body::from_stream(stream::iter(pieces))
}

pub(super) fn send(mut reply: Reply) -> Response {
    let body = Body::from(std::mem::take(&mut reply.body));
    head(&reply, body, None)
}

/// The response of a reply with another body; `length` sets `Content-Length`.
fn head(reply: &Reply, body: Body, length: Option<usize>) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    if let Some(length) = length {
        response
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Sends the answer, spoilt by the faults that act on the body.
pub(super) fn spoilt(core: &Core, reply: Reply, plan: &[Arc<Fault>]) -> Response {
    for fault in plan {
        let spec = &fault.spec;
        match spec.fault {
            FaultKind::TruncateJson => {
                let full = reply.body.len();
                let asked = spec
                    .bytes
                    .and_then(|b| usize::try_from(b).ok())
                    .unwrap_or(full / 2);
                let part = Bytes::from(reply.body[..asked.min(full)].to_vec());
                if spec.cut {
                    return head(&reply, broken_off(part), Some(full));
                }
                return head(&reply, Body::from(part), None);
            }
            FaultKind::HugeBody => {
                return head(&reply, huge(spec.bytes.unwrap_or(100_000_000)), None);
            }
            FaultKind::SlowDrip => {
                let size = spec.chunk_bytes.unwrap_or(1).max(1);
                let pause = Duration::from_millis(spec.delay_ms.unwrap_or(100));
                let length = reply.body.len();
                let body = drip(core, Bytes::from(reply.body.clone()), size, pause);
                return head(&reply, body, Some(length));
            }
            _ => {}
        }
    }
    send(reply)
}

/// Valid JSON of exactly `size` bytes (at least 14), made while it is sent.
fn huge(size: u64) -> Body {
    const START: &[u8] = b"{\"padding\":\"";
    const END: &[u8] = b"\"}";
    const PIECE: &[u8] = &[b'x'; 64 * 1024];
    let filling = size.saturating_sub((START.len() + END.len()) as u64);
    let middle = stream::unfold(filling, |left| async move {
        if left == 0 {
            return None;
        }
        let now = left.min(PIECE.len() as u64);
        let piece = &PIECE[..usize::try_from(now).unwrap_or(PIECE.len())];
        Some((Ok::<_, std::io::Error>(Bytes::from_static(piece)), left - now))
    });
    let ends = |text: &'static [u8]| stream::iter([Ok(Bytes::from_static(text))]);
    Body::from_stream(futures_util::StreamExt::chain(
        futures_util::StreamExt::chain(ends(START), middle),
        ends(END),
    ))
}

/// The bytes in pieces with pauses between them; broken off when the sandbox shuts down.
fn drip(core: &Core, bytes: Bytes, size: usize, pause: Duration) -> Body {
    let closing = core.closing.subscribe();
    Body::from_stream(stream::unfold(
        (bytes, closing, true),
        move |(mut left, mut closing, first)| async move {
            if left.is_empty() {
                return None;
            }
            if !first {
                let stopped = tokio::select! {
                    () = tokio::time::sleep(pause) => false,
                    () = closed(&mut closing) => true,
                };
                if stopped {
                    return Some((
                        Err(std::io::Error::other("the sandbox shuts down")),
                        (Bytes::new(), closing, false),
                    ));
                }
            }
            let piece = left.split_to(size.min(left.len()));
            Some((Ok(piece), (left, closing, false)))
        },
    ))
}
