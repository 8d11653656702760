//! The one handler: reads a request, lets the faults act, has the simulator answer, keeps the ledger.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::clock;
use super::connection::Cutter;
use super::core::Core;
use super::faults::{Facts, Fault, FaultKind, Mods};
use super::journal::Line;
use super::ledger::{LedgerEntry, LedgerStatus};
use super::lock;
use super::message::{Provider, Reply, Request, field};
use super::response::{closed, cut, send, spoilt};
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
    action: &'static str,
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
        action: place.action,
        sequence,
    };
    if plan.is_empty() {
        let mut reply = perform(&core, &arrival, &Mods::default());
        core.note_reply(sequence, &mut reply);
        return send(reply);
    }
    // A task of its own: a client that gives up does not stop what the provider had begun.
    let task = tokio::spawn(with_faults(core, arrival, plan, cutter));
    task.await
        .unwrap_or_else(|_| send(Reply::text(500, "text/plain", "the sandbox failed\n")))
}

fn shown_headers(request: &Request) -> Vec<(String, String)> {
    let shown = |name: &HeaderName, value: &HeaderValue| {
        if name == http::header::AUTHORIZATION || name == "x-sfdc-session" {
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
                action: arrival.action,
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
    // The ledger is complete before anyone who waits for the fault goes on.
    let noted = |status: LedgerStatus| {
        core.note_status(sequence, status);
        let waits_or_locks = |kind| matches!(kind, FaultKind::Hold | FaultKind::Delay | FaultKind::RowLock);
        plan.iter()
            .filter(|f| !waits_or_locks(f.spec.fault))
            .for_each(|f| f.acted());
    };
    let dropped = || {
        noted(LedgerStatus::Dropped);
        cut(cutter.as_ref())
    };
    let mut mods = Mods::default();
    for fault in &plan {
        mods.take(fault);
    }
    for fault in plan.iter().filter(|f| !f.spec.is_after()) {
        if wait(&core, fault).await.is_err() {
            return dropped();
        }
    }
    if plan.iter().any(|f| f.spec.fault == FaultKind::DropBeforeCommit) {
        return dropped();
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
        noted(LedgerStatus::Answered(reply.status));
        return send(reply);
    }
    let mut reply = perform(&core, &arrival, &mods);
    core.note_changes(sequence, &mut reply);
    for fault in plan.iter().filter(|f| f.spec.is_after()) {
        if wait(&core, fault).await.is_err() {
            return dropped();
        }
    }
    if plan.iter().any(|f| f.spec.fault == FaultKind::DropAfterCommit) {
        return dropped();
    }
    for fault in &plan {
        if let Some(other) =
            refusals::after_commit(&core, arrival.provider, arrival.account.as_deref(), &fault.spec)
        {
            reply = other;
        }
    }
    noted(LedgerStatus::Answered(reply.status));
    spoilt(&core, reply, &plan)
}

/// Waits for a delay or a release; `Err` when the sandbox shuts down meanwhile.
async fn wait(core: &Core, fault: &Fault) -> Result<(), ()> {
    if !matches!(fault.spec.fault, FaultKind::Hold | FaultKind::Delay) {
        return Ok(());
    }
    fault.acted();
    let mut closing = core.closing.subscribe();
    let pause = Duration::from_millis(fault.spec.delay_ms.unwrap_or_default());
    tokio::select! {
        () = fault.wait_released(), if fault.spec.fault == FaultKind::Hold => Ok(()),
        () = tokio::time::sleep(pause), if fault.spec.fault == FaultKind::Delay => Ok(()),
        () = closed(&mut closing) => Err(()),
    }
}
