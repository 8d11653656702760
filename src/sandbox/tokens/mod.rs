//! Access tokens, the grants (refresh tokens) they come from, and the apps and codes that grants come from.

mod app;
mod audit;
mod code;
mod grants;
mod look;
mod model;
mod refresh;
mod uses;

use std::collections::{BTreeMap, HashMap};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::app::App;
pub use self::audit::{Finding, FindingKind, audit};
pub(crate) use self::code::{BadCode, CODE_LIFE_MS, Code, Exchange};
use self::grants::Grants;
pub(crate) use self::look::{Client, Seen, SeenKind};
pub use self::model::{Grace, Grant, GrantState, OnReuse, Token};
pub(crate) use self::refresh::{Issued, Narrowed, Refused, Rotation, Terms};
use self::refresh::{issue, revoke_grant};
pub(crate) use self::uses::Uses;
pub use self::uses::{Standing, TokenUse, UseKind};
use serde_json::Value;

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

/// Something the journal has to keep.
#[derive(Debug, Clone)]
pub(crate) enum TokenEvent {
    Token(Token),
    Grant(Grant),
    App(App),
    Code(Code),
}

impl TokenEvent {
    /// The word in the journal.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Grant(_) => "grant",
            Self::App(_) => "app",
            Self::Code(_) => "code",
        }
    }

    /// What a journal line of that kind holds; `None` when it is of another kind.
    pub fn read(kind: &str, text: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match kind {
            "token" => Self::Token(serde_json::from_str(text)?),
            "grant" => Self::Grant(serde_json::from_str(text)?),
            "app" => Self::App(serde_json::from_str(text)?),
            "code" => Self::Code(serde_json::from_str(text)?),
            _ => return Ok(None),
        }))
    }

    /// The value of its journal line.
    pub fn value(&self) -> Value {
        let value = match self {
            Self::Token(token) => serde_json::to_value(token),
            Self::Grant(grant) => serde_json::to_value(grant),
            Self::App(app) => serde_json::to_value(app),
            Self::Code(code) => serde_json::to_value(code),
        };
        value.unwrap_or(Value::Null)
    }
}

#[derive(Debug)]
pub(crate) struct Tokens {
    verify: bool,
    seed: u64,
    issued: AtomicU64,
    inner: RwLock<Inner>,
    /// Which refresh tokens and codes were presented.
    pub uses: Uses,
}

#[derive(Debug, Default)]
struct Inner {
    tokens: HashMap<(Provider, String), Token>,
    grants: Grants,
    codes: HashMap<(Provider, String), Code>,
    apps: BTreeMap<(Provider, String), App>,
}

impl Inner {
    fn new() -> Self {
        let built_in = [Provider::HubSpot, Provider::Salesforce].map(App::built_in);
        Self {
            apps: built_in.map(|a| ((a.provider, a.client_id.clone()), a)).into(),
            ..Self::default()
        }
    }
}

impl Tokens {
    pub fn new(verify: bool, seed: u64) -> Self {
        Self {
            verify,
            seed,
            issued: AtomicU64::new(0),
            inner: RwLock::new(Inner::new()),
            uses: Uses::default(),
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
        self.write().grants.put(grant);
    }

    /// Makes the token expire now; what changed.
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
        let refresh = format!("{TEST_REFRESH_PREFIX}{account}");
        let mut inner = self.write();
        if inner.grants.of_token(provider, &refresh).is_none() {
            inner.grants.put(Grant::new(provider, account, refresh));
        }
        for token in inner
            .tokens
            .values_mut()
            .filter(|t| t.provider == provider && t.account == account)
        {
            token.revoked = true;
            events.push(TokenEvent::Token(token.clone()));
        }
        for grant in inner.grants.of_account(provider, account) {
            grant.state = GrantState::Revoked;
            events.push(TokenEvent::Grant(grant.clone()));
        }
        events
    }

    /// Revokes one access token; `None` when it is unknown.
    pub fn revoke_token(&self, provider: Provider, token: &str) -> Option<TokenEvent> {
        let mut inner = self.write();
        let found = inner.tokens.get_mut(&(provider, token.to_owned()))?;
        found.revoked = true;
        Some(TokenEvent::Token(found.clone()))
    }

    /// The account a refresh token belongs to, also when it is dead.
    pub fn account_of_refresh(&self, provider: Provider, refresh: &str) -> Option<String> {
        let inner = self.read();
        let known = inner.grants.of_token(provider, refresh);
        known
            .map(|g| g.account.clone())
            .or_else(|| refresh.strip_prefix(TEST_REFRESH_PREFIX).map(str::to_owned))
            .filter(|a| !a.is_empty())
    }

    fn make(&self, kind: &str, provider: Provider) -> String {
        let number = self.issued.fetch_add(1, Ordering::Relaxed) + 1;
        // Not from the seed: tokens of one run must differ from those of an earlier one with the same journal.
        let mut rng = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9));
        let tail: String = std::iter::repeat_with(|| rng.alphanumeric()).take(40).collect();
        let unique = uuid::Uuid::new_v4().simple();
        match provider {
            Provider::HubSpot if kind == "refresh" => format!("na1-{tail}-{unique}"),
            Provider::HubSpot => format!("CP{tail}{unique}{}", "x".repeat(240)),
            _ if kind == "refresh" => format!("5Aep{tail}{unique}"),
            _ => format!("00D{}!{tail}{unique}", &tail[..12]),
        }
    }

    /// Forgets all tokens, grants, codes, apps but the built-in ones, and uses.
    pub fn clear(&self) {
        *self.write() = Inner::new();
        self.uses.clear();
    }

    /// Puts back what the journal kept.
    pub fn restore(&self, event: TokenEvent) {
        match event {
            TokenEvent::Token(token) => self.put_token(token),
            TokenEvent::Grant(grant) => self.put_grant(grant),
            TokenEvent::App(app) => self.put_app(app),
            TokenEvent::Code(code) => self.put_code(code),
        }
    }
}
