//! What takes effect: has the right simulator handle a request, under the lock of its one account.

use serde_json::Value;

use super::core::Core;
use super::faults::Mods;
use super::gateway::Arrival;
use super::journal::Line;
use super::ledger::LedgerStatus;
use super::message::{Provider, Reply, Request, field};
use super::oauth::{Credentials, account_chosen};
use super::tokens::{Access, Exchange, TokenUse, UseKind};
use super::{hubspot, lock, refusals, salesforce};

/// Whether a request is answered without an access token: the consent page, token calls and what belongs to them.
pub(super) fn is_oauth(provider: Provider, request: &Request) -> bool {
    match provider {
        Provider::HubSpot => request.path.starts_with("/oauth/"),
        Provider::Salesforce => salesforce::is_oauth(&request.path),
        Provider::Echo => false,
    }
}

/// The account a request is for, also when its token has expired.
pub(super) fn account_of(core: &Core, provider: Provider, action: &str, request: &Request) -> Option<String> {
    let now_ms = core.clock.now_ms();
    if is_oauth(provider, request) {
        let form = request.form();
        let given = |name| field(&form, name).unwrap_or_default();
        return match action {
            "authorize" => account_chosen(&form).ok().map(str::to_owned),
            "token" => {
                let of_refresh = core.tokens.account_of_refresh(provider, given("refresh_token"));
                of_refresh.or_else(|| core.tokens.account_of_code(provider, given("code")))
            }
            _ => core
                .tokens
                .look(provider, given("token"), now_ms)
                .map(|seen| seen.account),
        };
    }
    match core.tokens.check(provider, request.bearer(), now_ms) {
        Access::Granted { account, .. } | Access::Expired { account, .. } => Some(account),
        Access::Refused => None,
    }
}

/// Has the simulator handle the request: everything that takes effect takes effect here, and is in the journal when
/// this returns.
pub(super) fn perform(core: &Core, arrival: &Arrival, mods: &Mods) -> Reply {
    let Arrival {
        provider, request, ..
    } = arrival;
    let now_ms = core.clock.now_ms();
    let kept = |reply: Reply, lines: &[Line]| match core.keep(lines) {
        Ok(()) => reply,
        Err(error) => unkept(&error),
    };
    if is_oauth(*provider, request) {
        let (reply, events) = match provider {
            Provider::HubSpot => hubspot::oauth(core, request, mods, now_ms),
            _ => salesforce::oauth(core, request, mods, now_ms),
        };
        if arrival.action == "token" {
            note_answer(core, arrival, &reply);
        }
        return match core.keep_tokens(events) {
            Ok(()) => reply,
            Err(error) => unkept(&error),
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
        _ if *provider == Provider::Salesforce && salesforce::is_userinfo(&request.path) => {
            return salesforce::bad_token();
        }
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

fn unkept(error: &std::io::Error) -> Reply {
    Reply::text(
        500,
        "text/plain",
        format!("the sandbox cannot write its journal: {error}\n"),
    )
}

/// Enters a request to the token endpoint in the ledger of tokens, when it presents one.
pub(super) fn note_presented(core: &Core, arrival: &Arrival) {
    let Arrival {
        provider, request, ..
    } = arrival;
    let form = request.form();
    let given = |name| field(&form, name).filter(|v| !v.is_empty());
    let client = Credentials::of_form_or_header(request, &form);
    let at_ms = core.clock.now_ms();
    let (kind, token, (account, grant, standing)) = match (given("refresh_token"), given("code")) {
        (Some(refresh), _) => {
            let known = core.tokens.standing_of_refresh(*provider, refresh, at_ms);
            (UseKind::RefreshToken, refresh, known)
        }
        (None, Some(code)) => {
            let ask = exchange(*provider, &client.id, code);
            (UseKind::Code, code, core.tokens.standing_of_code(&ask, at_ms))
        }
        (None, None) => return,
    };
    core.tokens.uses.begin(TokenUse {
        sequence: arrival.sequence,
        at_ms,
        provider: *provider,
        kind,
        token: token.to_owned(),
        client_id: Some(client.id).filter(|id| !id.is_empty()),
        account,
        grant,
        standing,
        status: LedgerStatus::Pending,
        error: None,
        successor: None,
        grace_until_ms: None,
        arrived: 0,
        delivered: None,
    });
}

const fn exchange<'a>(provider: Provider, client_id: &'a str, code: &'a str) -> Exchange<'a> {
    Exchange {
        provider,
        code,
        client_id,
        redirect_uri: None,
        verifier: None,
    }
}

/// Notes what the token endpoint gave: the successor is what the client will have in its hands.
fn note_answer(core: &Core, arrival: &Arrival, reply: &Reply) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    core.tokens.uses.update(arrival.sequence, |entry| {
        entry.error = text("error");
        let given = text("refresh_token").filter(|t| *t != entry.token);
        match entry.kind {
            UseKind::RefreshToken => {
                entry.successor = given;
                entry.grace_until_ms = core.tokens.grace_of(entry.provider, &entry.token);
            }
            UseKind::Code => {
                entry.successor = given.or_else(|| text("access_token"));
                let ask = exchange(entry.provider, "", &entry.token);
                entry.grant = core.tokens.standing_of_code(&ask, entry.at_ms).1;
            }
        }
    });
}
