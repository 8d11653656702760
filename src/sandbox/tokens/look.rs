//! Looking tokens and clients up, and revoking one token.

use super::{
    App, Grant, GrantState, TEST_PREFIX, TEST_REFRESH_PREFIX, TokenEvent, Tokens, refresh::revoke_grant,
};
use crate::sandbox::message::Provider;

/// What is known of the client of a token call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// Registered, and its secret is right.
    Known,
    /// Registered; the secret is wrong or missing.
    WrongSecret,
    /// Not registered: good for tokens that belong to no app.
    Unregistered,
}

/// Which kind of token was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeenKind {
    Access,
    Refresh,
}

/// A token that is good now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub kind: SeenKind,
    pub account: String,
    pub client_id: Option<String>,
    pub scopes: Option<Vec<String>>,
    pub expires_at_ms: Option<i64>,
}

impl Tokens {
    /// Adds or replaces an app (by provider and client id).
    pub fn put_app(&self, app: App) {
        let key = (app.provider, app.client_id.clone());
        self.write().apps.insert(key, app);
    }

    /// The app of that client id.
    pub fn app(&self, provider: Provider, client_id: &str) -> Option<App> {
        self.read().apps.get(&(provider, client_id.to_owned())).cloned()
    }

    /// All apps.
    pub fn apps(&self) -> Vec<App> {
        self.read().apps.values().cloned().collect()
    }

    /// Checks the credentials of a token call.
    pub fn client(&self, provider: Provider, client_id: &str, secret: Option<&str>) -> Client {
        match self.app(provider, client_id) {
            None => Client::Unregistered,
            Some(app) if secret == Some(&app.client_secret) => Client::Known,
            Some(_) => Client::WrongSecret,
        }
    }

    /// What a token is, when it is good now.
    pub fn look(&self, provider: Provider, token: &str, now_ms: i64) -> Option<Seen> {
        let inner = self.read();
        let grant_of = |id: &Option<String>| inner.grants.of_id(provider, id.as_ref()?);
        if let Some(known) = inner.tokens.get(&(provider, token.to_owned())) {
            let good = !known.revoked && known.expires_at_ms.is_none_or(|end| end > now_ms);
            return good.then(|| Seen {
                kind: SeenKind::Access,
                account: known.account.clone(),
                client_id: grant_of(&known.grant).and_then(|g| g.client_id.clone()),
                scopes: known.scopes.clone(),
                expires_at_ms: known.expires_at_ms,
            });
        }
        let refresh = |g: &Grant| Seen {
            kind: SeenKind::Refresh,
            account: g.account.clone(),
            client_id: g.client_id.clone(),
            scopes: g.scopes.clone(),
            expires_at_ms: g.ends_at_ms,
        };
        if let Some(grant) = inner.grants.of_token(provider, token) {
            let ended = grant.ends_at_ms.is_some_and(|end| end <= now_ms);
            let good = grant.state == GrantState::Active && grant.refresh_token == token && !ended;
            return good.then(|| refresh(grant));
        }
        let named = |prefix| token.strip_prefix(prefix).filter(|a| !a.is_empty());
        if let Some(account) = named(TEST_REFRESH_PREFIX) {
            return Some(refresh(&Grant::new(provider, account, token)));
        }
        named(TEST_PREFIX).map(|account| Seen {
            kind: SeenKind::Access,
            account: account.to_owned(),
            client_id: None,
            scopes: None,
            expires_at_ms: None,
        })
    }

    /// Revokes one access token, or with a refresh token its grant; what changed. At Salesforce the access tokens of
    /// the grant die with it; HubSpot leaves them to their end.
    pub fn revoke(&self, provider: Provider, token: &str) -> Vec<TokenEvent> {
        if let Some(event) = self.revoke_token(provider, token) {
            return vec![event];
        }
        let mut inner = self.write();
        let grant = inner.grants.of_token(provider, token);
        let Some(id) = grant.map(|g| g.id.clone()) else {
            return Vec::new();
        };
        revoke_grant(&mut inner, provider, &id, provider == Provider::Salesforce)
    }
}
