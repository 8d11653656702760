//! Asking for a token. Pure.

use serde_json::Map;
use uuid::Uuid;

use super::assertion;
use crate::clock::Time;
use crate::connectors::{CLIENT_ID, CLIENT_SECRET, Connector, Mint, MintGrant, SCOPES};
use crate::outbound::credentials::CredentialError;
use crate::outbound::inputs::Inputs;
use crate::outbound::oauth::{Form, TokenRequest};
use crate::vault::Secret;

/// How long an assertion is good, in seconds. Salesforce takes no more than five minutes.
const ASSERTION_SECONDS: i64 = 180;

/// The request for a token. `jti` is another one each time.
pub(in crate::outbound) fn request(
    connector: &Connector,
    mint: &Mint,
    inputs: &Inputs<'_>,
    now: Time,
    jti: Uuid,
) -> Result<TokenRequest, CredentialError> {
    let url = connector
        .token_url(inputs.vars())?
        .ok_or(CredentialError::BadUrl)?;
    let mut form = Form::new();
    match mint.grant {
        MintGrant::JwtBearer => {
            let signed = signed(mint, inputs, now, jti)?;
            form.put("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            form.put_secret("assertion", &signed);
        }
        MintGrant::JwtClient => {
            let signed = signed(mint, inputs, now, jti)?;
            form.put("grant_type", "client_credentials");
            form.put(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            );
            form.put_secret("client_assertion", &signed);
        }
        MintGrant::ClientCredentials => {
            let (id, secret) = (inputs.get(CLIENT_ID)?, inputs.get(CLIENT_SECRET)?);
            form.put("grant_type", "client_credentials");
            form.client(&id, Some(&Secret::new(secret.into_owned())), mint.client_auth)?;
        }
    }
    // Scopes that the customer names stand for those of the file.
    let scopes = inputs.get(SCOPES).ok();
    if let Some(scopes) = &scopes {
        form.put("scope", scopes);
    }
    let params = mint.token_params.iter();
    for (name, text) in params.filter(|(name, _)| scopes.is_none() || *name != "scope") {
        form.put(name, &inputs.fill(text)?);
    }
    Ok(form.request(connector, http::Method::POST, url, mint.token_body))
}

/// The assertion.
fn signed(mint: &Mint, inputs: &Inputs<'_>, now: Time, jti: Uuid) -> Result<Secret, CredentialError> {
    let mut claims = Map::new();
    for (name, text) in &mint.claims {
        claims.insert(name.clone(), inputs.fill(text)?.into());
    }
    let now = now.as_micros() / 1_000_000;
    claims.insert("iat".to_owned(), now.into());
    claims.insert("exp".to_owned(), (now + ASSERTION_SECONDS).into());
    claims.insert("jti".to_owned(), jti.to_string().into());
    let key_id = mint.key_id.as_deref().map(|text| inputs.fill(text)).transpose()?;
    let name = mint.private_key.as_deref().unwrap_or_default();
    let key = inputs.get(name)?;
    assertion::sign(mint.algorithm, &key, key_id, claims).map_err(|why| CredentialError::BadInput {
        input: name.split('.').next().unwrap_or_default().to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use http::header::AUTHORIZATION;
    use serde_json::Value;

    use super::super::assertion::tests::KEY;
    use super::super::tests::{custom, mint_of, vars};
    use super::*;
    use crate::connectors::{Catalog, parse};
    use crate::outbound::Credentials;

    const NOW: Time = Time::from_micros(1_700_000_000_000_000);

    /// The form of a token request, and the header and claims of its assertion.
    fn asked(
        provider: &str,
        credentials: &Credentials,
        vars: &BTreeMap<String, String>,
    ) -> (String, BTreeMap<String, String>, [Value; 2]) {
        let connector = Catalog::builtin().get(provider).expect("built in");
        let inputs = Inputs::new(&connector, credentials, vars);
        let request =
            request(&connector, mint_of(&connector), &inputs, NOW, Uuid::from_u128(7)).expect("made");
        let body = request.wire.body.expect("a form");
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
        let assertion = form.get("assertion").or(form.get("client_assertion"));
        let part = |index| {
            let part = assertion
                .and_then(|text| text.split('.').nth(index))
                .unwrap_or_default();
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(part)
                .expect("base64");
            serde_json::from_slice(&bytes).unwrap_or_default()
        };
        (request.wire.url, form.clone(), [part(0), part(1)])
    }

    #[test]
    fn each_built_in_mint_asks_as_its_provider_documents() {
        let credentials = custom(&[
            ("clientId", "c1"),
            ("username", "mira@x.example"),
            ("privateKey", KEY),
        ]);
        let (url, form, [header, claims]) =
            asked("salesforceJWT", &credentials, &vars(&[("workspace", "acme")]));
        assert_eq!(url, "https://acme.my.salesforce.com/services/oauth2/token");
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(header, serde_json::json!({"alg": "RS256", "typ": "JWT"}));
        assert_eq!(
            claims,
            serde_json::json!({"aud": "https://login.salesforce.com", "iss": "c1", "sub": "mira@x.example",
                "iat": 1_700_000_000, "exp": 1_700_000_180, "jti": Uuid::from_u128(7).to_string()})
        );
        let sandbox = vars(&[
            ("workspace", "acme--t.sandbox"),
            ("loginURL", "https://test.salesforce.com"),
        ]);
        assert_eq!(
            asked("salesforceJWT", &credentials, &sandbox).2[1]["aud"],
            "https://test.salesforce.com"
        );

        let credentials = custom(&[("clientId", "c1"), ("certificateId", "k1"), ("privateKey", KEY)]);
        let (url, form, [header, claims]) =
            asked("netsuiteM2M", &credentials, &vars(&[("workspace", "123")]));
        assert_eq!(form["grant_type"], "client_credentials");
        assert_eq!(
            form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        assert_eq!(
            header,
            serde_json::json!({"alg": "PS256", "typ": "JWT", "kid": "k1"})
        );
        assert_eq!((&claims["iss"], &claims["aud"]), (&"c1".into(), &url.into()));

        let file = serde_json::json!({"client_email": "robot@x.example", "private_key": KEY}).to_string();
        let credentials = custom(&[("serviceAccountKey", &file), ("scopes", "s1 s2")]);
        let delegated = vars(&[("userEmail", "mira@x.example")]);
        let (_, _, [_, claims]) = asked("googleWorkspaceDelegation", &credentials, &delegated);
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["scope"]),
            (
                &"robot@x.example".into(),
                &"mira@x.example".into(),
                &"s1 s2".into()
            )
        );

        let credentials = custom(&[("clientId", "c1"), ("clientSecret", "s&1")]);
        let (url, form, _) = asked(
            "microsoftAdminConsent",
            &credentials,
            &vars(&[("tenantId", "t1")]),
        );
        assert_eq!(url, "https://login.microsoftonline.com/t1/oauth2/v2.0/token");
        assert_eq!(
            (form["client_id"].as_str(), form["client_secret"].as_str()),
            ("c1", "s&1")
        );
        assert_eq!(form["scope"], "https://graph.microsoft.com/.default");
    }

    #[test]
    fn id_and_secret_go_into_the_header_where_the_file_says_so() {
        let file = "provider: acme\ndisplay_name: Acme\nauth:\n  mint:\n    grant: client_credentials\n    token_url: https://id.acme.example/token\n    client_auth: basic\n    inputs: [{name: clientId}, {name: clientSecret}]\nbase_url: https://api.acme.example\nops: {create: {method: POST, path: /x}}\nresult: {id: [id]}\nopen: true\n";
        let connector = parse("acme.yaml", file, None)
            .expect("a file")
            .connectors
            .remove(0);
        let (credentials, none) = (custom(&[("clientId", "c"), ("clientSecret", "s")]), vars(&[]));
        let inputs = Inputs::new(&connector, &credentials, &none);
        let request = request(&connector, mint_of(&connector), &inputs, NOW, Uuid::nil()).expect("made");
        assert_eq!(request.wire.headers[AUTHORIZATION], "Basic Yzpz");
        assert!(request.wire.headers[AUTHORIZATION].is_sensitive());
        assert_eq!(
            request.wire.body.expect("a form"),
            b"grant_type=client_credentials"
        );
    }
}
