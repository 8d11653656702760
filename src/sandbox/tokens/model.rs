//! Tokens and grants as the control API and the journal write them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::sandbox::message::Provider;

/// An access token of one account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The token's text.
    pub token: String,
    /// Where it is good.
    pub provider: Provider,
    /// The account it opens.
    pub account: String,
    /// When it expires, in milliseconds since 1970; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    /// Its scopes; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Whether it was revoked.
    #[serde(default)]
    pub revoked: bool,
    /// The [`Grant::id`] it was issued from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// Why a grant gives no more tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It gives tokens.
    #[default]
    Active,
    /// Its end has come.
    Expired,
    /// The customer or the provider revoked it.
    Revoked,
    /// The user it belongs to is inactive (Salesforce).
    InactiveUser,
}

/// What happens when a refresh token is presented that a rotation has replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReuse {
    /// The whole grant is revoked, and its access tokens with it.
    #[default]
    Revoke,
    /// It is refused; the grant lives on.
    Refuse,
}

/// For how long the refresh token replaced last is still taken, and what it gives: the same pair again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grace {
    /// The refresh token that was replaced.
    pub replaced: String,
    /// The access token that came with its successor.
    pub access_token: String,
    /// The end of the grace, in milliseconds since 1970.
    pub until_ms: i64,
}

/// A customer's consent: the refresh token in force and what it gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What stays the same through every rotation; the first refresh token when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The refresh token in force.
    pub refresh_token: String,
    /// Where it is good.
    pub provider: Provider,
    /// The account it opens.
    pub account: String,
    /// The client id of the app it was given to; good for any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Whether each refresh gives a new refresh token.
    #[serde(default)]
    pub rotate: bool,
    /// What the reuse of a replaced refresh token does.
    #[serde(default)]
    pub on_reuse: OnReuse,
    /// The grace of the last rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Grace>,
    /// Whether it still gives tokens.
    #[serde(default)]
    pub state: GrantState,
    /// Its end, which no refresh moves, in milliseconds since 1970; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at_ms: Option<i64>,
    /// Seconds an access token lives; 1800 (HubSpot) or 7200 (Salesforce) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// The scopes of its access tokens; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Texts for the next access tokens, before generated ones.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub next_access_tokens: VecDeque<String>,
    /// Texts for the next refresh tokens of a rotation, before generated ones.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub next_refresh_tokens: VecDeque<String>,
    /// Refresh tokens that a rotation replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<String>,
}

impl Grant {
    /// An active grant that does not rotate, of all scopes and good for any client.
    #[must_use]
    pub fn new(provider: Provider, account: impl Into<String>, refresh_token: impl Into<String>) -> Self {
        let refresh_token = refresh_token.into();
        Self {
            id: refresh_token.clone(),
            refresh_token,
            provider,
            account: account.into(),
            client_id: None,
            rotate: false,
            on_reuse: OnReuse::Revoke,
            grace: None,
            state: GrantState::Active,
            ends_at_ms: None,
            expires_in: None,
            scopes: None,
            next_access_tokens: VecDeque::new(),
            next_refresh_tokens: VecDeque::new(),
            used: Vec::new(),
        }
    }

    /// Seconds an access token of it lives.
    pub(super) fn lifetime(&self) -> u64 {
        let usual = if self.provider == Provider::HubSpot {
            1800
        } else {
            7200
        };
        self.expires_in.unwrap_or(usual)
    }
}
