//! What is stored of a token answer. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::schedule::refresh_in;
use crate::clock::Time;
use crate::connectors::Connector;
use crate::outbound::Credentials;
use crate::outbound::oauth::Granted;
use crate::store::NewGrant;
use crate::vault::Secret;

/// What is said to live shorter has no known life.
const SHORTEST_LIFE: Duration = Duration::from_secs(5);

/// The tokens and what is known of the grant, from an answer to a request that left at `asked`; `since` is how long ago that
/// was. `before` is what was known: a refresh token that is not repeated stays, and so does the last known life.
#[must_use]
pub fn grant_of(
    connector: &Connector,
    connection_id: Uuid,
    granted: &Granted,
    asked: Time,
    since: Duration,
    before: &Before,
) -> (Credentials, NewGrant) {
    // One that ends at once would be refreshed before each call.
    let told = granted.life.told().filter(|life| *life >= SHORTEST_LIFE);
    let life = told
        .or(before.life)
        .or_else(|| granted.life.or_default(connector));
    let refresh_token = granted
        .refresh_token
        .clone()
        .or_else(|| before.refresh_token.clone());
    let scopes = granted.scopes.clone();
    // What stays as it was ends when it did.
    let refresh_life = granted.refresh_life.filter(|_| granted.refresh_token.is_some());
    let credentials = Credentials::OAuth2 {
        access_token: granted.access_token.clone(),
        access_token_expires: life.map(|life| asked.after(life)),
        refresh_token: refresh_token.clone(),
        scopes: scopes.clone().unwrap_or_else(|| before.scopes.clone()),
    };
    let grant = NewGrant {
        provider_app_id: before.provider_app_id,
        account_id: granted.account.as_ref().map(|account| account.id.clone()),
        account_name: granted.account.as_ref().and_then(|account| account.name.clone()),
        scopes: scopes.map(|scopes| scopes.join(" ")),
        life_seconds: life.map(|life| i64::try_from(life.as_secs()).unwrap_or(i64::MAX)),
        refresh_in: refresh_token
            .is_some()
            .then(|| refresh_in(connection_id, life, refresh_life).saturating_sub(since)),
        refresh_expires_in: refresh_life.map(|life| life.saturating_sub(since)),
    };
    (credentials, grant)
}

/// What was known of a grant before an answer.
#[derive(Debug, Default)]
pub struct Before {
    /// The app that it was given to.
    pub provider_app_id: Option<Uuid>,
    /// Its refresh token.
    pub refresh_token: Option<Secret>,
    /// How long its last access token lived.
    pub life: Option<Duration>,
    /// Its scopes.
    pub scopes: Vec<String>,
}

/// The variables of a connection (a JSON object as text) with those that an answer told; `None` when nothing is new.
#[must_use]
pub fn variables(metadata: Option<&str>, found: &BTreeMap<String, String>) -> Option<String> {
    let parsed: Option<Value> = metadata.and_then(|text| serde_json::from_str(text).ok());
    let mut variables = match parsed {
        Some(Value::Object(variables)) => variables,
        _ => Map::new(),
    };
    let before = variables.clone();
    for (name, value) in found {
        let known = variables
            .get(name)
            .map(|known| known.get("value").unwrap_or(known));
        if known.and_then(Value::as_str) != Some(value) {
            variables.insert(name.clone(), json!({ "value": value, "source": "token" }));
        }
    }
    (variables != before).then(|| Value::Object(variables).to_string())
}
