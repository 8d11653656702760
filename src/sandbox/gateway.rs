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
use super::ledger::{LedgerEntry, LedgerStatus};
use super::message::{Provider, Reply, Request, field};
use super::perform::{account_of, note_presented, perform};
use super::response::{closed, cut, send, spoilt};
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
pub(super) struct Arrival {
    pub provider: Provider,
    pub request: Request,
    pub account: Option<String>,
    pub action: &'static str,
    pub sequence: u64,
}

impl Arrival {
    fn is_refresh(&self) -> bool {
        self.action == "token" && field(&self.request.form(), "grant_type") == Some("refresh_token")
    }
}

/// Answers a request to a simulator.
pub(super) async fn provide(
    core: Arc<Core>,
    provider: Provider,
    request: Request,
    cutter: Option<Cutter>,
) -> Response {
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
    let account = account_of(&core, provider, place.action, &request);
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
    let presents = place.action == "token";
    if presents {
        note_presented(&core, &arrival);
    }
    let (response, whole) = if plan.is_empty() {
        let mut reply = perform(&core, &arrival, &Mods::default());
        core.note_reply(sequence, &mut reply);
        if presents {
            core.note_use_status(sequence, LedgerStatus::Answered(reply.status));
        }
        (send(reply), true)
    } else {
        // A task of its own: a client that gives up does not stop what the provider had begun.
        let task = tokio::spawn(with_faults(Arc::clone(&core), arrival, plan, cutter));
        let failed = |_| {
            (
                send(Reply::text(500, "text/plain", "the sandbox failed\n")),
                false,
            )
        };
        task.await.unwrap_or_else(failed)
    };
    // Who has left meanwhile does not come to here: this future was dropped with the connection.
    if presents && whole {
        core.note_delivery(sequence);
    }
    response
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

/// Handles a request on which faults act: waits, refusals, the commit, waits, a spoilt answer. The answer, and whether
/// it is whole and the simulator's own.
async fn with_faults(
    core: Arc<Core>,
    arrival: Arrival,
    plan: Vec<Arc<Fault>>,
    cutter: Option<Cutter>,
) -> (Response, bool) {
    let sequence = arrival.sequence;
    // The ledger is complete before anyone who waits for the fault goes on.
    let noted = |status: LedgerStatus| {
        core.note_status(sequence, status);
        if arrival.action == "token" {
            core.note_use_status(sequence, status);
        }
        let waits_or_locks = |kind| matches!(kind, FaultKind::Hold | FaultKind::Delay | FaultKind::RowLock);
        plan.iter()
            .filter(|f| !waits_or_locks(f.spec.fault))
            .for_each(|f| f.acted());
    };
    let dropped = || {
        noted(LedgerStatus::Dropped);
        (cut(cutter.as_ref()), false)
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
        return (send(reply), true);
    }
    let mut reply = perform(&core, &arrival, &mods);
    core.note_changes(sequence, &mut reply);
    for fault in plan.iter().filter(|f| f.spec.is_after()) {
        if wait(&core, fault).await.is_err() {
            return dropped();
        }
    }
    let drops = |f: &Arc<Fault>| match f.spec.fault {
        FaultKind::DropAfterCommit => true,
        FaultKind::RotateThenDrop => arrival.is_refresh(),
        _ => false,
    };
    if plan.iter().any(drops) {
        return dropped();
    }
    let spoils = |f: &Arc<Fault>| {
        matches!(
            f.spec.fault,
            FaultKind::TruncateJson | FaultKind::HugeBody | FaultKind::SlowDrip
        )
    };
    let mut whole = !plan.iter().any(spoils);
    for fault in &plan {
        if let Some(other) =
            refusals::after_commit(&core, arrival.provider, arrival.account.as_deref(), &fault.spec)
        {
            reply = other;
            whole = false;
        }
    }
    noted(LedgerStatus::Answered(reply.status));
    (spoilt(&core, reply, &plan), whole)
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
