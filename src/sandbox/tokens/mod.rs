//! Access tokens and the grants (refresh tokens) they come from.

mod model;

use std::collections::{HashMap, VecDeque};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::model::{Grant, GrantState, Token};
use super::message::Provider;

/// A token of this form is always valid, never expires, and makes its account on first use.
pub(crate) const TEST_PREFIX: &str = "test-";
/// A refresh token of this form is valid from the start, until it is rotated or revoked.
pub(crate) const TEST_REFRESH_PREFIX: &str = "test-refresh-";
/// An authorisation code of this form can be exchanged for tokens of that account.
pub(crate) const TEST_CODE_PREFIX: &str = "test-code-";

/// What a bearer token opens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Access {
    Granted {
        account: String,
        scopes: Option<Vec<String>>,
    },
    Expired {
        account: String,
        at_ms: i64,
    },
    Refused,
}

/// What a refresh gave.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub account: String,
    pub access_token: String,
    pub refresh_token: String,
    pub rotated: bool,
    pub expires_in: u64,
    pub scopes: Option<Vec<String>>,
}

/// Something the journal has to keep.
#[derive(Debug, Clone)]
pub(crate) enum TokenEvent {
    Token(Token),
    Grant(Grant),
}

#[derive(Debug)]
pub(crate) struct Tokens {
    verify: bool,
    seed: u64,
    issued: AtomicU64,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tokens: HashMap<(Provider, String), Token>,
    grants: Vec<Grant>,
}

impl Tokens {
    pub fn new(verify: bool, seed: u64) -> Self {
        Self {
            verify,
            seed,
            issued: AtomicU64::new(0),
            inner: RwLock::default(),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.inner
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What this token opens now.
    pub fn check(&self, provider: Provider, token: Option<&str>, now_ms: i64) -> Access {
        let Some(token) = token else {
            return Access::Refused;
        };
        if let Some(known) = self.read().tokens.get(&(provider, token.to_owned())) {
            return match known.expires_at_ms {
                _ if known.revoked => Access::Refused,
                Some(at_ms) if at_ms <= now_ms => Access::Expired {
                    account: known.account.clone(),
                    at_ms,
                },
                _ => Access::Granted {
                    account: known.account.clone(),
                    scopes: known.scopes.clone(),
                },
            };
        }
        match token.strip_prefix(TEST_PREFIX) {
            Some(account) if !account.is_empty() => Access::Granted {
                account: account.to_owned(),
                scopes: None,
            },
            _ if !self.verify => Access::Granted {
                account: token.to_owned(),
                scopes: None,
            },
            _ => Access::Refused,
        }
    }

    /// Adds or replaces an access token.
    pub fn put_token(&self, token: Token) {
        self.write()
            .tokens
            .insert((token.provider, token.token.clone()), token);
    }

    /// Adds or replaces a grant (by refresh token).
    pub fn put_grant(&self, grant: Grant) {
        let mut inner = self.write();
        inner.grants.retain(|g| {
            let same = g.provider == grant.provider && g.refresh_token == grant.refresh_token;
            // After a rotation the grant is known by its new token: the journal replays the old one first.
            let older = g.provider == grant.provider && grant.used.contains(&g.refresh_token);
            !same && !older
        });
        inner.grants.push(grant);
    }

    /// Makes the token expire `ago_ms` before now; what changed.
    pub fn expire(&self, provider: Provider, token: &str, account: &str, now_ms: i64) -> TokenEvent {
        let mut inner = self.write();
        let entry = inner
            .tokens
            .entry((provider, token.to_owned()))
            .or_insert_with(|| Token {
                token: token.to_owned(),
                provider,
                account: account.to_owned(),
                expires_at_ms: None,
                scopes: None,
                revoked: false,
                grant: None,
            });
        entry.expires_at_ms = Some(now_ms);
        TokenEvent::Token(entry.clone())
    }

    /// Revokes every token and grant of the account, and this token; what changed.
    pub fn revoke_account(&self, provider: Provider, account: &str, token: Option<&str>) -> Vec<TokenEvent> {
        let mut events = Vec::new();
        if let Some(token) = token {
            self.expire(provider, token, account, i64::MAX);
        }
        if !self
            .read()
            .grants
            .iter()
            .any(|g| g.provider == provider && g.account == account)
        {
            self.put_grant(test_grant(provider, account));
        }
        let mut inner = self.write();
        for token in inner
            .tokens
            .values_mut()
            .filter(|t| t.provider == provider && t.account == account)
        {
            token.revoked = true;
            events.push(TokenEvent::Token(token.clone()));
        }
        for grant in inner
            .grants
            .iter_mut()
            .filter(|g| g.provider == provider && g.account == account)
        {
            grant.state = GrantState::Revoked;
            events.push(TokenEvent::Grant(grant.clone()));
        }
        events
    }

    /// Revokes one access token; false when it is unknown.
    pub fn revoke_token(&self, provider: Provider, token: &str) -> Option<TokenEvent> {
        let mut inner = self.write();
        let found = inner.tokens.get_mut(&(provider, token.to_owned()))?;
        found.revoked = true;
        Some(TokenEvent::Token(found.clone()))
    }

    /// The account a refresh token belongs to, also when it is dead.
    pub fn account_of_refresh(&self, provider: Provider, refresh: &str) -> Option<String> {
        let inner = self.read();
        let known = inner.grants.iter().find(|g| {
            g.provider == provider && (g.refresh_token == refresh || g.used.iter().any(|u| u == refresh))
        });
        known
            .map(|g| g.account.clone())
            .or_else(|| refresh.strip_prefix(TEST_REFRESH_PREFIX).map(str::to_owned))
            .filter(|a| !a.is_empty())
    }

    /// Exchanges a refresh token. A token that a rotation replaced revokes its whole grant.
    pub fn refresh(
        &self,
        provider: Provider,
        refresh: &str,
        force_rotation: bool,
        now_ms: i64,
    ) -> (Result<Issued, GrantState>, Vec<TokenEvent>) {
        let mut inner = self.write();
        let Inner { tokens, grants } = &mut *inner;
        let reused = grants
            .iter()
            .position(|g| g.provider == provider && g.used.iter().any(|u| u == refresh));
        if let Some(at) = reused {
            let account = grants[at].account.clone();
            grants[at].state = GrantState::Revoked;
            let mut events = vec![TokenEvent::Grant(grants[at].clone())];
            for token in tokens
                .values_mut()
                .filter(|t| t.provider == provider && t.account == account)
            {
                token.revoked = true;
                events.push(TokenEvent::Token(token.clone()));
            }
            return (Err(GrantState::Revoked), events);
        }
        if !grants
            .iter()
            .any(|g| g.provider == provider && g.refresh_token == refresh)
        {
            match refresh.strip_prefix(TEST_REFRESH_PREFIX) {
                Some(account) if !account.is_empty() => grants.push(test_grant(provider, account)),
                _ => return (Err(GrantState::Revoked), Vec::new()),
            }
        }
        let Some(grant) = grants
            .iter_mut()
            .find(|g| g.provider == provider && g.refresh_token == refresh)
        else {
            return (Err(GrantState::Revoked), Vec::new());
        };
        if grant.state != GrantState::Active {
            return (Err(grant.state), Vec::new());
        }
        let rotated = grant.rotate || force_rotation;
        if rotated {
            let next = grant
                .next_refresh_tokens
                .pop_front()
                .unwrap_or_else(|| self.make("refresh", grant));
            grant.used.push(std::mem::replace(&mut grant.refresh_token, next));
        }
        let expires_in = grant
            .expires_in
            .unwrap_or(if provider == Provider::HubSpot { 1800 } else { 7200 });
        let access_token = grant
            .next_access_tokens
            .pop_front()
            .unwrap_or_else(|| self.make("access", grant));
        let lifetime_ms = i64::try_from(expires_in.saturating_mul(1000)).unwrap_or(i64::MAX);
        let token = Token {
            token: access_token.clone(),
            provider,
            account: grant.account.clone(),
            expires_at_ms: Some(now_ms.saturating_add(lifetime_ms)),
            scopes: grant.scopes.clone(),
            revoked: false,
            grant: Some(grant.refresh_token.clone()),
        };
        let issued = Issued {
            account: grant.account.clone(),
            access_token,
            refresh_token: grant.refresh_token.clone(),
            rotated,
            expires_in,
            scopes: grant.scopes.clone(),
        };
        let events = vec![TokenEvent::Grant(grant.clone()), TokenEvent::Token(token.clone())];
        tokens.insert((provider, token.token.clone()), token);
        (Ok(issued), events)
    }

    /// Exchanges an authorisation code `test-code-<account>`: gives the refresh token to use.
    pub fn exchange_code(&self, provider: Provider, code: &str) -> Option<String> {
        let account = code.strip_prefix(TEST_CODE_PREFIX).filter(|a| !a.is_empty())?;
        let mut grant = test_grant(provider, account);
        grant.refresh_token = self.make("refresh", &grant);
        let refresh = grant.refresh_token.clone();
        self.put_grant(grant);
        Some(refresh)
    }

    fn make(&self, kind: &str, grant: &Grant) -> String {
        let number = self.issued.fetch_add(1, Ordering::Relaxed) + 1;
        // Not from the seed: tokens of one run must differ from those of an earlier one with the same journal.
        let mut rng = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9));
        let tail: String = std::iter::repeat_with(|| rng.alphanumeric()).take(40).collect();
        let unique = uuid::Uuid::new_v4().simple();
        match grant.provider {
            Provider::HubSpot if kind == "refresh" => format!("na1-{tail}-{unique}"),
            Provider::HubSpot => format!("CP{tail}{unique}{}", "x".repeat(240)),
            _ if kind == "refresh" => format!("5Aep{tail}{unique}"),
            _ => format!("00D{}!{tail}{unique}", &tail[..12]),
        }
    }

    /// Forgets all tokens and grants.
    pub fn clear(&self) {
        *self.write() = Inner::default();
    }

    /// Puts back what the journal kept.
    pub fn restore(&self, event: TokenEvent) {
        match event {
            TokenEvent::Token(token) => self.put_token(token),
            TokenEvent::Grant(grant) => self.put_grant(grant),
        }
    }
}

fn test_grant(provider: Provider, account: &str) -> Grant {
    Grant {
        refresh_token: format!("{TEST_REFRESH_PREFIX}{account}"),
        provider,
        account: account.to_owned(),
        rotate: false,
        state: GrantState::Active,
        expires_in: None,
        scopes: None,
        next_access_tokens: VecDeque::new(),
        next_refresh_tokens: VecDeque::new(),
        used: Vec::new(),
    }
}
