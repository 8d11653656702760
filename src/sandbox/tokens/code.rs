//! Authorisation codes: single use, short-lived, bound to the client, the redirect URI and the verifier.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Grant, Issued, TEST_CODE_PREFIX, Terms, TokenEvent, Tokens, issue, revoke_grant};
use crate::sandbox::message::Provider;

/// How long a code can be exchanged, in milliseconds (RFC 6749 recommends ten minutes at most).
pub(crate) const CODE_LIFE_MS: i64 = 600_000;

/// A code and what it was given for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Code {
    pub code: String,
    pub provider: Provider,
    pub account: String,
    pub client_id: String,
    pub redirect_uri: String,
    /// `code_challenge` of method S256.
    pub challenge: Option<String>,
    pub scopes: Vec<String>,
    pub expires_at_ms: i64,
    /// Whether the grant it gives rotates.
    pub rotate: bool,
    /// The grant it has given: it is used up.
    pub grant: Option<String>,
}

/// A token call with a code.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub provider: Provider,
    pub code: &'a str,
    pub client_id: &'a str,
    pub redirect_uri: Option<&'a str>,
    pub verifier: Option<&'a str>,
}

/// Why a code was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadCode {
    Unknown,
    OtherClient,
    Used,
    Expired,
    RedirectUri,
    Verifier,
}

impl Code {
    pub(super) fn check(&self, ask: &Exchange<'_>, now_ms: i64) -> Result<(), BadCode> {
        if self.client_id != ask.client_id {
            return Err(BadCode::OtherClient);
        }
        if self.grant.is_some() {
            return Err(BadCode::Used);
        }
        if self.expires_at_ms <= now_ms {
            return Err(BadCode::Expired);
        }
        if ask.redirect_uri != Some(&self.redirect_uri) {
            return Err(BadCode::RedirectUri);
        }
        // A verifier without a challenge is refused too: somebody took the challenge away on the way.
        let proven = match (&self.challenge, ask.verifier) {
            (Some(challenge), Some(verifier)) => challenge_of(verifier).as_ref() == Some(challenge),
            (None, verifier) => verifier.is_none(),
            (Some(_), None) => false,
        };
        if proven { Ok(()) } else { Err(BadCode::Verifier) }
    }
}

/// The S256 challenge of a verifier; `None` when it is no verifier (RFC 7636 §4.1).
pub(crate) fn challenge_of(verifier: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(allowed) {
        return None;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    Some(URL_SAFE_NO_PAD.encode(digest))
}

impl Tokens {
    /// Makes a text for a code.
    pub fn new_code(provider: Provider) -> String {
        let unique = uuid::Uuid::new_v4();
        match provider {
            Provider::HubSpot => format!("na1-{unique}"),
            // Salesforce's end in signs that must be encoded.
            _ => format!("aPrx{}==", unique.simple()),
        }
    }

    /// Adds a code.
    pub fn put_code(&self, code: Code) {
        let mut inner = self.write();
        inner.codes.insert((code.provider, code.code.clone()), code);
    }

    /// The account a code was given for.
    pub fn account_of_code(&self, provider: Provider, code: &str) -> Option<String> {
        let known = self
            .read()
            .codes
            .get(&(provider, code.to_owned()))
            .map(|c| c.account.clone());
        known.or_else(|| test_account(code).map(str::to_owned))
    }

    /// Exchanges a code for the first tokens of a new grant. At Salesforce a second use revokes what the first gave.
    pub fn exchange(
        &self,
        ask: &Exchange<'_>,
        terms: &Terms,
        now_ms: i64,
    ) -> (Result<Issued, BadCode>, Vec<TokenEvent>) {
        let mut inner = self.write();
        let mut events = Vec::new();
        let mut grant = match inner.codes.get_mut(&(ask.provider, ask.code.to_owned())) {
            Some(code) => {
                if let Err(bad) = code.check(ask, now_ms) {
                    if bad == BadCode::Used
                        && ask.provider == Provider::Salesforce
                        && let Some(grant) = code.grant.clone()
                    {
                        events = revoke_grant(&mut inner, ask.provider, &grant, true);
                    }
                    return (Err(bad), events);
                }
                let mut grant = Grant::new(ask.provider, &code.account, "");
                grant.client_id = Some(code.client_id.clone());
                grant.scopes = Some(code.scopes.clone());
                grant.rotate = code.rotate;
                grant
            }
            None => match test_account(ask.code) {
                Some(account) => Grant::new(ask.provider, account, ""),
                None => return (Err(BadCode::Unknown), events),
            },
        };
        grant.refresh_token = self.make("refresh", ask.provider);
        grant.id = uuid::Uuid::new_v4().simple().to_string();
        if let Some(code) = inner.codes.get_mut(&(ask.provider, ask.code.to_owned())) {
            code.grant = Some(grant.id.clone());
            events.push(TokenEvent::Code(code.clone()));
        }
        let (mut issued, token) = issue(self, &mut grant, terms, now_ms);
        issued.first = true;
        events.push(TokenEvent::Grant(grant.clone()));
        events.push(TokenEvent::Token(token.clone()));
        inner.grants.put(grant);
        inner.tokens.insert((ask.provider, token.token.clone()), token);
        (Ok(issued), events)
    }
}

fn test_account(code: &str) -> Option<&str> {
    code.strip_prefix(TEST_CODE_PREFIX).filter(|a| !a.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge_of(verifier).as_deref(), Some(challenge));
        assert_eq!(challenge_of("short"), None);
        assert_eq!(challenge_of(&"ä".repeat(43)), None);
    }
}
