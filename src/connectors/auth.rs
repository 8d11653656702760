//! How credentials are obtained and attached. Only data: the outbound layer holds the secrets and does the work.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::declarative::ordered::Ordered;

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
    OAuth2(OAuth2),
    /// One key. The secret `api_key` is attached.
    ApiKey,
    /// User name and password: the secrets `username` and `password`.
    Basic(Basic),
    /// Named secrets that the user enters.
    Custom(Vec<Input>),
    /// A token that is minted with a signed assertion or the app's own credentials. The secret `access_token` is
    /// attached.
    Mint(Mint),
    /// Each request is signed as AWS asks (Signature Version 4) with the secrets `access_key_id` and
    /// `secret_access_key`.
    AwsSigV4 {
        /// The service name in the signature.
        service: String,
    },
    /// No credential.
    None,
}

/// OAuth 2 as a provider speaks it. URLs are templates over the connection's variables: resolve them with
/// [`super::Connector::token_url`] and [`super::Connector::auth_url`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// How the first token is obtained.
    pub grant: Grant,
    /// Where the user agrees.
    pub auth_url: Option<String>,
    /// Where codes and refresh tokens are exchanged.
    pub token_url: String,
    /// Further parameters of the authorisation URL, such as `access_type: offline`.
    #[serde(default)]
    pub auth_params: BTreeMap<String, String>,
    /// Further parameters of the token request, such as `audience`.
    #[serde(default)]
    pub token_params: BTreeMap<String, String>,
    /// Scopes to ask for when the app names none.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether scopes have to be named.
    #[serde(default)]
    pub scopes_required: bool,
    /// What stands between scopes in the authorisation URL.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// How the app proves who it is at the token URL.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// What becomes of a refresh token when it is used.
    #[serde(default)]
    pub rotation: Rotation,
    /// Seconds that an access token lives when the token answer does not say.
    pub expires_in: Option<u64>,
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

/// How the app proves who it is at the token URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the form.
    #[default]
    Body,
    /// HTTP basic authentication.
    Basic,
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name in the connection's secrets.
    pub name: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Where to find it.
    pub description: Option<String>,
}

/// A token that the outbound layer mints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mint {
    /// `jwt_bearer` (RFC 7523 assertion grant), `jwt_client` (client credentials with a signed client assertion) or
    /// `client_credentials`.
    pub grant: MintGrant,
    /// Where the token comes from.
    pub token_url: String,
    /// The signature algorithm: `RS256` or `PS256`.
    pub algorithm: Option<String>,
    /// The claims of the assertion: texts over the inputs and the connection's variables.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// The `kid` of the assertion's header.
    pub key_id: Option<String>,
    /// The input that holds the private key.
    pub private_key: Option<String>,
    /// Further parameters of the token request.
    #[serde(default)]
    pub token_params: BTreeMap<String, String>,
    /// What the user enters.
    #[serde(default)]
    pub inputs: Vec<Input>,
}

/// How a token is minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MintGrant {
    /// `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` with a signed `assertion`.
    JwtBearer,
    /// `grant_type=client_credentials` with a signed `client_assertion`.
    JwtClient,
    /// `grant_type=client_credentials` with the app's id and secret.
    ClientCredentials,
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

/// The text of [`Attach::value`] for HTTP basic authentication.
pub const BASIC_VALUE: &str = "Basic {base64(username:password)}";

impl Attach {
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
        let mut out = String::new();
        let mut rest = self.value.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            out.push_str(before);
            out.push_str(secrets.get(name)?);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
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

/// `auth` of a file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthDef {
    oauth2: Option<OAuth2>,
    api_key: Option<ApiKeyDef>,
    basic: Option<Basic>,
    custom: Option<CustomDef>,
    mint: Option<Mint>,
    aws_sigv4: Option<SigV4Def>,
    none: bool,
    health: Option<Health>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyDef {
    #[serde(rename = "in")]
    place: PlaceDef,
    name: String,
    #[serde(default)]
    prefix: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlaceDef {
    Header,
    Query,
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

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CustomDef {
    headers: Ordered<String>,
    query: Ordered<String>,
    inputs: Vec<Input>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SigV4Def {
    service: String,
}

impl AuthDef {
    /// The checked form.
    ///
    /// # Errors
    /// When there is not exactly one kind of credential, or a custom header names an unknown input.
    pub fn resolve(&self) -> Result<Auth, String> {
        let given = [
            self.oauth2.is_some(),
            self.api_key.is_some(),
            self.basic.is_some(),
            self.custom.is_some(),
            self.mint.is_some(),
            self.aws_sigv4.is_some(),
            self.none,
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err("give exactly one of oauth2, api_key, basic, custom, mint, aws_sigv4, none".into());
        }
        let header = |name: &str, value: String| Attach {
            place: Place::Header,
            name: name.to_owned(),
            value,
        };
        let bearer = || header("Authorization", "Bearer {access_token}".to_owned());
        let (scheme, attach) = if let Some(oauth2) = &self.oauth2 {
            let attach = match &oauth2.header {
                Some(own) => header(&own.name, format!("{}{{access_token}}", own.prefix)),
                None => bearer(),
            };
            (Scheme::OAuth2(oauth2.clone()), vec![attach])
        } else if let Some(key) = &self.api_key {
            let value = format!("{}{{api_key}}", key.prefix);
            let place = match key.place {
                PlaceDef::Header => Place::Header,
                PlaceDef::Query => Place::Query,
            };
            (
                Scheme::ApiKey,
                vec![Attach {
                    place,
                    name: key.name.clone(),
                    value,
                }],
            )
        } else if let Some(basic) = &self.basic {
            if !matches!(basic.api_key_as.as_deref(), None | Some("username" | "password")) {
                return Err("basic.api_key_as is `username` or `password`".into());
            }
            (
                Scheme::Basic(basic.clone()),
                vec![header("Authorization", BASIC_VALUE.to_owned())],
            )
        } else if let Some(custom) = &self.custom {
            let mut attach: Vec<Attach> = custom.headers.iter().map(|(n, v)| header(n, v.clone())).collect();
            attach.extend(custom.query.iter().map(|(name, value)| Attach {
                place: Place::Query,
                name: name.to_owned(),
                value: value.clone(),
            }));
            check_inputs(&attach, &custom.inputs)?;
            (Scheme::Custom(custom.inputs.clone()), attach)
        } else if let Some(mint) = &self.mint {
            (Scheme::Mint(mint.clone()), vec![bearer()])
        } else if let Some(aws) = &self.aws_sigv4 {
            (
                Scheme::AwsSigV4 {
                    service: aws.service.clone(),
                },
                Vec::new(),
            )
        } else {
            (Scheme::None, Vec::new())
        };
        Ok(Auth {
            scheme,
            attach,
            health: self.health.clone(),
        })
    }
}

fn check_inputs(attach: &[Attach], inputs: &[Input]) -> Result<(), String> {
    for one in attach {
        let secrets = inputs.iter().map(|i| (i.name.clone(), String::new())).collect();
        if one.value(&secrets).is_none() {
            return Err(format!(
                "`{}` of `{}` names a secret that is not in `inputs`",
                one.value, one.name
            ));
        }
    }
    Ok(())
}
