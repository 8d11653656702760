//! Refreshing: what a refresh token gives, and how rotation replaces it.

use super::{Grace, Grant, GrantState, Inner, OnReuse, TEST_REFRESH_PREFIX, Token, TokenEvent, Tokens};
use crate::sandbox::message::Provider;

/// What the faults want of the tokens issued now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub rotation: Option<Rotation>,
    /// The length of the access token, at least.
    pub token_bytes: Option<usize>,
    pub scopes: Option<Narrowed>,
    /// Seconds until the grant's end, when it has none yet.
    pub ends_in: Option<u64>,
    /// Whether a refresh is refused while an access token is good.
    pub refuse_while_valid: bool,
}

/// A rotation that a fault asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rotation {
    pub on_reuse: OnReuse,
    pub grace_ms: Option<i64>,
}

/// Fewer scopes than were granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Narrowed {
    /// All that lets nobody write records.
    WithoutWriting,
    /// These.
    To(Vec<String>),
}

/// What a token call gave.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub account: String,
    pub access_token: String,
    pub refresh_token: String,
    pub rotated: bool,
    /// Whether it is the first pair of its grant.
    pub first: bool,
    pub expires_in: u64,
    /// Seconds until the grant's end.
    pub ends_in: Option<i64>,
    pub scopes: Option<Vec<String>>,
    /// Until when the token that was replaced is still taken.
    pub grace_until_ms: Option<i64>,
}

/// Why a refresh token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Unknown,
    /// It was given to another app.
    OtherClient,
    Revoked,
    Expired,
    InactiveUser,
    /// The access token is still good, and the fault `refuse_while_valid` acts.
    StillValid,
}

/// How early before its end a token counts as expired for [`Terms::refuse_while_valid`] (Exact Online's 30 seconds).
const EARLY_MS: i64 = 30_000;

impl Tokens {
    /// Exchanges a refresh token.
    pub fn refresh(
        &self,
        provider: Provider,
        refresh: &str,
        client_id: &str,
        terms: &Terms,
        now_ms: i64,
    ) -> (Result<Issued, Refused>, Vec<TokenEvent>) {
        let mut inner = self.write();
        let Some(at) = find_or_make(&mut inner, provider, refresh) else {
            return (Err(Refused::Unknown), Vec::new());
        };
        let grant = inner.grants.at(at);
        if grant.client_id.as_deref().is_some_and(|c| c != client_id) {
            return (Err(Refused::OtherClient), Vec::new());
        }
        if grant.refresh_token != refresh {
            return replaced(&mut inner, at, refresh, now_ms);
        }
        let Inner { tokens, grants, .. } = &mut *inner;
        let grant = grants.at_mut(at);
        if let Some(seconds) = terms.ends_in {
            let end = now_ms.saturating_add(ms(seconds));
            grant.ends_at_ms.get_or_insert(end);
        }
        if grant.state == GrantState::Active && grant.ends_at_ms.is_some_and(|end| end <= now_ms) {
            grant.state = GrantState::Expired;
        }
        if let Some(refused) = dead(grant.state) {
            return (Err(refused), vec![TokenEvent::Grant(grant.clone())]);
        }
        let good = |t: &Token| {
            t.provider == provider
                && t.grant.as_ref() == Some(&grant.id)
                && !t.revoked
                && t.expires_at_ms
                    .is_some_and(|end| end > now_ms.saturating_add(EARLY_MS))
        };
        if terms.refuse_while_valid && tokens.values().any(good) {
            return (Err(Refused::StillValid), vec![TokenEvent::Grant(grant.clone())]);
        }
        let rotated = grant.rotate || terms.rotation.is_some();
        let mut old = None;
        if rotated {
            let next = grant.next_refresh_tokens.pop_front();
            let next = next.unwrap_or_else(|| self.make("refresh", provider));
            let replaced = std::mem::replace(&mut grant.refresh_token, next);
            grant.used.push(replaced.clone());
            grant.grace = None;
            old = Some(replaced);
        }
        let (mut issued, token) = issue(self, grant, terms, now_ms);
        issued.rotated = rotated;
        if let (Some(old), Some(rotation)) = (old, terms.rotation) {
            grant.on_reuse = rotation.on_reuse;
            grant.grace = rotation.grace_ms.map(|grace| Grace {
                replaced: old,
                access_token: issued.access_token.clone(),
                until_ms: now_ms.saturating_add(grace),
            });
            issued.grace_until_ms = grant.grace.as_ref().map(|g| g.until_ms);
        }
        let events = vec![TokenEvent::Grant(grant.clone()), TokenEvent::Token(token.clone())];
        if rotated {
            grants.index(at);
        }
        tokens.insert((provider, token.token.clone()), token);
        (Ok(issued), events)
    }
}

/// The place of the grant that this token is or was of; that of `test-refresh-<account>` is made when absent.
fn find_or_make(inner: &mut Inner, provider: Provider, refresh: &str) -> Option<usize> {
    let known = inner.grants.place(provider, refresh);
    known.or_else(|| {
        let account = refresh
            .strip_prefix(TEST_REFRESH_PREFIX)
            .filter(|a| !a.is_empty())?;
        Some(inner.grants.put(Grant::new(provider, account, refresh)))
    })
}

/// Answers a token that a rotation replaced: the same pair within the grace, else refusal or the grant's end.
fn replaced(
    inner: &mut Inner,
    at: usize,
    refresh: &str,
    now_ms: i64,
) -> (Result<Issued, Refused>, Vec<TokenEvent>) {
    let grant = inner.grants.at(at);
    let (provider, id) = (grant.provider, grant.id.clone());
    if grant.state == GrantState::Active
        && let Some(grace) = grant
            .grace
            .as_ref()
            .filter(|g| g.replaced == refresh && g.until_ms > now_ms)
    {
        let token = inner.tokens.get(&(provider, grace.access_token.clone()));
        let left = token
            .and_then(|t| t.expires_at_ms)
            .map_or(0, |end| (end - now_ms).max(0) / 1000);
        let issued = Issued {
            account: grant.account.clone(),
            access_token: grace.access_token.clone(),
            refresh_token: grant.refresh_token.clone(),
            rotated: true,
            first: false,
            expires_in: left.unsigned_abs(),
            ends_in: ends_in(grant, now_ms),
            scopes: token.map_or_else(|| grant.scopes.clone(), |t| t.scopes.clone()),
            grace_until_ms: Some(grace.until_ms),
        };
        return (Ok(issued), Vec::new());
    }
    match grant.on_reuse {
        OnReuse::Refuse => (Err(Refused::Revoked), Vec::new()),
        OnReuse::Revoke => (Err(Refused::Revoked), revoke_grant(inner, provider, &id, true)),
    }
}

const fn dead(state: GrantState) -> Option<Refused> {
    match state {
        GrantState::Active => None,
        GrantState::Expired => Some(Refused::Expired),
        GrantState::Revoked => Some(Refused::Revoked),
        GrantState::InactiveUser => Some(Refused::InactiveUser),
    }
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

fn ends_in(grant: &Grant, now_ms: i64) -> Option<i64> {
    grant
        .ends_at_ms
        .map(|end| end.saturating_sub(now_ms).max(0) / 1000)
}

/// Makes a new access token of the grant.
pub(super) fn issue(tokens: &Tokens, grant: &mut Grant, terms: &Terms, now_ms: i64) -> (Issued, Token) {
    let text = grant.next_access_tokens.pop_front();
    let mut text = text.unwrap_or_else(|| tokens.make("access", grant.provider));
    let wanted = terms.token_bytes.unwrap_or_default();
    text.extend(std::iter::repeat_n('x', wanted.saturating_sub(text.len())));
    let scopes = match &terms.scopes {
        None => grant.scopes.clone(),
        Some(Narrowed::To(scopes)) => Some(scopes.clone()),
        Some(Narrowed::WithoutWriting) => Some(without_writing(grant)),
    };
    let expires_in = grant.lifetime();
    let token = Token {
        token: text.clone(),
        provider: grant.provider,
        account: grant.account.clone(),
        expires_at_ms: Some(now_ms.saturating_add(ms(expires_in))),
        scopes: scopes.clone(),
        revoked: false,
        grant: Some(grant.id.clone()),
    };
    let issued = Issued {
        account: grant.account.clone(),
        access_token: text,
        refresh_token: grant.refresh_token.clone(),
        rotated: false,
        first: false,
        expires_in,
        ends_in: ends_in(grant, now_ms),
        scopes,
        grace_until_ms: None,
    };
    (issued, token)
}

fn without_writing(grant: &Grant) -> Vec<String> {
    let plain = if grant.provider == Provider::HubSpot {
        "oauth"
    } else {
        "refresh_token"
    };
    let all = grant.scopes.clone().unwrap_or_else(|| vec![plain.to_owned()]);
    let writes = |s: &String| s.ends_with(".write") || matches!(s.as_str(), "api" | "full" | "tickets");
    all.into_iter().filter(|s| !writes(s)).collect()
}

/// Ends a grant, and with `tokens` the access tokens it has given; what changed.
pub(super) fn revoke_grant(inner: &mut Inner, provider: Provider, id: &str, tokens: bool) -> Vec<TokenEvent> {
    let mut events = Vec::new();
    if let Some(grant) = inner.grants.of_id_mut(provider, id) {
        grant.state = GrantState::Revoked;
        events.push(TokenEvent::Grant(grant.clone()));
    }
    let of_grant = |t: &&mut Token| t.provider == provider && t.grant.as_deref() == Some(id);
    for token in inner.tokens.values_mut().filter(of_grant).filter(|_| tokens) {
        token.revoked = true;
        events.push(TokenEvent::Token(token.clone()));
    }
    events
}
