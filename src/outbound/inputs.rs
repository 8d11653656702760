//! What a connector asks of the user as `customAuth`: whether it is there, and how it gets into texts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use uuid::Uuid;

use super::attach::{attach, wrong_kind};
use super::credentials::{CredentialError, Credentials};
use super::mint;
use crate::clock::Time;
use crate::connectors::{Connector, ProviderRequest, Refusal, fill};
use crate::vault::Secret;

/// The values of a connection by the names that texts of the connector's file use.
pub(super) struct Inputs<'a> {
    connector: &'a Connector,
    credentials: &'a Credentials,
    vars: &'a BTreeMap<String, String>,
}

impl<'a> Inputs<'a> {
    pub fn new(
        connector: &'a Connector,
        credentials: &'a Credentials,
        vars: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            connector,
            credentials,
            vars,
        }
    }

    /// The variables of the connection.
    pub const fn vars(&self) -> &'a BTreeMap<String, String> {
        self.vars
    }

    /// A text with its places filled.
    pub fn fill(&self, text: &str) -> Result<String, CredentialError> {
        fill(text, |name| self.value(name)).map_err(|name| self.missing(&name))
    }

    /// The value behind `name`, `name.member` or `conn.name`.
    pub fn get(&self, name: &str) -> Result<Cow<'_, str>, CredentialError> {
        self.value(name).ok_or_else(|| self.missing(name))
    }

    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(variable) = name.strip_prefix("conn.") {
            return self.connector.variable(self.vars, variable).map(Cow::Borrowed);
        }
        match name.split_once('.') {
            Some((input, path)) => member(self.input(input)?.expose(), path).map(Cow::Owned),
            None => self.input(name).map(|value| Cow::Borrowed(value.expose())),
        }
    }

    fn input(&self, name: &str) -> Option<&'a Secret> {
        match self.credentials {
            Credentials::Custom { values } => values.get(name),
            _ => None,
        }
    }

    fn missing(&self, name: &str) -> CredentialError {
        if let Some(variable) = name.strip_prefix("conn.") {
            return Refusal::missing_variable(variable).into();
        }
        match name.split_once('.') {
            Some((input, path)) if self.input(input).is_some() => CredentialError::BadInput {
                input: input.to_owned(),
                why: format!("is not JSON with a text `{path}`: give the whole file, as it is or in base64"),
            },
            Some((input, _)) => missing_input(self.connector, input),
            None => missing_input(self.connector, name),
        }
    }
}

/// A text in a JSON object that was given as it is or in base64.
fn member(document: &str, path: &str) -> Option<String> {
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let packed: String = document.split_whitespace().collect();
    let document = parse(document.as_bytes()).or_else(|| parse(&STANDARD.decode(packed).ok()?))?;
    let found = path.split('.').try_fold(&document, |at, key| at.get(key))?;
    found.as_str().map(str::to_owned)
}

fn missing_input(connector: &Connector, input: &str) -> CredentialError {
    let needed = connector.auth().inputs().iter().filter(|input| !input.optional);
    let needs: Vec<&str> = needed.map(|input| input.name.as_str()).collect();
    CredentialError::MissingInput {
        provider: connector.provider().to_owned(),
        input: input.to_owned(),
        needs: needs.join(", "),
    }
}

/// Says whether a connector can use credentials like these with these variables. Nothing is sent: whether the provider
/// takes them is another question.
///
/// # Errors
/// What is missing or cannot be used.
pub fn check(
    connector: &Connector,
    credentials: &Credentials,
    vars: &BTreeMap<String, String>,
) -> Result<(), CredentialError> {
    let auth = connector.auth();
    if let Credentials::Custom { values } = credentials {
        if auth.inputs().is_empty() {
            return Err(wrong_kind(connector, credentials));
        }
        let mut needed = auth.inputs().iter().filter(|input| !input.optional);
        if let Some(missing) = needed.find(|input| !values.contains_key(&input.name)) {
            return Err(missing_input(connector, &missing.name));
        }
    }
    let now = Time::from_micros(0);
    if let (Some(mint), Credentials::Custom { .. }) = (auth.mint(), credentials) {
        let inputs = Inputs::new(connector, credentials, vars);
        return mint::request(connector, mint, &inputs, now, Uuid::nil()).map(drop);
    }
    let probe = ProviderRequest {
        method: http::Method::GET,
        url: "https://provider.invalid/".to_owned(),
        headers: Vec::new(),
        content_type: None,
        body: None,
    };
    attach(connector, credentials, vars, now, probe).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::Catalog;

    fn custom(values: &[(&str, &str)]) -> Credentials {
        let values = values.iter();
        Credentials::Custom {
            values: values
                .map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())))
                .collect(),
        }
    }

    #[test]
    fn every_provider_names_the_input_that_is_missing() {
        let catalog = Catalog::builtin();
        let (mut asked, vars) = (0, BTreeMap::new());
        for provider in catalog.names() {
            let connector = catalog.get(provider).expect("built in");
            for left_out in connector.auth().inputs().iter().filter(|input| !input.optional) {
                let others = connector
                    .auth()
                    .inputs()
                    .iter()
                    .filter(|input| *input != left_out);
                let others: Vec<_> = others.map(|input| (input.name.as_str(), "x")).collect();
                let error = check(&connector, &custom(&others), &vars).expect_err(provider);
                assert!(
                    matches!(&error, CredentialError::MissingInput { input, .. } if *input == left_out.name),
                    "{provider}: {error}"
                );
                asked += 1;
            }
        }
        assert!(asked >= 14, "{asked}");
    }

    #[test]
    fn members_are_read_from_json_and_from_its_base64() {
        let catalog = Catalog::builtin();
        let google = catalog.get("googleWorkspaceDelegation").expect("built in");
        let vars = BTreeMap::from([("userEmail".to_owned(), "mira@northpeak.example".to_owned())]);
        let key = r#"{"client_email":"robot@x.example","n":1}"#;
        for given in [
            key.to_owned(),
            STANDARD.encode(key),
            format!(" {}\n", STANDARD.encode(key)),
        ] {
            let credentials = custom(&[("serviceAccountKey", &given), ("scopes", "a b")]);
            let inputs = Inputs::new(&google, &credentials, &vars);
            assert_eq!(
                inputs
                    .fill("{serviceAccountKey.client_email} {scopes} {conn.userEmail}")
                    .expect("filled"),
                "robot@x.example a b mira@northpeak.example"
            );
            let error = inputs
                .fill("{serviceAccountKey.private_key}")
                .expect_err("not there");
            assert!(
                matches!(&error, CredentialError::BadInput { input, .. } if input == "serviceAccountKey")
            );
            assert!(!error.to_string().contains("robot"), "{error}");
        }
        let credentials = custom(&[]);
        let inputs = Inputs::new(&google, &credentials, &vars);
        assert!(
            inputs
                .fill("{conn.tenant}")
                .expect_err("no variable")
                .to_string()
                .contains("`tenant`")
        );
    }

    #[test]
    fn named_inputs_are_for_connectors_that_ask_for_them() {
        let catalog = Catalog::builtin();
        let (gitlab, hubspot) = (
            catalog.get("gitlab").expect("built in"),
            catalog.get("hubspot").expect("built in"),
        );
        let credentials = custom(&[("token", "t0ken-of-gitlab")]);
        assert_eq!(check(&gitlab, &credentials, &BTreeMap::new()), Ok(()));
        assert!(matches!(
            check(&hubspot, &credentials, &BTreeMap::new()),
            Err(CredentialError::WrongKind { .. })
        ));
        assert_eq!(
            check(&gitlab, &custom(&[("token", "a\nb")]), &BTreeMap::new()),
            Err(CredentialError::NotAHeader)
        );
    }
}
