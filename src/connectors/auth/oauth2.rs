//! OAuth 2 as a provider speaks it, and as its file says so.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{HeaderDef, Mint};
use crate::connectors::declarative::json_path::JsonPath;

/// OAuth 2 as a provider speaks it. URLs are templates over the connection's variables: resolve them with
/// [`crate::connectors::Connector::token_url`] and [`crate::connectors::Connector::auth_url`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// How the first token is obtained.
    pub grant: Grant,
    /// Where the user agrees.
    #[serde(default)]
    pub auth_url: Urls,
    /// Where codes and refresh tokens are exchanged.
    pub token_url: Urls,
    /// Where refresh tokens are exchanged, when it is elsewhere.
    #[serde(default)]
    pub refresh_url: Urls,
    /// Further parameters of the authorisation URL, such as `access_type: offline`: texts with `{conn.x}` and `{app.x}`. One
    /// whose `{app.x}` the app does not have is left out.
    #[serde(default)]
    pub auth_params: BTreeMap<String, String>,
    /// Further parameters of each token request, such as `audience`: texts like those of `auth_params`.
    #[serde(default)]
    pub token_params: BTreeMap<String, String>,
    /// Further parameters of a token request with a refresh token.
    #[serde(default)]
    pub refresh_params: BTreeMap<String, String>,
    /// Headers of each token request.
    #[serde(default)]
    pub token_headers: BTreeMap<String, String>,
    /// Scopes to ask for when the app names none.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Scopes that are asked for beside any others: that for a refresh token, say.
    #[serde(default)]
    pub scopes_added: Vec<String>,
    /// What a scope is called at the provider when its name depends on the account: texts with `{conn.x}` by short names.
    #[serde(default)]
    pub scope_names: BTreeMap<String, String>,
    /// Whether scopes have to be named.
    #[serde(default)]
    pub scopes_required: bool,
    /// What stands between scopes in the authorisation URL.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// The parameter of the authorisation URL with the scopes that an account may lack, where the provider has one. Elsewhere
    /// they are asked for with the others.
    pub optional_scope_param: Option<String>,
    /// Whether PKCE is used although the grant does not say so.
    #[serde(default)]
    pub pkce: bool,
    /// How the app proves who it is at the token URL.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// The same with a refresh token, where that is another way.
    pub refresh_client_auth: Option<ClientAuth>,
    /// How token requests are written.
    #[serde(default)]
    pub token_body: TokenBody,
    /// What a token answer holds where, and what its errors mean.
    #[serde(default)]
    pub answer: TokenAnswer,
    /// What becomes of a refresh token when it is used.
    #[serde(default)]
    pub rotation: Rotation,
    /// Seconds that an access token lives when the token answer does not say.
    pub expires_in: Option<u64>,
    /// Days that a refresh token lives from its last use on, when the token answer does not say.
    pub refresh_days: Option<u32>,
    /// Days after which a grant ends whatever is refreshed, when the token answer does not say.
    pub grant_days: Option<u32>,
    /// How a grant is given back.
    pub revoke: Option<Revoke>,
    /// Where the account is named whose grant it is.
    pub account: Option<Account>,
    /// The header that carries the access token, when it is not `Authorization: Bearer`.
    pub header: Option<HeaderDef>,
    /// The field of the token answer that holds the base URL of the account, such as `instance_url`. It may change with
    /// each refresh.
    pub instance_url_field: Option<String>,
    /// The field of the token answer that names the account.
    pub workspace_field: Option<String>,
    /// Whether the user has to name the workspace before authorisation.
    #[serde(default)]
    pub workspace_required: bool,
    /// With [`Grant::ClientCredentials`]: how a token is minted with the customer's own client id and secret. Not part of the file:
    /// it is made of the rest.
    #[serde(skip)]
    pub mint: Option<Mint>,
}

impl OAuth2 {
    /// Whether a code is bound to whoever asked for it (RFC 7636).
    #[must_use]
    pub fn uses_pkce(&self) -> bool {
        self.pkce || self.grant == Grant::AuthorizationCodePkce
    }

    /// All of its URLs.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let revoke = self.revoke.iter().flat_map(|revoke| revoke.url.iter());
        let all = self.auth_url.iter().chain(self.token_url.iter());
        let account = self.account.iter().filter_map(|account| account.get.as_deref());
        all.chain(self.refresh_url.iter()).chain(revoke).chain(account)
    }
}

fn space() -> String {
    " ".to_owned()
}

/// How a first token is obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// The user agrees in a browser.
    AuthorizationCode,
    /// The same with PKCE.
    AuthorizationCodePkce,
    /// The app's own credentials.
    ClientCredentials,
    /// User name and password.
    Password,
}

impl Grant {
    /// Whether the user agrees in a browser.
    #[must_use]
    pub const fn has_consent(self) -> bool {
        matches!(self, Self::AuthorizationCode | Self::AuthorizationCodePkce)
    }
}

/// How the app proves who it is at the token URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the body.
    #[default]
    Body,
    /// HTTP basic authentication.
    Basic,
}

/// How a token request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenBody {
    /// `application/x-www-form-urlencoded`, as RFC 6749 asks.
    #[default]
    Form,
    /// A JSON object.
    Json,
}

/// What becomes of a refresh token when it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// It stays good.
    Stable,
    /// A new one comes with each refresh and the old one dies, so a lost answer may lose the grant.
    Rotates,
    /// Either may happen: a new one, when there is one, replaces the old one.
    #[default]
    Unknown,
}

/// One URL or several: the first counts whose variables the connection has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Urls(pub Vec<String>);

impl Urls {
    /// The one to show.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        texts(from).map(Self)
    }
}

/// Paths of a JSON document: the first counts at which something is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paths(Vec<JsonPath>);

impl Paths {
    /// The path of one key.
    #[must_use]
    pub fn key(key: &str) -> Self {
        Self(JsonPath::parse(key).into_iter().collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first value that is neither null nor an empty text.
    #[must_use]
    pub fn first<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        let mut found = self.0.iter().filter_map(|path| path.first(root));
        found.find(|value| value.as_str() != Some(""))
    }

    /// All values that are not null.
    pub fn all<'v>(&self, root: &'v Value) -> impl Iterator<Item = &'v Value> {
        self.0.iter().flat_map(|path| path.all(root))
    }

    /// The first value as a text: a text or a number.
    #[must_use]
    pub fn text(&self, root: &Value) -> Option<String> {
        self.first(root).and_then(Self::as_text)
    }

    /// A value as a text: a text or a number.
    #[must_use]
    pub fn as_text(value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let paths = texts(from)?;
        let parsed: Result<_, String> = paths.iter().map(|text| JsonPath::parse(text)).collect();
        parsed.map(Self).map_err(D::Error::custom)
    }
}

/// A text, or a list of texts.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Texts;
    impl<'de> serde::de::Visitor<'de> for Texts {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text or a list of texts")
        }
        fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(text) = seq.next_element()? {
                all.push(text);
            }
            Ok(all)
        }
    }
    from.deserialize_any(Texts)
}

/// What a token answer holds where, and what its errors mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenAnswer {
    /// The objects that may hold a token with what belongs to it; the first that does counts.
    pub at: Paths,
    /// The access token in it.
    pub access_token: Paths,
    /// The refresh token in it.
    pub refresh_token: Paths,
    /// How long the access token lives.
    pub expires_in: Paths,
    /// What the numbers of `expires_in` count.
    pub expires_unit: ExpiresUnit,
    /// When the access token ends: an RFC 3339 time, or seconds or milliseconds since 1970.
    pub expires_at: Paths,
    /// How many seconds the refresh token lives.
    pub refresh_expires_in: Paths,
    /// How many seconds the grant lives, whatever is refreshed.
    pub grant_expires_in: Paths,
    /// The scopes that were granted: a list, or a text with blanks or commas between them.
    pub scope: Paths,
    /// What errors mean, before the rules for all providers; the first that fits counts.
    pub faults: Vec<FaultRule>,
}

impl Default for TokenAnswer {
    fn default() -> Self {
        let mut scope = Paths::key("scope");
        scope.0.extend(Paths::key("scopes").0);
        Self {
            at: Paths::key("$"),
            access_token: Paths::key("access_token"),
            refresh_token: Paths::key("refresh_token"),
            expires_in: Paths::key("expires_in"),
            expires_unit: ExpiresUnit::default(),
            expires_at: Paths::default(),
            refresh_expires_in: Paths::key("refresh_token_expires_in"),
            grant_expires_in: Paths::default(),
            scope,
            faults: Vec::new(),
        }
    }
}

/// What the number of a lifetime counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresUnit {
    /// Seconds, as RFC 6749 says.
    #[default]
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
}

/// What an error of the token endpoint means. Every list that is given has to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Codes, one of which the answer has, in any case.
    #[serde(default)]
    pub code: Vec<String>,
    /// Parts of texts, one of which the answer has, in any case.
    #[serde(default)]
    pub message: Vec<String>,
    /// HTTP statuses.
    #[serde(default)]
    pub status: Vec<u16>,
    /// What it means.
    #[serde(rename = "as")]
    pub class: FaultClass,
}

/// What an error of the token endpoint means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// The grant is over: the customer has to agree again.
    Dead,
    /// The operator's app is set up wrongly.
    App,
    /// The access token is good, and so no other is given.
    StillValid,
    /// The request is not acceptable; nothing is said about the grant.
    #[default]
    Refused,
    /// Too many requests.
    RateLimited,
    /// A passing failure.
    Transient,
}

/// How a grant is given back (RFC 7009).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Where; `{client_id}` is the app's id.
    pub url: Urls,
    /// `POST` unless it is another method.
    pub method: Option<String>,
    /// Which token is sent.
    #[serde(default)]
    pub sends: Revokes,
    /// The parameter with the token: `token` unless it is named otherwise; empty where it goes into the header only.
    pub param: Option<String>,
    /// Further parameters.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// How the request is written.
    #[serde(default)]
    pub body: TokenBody,
    /// Who asks.
    #[serde(default)]
    pub auth: RevokeAuth,
    /// Whether this ends other grants of the same account to the same app too.
    #[serde(default)]
    pub shared: bool,
}

/// Which token a revocation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revokes {
    /// The refresh token, and with it the grant.
    #[default]
    RefreshToken,
    /// The access token.
    AccessToken,
}

/// How a revocation proves who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeAuth {
    /// `client_id` and `client_secret` in the body.
    #[default]
    Body,
    /// `client_id` and `client_secret` by HTTP basic authentication.
    Basic,
    /// The token itself, in the header that requests carry it in.
    Bearer,
    /// `client_id` in the body, and the secret as `Authorization: Client`.
    Client,
    /// It does not.
    None,
}

/// Where the account is named whose grant it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its id, which stays the same when the customer agrees again. `id_token.x` and `access_token.x` are claims of a token.
    #[serde(default)]
    pub id: Paths,
    /// The connection's variable that is the id, instead.
    pub variable: Option<String>,
    /// A pattern whose first group is the id.
    #[serde(rename = "match")]
    pub taken: Option<String>,
    /// Its name for people.
    #[serde(default)]
    pub name: Paths,
    /// The URL to GET with the new token; without it the token answer says it.
    pub get: Option<String>,
}
