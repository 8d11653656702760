//! The ledger of tokens: which refresh token or code was presented when, by whom, and what came of it.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::{BadCode, Exchange, GrantState, Tokens};
use crate::sandbox::ledger::LedgerStatus;
use crate::sandbox::lock;
use crate::sandbox::message::Provider;

/// What was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UseKind {
    /// An authorisation code.
    Code,
    /// A refresh token.
    RefreshToken,
}

/// What the provider knew of it when it was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It was the one in force.
    Current,
    /// It was replaced, and still within its grace.
    Grace,
    /// It was replaced by a rotation, or the code was used.
    Replaced,
    /// Its grant, or the code, was revoked or had ended.
    Dead,
    /// There is no such token.
    Unknown,
}

/// One time that a refresh token or a code was presented.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenUse {
    /// Number of the request in the sandbox's ledger.
    pub sequence: u64,
    /// When it arrived, in milliseconds since 1970, by the sandbox's clock.
    pub at_ms: i64,
    /// Where.
    pub provider: Provider,
    /// What was presented.
    pub kind: UseKind,
    /// Its text.
    pub token: String,
    /// The client that presented it.
    pub client_id: Option<String>,
    /// The account it belongs to; `null` when it is unknown.
    pub account: Option<String>,
    /// The grant it belongs to: the same through all rotations.
    pub grant: Option<String>,
    /// What the provider knew of it on arrival.
    pub standing: Standing,
    /// What the client saw.
    pub status: LedgerStatus,
    /// The OAuth error it was answered with.
    pub error: Option<String>,
    /// The refresh token that was issued in its place; `null` when it stays good.
    pub successor: Option<String>,
    /// Until when it may be presented again although it was replaced.
    pub grace_until_ms: Option<i64>,
    /// Its place in the order of arrivals and deliveries.
    pub arrived: u64,
    /// The place, in the same order, of its answer; `null` when the client did not get that whole.
    pub delivered: Option<u64>,
}

/// All uses, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The place given last in the order of arrivals and deliveries.
    last: u64,
    list: Vec<TokenUse>,
}

impl Uses {
    /// Adds a use and gives it its place.
    pub fn begin(&self, mut entry: TokenUse) {
        let mut inner = lock(&self.0);
        inner.last += 1;
        entry.arrived = inner.last;
        inner.list.push(entry);
    }

    /// Changes the use of that request, if it is one; what it is then.
    pub fn update(&self, sequence: u64, change: impl FnOnce(&mut TokenUse)) -> Option<TokenUse> {
        let mut inner = lock(&self.0);
        let found = inner.list.iter_mut().rev().find(|u| u.sequence == sequence)?;
        change(found);
        Some(found.clone())
    }

    /// Notes that the client got the whole answer.
    pub fn deliver(&self, sequence: u64) -> Option<TokenUse> {
        let mut inner = lock(&self.0);
        inner.last += 1;
        let place = inner.last;
        let found = inner.list.iter_mut().rev().find(|u| u.sequence == sequence)?;
        found.delivered = Some(place);
        Some(found.clone())
    }

    /// Every use so far.
    pub fn list(&self) -> Vec<TokenUse> {
        lock(&self.0).list.clone()
    }

    pub fn clear(&self) {
        lock(&self.0).list.clear();
    }

    /// Puts back a use read from the journal. A later one of the same request replaces the earlier.
    pub fn restore(&self, entry: TokenUse) {
        let mut inner = lock(&self.0);
        inner.last = inner
            .last
            .max(entry.arrived)
            .max(entry.delivered.unwrap_or_default());
        match inner.list.iter_mut().rev().find(|u| u.sequence == entry.sequence) {
            Some(found) => *found = entry,
            None => inner.list.push(entry),
        }
    }
}

impl Tokens {
    /// What is known of a refresh token: account, grant, standing.
    pub fn standing_of_refresh(
        &self,
        provider: Provider,
        refresh: &str,
        now_ms: i64,
    ) -> (Option<String>, Option<String>, Standing) {
        let inner = self.read();
        let Some(grant) = inner.grants.of_token(provider, refresh) else {
            drop(inner);
            // `test-refresh-<account>` has no grant before its first use.
            let account = self.account_of_refresh(provider, refresh);
            let standing = if account.is_some() {
                Standing::Current
            } else {
                Standing::Unknown
            };
            let grant = account.is_some().then(|| refresh.to_owned());
            return (account, grant, standing);
        };
        let ended = grant.ends_at_ms.is_some_and(|end| end <= now_ms);
        let graced = |g: &super::Grace| g.replaced == refresh && g.until_ms > now_ms;
        let standing = if grant.state != GrantState::Active || ended {
            Standing::Dead
        } else if grant.refresh_token == refresh {
            Standing::Current
        } else if grant.grace.as_ref().is_some_and(graced) {
            Standing::Grace
        } else {
            Standing::Replaced
        };
        (Some(grant.account.clone()), Some(grant.id.clone()), standing)
    }

    /// Until when a token that was replaced is still taken.
    pub fn grace_of(&self, provider: Provider, refresh: &str) -> Option<i64> {
        let inner = self.read();
        let grant = inner.grants.of_token(provider, refresh)?;
        let grace = grant.grace.as_ref().filter(|g| g.replaced == refresh)?;
        Some(grace.until_ms)
    }

    /// What is known of a code: account, grant (when it was used), standing.
    pub fn standing_of_code(
        &self,
        ask: &Exchange<'_>,
        now_ms: i64,
    ) -> (Option<String>, Option<String>, Standing) {
        let account = self.account_of_code(ask.provider, ask.code);
        let inner = self.read();
        let Some(code) = inner.codes.get(&(ask.provider, ask.code.to_owned())) else {
            let standing = if account.is_some() {
                Standing::Current
            } else {
                Standing::Unknown
            };
            return (account, None, standing);
        };
        let standing = match (&code.grant, code.check(ask, now_ms)) {
            (Some(_), _) => Standing::Replaced,
            (None, Err(BadCode::Expired)) => Standing::Dead,
            (None, _) => Standing::Current,
        };
        (account, code.grant.clone(), standing)
    }
}
