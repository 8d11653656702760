//! Control calls on apps, consents, tokens and grants.

use std::sync::Arc;

use http::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ControlError, Outcome, journal, parse, provider_of, to_value};
use crate::sandbox::core::Core;
use crate::sandbox::gateway;
use crate::sandbox::message::{Provider, Request};
use crate::sandbox::tokens::{self, App, Grant, Token, TokenEvent};

/// What a customer answers on the consent page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Consent {
    provider: Provider,
    /// The URL the browser would open: the provider's own or the sandbox's.
    authorize_url: String,
    account: Option<String>,
    /// `allow` or `deny`.
    decision: String,
    /// The scopes allowed; all that were asked for when absent.
    scopes: Option<Vec<String>>,
}

/// One account at one provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    provider: Provider,
    account: String,
}

/// One call below `/apps`, `/consent`, `/grants`, `/revoke` or `/tokens`.
pub(super) async fn call(core: &Arc<Core>, method: &Method, words: &[&str], body: Value) -> Outcome {
    match (method.as_str(), words) {
        ("GET", ["apps"]) => to_value(&core.tokens.apps()),
        ("POST", ["apps"]) => {
            let app: App = parse(body)?;
            core.tokens.put_app(app.clone());
            keep(core, vec![TokenEvent::App(app)])
        }
        ("POST", ["consent"]) => consent(core, parse(body)?).await,
        ("POST", ["revoke"]) => {
            let Whose { provider, account } = parse(body)?;
            keep(core, core.tokens.revoke_account(provider, &account, None))
        }
        ("POST", ["grants"]) => {
            let grant: Grant = parse(body)?;
            core.tokens.put_grant(grant.clone());
            keep(core, vec![TokenEvent::Grant(grant)])
        }
        ("POST", ["tokens"]) => {
            let token: Token = parse(body)?;
            core.tokens.put_token(token.clone());
            keep(core, vec![TokenEvent::Token(token)])
        }
        ("GET", ["tokens", "ledger"]) => to_value(&core.tokens.uses.list()),
        ("DELETE", ["tokens", "ledger"]) => {
            core.clear_uses().map_err(journal)?;
            Ok(Value::Null)
        }
        ("GET", ["tokens", "audit"]) => to_value(&tokens::audit(&core.tokens.uses.list())),
        ("DELETE", ["tokens", provider, token]) => {
            let event = core.tokens.revoke_token(provider_of(provider)?, token);
            let event = event.ok_or_else(|| ControlError::not_found(format!("no token {token}")))?;
            keep(core, vec![event])
        }
        _ => Err(ControlError::not_found(format!(
            "no control call {method} /_sandbox/{}; see docs/sandbox.md",
            words.join("/")
        ))),
    }
}

fn keep(core: &Core, events: Vec<TokenEvent>) -> Outcome {
    core.keep_tokens(events).map_err(journal)?;
    Ok(Value::Null)
}

/// Answers the consent page in the customer's place: through the page itself, so that faults act and the ledger has it.
async fn consent(core: &Arc<Core>, consent: Consent) -> Outcome {
    let path = match consent.provider {
        Provider::HubSpot => "/oauth/authorize",
        Provider::Salesforce => "/services/oauth2/authorize",
        Provider::Echo => {
            return Err(ControlError::invalid(
                "provider: the echo provider has no consent page",
            ));
        }
    };
    let (address, query) = consent
        .authorize_url
        .split_once('?')
        .unwrap_or((&consent.authorize_url, ""));
    if !address.ends_with(path) {
        let text = format!("authorizeUrl: the consent page's path ends in {path}");
        return Err(ControlError::invalid(text));
    }
    let mut form = vec![("decision", consent.decision)];
    form.extend(consent.account.map(|account| ("account", account)));
    form.extend(consent.scopes.map(|scopes| ("scopes", scopes.join(" "))));
    let pair =
        |(name, value): &(&str, String)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let request = Request {
        method: Method::POST,
        path: path.to_owned(),
        raw_query: Some(query.to_owned()),
        headers: HeaderMap::new(),
        body: form.iter().map(pair).collect::<Vec<_>>().join("&").into(),
    };
    let response = gateway::provide(Arc::clone(core), consent.provider, request, None).await;
    let location = response
        .headers()
        .get(http::header::LOCATION)
        .and_then(|v| v.to_str().ok());
    if let Some(url) = location {
        return Ok(json!({"redirectUrl": url}));
    }
    let (status, limit) = (response.status().as_u16(), 64 * 1024);
    let page = axum::body::to_bytes(response.into_body(), limit)
        .await
        .unwrap_or_default();
    Err(ControlError {
        status: status.max(400),
        message: words_of(&String::from_utf8_lossy(&page)),
    })
}

/// What a page says in its `error` or `problem`; the whole page when it has none.
fn words_of(page: &str) -> String {
    let said = |mark: &str| {
        let (_, rest) = page.split_once(mark)?;
        let (text, _) = rest.split_once("</p>")?;
        Some(text.replace("<strong>", "").replace("</strong>", ""))
    };
    let text = said("<p id=\"error\">").or_else(|| said("<p id=\"problem\">"));
    let text = text.unwrap_or_else(|| page.to_owned());
    text.replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
