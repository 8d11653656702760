//! The token call, as every provider has it; each says in its own words why it refuses.

use crate::sandbox::core::Core;
use crate::sandbox::faults::{FaultKind, Mods, Wanted};
use crate::sandbox::message::{Provider, field};
use crate::sandbox::tokens::{BadCode, Client, Exchange, Issued, Refused, Seen, TokenEvent};

use super::Credentials;

/// Why a token call gives no tokens.
#[derive(Debug)]
pub(crate) enum Denied {
    /// The fault `ok_empty`: 200 with nothing in it.
    Empty,
    /// The error of a fault.
    Wanted(Wanted),
    UnknownClient,
    WrongSecret,
    GrantType,
    Refresh(Refused),
    Code(BadCode),
}

/// Gives tokens for a refresh token or a code, or says why not; what the journal must keep.
pub(crate) fn token(
    core: &Core,
    provider: Provider,
    client: &Credentials,
    form: &[(String, String)],
    mods: &Mods,
    now_ms: i64,
) -> (Result<Issued, Denied>, Vec<TokenEvent>) {
    if mods.oauth.find(FaultKind::OkEmpty).is_some() {
        return (Err(Denied::Empty), Vec::new());
    }
    if let Some(wanted) = mods.oauth.error() {
        return (Err(Denied::Wanted(wanted)), Vec::new());
    }
    let tokens = &core.tokens;
    let standing = tokens.client(provider, &client.id, client.secret.as_deref());
    if standing == Client::WrongSecret {
        return (Err(Denied::WrongSecret), Vec::new());
    }
    // What belongs to an app nobody else can use, least of all a client that is not registered.
    let stranger = standing == Client::Unregistered;
    let given = |name| field(form, name).filter(|v| !v.is_empty());
    let terms = mods.oauth.terms();
    match given("grant_type") {
        Some("refresh_token") => {
            let refresh = given("refresh_token").unwrap_or_default();
            let (result, events) = tokens.refresh(provider, refresh, &client.id, &terms, now_ms);
            let denied = |why| match why {
                Refused::OtherClient if stranger => Denied::UnknownClient,
                why => Denied::Refresh(why),
            };
            (result.map_err(denied), events)
        }
        Some("authorization_code") => {
            let ask = Exchange {
                provider,
                code: given("code").unwrap_or_default(),
                client_id: &client.id,
                redirect_uri: given("redirect_uri"),
                verifier: given("code_verifier"),
            };
            let (result, events) = tokens.exchange(&ask, &terms, now_ms);
            let denied = |why| match why {
                BadCode::OtherClient if stranger => Denied::UnknownClient,
                why => Denied::Code(why),
            };
            (result.map_err(denied), events)
        }
        _ => (Err(Denied::GrantType), Vec::new()),
    }
}

/// The token, when it is good and belongs to this client (or to none).
pub(crate) fn seen_by(
    core: &Core,
    provider: Provider,
    client: &Credentials,
    token: &str,
    now_ms: i64,
) -> Option<Seen> {
    let seen = core.tokens.look(provider, token, now_ms)?;
    let ours = seen.client_id.as_ref().is_none_or(|id| *id == client.id);
    ours.then_some(seen)
}
