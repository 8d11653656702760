//! Credentials as a file writes them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    ACCESS_KEY_ID, Attach, Auth, AwsSigV4, BASIC_VALUE, Basic, CLIENT_ID, CLIENT_SECRET, Grant, Health,
    Input, Mint, MintGrant, OAuth2, Place, SCOPES, SECRET_ACCESS_KEY, SESSION_TOKEN, Scheme, names,
};
use crate::connectors::declarative::ordered::Ordered;

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
    also: Vec<AlsoDef>,
    health: Option<Health>,
}

/// A credential that some hosts want in another place too.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlsoDef {
    #[serde(rename = "in")]
    place: PlaceDef,
    name: String,
    value: String,
    host: String,
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
    Form,
}

impl PlaceDef {
    const fn place(self) -> Place {
        match self {
            Self::Header => Place::Header,
            Self::Query => Place::Query,
            Self::Form => Place::Form,
        }
    }
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
    region: String,
    #[serde(default)]
    hosts: BTreeMap<String, String>,
}

impl AuthDef {
    /// The checked form.
    ///
    /// # Errors
    /// When there is not exactly one kind of credential, or a text names an unknown input.
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
            host: None,
        };
        let bearer = || header("Authorization", "Bearer {access_token}".to_owned());
        let (scheme, attach) = if let Some(oauth2) = &self.oauth2 {
            let attach = match &oauth2.header {
                Some(own) => header(&own.name, format!("{}{{access_token}}", own.prefix)),
                None => bearer(),
            };
            let mint = client_mint(oauth2)?;
            let oauth2 = OAuth2 {
                mint,
                ..oauth2.clone()
            };
            (Scheme::OAuth2(Box::new(oauth2)), vec![attach])
        } else if let Some(key) = &self.api_key {
            let value = format!("{}{{api_key}}", key.prefix);
            let place = key.place.place();
            (
                Scheme::ApiKey,
                vec![Attach {
                    place,
                    name: key.name.clone(),
                    value,
                    host: None,
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
                host: None,
            }));
            check_inputs(&attach, &custom.inputs)?;
            (Scheme::Custom(custom.inputs.clone()), attach)
        } else if let Some(mint) = &self.mint {
            check_mint(mint)?;
            (Scheme::Mint(mint.clone()), vec![bearer()])
        } else if let Some(aws) = &self.aws_sigv4 {
            (Scheme::AwsSigV4(aws.resolve()?), Vec::new())
        } else {
            (Scheme::None, Vec::new())
        };
        let mut attach = attach;
        attach.extend(self.also.iter().map(|also| Attach {
            place: also.place.place(),
            name: also.name.clone(),
            value: also.value.clone(),
            host: Some(also.host.clone()),
        }));
        Ok(Auth {
            scheme,
            attach,
            health: self.health.clone(),
        })
    }
}

/// How a token is minted where the customer has a client id and a secret of their own.
fn client_mint(oauth2: &OAuth2) -> Result<Option<Mint>, String> {
    if oauth2.grant != Grant::ClientCredentials {
        return Ok(None);
    }
    let input = |name: &str, display_name: &str| Input {
        name: name.to_owned(),
        display_name: Some(display_name.to_owned()),
        description: None,
        optional: name == SCOPES,
        public: name != CLIENT_SECRET,
    };
    let mut token_params = oauth2.token_params.clone();
    if !oauth2.scopes.is_empty() {
        token_params.insert("scope".to_owned(), oauth2.scopes.join(" "));
    }
    let mint = Mint {
        grant: MintGrant::ClientCredentials,
        token_url: oauth2.token_url.clone(),
        algorithm: super::Algorithm::default(),
        claims: BTreeMap::new(),
        key_id: None,
        private_key: None,
        token_params,
        client_auth: oauth2.client_auth,
        token_body: oauth2.token_body,
        expires_in: oauth2.expires_in,
        inputs: vec![
            input(CLIENT_ID, "Client ID"),
            input(CLIENT_SECRET, "Client secret"),
            input(SCOPES, "Scopes"),
        ],
    };
    check_mint(&mint)?;
    Ok(Some(mint))
}

impl SigV4Def {
    fn resolve(&self) -> Result<AwsSigV4, String> {
        check_names("aws_sigv4.region", &self.region, &[])?;
        let input = |name: &str, display_name: &str| Input {
            name: name.to_owned(),
            display_name: Some(display_name.to_owned()),
            description: None,
            optional: name == SESSION_TOKEN,
            public: name == ACCESS_KEY_ID,
        };
        Ok(AwsSigV4 {
            service: self.service.clone(),
            region: self.region.clone(),
            hosts: self.hosts.clone(),
            inputs: vec![
                input(ACCESS_KEY_ID, "Access key ID"),
                input(SECRET_ACCESS_KEY, "Secret access key"),
                input(SESSION_TOKEN, "Session token"),
            ],
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

/// A mint has all that its grant needs, and its texts name nothing unknown.
fn check_mint(mint: &Mint) -> Result<(), String> {
    let text = |name: &str| format!("{{{name}}}");
    match (mint.grant, &mint.private_key) {
        (MintGrant::ClientCredentials, _) => {
            for name in [CLIENT_ID, CLIENT_SECRET] {
                check_names("mint.grant", &text(name), &mint.inputs)?;
            }
        }
        (_, Some(key)) => check_names("mint.private_key", &text(key), &mint.inputs)?,
        (_, None) => return Err("mint.private_key is missing: the assertion has to be signed".into()),
    }
    if let Some(claim) = ["iat", "exp", "jti"]
        .iter()
        .find(|c| mint.claims.contains_key(**c))
    {
        return Err(format!(
            "mint.claims: `{claim}` is added to each assertion: leave it out"
        ));
    }
    mint.texts()
        .try_for_each(|text| check_names("mint", text, &mint.inputs))
}

/// Every place of a text is a variable of the connection, or an input or a member of one.
fn check_names(at: &str, text: &str, inputs: &[Input]) -> Result<(), String> {
    for name in names(text).ok_or_else(|| format!("{at}: `{text}` has a brace without its other half"))? {
        let first = name.split('.').next().unwrap_or_default();
        if first != "conn" && !inputs.iter().any(|input| input.name == first) {
            return Err(format!(
                "{at}: `{text}` names `{first}`, which is not in `inputs`"
            ));
        }
    }
    Ok(())
}
