//! Reading an authorisation request: who asks whom for what, or what is wrong with it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::scopes;
use crate::sandbox::message::{Provider, Request};
use crate::sandbox::tokens::{App, Tokens};

/// An authorisation request that may be put to a customer.
#[derive(Debug)]
pub(super) struct Asked {
    pub app: App,
    pub back: Back,
    /// The scopes without which there is no consent.
    pub scopes: Vec<String>,
    /// Those that an account may lack (HubSpot's `optional_scope`).
    pub optional: Vec<String>,
    /// The PKCE challenge of method S256.
    pub challenge: Option<String>,
}

/// Where the browser goes afterwards.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub uri: String,
    pub state: Option<String>,
}

/// What is wrong with a request.
#[derive(Debug)]
pub(super) enum Wrong {
    /// Said on the provider's own page: nobody is sent to a redirect URI that cannot be trusted.
    Page(String),
    /// Said to the app at its redirect URI.
    Told(Back, &'static str, String),
}

/// What is left as it is in a query; `-._~` need no encoding (RFC 3986).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Back {
    /// The redirect URI with these parameters and the state.
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut url = self.uri.clone();
        let state = self.state.as_deref().map(|s| ("state", s));
        for (name, value) in parameters.iter().copied().chain(state) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, QUERY));
        }
        url
    }
}

/// Reads the query of a request to the consent page.
pub(super) fn read(tokens: &Tokens, provider: Provider, request: &Request) -> Result<Asked, Wrong> {
    let given = |name: &str| request.query(name).filter(|v| !v.is_empty());
    let hubspot = provider == Provider::HubSpot;
    let page = |ours: String, theirs: &str| Wrong::Page(if hubspot { ours } else { theirs.to_owned() });
    let client_id = given("client_id").unwrap_or_default();
    let app = tokens.app(provider, &client_id).ok_or_else(|| {
        page(
            format!("Authorization failed because there is no app with the client ID '{client_id}'"),
            "error=invalid_client_id: client identifier invalid",
        )
    })?;
    let uri = given("redirect_uri").unwrap_or_default();
    if !app.redirects_to(&uri) {
        return Err(page(
            format!(
                "Authorization failed as the redirect URL '{uri}' doesn't match the app's registered redirect URL"
            ),
            "error=redirect_uri_mismatch: redirect_uri must match configuration",
        ));
    }
    let back = Back {
        uri,
        state: request.query("state"),
    };
    // HubSpot says on its own page what Salesforce says to the app.
    let wrong = |error: &'static str, text: String| match provider {
        Provider::HubSpot => Wrong::Page(format!("Authorization failed: {text}")),
        _ => Wrong::Told(back.clone(), error, text),
    };
    match given("response_type").as_deref() {
        Some("code") => {}
        None if hubspot => {}
        _ => {
            return Err(wrong(
                "unsupported_response_type",
                "response type not supported".to_owned(),
            ));
        }
    }
    let challenge = given("code_challenge");
    match (&challenge, given("code_challenge_method").as_deref()) {
        (None, _) if app.require_pkce => {
            return Err(wrong(
                "invalid_request",
                "missing required code challenge".to_owned(),
            ));
        }
        (None, _) | (Some(_), Some("S256")) => {}
        // Salesforce knows no other method and does not ask for its name.
        (Some(_), None) if !hubspot => {}
        _ => {
            return Err(wrong(
                "invalid_request",
                "code_challenge_method must be S256".to_owned(),
            ));
        }
    }
    let mut asked = scopes::words(&given("scope").unwrap_or_default());
    let optional = match given("optional_scope") {
        Some(text) if hubspot => scopes::words(&text),
        _ => Vec::new(),
    };
    for scope in asked.iter().chain(&optional) {
        let allowed =
            app.scopes.is_empty() || app.scopes.contains(scope) || app.required_scopes.contains(scope);
        if !scopes::is_known(provider, scope) || !allowed {
            return Err(wrong(
                "invalid_scope",
                format!("the requested scope is not allowed: {scope}"),
            ));
        }
    }
    if let Some(missing) = app.required_scopes.iter().find(|s| !asked.contains(s)) {
        let text = format!("the scope {missing} is required by the app's settings and missing from the URL");
        return Err(wrong("invalid_scope", text));
    }
    if asked.is_empty() {
        if hubspot {
            return Err(wrong("invalid_scope", "the URL asks for no scope".to_owned()));
        }
        asked = if app.scopes.is_empty() {
            scopes::usual()
        } else {
            app.scopes.clone()
        };
    }
    Ok(Asked {
        app,
        back,
        scopes: asked,
        optional,
        challenge,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_comes_back_as_it_was_and_the_uris_own_query_stays() {
        let back = Back {
            uri: "http://127.0.0.1/cb?a=1".to_owned(),
            state: Some("s=1&x/ü +".to_owned()),
        };
        let url = back.with(&[("code", "c==")]);
        assert_eq!(
            url,
            "http://127.0.0.1/cb?a=1&code=c%3D%3D&state=s%3D1%26x%2F%C3%BC%20%2B"
        );
        let query = url.split_once('?').unwrap().1;
        let state = crate::sandbox::message::pairs(query).pop().unwrap();
        assert_eq!(state, ("state".to_owned(), "s=1&x/ü +".to_owned()));
    }
}
