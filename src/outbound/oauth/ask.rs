//! Asking a customer to agree, and a provider for tokens.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::form::Form;
use super::{ClientApp, TokenRequest};
use crate::connectors::{ClientAuth, Connector, OAuth2, Refusal, RevokeAuth, Revokes, Urls, fill};
use crate::outbound::attach::wrong_kind;
use crate::outbound::credentials::{CredentialError, Credentials};
use crate::vault::{Secret, sha256};

/// What a customer's browser keeps from everybody else (RFC 7636), made of random bytes.
#[must_use]
pub fn new_verifier(random: [u8; 32]) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(random))
}

/// Whether a verifier is needed for this provider.
#[must_use]
pub fn uses_pkce(connector: &Connector) -> bool {
    let oauth2 = connector.auth().oauth2();
    oauth2.is_some_and(OAuth2::uses_pkce)
}

/// Which of its tokens a grant is given back with; `None` where the provider has no way.
#[must_use]
pub fn revokes(connector: &Connector) -> Option<Revokes> {
    Some(connector.auth().oauth2()?.revoke.as_ref()?.sends)
}

/// Whether giving a grant back ends other grants of the same account to the same app too.
#[must_use]
pub fn revokes_others(connector: &Connector) -> bool {
    let oauth2 = connector.auth().oauth2();
    let revoke = oauth2.and_then(|oauth2| oauth2.revoke.as_ref());
    revoke.is_some_and(|revoke| revoke.shared)
}

/// Who asks whom on behalf of which connection.
struct Asked<'a> {
    connector: &'a Connector,
    oauth2: &'a OAuth2,
    app: &'a ClientApp,
    vars: &'a BTreeMap<String, String>,
}

impl<'a> Asked<'a> {
    /// Fails where customers do not agree in a browser.
    fn new(
        connector: &'a Connector,
        app: &'a ClientApp,
        vars: &'a BTreeMap<String, String>,
    ) -> Result<Self, CredentialError> {
        let oauth2 = connector.auth().oauth2();
        let oauth2 = oauth2.filter(|oauth2| oauth2.grant.has_consent());
        Ok(Self {
            connector,
            oauth2: oauth2.ok_or_else(|| wrong_kind(connector, &Credentials::None))?,
            app,
            vars,
        })
    }

    fn url(&self, urls: &Urls) -> Result<String, CredentialError> {
        let url = self.connector.first_url(urls, self.vars)?;
        url.ok_or(CredentialError::BadUrl)
    }

    /// A text of the file with the connection's variables and the app's parameters put in; `None` when the app lacks one of
    /// these.
    fn filled(&self, text: &str) -> Result<Option<String>, CredentialError> {
        let value = |name: &str| match name.split_once('.') {
            Some(("conn", name)) => self.connector.variable(self.vars, name).map(Cow::Borrowed),
            Some(("app", name)) => self
                .app
                .params
                .get(name)
                .map(|value| Cow::Borrowed(value.as_str())),
            _ => None,
        };
        match fill(text, value) {
            Ok(text) => Ok(Some(text)),
            Err(name) if name.starts_with("app.") => Ok(None),
            Err(name) => {
                let name = name.strip_prefix("conn.").unwrap_or(&name);
                Err(Refusal::missing_variable(name).into())
            }
        }
    }

    fn put_all(&self, form: &mut Form, params: &BTreeMap<String, String>) -> Result<(), CredentialError> {
        for (name, text) in params {
            if let Some(value) = self.filled(text)? {
                form.put(name, &value);
            }
        }
        Ok(())
    }

    fn client(&self, form: &mut Form, how: ClientAuth) -> Result<(), CredentialError> {
        form.client(&self.app.client_id, self.app.client_secret.as_ref(), how)
    }

    fn token_request(&self, mut form: Form, url: String) -> Result<TokenRequest, CredentialError> {
        for (name, value) in &self.oauth2.token_headers {
            form.header(name, value)?;
        }
        let body = self.oauth2.token_body;
        Ok(form.request(self.connector, http::Method::POST, url, body))
    }

    /// Scopes by the names that the provider has for them, in one text.
    fn joined(&self, scopes: &[&str]) -> Result<String, CredentialError> {
        let named = scopes
            .iter()
            .map(|scope| match self.oauth2.scope_names.get(*scope) {
                Some(text) => Ok(self.filled(text)?.unwrap_or_default()),
                None => Ok((*scope).to_owned()),
            });
        let named: Vec<String> = named.collect::<Result<_, CredentialError>>()?;
        Ok(named.join(&self.oauth2.scope_separator))
    }
}

/// The URL at which a customer agrees.
///
/// # Errors
/// When customers of this provider do not agree in a browser, or a variable is missing or not acceptable.
pub fn authorize_url(
    connector: &Connector,
    app: &ClientApp,
    vars: &BTreeMap<String, String>,
    redirect_uri: &str,
    state: &Secret,
    verifier: Option<&Secret>,
) -> Result<String, CredentialError> {
    let asked = Asked::new(connector, app, vars)?;
    let oauth2 = asked.oauth2;
    let mut url = url::Url::parse(&asked.url(&oauth2.auth_url)?).map_err(|_| CredentialError::BadUrl)?;
    let mut form = Form::new();
    form.put("response_type", "code");
    form.put("client_id", &app.client_id);
    form.put("redirect_uri", redirect_uri);
    let (scopes, optional) = scopes(oauth2, app);
    if !scopes.is_empty() {
        form.put("scope", &asked.joined(&scopes)?);
    }
    if let Some(param) = oauth2
        .optional_scope_param
        .as_deref()
        .filter(|_| !optional.is_empty())
    {
        form.put(param, &asked.joined(&optional)?);
    }
    form.put("state", state.expose());
    if let Some(verifier) = verifier.filter(|_| oauth2.uses_pkce()) {
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.expose().as_bytes()));
        form.put("code_challenge", &challenge);
        form.put("code_challenge_method", "S256");
    }
    // What the app says of them itself counts.
    let mut params = oauth2.auth_params.clone();
    params.retain(|name, _| !app.auth_params.contains_key(name));
    asked.put_all(&mut form, &params)?;
    for (name, value) in &app.auth_params {
        form.put(name, value);
    }
    let mut query = form.encoded();
    if let Some(own) = url.query().filter(|own| !own.is_empty()) {
        query = format!("{own}&{query}");
    }
    url.set_query(Some(&query));
    Ok(url.into())
}

/// The scopes to ask for, and those among them that an account may lack where the provider has a parameter for these.
fn scopes<'a>(oauth2: &'a OAuth2, app: &'a ClientApp) -> (Vec<&'a str>, Vec<&'a str>) {
    let wanted = if app.scopes.is_empty() {
        &oauth2.scopes
    } else {
        &app.scopes
    };
    let own_param = oauth2.optional_scope_param.is_some();
    let more = app.optional_scopes.iter().filter(|_| !own_param);
    let mut scopes: Vec<&str> = Vec::new();
    let mut add = |scope: &'a String| {
        if !scope.is_empty() && !scopes.contains(&scope.as_str()) {
            scopes.push(scope);
        }
    };
    wanted.iter().chain(more).for_each(&mut add);
    // Without a scope an app gets what it is registered for: naming one alone would narrow that.
    if !wanted.is_empty() {
        oauth2.scopes_added.iter().for_each(&mut add);
    }
    let optional = app.optional_scopes.iter().filter(|_| own_param);
    let optional = optional.map(String::as_str);
    let optional = optional
        .filter(|scope| !scope.is_empty() && !scopes.contains(scope))
        .collect();
    (scopes, optional)
}

/// The request that makes tokens of a code.
///
/// # Errors
/// As [`authorize_url`].
pub fn exchange(
    connector: &Connector,
    app: &ClientApp,
    vars: &BTreeMap<String, String>,
    redirect_uri: &str,
    code: &Secret,
    verifier: Option<&Secret>,
) -> Result<TokenRequest, CredentialError> {
    let asked = Asked::new(connector, app, vars)?;
    let oauth2 = asked.oauth2;
    let url = asked.url(&oauth2.token_url)?;
    let mut form = Form::new();
    form.put("grant_type", "authorization_code");
    form.put_secret("code", code);
    form.put("redirect_uri", redirect_uri);
    if let Some(verifier) = verifier.filter(|_| oauth2.uses_pkce()) {
        form.put_secret("code_verifier", verifier);
    }
    asked.client(&mut form, oauth2.client_auth)?;
    asked.put_all(&mut form, &oauth2.token_params)?;
    asked.token_request(form, url)
}

/// The request for a new access token.
///
/// # Errors
/// As [`authorize_url`].
pub fn refresh(
    connector: &Connector,
    app: &ClientApp,
    vars: &BTreeMap<String, String>,
    refresh_token: &Secret,
) -> Result<TokenRequest, CredentialError> {
    let asked = Asked::new(connector, app, vars)?;
    let oauth2 = asked.oauth2;
    let urls = if oauth2.refresh_url.0.is_empty() {
        &oauth2.token_url
    } else {
        &oauth2.refresh_url
    };
    let url = asked.url(urls)?;
    let mut form = Form::new();
    form.put("grant_type", "refresh_token");
    form.put_secret("refresh_token", refresh_token);
    asked.client(
        &mut form,
        oauth2.refresh_client_auth.unwrap_or(oauth2.client_auth),
    )?;
    asked.put_all(&mut form, &oauth2.token_params)?;
    asked.put_all(&mut form, &oauth2.refresh_params)?;
    asked.token_request(form, url)
}

/// The request that gives a grant back, with the token that [`revokes`] names; `None` where the file names no way.
///
/// # Errors
/// As [`authorize_url`].
pub fn revoke(
    connector: &Connector,
    app: &ClientApp,
    vars: &BTreeMap<String, String>,
    token: &Secret,
) -> Result<Option<TokenRequest>, CredentialError> {
    let asked = Asked::new(connector, app, vars)?;
    let oauth2 = asked.oauth2;
    let Some(revoke) = &oauth2.revoke else {
        return Ok(None);
    };
    let id: String = url::form_urlencoded::byte_serialize(app.client_id.as_bytes()).collect();
    let id = id.replace('+', "%20");
    let urls = revoke.url.iter().map(|url| url.replace("{client_id}", &id));
    let url = asked.url(&Urls(urls.collect()))?;
    let mut form = Form::new();
    form.keep(token.clone());
    let param = revoke.param.as_deref().unwrap_or("token");
    if !param.is_empty() {
        form.put(param, token.expose());
    }
    match revoke.auth {
        RevokeAuth::Body => asked.client(&mut form, ClientAuth::Body)?,
        RevokeAuth::Basic => asked.client(&mut form, ClientAuth::Basic)?,
        RevokeAuth::Bearer => match &oauth2.header {
            Some(own) => form.secret_header(&own.name, &format!("{}{}", own.prefix, token.expose()))?,
            None => form.authorization(&format!("Bearer {}", token.expose()))?,
        },
        RevokeAuth::Client => {
            form.put("client_id", &app.client_id);
            if let Some(secret) = &app.client_secret {
                form.authorization(&format!("Client {}", secret.expose()))?;
                form.keep(secret.clone());
            }
        }
        RevokeAuth::None => {}
    }
    asked.put_all(&mut form, &revoke.params)?;
    let method = revoke.method.as_deref().unwrap_or("POST");
    let method = http::Method::from_bytes(method.as_bytes()).map_err(|_| CredentialError::BadUrl)?;
    Ok(Some(form.request(connector, method, url, revoke.body)))
}
