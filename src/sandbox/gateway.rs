//! The one handler: reads a request, lets the faults act, has the simulator answer, keeps the ledger.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::watch;

use super::clock;
use super::connection::Cutter;
use super::core::Core;
use super::faults::{Facts, Fault, FaultKind, Mods};
use super::journal::Line;
use super::ledger::{LedgerEntry, LedgerStatus};
use super::lock;
use super::message::{Provider, Reply, Request, field};
use super::tokens::Access;
use super::{control, hubspot, refusals, salesforce};

/// The largest request body read, in bytes.
const MAX_REQUEST: usize = 256 * 1024 * 1024;

/// Answers any request to the sandbox.
pub(crate) async fn serve(core: Arc<Core>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let cutter = parts
        .extensions
        .get::<ConnectInfo<Cutter>>()
        .map(|ConnectInfo(c)| c.clone());
    let Ok(body) = to_bytes(body, MAX_REQUEST).await else {
        return send(Reply::text(
            413,
            "text/plain",
            "the request body could not be read or is too large\n",
        ));
    };
    let path = parts.uri.path();
    let (first, rest) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((path.trim_start_matches('/'), ""));
    let request = Request {
        method: parts.method,
        path: format!("/{rest}"),
        raw_query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body,
    };
    if first == "_sandbox" || path == "/" {
        return send(control::handle(&core, &request).await);
    }
    let Some(provider) = Provider::parse(first) else {
        let hint = "no such path; the sandbox serves /hubspot, /salesforce, /echo and /_sandbox\n";
        return send(Reply::text(404, "text/plain", hint));
    };
    provide(core, provider, request, cutter).await
}

/// What is known of a request before it is handled.
#[derive(Debug)]
struct Arrival {
    provider: Provider,
    request: Request,
    account: Option<String>,
    sequence: u64,
}

async fn provide(core: Arc<Core>, provider: Provider, request: Request, cutter: Option<Cutter>) -> Response {
    let account = account_of(&core, provider, &request);
    let path = match &request.raw_query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let body = String::from_utf8_lossy(&request.body);
    let method = match request.query("_HttpMethod") {
        Some(method) if provider == Provider::Salesforce => method,
        _ => request.method.as_str().to_owned(),
    };
    let place = match provider {
        Provider::HubSpot => hubspot::place(&request),
        Provider::Salesforce => salesforce::place(&request),
        Provider::Echo => hubspot::Place {
            object: None,
            action: "other",
        },
    };
    let plan = core.faults.plan(&Facts {
        provider,
        account: account.as_deref(),
        method: &method,
        path: &path,
        object: place.object.as_deref(),
        action: place.action,
        body: &body,
    });
    let sequence = core.ledger.begin(LedgerEntry {
        sequence: 0,
        time: clock::iso(core.clock.now_ms()),
        account: account.clone(),
        provider,
        method: request.method.as_str().to_owned(),
        path,
        headers: shown_headers(&request),
        body: body.into_owned(),
        status: LedgerStatus::Pending,
        faults: plan.iter().map(|f| f.spec.fault.name()).collect(),
        changes: Vec::new(),
    });
    let arrival = Arrival {
        provider,
        request,
        account,
        sequence,
    };
    if plan.is_empty() {
        let mut reply = perform(&core, &arrival, &Mods::default());
        core.note_changes(sequence, &mut reply);
        core.note_status(sequence, LedgerStatus::Answered(reply.status));
        return send(reply);
    }
    // A task of its own: a client that gives up does not stop what the provider had begun.
    let task = tokio::spawn(with_faults(core, arrival, plan, cutter));
    task.await
        .unwrap_or_else(|_| send(Reply::text(500, "text/plain", "the sandbox failed\n")))
}

fn shown_headers(request: &Request) -> Vec<(String, String)> {
    let shown = |name: &HeaderName, value: &HeaderValue| {
        if name == http::header::AUTHORIZATION {
            return "[redacted]".to_owned();
        }
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    request
        .headers
        .iter()
        .map(|(n, v)| (n.as_str().to_owned(), shown(n, v)))
        .collect()
}

fn is_token_request(provider: Provider, request: &Request) -> bool {
    match provider {
        Provider::HubSpot => request.path.starts_with("/oauth/"),
        Provider::Salesforce => salesforce::is_token_path(&request.path),
        Provider::Echo => false,
    }
}

/// The account a request is for, also when its token has expired.
fn account_of(core: &Core, provider: Provider, request: &Request) -> Option<String> {
    if is_token_request(provider, request) {
        let form = request.form();
        let refresh = field(&form, "refresh_token").unwrap_or_default();
        return core.tokens.account_of_refresh(provider, refresh);
    }
    match core.tokens.check(provider, request.bearer(), core.clock.now_ms()) {
        Access::Granted { account, .. } | Access::Expired { account, .. } => Some(account),
        Access::Refused => None,
    }
}

/// Has the simulator handle the request: everything that takes effect takes effect here, under the lock
/// of the one account, and is in the journal when this returns.
fn perform(core: &Core, arrival: &Arrival, mods: &Mods) -> Reply {
    let Arrival {
        provider, request, ..
    } = arrival;
    let now_ms = core.clock.now_ms();
    let kept = |reply: Reply, lines: &[Line]| match core.keep(lines) {
        Ok(()) => reply,
        Err(error) => Reply::text(
            500,
            "text/plain",
            format!("the sandbox cannot write its journal: {error}\n"),
        ),
    };
    if is_token_request(*provider, request) {
        let (reply, events) = match provider {
            Provider::HubSpot => {
                let hub_id = |account: &str| lock(&core.hubspot(account)).settings.hub_id;
                hubspot::token(&core.tokens, request, mods.rotate(), hub_id, now_ms)
            }
            _ => salesforce::token(core, request, mods, now_ms),
        };
        return match core.keep_tokens(events) {
            Ok(()) => reply,
            Err(error) => kept(Reply::text(500, "text/plain", error.to_string()), &[]),
        };
    }
    if *provider == Provider::Echo {
        let path = match &request.raw_query {
            Some(query) => format!("{}?{query}", request.path),
            None => request.path.clone(),
        };
        return lock(&core.echo).answer(request, &path);
    }
    let access = core.tokens.check(*provider, request.bearer(), now_ms);
    let (name, scopes) = match &access {
        Access::Granted { account, scopes } => (account, scopes.as_deref()),
        _ => return refusals::unauthorized(core, *provider, &access, mods, now_ms),
    };
    match provider {
        Provider::HubSpot => {
            let account = core.hubspot(name);
            let mut account = lock(&account);
            let rng = account.rng.clone();
            let cx = hubspot::Context {
                now_ms,
                mods,
                counter: &core.counter,
                rng,
                changes: Vec::new(),
            };
            let reply = hubspot::handle(&mut account, request, scopes, cx);
            let lines = account.take_dirty();
            kept(reply, &lines)
        }
        _ => {
            let account = core.salesforce(name);
            let mut account = lock(&account);
            let cx = salesforce::Context {
                now_ms,
                mods,
                counter: &core.counter,
                changes: Vec::new(),
            };
            let reply = salesforce::handle(&mut account, request, scopes, cx);
            let lines = account.take_dirty();
            kept(reply, &lines)
        }
    }
}

/// Handles a request on which faults act: waits, refusals, the commit, waits, a spoilt answer.
async fn with_faults(
    core: Arc<Core>,
    arrival: Arrival,
    plan: Vec<Arc<Fault>>,
    cutter: Option<Cutter>,
) -> Response {
    let sequence = arrival.sequence;
    let dropped = |core: &Core| {
        core.note_status(sequence, LedgerStatus::Dropped);
        cut(cutter.as_ref())
    };
    let mut mods = Mods::default();
    for fault in &plan {
        mods.take(fault);
    }
    for fault in plan.iter().filter(|f| !f.spec.is_after()) {
        if wait(&core, fault).await.is_err() {
            return dropped(&core);
        }
    }
    if plan.iter().any(|f| f.spec.fault == FaultKind::DropBeforeCommit) {
        return dropped(&core);
    }
    let refused = plan.iter().find_map(|f| {
        refusals::before_commit(
            &core,
            arrival.provider,
            arrival.account.as_deref(),
            &arrival.request,
            &f.spec,
        )
    });
    if let Some(reply) = refused {
        core.note_status(sequence, LedgerStatus::Answered(reply.status));
        return send(reply);
    }
    let mut reply = perform(&core, &arrival, &mods);
    core.note_changes(sequence, &mut reply);
    for fault in plan.iter().filter(|f| f.spec.is_after()) {
        if wait(&core, fault).await.is_err() {
            return dropped(&core);
        }
    }
    if plan.iter().any(|f| f.spec.fault == FaultKind::DropAfterCommit) {
        return dropped(&core);
    }
    for fault in &plan {
        if let Some(other) =
            refusals::after_commit(&core, arrival.provider, arrival.account.as_deref(), &fault.spec)
        {
            reply = other;
        }
    }
    core.note_status(sequence, LedgerStatus::Answered(reply.status));
    spoilt(&core, reply, &plan)
}

/// Waits for a delay or a release; `Err` when the sandbox shuts down meanwhile.
async fn wait(core: &Core, fault: &Fault) -> Result<(), ()> {
    if !matches!(fault.spec.fault, FaultKind::Hold | FaultKind::Delay) {
        return Ok(());
    }
    let mut closing = core.closing.subscribe();
    let pause = Duration::from_millis(fault.spec.delay_ms.unwrap_or_default());
    tokio::select! {
        () = fault.wait_released(), if fault.spec.fault == FaultKind::Hold => Ok(()),
        () = tokio::time::sleep(pause), if fault.spec.fault == FaultKind::Delay => Ok(()),
        () = closed(&mut closing) => Err(()),
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // Also when the sandbox is gone.
    let _ = closing.wait_for(|c| *c).await;
}

/// Closes the connection without a byte more. Where the connection is not the sandbox's own, the answer
/// breaks off instead.
fn cut(cutter: Option<&Cutter>) -> Response {
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

fn send(reply: Reply) -> Response {
    let body = Body::from(reply.body.clone());
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
fn spoilt(core: &Core, reply: Reply, plan: &[Arc<Fault>]) -> Response {
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
