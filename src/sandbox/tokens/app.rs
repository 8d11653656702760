//! The apps that ask for consent: client ids, secrets, redirect URIs and scopes.

use serde::{Deserialize, Serialize};

use crate::sandbox::message::Provider;

/// An app as its maker registered it at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct App {
    /// Where it is registered.
    pub provider: Provider,
    /// Its client id; one app per provider and client id.
    pub client_id: String,
    /// Its secret, which every token call of this client must send.
    pub client_secret: String,
    /// The name on the consent page; the client id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The redirect URIs it may use, each to the letter.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Whether it may also use any `http` URI of this machine (`127.0.0.1`, `localhost`, `[::1]`).
    #[serde(default)]
    pub any_loopback: bool,
    /// The scopes it may ask for; any that the provider knows when empty.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The scopes that each request must have in `scope` (HubSpot).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_scopes: Vec<String>,
    /// Whether a request without `code_challenge` is refused.
    #[serde(default)]
    pub require_pkce: bool,
    /// Whether its grants rotate: each refresh gives a new refresh token, and reuse revokes the grant.
    #[serde(default)]
    pub rotate: bool,
}

impl App {
    /// The app that is there from the start: `sandbox-hubspot` or `sandbox-salesforce`.
    pub(super) fn built_in(provider: Provider) -> Self {
        Self {
            provider,
            client_id: format!("sandbox-{}", provider.as_str()),
            client_secret: "sandbox-secret".to_owned(),
            name: Some("Sandbox app".to_owned()),
            redirect_uris: Vec::new(),
            any_loopback: true,
            scopes: Vec::new(),
            required_scopes: Vec::new(),
            require_pkce: false,
            rotate: false,
        }
    }

    /// The name to show.
    pub(crate) fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.client_id)
    }

    /// Whether the URI is one of the app's.
    pub(crate) fn redirects_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|u| u == uri) || self.any_loopback && is_loopback(uri)
    }
}

fn is_loopback(uri: &str) -> bool {
    let Ok(uri) = uri.parse::<http::Uri>() else {
        return false;
    };
    // An authority with `@` would send the browser elsewhere in some of them.
    let plain = uri.authority().is_some_and(|a| !a.as_str().contains('@'));
    plain
        && uri.scheme_str() == Some("http")
        && matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_must_be_registered_to_the_letter() {
        let mut app = App::built_in(Provider::HubSpot);
        app.any_loopback = false;
        app.redirect_uris = vec!["https://amp.example/callbacks/v1/oauth".to_owned()];
        assert!(app.redirects_to("https://amp.example/callbacks/v1/oauth"));
        for other in [
            "https://amp.example/callbacks/v1/oauth/",
            "http://amp.example/callbacks/v1/oauth",
            "https://amp.example/callbacks/v1/oauth?x=1",
            "http://127.0.0.1/callbacks/v1/oauth",
            "",
        ] {
            assert!(!app.redirects_to(other), "{other}");
        }
    }

    #[test]
    fn loopback_is_this_machine_over_http() {
        let app = App::built_in(Provider::Salesforce);
        for good in [
            "http://127.0.0.1:8080/cb",
            "http://localhost/cb?x=1",
            "http://[::1]:9/",
        ] {
            assert!(app.redirects_to(good), "{good}");
        }
        for bad in [
            "https://127.0.0.1/cb",
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.1@evil.example/",
            "/cb",
            "localhost",
        ] {
            assert!(!app.redirects_to(bad), "{bad}");
        }
    }
}
