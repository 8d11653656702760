//! How customers of a provider authenticate, in the catalogue's words.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::template;
use crate::connectors::{Connector, Grant, Input, OAuth2, Place, Scheme};

/// OAuth 2.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2Opts {
    /// `authorizationCode`, `authorizationCodePKCE`, `clientCredentials` or `password`.
    pub grant_type: &'static str,
    /// Where the customer agrees.
    #[serde(rename = "authURL", skip_serializing_if = "Option::is_none")]
    pub auth_url: Option<String>,
    /// Where tokens come from.
    #[serde(rename = "tokenURL")]
    pub token_url: String,
    /// Whether scopes have to be named.
    pub explicit_scopes_required: bool,
    /// Whether the customer has to name the workspace first.
    pub explicit_workspace_required: bool,
    /// For whom tokens are made out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// What the token answer holds where.
    pub token_metadata_fields: TokenMetadataFields,
    /// Where to read more.
    #[serde(rename = "docsURL", skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
    /// Further parameters of the page where the customer agrees.
    #[serde(rename = "authURLParams", skip_serializing_if = "BTreeMap::is_empty")]
    pub auth_url_params: BTreeMap<String, String>,
    /// How the token goes onto a request, when it is not `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_opts: Option<AccessTokenOpts>,
}

/// What the token answer holds where.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenMetadataFields {
    /// The field that names the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref_field: Option<String>,
}

/// How an access token goes onto a request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessTokenOpts {
    /// `accessTokenHeaderAttachment`.
    pub attachment_type: &'static str,
    /// The header.
    pub header: NamedHeader,
}

/// One key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyOpts {
    /// `header` or `query`.
    pub attachment_type: &'static str,
    /// The header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<NamedHeader>,
    /// The query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<NamedQuery>,
    /// Where to read more.
    #[serde(rename = "docsURL", skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
}

/// A header that carries a secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedHeader {
    /// Its name.
    pub name: String,
    /// What stands before the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_prefix: Option<String>,
}

/// A query parameter that carries a secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedQuery {
    /// Its name.
    pub name: String,
}

/// A name and a password.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicOpts {
    /// Whether the customer has one key instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_as_basic: Option<bool>,
    /// Which half the key is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_as_basic_opts: Option<ApiKeyAsBasicOpts>,
    /// Where to read more.
    #[serde(rename = "docsURL", skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
}

/// A key in place of a name and a password.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyAsBasicOpts {
    /// `username` or `password`.
    pub field_used: String,
    /// The pair, with `%s` for the key.
    pub key_format: String,
}

/// Credentials of a provider's own kind.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomOpts {
    /// The headers that carry them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<CustomValue>,
    /// The query parameters that carry them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<CustomValue>,
    /// What the customer is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<CustomInput>,
}

/// A header or a query parameter made of secrets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomValue {
    /// Its name.
    pub name: String,
    /// Its value, with `{{ .name }}` for a secret.
    pub value_template: String,
}

/// A secret that the customer is asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomInput {
    /// Its name.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// Where to find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// `fieldTypeText` for what may be seen while it is entered; a secret when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_type: Option<&'static str>,
}

/// A call that says whether a credential works.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthHealthCheck {
    /// The URL.
    pub url: String,
    /// The method.
    pub method: &'static str,
    /// The statuses that say yes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub success_status_codes: Vec<u16>,
}

/// The block for the provider's scheme; the others are absent.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub oauth2: Option<OAuth2Opts>,
    pub api_key: Option<ApiKeyOpts>,
    pub basic: Option<BasicOpts>,
    pub custom: Option<CustomOpts>,
}

impl Blocks {
    pub(super) fn of(connector: &Connector) -> Self {
        let docs_url = connector.docs().map(str::to_owned);
        let mut blocks = Self::default();
        match &connector.auth().scheme {
            Scheme::OAuth2(oauth2) => blocks.oauth2 = Some(oauth2_opts(oauth2, docs_url)),
            Scheme::ApiKey => blocks.api_key = Some(api_key_opts(connector, docs_url)),
            Scheme::Basic(basic) => {
                let other = basic.other.as_deref().unwrap_or_default();
                let opts = basic.api_key_as.as_ref().map(|field| ApiKeyAsBasicOpts {
                    field_used: field.clone(),
                    key_format: if field == "password" {
                        format!("{other}:%s")
                    } else {
                        format!("%s:{other}")
                    },
                });
                blocks.basic = Some(BasicOpts {
                    api_key_as_basic: opts.is_some().then_some(true),
                    api_key_as_basic_opts: opts,
                    docs_url,
                });
            }
            Scheme::Custom(_) | Scheme::Mint(_) | Scheme::AwsSigV4(_) => {
                blocks.custom = Some(custom_opts(connector));
            }
            Scheme::None => {}
        }
        blocks
    }
}

/// The call that says whether a credential works, where the provider has one.
pub(super) fn health(connector: &Connector) -> Option<AuthHealthCheck> {
    let health = connector.auth().health.as_ref()?;
    let url = if health.get.starts_with('/') {
        template(&format!("{}{}", connector.base_url(), health.get))
    } else {
        template(&health.get)
    };
    Some(AuthHealthCheck {
        url,
        method: "GET",
        success_status_codes: health.status.clone(),
    })
}

fn oauth2_opts(oauth2: &OAuth2, docs_url: Option<String>) -> OAuth2Opts {
    OAuth2Opts {
        grant_type: match oauth2.grant {
            Grant::AuthorizationCode => "authorizationCode",
            Grant::AuthorizationCodePkce => "authorizationCodePKCE",
            Grant::ClientCredentials => "clientCredentials",
            Grant::Password => "password",
        },
        auth_url: oauth2.auth_url.first().map(template),
        token_url: oauth2.token_url.first().map(template).unwrap_or_default(),
        explicit_scopes_required: oauth2.scopes_required,
        explicit_workspace_required: oauth2.workspace_required,
        audience: oauth2
            .token_params
            .get("audience")
            .map(|audience| template(audience))
            .into_iter()
            .collect(),
        token_metadata_fields: TokenMetadataFields {
            workspace_ref_field: oauth2.workspace_field.clone(),
        },
        docs_url,
        auth_url_params: (oauth2.auth_params.iter())
            .filter(|(_, text)| !text.contains("{app."))
            .map(|(name, text)| (name.clone(), template(text)))
            .collect(),
        access_token_opts: oauth2.header.as_ref().map(|header| AccessTokenOpts {
            attachment_type: "accessTokenHeaderAttachment",
            header: named_header(&header.name, &header.prefix),
        }),
    }
}

fn named_header(name: &str, prefix: &str) -> NamedHeader {
    NamedHeader {
        name: name.to_owned(),
        value_prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
    }
}

fn api_key_opts(connector: &Connector, docs_url: Option<String>) -> ApiKeyOpts {
    let mut opts = ApiKeyOpts {
        attachment_type: "header",
        header: None,
        query: None,
        docs_url,
    };
    // The catalogue knows no key in a form: such a key is entered like any other, and this server puts it there.
    if let Some(attach) = connector.auth().attach.first() {
        match attach.place {
            Place::Header => {
                let prefix = attach.value.trim_end_matches("{api_key}");
                opts.header = Some(named_header(&attach.name, prefix));
            }
            Place::Query => {
                opts.attachment_type = "query";
                let name = attach.name.clone();
                opts.query = Some(NamedQuery { name });
            }
            Place::Form => {}
        }
    }
    opts
}

fn custom_opts(connector: &Connector) -> CustomOpts {
    // What carries a token that is minted has no place for an input.
    let carries_inputs = matches!(connector.auth().scheme, Scheme::Custom(_));
    let at = |place: Place| {
        let all = connector
            .auth()
            .attach
            .iter()
            .filter(move |one| carries_inputs && one.place == place);
        all.map(|one| CustomValue {
            name: one.name.clone(),
            value_template: one.value.replace('{', "{{ .").replace('}', " }}"),
        })
        .collect()
    };
    CustomOpts {
        headers: at(Place::Header),
        query_params: at(Place::Query),
        inputs: connector.auth().inputs().iter().map(input).collect(),
    }
}

fn input(input: &Input) -> CustomInput {
    CustomInput {
        name: input.name.clone(),
        display_name: input.display_name.clone().unwrap_or_else(|| input.name.clone()),
        prompt: input.description.clone(),
        field_type: input.public.then_some("fieldTypeText"),
    }
}
