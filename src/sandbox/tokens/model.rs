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
    /// The grant it was issued from.
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

/// A customer's consent: the refresh token in force and what it gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The refresh token in force.
    pub refresh_token: String,
    /// Where it is good.
    pub provider: Provider,
    /// The account it opens.
    pub account: String,
    /// Whether each refresh gives a new refresh token; then reuse of an old one revokes the grant.
    #[serde(default)]
    pub rotate: bool,
    /// Whether it still gives tokens.
    #[serde(default)]
    pub state: GrantState,
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
