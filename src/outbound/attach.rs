//! How credentials get onto a request, and how a request is shown without them.

use std::collections::BTreeMap;

use super::WireRequest;
use super::credentials::{CredentialError, Credentials, HIDDEN};
use super::inputs::Inputs;
use super::sigv4::Signer;
use crate::clock::Time;
use crate::connectors::{
    ACCESS_KEY_ID, AwsSigV4, Connector, Place, ProviderRequest, SECRET_ACCESS_KEY, SESSION_TOKEN, Scheme,
};

/// A request as it would leave, for people: every secret is `***`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRequest {
    /// The HTTP method.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The headers that connector and app set, in order. What HTTP itself adds (host, length) is not among them.
    pub headers: Vec<(String, String)>,
    /// The exact body.
    pub body: Option<String>,
}

/// Shows a request as [`attach`] would make it. No secret can get into it: it is made with others in their place, and no
/// token is minted for it.
///
/// # Errors
/// As [`attach`].
pub fn show(
    connector: &Connector,
    credentials: &Credentials,
    vars: &BTreeMap<String, String>,
    request: ProviderRequest,
) -> Result<ShownRequest, CredentialError> {
    let hidden = credentials.hidden(connector.auth());
    let wire = attach(connector, &hidden, vars, Time::from_micros(0), request)?;
    let headers = wire.headers.iter().map(|(name, value)| {
        let text = String::from_utf8_lossy(value.as_bytes());
        // Name and password travel as one encoded text, in which no `***` would be seen; and a signature and its time are
        // others each time that a request is sent.
        let scheme = ["Basic", "AWS4-HMAC-SHA256"].into_iter().find(|scheme| {
            value.is_sensitive()
                && text
                    .strip_prefix(scheme)
                    .is_some_and(|rest| rest.starts_with(' '))
        });
        let text = match scheme {
            Some(scheme) => format!("{scheme} {HIDDEN}"),
            None if name.as_str() == super::sigv4::DATE => HIDDEN.to_owned(),
            None => text.into_owned(),
        };
        (name.as_str().to_owned(), text)
    });
    Ok(ShownRequest {
        method: wire.method.as_str().to_owned(),
        headers: headers.collect(),
        url: wire.url,
        body: wire.body.map(|body| String::from_utf8_lossy(&body).into_owned()),
    })
}

/// Puts credentials on a request as the connector says, and makes it ready for the wire. Of a token that is minted, this
/// takes the token. `now` is the time of a signature.
///
/// # Errors
/// When the credentials are of another kind than the connector asks for, or cannot be carried.
pub fn attach(
    connector: &Connector,
    credentials: &Credentials,
    vars: &BTreeMap<String, String>,
    now: Time,
    request: ProviderRequest,
) -> Result<WireRequest, CredentialError> {
    let auth = connector.auth();
    let wrong_kind = || wrong_kind(connector, credentials);
    if auth.attach.is_empty() && !matches!(auth.scheme, Scheme::None | Scheme::AwsSigV4(_)) {
        return Err(wrong_kind());
    }
    let secrets = credentials.secrets(auth);
    let mut url = url::Url::parse(&request.url).map_err(|_| CredentialError::BadUrl)?;
    let mut headers = http::HeaderMap::new();
    let mut put = |name: &str, value: &str, secret: bool| -> Result<(), CredentialError> {
        let name = http::HeaderName::try_from(name).map_err(|_| CredentialError::NotAHeader)?;
        let mut value = http::HeaderValue::from_str(value).map_err(|_| CredentialError::NotAHeader)?;
        value.set_sensitive(secret);
        headers.insert(name, value);
        Ok(())
    };
    for (name, value) in &request.headers {
        put(name, value, false)?;
    }
    if let Some(content_type) = &request.content_type {
        put("content-type", content_type, false)?;
    }
    let mut body = request.body;
    let host = url.host_str().unwrap_or_default().to_owned();
    // A credential that is for one host of a provider goes to no other.
    for one in auth.attach.iter().filter(|one| one.applies_to(&host)) {
        let value = one.value(&secrets).ok_or_else(wrong_kind)?;
        match one.place {
            Place::Header => put(&one.name, &value, true)?,
            Place::Query => {
                url.query_pairs_mut().append_pair(&one.name, &value);
            }
            Place::Form => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.append_pair(&one.name, &value);
                let body = body.get_or_insert_default();
                if !body.is_empty() {
                    body.push(b'&');
                }
                body.extend_from_slice(form.finish().as_bytes());
            }
        }
    }
    if let Scheme::AwsSigV4(aws) = &auth.scheme {
        let secret = |name: &str| secrets.get(name).map(String::as_str);
        let inputs = Inputs::new(connector, credentials, vars);
        let signer = Signer {
            access_key_id: secret(ACCESS_KEY_ID).ok_or_else(wrong_kind)?,
            secret_access_key: secret(SECRET_ACCESS_KEY).ok_or_else(wrong_kind)?,
            session_token: secret(SESSION_TOKEN),
            region: &inputs.fill(&aws.region)?,
            service: service(aws, &host),
        };
        let body = body.as_deref().unwrap_or_default();
        signer.sign(now, &request.method, &url, &mut headers, body)?;
    }
    Ok(WireRequest {
        provider: connector.provider().to_owned(),
        method: request.method,
        url: url.into(),
        headers,
        body,
    })
}

/// The service that a host belongs to.
fn service<'a>(aws: &'a AwsSigV4, host: &str) -> &'a str {
    let first = host.split('.').next().unwrap_or_default();
    aws.hosts.get(first).unwrap_or(&aws.service)
}

pub(super) fn wrong_kind(connector: &Connector, credentials: &Credentials) -> CredentialError {
    CredentialError::WrongKind {
        provider: connector.provider().to_owned(),
        wanted: match connector.auth().scheme {
            Scheme::OAuth2(_) if connector.auth().mint().is_some() => {
                "a client id and a client secret (oauth2ClientCredentials)"
            }
            Scheme::OAuth2(_) => "an OAuth2 token",
            Scheme::ApiKey => "an API key",
            Scheme::Basic(_) => "a name and a password",
            Scheme::Custom(_) | Scheme::Mint(_) | Scheme::AwsSigV4(_) => "named inputs (customAuth)",
            Scheme::None => "no credential",
        },
        held: credentials.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Secret;

    fn token(text: &str) -> Credentials {
        Credentials::of_token(Secret::new(text.to_owned()))
    }

    #[test]
    fn a_token_goes_into_the_header_that_the_connector_names_and_a_bad_one_goes_nowhere() {
        let catalog = crate::connectors::Catalog::builtin();
        let hubspot = catalog.get("hubspot").expect("built in");
        let request = || ProviderRequest {
            method: http::Method::GET,
            url: "https://api.hubapi.com/crm/v3/objects/contacts/1%2F2".to_owned(),
            headers: Vec::new(),
            content_type: None,
            body: None,
        };
        let (none, now) = (BTreeMap::new(), Time::from_micros(0));
        let wire = attach(&hubspot, &token("abc"), &none, now, request()).expect("attached");
        assert_eq!(wire.headers["authorization"], "Bearer abc");
        assert!(wire.headers["authorization"].is_sensitive());
        assert!(
            wire.url.ends_with("/1%2F2"),
            "the path stays as the connector escaped it: {}",
            wire.url
        );
        assert!(!format!("{wire:?}").contains("abc"));
        for bad in [token("a\r\nX-Evil: 1"), Credentials::None] {
            assert!(attach(&hubspot, &bad, &none, now, request()).is_err());
        }
    }

    #[test]
    fn a_shown_request_is_the_one_that_would_leave_without_its_secrets() {
        let catalog = crate::connectors::Catalog::builtin();
        let mut credentials = vec![
            token("s3cr3t-t0ken"),
            Credentials::ApiKey {
                key: Secret::new("s3cr3t-k3y".to_owned()),
            },
            Credentials::Basic {
                username: "s3cr3t-n4me".to_owned(),
                password: Secret::new("s3cr3t-w0rd".to_owned()),
            },
        ];
        let vars = BTreeMap::from([("region".to_owned(), "eu-west-1".to_owned())]);
        let now = Time::from_micros(1_440_938_160_000_000);
        let mut shown_some = 0;
        for provider in catalog.names() {
            let connector = catalog.get(provider).expect("built in");
            let inputs = connector.auth().inputs().iter();
            let values = inputs.map(|i| (i.name.clone(), Secret::new(format!("s3cr3t-{}", i.name))));
            credentials.truncate(3);
            credentials.push(Credentials::Custom {
                values: values.collect(),
            });
            for credentials in &credentials {
                let request = || ProviderRequest {
                    method: http::Method::POST,
                    url: "https://api.example.com/things?a=b".to_owned(),
                    headers: vec![("X-A".to_owned(), "b".to_owned())],
                    content_type: Some("application/json".to_owned()),
                    body: Some(b"{}".to_vec()),
                };
                let wire = attach(&connector, credentials, &vars, now, request());
                let shown = show(&connector, credentials, &vars, request());
                // What is minted is attached later, and nothing is minted for showing.
                let mints =
                    connector.auth().mint().is_some() && matches!(credentials, Credentials::Custom { .. });
                assert_eq!(wire.is_ok() || mints, shown.is_ok(), "{provider}");
                if mints {
                    let shown = shown.as_ref().expect("shown");
                    assert!(
                        shown
                            .headers
                            .contains(&("authorization".to_owned(), "Bearer ***".to_owned()))
                    );
                }
                let (Ok(wire), Ok(shown)) = (wire, shown) else {
                    continue;
                };
                shown_some += 1;
                let text = format!("{shown:?}");
                let encoded = "czNjcjN0"; // `s3cr3t` as base64 writes it.
                assert!(
                    !text.contains("s3cr3t") && !text.contains(encoded),
                    "{provider}: {text}"
                );
                let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(
                    names(wire.headers.keys().map(http::HeaderName::as_str).collect()),
                    names(shown.headers.iter().map(|(name, _)| name.as_str()).collect())
                );
            }
        }
        assert!(shown_some > 140, "{shown_some}");
    }
}
