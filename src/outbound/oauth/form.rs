//! The body and the headers of a request to a token endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::TokenRequest;
use crate::connectors::{ClientAuth, Connector, TokenBody};
use crate::outbound::WireRequest;
use crate::outbound::credentials::CredentialError;
use crate::vault::Secret;

/// A request to a token endpoint that is being made.
pub(in crate::outbound) struct Form {
    fields: Vec<(String, String)>,
    headers: HeaderMap,
    secrets: Vec<Secret>,
}

impl Form {
    pub fn new() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            fields: Vec::new(),
            headers,
            secrets: Vec::new(),
        }
    }

    /// Sets a field; the last value counts.
    pub fn put(&mut self, name: &str, value: &str) {
        match self.fields.iter_mut().find(|(own, _)| own == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Sets a field to what must not be seen.
    pub fn put_secret(&mut self, name: &str, value: &Secret) {
        self.put(name, value.expose());
        self.keep(value.clone());
    }

    /// Notes what an answer must not show.
    pub fn keep(&mut self, secret: Secret) {
        if !secret.expose().is_empty() {
            self.secrets.push(secret);
        }
    }

    /// Says who asks. A secret that is empty is not sent.
    pub fn client(
        &mut self,
        id: &str,
        secret: Option<&Secret>,
        how: ClientAuth,
    ) -> Result<(), CredentialError> {
        let secret = secret.filter(|secret| !secret.expose().is_empty());
        match (how, secret) {
            (ClientAuth::Basic, Some(secret)) => {
                let pair = STANDARD.encode(format!("{id}:{}", secret.expose()));
                self.authorization(&format!("Basic {pair}"))?;
                self.keep(Secret::new(pair));
                self.keep(secret.clone());
            }
            (_, secret) => {
                self.put("client_id", id);
                if let Some(secret) = secret {
                    self.put_secret("client_secret", secret);
                }
            }
        }
        Ok(())
    }

    pub fn authorization(&mut self, text: &str) -> Result<(), CredentialError> {
        self.secret_header("authorization", text)
    }

    /// Sets a header to what must not be seen.
    pub fn secret_header(&mut self, name: &str, text: &str) -> Result<(), CredentialError> {
        self.header(name, text)?;
        if let Some(value) = self.headers.get_mut(name) {
            value.set_sensitive(true);
        }
        Ok(())
    }

    pub fn header(&mut self, name: &str, text: &str) -> Result<(), CredentialError> {
        let name = HeaderName::try_from(name).map_err(|_| CredentialError::NotAHeader)?;
        let value = HeaderValue::from_str(text).map_err(|_| CredentialError::NotAHeader)?;
        self.headers.insert(name, value);
        Ok(())
    }

    /// The fields as a query, with `%20` for a blank.
    pub fn encoded(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&self.fields);
        form.finish().replace('+', "%20")
    }

    /// The request.
    pub fn request(
        mut self,
        connector: &Connector,
        method: http::Method,
        url: String,
        body: TokenBody,
    ) -> TokenRequest {
        let (content_type, bytes) = match body {
            _ if self.fields.is_empty() => {
                return self.finish(connector, method, url, None);
            }
            TokenBody::Form => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(&self.fields);
                ("application/x-www-form-urlencoded", form.finish().into_bytes())
            }
            TokenBody::Json => {
                let fields = self.fields.iter().cloned();
                let fields: Map<String, Value> = fields.map(|(name, value)| (name, value.into())).collect();
                ("application/json", Value::Object(fields).to_string().into_bytes())
            }
        };
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.finish(connector, method, url, Some(bytes))
    }

    fn finish(
        self,
        connector: &Connector,
        method: http::Method,
        url: String,
        body: Option<Vec<u8>>,
    ) -> TokenRequest {
        TokenRequest {
            wire: WireRequest {
                provider: connector.provider().to_owned(),
                method,
                url,
                headers: self.headers,
                body,
            },
            secrets: self.secrets,
        }
    }
}
