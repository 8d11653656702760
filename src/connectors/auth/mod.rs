//! How credentials are obtained and attached. Only data: the outbound layer holds the secrets and does the work.

mod definition;
mod oauth2;
mod places;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use definition::AuthDef;
pub use oauth2::{
    Account, ClientAuth, ExpiresUnit, FaultClass, FaultRule, Grant, OAuth2, Paths, Revoke, RevokeAuth,
    Revokes, Rotation, TokenAnswer, TokenBody, Urls,
};
pub use places::{fill, names};

/// How a provider authenticates its callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// What kind of credential it is.
    pub scheme: Scheme,
    /// How it is put on a request. Empty for [`Scheme::None`] and [`Scheme::AwsSigV4`].
    pub attach: Vec<Attach>,
    /// A call that says whether a credential works, and changes nothing.
    pub health: Option<Health>,
}

/// The kinds of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// OAuth 2. The secret `access_token` is attached.
    OAuth2(Box<OAuth2>),
    /// One key. The secret `api_key` is attached.
    ApiKey,
    /// User name and password: the secrets `username` and `password`.
    Basic(Basic),
    /// Named secrets that the user enters.
    Custom(Vec<Input>),
    /// A token that is minted with a signed assertion or the app's own credentials. The secret `access_token` is
    /// attached.
    Mint(Mint),
    /// Each request is signed as AWS asks (Signature Version 4).
    AwsSigV4(AwsSigV4),
    /// No credential.
    None,
}

/// What a user name and a password stand for at this provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Basic {
    /// The user enters one key: it is the user name (`username`) or the password (`password`).
    pub api_key_as: Option<String>,
    /// The fixed text of the other half.
    pub other: Option<String>,
    /// The user name's name for people.
    pub username: Option<String>,
    /// The password's name for people.
    pub password: Option<String>,
}

/// A secret or a setting that the user enters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name in the connection's secrets.
    pub name: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Where to find it.
    pub description: Option<String>,
    /// Whether a connection can do without it.
    #[serde(default)]
    pub optional: bool,
    /// Whether it may be seen: a user name, say.
    #[serde(default)]
    pub public: bool,
}

/// How requests are signed for AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSigV4 {
    /// The service in the signature.
    pub service: String,
    /// The region in the signature: a text over the connection's variables.
    pub region: String,
    /// The services of hosts whose first label is another: `identitystore` of `identitystore.eu-west-1.amazonaws.com`.
    pub hosts: BTreeMap<String, String>,
    /// What the user enters: [`ACCESS_KEY_ID`], [`SECRET_ACCESS_KEY`], [`SESSION_TOKEN`].
    pub inputs: Vec<Input>,
}

/// The input with the id of an AWS access key.
pub const ACCESS_KEY_ID: &str = "access_key_id";
/// The input with an AWS secret access key.
pub const SECRET_ACCESS_KEY: &str = "secret_access_key";
/// The input with the client id of the customer's own app at the provider.
pub const CLIENT_ID: &str = "clientId";
/// The input with its secret.
pub const CLIENT_SECRET: &str = "clientSecret";
/// The input with the scopes to ask for, separated by blanks.
pub const SCOPES: &str = "scopes";
/// The input with the session token of temporary AWS keys.
pub const SESSION_TOKEN: &str = "session_token";

/// A token that the outbound layer mints. Texts have the inputs as `{name}`, a member of an input that is JSON as
/// `{name.member}`, and the connection's variables as `{conn.name}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mint {
    /// How it is asked for.
    pub grant: MintGrant,
    /// Where the token comes from.
    pub token_url: Urls,
    /// The signature algorithm of the assertion.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The claims of the assertion: texts. `iat`, `exp` and `jti` are added.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// The `kid` of the assertion's header: a text.
    pub key_id: Option<String>,
    /// The input that holds the private key, or the member of one, as in `serviceAccountKey.private_key`.
    pub private_key: Option<String>,
    /// Further parameters of the token request: texts.
    #[serde(default)]
    pub token_params: BTreeMap<String, String>,
    /// How `clientId` and `clientSecret` are sent, for [`MintGrant::ClientCredentials`].
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// How the token request is written.
    #[serde(default)]
    pub token_body: TokenBody,
    /// Seconds that a token lives when the token answer does not say.
    pub expires_in: Option<u64>,
    /// What the user enters.
    #[serde(default)]
    pub inputs: Vec<Input>,
}

impl Mint {
    /// All of its texts with places.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let maps = self.claims.values().chain(self.token_params.values());
        maps.chain(&self.key_id).map(String::as_str)
    }
}

/// How a token is minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MintGrant {
    /// `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` with a signed `assertion` (RFC 7523).
    JwtBearer,
    /// `grant_type=client_credentials` with a signed `client_assertion` (RFC 7523).
    JwtClient,
    /// `grant_type=client_credentials` with the inputs `clientId` and `clientSecret`.
    ClientCredentials,
}

/// How an assertion is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[default]
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
}

impl Algorithm {
    /// The name in the assertion's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
        }
    }
}

/// One credential on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Where it goes.
    pub place: Place,
    /// The name of the header or the parameter.
    pub name: String,
    /// The value, with secrets as `{name}`. For HTTP basic authentication `Basic {base64(username:password)}`.
    pub value: String,
    /// The only host that gets it; `None` for all.
    pub host: Option<String>,
}

/// Where a credential goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A header.
    Header,
    /// A query parameter.
    Query,
    /// A field of the form body.
    Form,
}

impl Place {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query parameter",
            Self::Form => "form field",
        }
    }
}

impl Auth {
    /// The kind of credential in the catalogue's words: `oauth2`, `apiKey`, `basic`, `custom` or `none`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.scheme {
            Scheme::OAuth2(_) => "oauth2",
            Scheme::ApiKey => "apiKey",
            Scheme::Basic(_) => "basic",
            Scheme::Custom(_) | Scheme::Mint(_) | Scheme::AwsSigV4(_) => "custom",
            Scheme::None => "none",
        }
    }

    /// OAuth 2, where that is how credentials are obtained.
    #[must_use]
    pub const fn oauth2(&self) -> Option<&OAuth2> {
        match &self.scheme {
            Scheme::OAuth2(oauth2) => Some(oauth2),
            _ => None,
        }
    }

    /// How many seconds an access token lives when the token answer does not say, by the file.
    #[must_use]
    pub fn expires_in(&self) -> Option<u64> {
        match &self.scheme {
            Scheme::OAuth2(oauth2) => oauth2.expires_in,
            Scheme::Mint(mint) => mint.expires_in,
            _ => None,
        }
    }

    /// How a token is minted with what the user enters, where that is how it comes.
    #[must_use]
    pub const fn mint(&self) -> Option<&Mint> {
        match &self.scheme {
            Scheme::Mint(mint) => Some(mint),
            Scheme::OAuth2(oauth2) => oauth2.mint.as_ref(),
            _ => None,
        }
    }

    /// What the user enters as `customAuth`, or as `oauth2ClientCredentials`; empty for credentials of other kinds.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        match (&self.scheme, self.mint()) {
            (_, Some(mint)) => &mint.inputs,
            (Scheme::Custom(inputs), _) => inputs,
            (Scheme::AwsSigV4(aws), _) => &aws.inputs,
            _ => &[],
        }
    }
}

/// The text of [`Attach::value`] for HTTP basic authentication.
pub const BASIC_VALUE: &str = "Basic {base64(username:password)}";

impl Attach {
    /// Whether a request to this host gets it.
    #[must_use]
    pub fn applies_to(&self, host: &str) -> bool {
        self.host
            .as_deref()
            .is_none_or(|own| own.eq_ignore_ascii_case(host))
    }

    /// The value with the secrets put in, unescaped; `None` when one is missing.
    #[must_use]
    pub fn value(&self, secrets: &BTreeMap<String, String>) -> Option<String> {
        use base64::Engine;
        if self.value == BASIC_VALUE {
            let pair = format!("{}:{}", secrets.get("username")?, secrets.get("password")?);
            return Some(format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            ));
        }
        fill(&self.value, |name| secrets.get(name).map(Into::into)).ok()
    }
}

/// A call that says whether a credential works.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The path after the base URL, or a whole URL.
    pub get: String,
    /// The statuses that say yes; any 2xx when empty.
    #[serde(default)]
    pub status: Vec<u16>,
}

/// A header and what stands before the token in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderDef {
    /// The header's name.
    pub name: String,
    /// What stands before the token, such as `Bearer `.
    #[serde(default)]
    pub prefix: String,
}
