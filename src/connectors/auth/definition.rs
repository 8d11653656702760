//! Credentials as a file writes them.

use serde::Deserialize;

use super::{Attach, Auth, BASIC_VALUE, Basic, Health, Input, Mint, OAuth2, Place, Scheme};
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
            host: None,
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
