//! Credentials as they were given: one set, of an auth scheme, and usable by the provider's connector.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::clock::Time;
use crate::connectors::{CLIENT_ID, CLIENT_SECRET, Connector, SCOPES};
use crate::control::Error;
use crate::grants::schedule::refresh_in;
use crate::outbound::{CredentialError, Credentials, check};
use crate::store::NewGrant;
use crate::vault::Secret;
use crate::writes::request::text_fault;

/// The auth scheme of a customer's own app.
pub const CLIENT_CREDENTIALS: &str = "oauth2/clientCredentials";
/// The longest secret, in bytes: tokens of providers may be long, but not endless.
const MAX_SECRET_BYTES: usize = 64 << 10;
/// So many inputs of a provider at most.
const MAX_INPUTS: usize = 32;

/// Credentials with their auth scheme.
#[derive(Debug)]
pub struct Given {
    /// `apiKey`, `basic`, `oauth2/authorizationCode`, [`CLIENT_CREDENTIALS`] or `custom`.
    pub scheme: &'static str,
    /// The credentials.
    pub credentials: Credentials,
}

impl Given {
    /// The one set of credentials that was given, its secrets checked; `None` when there is none.
    pub(super) fn one(mut all: Vec<Self>) -> Result<Option<Self>, Error> {
        for given in &all {
            given.check_secrets()?;
        }
        if all.len() > 1 {
            return Err(Error::invalid(
                "apiKey",
                "stands beside other credentials: send one block",
            ));
        }
        Ok(all.pop())
    }

    fn check_secrets(&self) -> Result<(), Error> {
        match &self.credentials {
            Credentials::None => Ok(()),
            Credentials::ApiKey { key } => check_secret(key, "apiKey"),
            Credentials::Basic { password, .. } => check_secret(password, "basicAuth.password"),
            Credentials::OAuth2 { access_token, .. } => {
                check_secret(access_token, "oauth2AuthorizationCode.accessToken.token")
            }
            Credentials::Custom { values } if self.scheme == CLIENT_CREDENTIALS => {
                [CLIENT_ID, CLIENT_SECRET, SCOPES]
                    .into_iter()
                    .filter_map(|name| Some((name, values.get(name)?)))
                    .try_for_each(|(name, value)| {
                        check_secret(value, &format!("oauth2ClientCredentials.{name}"))
                    })
            }
            Credentials::Custom { values } => check_inputs(values),
        }
    }

    /// The grant behind tokens that were brought from elsewhere, when they can be refreshed.
    pub(super) fn brought_grant(
        &self,
        connector: &Connector,
        connection_id: Uuid,
        now: Time,
    ) -> Option<NewGrant> {
        let Credentials::OAuth2 {
            access_token_expires,
            refresh_token: Some(_),
            scopes,
            ..
        } = &self.credentials
        else {
            return None;
        };
        connector.auth().oauth2()?;
        // How long they lived is not known, but what is left of it.
        let left = access_token_expires.map(|expires| expires.since(now));
        Some(NewGrant {
            scopes: (!scopes.is_empty()).then(|| scopes.join(" ")),
            refresh_in: Some(refresh_in(connection_id, left, None)),
            ..NewGrant::default()
        })
    }

    /// Checks that the connector can use them over these variables.
    pub(super) fn check(&self, connector: &Connector, vars: &BTreeMap<String, String>) -> Result<(), Error> {
        check(connector, &self.credentials, vars).map_err(|error| {
            let field = match &error {
                _ if self.scheme == CLIENT_CREDENTIALS => "oauth2ClientCredentials".to_owned(),
                CredentialError::MissingInput { input, .. } | CredentialError::BadInput { input, .. } => {
                    format!("customAuth.{input}")
                }
                CredentialError::Variable(_) => "providerMetadata".to_owned(),
                _ if self.scheme == "custom" => "customAuth".to_owned(),
                _ => self.scheme.to_owned(),
            };
            Error::about(field, error.to_string())
        })
    }
}

fn check_secret(secret: &Secret, field: &str) -> Result<(), Error> {
    let text = secret.expose();
    let fault = text_fault(text, MAX_SECRET_BYTES).or_else(|| {
        let odd = text.chars().any(char::is_control);
        odd.then(|| "holds a control character, such as a line break".to_owned())
    });
    fault.map_or(Ok(()), |fault| Err(Error::invalid(field, fault)))
}

fn check_inputs(values: &BTreeMap<String, Secret>) -> Result<(), Error> {
    if values.len() > MAX_INPUTS {
        let detail = format!("must have at most {MAX_INPUTS} inputs");
        return Err(Error::invalid("customAuth", detail));
    }
    // Keys of several lines are texts, too.
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    for (name, value) in values {
        if value.expose().len() > MAX_SECRET_BYTES || value.expose().contains(odd) {
            let name: String = name.chars().take(100).collect();
            let detail = format!("must have at most {MAX_SECRET_BYTES} bytes and no control characters");
            return Err(Error::invalid(format!("customAuth.{name}"), detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_secret_is_refused_by_its_name() {
        let values = |text: String| BTreeMap::from([("key".to_owned(), Secret::new(text))]);
        assert!(check_inputs(&values("-----BEGIN\n\tkey\r\n".to_owned())).is_ok());
        for bad in ["a\u{0}b".to_owned(), "x".repeat(MAX_SECRET_BYTES + 1)] {
            let error = check_inputs(&values(bad)).expect_err("refused");
            assert!(error.to_string().contains("customAuth.key"), "{error}");
        }
        let many = (0..=MAX_INPUTS).map(|n| (n.to_string(), Secret::new("v".to_owned())));
        assert!(check_inputs(&many.collect()).is_err());
    }
}
